//! What has to be done so that a pod's containers are as desired: pure, from the definition and what was observed.
//!
//! Nothing here knows how to do it, and nothing here waits. Restarting all containers of a pod at once is not planned.
//!
//! upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go: computePodActions, kuberuntime_container.go: computeInitContainerActions

use k8s_openapi::api::core::v1::{Container, Pod};

use super::resize::{self, ContainerResize, Verdict};
use super::restart::{needs_start, should_restart};
use super::view::{PodView, is_sidecar};
use crate::allocation::PodResources;
use crate::runtime::labels::container_hash;
use crate::runtime::{ContainerObserved, ContainerPhase, ObservedPod};

/// Why a container is killed, where the grace period depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    /// Its definition changed, or the pod ends.
    Ordinary,
    /// The liveness probe failed.
    LivenessProbe,
    /// The startup probe failed.
    StartupProbe,
    /// The postStart hook failed.
    PostStartHook,
    /// Its state is unknown.
    Unknown,
}

/// A container to kill before anything is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Id at the runtime.
    pub id: String,
    /// Name in the pod.
    pub name: String,
    /// Text of the event.
    pub message: String,
    /// Why.
    pub reason: KillReason,
}

/// The steps towards the desired state, in the order in which they are carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Stop every container and sandbox of the pod first.
    pub kill_pod: bool,
    /// Make a sandbox.
    pub create_sandbox: bool,
    /// The sandbox to use, or to replace; empty when there is none.
    pub sandbox_id: String,
    /// Which try the sandbox is.
    pub attempt: u32,
    /// Containers to kill.
    pub kill: Vec<Kill>,
    /// Indexes of ephemeral containers to start.
    pub ephemeral: Vec<usize>,
    /// Indexes of init containers to start, in order.
    pub init: Vec<usize>,
    /// Indexes of app containers to start.
    pub app: Vec<usize>,
    /// Containers that get other resources as they run.
    pub resize: Vec<ContainerResize>,
    /// A container starts anew with other resources, so the pod's group must change as well.
    pub resize_group: bool,
    /// The pod as a whole gets other resources.
    pub resize_pod_level: bool,
}

impl Plan {
    /// True when resources change.
    pub fn resizes(&self) -> bool {
        !self.resize.is_empty() || self.resize_group || self.resize_pod_level
    }
}

/// The last verdict of a probe on one container; `None` before the first.
pub trait Verdicts {
    /// Liveness: healthy or not.
    fn liveness(&self, container_id: &str) -> Option<bool>;
    /// Startup: started or failed.
    fn startup(&self, container_id: &str) -> Option<bool>;
}

/// Whether the pod needs another sandbox, which try that is, and the sandbox at hand.
///
/// upstream: pkg/kubelet/kuberuntime/util/util.go: PodSandboxChanged
pub fn sandbox_changed(pod: &Pod, observed: &ObservedPod) -> (bool, u32, String) {
    let Some(newest) = observed.sandboxes.first() else {
        return (true, 0, String::new());
    };
    let ready = observed.sandboxes.iter().filter(|sandbox| sandbox.ready).count();
    if ready > 1 || !newest.ready {
        return (true, newest.attempt + 1, newest.id.clone());
    }
    if newest.host_network != pod.host_network() {
        return (true, newest.attempt + 1, String::new());
    }
    if !pod.host_network() && newest.has_network_status && newest.ips.is_empty() {
        return (true, newest.attempt + 1, newest.id.clone());
    }
    (false, newest.attempt, newest.id.clone())
}

/// Plans the next steps for a pod that is meant to run.
///
/// `actuated` is what the containers were given last.
pub fn plan(pod: &Pod, observed: &ObservedPod, verdicts: &dyn Verdicts, actuated: &PodResources) -> Plan {
    let (changed, attempt, sandbox_id) = sandbox_changed(pod, observed);
    let mut plan = Plan { kill_pod: changed, create_sandbox: changed, sandbox_id, attempt, ..Plan::default() };
    if changed {
        plan_from_scratch(pod, observed, &mut plan);
        return plan;
    }
    for (index, ephemeral) in pod.spec().ephemeral_containers.iter().flatten().enumerate() {
        // Ephemeral containers are never started twice.
        if observed.container(&ephemeral.name).is_none() {
            plan.ephemeral.push(index);
        }
    }
    let facts = Facts { pod, observed, verdicts, actuated };
    let initialized = plan_init(&facts, &mut plan);
    if plan.kill_pod || !initialized {
        return plan;
    }
    plan_app(&facts, &mut plan);
    plan.resize_pod_level = !plan.kill_pod && resize::pod_level_differs(pod, actuated);
    plan
}

/// What a plan for a pod with a sandbox is made from.
#[derive(Clone, Copy)]
struct Facts<'a> {
    pod: &'a Pod,
    observed: &'a ObservedPod,
    verdicts: &'a dyn Verdicts,
    actuated: &'a PodResources,
}

