//! What a pod asks for in total: containers, sidecars, init containers, pod-level requests, overhead, resizes.
//! upstream: staging/src/k8s.io/component-helpers/resource/helpers.go (PodRequests)

use std::collections::BTreeMap;

use super::{
    pod::raw,
    resources::{Resources, amount},
};

/// Scoring counts a container without a CPU request as this many thousandths of a CPU.
pub const DEFAULT_MILLI_CPU: i64 = 100;
/// Scoring counts a container without a memory request as this many bytes.
pub const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

type List = BTreeMap<String, i64>;

/// Requests for fitting and for scoring (where containers without requests count with defaults).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) requests: Resources,
    pub(super) nonzero_milli_cpu: i64,
    pub(super) nonzero_memory: i64,
}

/// Computes the totals of a pod.
pub(super) fn totals(pod: &raw::Pod) -> Totals {
    let mut requests = Resources::default();
    for (name, amount) in pod_requests(pod, false) {
        requests.add_named(&name, amount);
    }
    let nonzero = pod_requests(pod, true);
    let of = |name: &str| nonzero.get(name).copied().unwrap_or(0);
    Totals { requests, nonzero_milli_cpu: of("cpu"), nonzero_memory: of("memory") }
}

fn pod_requests(pod: &raw::Pod, fill_missing: bool) -> List {
    let mut total = containers(pod, fill_missing);
    let pod_level = pod.spec.resources.as_ref().map(|r| list(&r.requests)).unwrap_or_default();
    for (name, amount) in pod_level {
        if name == "cpu" || name == "memory" || name.starts_with("hugepages-") {
            total.insert(name, amount);
        }
    }
    add(&mut total, &list(&pod.spec.overhead));
    total
}

fn containers(pod: &raw::Pod, fill_missing: bool) -> List {
    let mut total = List::new();
    for container in &pod.spec.containers {
        add(&mut total, &effective(pod, container, true, fill_missing));
    }
    let mut sidecars = List::new();
    let mut init_peak = List::new();
    for container in &pod.spec.init_containers {
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        let mut own = effective(pod, container, sidecar, fill_missing);
        if sidecar {
            add(&mut total, &own);
            add(&mut sidecars, &own);
            own = sidecars.clone();
        } else {
            add(&mut own, &sidecars);
        }
        max(&mut init_peak, &own);
    }
    max(&mut total, &init_peak);
    total
}

/// The requests of one container; while a resize is under way, the larger of what is asked, allocated and in force.
fn effective(pod: &raw::Pod, container: &raw::Container, resizable: bool, fill_missing: bool) -> List {
    let spec = list(&container.resources.requests);
    let mut own = spec;
    let status = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    let found = status.into_iter().find(|s| s.name == container.name);
    if let Some((actuated, status)) = found.and_then(|s| s.resources.as_ref().map(|r| (r, s))).filter(|_| resizable) {
        let infeasible = pod
            .status
            .conditions
            .iter()
            .any(|c| c.type_ == "PodResizePending" && c.reason.as_deref() == Some("Infeasible"));
        if infeasible {
            own = List::new();
        }
        max(&mut own, &list(&actuated.requests));
        max(&mut own, &list(&status.allocated_resources));
    }
    if fill_missing {
        own.entry("cpu".into()).or_insert(DEFAULT_MILLI_CPU);
        own.entry("memory".into()).or_insert(DEFAULT_MEMORY);
    }
    own
}

fn list(quantities: &BTreeMap<String, String>) -> List {
    quantities.iter().map(|(name, quantity)| (name.clone(), amount(name, quantity))).collect()
}

fn add(total: &mut List, other: &List) {
    for (name, amount) in other {
        let slot = total.entry(name.clone()).or_default();
        *slot = slot.saturating_add(*amount);
    }
}

fn max(total: &mut List, other: &List) {
    for (name, amount) in other {
        let slot = total.entry(name.clone()).or_insert(*amount);
        *slot = (*slot).max(*amount);
    }
}
