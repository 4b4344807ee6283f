//! Pure: pods that nobody else deletes (upstream: pkg/controller/podgc).

use std::collections::BTreeMap;
use std::sync::Arc;

use component_base::informer::Object as _;
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::{api, pods};

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Why a pod is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// One of too many that have ended.
    Terminated,
    /// Its node is gone.
    Orphaned,
    /// Deleted before it was ever bound.
    Unscheduled,
    /// Its node is out of service.
    OutOfService,
}

/// Pods to delete.
pub(super) fn victims(
    all: &[Arc<Pod>],
    nodes: &BTreeMap<String, Arc<Node>>,
    is_gone: impl Fn(&str) -> bool,
    threshold: usize,
) -> Vec<(Arc<Pod>, Reason)> {
    let mut victims: Vec<(Arc<Pod>, Reason)> = Vec::new();
    for pod in all {
        let node = pods::node(pod);
        let known = nodes.get(node);
        if node.is_empty() {
            if pod.is_deleting() {
                victims.push((Arc::clone(pod), Reason::Unscheduled));
            }
        } else if known.is_none() && is_gone(node) {
            victims.push((Arc::clone(pod), Reason::Orphaned));
        } else if pod.is_deleting() && known.is_some_and(|node| is_out_of_service(node)) {
            victims.push((Arc::clone(pod), Reason::OutOfService));
        }
    }
    let mut ended: Vec<&Arc<Pod>> =
        all.iter().filter(|pod| !matches!(pods::phase(pod), "" | "Pending" | "Running" | "Unknown")).collect();
    if threshold > 0 && ended.len() > threshold {
        // Evicted ones first, then the oldest.
        ended.sort_by_key(|pod| {
            let reason = pod.status.as_ref().and_then(|status| status.reason.as_deref());
            (reason != Some("Evicted"), api::created(&pod.metadata), pod.name().to_owned())
        });
        let excess = ended.len() - threshold;
        victims.extend(ended.into_iter().take(excess).map(|pod| (Arc::clone(pod), Reason::Terminated)));
    }
    victims
}

fn is_out_of_service(node: &Node) -> bool {
    let ready = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let tainted = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_ref())
        .into_iter()
        .flatten()
        .any(|taint| taint.key == OUT_OF_SERVICE);
    !ready && tainted
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{PodSpec, PodStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn pod(name: &str, node: &str, phase: &str, deleting: bool, age: i64) -> Arc<Pod> {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.into());
        pod.metadata.creation_timestamp = jiff::Timestamp::from_second(1000 - age).ok().map(Time);
        pod.metadata.deletion_timestamp = deleting.then_some(Time(jiff::Timestamp::UNIX_EPOCH));
        pod.spec = Some(PodSpec { node_name: Some(node.into()), ..PodSpec::default() });
        pod.status = Some(PodStatus { phase: Some(phase.into()), ..PodStatus::default() });
        Arc::new(pod)
    }

    #[test]
    fn victims_by_reason() {
        let nodes: BTreeMap<String, Arc<Node>> = [("n1".to_owned(), Arc::new(Node::default()))].into();
        let all = [
            pod("runs", "n1", "Running", false, 9),
            pod("waits", "", "Pending", false, 9),
            pod("unbound", "", "Pending", true, 9),
            pod("lost", "gone", "Running", false, 9),
            pod("perhaps", "new", "Running", false, 9),
            pod("old", "n1", "Succeeded", false, 90),
            pod("young", "n1", "Failed", false, 10),
        ];
        let found = victims(&all, &nodes, |node| node == "gone", 1);
        let found: Vec<(String, Reason)> =
            found.into_iter().map(|(pod, reason)| (pod.name().to_owned(), reason)).collect();
        let expected = [("unbound", Reason::Unscheduled), ("lost", Reason::Orphaned), ("old", Reason::Terminated)];
        assert_eq!(found, expected.map(|(name, reason)| (name.to_owned(), reason)));
    }
}
