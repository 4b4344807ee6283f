//! NodeAffinity: nodeSelector and node affinity of the pod, and the affinity that configuration adds to every pod.
//! upstream: plugins/nodeaffinity/node_affinity.go

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::config::NodeAffinityArgs;
use crate::framework::{
    ActionType, Change, ClusterEvent, CycleState, EnqueueExtensions, EventResource, Extensions, FITS, Filter, Plugin,
    PreFilter, PreFilterOutcome, PreScore, PreScoreOutcome, Rejection, Score, Verdict, default_normalize,
};
use crate::model::{Node, NodeSelector, Pod, PreferredTerm};

pub(super) const NAME: &str = "NodeAffinity";

#[derive(Default)]
pub(super) struct NodeAffinity {
    added_required: Option<NodeSelector>,
    added_preferred: Vec<PreferredTerm>,
}

impl NodeAffinity {
    pub(super) fn new(args: &NodeAffinityArgs) -> Self {
        let Some(added) = &args.added_affinity else { return Self::default() };
        Self {
            added_required: added
                .required_during_scheduling_ignored_during_execution
                .as_ref()
                .map(NodeSelector::compile),
            added_preferred: added
                .preferred_during_scheduling_ignored_during_execution
                .as_deref()
                .map(PreferredTerm::compile_all)
                .unwrap_or_default(),
        }
    }

    fn allowed_by_configuration(&self, node: &Node) -> bool {
        self.added_required.as_ref().is_none_or(|selector| selector.matches(node))
    }
}

fn allowed_by_pod(pod: &Pod, node: &Node) -> bool {
    pod.node_affinity.as_ref().is_none_or(|affinity| affinity.matches(node))
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_filter = Some(self.clone());
        extensions.filter = Some(self.clone());
        extensions.pre_score = Some(self.clone());
        extensions.score = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl PreFilter for NodeAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter(&self, _state: &mut CycleState, pod: &Pod, _nodes: &Snapshot) -> Result<PreFilterOutcome, Rejection> {
        let affinity = pod.node_affinity.as_deref();
        let required = affinity.and_then(|a| a.required.as_ref());
        let selects = affinity.is_some_and(|a| !a.selector.is_empty());
        if required.is_none() && !selects && self.added_required.is_none() {
            return Ok(PreFilterOutcome::Skip);
        }
        let terms = required.map_or(&[][..], |r| &r.terms);
        let Some(names) = terms.iter().map(|t| t.node_names()).collect::<Option<Vec<_>>>() else {
            return Ok(PreFilterOutcome::All);
        };
        if terms.is_empty() {
            return Ok(PreFilterOutcome::All);
        }
        let names: BTreeSet<String> = names.into_iter().flatten().collect();
        if names.is_empty() {
            return Err(Rejection::unresolvable("pod affinity terms conflict"));
        }
        Ok(PreFilterOutcome::Only(names))
    }
}

impl Filter for NodeAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn filter(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Verdict {
        if !self.allowed_by_configuration(&node.node) {
            return Err(Rejection::unresolvable("node(s) didn't match scheduler-enforced node affinity"));
        }
        if !allowed_by_pod(pod, &node.node) {
            return Err(Rejection::unresolvable("node(s) didn't match Pod's node affinity/selector"));
        }
        FITS
    }
}

impl PreScore for NodeAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_score(
        &self,
        _state: &mut CycleState,
        pod: &Pod,
        _feasible: &[Arc<NodeInfo>],
        _all: &Snapshot,
    ) -> Result<PreScoreOutcome, Rejection> {
        let own = pod.node_affinity.as_ref().is_some_and(|a| !a.preferred.is_empty());
        Ok(if own || !self.added_preferred.is_empty() { PreScoreOutcome::Score } else { PreScoreOutcome::Skip })
    }
}

impl Score for NodeAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn score(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Result<i64, Rejection> {
        let own = pod.node_affinity.as_ref().map_or(0, |a| PreferredTerm::score(&a.preferred, &node.node));
        Ok(own + PreferredTerm::score(&self.added_preferred, &node.node))
    }
    fn normalize(&self, _state: &CycleState, _nodes: &[Arc<NodeInfo>], scores: &mut [i64]) {
        default_normalize(false, scores);
    }
}

impl EnqueueExtensions for NodeAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(EventResource::Node, ActionType::ADD.or(ActionType::NODE_LABEL))]
    }
    fn may_help(&self, pod: &Pod, _event: &ClusterEvent, change: &Change) -> bool {
        let Change::Node { old, new: Some(new) } = change else { return false };
        self.allowed_by_configuration(new)
            && allowed_by_pod(pod, new)
            && old.as_ref().is_none_or(|old| !allowed_by_pod(pod, old))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node_info, pod};

    fn required(terms: &str) -> Pod {
        pod(&format!(
            "affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{terms}]}}}}}}"
        ))
    }

    #[test]
    fn filters_like_upstream() {
        let node = node_info("n1: {labels: {zone: a, gpus: '4'}}", &[]);
        let cases = [
            (pod("nodeSelector: {zone: a}"), true),
            (pod("nodeSelector: {zone: b}"), false),
            (required("{matchExpressions: [{key: zone, operator: In, values: [a, b]}]}"), true),
            (required("{matchExpressions: [{key: zone, operator: NotIn, values: [a]}]}"), false),
            (required("{matchExpressions: [{key: gpus, operator: Gt, values: ['3']}]}"), true),
            (required("{matchExpressions: [{key: gpus, operator: Lt, values: ['3']}]}"), false),
            (required("{matchExpressions: [{key: gpus, operator: Gt, values: [many]}]}"), false),
            (
                required(
                    "{matchExpressions: [{key: x, operator: Exists}]}, {matchExpressions: [{key: zone, operator: Exists}]}",
                ),
                true,
            ),
            (required("{matchFields: [{key: metadata.name, operator: In, values: [n1]}]}"), true),
            (required("{matchFields: [{key: metadata.name, operator: In, values: [n2]}]}"), false),
            (required(""), false),
            (required("{}"), false),
        ];
        for (p, fits) in cases {
            let verdict = NodeAffinity::default().filter(&CycleState::default(), &p, &node);
            assert_eq!(verdict.is_ok(), fits, "{:?}", p.node_affinity);
        }
    }

    #[test]
    fn narrows_to_named_nodes() {
        let run = |p: &Pod| NodeAffinity::default().pre_filter(&mut CycleState::default(), p, &Snapshot::default());
        let only = |name: &str| format!("{{matchFields: [{{key: metadata.name, operator: In, values: [{name}]}}]}}");
        assert_eq!(run(&pod("name: p")), Ok(PreFilterOutcome::Skip));
        let both = required(&format!("{}, {}", only("a"), only("b")));
        assert_eq!(run(&both), Ok(PreFilterOutcome::Only(["a".to_owned(), "b".to_owned()].into())));
        let either = required(&format!("{}, {{matchExpressions: [{{key: x, operator: Exists}}]}}", only("a")));
        assert_eq!(run(&either), Ok(PreFilterOutcome::All));
        let conflict = required(
            "{matchFields: [{key: metadata.name, operator: In, values: [a]}, {key: metadata.name, operator: In, values: [b]}]}",
        );
        assert_eq!(run(&conflict), Err(Rejection::unresolvable("pod affinity terms conflict")));
    }
}
