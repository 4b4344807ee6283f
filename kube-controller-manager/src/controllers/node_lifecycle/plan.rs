//! Pure: how a node fares, and the taints and conditions that follow from it.
//!
//! Upstream: pkg/controller/nodelifecycle/node_lifecycle_controller.go.

use std::time::Duration;

use component_base::clock::since;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};

use crate::api;

pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";

/// Conditions whose status means that nothing is to be scheduled.
const CONDITION_TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// Conditions that become Unknown when a node is not heard of; the last one only if it exists.
const MONITORED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Times of the daemon's flags.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) grace: Duration,
    pub(super) startup_grace: Duration,
}

/// What is remembered of a node between looks.
#[derive(Debug, Clone)]
pub(super) struct Health {
    /// When a sign of life was last noticed, by our clock.
    pub(super) seen_at: Timestamp,
    ready: Option<NodeCondition>,
    renewed: Option<Timestamp>,
}

pub(super) fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Takes note of signs of life: another heartbeat or Ready condition, or a renewed Lease.
pub(super) fn observe(health: Option<Health>, node: &Node, renewed: Option<Timestamp>, now: Timestamp) -> Health {
    let ready = condition(node, "Ready").cloned();
    let Some(mut health) = health else {
        // A node that never reported counts from its creation.
        let seen_at = if ready.is_none() && renewed.is_none() { api::created(&node.metadata) } else { now };
        return Health { seen_at, ready, renewed };
    };
    let beats = |condition: &Option<NodeCondition>| {
        condition.as_ref().and_then(|condition| condition.last_heartbeat_time.clone())
    };
    // Conditions that we wrote ourselves keep the heartbeat, so they are no sign of life.
    if beats(&health.ready) != beats(&ready) || (health.ready.is_none() && ready.is_some()) || renewed > health.renewed
    {
        health.seen_at = now;
    }
    health.ready = ready;
    health.renewed = renewed.max(health.renewed);
    health
}

/// Conditions to write because the node was not heard of; empty if it was.
pub(super) fn lost_conditions(node: &Node, health: &Health, times: Times, now: Timestamp) -> Vec<NodeCondition> {
    let grace = if condition(node, "Ready").is_none() { times.startup_grace } else { times.grace };
    if since(now, health.seen_at) <= grace {
        return Vec::new();
    }
    let mut changed = Vec::new();
    for kind in MONITORED {
        let made = match condition(node, kind) {
            None => NodeCondition {
                type_: kind.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(api::time(now)),
            },
            Some(known) if known.status == "Unknown" => continue,
            Some(known) => NodeCondition {
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusUnknown".to_owned()),
                message: Some("Kubelet stopped posting node status.".to_owned()),
                last_transition_time: Some(api::time(now)),
                ..known.clone()
            },
        };
        changed.push(made);
    }
    changed
}

/// When the node would be lost without another sign of life, in time from now.
pub(super) fn lost_in(node: &Node, health: &Health, times: Times, now: Timestamp) -> Duration {
    let grace = if condition(node, "Ready").is_none() { times.startup_grace } else { times.grace };
    grace.saturating_sub(since(now, health.seen_at)) + Duration::from_millis(100)
}

/// The taints that the node should have; None if it has them. NoExecute taints are only added if `may_evict`.
pub(super) fn taints(node: &Node, may_evict: bool, now: Timestamp) -> Option<Vec<Taint>> {
    let spec = node.spec.clone().unwrap_or_default();
    let known = spec.taints.unwrap_or_default();
    let ready = condition(node, "Ready").map_or("Unknown", |ready| ready.status.as_str());
    let evicts = |key: &str| (key == NOT_READY && ready == "False") || (key == UNREACHABLE && ready == "Unknown");
    let blocks = |key: &str| {
        let by_condition = CONDITION_TAINTS.iter().any(|(kind, status, taint)| {
            *taint == key && condition(node, kind).is_some_and(|condition| condition.status == *status)
        });
        by_condition || (key == UNSCHEDULABLE && spec.unschedulable == Some(true))
    };
    let is_ours = |taint: &Taint| match taint.effect.as_str() {
        NO_SCHEDULE => taint.key == UNSCHEDULABLE || CONDITION_TAINTS.iter().any(|(_, _, key)| *key == taint.key),
        NO_EXECUTE => taint.key == NOT_READY || taint.key == UNREACHABLE,
        _ => false,
    };
    let wanted = |taint: &Taint| if taint.effect == NO_EXECUTE { evicts(&taint.key) } else { blocks(&taint.key) };
    let mut result: Vec<Taint> = known.iter().filter(|taint| !is_ours(taint) || wanted(taint)).cloned().collect();
    let has = |result: &[Taint], key: &str, effect: &str| {
        result.iter().any(|taint| taint.key == key && taint.effect == effect)
    };
    let add = |key: &str, effect: &str| Taint {
        key: key.to_owned(),
        effect: effect.to_owned(),
        time_added: Some(api::time(now)),
        value: None,
    };
    for key in CONDITION_TAINTS.iter().map(|(_, _, key)| *key).chain([UNSCHEDULABLE]) {
        if blocks(key) && !has(&result, key, NO_SCHEDULE) {
            result.push(add(key, NO_SCHEDULE));
        }
    }
    for key in [NOT_READY, UNREACHABLE] {
        if may_evict && evicts(key) && !has(&result, key, NO_EXECUTE) {
            result.push(add(key, NO_EXECUTE));
        }
    }
    (result != known).then_some(result)
}

