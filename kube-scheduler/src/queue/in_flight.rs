//! Events that arrive while a pod is being tried, so that a failure does not miss the change that would have helped.
//! An event is kept until every attempt that was under way when it came is over. upstream: backend/queue/active_queue.go

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::framework::{Change, ClusterEvent};

/// Beyond so many events all of them become one wildcard event: pods in flight are then simply tried again.
const MAX_EVENTS: usize = 10_000;

#[derive(Default)]
pub(super) struct InFlight {
    /// Sequence number at which each attempt started.
    pods: HashMap<Arc<str>, u64>,
    events: VecDeque<(u64, ClusterEvent, Change)>,
    next: u64,
}

impl InFlight {
    pub(super) fn contains(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    pub(super) fn events(&self) -> usize {
        self.events.len()
    }

    pub(super) fn start(&mut self, uid: &Arc<str>) {
        self.pods.insert(Arc::clone(uid), self.next);
    }

    pub(super) fn record(&mut self, event: ClusterEvent, change: Change) {
        if self.pods.is_empty() {
            return;
        }
        if self.events.len() >= MAX_EVENTS {
            self.events.clear();
            self.events.push_back((self.next, ClusterEvent::FORCE_ACTIVATE, Change::Other));
            self.next += 1;
        }
        self.events.push_back((self.next, event, change));
        self.next += 1;
    }

    pub(super) fn events_for(&self, uid: &str) -> impl Iterator<Item = (&ClusterEvent, &Change)> {
        let since = self.pods.get(uid).copied().unwrap_or(u64::MAX);
        self.events.iter().filter(move |(at, ..)| *at >= since).map(|(_, event, change)| (event, change))
    }

    pub(super) fn finish(&mut self, uid: &str) {
        if self.pods.remove(uid).is_none() {
            return;
        }
        let oldest = self.pods.values().copied().min().unwrap_or(u64::MAX);
        while self.events.front().is_some_and(|(at, ..)| *at < oldest) {
            self.events.pop_front();
        }
    }
}
