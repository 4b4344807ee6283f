//! The work queue of controllers: three sets (queued, dirty, processing), delays and rate limits.
//!
//! A key that is added while it is being processed is processed again afterwards, and never by two workers at once.
//! Upstream: client-go/util/workqueue.

mod rate_limit;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use rate_limit::{Bucket, ItemBackoff, RateLimit};

use crate::metrics::QueueMetrics;

/// What a queue's key must be able to do.
pub trait Key: Clone + Eq + Hash + Ord + Debug + Send + Sync + 'static {}
impl<T: Clone + Eq + Hash + Ord + Debug + Send + Sync + 'static> Key for T {}

/// A delaying, rate-limited work queue. Clones share the queue.
pub struct Queue<K: Key> {
    shared: Arc<Shared<K>>,
}

impl<K: Key> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<K: Key> {
    state: Mutex<State<K>>,
    /// Wakes one worker when a key is queued or the earliest delay changes; all of them on shutdown.
    wake: Notify,
    metrics: QueueMetrics,
}

struct State<K: Key> {
    queued: VecDeque<K>,
    dirty: HashMap<K, Instant>,
    processing: HashMap<K, Instant>,
    delayed: BTreeMap<(Instant, K), ()>,
    delayed_until: HashMap<K, Instant>,
    limit: RateLimit<K>,
    shutting_down: bool,
}

impl<K: Key> Queue<K> {
    /// A queue with upstream's default limits: 5 ms to 1000 s per key, 10 keys per second overall with a burst of 100.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::with_limit(name, RateLimit::default())
    }

    /// A queue with the given limits.
    #[must_use]
    pub fn with_limit(name: &str, limit: RateLimit<K>) -> Self {
        let state = State {
            queued: VecDeque::new(),
            dirty: HashMap::new(),
            processing: HashMap::new(),
            delayed: BTreeMap::new(),
            delayed_until: HashMap::new(),
            limit,
            shutting_down: false,
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), wake: Notify::new(), metrics: QueueMetrics::new(name) });
        let observed = Arc::downgrade(&shared);
        crate::metrics::source(move |_| match observed.upgrade() {
            Some(shared) => {
                shared.state.lock().observe(Instant::now(), &shared.metrics);
                true
            }
            None => false,
        });
        Self { shared }
    }

    /// Asks for the key to be processed. Adding a key that waits already changes nothing.
    pub fn add(&self, key: K) {
        self.shared.state.lock().add(key, &self.shared.metrics);
        self.shared.wake.notify_one();
    }

    /// Asks for the key to be processed after a delay; the earliest of several requests wins.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        self.shared.state.lock().delay(key, Instant::now() + delay);
        self.shared.metrics.retries.inc();
        self.shared.wake.notify_one();
    }

    /// Asks for the key to be processed when the rate limits permit.
    pub fn add_rate_limited(&self, key: K) {
        let delay = self.shared.state.lock().limit.when(&key, Instant::now());
        self.add_after(key, delay);
    }

    /// Ends the key's backoff. The key may still wait in the queue.
    pub fn forget(&self, key: &K) {
        self.shared.state.lock().limit.forget(key);
    }

    /// How often the key was added with a rate limit since it was last forgotten.
    #[must_use]
    pub fn num_requeues(&self, key: &K) -> u32 {
        self.shared.state.lock().limit.failures(key)
    }

    /// The next key, or None once the queue is shut down and empty. Every key must be given back with [`Queue::done`].
    pub async fn get(&self) -> Option<K> {
        loop {
            let notified = self.shared.wake.notified();
            tokio::pin!(notified);
            // Registered before looking, so that an add between the look and the wait is not lost.
            notified.as_mut().enable();
            let next_due = {
                let mut state = self.shared.state.lock();
                state.release_due(Instant::now(), &self.shared.metrics);
                if let Some(key) = state.take(&self.shared.metrics) {
                    if !state.queued.is_empty() {
                        self.shared.wake.notify_one();
                    }
                    return Some(key);
                }
                if state.shutting_down {
                    return None;
                }
                state.delayed.keys().next().map(|(due, _)| *due)
            };
            match next_due {
                Some(due) => {
                    tokio::select! {
                        () = notified => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
                None => notified.await,
            }
        }
    }

    /// Ends the processing of a key; if it was added meanwhile it is queued again.
    pub fn done(&self, key: &K) {
        let mut state = self.shared.state.lock();
        if let Some(started) = state.processing.remove(key) {
            self.shared.metrics.work_duration.observe(started.elapsed().as_secs_f64());
        }
        if state.dirty.contains_key(key) {
            state.queued.push_back(key.clone());
            drop(state);
            self.shared.wake.notify_one();
        }
    }

    /// Refuses further keys and wakes all workers; keys already queued are still handed out, delayed ones are not.
    pub fn shut_down(&self) {
        let mut state = self.shared.state.lock();
        state.shutting_down = true;
        state.delayed.clear();
        state.delayed_until.clear();
        drop(state);
        self.shared.wake.notify_waiters();
        self.shared.wake.notify_one();
    }

    /// Number of keys ready to be processed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.state.lock().queued.len()
    }

    /// Whether no key is ready.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys that are queued, delayed or being processed: zero means that nothing is left to do.
    #[must_use]
    pub fn pending(&self) -> usize {
        let state = self.shared.state.lock();
        let all: HashSet<&K> =
            state.dirty.keys().chain(state.processing.keys()).chain(state.delayed_until.keys()).collect();
        all.len()
    }
}