/// The plan for a pod without a usable sandbox: everything starts over.
fn plan_from_scratch(pod: &Pod, observed: &ObservedPod, plan: &mut Plan) {
    if policy(pod) == "Never" && plan.attempt != 0 && !observed.containers.is_empty() {
        // The pod had its one run; a new sandbox would only be stopped again.
        plan.create_sandbox = false;
        return;
    }
    let to_start: Vec<usize> = (0..pod.spec().containers.len())
        .filter(|index| {
            let container = &pod.spec().containers[*index];
            let policy = container.restart_policy.as_deref().unwrap_or_else(|| policy(pod));
            !(policy == "OnFailure" && succeeded(container, observed))
        })
        .collect();
    if to_start.is_empty() && any_app_created(pod, observed) {
        plan.create_sandbox = false;
        return;
    }
    if pod.init_containers().is_empty() {
        plan.app = to_start;
    } else {
        plan.init = vec![0];
    }
}

fn policy(pod: &Pod) -> &str {
    pod.spec().restart_policy.as_deref().unwrap_or("Always")
}

fn succeeded(container: &Container, observed: &ObservedPod) -> bool {
    observed
        .container(&container.name)
        .is_some_and(|found| found.phase == ContainerPhase::Exited && found.exit_code == 0)
}

/// True when any app container was made at some time, which means that initialization was complete then.
pub fn any_app_created(pod: &Pod, observed: &ObservedPod) -> bool {
    pod.spec().containers.iter().any(|container| {
        observed.container(&container.name).is_some_and(|found| found.phase != ContainerPhase::Unknown)
    })
}

fn plan_app(facts: &Facts<'_>, plan: &mut Plan) {
    let Facts { pod, observed, verdicts, actuated } = *facts;
    let mut kept = 0;
    for (index, container) in pod.spec().containers.iter().enumerate() {
        let found = observed.container(&container.name);
        let Some(running) = found.filter(|found| found.phase == ContainerPhase::Running) else {
            if needs_start(container, pod, observed) {
                plan.app.push(index);
                if let Some(found) = found.filter(|found| found.phase == ContainerPhase::Unknown) {
                    // It may run after all; two of a kind must never run at once.
                    plan.kill.push(kill_unknown("Container", found));
                }
            }
            continue;
        };
        let container_policy = container.restart_policy.as_deref().unwrap_or_else(|| policy(pod));
        let restarts = container_policy != "Never";
        let (message, reason, restarts) = if changed(container, running) {
            (format!("Container {} definition changed", container.name), KillReason::Ordinary, true)
        } else if verdicts.liveness(&running.id) == Some(false) {
            (format!("Container {} failed liveness probe", container.name), KillReason::LivenessProbe, restarts)
        } else if verdicts.startup(&running.id) == Some(false) {
            (format!("Container {} failed startup probe", container.name), KillReason::StartupProbe, restarts)
        } else {
            match resize::judge(pod, container, &running.id, actuated) {
                Verdict::Restart => {
                    plan.kill.push(kill_for_resize(running));
                    plan.app.push(index);
                    plan.resize_group = true;
                }
                Verdict::Update(update) => {
                    plan.resize.push(update);
                    kept += 1;
                }
                Verdict::Keep => kept += 1,
            }
            continue;
        };
        let message = if restarts { format!("{message}, will be restarted") } else { message };
        if restarts {
            plan.app.push(index);
        }
        plan.kill.push(Kill { id: running.id.clone(), name: running.name.clone(), message, reason });
    }
    if kept == 0 && plan.app.is_empty() {
        plan.kill_pod = true;
        // Sidecars must not keep a finished pod alive.
        plan.init.clear();
    }
}

fn changed(container: &Container, found: &ContainerObserved) -> bool {
    container_hash(&container.name, container.image.as_deref().unwrap_or_default()) != found.notes.hash
}

fn kill_for_resize(found: &ContainerObserved) -> Kill {
    Kill {
        id: found.id.clone(),
        name: found.name.clone(),
        message: format!("Container {} resize requires restart", found.name),
        reason: KillReason::Ordinary,
    }
}

fn kill_unknown(kind: &str, found: &ContainerObserved) -> Kill {
    Kill {
        id: found.id.clone(),
        name: found.name.clone(),
        message: format!("{kind} is in {:?} state, try killing it before restart", found.phase.to_string()),
        reason: KillReason::Unknown,
    }
}

