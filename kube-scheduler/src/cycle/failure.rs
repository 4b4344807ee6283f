//! What happens when an attempt fails: the pod goes back to the queue, its condition and an event say why.
//! upstream: schedule_one.go (handleSchedulingFailure)

use std::sync::Arc;

use component_base::events::EventType;
use component_base::{Chain, clock};
use jiff::Timestamp;
use tracing::{debug, error, info};

use crate::actions::NotScheduled;
use crate::framework::Profile;
use crate::metrics;
use crate::queue::{Nominate, QueuedPod};

use super::{AttemptError, Scheduler};

/// upstream: ErrNoNodesAvailable
pub(super) const NO_NODES: &str = "no nodes available to schedule pods";

impl Scheduler {
    /// Puts a pod back after a failed attempt. `nominate` changes its nomination, `None` leaves it.
    pub(super) fn fail(
        &self,
        profile: &Profile,
        mut queued: QueuedPod,
        error: AttemptError,
        nominate: Option<Nominate>,
        started: Timestamp,
    ) {
        let pod = Arc::clone(&queued.pod);
        let (reason, message) = describe(&error);
        let result = if reason == "Unschedulable" { "unschedulable" } else { "error" };
        let labels = [result, profile.name.as_str()];
        metrics::get().schedule_attempts.with_label_values(&labels).inc();
        let took = clock::since(clock::now(), started).as_secs_f64();
        metrics::get().attempt_duration.with_label_values(&labels).observe(took);
        queued.rejectors.clear();
        queued.pending.clear();
        match error {
            AttemptError::Fit(fit) => {
                queued.rejectors = fit.diagnosis.unschedulable_plugins;
                queued.pending = fit.diagnosis.pending_plugins;
                info!(
                    namespace = pod.namespace(),
                    name = pod.name(),
                    err = message,
                    "Unable to schedule pod; no fit; waiting"
                );
            }
            AttemptError::NoNodes => {
                info!(
                    namespace = pod.namespace(),
                    name = pod.name(),
                    "Unable to schedule pod; no nodes are registered to the cluster; waiting"
                );
            }
            AttemptError::Internal(text) => {
                error!(namespace = pod.namespace(), name = pod.name(), err = text, "Error scheduling pod; retrying");
            }
        }
        // The pod may have changed, gone or been bound while it was tried.
        let current = self.listers.pod(pod.namespace(), pod.name());
        let Some(current) = current.filter(|c| c.uid == pod.uid && !c.is_assigned()) else {
            debug!(namespace = pod.namespace(), name = pod.name(), "Pod is gone or assigned, it is not queued again");
            self.queue.lock().done(&pod.uid);
            return;
        };
        queued.pod = Arc::clone(&current);
        self.with_queue(|queue, now| {
            queue.requeue_failed(queued, now);
            queue.nominator().add(&current, nominate.clone().unwrap_or(Nominate::AsStated));
        });
        self.actions.event(&current, EventType::Warning, "FailedScheduling", "Scheduling", &message);
        let nominated = nominate.map(|nominate| match nominate {
            Nominate::Node(node) => node,
            Nominate::Nothing | Nominate::AsStated => "".into(),
        });
        let actions = Arc::clone(&self.actions);
        component_base::task::spawn("pod-status", async move {
            let condition = NotScheduled { reason, message };
            if let Err(err) = actions.write_status(&current, Some(condition), nominated.as_deref()).await {
                error!(namespace = current.namespace(), name = current.name(), err = %Chain(&err), "Error updating pod");
            }
        });
    }
}

fn describe(error: &AttemptError) -> (&'static str, String) {
    match error {
        AttemptError::NoNodes => ("Unschedulable", NO_NODES.to_owned()),
        AttemptError::Fit(fit) => ("Unschedulable", fit.to_string()),
        AttemptError::Internal(text) => ("SchedulerError", text.clone()),
    }
}
