//! Which pod goes first. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::pod::resources::pod_amount;
use crate::pod::view::PodView;

/// Pods of at least this priority are never evicted.
const CRITICAL_PRIORITY: i32 = 2_000_000_000;

/// What is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Memory.
    Memory,
    /// Disk.
    Disk,
}

impl Resource {
    /// The resource's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "ephemeral-storage",
        }
    }
}

/// A pod and what it uses.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The pod.
    pub pod: Arc<Pod>,
    /// What is short.
    pub resource: Resource,
    /// How much of it the pod uses.
    pub used_bytes: u64,
}

/// The pod to evict: one that uses more than it asked for before one that does not, then by priority, then by excess.
pub fn first(candidates: Vec<Candidate>) -> Option<Candidate> {
    candidates.into_iter().filter(|candidate| !is_critical(&candidate.pod)).max_by_key(|candidate| {
        let requested = pod_amount(&candidate.pod, false, candidate.resource.name()).0 / 1000;
        let used = i64::try_from(candidate.used_bytes).unwrap_or(i64::MAX);
        let priority = candidate.pod.spec().priority.unwrap_or(0);
        (used > requested, std::cmp::Reverse(priority), used - requested)
    })
}

/// True for pods that are never evicted.
pub fn is_critical(pod: &Pod) -> bool {
    pod.is_static() || pod.is_mirror() || pod.spec().priority.is_some_and(|priority| priority >= CRITICAL_PRIORITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, request: &str, priority: i32, used_bytes: u64) -> Candidate {
        let json = format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"priority":{priority},"containers":[{{"name":"c","resources":{{"requests":{{"memory":"{request}"}}}}}}]}}}}"#
        );
        let pod = Arc::new(serde_json::from_str(&json).expect("valid"));
        Candidate { pod, resource: Resource::Memory, used_bytes }
    }

    fn check(candidates: Vec<Candidate>, want: Option<&str>) {
        let got = first(candidates).map(|candidate| candidate.pod.name().to_owned());
        assert_eq!(got.as_deref(), want);
    }

    #[test]
    fn excess_then_priority_then_amount() {
        let modest = || candidate("modest", "1Gi", 0, 900 << 20);
        check(vec![modest(), candidate("greedy", "0", 100, 10)], Some("greedy"));
        check(vec![candidate("low", "0", 1, 10), candidate("high", "0", 2, 1000)], Some("low"));
        check(vec![candidate("small", "0", 0, 10), candidate("large", "0", 0, 20)], Some("large"));
        check(vec![candidate("critical", "0", 2_000_000_000, 10)], None);
        check(vec![modest()], Some("modest"));
    }
}