/// What the init containers need. Answers whether initialization is complete.
///
/// They are walked backwards: older ones may have been removed, so only the last one that is known tells how far
/// initialization went.
fn plan_init(facts: &Facts<'_>, plan: &mut Plan) -> bool {
    let Facts { pod, observed, .. } = *facts;
    let containers = pod.init_containers();
    if containers.is_empty() {
        return true;
    }
    let mut initialized = pod.spec().containers.iter().any(|container| {
        observed
            .container(&container.name)
            .is_some_and(|found| matches!(found.phase, ContainerPhase::Created | ContainerPhase::Running))
    });
    let mut later_known = initialized;
    for (index, container) in containers.iter().enumerate().rev() {
        let sidecar = is_sidecar(container);
        let Some(found) = observed.container(&container.name) else {
            if later_known && sidecar {
                plan.init.push(index);
            }
            continue;
        };
        if later_known && !sidecar {
            continue;
        }
        let step = InitStep { facts, container, found, index, last: index + 1 == containers.len(), later_known };
        match step.decide(plan) {
            InitProgress::Failed => {
                plan.kill_pod = true;
                plan.init.clear();
                return false;
            }
            InitProgress::Complete => initialized = true,
            InitProgress::Pending => {}
        }
        later_known = true;
    }
    if !later_known {
        plan.init.push(0);
    }
    plan.init.reverse();
    initialized
}

enum InitProgress {
    Pending,
    Complete,
    Failed,
}

struct InitStep<'a> {
    facts: &'a Facts<'a>,
    container: &'a Container,
    found: &'a ContainerObserved,
    index: usize,
    last: bool,
    later_known: bool,
}

impl InitStep<'_> {
    fn decide(&self, plan: &mut Plan) -> InitProgress {
        let sidecar = is_sidecar(self.container);
        match self.found.phase {
            ContainerPhase::Created => {
                plan.init.push(self.index);
                InitProgress::Pending
            }
            ContainerPhase::Running if sidecar => self.running_sidecar(plan),
            ContainerPhase::Running => {
                self.resize(plan);
                InitProgress::Pending
            }
            ContainerPhase::Exited if sidecar => {
                plan.init.push(self.index);
                InitProgress::Pending
            }
            ContainerPhase::Exited => self.exited(plan),
            ContainerPhase::Unknown => self.unknown(sidecar, plan),
        }
    }

    fn running_sidecar(&self, plan: &mut Plan) -> InitProgress {
        let verdicts = self.facts.verdicts;
        if self.container.startup_probe.is_some() {
            match verdicts.startup(&self.found.id) {
                Some(true) => {}
                Some(false) => {
                    self.restart("failed startup probe", KillReason::StartupProbe, plan);
                    return InitProgress::Pending;
                }
                None => return InitProgress::Pending,
            }
        }
        let mut progress = InitProgress::Pending;
        if self.last {
            progress = InitProgress::Complete;
        } else if !self.later_known {
            plan.init.push(self.index + 1);
        }
        if changed(self.container, self.found) {
            self.restart("definition changed", KillReason::Ordinary, plan);
        } else if self.container.liveness_probe.is_some() && verdicts.liveness(&self.found.id) == Some(false) {
            self.restart("failed liveness probe", KillReason::LivenessProbe, plan);
        } else {
            self.resize(plan);
        }
        progress
    }

    fn resize(&self, plan: &mut Plan) {
        match resize::judge(self.facts.pod, self.container, &self.found.id, self.facts.actuated) {
            Verdict::Keep => {}
            Verdict::Update(update) => plan.resize.push(update),
            // Only a container that is started again may be stopped for a resize.
            Verdict::Restart if is_sidecar(self.container) => {
                plan.kill.push(kill_for_resize(self.found));
                plan.init.push(self.index);
                plan.resize_group = true;
            }
            Verdict::Restart => {}
        }
    }

    fn restart(&self, why: &str, reason: KillReason, plan: &mut Plan) {
        let message = format!("Init container {} {why}", self.container.name);
        plan.kill.push(Kill { id: self.found.id.clone(), name: self.container.name.clone(), message, reason });
        plan.init.push(self.index);
    }

    fn exited(&self, plan: &mut Plan) -> InitProgress {
        let failed = self.found.exit_code != 0 || self.found.reason == "OOMKilled";
        if failed {
            if !should_restart(self.container, Some(policy(self.facts.pod)), self.found.exit_code) {
                return InitProgress::Failed;
            }
            plan.init.push(self.index);
            return InitProgress::Pending;
        }
        if self.last {
            return InitProgress::Complete;
        }
        plan.init.push(self.index + 1);
        InitProgress::Pending
    }

    fn unknown(&self, sidecar: bool, plan: &mut Plan) -> InitProgress {
        let policy = self.container.restart_policy.as_deref().unwrap_or_else(|| policy(self.facts.pod));
        if !sidecar && policy == "Never" {
            return InitProgress::Failed;
        }
        plan.kill.push(kill_unknown("Init container", self.found));
        plan.init.push(self.index);
        InitProgress::Pending
    }
}

#[cfg(test)]
mod tests;
