//! Carrying out a resize: the pod's control group and its containers, in an order in which the group always holds them.
//!
//! What grows, grows from the outside in; what shrinks, shrinks from the inside out. A step that fails ends the attempt, and
//! the next step of the pod goes on from what was noted.
//!
//! upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go: doPodResizeAction

use k8s_openapi::api::core::v1::Pod;

use super::machinery::Machinery;
use super::plan::Plan;
use super::resize::{Amounts, ContainerResize};
use super::resources::{PodLimits, container_resources, group_resources, pod_limits};
use super::view::PodView;
use crate::runtime::{RuntimeCode, RuntimeError};

/// A resize that was not completed.
#[derive(Debug, thiserror::Error)]
pub enum ResizeError {
    /// The pod's control group cannot be read.
    #[error("unable to get pod cgroup config for pod {pod:?}")]
    Read {
        /// The pod.
        pod: String,
        /// Why.
        source: std::io::Error,
    },
    /// The pod's control group took no other limits.
    #[error("failed to set cgroup config of pod {pod:?}: {source}")]
    Group {
        /// The pod.
        pod: String,
        /// Why.
        source: std::io::Error,
    },
    /// A limit would lie below what is used already.
    #[error("cannot decrease memory limits: {0}")]
    InUse(String),
    /// The runtime does not want the sandbox to be resized.
    #[error("failed to notify runtime for UpdatePodSandboxResources (resource={resource}); resize rejected: {source}")]
    Sandbox {
        /// `cpu` or `memory`.
        resource: &'static str,
        /// Why.
        source: RuntimeError,
    },
    /// The runtime did not resize a container.
    #[error("{0}")]
    Container(#[source] RuntimeError),
}

/// Gives the pod and its running containers what the plan says.
///
/// # Errors
/// See [`ResizeError`]; what was done before stays and is noted.
pub async fn resize(cx: &Machinery, pod: &Pod, plan: &Plan) -> Result<(), ResizeError> {
    let now = read_group(cx, pod)?;
    let wanted = keep_unnamed(pod_limits(pod, cx.settings.cpu), now);
    let mut attempt = Attempt { cx, pod, sandbox_id: &plan.sandbox_id, group: now };
    let whole_pod = plan.resize_group || plan.resize_pod_level;
    let memory: Vec<&ContainerResize> = plan.resize.iter().filter(|one| one.memory_changes()).collect();
    let cpu: Vec<&ContainerResize> = plan.resize.iter().filter(|one| one.cpu_changes()).collect();
    if whole_pod || !memory.is_empty() {
        validate_memory(cx, pod, now, wanted, &memory).await?;
        attempt.memory(wanted, &memory).await?;
    }
    if whole_pod || !cpu.is_empty() {
        attempt.cpu(wanted, &cpu).await?;
    }
    if plan.resize_pod_level {
        cx.allocations.set_actuated_pod(pod.uid(), pod.spec().resources.as_ref());
    }
    Ok(())
}

fn read_group(cx: &Machinery, pod: &Pod) -> Result<PodLimits, ResizeError> {
    if !cx.cgroups.per_pod() {
        return Ok(PodLimits::default());
    }
    cx.kernel.cgroup_limits(&cx.cgroups.of(pod)).map_err(|source| ResizeError::Read { pod: pod.display(), source })
}

/// A limit that the definition does not name stays as it is: taking limits away is no resize.
fn keep_unnamed(wanted: PodLimits, now: PodLimits) -> PodLimits {
    PodLimits {
        cpu_quota_us: wanted.cpu_quota_us.or(now.cpu_quota_us),
        memory_bytes: wanted.memory_bytes.or(now.memory_bytes),
        ..wanted
    }
}

/// A limit below what is in use would kill the container, so it is refused before anything is changed.
async fn validate_memory(
    cx: &Machinery,
    pod: &Pod,
    now: PodLimits,
    wanted: PodLimits,
    containers: &[&ContainerResize],
) -> Result<(), ResizeError> {
    let below = |new: i64, old: i64| new != 0 && (old == 0 || new < old);
    let mut complaints = Vec::new();
    let (new, old) = (wanted.memory_bytes.unwrap_or(0), now.memory_bytes.unwrap_or(0));
    if cx.cgroups.per_pod() && below(new, old) {
        match cx.kernel.cgroup_memory_usage(&cx.cgroups.of(pod)) {
            None => complaints.push("missing pod memory usage".to_owned()),
            Some(used) if used >= new => {
                complaints.push(format!("attempting to set pod memory limit ({new}) below current usage ({used})"))
            }
            Some(_) => {}
        }
    }
    let shrinking: Vec<&&ContainerResize> =
        containers.iter().filter(|one| below(one.desired.memory_limit, one.current.memory_limit)).collect();
    if !shrinking.is_empty() {
        let stats = cx.runtime.list_container_stats().await.unwrap_or_default();
        for one in shrinking {
            let of_container = stats.iter().find(|stats| stats.attributes.as_ref().is_some_and(|a| a.id == one.id));
            let used = of_container.and_then(|stats| stats.memory.as_ref()?.usage_bytes.as_ref());
            let (name, new) = (&one.name, one.desired.memory_limit);
            match used.and_then(|used| i64::try_from(used.value).ok()) {
                None => complaints.push(format!("missing container {name:?} memory usage")),
                Some(used) if used >= new => complaints.push(format!(
                    "attempting to set container {name:?} memory limit ({new}) below current usage ({used})"
                )),
                Some(_) => {}
            }
        }
    }
    match complaints.as_slice() {
        [] => Ok(()),
        [one] => Err(ResizeError::InUse(one.clone())),
        many => Err(ResizeError::InUse(format!("[{}]", many.join(", ")))),
    }
}

struct Attempt<'a> {
    cx: &'a Machinery,
    pod: &'a Pod,
    sandbox_id: &'a str,
    /// What the group has by now.
    group: PodLimits,
}

