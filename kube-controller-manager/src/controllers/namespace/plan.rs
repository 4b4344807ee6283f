//! Pure: what a namespace's conditions say about its emptying.
//!
//! Upstream: pkg/controller/namespace/deletion/status_condition_utils.go.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NamespaceCondition, NamespaceStatus};

use crate::api;

/// What one round of emptying found.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Outcome {
    /// Why resources could not be discovered.
    pub(super) discovery_failures: Vec<String>,
    /// Why content could not be deleted.
    pub(super) delete_failures: Vec<String>,
    /// Objects left, by `plural.group`.
    pub(super) remaining: BTreeMap<String, usize>,
    /// Objects left, by finalizer.
    pub(super) finalizers: BTreeMap<String, usize>,
    /// Seconds until another look makes sense; 0 if nothing is left.
    pub(super) estimate: i64,
}

impl Outcome {
    pub(super) fn is_empty(&self) -> bool {
        self.remaining.is_empty() && self.delete_failures.is_empty() && self.discovery_failures.is_empty()
    }
}

struct Verdict {
    kind: &'static str,
    ok: (&'static str, &'static str),
    failure: Option<(&'static str, String)>,
}

fn joined(counts: &BTreeMap<String, usize>, infix: &str, suffix: &str) -> String {
    let mut parts: Vec<String> = counts.iter().map(|(name, count)| format!("{name}{infix}{count}{suffix}")).collect();
    parts.sort();
    parts.join(", ")
}

fn verdicts(outcome: &Outcome) -> [Verdict; 5] {
    let some = |is: bool, reason: &'static str, message: String| is.then_some((reason, message));
    let mut failures = outcome.delete_failures.clone();
    failures.sort();
    [
        Verdict {
            kind: "NamespaceDeletionDiscoveryFailure",
            ok: ("ResourcesDiscovered", "All resources successfully discovered"),
            failure: some(
                !outcome.discovery_failures.is_empty(),
                "DiscoveryFailed",
                format!(
                    "Discovery failed for some groups, {} failing: {}",
                    outcome.discovery_failures.len(),
                    outcome.discovery_failures.join(", ")
                ),
            ),
        },
        Verdict {
            kind: "NamespaceDeletionGroupVersionParsingFailure",
            ok: ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
            failure: None,
        },
        Verdict {
            kind: "NamespaceDeletionContentFailure",
            ok: ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
            failure: some(
                !failures.is_empty(),
                "ContentDeletionFailed",
                format!("Failed to delete all resource types, {} remaining: {}", failures.len(), failures.join(", ")),
            ),
        },
        Verdict {
            kind: "NamespaceContentRemaining",
            ok: ("ContentRemoved", "All content successfully removed"),
            failure: some(
                !outcome.remaining.is_empty(),
                "SomeResourcesRemain",
                format!("Some resources are remaining: {}", joined(&outcome.remaining, " has ", " resource instances")),
            ),
        },
        Verdict {
            kind: "NamespaceFinalizersRemaining",
            ok: ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
            failure: some(
                !outcome.finalizers.is_empty(),
                "SomeFinalizersRemain",
                format!(
                    "Some content in the namespace has finalizers remaining: {}",
                    joined(&outcome.finalizers, " in ", " resource instances")
                ),
            ),
        },
    ]
}

/// Brings the conditions up to date; tells whether any changed.
pub(super) fn update(status: &mut NamespaceStatus, outcome: &Outcome, now: Timestamp) -> bool {
    let conditions = status.conditions.get_or_insert_default();
    let mut changed = false;
    for verdict in verdicts(outcome) {
        let (value, reason, message) = match verdict.failure {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", verdict.ok.0, verdict.ok.1.to_owned()),
        };
        let wanted = NamespaceCondition {
            type_: verdict.kind.to_owned(),
            status: value.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(api::time(now)),
        };
        match conditions.iter_mut().find(|known| known.type_ == wanted.type_) {
            None => conditions.push(wanted),
            Some(known)
                if known.status == wanted.status
                    && known.reason == wanted.reason
                    && known.message == wanted.message =>
            {
                continue;
            }
            Some(known) => {
                let since = if known.status == wanted.status {
                    known.last_transition_time.clone()
                } else {
                    wanted.last_transition_time.clone()
                };
                *known = NamespaceCondition { last_transition_time: since, ..wanted };
            }
        }
        changed = true;
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_tell_what_is_left() {
        let mut status = NamespaceStatus::default();
        let outcome = Outcome {
            remaining: [("pods.".to_owned(), 2), ("things.example.com".to_owned(), 1)].into(),
            finalizers: [("example.com/f".to_owned(), 1)].into(),
            ..Outcome::default()
        };
        let now = Timestamp::from_second(100).expect("in range");
        assert!(update(&mut status, &outcome, now));
        assert!(!update(&mut status, &outcome, now));
        let text: Vec<String> = status
            .conditions
            .iter()
            .flatten()
            .map(|condition| {
                format!("{}={} {}", condition.type_, condition.status, condition.message.clone().unwrap_or_default())
            })
            .collect();
        assert_eq!(
            text[3],
            "NamespaceContentRemaining=True Some resources are remaining: pods. has 2 resource instances, things.example.com has 1 resource instances"
        );
        assert_eq!(
            text[4],
            "NamespaceFinalizersRemaining=True Some content in the namespace has finalizers remaining: example.com/f in 1 resource instances"
        );
        assert!(text[0].starts_with("NamespaceDeletionDiscoveryFailure=False"));
    }
}
