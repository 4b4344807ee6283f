//! A pod in the queue and what the queue remembers about it. upstream: framework/types.go (QueuedPodInfo)

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::Pod;

use super::QueueTimes;

/// A pod that waits to be scheduled.
#[derive(Debug, Clone)]
pub struct QueuedPod {
    /// The pod.
    pub pod: Arc<Pod>,
    /// When it entered the queue last.
    pub timestamp: Timestamp,
    /// Number of attempts, the current one included.
    pub attempts: u32,
    /// When it first became ready to be tried.
    pub first_attempt: Option<Timestamp>,
    /// Attempts that plugins rejected.
    pub unschedulable_count: u32,
    /// Attempts in a row that failed by an error.
    pub consecutive_errors: u32,
    /// Plugins that rejected the last attempt.
    pub rejectors: BTreeSet<&'static str>,
    /// Plugins that wait for something.
    pub pending: BTreeSet<&'static str>,
    /// The plugin that does not let the pod into the active queue.
    pub gate: Option<&'static str>,
}

impl QueuedPod {
    pub(super) fn new(pod: Arc<Pod>, now: Timestamp) -> Self {
        Self {
            pod,
            timestamp: now,
            attempts: 0,
            first_attempt: None,
            unschedulable_count: 0,
            consecutive_errors: 0,
            rejectors: BTreeSet::new(),
            pending: BTreeSet::new(),
            gate: None,
        }
    }

    /// When the pod may be tried again: after the initial backoff, doubled with each failure, at most the longest one.
    pub(super) fn backoff_ends(&self, times: &QueueTimes) -> Timestamp {
        let failures = if self.consecutive_errors > 0 { self.consecutive_errors } else { self.unschedulable_count };
        let backoff = match failures {
            0 => Duration::ZERO,
            n => times.initial_backoff.saturating_mul(1 << (n - 1).min(30)).min(times.max_backoff),
        };
        self.timestamp.checked_add(backoff).unwrap_or(Timestamp::MAX)
    }
}
