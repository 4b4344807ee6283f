//! PrioritySort: pods of higher priority are tried first, then those that wait longer.
//! upstream: plugins/queuesort/priority_sort.go

use std::sync::Arc;

use crate::framework::{Extensions, Plugin, QueueSort, SortKey};
use crate::queue::QueuedPod;

pub(super) const NAME: &str = "PrioritySort";

pub(super) struct PrioritySort;

impl Plugin for PrioritySort {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.queue_sort = Some(self);
    }
}

impl QueueSort for PrioritySort {
    fn key(&self, pod: &QueuedPod) -> SortKey {
        SortKey { rank: i64::from(pod.pod.priority), timestamp: pod.timestamp }
    }
}
