//! Pure: which pods a ReplicaSet (or ReplicationController) wants made and which it gives up, and its status.
//!
//! Upstream: pkg/controller/replicaset/replica_set.go, replica_set_utils.go, controller_utils.go (ranking).

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;

use component_base::informer::Object;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::{api, pods};

/// Most pods made or deleted in one go.
pub(crate) const BURST: usize = 500;
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What to do about the number of pods.
#[derive(Debug, PartialEq)]
pub(crate) enum Scale {
    /// Nothing.
    Enough,
    /// Make so many.
    Create(usize),
    /// Delete these.
    Delete(Vec<Arc<Pod>>),
}

/// Compares the wanted number with the active pods. `related` are active pods of the same Deployment's ReplicaSets: of
/// pods that share a node with many of those, one goes first.
pub(crate) fn scale(wanted: i32, active: &[Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) -> Scale {
    let wanted = usize::try_from(wanted).unwrap_or(0);
    match active.len().cmp(&wanted) {
        Ordering::Equal => Scale::Enough,
        Ordering::Less => Scale::Create((wanted - active.len()).min(BURST)),
        Ordering::Greater => Scale::Delete(victims(active, related, (active.len() - wanted).min(BURST), now)),
    }
}

fn victims(active: &[Arc<Pod>], related: &[Arc<Pod>], count: usize, now: Timestamp) -> Vec<Arc<Pod>> {
    let mut per_node: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| pods::is_active(pod)) {
        *per_node.entry(pods::node(pod)).or_default() += 1;
    }
    let mut ranked = active.to_vec();
    ranked.sort_by_cached_key(|pod| rank(pod, per_node.get(pods::node(pod)).copied().unwrap_or(0), now));
    ranked.truncate(count);
    ranked
}

/// Smaller goes first. The order of the fields is the policy; times count by their power of two, so that young pods are
/// not always the ones to go.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_assigned: bool,
    phase: u8,
    is_ready: bool,
    deletion_cost: i32,
    neighbours: Reverse<usize>,
    ready_age: u32,
    restarts: Reverse<(i32, i32)>,
    age: u32,
    uid: String,
}

fn rank(pod: &Pod, neighbours: usize, now: Timestamp) -> Rank {
    let is_ready = pods::is_ready(pod);
    let ready_since =
        pods::condition(pod, "Ready").and_then(|ready| ready.last_transition_time.as_ref()).map(|time| time.0);
    Rank {
        is_assigned: !pods::node(pod).is_empty(),
        phase: match pods::phase(pod) {
            "Pending" => 0,
            "Running" => 2,
            _ => 1,
        },
        is_ready,
        deletion_cost: pod.annotation(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0),
        neighbours: Reverse(neighbours),
        ready_age: if is_ready { ready_since.map_or(0, |since| magnitude(now, since)) } else { 0 },
        restarts: Reverse(restarts(pod)),
        age: magnitude(now, api::created(&pod.metadata)),
        uid: pod.uid().to_owned(),
    }
}

fn magnitude(now: Timestamp, since: Timestamp) -> u32 {
    let seconds = component_base::clock::since(now, since).as_secs();
    if seconds == 0 { 0 } else { seconds.ilog2() + 1 }
}

/// Most restarts of a regular container, and of an init container that restarts.
fn restarts(pod: &Pod) -> (i32, i32) {
    let status = pod.status.as_ref();
    let most = |statuses: Option<&Vec<k8s_openapi::api::core::v1::ContainerStatus>>| {
        statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or(0)
    };
    (
        most(status.and_then(|status| status.container_statuses.as_ref())),
        most(status.and_then(|status| status.init_container_statuses.as_ref())),
    )
}

/// Counts for the status.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) replicas: i32,
    pub(crate) fully_labeled: i32,
    pub(crate) ready: i32,
    pub(crate) available: i32,
    pub(crate) terminating: i32,
}

