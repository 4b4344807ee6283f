//! The status of a pod as the API shows it: pure, from the definition, what was observed and the status before.
//!
//! It never forgets a terminal phase and never un-ends a container that the runtime has lost.
//!
//! upstream: pkg/kubelet/kubelet_pods.go: generateAPIPodStatus, convertToAPIContainerStatuses,
//! pkg/kubelet/prober/prober_manager.go: UpdatePodStatus

use std::collections::BTreeMap;

use apimachinery::quantity::{self as amount, Format};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    ContainerUser, HostIP, LinuxContainerUser, Pod, PodCondition, PodIP, PodStatus, ResourceRequirements,
    VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions;
use super::phase::phase;
use super::plan::{any_app_created, sandbox_changed};
use super::qos::qos_class;
use super::resources::{milli, pod_amount, whole};
use super::restart::needs_start;
use super::view::{PodView, is_sidecar, plain};
use crate::allocation::{self, PodResources};
use crate::runtime::{ContainerObserved, ContainerPhase, ObservedPod, ResourcesObserved};

/// Thousandths of a CPU below which the kernel knows no smaller limit.
const CPU_LIMIT_MIN: i64 = 10;
/// Thousandths of a CPU below which the kernel knows no smaller weight.
const CPU_REQUEST_MIN: i64 = 2;

/// Why a container could not be started: the waiting state shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    /// Such as `CrashLoopBackOff` or `ErrImagePull`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// What the probes said last about one container, by its id; `None` before the first verdict.
pub trait ProbeVerdicts {
    /// Whether the container has started.
    fn startup(&self, container_id: &str) -> Option<bool>;
    /// Whether the container is ready.
    fn readiness(&self, container_id: &str) -> Option<bool>;
}

/// Everything that a status is made of.
pub struct Inputs<'a> {
    /// The definition; its status is what the API has.
    pub pod: &'a Pod,
    /// What runs.
    pub observed: &'a ObservedPod,
    /// The status that this kubelet computed last, or else what the API has.
    pub previous: &'a PodStatus,
    /// Nothing of the pod will run again.
    pub terminal: bool,
    /// Containers that could not be started, by name.
    pub failures: &'a BTreeMap<String, StartFailure>,
    /// The probes' verdicts.
    pub probes: &'a dyn ProbeVerdicts,
    /// Addresses of the node, the primary one first; empty without an API.
    pub host_ips: &'a [String],
    /// Scheme of container ids, such as `containerd`.
    pub runtime_name: &'a str,
    /// What the containers were given last.
    pub actuated: &'a PodResources,
    /// Conditions of a resize.
    pub resize: &'a [PodCondition],
}

/// Computes the status. Transition times are set by the status manager, which knows what was there before.
pub fn generate(inputs: &Inputs<'_>) -> PodStatus {
    let (pod, observed, previous) = (inputs.pod, inputs.observed, inputs.previous);
    let mut status = PodStatus { qos_class: Some(qos_class(pod).to_owned()), ..PodStatus::default() };
    if was_refused(previous) && observed.containers.is_empty() {
        status.phase.clone_from(&previous.phase);
        status.reason.clone_from(&previous.reason);
        status.message.clone_from(&previous.message);
        return status;
    }
    let ephemeral: Vec<Container> = pod.spec().ephemeral_containers.iter().flatten().map(plain).collect();
    let list = |previous: &Option<Vec<ContainerStatus>>, containers: &[Container], init: bool| {
        let statuses = ContainerList { inputs, previous: previous.as_deref().unwrap_or_default(), init };
        (!containers.is_empty()).then(|| statuses.generate(containers))
    };
    status.container_statuses = list(&previous.container_statuses, &pod.spec().containers, false);
    status.init_container_statuses = list(&previous.init_container_statuses, pod.init_containers(), true);
    status.ephemeral_container_statuses = list(&previous.ephemeral_container_statuses, &ephemeral, false);
    set_resources(pod, &mut status);
    set_probe_results(inputs, &mut status);
    set_phase(inputs, &mut status);
    set_conditions(inputs, &mut status);
    set_addresses(inputs, observed, &mut status);
    status
}

