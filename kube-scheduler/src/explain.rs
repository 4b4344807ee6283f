//! Explained scheduling: the last attempts with the verdict of every plugin on every node, and every score. Upstream has
//! nothing like it. Bounded by attempts and by nodes per attempt; served under /debug/scheduling.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

/// Attempts kept.
const MAX_ATTEMPTS: usize = 256;
/// Nodes kept per attempt; the numbers of all nodes are kept besides.
const MAX_NODES: usize = 100;

/// One attempt to schedule a pod.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// When it started.
    pub time: Timestamp,
    /// Namespace and name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
    /// The profile.
    pub profile: String,
    /// How many times the pod was tried, this one included.
    pub attempt: u32,
    /// How long the decision took, in microseconds.
    pub micros: u64,
    /// scheduled, unschedulable or error.
    pub result: &'static str,
    /// The chosen node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The message that the user sees when it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Nodes that fit.
    pub feasible: usize,
    /// Nodes that were looked at.
    pub evaluated: usize,
    /// Per node.
    pub nodes: Vec<NodeVerdict>,
}

/// What was said about a node.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeVerdict {
    /// The node.
    pub node: String,
    /// The plugin that refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected_by: Option<&'static str>,
    /// Why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Evicting pods could help.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub preemptible: bool,
    /// Sum of the weighted scores; absent when only one node fitted and nothing was scored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Weighted score by plugin.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<(&'static str, i64)>,
}

/// The last attempts.
#[derive(Default)]
pub struct Explanations {
    ring: Mutex<VecDeque<Arc<Attempt>>>,
}

impl Explanations {
    /// Keeps an attempt. Of many nodes the best scored ones are kept, then refused ones.
    pub fn record(&self, mut attempt: Attempt) {
        attempt.nodes.sort_by_key(|n| std::cmp::Reverse(n.total));
        attempt.nodes.truncate(MAX_NODES);
        let mut ring = self.ring.lock();
        if ring.len() == MAX_ATTEMPTS {
            ring.pop_front();
        }
        ring.push_back(Arc::new(attempt));
    }

    /// The attempts on a pod (`namespace/name` or UID), or all, newest first.
    pub fn find(&self, pod: Option<&str>) -> Vec<Arc<Attempt>> {
        let ring = self.ring.lock();
        ring.iter().rev().filter(|a| pod.is_none_or(|p| a.pod == p || a.uid == p)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(pod: &str) -> Attempt {
        let verdict = |name: usize| NodeVerdict {
            node: format!("n{name}"),
            rejected_by: None,
            reasons: Vec::new(),
            preemptible: false,
            total: i64::try_from(name).ok(),
            scores: Vec::new(),
        };
        Attempt {
            time: Timestamp::UNIX_EPOCH,
            pod: pod.into(),
            uid: "u".into(),
            profile: String::new(),
            attempt: 1,
            micros: 1,
            result: "scheduled",
            node: None,
            message: String::new(),
            feasible: 500,
            evaluated: 500,
            nodes: (0..500).map(verdict).collect(),
        }
    }

    #[test]
    fn is_bounded_and_searchable() {
        let explanations = Explanations::default();
        for n in 0..300 {
            explanations.record(attempt(&format!("ns/p{n}")));
        }
        assert_eq!(explanations.find(None).len(), MAX_ATTEMPTS);
        let found = explanations.find(Some("ns/p299"));
        assert_eq!((found.len(), found[0].nodes.len(), found[0].nodes[0].total), (1, MAX_NODES, Some(499)));
        assert!(explanations.find(Some("ns/p0")).is_empty());
    }
}
