//! Requests and limits as the kernel counts them.
//!
//! upstream: pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/kuberuntime/kuberuntime_container_linux.go, pkg/kubelet/qos/policy.go

use apimachinery::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};

use super::qos::qos_class;
use super::view::{PodView, is_sidecar};
use crate::runtime::types::{HugepageLimit, LinuxContainerResources};

const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;
const QUOTA_US_MIN: i64 = 1000;
const OOM_GUARANTEED: i64 = -997;
const OOM_BEST_EFFORT: i64 = 1000;
/// Priority from which a pod may never be killed for memory.
const NODE_CRITICAL_PRIORITY: i32 = 2_000_001_000;

/// What the node allows and has.
#[derive(Clone, Copy, Debug)]
pub struct CpuSettings {
    /// Enforce CPU limits.
    pub cfs_quota: bool,
    /// Period of the quota in microseconds.
    pub cfs_period_us: i64,
    /// Memory of the machine in bytes.
    pub memory_bytes: i64,
}

/// Weight of `milli_cpu` thousandths of a CPU.
pub fn cpu_shares(milli_cpu: i64) -> u64 {
    u64::try_from((milli_cpu.saturating_mul(1024) / 1000).clamp(SHARES_MIN, SHARES_MAX)).unwrap_or(0)
}

/// CPU time per period in microseconds; 0 means without a limit.
pub fn cpu_quota_us(milli_cpu: i64, period_us: i64) -> i64 {
    if milli_cpu == 0 { 0 } else { (milli_cpu.saturating_mul(period_us) / 1000).max(QUOTA_US_MIN) }
}

/// An amount in thousandths, `None` when it is not named.
pub fn milli(resources: Option<&ResourceRequirements>, limits: bool, name: &str) -> Option<i64> {
    quantity(resources, limits, name).map(|quantity| quantity.milli_value())
}

/// An amount in whole units, rounded up, `None` when it is not named.
pub fn whole(resources: Option<&ResourceRequirements>, limits: bool, name: &str) -> Option<i64> {
    quantity(resources, limits, name).map(|quantity| quantity.value())
}

fn quantity(resources: Option<&ResourceRequirements>, limits: bool, name: &str) -> Option<Quantity> {
    let list = if limits { &resources?.limits } else { &resources?.requests };
    Quantity::parse(&list.as_ref()?.get(name)?.0).ok()
}

/// Resources of one container for the runtime.
pub fn container_resources(pod: &Pod, container: &Container, settings: CpuSettings) -> LinuxContainerResources {
    let own = container.resources.as_ref();
    let pod_level = pod.spec().resources.as_ref();
    let positive = |amount: &i64| *amount > 0;
    let cpu_limit = milli(own, true, "cpu").filter(positive).or_else(|| milli(pod_level, true, "cpu")).unwrap_or(0);
    let memory_limit =
        whole(own, true, "memory").filter(positive).or_else(|| whole(pod_level, true, "memory")).unwrap_or(0);
    let cpu_request = milli(own, false, "cpu").unwrap_or(cpu_limit);
    let mut out = LinuxContainerResources {
        cpu_shares: i64::try_from(cpu_shares(cpu_request)).unwrap_or(SHARES_MAX),
        memory_limit_in_bytes: memory_limit,
        oom_score_adj: oom_score_adj(pod, container, settings.memory_bytes),
        hugepage_limits: hugepage_limits(own),
        ..LinuxContainerResources::default()
    };
    if settings.cfs_quota {
        out.cpu_period = settings.cfs_period_us;
        out.cpu_quota = cpu_quota_us(cpu_limit, settings.cfs_period_us);
    }
    out
}

fn hugepage_limits(own: Option<&ResourceRequirements>) -> Vec<HugepageLimit> {
    let limits = own.and_then(|own| own.limits.as_ref());
    limits
        .into_iter()
        .flatten()
        .filter_map(|(name, amount)| {
            let size = name.strip_prefix("hugepages-")?;
            let limit = u64::try_from(Quantity::parse(&amount.0).ok()?.value()).ok()?;
            let page_size = size.replace("Ki", "KB").replace("Mi", "MB").replace("Gi", "GB");
            Some(HugepageLimit { page_size, limit })
        })
        .collect()
}

