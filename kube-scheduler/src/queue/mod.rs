//! The scheduling queue: pods ready to be tried, pods backing off, and pods that wait for a change of the cluster.
//! Pure: time is an argument, no locks, no tasks. upstream: pkg/scheduler/backend/queue

mod in_flight;
mod nominator;
mod pod;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::framework::{ActionType, Change, ClusterEvent, EventResource, Profile, SortKey, pod_events};
use crate::model::{Pod, PodKey};

use in_flight::InFlight;
pub use nominator::{Nominate, Nominator};
pub use pod::QueuedPod;

/// Times of the queue.
#[derive(Debug, Clone, Copy)]
pub struct QueueTimes {
    /// First backoff.
    pub initial_backoff: Duration,
    /// Longest backoff.
    pub max_backoff: Duration,
    /// After so long a waiting pod is tried again whatever happened.
    pub max_unschedulable: Duration,
}

impl Default for QueueTimes {
    fn default() -> Self {
        Self {
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(10),
            max_unschedulable: Duration::from_secs(300),
        }
    }
}

/// Numbers of pods, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueSize {
    /// Ready.
    pub active: usize,
    /// Backing off.
    pub backoff: usize,
    /// Waiting for a change, after an attempt.
    pub unschedulable: usize,
    /// Not let into the active queue by a plugin.
    pub gated: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct BackoffKey {
    ends: Timestamp,
    order: SortKey,
    seq: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Active(SortKey, u64),
    /// Rejected by plugins: may be popped early when nothing else is to do.
    Backoff(BackoffKey),
    /// After an error: never popped early.
    ErrorBackoff(BackoffKey),
    Waiting,
}

struct Entry {
    pod: QueuedPod,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    Skip,
    AfterBackoff,
    Immediately,
}

/// Where a pod went, for the metric queue_incoming_pods_total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// active, backoff, unschedulable or gated.
    pub queue: &'static str,
    /// The event's label.
    pub event: String,
}

/// The queue.
pub struct SchedulingQueue {
    profiles: Arc<Vec<Profile>>,
    times: QueueTimes,
    pods: HashMap<PodKey, Entry>,
    active: BTreeMap<(SortKey, u64), PodKey>,
    backoff: BTreeMap<BackoffKey, PodKey>,
    error_backoff: BTreeMap<BackoffKey, PodKey>,
    in_flight: InFlight,
    nominator: Nominator,
    seq: u64,
    incoming: Vec<Incoming>,
}

impl SchedulingQueue {
    /// An empty queue for the pods of these profiles.
    pub fn new(profiles: Arc<Vec<Profile>>, times: QueueTimes) -> Self {
        Self {
            profiles,
            times,
            pods: HashMap::new(),
            active: BTreeMap::new(),
            backoff: BTreeMap::new(),
            error_backoff: BTreeMap::new(),
            in_flight: InFlight::default(),
            nominator: Nominator::default(),
            seq: 0,
            incoming: Vec::new(),
        }
    }

    /// Pods nominated for nodes.
    pub fn nominator(&mut self) -> &mut Nominator {
        &mut self.nominator
    }

    /// Numbers of pods.
    pub fn size(&self) -> QueueSize {
        let waiting = self.pods.len() - self.active.len() - self.backoff.len() - self.error_backoff.len();
        let gated = if waiting == 0 {
            0
        } else {
            self.pods.values().filter(|e| e.place == Place::Waiting && e.pod.gate.is_some()).count()
        };
        QueueSize {
            active: self.active.len(),
            backoff: self.backoff.len() + self.error_backoff.len(),
            unschedulable: waiting - gated,
            gated,
        }
    }

    /// Events kept for pods being tried.
    pub fn in_flight_events(&self) -> usize {
        self.in_flight.events()
    }

    /// Where pods went since the last call.
    pub fn take_incoming(&mut self) -> Vec<Incoming> {
        std::mem::take(&mut self.incoming)
    }

