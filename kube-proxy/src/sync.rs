//! The sync loop of one family: waits for changes, but not too often, plans, applies, and tells health and metrics.
//! upstream: pkg/proxy/runner, syncProxyRules

use std::sync::Arc;
use std::time::Duration;

use component_base::{Chain, Shutdown, clock};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, error, info};

use crate::backend::{Backend, RuleCounts, Scope};
use crate::conntrack::{self, UdpTargets};
use crate::health::{ProxyHealth, ServiceHealth};
use crate::metrics;
use crate::model::Family;
use crate::plan::{NodeView, Plan, local_ready, plan};
use crate::tracker::{Changes, Tracker};

/// Without any reason all rules are written so often.
const FULL_SYNC_PERIOD: Duration = Duration::from_secs(3600);

/// What watch handlers and the loop of a family share.
pub struct Shared {
    /// Services and endpoints.
    pub tracker: Mutex<Tracker>,
    /// This node; a change of it asks for a full sync.
    node: Mutex<NodeView>,
    node_changed: Mutex<bool>,
    health: Arc<ProxyHealth>,
    wake: Notify,
}

impl Shared {
    /// Nothing known yet.
    pub fn new(tracker: Tracker, node: NodeView, health: Arc<ProxyHealth>) -> Self {
        Self {
            tracker: Mutex::new(tracker),
            node: Mutex::new(node),
            node_changed: Mutex::new(false),
            health,
            wake: Notify::new(),
        }
    }

    fn family(&self) -> Family {
        self.tracker.lock().family()
    }

    /// Asks for a sync.
    pub fn queue(&self) {
        let family = self.family();
        self.health.queued(family, clock::now());
        metrics::get().last_queued.with_label_values(&[family.as_str()]).set(metrics::now());
        self.wake.notify_one();
    }

    /// The node is in another zone now.
    pub fn set_zone(&self, zone: String) {
        let mut node = self.node.lock();
        if node.zone == zone {
            return;
        }
        node.zone = zone;
        drop(node);
        *self.node_changed.lock() = true;
        self.queue();
    }
}

/// Intervals of the loop.
#[derive(Debug, Clone, Copy)]
pub struct Periods {
    /// Of looking whether the rules are still there, and of retries.
    pub sync: Duration,
    /// Least time between two syncs.
    pub least: Duration,
}

/// The loop.
pub struct SyncLoop {
    /// What to carry out.
    pub shared: Arc<Shared>,
    /// Where.
    pub backend: Box<dyn Backend>,
    /// Servers of health check node ports; only the loop of the primary family has them.
    pub services: Option<ServiceHealth>,
    /// How often.
    pub periods: Periods,
}

/// What outlives a round.
struct Progress {
    /// Changes that are not in the rules yet.
    pending: Changes,
    needs_full: bool,
    last_full: Option<Instant>,
}

impl SyncLoop {
    /// Runs until shutdown.
    pub async fn run(mut self, stop: Shutdown) {
        let family = self.shared.family();
        self.shared.health.updated(family, clock::now());
        let mut progress = Progress { pending: Changes::default(), needs_full: true, last_full: None };
        let mut next = Instant::now();
        let mut check = tokio::time::interval(self.periods.sync);
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep_until(next) => {}
                _ = check.tick() => {
                    if self.backend.is_intact().await {
                        continue;
                    }
                    info!(family = family.as_str(), "Rules were removed by somebody, all are written again");
                    progress.needs_full = true;
                }
            }
            let succeeded = self.sync(&mut progress).await;
            next = Instant::now() + if succeeded { FULL_SYNC_PERIOD } else { self.periods.sync };
            tokio::select! {
                () = stop.wait() => return,
                () = tokio::time::sleep(self.periods.least) => {}
            }
        }
    }

    async fn sync(&mut self, progress: &mut Progress) -> bool {
        let started = Instant::now();
        let node_changed = std::mem::take(&mut *self.shared.node_changed.lock());
        let node = self.shared.node.lock().clone();
        let (plan, udp, local) = {
            let mut tracker = self.shared.tracker.lock();
            progress.pending.merge(tracker.take_changes());
            let udp = progress.pending.udp.then(|| UdpTargets::of(&tracker));
            (plan(&tracker, &node), udp, local_ready(&tracker))
        };
        let overdue = progress.last_full.is_none_or(|at| at.elapsed() >= FULL_SYNC_PERIOD);
        let full = progress.needs_full || node_changed || (overdue && !plan.large);
        let scope = if full { Scope::Full } else { Scope::Partial(&progress.pending) };
        let family = plan.family.as_str();
        let result = self.backend.sync(&plan, scope).await;
        observe(family, full, started.elapsed());
        let counts = match result {
            Ok(counts) => counts,
            Err(err) => {
                error!(family, err = %Chain(&err), retry = ?self.periods.sync, "Sync failed");
                metrics::get().restore_failures.with_label_values(&[family]).inc();
                if !full {
                    metrics::get().partial_restore_failures.with_label_values(&[family]).inc();
                }
                progress.needs_full = true;
                return false;
            }
        };
        debug!(family, full, services = plan.services.len(), elapsed = ?started.elapsed(), "SyncProxyRules complete");
        if full {
            progress.last_full = Some(Instant::now());
        }
        progress.needs_full = false;
        progress.pending = Changes::default();
        self.tell(&plan, counts);
        if let Some(services) = &mut self.services {
            services.sync(&plan.health_check_ports(), &local).await;
        }
        if let Some(targets) = udp {
            conntrack::clean_up(plan.family, &targets).await;
        }
        true
    }

    fn tell(&self, plan: &Plan, counts: RuleCounts) {
        self.shared.health.updated(plan.family, clock::now());
        let family = plan.family.as_str();
        let metrics = metrics::get();
        metrics.last_sync.with_label_values(&[family]).set(metrics::now());
        let (internal, external) = plan.without_local_endpoints();
        metrics.no_local_endpoints.with_label_values(&["internal", family]).set(metrics::count(internal));
        metrics.no_local_endpoints.with_label_values(&["external", family]).set(metrics::count(external));
        let rules = [("filter", counts.filter, counts.filter), ("nat", counts.nat, counts.nat_written)];
        for (table, total, last) in rules {
            metrics.iptables_rules.with_label_values(&[table, family]).set(metrics::count(total));
            metrics.iptables_rules_last.with_label_values(&[table, family]).set(metrics::count(last));
        }
    }
}

fn observe(family: &str, full: bool, took: Duration) {
    let metrics = metrics::get();
    let seconds = took.as_secs_f64();
    metrics.sync_duration.with_label_values(&[family]).observe(seconds);
    let kind = if full { &metrics.full_sync_duration } else { &metrics.partial_sync_duration };
    kind.with_label_values(&[family]).observe(seconds);
}