/// Counts owned pods; `is_full` tells whether a pod has all labels of the template.
pub(crate) fn count(
    owned: &[Arc<Pod>],
    min_ready_seconds: i32,
    is_full: impl Fn(&Pod) -> bool,
    now: Timestamp,
) -> Counts {
    let mut counts = Counts::default();
    for pod in owned {
        if pods::is_terminating(pod) {
            counts.terminating += 1;
        }
        if !pods::is_active(pod) {
            continue;
        }
        counts.replicas += 1;
        counts.fully_labeled += i32::from(is_full(pod));
        counts.ready += i32::from(pods::is_ready(pod));
        counts.available += i32::from(pods::is_available(pod, min_ready_seconds, now));
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodSpec, PodStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).expect("in range")
    }

    fn ago(seconds: i64) -> Time {
        Time(Timestamp::from_second(1_000_000 - seconds).expect("in range"))
    }

    fn pod(name: &str, phase: &str, node: &str, ready_for: Option<i64>, restarts: i32, age: i64) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.into());
        pod.metadata.uid = Some(name.into());
        pod.metadata.creation_timestamp = Some(ago(age));
        pod.spec = Some(PodSpec { node_name: Some(node.into()), ..PodSpec::default() });
        let ready = PodCondition {
            type_: "Ready".into(),
            status: if ready_for.is_some() { "True" } else { "False" }.into(),
            last_transition_time: Some(ago(ready_for.unwrap_or(0))),
            ..PodCondition::default()
        };
        let container = ContainerStatus { restart_count: restarts, ..ContainerStatus::default() };
        pod.status = Some(PodStatus {
            phase: Some(phase.into()),
            conditions: Some(vec![ready]),
            container_statuses: Some(vec![container]),
            ..PodStatus::default()
        });
        pod
    }

    fn order(pods: Vec<Pod>) -> Vec<String> {
        let pods: Vec<Arc<Pod>> = pods.into_iter().map(Arc::new).collect();
        let Scale::Delete(gone) = scale(0, &pods, &pods, now()) else { panic!("nothing to delete") };
        gone.iter().map(|pod| pod.name().to_owned()).collect()
    }

    #[test]
    fn the_least_useful_pods_go_first() {
        let mut cheap = pod("cheap", "Running", "n9", Some(100), 0, 1000);
        cheap.metadata.annotations = Some([(DELETION_COST.to_owned(), "-5".to_owned())].into());
        let order = order(vec![
            pod("old", "Running", "n1", Some(5000), 0, 9000),
            pod("young", "Running", "n2", Some(10), 0, 9000),
            pod("restarted", "Running", "n3", Some(5000), 3, 9000),
            pod("unready", "Running", "n4", None, 0, 9000),
            pod("pending", "Pending", "n5", None, 0, 9000),
            pod("unassigned", "Pending", "", None, 0, 9000),
            cheap,
        ]);
        assert_eq!(order, ["unassigned", "pending", "unready", "cheap", "young", "restarted", "old"]);
    }

    #[test]
    fn crowded_nodes_lose_first() {
        let order = order(vec![
            pod("alone", "Running", "n1", Some(10), 0, 10),
            pod("a", "Running", "n2", Some(5000), 0, 9000),
            pod("b", "Running", "n2", Some(5000), 0, 9000),
        ]);
        assert_eq!(order, ["a", "b", "alone"]);
    }

    #[test]
    fn numbers() {
        let active: Vec<Arc<Pod>> = vec![Arc::new(pod("a", "Running", "n", Some(1), 0, 1))];
        assert_eq!(scale(1, &active, &[], now()), Scale::Enough);
        assert_eq!(scale(3, &active, &[], now()), Scale::Create(2));
        assert_eq!(scale(900, &active, &[], now()), Scale::Create(BURST));
    }

    #[test]
    fn counts() {
        let mut gone = pod("gone", "Running", "n", Some(100), 0, 200);
        gone.metadata.deletion_timestamp = Some(ago(1));
        let owned: Vec<Arc<Pod>> = [
            pod("a", "Running", "n", Some(100), 0, 200),
            pod("b", "Running", "n", Some(3), 0, 200),
            pod("c", "Failed", "n", None, 0, 9),
            gone,
        ]
        .into_iter()
        .map(Arc::new)
        .collect();
        let counts = count(&owned, 10, |pod| pod.name() == "a", now());
        assert_eq!(counts, Counts { replicas: 2, fully_labeled: 1, ready: 2, available: 1, terminating: 1 });
    }
}