/// A pod that failed before it had any container was never let in: its status stays as short as that.
fn was_refused(status: &PodStatus) -> bool {
    let none = |list: &Option<Vec<ContainerStatus>>| list.as_ref().is_none_or(Vec::is_empty);
    status.phase.as_deref() == Some("Failed")
        && none(&status.container_statuses)
        && none(&status.init_container_statuses)
}

/// What the whole pod may use, as its definition says.
fn set_resources(pod: &Pod, status: &mut PodStatus) {
    let amounts = |limits: bool| -> Option<BTreeMap<String, Quantity>> {
        let mut out = BTreeMap::new();
        for (name, format) in [("cpu", Format::DecimalSi), ("memory", Format::BinarySi)] {
            let (amount, complete) = pod_amount(pod, limits, name);
            if amount > 0 && (complete || !limits) {
                out.insert(name.to_owned(), Quantity(amount::Quantity::from_milli(amount, format).to_string()));
            }
        }
        (!out.is_empty()).then_some(out)
    };
    let (requests, limits) = (amounts(false), amounts(true));
    status.allocated_resources.clone_from(&requests);
    status.resources = Some(ResourceRequirements { claims: None, limits, requests })
        .filter(|resources| resources.limits.is_some() || resources.requests.is_some());
}

fn set_phase(inputs: &Inputs<'_>, status: &mut PodStatus) {
    let (pod, observed, previous) = (inputs.pod, inputs.observed, inputs.previous);
    let active = observed.sandboxes.first().map(|sandbox| sandbox.id.as_str());
    let initialized = observed.containers.iter().any(|found| {
        Some(found.sandbox_id.as_str()) == active
            && pod.spec().containers.iter().any(|container| container.name == found.name)
    });
    let both: Vec<ContainerStatus> =
        status.container_statuses.iter().chain(&status.init_container_statuses).flatten().cloned().collect();
    let mut now = phase(pod, &both, inputs.terminal, initialized).to_owned();
    let is_terminal = |phase: &Option<String>| matches!(phase.as_deref(), Some("Succeeded" | "Failed"));
    // A terminal phase is never left: the API's word first, then our own.
    for earlier in [&previous.phase, &pod.status().phase] {
        if is_terminal(earlier) && (!matches!(now.as_str(), "Succeeded" | "Failed")) {
            now = earlier.clone().unwrap_or_default();
        }
    }
    if is_terminal(&pod.status().phase) {
        now = pod.status().phase.clone().unwrap_or_default();
    }
    if previous.phase.as_deref() == Some(now.as_str()) {
        status.reason = previous.reason.clone().or_else(|| pod.status().reason.clone());
        status.message = previous.message.clone().or_else(|| pod.status().message.clone());
    }
    status.phase = Some(now);
}

fn set_conditions(inputs: &Inputs<'_>, status: &mut PodStatus) {
    let pod = inputs.pod;
    let foreign = pod.status().conditions.iter().flatten();
    let mut all: Vec<PodCondition> =
        foreign.filter(|condition| !conditions::OWNED.contains(&condition.type_.as_str())).cloned().collect();
    let disruption = inputs.previous.conditions.iter().flatten().find(|c| c.type_ == "DisruptionTarget");
    if let Some(disruption) = disruption {
        all.retain(|condition| condition.type_ != disruption.type_);
        all.push(disruption.clone());
    }
    let phase = status.phase.as_deref().unwrap_or_default();
    let both: Vec<ContainerStatus> =
        status.init_container_statuses.iter().chain(&status.container_statuses).flatten().cloned().collect();
    let (needs_sandbox, _, _) = sandbox_changed(pod, inputs.observed);
    let ready = conditions::ready(pod, &both, phase, &all);
    if !inputs.terminal {
        all.extend(inputs.resize.iter().cloned());
    }
    all.push(conditions::condition("PodReadyToStartContainers", !needs_sandbox, "", ""));
    all.push(conditions::initialized(pod, &both, phase));
    all.push(ready);
    all.push(conditions::containers_ready(pod, &both, phase));
    all.push(conditions::condition("PodScheduled", true, "", ""));
    for condition in &mut all {
        let of_resize = [allocation::PENDING, allocation::IN_PROGRESS].contains(&condition.type_.as_str());
        if conditions::OWNED.contains(&condition.type_.as_str()) && !of_resize {
            condition.observed_generation = pod.metadata.generation.filter(|generation| *generation != 0);
        }
    }
    status.conditions = Some(all);
}

