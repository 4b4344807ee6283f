//! The scheduling cycle: takes pods from the queue one at a time, decides, assumes, and hands over to a binding task.
//! The decision itself is in `select` and pure. upstream: pkg/scheduler/schedule_one.go

mod bind;
mod failure;
mod select;

use std::sync::Arc;
use std::time::Duration;

use component_base::events::EventType;
use component_base::{Shutdown, clock};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{debug, info};

use crate::actions::Actions;
use crate::cache::{Cache, Snapshot};
use crate::explain::{Attempt, Explanations, NodeVerdict};
use crate::framework::{ChosenNode, CycleState, FitError, Listers, Profile, Rejection};
use crate::metrics;
use crate::model::PodKey;
use crate::queue::{Nominate, QueuedPod, SchedulingQueue};

pub use select::{Decision, Selector, select};

/// How often pods that waited too long are looked for.
const FLUSH_PERIOD: Duration = Duration::from_secs(30);
/// How often gauges are refreshed.
const GAUGE_PERIOD: Duration = Duration::from_secs(1);

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) enum AttemptError {
    /// No nodes are registered.
    NoNodes,
    /// No node fits.
    Fit(Box<FitError>),
    /// Something went wrong.
    Internal(String),
}

/// The scheduler: beliefs, queue, profiles.
pub struct Scheduler {
    /// Nodes and pods on them.
    pub cache: Mutex<Cache>,
    /// Pods to schedule.
    pub queue: Mutex<SchedulingQueue>,
    /// The last attempts, explained.
    pub explanations: Explanations,
    profiles: Arc<Vec<Profile>>,
    actions: Arc<dyn Actions>,
    listers: Arc<dyn Listers>,
    wake: Notify,
    percentage_of_nodes_to_score: i32,
}

impl Scheduler {
    /// A scheduler with an empty cache and queue.
    pub fn new(
        profiles: Arc<Vec<Profile>>,
        queue: SchedulingQueue,
        actions: Arc<dyn Actions>,
        listers: Arc<dyn Listers>,
        percentage_of_nodes_to_score: i32,
    ) -> Self {
        Self {
            cache: Mutex::default(),
            queue: Mutex::new(queue),
            explanations: Explanations::default(),
            profiles,
            actions,
            listers,
            wake: Notify::new(),
            percentage_of_nodes_to_score,
        }
    }

