//! One step of a pod that is meant to run: observe, plan, act, tell.
//!
//! upstream: pkg/kubelet/kubelet.go: SyncPod, pkg/kubelet/kuberuntime/kuberuntime_manager.go: SyncPod

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use component_base::clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus, Secret};

use super::actuate;
use super::classes::{ClassError, check_name, check_users};
use super::dns::pod_dns;
use super::fields::Surroundings;
use super::hosts::host_names;
use super::kill::{KillError, Killing, kill_container, kill_pod};
use super::machinery::Machinery;
use super::plan::{Plan, plan};
use super::resize;
use super::resources::pod_limits;
use super::restart::wants_all_restarted;
use super::sandbox::{SandboxInputs, sandbox_config};
use super::start::Start;
use super::status::{Inputs, StartFailure, generate};
use super::view::{ContainerKind, PodView, is_sidecar, plain};
use crate::allocation::resize_message;
use crate::metrics;
use crate::runtime::types::PodSandboxConfig;
use crate::runtime::{ContainerPhase, ObservedPod, RuntimeError, observe};
use crate::volumes::{MountedVolumes, VolumeError};

/// How long a step that failed waits before it is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// The first wait for volumes; it doubles up to [`VOLUME_RETRY_MAX`].
const VOLUME_RETRY_MIN: Duration = Duration::from_millis(500);
const VOLUME_RETRY_MAX: Duration = Duration::from_secs(122);
/// After a resize the runtime is asked again what the containers have.
const RESIZE_SETTLE: Duration = Duration::from_millis(50);