impl Attempt<'_> {
    async fn memory(&mut self, wanted: PodLimits, containers: &[&ContainerResize]) -> Result<(), ResizeError> {
        let next = PodLimits { memory_bytes: wanted.memory_bytes, ..self.group };
        let grows = limit(next.memory_bytes) > limit(self.group.memory_bytes);
        if grows {
            self.set_group("memory", next).await?;
        }
        let order =
            |one: &ContainerResize| limit(Some(one.desired.memory_limit)) > limit(Some(one.current.memory_limit));
        for one in shrinking_first(containers, order) {
            let amounts = one.current.with_memory_of(one.desired);
            self.update(one, amounts).await?;
        }
        if !grows {
            self.set_group("memory", next).await?;
        }
        Ok(())
    }

    async fn cpu(&mut self, wanted: PodLimits, containers: &[&ContainerResize]) -> Result<(), ResizeError> {
        let quota = |limits: PodLimits| limit(limits.cpu_quota_us);
        let (quota_grows, shares_grow) = (quota(wanted) > quota(self.group), wanted.cpu_shares > self.group.cpu_shares);
        // On the way up limits go before requests, on the way down after them.
        if quota_grows {
            self.set_group("cpu", self.with_quota_of(wanted)).await?;
        }
        if shares_grow {
            self.set_group("cpu", PodLimits { cpu_shares: wanted.cpu_shares, ..self.group }).await?;
        }
        let order = |one: &ContainerResize| {
            limit(Some(one.desired.cpu_limit)) > limit(Some(one.current.cpu_limit))
                || one.desired.cpu_request > one.current.cpu_request
        };
        for one in shrinking_first(containers, order) {
            self.update(one, one.desired).await?;
        }
        if !shares_grow {
            self.set_group("cpu", PodLimits { cpu_shares: wanted.cpu_shares, ..self.group }).await?;
        }
        if !quota_grows {
            self.set_group("cpu", self.with_quota_of(wanted)).await?;
        }
        Ok(())
    }

    fn with_quota_of(&self, wanted: PodLimits) -> PodLimits {
        PodLimits { cpu_quota_us: wanted.cpu_quota_us, cpu_period_us: wanted.cpu_period_us, ..self.group }
    }

    /// The runtime hears of it first, since it may refuse.
    async fn set_group(&mut self, resource: &'static str, next: PodLimits) -> Result<(), ResizeError> {
        if next == self.group || !self.cx.cgroups.per_pod() {
            return Ok(());
        }
        self.tell_runtime(next).await.map_err(|source| ResizeError::Sandbox { resource, source })?;
        let written = self.cx.kernel.ensure_cgroup(&self.cx.cgroups.of(self.pod), &next);
        if let Err(source) = written {
            if let Err(error) = self.tell_runtime(self.group).await {
                tracing::warn!(%error, "runtime was not told that a resize was taken back");
            }
            return Err(ResizeError::Group { pod: self.pod.display(), source });
        }
        self.group = next;
        Ok(())
    }

    /// Runtimes that do not know the call need not be told.
    async fn tell_runtime(&self, limits: PodLimits) -> Result<(), RuntimeError> {
        let told = self.cx.runtime.update_sandbox_resources(self.sandbox_id, group_resources(limits)).await;
        match told {
            Err(error) if error.code != RuntimeCode::Unimplemented => Err(error),
            _ => Ok(()),
        }
    }

    async fn update(&self, one: &ContainerResize, amounts: Amounts) -> Result<(), ResizeError> {
        let Some((_, mut container)) = self.pod.container(&one.name) else { return Ok(()) };
        container.resources = Some(amounts.into_requirements(container.resources.as_ref()));
        let resources = container_resources(self.pod, &container, self.cx.settings.cpu);
        self.cx.runtime.update_container_resources(&one.id, resources).await.map_err(ResizeError::Container)?;
        self.cx.allocations.set_actuated(self.pod.uid(), &one.name, container.resources.unwrap_or_default());
        Ok(())
    }
}

/// A limit for comparing: none is more than any.
fn limit(amount: Option<i64>) -> i64 {
    amount.filter(|amount| *amount > 0).unwrap_or(i64::MAX)
}

fn shrinking_first<'a>(
    containers: &[&'a ContainerResize],
    grows: impl Fn(&ContainerResize) -> bool,
) -> Vec<&'a ContainerResize> {
    let mut sorted: Vec<&ContainerResize> = containers.to_vec();
    sorted.sort_by_key(|one| grows(one));
    sorted
}
