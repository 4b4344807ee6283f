//! The one loop that routes: changed pods to their workers, changed containers to their pods, and house-keeping.
//!
//! It decides nothing about a single pod; that is its worker's business.
//!
//! upstream: pkg/kubelet/kubelet.go: syncLoop

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use component_base::Shutdown;
use parking_lot::Mutex;
use tokio::sync::mpsc::Receiver;
use tokio::time::{MissedTickBehavior, interval};

use crate::collect::Collector;
use crate::metrics;
use crate::pod::workers::Workers;
use crate::runtime::relist::Snapshot;
use crate::sources::{Desired, PodSet, SourceName};

const RELIST_INTERVAL: Duration = Duration::from_secs(1);
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(2);
/// Resizes that must wait are tried again after this time even if nothing seems to have been freed.
const RESIZE_RETRY_INTERVAL: Duration = Duration::from_secs(3 * 60);
/// The runtime is unhealthy when the last look is older than this.
const RELIST_AGE_MAX: Duration = Duration::from_secs(3 * 60);

/// When the runtime was last looked at.
#[derive(Debug)]
pub struct RelistHealth(Mutex<Instant>);

impl Default for RelistHealth {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl RelistHealth {
    fn touch(&self) {
        *self.0.lock() = Instant::now();
    }

    /// What is wrong, if anything.
    ///
    /// # Errors
    /// The last look is too long ago, in upstream's words.
    pub fn check(&self) -> Result<(), String> {
        let age = self.0.lock().elapsed();
        if age < RELIST_AGE_MAX {
            return Ok(());
        }
        Err(format!("PLEG is not healthy: pleg was last seen active {}s ago; threshold is 3m0s", age.as_secs()))
    }
}

/// The loop's state.
pub struct SyncLoop {
    workers: Workers,
    desired: Desired,
    health: Arc<RelistHealth>,
    snapshot: Snapshot,
    collector: Collector,
    decided_at: Instant,
}

impl SyncLoop {
    /// `sources` are those that will tell their set.
    pub fn new(workers: Workers, sources: Vec<SourceName>, health: Arc<RelistHealth>, collector: Collector) -> Self {
        Self {
            workers,
            desired: Desired::new(sources),
            health,
            snapshot: Snapshot::default(),
            collector,
            decided_at: Instant::now(),
        }
    }

    /// Routes until `stop`. Pods go on running after that.
    pub async fn run(mut self, mut sets: Receiver<PodSet>, stop: Shutdown) {
        let mut relist = interval(RELIST_INTERVAL);
        relist.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut housekeeping = interval(HOUSEKEEPING_INTERVAL);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                Some(set) = sets.recv() => self.take(set).await,
                _ = relist.tick() => self.look().await,
                _ = housekeeping.tick() => self.keep_house().await,
            }
        }
    }

    async fn take(&mut self, set: PodSet) {
        let source = set.source;
        let changes = self.desired.replace(set);
        if changes.updated.iter().any(|pod| self.workers.is_out_of_place(pod)) {
            self.workers.machinery().node.place.refresh().await;
        }
        for pod in changes.updated {
            tracing::debug!(?source, pod = %crate::pod::view::PodView::display(pod.as_ref()), "pod changed");
            self.workers.update(pod);
        }
        for pod in changes.refreshed {
            self.workers.refresh(pod);
        }
        for uid in changes.removed {
            tracing::debug!(?source, uid, "pod removed");
            self.workers.remove(&uid);
        }
        // Whether a resize fits shows only when all pods are known.
        if self.desired.complete() {
            self.workers.decide_resizes();
            self.decided_at = Instant::now();
        }
    }

    async fn look(&mut self) {
        let timer = metrics::RELIST_SECONDS.with_label_values::<&str>(&[]).start_timer();
        let snapshot = Snapshot::take(self.workers.machinery().runtime.as_ref()).await;
        drop(timer);
        match snapshot {
            Ok(snapshot) => {
                self.health.touch();
                snapshot.count();
                for uid in snapshot.changed_since(&self.snapshot) {
                    self.workers.wake(&uid);
                }
                self.snapshot = snapshot;
            }
            Err(error) => tracing::debug!(%error, "containers were not listed"),
        }
    }

    async fn keep_house(&mut self) {
        // Until every source has spoken, a pod that nobody named may still be named.
        if !self.desired.complete() {
            return;
        }
        let gone: Vec<String> = self.workers.uids().into_iter().filter(|uid| !self.desired.contains(uid)).collect();
        for uid in gone {
            self.workers.remove(&uid);
        }
        self.workers.end_orphans(&self.snapshot);
        let look_again = self.workers.machinery().allocations.take_look_again();
        if look_again || self.decided_at.elapsed() >= RESIZE_RETRY_INTERVAL {
            self.workers.decide_resizes();
            self.decided_at = Instant::now();
        }
        let known: BTreeSet<String> = self.workers.uids().into_iter().collect();
        self.workers.machinery().allocations.keep_only(&known);
        self.collector.collect(&known, &self.snapshot).await;
    }
}
