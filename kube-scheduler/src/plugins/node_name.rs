//! NodeName: a pod that names a node goes there. upstream: plugins/nodename/node_name.go

use std::sync::Arc;

use crate::cache::NodeInfo;
use crate::framework::{
    ActionType, ClusterEvent, CycleState, EnqueueExtensions, EventResource, Extensions, FITS, Filter, Plugin,
    Rejection, Verdict,
};
use crate::model::Pod;

pub(super) const NAME: &str = "NodeName";

pub(super) struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.filter = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl Filter for NodeName {
    fn name(&self) -> &'static str {
        NAME
    }
    fn filter(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Verdict {
        if pod.node_name.is_empty() || *pod.node_name == *node.node.name {
            return FITS;
        }
        Err(Rejection::unresolvable("node(s) didn't match the requested node name"))
    }
}

impl EnqueueExtensions for NodeName {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(EventResource::Node, ActionType::ADD)]
    }
}
