//! SchedulingGates: a pod with gates is not tried. upstream: plugins/schedulinggates/scheduling_gates.go

use std::sync::Arc;

use crate::framework::{
    ActionType, Change, ClusterEvent, EnqueueExtensions, EventResource, Extensions, Plugin, PreEnqueue, Rejection,
    Verdict,
};
use crate::model::Pod;

pub(super) const NAME: &str = "SchedulingGates";

pub(super) struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_enqueue = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl PreEnqueue for SchedulingGates {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_enqueue(&self, pod: &Pod) -> Verdict {
        if pod.gates.is_empty() {
            return Ok(());
        }
        Err(Rejection::unresolvable(format!("waiting for scheduling gates: [{}]", pod.gates.join(" "))))
    }
}

impl EnqueueExtensions for SchedulingGates {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(EventResource::Pod, ActionType::POD_GATES_ELIMINATED)]
    }
    fn may_help(&self, pod: &Pod, _event: &ClusterEvent, change: &Change) -> bool {
        matches!(change, Change::Pod { new: Some(new), .. } if new.uid == pod.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn gates_hold_a_pod() {
        assert_eq!(SchedulingGates.pre_enqueue(&pod("name: p")), Ok(()));
        let gated = pod("schedulingGates: [{name: a}, {name: b}]");
        assert_eq!(SchedulingGates.pre_enqueue(&gated).unwrap_err().message(), "waiting for scheduling gates: [a b]");
    }
}
