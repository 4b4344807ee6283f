//! TaintToleration: NoSchedule and NoExecute taints keep pods away, PreferNoSchedule taints cost score.
//! upstream: plugins/tainttoleration/taint_toleration.go

use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::framework::{
    ActionType, Change, ClusterEvent, CycleState, EnqueueExtensions, EventResource, Extensions, FITS, Filter, Plugin,
    PreScore, PreScoreOutcome, Rejection, Score, Verdict, default_normalize,
};
use crate::model::{Effect, Pod, first_untolerated, tolerates};

pub(super) const NAME: &str = "TaintToleration";

pub(super) struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.filter = Some(self.clone());
        extensions.pre_score = Some(self.clone());
        extensions.score = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl Filter for TaintToleration {
    fn name(&self) -> &'static str {
        NAME
    }
    fn filter(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Verdict {
        if first_untolerated(&node.node.taints, &pod.tolerations).is_none() {
            return FITS;
        }
        Err(Rejection::unresolvable("node(s) had untolerated taint(s)"))
    }
}

impl PreScore for TaintToleration {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_score(
        &self,
        _state: &mut CycleState,
        _pod: &Pod,
        _feasible: &[Arc<NodeInfo>],
        _all: &Snapshot,
    ) -> Result<PreScoreOutcome, Rejection> {
        Ok(PreScoreOutcome::Score)
    }
}

impl Score for TaintToleration {
    fn name(&self) -> &'static str {
        NAME
    }
    fn score(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Result<i64, Rejection> {
        let preferring =
            || pod.tolerations.iter().filter(|t| t.effect.is_none_or(|effect| effect == Effect::PreferNoSchedule));
        let soft = node.node.taints.iter().filter(|taint| taint.effect == Effect::PreferNoSchedule);
        let untolerated = soft.filter(|taint| !tolerates(preferring(), taint)).count();
        Ok(i64::try_from(untolerated).unwrap_or(i64::MAX))
    }
    fn normalize(&self, _state: &CycleState, _nodes: &[Arc<NodeInfo>], scores: &mut [i64]) {
        default_normalize(true, scores);
    }
}

impl EnqueueExtensions for TaintToleration {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Node, ActionType::ADD.or(ActionType::NODE_TAINT)),
            ClusterEvent::new(EventResource::Pod, ActionType::POD_TOLERATION),
        ]
    }
    fn may_help(&self, pod: &Pod, _event: &ClusterEvent, change: &Change) -> bool {
        match change {
            Change::Node { old, new: Some(new) } => {
                let was = old.as_ref().is_none_or(|old| first_untolerated(&old.taints, &pod.tolerations).is_some());
                was && first_untolerated(&new.taints, &pod.tolerations).is_none()
            }
            Change::Pod { new: Some(new), .. } => new.uid == pod.uid,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node_info, pod};

    #[test]
    fn filters_by_hard_taints() {
        let cases = [
            ("taints: [{key: a, value: '1', effect: NoSchedule}]", "name: p", false),
            ("taints: [{key: a, value: '1', effect: PreferNoSchedule}]", "name: p", true),
            ("taints: [{key: a, value: '1', effect: NoExecute}]", "tolerations: [{key: a, operator: Exists}]", true),
            ("taints: [{key: a, value: '1', effect: NoSchedule}]", "tolerations: [{key: a, value: '2'}]", false),
            ("taints: [{key: a, value: '1', effect: NoSchedule}]", "tolerations: [{key: a, value: '1'}]", true),
            ("taints: [{key: a, effect: NoSchedule}]", "tolerations: [{operator: Exists, effect: NoExecute}]", false),
            ("taints: [{key: a, effect: NoSchedule}]", "tolerations: [{operator: Exists}]", true),
        ];
        for (taints, p, fits) in cases {
            let node = node_info(&format!("n: {{{taints}}}"), &[]);
            let verdict = TaintToleration.filter(&CycleState::default(), &pod(p), &node);
            assert_eq!(verdict.is_ok(), fits, "{taints} {p}");
        }
    }

    #[test]
    fn fewer_soft_taints_score_higher() {
        let nodes = [
            node_info("a: {taints: [{key: x, effect: PreferNoSchedule}, {key: z, effect: PreferNoSchedule}]}", &[]),
            node_info("b: {taints: [{key: x, effect: PreferNoSchedule}]}", &[]),
            node_info("c: {}", &[]),
        ];
        let state = CycleState::default();
        let p = pod("name: p");
        let mut scores: Vec<_> = nodes.iter().map(|n| TaintToleration.score(&state, &p, n).unwrap()).collect();
        TaintToleration.normalize(&state, &nodes, &mut scores);
        assert_eq!(scores, [0, 50, 100]);
    }
}