    /// The profile of a scheduler name.
    pub fn profile(&self, scheduler_name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|p| p.name == scheduler_name)
    }

    /// Changes the queue and wakes the cycle.
    pub fn with_queue<R>(&self, change: impl FnOnce(&mut SchedulingQueue, Timestamp) -> R) -> R {
        let mut queue = self.queue.lock();
        let result = change(&mut queue, clock::now());
        let incoming = queue.take_incoming();
        drop(queue);
        for entry in incoming {
            metrics::get().queue_incoming_pods.with_label_values(&[entry.queue, &*entry.event]).inc();
        }
        self.wake.notify_one();
        result
    }

    /// Tries a pod again as soon as possible.
    pub fn force(&self, key: &PodKey) {
        self.with_queue(|queue, now| queue.force(std::slice::from_ref(key), now));
    }

    /// Schedules until shutdown.
    pub async fn run(self: Arc<Self>, stop: Shutdown) {
        let housekeeper = Arc::clone(&self);
        let housekeeping_stop = stop.clone();
        let housekeeping = component_base::task::spawn("scheduler-housekeeping", async move {
            housekeeper.keep_house(housekeeping_stop).await
        });
        let mut selector = Selector::new(rand::random());
        let mut snapshot = Snapshot::default();
        while let Some(queued) = self.next(&stop).await {
            self.schedule(queued, &mut selector, &mut snapshot);
            // The decision is synchronous: let binding tasks and watches run between two of them.
            tokio::task::yield_now().await;
        }
        // The task ends by the same token; its panic was logged where it happened.
        let _ = housekeeping.await;
    }

    async fn next(&self, stop: &Shutdown) -> Option<QueuedPod> {
        loop {
            let notified = self.wake.notified();
            let now = clock::now();
            let (popped, wake_at) = {
                let mut queue = self.queue.lock();
                (queue.pop(now), queue.next_wake())
            };
            if stop.is_triggered() {
                return None;
            }
            if popped.is_some() {
                return popped;
            }
            let pause = wake_at.map_or(FLUSH_PERIOD, |at| clock::since(at, now));
            tokio::select! {
                () = stop.wait() => return None,
                () = notified => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn keep_house(&self, stop: Shutdown) {
        let mut flush = tokio::time::interval(FLUSH_PERIOD);
        let mut gauges = tokio::time::interval(GAUGE_PERIOD);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                _ = flush.tick() => self.with_queue(SchedulingQueue::flush_unschedulable),
                _ = gauges.tick() => self.refresh_gauges(),
            }
        }
    }

    fn refresh_gauges(&self) {
        let metrics = metrics::get();
        let size = self.queue.lock().size();
        let queues = [
            ("active", size.active),
            ("backoff", size.backoff),
            ("unschedulable", size.unschedulable),
            ("gated", size.gated),
        ];
        for (queue, pods) in queues {
            metrics.pending_pods.with_label_values(&[queue]).set(metrics::count(pods));
        }
        let size = self.cache.lock().size();
        for (kind, number) in [("nodes", size.nodes), ("pods", size.pods), ("assumed_pods", size.assumed)] {
            metrics.cache_size.with_label_values(&[kind]).set(metrics::count(number));
        }
    }

    /// One attempt at one pod.
    pub fn schedule(self: &Arc<Self>, queued: QueuedPod, selector: &mut Selector, snapshot: &mut Snapshot) {
        let started = clock::now();
        let pod = Arc::clone(&queued.pod);
        let Some(profile) = self.profile(&pod.scheduler_name).filter(|_| !self.skips(&queued)) else {
            self.queue.lock().done(&pod.uid);
            return;
        };
        debug!(namespace = pod.namespace(), name = pod.name(), "Attempting to schedule pod");
        self.cache.lock().update_snapshot(snapshot);
        let nominations = self.queue.lock().nominator().snapshot();
        let mut state = CycleState::default();
        let share = profile.percentage_of_nodes_to_score.unwrap_or(self.percentage_of_nodes_to_score);
        let decision = select(profile, &mut state, &pod, snapshot, &nominations, selector, share);
        let took = clock::since(clock::now(), started);
        metrics::get().algorithm_duration.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
        self.explain(&queued, profile, &decision, started, took);
        if let Decision::Node { node, .. } = &decision
            && let Some(info) = snapshot.get(node)
        {
            state.insert(ChosenNode(Arc::clone(&info.node)));
        }
        match decision {
            Decision::Node { node, evaluated, feasible, .. } => {
                match self.assume(profile, &mut state, &queued, &node) {
                    Ok(()) => {
                        let binding = bind::Binding { queued, state, node, started, evaluated, feasible };
                        let scheduler = Arc::clone(self);
                        component_base::task::spawn("binding", async move { scheduler.bind(binding).await });
                    }
                    Err(error) => self.fail(profile, queued, error, Some(Nominate::Nothing), started),
                }
            }
            Decision::NoNodes => self.fail(profile, queued, AttemptError::NoNodes, Some(Nominate::Nothing), started),
            Decision::NoFit { error, nominate } => {
                self.fail(profile, queued, AttemptError::Fit(error), nominate, started)
            }
            Decision::Failed(text) => {
                self.fail(profile, queued, AttemptError::Internal(text), Some(Nominate::Nothing), started)
            }
        }
    }

    fn skips(&self, queued: &QueuedPod) -> bool {
        let pod = &queued.pod;
        if pod.is_deleting() {
            let note = format!("skip schedule deleting pod: {}", pod.key);
            self.actions.event(pod, EventType::Warning, "FailedScheduling", "Scheduling", &note);
            info!(namespace = pod.namespace(), name = pod.name(), "Skip schedule deleting pod");
            return true;
        }
        self.cache.lock().is_assumed(&pod.uid)
    }

    /// Assumes the pod on the node, reserves and asks for permission; undoes all of it when one of them fails.
    fn assume(
        &self,
        profile: &Profile,
        state: &mut CycleState,
        queued: &QueuedPod,
        node: &Arc<str>,
    ) -> Result<(), AttemptError> {
        let pod = &queued.pod;
        self.cache.lock().assume(pod, node).map_err(|e| AttemptError::Internal(e.to_string()))?;
        self.queue.lock().nominator().delete(&pod.uid);
        let refused = |plugin, rejection: Rejection| {
            if !rejection.is_rejection() {
                return AttemptError::Internal(rejection.message());
            }
            let diagnosis = Profile::single_node_diagnosis(node, plugin, rejection);
            AttemptError::Fit(Box::new(FitError { all_nodes: 1, diagnosis }))
        };
        let permitted = profile.run_reserve(state, pod, node).and_then(|()| {
            profile
                .permit
                .iter()
                .try_for_each(|p| p.permit(state, pod, node).map_err(|rejection| (p.name(), rejection)))
        });
        permitted.map_err(|(plugin, rejection)| {
            profile.run_unreserve(state, pod, node);
            self.cache.lock().forget(&pod.uid);
            refused(plugin, rejection)
        })
    }

    fn explain(&self, queued: &QueuedPod, profile: &Profile, decision: &Decision, time: Timestamp, took: Duration) {
        let (result, node, message, feasible, evaluated, nodes) = match decision {
            Decision::Node { node, evaluated, feasible, scores, refused } => {
                let scored = scores.iter().map(|(name, score)| NodeVerdict {
                    node: name.to_string(),
                    rejected_by: None,
                    reasons: Vec::new(),
                    preemptible: false,
                    total: score.as_ref().map(|s| s.total),
                    scores: score.as_ref().map(|s| s.plugins.clone()).unwrap_or_default(),
                });
                let nodes = scored.chain(refused.iter().map(verdict)).collect();
                ("scheduled", Some(node.to_string()), String::new(), *feasible, *evaluated, nodes)
            }
            Decision::NoFit { error, .. } => {
                let refused = &error.diagnosis.nodes;
                ("unschedulable", None, error.to_string(), 0, refused.len(), refused.iter().map(verdict).collect())
            }
            Decision::NoNodes => ("unschedulable", None, failure::NO_NODES.to_owned(), 0, 0, Vec::new()),
            Decision::Failed(text) => ("error", None, text.clone(), 0, 0, Vec::new()),
        };
        self.explanations.record(Attempt {
            time,
            pod: queued.pod.key.to_string(),
            uid: queued.pod.uid.to_string(),
            profile: profile.name.clone(),
            attempt: queued.attempts,
            micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            result,
            node,
            message,
            feasible,
            evaluated,
            nodes,
        });
    }
}

fn verdict((node, plugin, rejection): &(Arc<str>, &'static str, Rejection)) -> NodeVerdict {
    NodeVerdict {
        node: node.to_string(),
        rejected_by: Some(*plugin),
        reasons: rejection.reasons().into_iter().map(Into::into).collect(),
        preemptible: matches!(rejection, Rejection::Unschedulable(_)),
        total: None,
        scores: Vec::new(),
    }
}