fn set_addresses(inputs: &Inputs<'_>, observed: &ObservedPod, status: &mut PodStatus) {
    let mut ips: Vec<String> = observed.ips().to_vec();
    if let Some(host_ip) = inputs.host_ips.first() {
        status.host_ip = Some(host_ip.clone());
        status.host_ips = Some(inputs.host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
        if inputs.pod.host_network() && ips.is_empty() {
            ips = inputs.host_ips.to_vec();
        }
    }
    if !ips.is_empty() {
        status.pod_ip = ips.first().cloned();
        status.pod_ips = Some(ips.into_iter().map(|ip| PodIP { ip }).collect());
    }
}

fn set_probe_results(inputs: &Inputs<'_>, status: &mut PodStatus) {
    let previous = |init: bool, now: &ContainerStatus| -> Option<ContainerStatus> {
        let list = if init { &inputs.previous.init_container_statuses } else { &inputs.previous.container_statuses };
        list.iter().flatten().find(|old| old.name == now.name && old.container_id == now.container_id).cloned()
    };
    for (init, list) in [(false, &mut status.container_statuses), (true, &mut status.init_container_statuses)] {
        for now in list.iter_mut().flatten() {
            let container = inputs.pod.container(&now.name).map(|(_, container)| container).unwrap_or_default();
            let old = previous(init, now);
            let id = now.container_id.as_deref().and_then(|id| id.split_once("://")).map_or("", |(_, id)| id);
            let running = now.state.as_ref().is_some_and(|state| state.running.is_some());
            let started = running
                && inputs.probes.startup(id).unwrap_or_else(|| {
                    container.startup_probe.is_none() || old.as_ref().is_some_and(|old| old.started == Some(true))
                });
            now.started = Some(started);
            if init && !is_sidecar(&container) {
                now.ready = now
                    .state
                    .as_ref()
                    .and_then(|state| state.terminated.as_ref())
                    .is_some_and(|ended| ended.exit_code == 0);
                continue;
            }
            // Before the first verdict of this process the status that a former one wrote stays: readiness does not
            // flap when the kubelet restarts.
            now.ready = started
                && inputs
                    .probes
                    .readiness(id)
                    .unwrap_or_else(|| container.readiness_probe.is_none() || old.is_some_and(|old| old.ready));
        }
    }
}

struct ContainerList<'a> {
    inputs: &'a Inputs<'a>,
    previous: &'a [ContainerStatus],
    init: bool,
}