/// How willingly the kernel kills the container when memory runs out, from -997 to 1000.
pub fn oom_score_adj(pod: &Pod, container: &Container, memory_bytes: i64) -> i64 {
    if pod.spec().priority.is_some_and(|priority| priority >= NODE_CRITICAL_PRIORITY) {
        return OOM_GUARANTEED;
    }
    match qos_class(pod) {
        "Guaranteed" => return OOM_GUARANTEED,
        "BestEffort" => return OOM_BEST_EFFORT,
        _ => {}
    }
    let score = |request: i64| 1000 - 1000_i64.saturating_mul(request) / memory_bytes.max(1);
    let request = |container: &Container| whole(container.resources.as_ref(), false, "memory").unwrap_or(0);
    let mut adjust = score(request(container));
    if is_sidecar(container) {
        // A sidecar dies no sooner than the containers that it serves.
        let smallest = pod.spec().containers.iter().map(request).min().unwrap_or(0);
        adjust = adjust.min(score(smallest));
    }
    if adjust < 1000 + OOM_GUARANTEED {
        1000 + OOM_GUARANTEED
    } else if adjust == OOM_BEST_EFFORT {
        adjust - 1
    } else {
        adjust
    }
}

/// What a whole pod may use, for its cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodLimits {
    /// Weight.
    pub cpu_shares: u64,
    /// Microseconds per period, `None` without a limit.
    pub cpu_quota_us: Option<i64>,
    /// Period in microseconds.
    pub cpu_period_us: i64,
    /// Bytes, `None` without a limit.
    pub memory_bytes: Option<i64>,
}

/// The limits of a group in the runtime's words.
pub fn group_resources(limits: PodLimits) -> LinuxContainerResources {
    LinuxContainerResources {
        cpu_shares: i64::try_from(limits.cpu_shares).unwrap_or(SHARES_MAX),
        cpu_quota: limits.cpu_quota_us.unwrap_or(0),
        cpu_period: limits.cpu_period_us,
        memory_limit_in_bytes: limits.memory_bytes.unwrap_or(0),
        ..LinuxContainerResources::default()
    }
}

/// Limits of the pod's cgroup.
///
/// upstream: pkg/kubelet/cm/helpers_linux.go: ResourceConfigForPod
pub fn pod_limits(pod: &Pod, settings: CpuSettings) -> PodLimits {
    let requests = |name: &str| pod_amount(pod, false, name).0;
    let (cpu_limit, cpu_complete) = pod_amount(pod, true, "cpu");
    let (memory_limit, memory_complete) = pod_amount(pod, true, "memory");
    let class = qos_class(pod);
    let mut limits = PodLimits {
        cpu_shares: cpu_shares(requests("cpu")),
        cpu_period_us: settings.cfs_period_us,
        ..PodLimits::default()
    };
    if class == "BestEffort" {
        limits.cpu_shares = cpu_shares(0);
        return limits;
    }
    if settings.cfs_quota && (class == "Guaranteed" || cpu_complete) && cpu_limit > 0 {
        limits.cpu_quota_us = Some(cpu_quota_us(cpu_limit, settings.cfs_period_us));
    }
    if (class == "Guaranteed" || memory_complete) && memory_limit > 0 {
        limits.memory_bytes = Some(memory_limit / 1000);
    }
    limits
}

/// Sum over the containers, in thousandths, and whether every container names the resource.
///
/// Sidecars run beside everything; other init containers run alone, so the larger of both demands counts.
pub fn pod_amount(pod: &Pod, limits: bool, name: &str) -> (i64, bool) {
    if let Some(amount) = milli(pod.spec().resources.as_ref(), limits, name) {
        return (amount, true);
    }
    let mut complete = true;
    let mut amount = |container: &Container| {
        let found = milli(container.resources.as_ref(), limits, name).filter(|amount| *amount > 0);
        complete &= found.is_some();
        found.unwrap_or(0)
    };
    let mut total = pod.spec().containers.iter().map(&mut amount).fold(0, i64::saturating_add);
    let (mut sidecars, mut peak) = (0, 0);
    for container in pod.init_containers() {
        if is_sidecar(container) {
            sidecars = i64::saturating_add(sidecars, amount(container));
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars.saturating_add(amount(container)));
        }
    }
    total = total.saturating_add(sidecars).max(peak);
    (total.saturating_add(overhead(pod, name)), complete)
}

/// What the pod's sandbox itself takes, in thousandths.
fn overhead(pod: &Pod, name: &str) -> i64 {
    let amount = pod.spec().overhead.as_ref().and_then(|all| all.get(name));
    amount.and_then(|amount| Quantity::parse(&amount.0).ok()).map_or(0, |amount| amount.milli_value())
}

