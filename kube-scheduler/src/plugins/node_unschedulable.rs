//! NodeUnschedulable: cordoned nodes take only pods that tolerate it. upstream: plugins/nodeunschedulable

use std::sync::Arc;

use crate::cache::NodeInfo;
use crate::framework::{
    ActionType, Change, ClusterEvent, CycleState, EnqueueExtensions, EventResource, Extensions, FITS, Filter, Plugin,
    Rejection, Verdict,
};
use crate::model::{Effect, Pod, Taint, tolerates};

pub(super) const NAME: &str = "NodeUnschedulable";

pub(super) struct NodeUnschedulable;

fn tolerates_cordon(pod: &Pod) -> bool {
    let taint = Taint { key: "node.kubernetes.io/unschedulable".into(), value: "".into(), effect: Effect::NoSchedule };
    tolerates(&pod.tolerations, &taint)
}

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.filter = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl Filter for NodeUnschedulable {
    fn name(&self) -> &'static str {
        NAME
    }
    fn filter(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Verdict {
        if !node.node.unschedulable || tolerates_cordon(pod) {
            return FITS;
        }
        Err(Rejection::unresolvable("node(s) were unschedulable"))
    }
}

impl EnqueueExtensions for NodeUnschedulable {
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
                !new.unschedulable && old.as_ref().is_none_or(|old| old.unschedulable)
            }
            Change::Pod { new: Some(new), .. } => new.uid == pod.uid && tolerates_cordon(new),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node_info, pod};

    #[test]
    fn cordoned_nodes_need_a_toleration() {
        let state = CycleState::default();
        let open = node_info("a: {}", &[]);
        let cordoned = node_info("a: {unschedulable: true}", &[]);
        let plain = pod("name: p");
        let tolerant =
            pod("tolerations: [{key: node.kubernetes.io/unschedulable, operator: Exists, effect: NoSchedule}]");
        assert_eq!(NodeUnschedulable.filter(&state, &plain, &open), Ok(()));
        assert_eq!(NodeUnschedulable.filter(&state, &tolerant, &cordoned), Ok(()));
        assert_eq!(
            NodeUnschedulable.filter(&state, &plain, &cordoned),
            Err(Rejection::unresolvable("node(s) were unschedulable"))
        );
    }
}