impl ContainerList<'_> {
    fn generate(&self, containers: &[Container]) -> Vec<ContainerStatus> {
        let mut statuses: Vec<ContainerStatus> = containers.iter().map(|container| self.one(container)).collect();
        if !self.init {
            statuses.sort_by(|a, b| a.name.cmp(&b.name));
        }
        statuses
    }

    fn old(&self, name: &str) -> Option<&ContainerStatus> {
        self.previous.iter().find(|old| old.name == name)
    }

    fn one(&self, container: &Container) -> ContainerStatus {
        let observed = self.inputs.observed;
        let old = self.old(&container.name);
        let mut runs = observed.containers.iter().filter(|found| found.name == container.name);
        let mut status = match runs.next() {
            None => self.not_found(container, old),
            Some(newest) => {
                let mut status = self.converted(container, newest, old);
                if let Some(before) = runs.next() {
                    status.last_state = self.converted(container, before, old).state;
                }
                status
            }
        };
        status.volume_mounts = volume_mounts(container);
        self.apply_failure(container, &mut status);
        status
    }

    /// The status of a container that the runtime does not have.
    fn not_found(&self, container: &Container, old: Option<&ContainerStatus>) -> ContainerStatus {
        let waiting =
            if self.inputs.pod.init_containers().is_empty() { "ContainerCreating" } else { "PodInitializing" };
        let mut status = ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            state: Some(waiting_state(waiting, "")),
            ..ContainerStatus::default()
        };
        let Some(old) = old else {
            return status;
        };
        let was = old.state.clone().unwrap_or_default();
        if was.terminated.is_some() {
            return old.clone();
        }
        status.restart_count = old.restart_count;
        status.last_state.clone_from(&old.last_state);
        let ended_before = old.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
        if was.running.is_some() && !ended_before {
            // It ran and is gone: say that it ended, or the pod would fall back to Pending.
            status.last_state = Some(ContainerState {
                terminated: Some(ContainerStateTerminated {
                    exit_code: 137,
                    reason: Some("ContainerStatusUnknown".to_owned()),
                    message: Some(
                        "The container could not be located when the pod was deleted.  The container used to be Running"
                            .to_owned(),
                    ),
                    ..ContainerStateTerminated::default()
                }),
                ..ContainerState::default()
            });
            if self.inputs.pod.metadata.deletion_timestamp.is_none() {
                status.restart_count += 1;
            }
        }
        status
    }

    fn converted(
        &self,
        container: &Container,
        found: &ContainerObserved,
        old: Option<&ContainerStatus>,
    ) -> ContainerStatus {
        let id = format!("{}://{}", self.inputs.runtime_name, found.id);
        let mut status = ContainerStatus {
            name: found.name.clone(),
            image: found.image.clone(),
            image_id: found.image_id.clone(),
            container_id: Some(id.clone()),
            restart_count: found.notes.restart_count,
            resources: Some(self.resources(container, found)),
            allocated_resources: container.resources.as_ref().and_then(|resources| resources.requests.clone()),
            user: found.user.as_ref().map(|user| ContainerUser {
                linux: Some(LinuxContainerUser {
                    uid: user.uid,
                    gid: user.gid,
                    supplemental_groups: (!user.groups.is_empty()).then(|| user.groups.clone()),
                }),
            }),
            ..ContainerStatus::default()
        };
        if let Some(old) = old {
            status.last_state = old.last_state.clone().filter(|last| last.terminated.is_some());
            let ended = old.state.as_ref().filter(|state| state.terminated.is_some());
            if old.container_id.as_deref() != Some(id.as_str()) && ended.is_some() {
                status.last_state = ended.cloned();
            }
        }
        let was_running = old.and_then(|old| old.state.as_ref()).is_some_and(|state| state.running.is_some());
        status.state = Some(match found.phase {
            ContainerPhase::Running => ContainerState {
                running: Some(ContainerStateRunning { started_at: Some(Time(whole_second(found.started_at))) }),
                ..ContainerState::default()
            },
            ContainerPhase::Exited => ended_state(found, id),
            ContainerPhase::Unknown if was_running => {
                status.restart_count = old.map_or(0, |old| old.restart_count) + 1;
                lost_state()
            }
            ContainerPhase::Created | ContainerPhase::Unknown => waiting_state("", ""),
        });
        status
    }

    /// What a running container really has: the runtime's word where it gives one, else what it was told last.
    ///
    /// Amounts so small that the kernel rounds them up are shown as they were granted.
    ///
    /// upstream: pkg/kubelet/kubelet_pods.go: convertContainerStatusResources
    fn resources(&self, container: &Container, found: &ContainerObserved) -> ResourceRequirements {
        let mut out = container.resources.clone().unwrap_or_default();
        if found.phase != ContainerPhase::Running {
            return out;
        }
        let given = self.inputs.actuated.container_resources.get(&container.name);
        let real = match (found.resources, given) {
            (Some(real), _) => Some(real),
            (None, Some(given)) => Some(ResourcesObserved {
                cpu_request: milli(Some(given), false, "cpu"),
                cpu_limit: milli(Some(given), true, "cpu"),
                memory_limit: whole(Some(given), true, "memory"),
            }),
            (None, None) => None,
        };
        let granted_limit = milli(Some(&out), true, "cpu").unwrap_or(0);
        let granted_request = milli(Some(&out), false, "cpu").unwrap_or(0);
        let real = real.unwrap_or_default();
        if let Some(limits) = &mut out.limits {
            let cpu = real.cpu_limit.filter(|real| *real > CPU_LIMIT_MIN || granted_limit > CPU_LIMIT_MIN);
            show(limits, "cpu", cpu, Format::DecimalSi);
            show(limits, "memory", real.memory_limit.map(|bytes| bytes.saturating_mul(1000)), Format::BinarySi);
        }
        if let Some(requests) = &mut out.requests {
            let cpu = real.cpu_request.filter(|real| *real > CPU_REQUEST_MIN || granted_request > CPU_REQUEST_MIN);
            show(requests, "cpu", cpu, Format::DecimalSi);
            let memory = given.and_then(|given| whole(Some(given), false, "memory")).filter(|bytes| *bytes > 0);
            show(requests, "memory", memory.map(|bytes| bytes.saturating_mul(1000)), Format::BinarySi);
        }
        out
    }

    /// A container that is to be started but could not be is waiting, with the reason.
    fn apply_failure(&self, container: &Container, status: &mut ContainerStatus) {
        let (pod, observed) = (self.inputs.pod, self.inputs.observed);
        if self.init {
            let found = observed.container(&container.name);
            if found.is_some_and(|found| found.phase == ContainerPhase::Exited && found.exit_code == 0) {
                return;
            }
            let waiting = status.state.as_ref().is_some_and(|state| state.waiting.is_some());
            if found.is_none() && waiting && !is_sidecar(container) && any_app_created(pod, observed) {
                status.state = Some(forgotten_init_state());
                return;
            }
        }
        if !needs_start(container, pod, observed) {
            return;
        }
        let Some(failure) = self.inputs.failures.get(&container.name) else {
            return;
        };
        if status.state.as_ref().is_some_and(|state| state.terminated.is_some()) {
            status.last_state = status.state.take();
        }
        status.state = Some(waiting_state(&failure.reason, &failure.message));
    }
}