/// Whether a NoExecute taint of ours is missing.
pub(super) fn wants_eviction(node: &Node) -> bool {
    let key = match condition(node, "Ready").map_or("Unknown", |ready| ready.status.as_str()) {
        "True" => return false,
        "False" => NOT_READY,
        _ => UNREACHABLE,
    };
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    !taints.into_iter().flatten().any(|taint| taint.key == key && taint.effect == NO_EXECUTE)
}

/// How bad it is in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ZoneState {
    Normal,
    Partial,
    Full,
}

/// State of a zone of so many ready and not ready nodes.
pub(super) fn zone_state(ready: usize, not_ready: usize, unhealthy_share: f64) -> ZoneState {
    if ready == 0 && not_ready > 0 {
        ZoneState::Full
    } else if not_ready > 2 && not_ready as f64 / (ready + not_ready) as f64 >= unhealthy_share {
        ZoneState::Partial
    } else {
        ZoneState::Normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{NodeSpec, NodeStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    const TIMES: Times = Times { grace: Duration::from_secs(50), startup_grace: Duration::from_secs(60) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1000 + seconds).expect("in range")
    }

    fn node(ready: Option<&str>, beat: i64) -> Node {
        let mut node = Node::default();
        node.metadata.creation_timestamp = Some(Time(at(0)));
        let condition = |status: &str| NodeCondition {
            type_: "Ready".into(),
            status: status.into(),
            last_heartbeat_time: Some(Time(at(beat))),
            ..NodeCondition::default()
        };
        node.status =
            Some(NodeStatus { conditions: ready.map(|status| vec![condition(status)]), ..NodeStatus::default() });
        node
    }

    fn keys(node: &Node, may_evict: bool) -> Vec<String> {
        taints(node, may_evict, at(0))
            .unwrap_or_default()
            .iter()
            .map(|taint| format!("{}:{}", taint.key, taint.effect))
            .collect()
    }

    #[test]
    fn a_lease_keeps_a_node_alive() {
        let silent = node(Some("True"), 0);
        let health = observe(None, &silent, Some(at(0)), at(0));
        let health = observe(Some(health), &silent, Some(at(40)), at(40));
        assert!(lost_conditions(&silent, &health, TIMES, at(80)).is_empty());
        let lost = lost_conditions(&silent, &health, TIMES, at(91));
        assert_eq!(lost[0].status, "Unknown");
        assert_eq!(lost[0].reason.as_deref(), Some("NodeStatusUnknown"));
        assert_eq!(lost[1].reason.as_deref(), Some("NodeStatusNeverUpdated"));
    }

    #[test]
    fn a_node_that_never_reported_has_longer() {
        let new = node(None, 0);
        let health = observe(None, &new, None, at(20));
        assert!(lost_conditions(&new, &health, TIMES, at(60)).is_empty());
        assert_eq!(lost_conditions(&new, &health, TIMES, at(61)).len(), 4);
    }

    #[test]
    fn taints_follow_conditions() {
        let mut sick = node(Some("False"), 0);
        assert_eq!(
            keys(&sick, true),
            ["node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"]
        );
        assert_eq!(keys(&sick, false), ["node.kubernetes.io/not-ready:NoSchedule"]);
        sick.spec =
            Some(NodeSpec { taints: taints(&sick, true, at(0)), unschedulable: Some(true), ..NodeSpec::default() });
        assert_eq!(keys(&sick, true).last().map(String::as_str), Some("node.kubernetes.io/unschedulable:NoSchedule"));
        // Back again: only what others put there stays.
        let mut well = node(Some("True"), 0);
        let mut all = sick.spec.and_then(|spec| spec.taints).expect("taints");
        all.push(Taint { key: "mine".into(), effect: NO_EXECUTE.into(), ..Taint::default() });
        well.spec = Some(NodeSpec { taints: Some(all), ..NodeSpec::default() });
        assert_eq!(keys(&well, true), ["mine:NoExecute"]);
    }

    #[test]
    fn zones() {
        assert_eq!(zone_state(0, 1, 0.55), ZoneState::Full);
        assert_eq!(zone_state(1, 2, 0.55), ZoneState::Normal);
        assert_eq!(zone_state(2, 3, 0.55), ZoneState::Partial);
        assert_eq!(zone_state(5, 0, 0.55), ZoneState::Normal);
    }
}
