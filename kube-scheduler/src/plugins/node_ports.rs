//! NodePorts: host ports must be free. upstream: plugins/nodeports/node_ports.go

use std::sync::Arc;

use crate::cache::{NodeInfo, PortsInUse, Snapshot};
use crate::framework::{
    ActionType, Change, ClusterEvent, CycleState, EnqueueExtensions, EventResource, Extensions, FITS, Filter, Plugin,
    PreFilter, PreFilterOutcome, Rejection, Verdict,
};
use crate::model::Pod;

pub(super) const NAME: &str = "NodePorts";

pub(super) struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_filter = Some(self.clone());
        extensions.filter = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl PreFilter for NodePorts {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter(&self, _state: &mut CycleState, pod: &Pod, _nodes: &Snapshot) -> Result<PreFilterOutcome, Rejection> {
        Ok(if pod.host_ports.is_empty() { PreFilterOutcome::Skip } else { PreFilterOutcome::All })
    }
}

fn conflict(pod: &Pod, taken: &PortsInUse) -> bool {
    pod.host_ports.iter().any(|port| taken.conflicts(port))
}

impl Filter for NodePorts {
    fn name(&self) -> &'static str {
        NAME
    }
    fn filter(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Verdict {
        if conflict(pod, &node.ports) {
            return Err(Rejection::unschedulable("node(s) didn't have free ports for the requested pod ports"));
        }
        FITS
    }
}

impl EnqueueExtensions for NodePorts {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Pod, ActionType::DELETE),
            ClusterEvent::new(EventResource::Node, ActionType::ADD),
        ]
    }
    fn may_help(&self, pod: &Pod, _event: &ClusterEvent, change: &Change) -> bool {
        let Change::Pod { old: Some(deleted), .. } = change else { return true };
        let mut freed = PortsInUse::default();
        deleted.host_ports.iter().for_each(|port| freed.add(port));
        deleted.has_place() && conflict(pod, &freed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node_info, pod};

    #[test]
    fn wildcard_addresses_conflict_with_every_address() {
        let port = |ip: &str, protocol: &str, port: i32| {
            format!(
                "name: x\ncontainers: [{{name: c, ports: [{{hostIP: '{ip}', protocol: {protocol}, hostPort: {port}}}]}}]"
            )
        };
        let cases = [
            (port("", "TCP", 80), port("127.0.0.1", "TCP", 80), false),
            (port("127.0.0.1", "TCP", 80), port("127.0.0.2", "TCP", 80), true),
            (port("127.0.0.1", "TCP", 80), port("0.0.0.0", "TCP", 80), false),
            (port("", "TCP", 80), port("", "UDP", 80), true),
            (port("", "TCP", 80), port("", "TCP", 81), true),
        ];
        for (there, wanted, fits) in cases {
            let node = node_info("n: {}", &[&there]);
            let verdict = NodePorts.filter(&CycleState::default(), &pod(&wanted), &node);
            assert_eq!(verdict.is_ok(), fits, "{there} / {wanted}");
        }
    }
}