    /// A pod appeared.
    pub fn add(&mut self, pod: &Arc<Pod>, now: Timestamp) {
        if self.in_flight.contains(&pod.uid) {
            return;
        }
        self.take(&pod.key);
        let event = ClusterEvent::new(EventResource::UnscheduledPod, ActionType::ADD);
        self.nominator.add(pod, Nominate::AsStated);
        self.activate(QueuedPod::new(Arc::clone(pod), now), &event.to_string(), now);
    }

    /// An unassigned pod changed.
    pub fn update(&mut self, old: &Arc<Pod>, new: &Arc<Pod>, now: Timestamp) {
        let events = pod_events(new, old);
        let change = Change::Pod { old: Some(Arc::clone(old)), new: Some(Arc::clone(new)) };
        if self.in_flight.contains(&new.uid) {
            for event in events {
                self.in_flight.record(event, change.clone());
            }
            return;
        }
        let Some(Entry { mut pod, place }) = self.take(&new.key) else {
            self.add(new, now);
            return;
        };
        pod.pod = Arc::clone(new);
        self.nominator.update(old, new);
        let helpful = match place {
            Place::Waiting => events.iter().map(|e| (e, self.hint(&pod, e, &change))).find(|(_, h)| *h != Hint::Skip),
            _ => None,
        };
        match helpful {
            Some((event, hint)) => self.requeue(pod, hint, &event.to_string(), now),
            None => self.put(pod, place),
        }
    }

    /// A waiting pod is gone, or bound by somebody.
    pub fn delete(&mut self, pod: &Pod) {
        self.nominator.delete(&pod.uid);
        self.take(&pod.key);
    }

    /// The next pod to try, if any; it is in flight until [`SchedulingQueue::done`] or a requeue.
    pub fn pop(&mut self, now: Timestamp) -> Option<QueuedPod> {
        self.flush_backoff(now);
        let ready = self.active.values().next();
        // Nothing is ready: a pod that backs off after a rejection (not after an error) may go early.
        let key = ready.or_else(|| self.backoff.values().next())?.clone();
        let mut queued = self.take(&key)?.pod;
        queued.attempts += 1;
        queued.first_attempt.get_or_insert(now);
        self.in_flight.start(&queued.pod.uid);
        Some(queued)
    }

