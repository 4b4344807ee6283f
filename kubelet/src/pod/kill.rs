//! Stopping containers and sandboxes, in order and in time.
//!
//! upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go: killContainer, kuberuntime_termination_order.go

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::sync::watch;

use super::hooks;
use super::machinery::Machinery;
use super::plan::KillReason;
use super::view::{PodView, is_sidecar};
use crate::runtime::{ContainerObserved, ObservedPod, RuntimeError};

/// Containers always get this many seconds between SIGTERM and SIGKILL.
const GRACE_SECONDS_MIN: i64 = 2;

/// What could not be stopped.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// A container.
    #[error("failed to \"KillContainer\" for {name:?}")]
    Container {
        /// Its name.
        name: String,
        /// Why.
        source: RuntimeError,
    },
    /// A sandbox.
    #[error("failed to \"KillPodSandbox\" for {id:?}")]
    Sandbox {
        /// Its id.
        id: String,
        /// Why.
        source: RuntimeError,
    },
}

/// How one container is killed.
pub struct Killing<'a> {
    /// The pod; without a definition when it is only known from what runs.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a ContainerObserved,
    /// Text of the event; a default when empty.
    pub message: &'a str,
    /// Why.
    pub reason: KillReason,
    /// Seconds that replace the pod's own.
    pub grace_override: Option<i64>,
}

/// Kills one container: preStop hook, its turn in `order`, then the runtime.
///
/// # Errors
/// The runtime did not stop it.
pub async fn kill_container(
    cx: &Machinery,
    killing: &Killing<'_>,
    pod_ip: &str,
    order: Option<&Order>,
) -> Result<(), KillError> {
    let (pod, found) = (killing.pod, killing.container);
    let definition = pod.container(&found.name).map(|(_, container)| container);
    let message = match killing.message {
        "" => format!("Stopping container {}", found.name),
        message => message.to_owned(),
    };
    cx.events.container(pod, &found.name, "Killing", message);
    let grace =
        killing.grace_override.unwrap_or_else(|| grace_seconds(pod, definition.as_ref(), found, killing.reason));
    let deadline = Instant::now() + Duration::from_secs(u64::try_from(grace).unwrap_or(0));
    if grace > 0 {
        run_pre_stop(cx, killing, definition.as_ref(), pod_ip, deadline).await;
        if let Some(order) = order {
            order.wait_for_turn(&found.name, deadline).await;
        }
    }
    let left = deadline.saturating_duration_since(Instant::now()).as_secs();
    let left = left.max(u64::try_from(GRACE_SECONDS_MIN).unwrap_or(2));
    let stopped = cx.runtime.stop_container(&found.id, Duration::from_secs(left)).await;
    if let Some(order) = order {
        order.done(&found.name);
    }
    stopped.map_err(|source| KillError::Container { name: found.name.clone(), source })
}

fn grace_seconds(pod: &Pod, definition: Option<&Container>, found: &ContainerObserved, reason: KillReason) -> i64 {
    if let Some(seconds) = pod.metadata.deletion_grace_period_seconds.or(found.notes.deletion_grace_period_seconds) {
        return seconds;
    }
    let probe = definition.and_then(|container| match reason {
        KillReason::LivenessProbe => container.liveness_probe.as_ref(),
        KillReason::StartupProbe => container.startup_probe.as_ref(),
        _ => None,
    });
    probe
        .and_then(|probe| probe.termination_grace_period_seconds)
        .or(pod.spec().termination_grace_period_seconds)
        .or(found.notes.termination_grace_period_seconds)
        .unwrap_or(GRACE_SECONDS_MIN)
}

async fn run_pre_stop(
    cx: &Machinery,
    killing: &Killing<'_>,
    definition: Option<&Container>,
    pod_ip: &str,
    deadline: Instant,
) {
    let (pod, found) = (killing.pod, killing.container);
    let from_definition = definition.and_then(|container| container.lifecycle.as_ref()?.pre_stop.clone());
    let handler = if definition.is_some() { from_definition } else { found.notes.pre_stop.clone() };
    let Some(handler) = handler else {
        return;
    };
    let fallback = Container { name: found.name.clone(), ..Container::default() };
    let container = definition.unwrap_or(&fallback);
    let hook = hooks::run(cx.runtime.as_ref(), pod, container, &found.id, pod_ip, &handler);
    match tokio::time::timeout_at(deadline.into(), hook).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(namespace = pod.namespace(), name = pod.name(), container = found.name, %error, "preStop hook failed");
            // The message stays out of the event: it may show what the hook printed.
            cx.events.container_warning(pod, &found.name, "FailedPreStopHook", "PreStopHook failed");
        }
        Err(_elapsed) => {
            tracing::debug!(
                namespace = pod.namespace(),
                name = pod.name(),
                container = found.name,
                "preStop hook ran out of time"
            );
        }
    }
}

/// Stops everything of a pod. Containers go in parallel, except that sidecars wait for those that they serve.
///
/// # Errors
/// The first thing that did not stop; the rest was attempted all the same.
pub async fn kill_pod(
    cx: &Machinery,
    pod: &Pod,
    observed: &ObservedPod,
    grace_override: Option<i64>,
) -> Result<(), KillError> {
    let alive: Vec<&ContainerObserved> = observed.alive().collect();
    let order = Order::new(pod, &alive);
    let pod_ip = observed.ips().first().cloned().unwrap_or_default();
    let kills = alive.iter().map(|container| {
        let (order, pod_ip) = (&order, pod_ip.as_str());
        async move {
            let reason = KillReason::Ordinary;
            let killing = Killing { pod, container, message: "", reason, grace_override };
            kill_container(cx, &killing, pod_ip, Some(order)).await
        }
    });
    let mut result = join_all(kills).await.into_iter().find(Result::is_err).unwrap_or(Ok(()));
    for sandbox in &observed.sandboxes {
        let stopped = cx.runtime.stop_sandbox(&sandbox.id).await;
        if let (Err(source), Ok(())) = (stopped, &result) {
            result = Err(KillError::Sandbox { id: sandbox.id.clone(), source });
        }
    }
    result
}

/// Who waits for whom when a pod ends: sidecars for all app containers, and each for the sidecars after it.
pub struct Order {
    done: HashMap<String, watch::Sender<bool>>,
    waits_for: HashMap<String, Vec<String>>,
}

impl Order {
    fn new(pod: &Pod, alive: &[&ContainerObserved]) -> Self {
        let done = alive.iter().map(|found| (found.name.clone(), watch::Sender::new(false))).collect();
        let app: Vec<String> = pod.spec().containers.iter().map(|container| container.name.clone()).collect();
        let mut waits_for = HashMap::new();
        let mut later: Option<String> = None;
        for sidecar in pod.init_containers().iter().rev().filter(|container| is_sidecar(container)) {
            waits_for.insert(sidecar.name.clone(), app.iter().cloned().chain(later).collect());
            later = Some(sidecar.name.clone());
        }
        Self { done, waits_for }
    }

    async fn wait_for_turn(&self, name: &str, deadline: Instant) {
        let wait = async {
            for other in self.waits_for.get(name).into_iter().flatten() {
                if let Some(done) = self.done.get(other) {
                    let mut done = done.subscribe();
                    let _sender_lives_as_long_as_self = done.wait_for(|done| *done).await;
                }
            }
        };
        let _out_of_time = tokio::time::timeout_at(deadline.into(), wait).await;
    }

    fn done(&self, name: &str) {
        if let Some(done) = self.done.get(name) {
            done.send_replace(true);
        }
    }
}