/// What a worker remembers about its pod from step to step.
#[derive(Debug, Default)]
pub struct Memory {
    /// Why containers do not run, by name.
    pub failures: BTreeMap<String, StartFailure>,
    volume_failures: u32,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Synced {
    /// All is as desired, or on its way.
    Settled,
    /// Something must be tried again after this time.
    RetryAfter(Duration),
    /// The pod ran to its end.
    Terminal,
}

/// A step that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The runtime did not tell what runs.
    #[error("observe the pod")]
    Observe(#[source] RuntimeError),
    /// Pods cannot get a network now.
    #[error("network is not ready: {0}")]
    Network(String),
    /// The pod's control group could not be made.
    #[error("failed to ensure that the pod: {uid} cgroups exist and are correctly applied")]
    Cgroup {
        /// The pod.
        uid: String,
        /// Why.
        source: std::io::Error,
    },
    /// The pod's folders could not be made.
    #[error("make the pod's folders")]
    Folders(#[source] std::io::Error),
    /// A volume is not ready.
    #[error(transparent)]
    Volumes(#[from] VolumeError),
    /// Something was not killed.
    #[error(transparent)]
    Kill(#[from] KillError),
    /// The pod claims devices.
    #[error("failed to prepare dynamic resources")]
    Claims,
    /// The runtime cannot run the pod as it asks.
    #[error("failed to \"CreatePodSandbox\"")]
    Class(#[source] ClassError),
    /// The sandbox could not be made.
    #[error("failed to \"CreatePodSandbox\"")]
    Sandbox(#[source] RuntimeError),
}

impl SyncError {
    /// How long to wait before the next try.
    pub fn retry_after(&self, memory: &Memory) -> Duration {
        match self {
            Self::Volumes(_) => {
                let factor = 1 << memory.volume_failures.saturating_sub(1).min(8);
                (VOLUME_RETRY_MIN * factor).min(VOLUME_RETRY_MAX)
            }
            Self::Observe(_) => Duration::from_secs(1),
            _ => RETRY,
        }
    }
}

/// Computes the status that the API shall show.
pub fn api_status(cx: &Machinery, pod: &Pod, observed: &ObservedPod, memory: &Memory, terminal: bool) -> PodStatus {
    let known = cx.statuses.get(pod.uid());
    let host_ips = cx.node.host_ips.lock().clone();
    let resize = if terminal { Vec::new() } else { cx.allocations.conditions(pod.uid()) };
    generate(&Inputs {
        pod,
        observed,
        previous: known.as_ref().unwrap_or(pod.status()),
        terminal,
        failures: &memory.failures,
        probes: cx.probes.verdicts().as_ref(),
        host_ips: &host_ips,
        runtime_name: &cx.runtime_name,
        actuated: &cx.allocations.actuated(pod.uid()),
        resize: &resize,
    })
}

/// Brings the pod one step closer to its definition.
///
/// # Errors
/// The step was given up half way; the next one observes afresh and goes on.
pub async fn sync(cx: &Machinery, pod: &Arc<Pod>, memory: &mut Memory) -> Result<Synced, SyncError> {
    let observed = observe(cx.runtime.as_ref(), pod.uid()).await.map_err(SyncError::Observe)?;
    tell_progress(cx, pod, &observed);
    let status = api_status(cx, pod, &observed, memory, false);
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if waits_for_readiness(&status) {
        cx.probes.hurry(pod.uid());
    }
    cx.statuses.set(pod, status);
    if ended {
        return Ok(Synced::Terminal);
    }
    let network_error = cx.node.network_error.lock().clone();
    if !network_error.is_empty() && !pod.host_network() {
        cx.events.pod_warning(pod, "NetworkNotReady", format!("network is not ready: {network_error}"));
        return Err(SyncError::Network(network_error));
    }
    ensure_cgroup(cx, pod)?;
    if cx.mirror.reconcile(pod).await {
        cx.statuses.retry(pod.uid());
    }
    make_folders(cx, pod)?;
    let around = cx.surroundings(pod, &observed);
    let mounted = set_up_volumes(cx, pod, &around, memory).await?;
    cx.probes.add(pod);
    act(cx, pod, &observed, &mounted, memory).await
}

/// Keeps the condition of a resize that is being carried out, and tells when it is complete.
fn tell_progress(cx: &Machinery, pod: &Pod, observed: &ObservedPod) {
    if resize::in_progress(pod, observed, &cx.allocations.actuated(pod.uid())) {
        cx.allocations.set_in_progress(pod, None);
    } else if let Some(generation) = cx.allocations.clear_in_progress(pod.uid()) {
        cx.events.pod(pod, "ResizeCompleted", resize_message("Pod resize completed", pod, generation, ""));
        cx.allocations.resources_were_freed();
    }
}

/// A container that has started and is not ready yet: its probe need not wait for its next turn.
fn waits_for_readiness(status: &PodStatus) -> bool {
    status.container_statuses.iter().flatten().any(|one| one.started == Some(true) && !one.ready)
}

fn ensure_cgroup(cx: &Machinery, pod: &Pod) -> Result<(), SyncError> {
    if !cx.cgroups.per_pod() {
        return Ok(());
    }
    let name = cx.cgroups.of(pod);
    if cx.kernel.cgroup_exists(&name) {
        return Ok(());
    }
    cx.kernel.ensure_cgroup(&name, &pod_limits(pod, cx.settings.cpu)).map_err(|source| {
        let message = format!("unable to ensure pod container exists: {source}");
        cx.events.pod_warning(pod, "FailedCreatePodContainer", message);
        SyncError::Cgroup { uid: pod.uid().to_owned(), source }
    })?;
    if pod.spec().resources.is_some() {
        cx.allocations.set_actuated_pod(pod.uid(), pod.spec().resources.as_ref());
    }
    Ok(())
}

fn make_folders(cx: &Machinery, pod: &Pod) -> Result<(), SyncError> {
    let folder = cx.paths.pod(pod.uid());
    let make = || -> std::io::Result<()> {
        for name in ["volumes", "plugins"] {
            std::fs::create_dir_all(folder.join(name))?;
        }
        Ok(())
    };
    make().map_err(|error| {
        cx.events.pod_warning(pod, "Failed", format!("error making pod data directories: {error}"));
        SyncError::Folders(error)
    })
}

async fn set_up_volumes(
    cx: &Machinery,
    pod: &Pod,
    around: &Surroundings,
    memory: &mut Memory,
) -> Result<MountedVolumes, VolumeError> {
    match cx.volumes.set_up(pod, around).await {
        Ok(mounted) => {
            memory.volume_failures = 0;
            Ok(mounted)
        }
        Err(error) => {
            memory.volume_failures = memory.volume_failures.saturating_add(1);
            cx.events.pod_warning(pod, "FailedMount", error.to_string());
            Err(error)
        }
    }
}

/// Carries out the plan.
async fn act(
    cx: &Machinery,
    pod: &Arc<Pod>,
    observed: &ObservedPod,
    mounted: &MountedVolumes,
    memory: &mut Memory,
) -> Result<Synced, SyncError> {
    let actuated = cx.allocations.actuated(pod.uid());
    let plan = plan(pod, observed, cx.probes.verdicts().as_ref(), &actuated);
    tracing::debug!(namespace = pod.namespace(), name = pod.name(), uid = pod.uid(), ?plan, "planned");
    if plan.create_sandbox && !plan.sandbox_id.is_empty() {
        cx.events.pod(pod, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
    }
    if plan.kill_pod {
        kill_pod(cx, pod, observed, None).await?;
    } else {
        kill_some(cx, pod, observed, &plan).await?;
    }
    if plan.create_sandbox {
        remove_init_containers(cx, pod, observed).await;
    }
    let names = host_names(pod, &cx.settings.dns.cluster_domain);
    let sandbox = sandbox_of(cx, pod, plan.attempt);
    let mut around = cx.surroundings(pod, observed);
    let mut sandbox_id = plan.sandbox_id.clone();
    if plan.create_sandbox {
        (sandbox_id, around.pod_ips) = create_sandbox(cx, pod, &sandbox, around.pod_ips).await?;
        tell_sandbox_ready(cx, pod, memory).await;
    }
    if plan.ephemeral.is_empty() && plan.init.is_empty() && plan.app.is_empty() && !plan.resizes() {
        return Ok(Synced::Settled);
    }
    let secrets = pull_secrets(cx, pod).await;
    let start = Start {
        cx,
        pod,
        observed,
        sandbox_id: &sandbox_id,
        sandbox: &sandbox,
        mounted,
        around: &around,
        names: &names,
        secrets: &secrets,
    };
    start_containers(&start, &plan, memory).await
}

async fn kill_some(cx: &Machinery, pod: &Pod, observed: &ObservedPod, plan: &Plan) -> Result<(), KillError> {
    let pod_ip = observed.ips().first().map(String::as_str).unwrap_or_default();
    for kill in &plan.kill {
        let Some(container) = observed.containers.iter().find(|found| found.id == kill.id) else {
            continue;
        };
        let (message, reason) = (kill.message.as_str(), kill.reason);
        let killing = Killing { pod, container, message, reason, grace_override: None };
        kill_container(cx, &killing, pod_ip, None).await?;
    }
    Ok(())
}

/// A pod that starts over runs its init containers again, so nothing may be left of their last runs.
async fn remove_init_containers(cx: &Machinery, pod: &Pod, observed: &ObservedPod) {
    let is_init = |name: &str| pod.init_containers().iter().any(|container| container.name == name);
    for found in observed.containers.iter().filter(|found| is_init(&found.name)) {
        if let Err(error) = cx.runtime.remove_container(&found.id).await {
            tracing::warn!(container = found.name, %error, "old init container was not removed");
        }
    }
}

fn sandbox_of(cx: &Machinery, pod: &Pod, attempt: u32) -> PodSandboxConfig {
    let settings = &cx.settings.dns;
    let host = if settings.resolver_config.is_empty() {
        String::new()
    } else {
        std::fs::read_to_string(&settings.resolver_config).unwrap_or_default()
    };
    let (dns, remarks) = pod_dns(settings, pod, &host);
    for (reason, message) in remarks {
        cx.events.pod_warning(pod, reason, message);
    }
    let inputs = SandboxInputs {
        attempt,
        dns,
        names: host_names(pod, &settings.cluster_domain),
        log_directory: cx.paths.logs_of(pod).display().to_string(),
        cgroup_parent: cx.kernel.cgroup_parent(&cx.cgroups.of(pod)),
        cpu: cx.settings.cpu,
    };
    sandbox_config(pod, inputs)
}

/// Devices that are claimed are not prepared here; a pod that started without them would not be what was asked for.
fn refuse_claims(cx: &Machinery, pod: &Pod) -> Result<(), SyncError> {
    if pod.spec().resource_claims.as_ref().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    let message = "Failed to prepare dynamic resources: resource claims are not supported by this kubelet";
    cx.events.pod_warning(pod, "FailedPrepareDynamicResources", message);
    Err(SyncError::Claims)
}

/// The runtime's handler for the pod, once it is clear that the pod can be run as it asks.
fn handler_of(cx: &Machinery, pod: &Pod) -> Result<String, ClassError> {
    check_name(pod, &host_names(pod, &cx.settings.dns.cluster_domain))?;
    let handler = cx.classes.handler(pod)?;
    check_users(pod, &handler, &cx.node.abilities.lock())?;
    Ok(handler)
}

async fn create_sandbox(
    cx: &Machinery,
    pod: &Pod,
    config: &PodSandboxConfig,
    host_ips: Vec<String>,
) -> Result<(String, Vec<String>), SyncError> {
    std::fs::create_dir_all(&config.log_directory).map_err(SyncError::Folders)?;
    metrics::STARTED_PODS.with_label_values::<&str>(&[]).inc();
    let failed = |error: &dyn std::fmt::Display| {
        metrics::STARTED_PODS_ERRORS.with_label_values::<&str>(&[]).inc();
        cx.events.pod_warning(pod, "FailedCreatePodSandBox", format!("Failed to create pod sandbox: {error}"));
    };
    refuse_claims(cx, pod)?;
    let handler = handler_of(cx, pod).inspect_err(|error| failed(error)).map_err(SyncError::Class)?;
    let id = cx.runtime.run_sandbox(config.clone(), &handler).await.map_err(|error| {
        failed(&error);
        SyncError::Sandbox(error)
    })?;
    if pod.host_network() {
        return Ok((id, host_ips));
    }
    let status = cx.runtime.sandbox_status(&id).await.map_err(|error| {
        cx.events.pod_warning(pod, "FailedPodSandBoxStatus", format!("Unable to get pod sandbox status: {error}"));
        SyncError::Sandbox(error)
    })?;
    let network = status.network.unwrap_or_default();
    let more = network.additional_ips.into_iter().map(|more| more.ip);
    Ok((id, [network.ip].into_iter().chain(more).filter(|ip| !ip.is_empty()).collect()))
}

/// The API shall see the address while images are still pulled.
async fn tell_sandbox_ready(cx: &Machinery, pod: &Pod, memory: &Memory) {
    if let Ok(observed) = observe(cx.runtime.as_ref(), pod.uid()).await {
        cx.statuses.set(pod, api_status(cx, pod, &observed, memory, false));
    }
}

async fn pull_secrets(cx: &Machinery, pod: &Pod) -> Vec<Arc<Secret>> {
    let mut secrets = Vec::new();
    for reference in pod.spec().image_pull_secrets.iter().flatten() {
        match cx.objects.secret(pod.namespace(), &reference.name).await {
            Ok(secret) => secrets.push(secret),
            Err(error) => {
                tracing::debug!(namespace = pod.namespace(), name = reference.name, %error, "pull secret was not read");
                let message = format!(
                    "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                    reference.name
                );
                cx.events.pod_warning(pod, "FailedToRetrieveImagePullSecret", message);
            }
        }
    }
    secrets
}

async fn start_containers(start: &Start<'_>, plan: &Plan, memory: &mut Memory) -> Result<Synced, SyncError> {
    let pod = start.pod;
    let mut retry: Option<Duration> = None;
    let mut note = |result: Result<(), Duration>| {
        if let Err(after) = result {
            retry = Some(retry.map_or(after, |before| before.min(after)));
        }
    };
    for index in &plan.ephemeral {
        let ephemeral = pod.spec().ephemeral_containers.iter().flatten().nth(*index);
        if let Some(ephemeral) = ephemeral {
            let target = ephemeral.target_container_name.as_deref();
            note(start_one(start, &plain(ephemeral), target, memory).await);
        }
    }
    for container in plan.init.iter().filter_map(|index| pod.init_containers().get(*index)) {
        let result = start_one(start, container, None, memory).await;
        let failed = result.is_err();
        note(result);
        if failed && !is_sidecar(container) {
            return Ok(Synced::RetryAfter(retry.unwrap_or(RETRY)));
        }
    }
    if plan.resizes() {
        note(resize_now(start, plan).await);
    }
    for container in plan.app.iter().filter_map(|index| pod.spec().containers.get(*index)) {
        note(start_one(start, container, None, memory).await);
    }
    Ok(retry.map_or(Synced::Settled, Synced::RetryAfter))
}

/// Carries out a resize. The pod is looked at again soon after it, whether it worked or not: its status has changed.
async fn resize_now(start: &Start<'_>, plan: &Plan) -> Result<(), Duration> {
    let (cx, pod) = (start.cx, start.pod);
    let Err(error) = actuate::resize(cx, pod, plan).await else {
        return Err(RESIZE_SETTLE);
    };
    tracing::warn!(
        namespace = pod.namespace(), name = pod.name(), error = %component_base::Chain(&error), "pod was not resized"
    );
    let message = error.to_string();
    // What failed may have been overtaken by another resize, which is not to blame.
    let is_current = !cx.allocations.wants_resize(pod);
    if is_current && cx.allocations.set_in_progress(pod, Some(&message)) {
        let generation = pod.metadata.generation.unwrap_or(0);
        cx.events.pod_warning(pod, "ResizeError", resize_message("Pod resize error", pod, generation, &message));
    }
    Err(RETRY)
}

/// Starts a container unless it crash-loops. The error is the time after which to try again.
async fn start_one(
    start: &Start<'_>,
    container: &Container,
    target: Option<&str>,
    memory: &mut Memory,
) -> Result<(), Duration> {
    let now = clock::now();
    let result = match crash_loop(start, container, now) {
        Some((failure, after)) => {
            memory.failures.insert(container.name.clone(), failure);
            return Err(after);
        }
        None => {
            tell_partial_restart(start, container);
            start.run(container, target).await
        }
    };
    let kind = match start.pod.container(&container.name) {
        Some((ContainerKind::Init, _)) => "init_container",
        Some((ContainerKind::Ephemeral, _)) => "ephemeral_container",
        _ => "container",
    };
    metrics::STARTED_CONTAINERS.with_label_values(&[kind]).inc();
    match result {
        Ok(()) => {
            memory.failures.remove(&container.name);
            Ok(())
        }
        Err(failure) => {
            tracing::info!(
                namespace = start.pod.namespace(),
                name = start.pod.name(),
                container = container.name,
                reason = failure.reason,
                message = failure.message,
                "container was not started"
            );
            metrics::STARTED_CONTAINERS_ERRORS.with_label_values(&[failure.reason.as_str(), kind]).inc();
            memory.failures.insert(container.name.clone(), failure);
            Err(RETRY)
        }
    }
}

/// Restarting one container where the rules want all of them is not what was asked for, so it is told.
fn tell_partial_restart(start: &Start<'_>, container: &Container) {
    let ended = start.observed.container(&container.name).filter(|found| found.phase == ContainerPhase::Exited);
    if ended.is_some_and(|ended| wants_all_restarted(container, ended.exit_code)) {
        let message = "RestartAllContainers is not supported by this kubelet: only this container is restarted";
        start.cx.events.container_warning(start.pod, &container.name, "RestartAllContainersUnsupported", message);
    }
}

/// Whether the container waits for its next try, and how long.
fn crash_loop(start: &Start<'_>, container: &Container, now: Timestamp) -> Option<(StartFailure, Duration)> {
    let (cx, pod) = (start.cx, start.pod);
    let mut runs = start.observed.containers.iter().filter(|found| found.name == container.name);
    let ended = runs.find(|found| found.phase == ContainerPhase::Exited)?;
    let key = format!("{}_{}", pod.uid(), container.name);
    let mut loops = cx.crash_loops.lock();
    if !loops.waits_since(&key, ended.finished_at, now) {
        loops.next(&key, ended.finished_at, now);
        return None;
    }
    let delay = loops.get(&key);
    drop(loops);
    let of_pod = pod.display();
    let event = format!("Back-off restarting failed container {} in pod {of_pod}", container.name);
    cx.events.container_warning(pod, &container.name, "BackOff", event);
    let shown = component_base::flags::format_duration(i64::try_from(delay.as_nanos()).unwrap_or(i64::MAX));
    let message = format!("back-off {shown} restarting failed container={} pod={of_pod}", container.name);
    let left: SignedDuration = delay - now.duration_since(ended.finished_at);
    let left = Duration::try_from(left).unwrap_or(RETRY).max(Duration::from_millis(100));
    Some((StartFailure { reason: "CrashLoopBackOff".to_owned(), message }, left.min(RETRY)))
}
