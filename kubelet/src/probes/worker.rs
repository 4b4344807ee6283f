//! One probe of one container: when it runs and what its results amount to.
//!
//! upstream: pkg/kubelet/prober/worker.go

use std::sync::Arc;
use std::time::Duration;

use component_base::clock;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, Probe};
use tokio::sync::Notify;

use super::check::{self, Outcome};
use super::{ProbeKind, Shared};
use crate::pod::restart::should_restart;
use crate::pod::view::{PodView, is_sidecar};

/// A probe that fails for reasons of its own is tried this often before it counts.
const ATTEMPTS_MAX: usize = 3;

pub(super) struct Worker {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    container: Container,
    kind: ProbeKind,
    probe: Probe,
    container_id: String,
    on_hold: bool,
    last: Option<bool>,
    run: i32,
}

enum Next {
    Continue,
    Stop,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, pod: Arc<Pod>, container: Container, kind: ProbeKind, probe: Probe) -> Self {
        Self { shared, pod, container, kind, probe, container_id: String::new(), on_hold: false, last: None, run: 0 }
    }

    pub(super) async fn run(mut self, now: Arc<Notify>) {
        let period =
            Duration::from_secs(self.probe.period_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(10).max(1));
        loop {
            if let Next::Stop = self.step().await {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(period) => {}
                () = now.notified() => {}
            }
        }
    }

    async fn step(&mut self) -> Next {
        let uid = self.pod.uid();
        let Some(status) = self.shared.statuses.get(uid) else {
            return Next::Continue;
        };
        if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
            return Next::Stop;
        }
        let statuses = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
        let found = statuses.into_iter().find(|one| one.name == self.container.name && one.container_id.is_some());
        let Some(found) = found.cloned() else {
            return Next::Continue;
        };
        self.meet(&found);
        if self.on_hold {
            return Next::Continue;
        }
        let state = found.state.clone().unwrap_or_default();
        let Some(running) = state.running else {
            self.judge(false);
            return match state.terminated {
                Some(ended) if !self.will_restart(ended.exit_code) => Next::Stop,
                _ => Next::Continue,
            };
        };
        let started_at = running.started_at.map_or_else(clock::now, |time| time.0);
        let age = clock::now().duration_since(started_at).as_secs();
        if age < i64::from(self.probe.initial_delay_seconds.unwrap_or(0)) {
            return Next::Continue;
        }
        // Startup probes run until the container has started, the others from then on.
        if (found.started == Some(true)) == (self.kind == ProbeKind::Startup) {
            return Next::Continue;
        }
        let pod_ip = status.pod_ip.clone().unwrap_or_default();
        if let Some(good) = self.check(&pod_ip).await {
            self.count(good);
        }
        Next::Continue
    }

    fn will_restart(&self, exit_code: i32) -> bool {
        is_sidecar(&self.container)
            || should_restart(&self.container, self.pod.spec().restart_policy.as_deref(), exit_code)
    }

    /// A new container starts with a clean slate.
    fn meet(&mut self, found: &ContainerStatus) {
        let id = found.container_id.as_deref().and_then(|id| id.split_once("://")).map_or("", |(_, id)| id);
        if id == self.container_id {
            return;
        }
        self.shared.verdicts.forget(self.kind, &self.container_id);
        id.clone_into(&mut self.container_id);
        self.on_hold = false;
        (self.last, self.run) = (None, 0);
        let started_before = self.kind == ProbeKind::Startup && found.started == Some(true);
        if self.kind == ProbeKind::Liveness || started_before {
            self.shared.verdicts.set(self.kind, &self.container_id, true);
        }
    }

    async fn check(&self, pod_ip: &str) -> Option<bool> {
        let target = check::Target {
            runtime: self.shared.runtime.as_ref(),
            container: &self.container,
            container_id: &self.container_id,
            pod_ip,
        };
        let mut outcome = Outcome::Unknown(String::new());
        for _attempt in 0..ATTEMPTS_MAX {
            outcome = check::run(&self.probe, &target).await;
            if !matches!(outcome, Outcome::Unknown(_)) {
                break;
            }
        }
        let warn = |reason: &str, message: String| {
            self.shared.events.container_warning(&self.pod, &self.container.name, reason, message);
        };
        let kind = self.kind;
        match outcome {
            Outcome::Success => Some(true),
            Outcome::Warning(text) => {
                warn("ProbeWarning", format!("{kind} probe warning: {text}"));
                Some(true)
            }
            Outcome::Failure(text) => {
                warn("Unhealthy", format!("{kind} probe failed: {text}"));
                Some(false)
            }
            Outcome::Unknown(text) => {
                warn("Unhealthy", format!("{kind} probe errored and resulted in unknown state: {text}"));
                None
            }
        }
    }

    fn count(&mut self, good: bool) {
        self.run = if self.last == Some(good) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(good);
        let threshold = if good { self.probe.success_threshold } else { self.probe.failure_threshold };
        let default = if good { 1 } else { 3 };
        if self.run < threshold.unwrap_or(default) {
            return;
        }
        self.judge(good);
        if (self.kind == ProbeKind::Liveness && !good) || self.kind == ProbeKind::Startup {
            // The container is about to be replaced, or needs this probe no more.
            self.on_hold = true;
            self.run = 0;
        }
    }

    fn judge(&self, good: bool) {
        if !self.shared.verdicts.set(self.kind, &self.container_id, good) {
            return;
        }
        let uid = self.pod.uid();
        tracing::debug!(
            namespace = self.pod.namespace(), name = self.pod.name(), uid, container = self.container.name,
            probe = %self.kind, good, "probe verdict changed"
        );
        if self.kind == ProbeKind::Readiness {
            // The worker may be busy with a long step; readiness must not wait for it.
            self.shared.statuses.set_container_readiness(uid, &self.container_id, good);
        }
        if let Some(wake) = self.shared.wake.get() {
            wake(uid);
        }
    }
}