/// Puts an amount in thousandths where it differs; equal amounts keep the words of the definition.
fn show(list: &mut BTreeMap<String, Quantity>, name: &str, milli: Option<i64>, format: Format) {
    let Some(milli) = milli else { return };
    let before = list.get(name).and_then(|text| amount::Quantity::parse(&text.0).ok());
    if before.is_none_or(|before| before.milli_value() != milli) {
        list.insert(name.to_owned(), Quantity(amount::Quantity::from_milli(milli, format).to_string()));
    }
}

fn waiting_state(reason: &str, message: &str) -> ContainerState {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: text(reason), message: text(message) }),
        ..ContainerState::default()
    }
}

fn ended_state(found: &ContainerObserved, id: String) -> ContainerState {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: found.exit_code,
            reason: text(&found.reason),
            message: text(&found.message),
            started_at: Some(Time(whole_second(found.started_at))),
            finished_at: Some(Time(whole_second(found.finished_at))),
            container_id: Some(id),
            signal: None,
        }),
        ..ContainerState::default()
    }
}

/// The end of a container that the runtime can tell nothing about any more.
pub fn lost_state() -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: 137,
            reason: Some("ContainerStatusUnknown".to_owned()),
            message: Some("The container could not be located when the pod was terminated".to_owned()),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

fn forgotten_init_state() -> ContainerState {
    let message = "Unable to get init container status from container runtime and pod has been initialized, \
                   treat it as exited normally";
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            reason: Some("Completed".to_owned()),
            message: Some(message.to_owned()),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

/// The API keeps whole seconds; comparing with what it has must not see a difference.
pub fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn volume_mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts = container.volume_mounts.as_ref().filter(|mounts| !mounts.is_empty())?;
    let statuses = mounts.iter().map(|mount| VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: mount.read_only.filter(|read_only| *read_only),
        recursive_read_only: (mount.read_only == Some(true)).then(|| "Disabled".to_owned()),
        ..VolumeMountStatus::default()
    });
    Some(statuses.collect())
}

#[cfg(test)]
mod tests;
