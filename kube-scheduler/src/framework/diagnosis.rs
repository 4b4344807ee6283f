//! Why no node was found, and the sentence that users read. upstream: framework/types.go (Diagnosis, FitError)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::{Rejection, verdict::Reasons};

/// The verdicts of one attempt.
#[derive(Debug, Clone, Default)]
pub struct Diagnosis {
    /// Nodes that were looked at and refused, with the refusing plugin.
    pub nodes: Vec<(Arc<str>, &'static str, Rejection)>,
    /// What holds for nodes that were not looked at; `None` when there are none.
    pub absent: Option<Rejection>,
    /// Message of a PreFilter plugin that refused the pod altogether.
    pub pre_filter_message: String,
    /// Message of the PostFilter plugins.
    pub post_filter_message: String,
    /// Plugins that made the pod unschedulable.
    pub unschedulable_plugins: BTreeSet<&'static str>,
    /// Plugins that wait for something.
    pub pending_plugins: BTreeSet<&'static str>,
}

impl Diagnosis {
    /// Notes which plugin refused.
    pub fn blame(&mut self, plugin: &'static str, rejection: &Rejection) {
        match rejection {
            Rejection::Pending(_) => {
                self.pending_plugins.insert(plugin);
            }
            Rejection::Unschedulable(_) | Rejection::Unresolvable(_) => {
                self.unschedulable_plugins.insert(plugin);
            }
            Rejection::Error(_) => {}
        }
    }

    /// Notes a node's verdict.
    pub fn refuse(&mut self, node: Arc<str>, plugin: &'static str, rejection: Rejection) {
        self.blame(plugin, &rejection);
        self.nodes.push((node, plugin, rejection));
    }

    /// The verdict on a node: its own, or the one for nodes not looked at.
    pub fn verdict(&self, node: &str) -> Option<&Rejection> {
        self.nodes.iter().find(|(name, ..)| **name == *node).map(|(.., r)| r).or(self.absent.as_ref())
    }
}

/// No node fits: prints as `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). preemption: …`.
#[derive(Debug, Clone)]
pub struct FitError {
    /// Number of nodes in the cluster.
    pub all_nodes: usize,
    /// The verdicts.
    pub diagnosis: Diagnosis,
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0/{} nodes are available:", self.all_nodes)?;
        let diagnosis = &self.diagnosis;
        if diagnosis.pre_filter_message.is_empty() {
            let reasons = self.histogram();
            if !reasons.is_empty() {
                write!(f, " {}.", reasons.join(", "))?;
            }
        } else {
            write!(f, " {}.", diagnosis.pre_filter_message)?;
        }
        if !diagnosis.post_filter_message.is_empty() {
            write!(f, " {}", diagnosis.post_filter_message)?;
        }
        Ok(())
    }
}

impl FitError {
    /// "count reason" strings, sorted as text as upstream does (so "10 x" comes before "2 y").
    fn histogram(&self) -> Vec<String> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut count = |reasons: Reasons, by: usize| {
            for reason in reasons {
                *counts.entry(reason.into_owned()).or_default() += by;
            }
        };
        for (.., rejection) in &self.diagnosis.nodes {
            count(rejection.reasons(), 1);
        }
        let absent = self.all_nodes.saturating_sub(self.diagnosis.nodes.len());
        if let Some(rejection) = self.diagnosis.absent.as_ref().filter(|_| absent > 0) {
            count(rejection.reasons(), absent);
        }
        let mut lines: Vec<_> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        lines.sort();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_upstream() {
        let mut diagnosis = Diagnosis::default();
        diagnosis.refuse("a".into(), "NodeResourcesFit", Rejection::unschedulable("Insufficient cpu"));
        for node in ["b", "c"] {
            let taint = Rejection::unresolvable("node(s) had untolerated taint(s)");
            diagnosis.refuse(node.into(), "TaintToleration", taint);
        }
        diagnosis.post_filter_message =
            "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming \
                                         pod, 2 Preemption is not helpful for scheduling."
                .into();
        let error = FitError { all_nodes: 3, diagnosis };
        assert_eq!(
            error.to_string(),
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). preemption: 0/3 nodes are \
             available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling."
        );
    }

    #[test]
    fn a_pre_filter_message_hides_node_reasons() {
        let diagnosis = Diagnosis {
            pre_filter_message: "pod has unbound immediate PersistentVolumeClaims".into(),
            absent: Some(Rejection::unresolvable("pod has unbound immediate PersistentVolumeClaims")),
            ..Diagnosis::default()
        };
        let error = FitError { all_nodes: 1, diagnosis };
        assert_eq!(error.to_string(), "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
    }
}