impl<K: Key> State<K> {
    fn add(&mut self, key: K, metrics: &QueueMetrics) {
        if self.shutting_down || self.dirty.contains_key(&key) {
            return;
        }
        metrics.adds.inc();
        self.dirty.insert(key.clone(), Instant::now());
        if !self.processing.contains_key(&key) {
            self.queued.push_back(key);
            metrics.depth.set(self.queued.len() as f64);
        }
    }

    fn delay(&mut self, key: K, due: Instant) {
        if self.shutting_down {
            return;
        }
        if let Some(earlier) = self.delayed_until.get(&key).copied() {
            if earlier <= due {
                return;
            }
            self.delayed.remove(&(earlier, key.clone()));
        }
        self.delayed_until.insert(key.clone(), due);
        self.delayed.insert((due, key), ());
    }

    fn release_due(&mut self, now: Instant, metrics: &QueueMetrics) {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let ((_, key), ()) = entry.remove_entry();
            self.delayed_until.remove(&key);
            self.add(key, metrics);
        }
    }

    /// How long those take that are processed.
    fn observe(&self, now: Instant, metrics: &QueueMetrics) {
        let running = self.processing.values().map(|started| (now - *started).as_secs_f64());
        metrics.unfinished_work.set(running.clone().sum());
        metrics.longest_running.set(running.fold(0.0, f64::max));
    }

    fn take(&mut self, metrics: &QueueMetrics) -> Option<K> {
        let key = self.queued.pop_front()?;
        metrics.depth.set(self.queued.len() as f64);
        if let Some(added) = self.dirty.remove(&key) {
            metrics.queue_duration.observe(added.elapsed().as_secs_f64());
        }
        self.processing.insert(key.clone(), Instant::now());
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once_and_is_not_processed_twice_at_a_time() {
        let queue = Queue::new("test");
        queue.add("a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.get().await, Some("a"));
        queue.add("a");
        assert_eq!(queue.get().await, Some("b"));
        // "a" is dirty but still being processed.
        assert!(tokio::time::timeout(secs(1), queue.get()).await.is_err());
        queue.done(&"a");
        assert_eq!(queue.get().await, Some("a"));
        queue.done(&"a");
        queue.done(&"b");
        assert_eq!(queue.pending(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_delay_wins() {
        let queue = Queue::new("test");
        let start = Instant::now();
        queue.add_after("late", secs(60));
        queue.add_after("a", secs(30));
        queue.add_after("a", secs(10));
        queue.add_after("a", secs(20));
        assert_eq!(queue.get().await, Some("a"));
        assert_eq!(start.elapsed(), secs(10));
        queue.done(&"a");
        assert_eq!(queue.get().await, Some("late"));
        assert_eq!(start.elapsed(), secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn backoff_doubles_until_forgotten() {
        let queue = Queue::new("test");
        let mut waits = Vec::new();
        for _ in 0..4 {
            let start = Instant::now();
            queue.add_rate_limited("a");
            assert_eq!(queue.get().await, Some("a"));
            queue.done(&"a");
            waits.push(start.elapsed().as_millis());
        }
        assert_eq!(waits, [5, 10, 20, 40]);
        assert_eq!(queue.num_requeues(&"a"), 4);
        queue.forget(&"a");
        assert_eq!(queue.num_requeues(&"a"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_not_done_is_measured() {
        let queue = Queue::new("test-unfinished");
        let unfinished = || {
            let shared = &queue.shared;
            shared.state.lock().observe(Instant::now(), &shared.metrics);
            (shared.metrics.unfinished_work.get(), shared.metrics.longest_running.get())
        };
        queue.add("a");
        queue.add("b");
        assert_eq!(unfinished(), (0.0, 0.0));
        queue.get().await;
        tokio::time::advance(secs(2)).await;
        queue.get().await;
        tokio::time::advance(secs(1)).await;
        assert_eq!(unfinished(), (4.0, 3.0));
        queue.done(&"a");
        assert_eq!(unfinished(), (1.0, 1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_key_wakes_a_waiting_worker() {
        let queue: Queue<&str> = Queue::new("test");
        let other = queue.clone();
        let worker = tokio::spawn(async move { other.get().await });
        tokio::task::yield_now().await;
        queue.add_after("a", secs(5));
        assert_eq!(worker.await.expect("worker ends"), Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_hands_out_what_is_queued_and_then_none() {
        let queue = Queue::new("test");
        queue.add("a");
        queue.add_after("b", secs(1));
        queue.shut_down();
        queue.add("c");
        assert_eq!(queue.get().await, Some("a"));
        assert_eq!(queue.get().await, None);
    }
}
