//! The binding task of one pod: PreBind, Bind, PostBind; on failure everything is taken back and the pod is retried.
//! upstream: schedule_one.go (bindingCycle, handleBindingCycleError)

use std::sync::Arc;

use component_base::clock;
use component_base::events::EventType;
use jiff::Timestamp;
use tracing::info;

use crate::framework::{ActionType, Change, ClusterEvent, CycleState, EventResource, Profile, Rejection};
use crate::metrics;
use crate::queue::{Nominate, QueuedPod};

use super::{AttemptError, Scheduler};

/// A pod assumed on a node.
pub(super) struct Binding {
    pub(super) queued: QueuedPod,
    pub(super) state: CycleState,
    pub(super) node: Arc<str>,
    pub(super) started: Timestamp,
    pub(super) evaluated: usize,
    pub(super) feasible: usize,
}

impl Scheduler {
    pub(super) async fn bind(self: Arc<Self>, mut binding: Binding) {
        let pod = Arc::clone(&binding.queued.pod);
        let Some(profile) = self.profile(&pod.scheduler_name) else { return };
        // Nothing after this point makes the pod unschedulable, so no event needs to be kept for it.
        self.queue.lock().done(&pod.uid);
        let operations = metrics::get().goroutines.with_label_values(&["binding"]);
        operations.inc();
        let result = run_points(profile, &binding).await;
        operations.dec();
        match result {
            Ok(()) => self.bound(profile, &binding),
            Err((plugin, rejection)) => {
                profile.run_unreserve(&mut binding.state, &pod, &binding.node);
                self.cache.lock().forget(&pod.uid);
                let gone = ClusterEvent::new(EventResource::AssignedPod, ActionType::DELETE);
                let change = Change::Pod { old: Some(Arc::clone(&pod)), new: None };
                self.with_queue(|queue, now| queue.cluster_changed(gone, &change, now, |other| other.uid != pod.uid));
                let error = AttemptError::Internal(format!("running Bind plugin {plugin:?}: {}", rejection.message()));
                self.fail(profile, binding.queued, error, Some(Nominate::Nothing), binding.started);
            }
        }
    }

    fn bound(&self, profile: &Profile, binding: &Binding) {
        let Binding { queued, node, started, evaluated, feasible, .. } = binding;
        let pod = &queued.pod;
        let note = format!("Successfully assigned {} to {node}", pod.key);
        self.actions.event(pod, EventType::Normal, "Scheduled", "Binding", &note);
        info!(
            namespace = pod.namespace(),
            name = pod.name(),
            node = &**node,
            evaluated_nodes = evaluated,
            feasible_nodes = feasible,
            "Successfully bound pod to node"
        );
        let metrics = metrics::get();
        let now = clock::now();
        let labels = ["scheduled", profile.name.as_str()];
        metrics.schedule_attempts.with_label_values(&labels).inc();
        metrics.attempt_duration.with_label_values(&labels).observe(clock::since(now, *started).as_secs_f64());
        metrics.scheduling_attempts.with_label_values::<&str>(&[]).observe(f64::from(queued.attempts));
        if let Some(first) = queued.first_attempt {
            let attempts = if queued.attempts >= 15 { "15+".to_owned() } else { queued.attempts.to_string() };
            metrics
                .sli_duration
                .with_label_values(&[attempts.as_str()])
                .observe(clock::since(now, first).as_secs_f64());
        }
        for plugin in &profile.post_bind {
            plugin.post_bind(pod, node);
        }
    }
}

async fn run_points(profile: &Profile, binding: &Binding) -> Result<(), (&'static str, Rejection)> {
    let pod = &binding.queued.pod;
    for plugin in &profile.pre_bind {
        plugin.pre_bind(&binding.state, pod, &binding.node).await.map_err(|rejection| (plugin.name(), rejection))?;
    }
    // The first bind plugin binds; others would only be asked by one that skips, which no in-tree plugin does.
    let Some(binder) = profile.bind.first() else { return Err(("", Rejection::error("no bind plugin"))) };
    binder.bind(pod, &binding.node).await.map_err(|rejection| (binder.name(), rejection))
}