    /// When [`SchedulingQueue::pop`] may have something new by the passing of time alone.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.error_backoff.keys().next().map(|key| key.ends)
    }

    /// The attempt is over and the pod will not come back by itself.
    pub fn done(&mut self, uid: &str) {
        self.in_flight.finish(uid);
    }

    /// The attempt failed: the pod waits, unless something that may help happened meanwhile.
    pub fn requeue_failed(&mut self, mut queued: QueuedPod, now: Timestamp) {
        let uid = Arc::clone(&queued.pod.uid);
        if self.pods.contains_key(&queued.pod.key) {
            self.in_flight.finish(&uid);
            return;
        }
        queued.timestamp = now;
        let mut hint = Hint::Skip;
        if queued.rejectors.is_empty() && queued.pending.is_empty() {
            queued.consecutive_errors += 1;
            hint = Hint::AfterBackoff;
        } else {
            queued.unschedulable_count += 1;
            queued.consecutive_errors = 0;
        }
        for (event, change) in self.in_flight.events_for(&uid) {
            match self.hint(&queued, event, change) {
                Hint::Skip => {}
                Hint::AfterBackoff => hint = Hint::AfterBackoff,
                Hint::Immediately => {
                    hint = Hint::Immediately;
                    break;
                }
            }
        }
        self.in_flight.finish(&uid);
        self.requeue(queued, hint, "ScheduleAttemptFailure", now);
    }

    /// The cluster changed: pods that it may help are tried again. `only` narrows the pods looked at.
    pub fn cluster_changed(
        &mut self,
        event: ClusterEvent,
        change: &Change,
        now: Timestamp,
        only: impl Fn(&Pod) -> bool,
    ) {
        if !self.is_of_interest(&event) {
            return;
        }
        let worth: Vec<_> = self
            .pods
            .iter()
            .filter(|(_, e)| e.place == Place::Waiting && only(&e.pod.pod) && self.gate_may_open(&e.pod, &event))
            .map(|(key, entry)| (key.clone(), self.hint(&entry.pod, &event, change)))
            .filter(|(_, hint)| *hint != Hint::Skip)
            .collect();
        for (key, hint) in worth {
            if let Some(entry) = self.take(&key) {
                self.requeue(entry.pod, hint, &event.to_string(), now);
            }
        }
        self.in_flight.record(event, change.clone());
    }

    /// Tries these pods as soon as possible, whatever they wait for.
    pub fn force(&mut self, keys: &[PodKey], now: Timestamp) {
        for key in keys {
            match self.take(key) {
                Some(entry) => self.activate(entry.pod, "ForceActivate", now),
                None => self.in_flight.record(ClusterEvent::FORCE_ACTIVATE, Change::Other),
            }
        }
    }

    /// Moves what has waited too long; to be called every half minute or so.
    pub fn flush_unschedulable(&mut self, now: Timestamp) {
        let event = ClusterEvent::UNSCHEDULABLE_TIMEOUT;
        let limit = self.times.max_unschedulable;
        let old = |e: &&Entry| e.place == Place::Waiting && component_base::clock::since(now, e.pod.timestamp) > limit;
        let keys: BTreeSet<PodKey> = self.pods.values().filter(old).map(|e| e.pod.pod.key.clone()).collect();
        for key in keys {
            if let Some(entry) = self.take(&key) {
                self.requeue(entry.pod, Hint::AfterBackoff, &event.to_string(), now);
            }
        }
    }

    fn flush_backoff(&mut self, now: Timestamp) {
        loop {
            let rejected = self.backoff.first_key_value();
            let over = |entry: &(&BackoffKey, &PodKey)| entry.0.ends <= now;
            let next = rejected.filter(over).or_else(|| self.error_backoff.first_key_value().filter(over));
            let Some(key) = next.map(|(_, key)| key.clone()) else { return };
            let Some(entry) = self.take(&key) else { return };
            self.enter_active(entry.pod, "BackoffComplete");
        }
    }

    fn profile(&self, pod: &Pod) -> Option<&Profile> {
        self.profiles.iter().find(|p| p.name == *pod.scheduler_name)
    }

    fn is_of_interest(&self, event: &ClusterEvent) -> bool {
        let mut registered = self.profiles.iter().flat_map(|p| &p.interests).flat_map(|i| &i.events);
        event.is_wildcard() || registered.any(|known| known.covers(event))
    }

    /// Gated pods are looked at only when the gating plugin registered the event.
    fn gate_may_open(&self, queued: &QueuedPod, event: &ClusterEvent) -> bool {
        let Some(gate) = queued.gate else { return true };
        let interests = self.profile(&queued.pod).map_or(&[][..], |p| &p.interests);
        let mut registered = interests.iter().filter(|i| i.plugin.name() == gate).flat_map(|i| &i.events);
        event.is_wildcard() || registered.any(|known| known.covers(event))
    }

    fn hint(&self, queued: &QueuedPod, event: &ClusterEvent, change: &Change) -> Hint {
        if event.is_wildcard() || (queued.rejectors.is_empty() && queued.pending.is_empty()) {
            return Hint::AfterBackoff;
        }
        let Some(profile) = self.profile(&queued.pod) else { return Hint::AfterBackoff };
        let mut hint = Hint::Skip;
        for interest in &profile.interests {
            let name = interest.plugin.name();
            let pending = queued.pending.contains(&name);
            let concerned = pending || queued.rejectors.contains(&name);
            if !concerned || !interest.events.iter().any(|e| e.covers(event)) {
                continue;
            }
            if interest.plugin.may_help(&queued.pod, event, change) {
                if pending {
                    return Hint::Immediately;
                }
                hint = Hint::AfterBackoff;
            }
        }
        hint
    }

    fn requeue(&mut self, queued: QueuedPod, hint: Hint, event: &str, now: Timestamp) {
        let ends = aligned(queued.backoff_ends(&self.times));
        match hint {
            Hint::Skip => {
                self.note("unschedulable", event);
                self.put(queued, Place::Waiting);
            }
            Hint::AfterBackoff if ends > now => self.back_off(queued, ends, event),
            Hint::AfterBackoff | Hint::Immediately => self.activate(queued, event, now),
        }
    }

    fn back_off(&mut self, mut queued: QueuedPod, ends: Timestamp, event: &str) {
        if !self.passes_gates(&mut queued, event) {
            return;
        }
        let key = BackoffKey { ends, order: self.order(&queued), seq: self.next_seq() };
        self.note("backoff", event);
        let place = if queued.consecutive_errors > 0 { Place::ErrorBackoff(key) } else { Place::Backoff(key) };
        self.put(queued, place);
    }

    fn activate(&mut self, mut queued: QueuedPod, event: &str, now: Timestamp) {
        if self.passes_gates(&mut queued, event) {
            queued.first_attempt.get_or_insert(now);
            self.enter_active(queued, event);
        }
    }

    fn enter_active(&mut self, queued: QueuedPod, event: &str) {
        let order = self.order(&queued);
        let seq = self.next_seq();
        self.note("active", event);
        self.put(queued, Place::Active(order, seq));
    }

    /// Runs PreEnqueue; a gated pod is put among the waiting ones.
    fn passes_gates(&mut self, queued: &mut QueuedPod, event: &str) -> bool {
        let verdict = self.profile(&queued.pod).map_or(Ok(()), |profile| profile.run_pre_enqueue(&queued.pod));
        let Err((plugin, _)) = verdict else {
            queued.gate = None;
            return true;
        };
        queued.gate = Some(plugin);
        queued.rejectors.insert(plugin);
        self.note("gated", event);
        self.put(queued.clone(), Place::Waiting);
        false
    }

    fn order(&self, queued: &QueuedPod) -> SortKey {
        let sort = self.profile(&queued.pod).and_then(|p| p.queue_sort.as_ref());
        sort.map_or(SortKey { rank: 0, timestamp: queued.timestamp }, |sort| sort.key(queued))
    }

    fn put(&mut self, queued: QueuedPod, place: Place) {
        let key = queued.pod.key.clone();
        match place {
            Place::Active(order, seq) => drop(self.active.insert((order, seq), key.clone())),
            Place::Backoff(at) => drop(self.backoff.insert(at, key.clone())),
            Place::ErrorBackoff(at) => drop(self.error_backoff.insert(at, key.clone())),
            Place::Waiting => {}
        }
        self.pods.insert(key, Entry { pod: queued, place });
    }

    fn take(&mut self, key: &PodKey) -> Option<Entry> {
        let entry = self.pods.remove(key)?;
        match entry.place {
            Place::Active(order, seq) => drop(self.active.remove(&(order, seq))),
            Place::Backoff(at) => drop(self.backoff.remove(&at)),
            Place::ErrorBackoff(at) => drop(self.error_backoff.remove(&at)),
            Place::Waiting => {}
        }
        Some(entry)
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn note(&mut self, queue: &'static str, event: &str) {
        self.incoming.push(Incoming { queue, event: event.to_owned() });
    }
}

/// Rounds up to whole seconds, so that pods that come free together are ordered by priority.
fn aligned(at: Timestamp) -> Timestamp {
    let seconds = at.as_second() + i64::from(at.subsec_nanosecond() > 0);
    Timestamp::from_second(seconds).unwrap_or(at)
}