/// What the runtime is told of the pod as a whole: its containers together, and its overhead where it has one. Runtimes that
/// give a pod a machine of its own size that machine by it.
///
/// upstream: pkg/kubelet/kuberuntime/kuberuntime_sandbox_linux.go: applySandboxResources
pub fn sandbox_resources(
    pod: &Pod,
    settings: CpuSettings,
) -> (LinuxContainerResources, Option<LinuxContainerResources>) {
    let of_containers = |limits: bool, name: &str| {
        let (amount, _) = pod_amount(pod, limits, name);
        if milli(pod.spec().resources.as_ref(), limits, name).is_some() { amount } else { amount - overhead(pod, name) }
    };
    let linux = |cpu_request: i64, cpu_limit: i64, memory_limit: i64| {
        let mut out = LinuxContainerResources {
            cpu_shares: i64::try_from(cpu_shares(cpu_request)).unwrap_or(SHARES_MAX),
            memory_limit_in_bytes: memory_limit / 1000,
            ..LinuxContainerResources::default()
        };
        if settings.cfs_quota {
            out.cpu_period = settings.cfs_period_us;
            out.cpu_quota = cpu_quota_us(cpu_limit, settings.cfs_period_us);
        }
        out
    };
    let cpu_limit = of_containers(true, "cpu");
    let cpu_request = Some(of_containers(false, "cpu")).filter(|request| *request > 0).unwrap_or(cpu_limit);
    let resources = linux(cpu_request, cpu_limit, of_containers(true, "memory"));
    let has_overhead = pod.spec().overhead.as_ref().is_some_and(|all| !all.is_empty());
    let cpu = overhead(pod, "cpu");
    (resources, has_overhead.then(|| linux(cpu, cpu, overhead(pod, "memory"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: CpuSettings = CpuSettings { cfs_quota: true, cfs_period_us: 100_000, memory_bytes: 8 << 30 };

    fn pod(containers: &str) -> Pod {
        serde_json::from_str(&format!(r#"{{"spec":{{"containers":{containers}}}}}"#)).expect("valid")
    }

    #[test]
    fn shares_and_quota() {
        assert_eq!([0, 1, 500, 1000, 1_000_000].map(cpu_shares), [2, 2, 512, 1024, 262_144]);
        assert_eq!([0, 1, 500].map(|milli| cpu_quota_us(milli, 100_000)), [0, 1000, 50_000]);
    }

    #[test]
    fn oom_scores_follow_the_class() {
        for (containers, want) in [
            (r#"[{"name":"a"}]"#, 1000),
            (
                r#"[{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1","memory":"1Gi"}}}]"#,
                -997,
            ),
            (r#"[{"name":"a","resources":{"requests":{"memory":"4Gi"}}}]"#, 500),
            (r#"[{"name":"a","resources":{"requests":{"cpu":"1"}}}]"#, 999),
            (r#"[{"name":"a","resources":{"requests":{"memory":"8Gi"}}}]"#, 3),
        ] {
            let pod = pod(containers);
            assert_eq!(oom_score_adj(&pod, &pod.spec().containers[0], SETTINGS.memory_bytes), want, "{containers}");
        }
    }

    #[test]
    fn a_pods_cgroup_is_limited_only_when_all_containers_are() {
        let all = pod(r#"[{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m"}}}]"#);
        let limits = pod_limits(&all, SETTINGS);
        assert_eq!(limits.cpu_quota_us, Some(100_000));
        assert_eq!(limits.memory_bytes, Some(1 << 30));
        assert_eq!(limits.cpu_shares, 512);
        let some = pod(r#"[{"name":"a","resources":{"limits":{"cpu":"1","memory":"1Gi"}}},{"name":"b"}]"#);
        assert_eq!(pod_limits(&some, SETTINGS).memory_bytes, None);
    }

    #[test]
    fn the_runtime_hears_of_containers_and_overhead_apart() {
        let pod: Pod = serde_json::from_str(
            r#"{"spec":{"overhead":{"cpu":"50m","memory":"1Mi"},
                "containers":[{"name":"a","resources":{"limits":{"cpu":"100m","memory":"2Mi"}}}]}}"#,
        )
        .expect("valid");
        let (resources, overhead) = sandbox_resources(&pod, SETTINGS);
        let overhead = overhead.expect("there is one");
        assert_eq!((resources.cpu_quota, resources.memory_limit_in_bytes), (10_000, 2 << 20));
        assert_eq!((overhead.cpu_quota, overhead.memory_limit_in_bytes), (5_000, 1 << 20));
    }
}
