//! Pure: what pods and claims use of a quota (upstream: pkg/quota/v1/evaluator/core).

use std::collections::BTreeMap;

use apimachinery::quantity::Quantity;
use k8s_openapi::api::core::v1::{
    Container, PersistentVolumeClaim, Pod, ResourceQuota, ScopedResourceSelectorRequirement,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use crate::pods;

/// Amounts by resource.
pub(super) type Amounts = BTreeMap<String, Quantity>;
type ApiAmounts = BTreeMap<String, ApiQuantity>;

fn sum(left: Option<&Quantity>, right: &Quantity) -> Quantity {
    let mut total = right.clone();
    if let Some(left) = left {
        total = left.clone();
        total.add(right);
    }
    total
}

fn parse(amount: &ApiQuantity) -> Quantity {
    Quantity::parse(&amount.0).unwrap_or_default()
}

fn add(total: &mut Amounts, key: &str, amount: &Quantity) {
    let sum = sum(total.get(key), amount);
    total.insert(key.to_owned(), sum);
}

fn keep_max(total: &mut Amounts, key: &str, amount: Quantity) {
    if total.get(key).is_none_or(|known| *known < amount) {
        total.insert(key.to_owned(), amount);
    }
}

fn amounts(container: &Container, limits: bool) -> Option<&ApiAmounts> {
    let resources = container.resources.as_ref()?;
    if limits { resources.limits.as_ref() } else { resources.requests.as_ref() }
}

/// Requests or limits of a pod: its containers and sidecars together, or one init container with the sidecars before it.
fn of_pod(pod: &Pod, limits: bool) -> Amounts {
    let Some(spec) = &pod.spec else { return Amounts::new() };
    let mut total = Amounts::new();
    for (key, amount) in spec.containers.iter().filter_map(|container| amounts(container, limits)).flatten() {
        add(&mut total, key, &parse(amount));
    }
    let mut sidecars = Amounts::new();
    let mut peak = Amounts::new();
    for container in spec.init_containers.iter().flatten() {
        let is_sidecar = container.restart_policy.as_deref() == Some("Always");
        for (key, amount) in amounts(container, limits).into_iter().flatten() {
            if is_sidecar {
                add(&mut total, key, &parse(amount));
                add(&mut sidecars, key, &parse(amount));
            } else {
                let with = sum(sidecars.get(key), &parse(amount));
                keep_max(&mut peak, key, with);
            }
        }
    }
    for (key, amount) in peak {
        keep_max(&mut total, &key, amount);
    }
    for (key, amount) in spec.overhead.iter().flatten() {
        if !limits || total.contains_key(key) {
            add(&mut total, key, &parse(amount));
        }
    }
    total
}

/// What the pods that have not ended use, under all names that a quota may limit.
pub(super) fn of_pods<'a>(all: impl Iterator<Item = &'a Pod>) -> Amounts {
    let mut used = Amounts::new();
    let one = Quantity::parse("1").unwrap_or_default();
    for pod in all {
        add(&mut used, "count/pods", &one);
        if pods::is_terminal(pod) {
            continue;
        }
        add(&mut used, "pods", &one);
        for (key, amount) in of_pod(pod, false) {
            add(&mut used, &format!("requests.{key}"), &amount);
            add(&mut used, &key, &amount);
        }
        for (key, amount) in of_pod(pod, true) {
            add(&mut used, &format!("limits.{key}"), &amount);
        }
    }
    used
}

/// What claims use, in all and by storage class.
pub(super) fn of_claims<'a>(all: impl Iterator<Item = &'a PersistentVolumeClaim>) -> Amounts {
    let mut used = Amounts::new();
    let one = Quantity::parse("1").unwrap_or_default();
    for claim in all {
        let spec = claim.spec.as_ref();
        let storage = spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage")).map(parse);
        let class = spec.and_then(|spec| spec.storage_class_name.clone()).filter(|class| !class.is_empty());
        let prefix = class.map(|class| format!("{class}.storageclass.storage.k8s.io/"));
        for prefix in std::iter::once(String::new()).chain(prefix) {
            add(&mut used, &format!("{prefix}persistentvolumeclaims"), &one);
            if let Some(storage) = &storage {
                add(&mut used, &format!("{prefix}requests.storage"), storage);
            }
        }
    }
    used
}

/// Whether a quota's scopes take the pod in.
pub(super) fn covers(quota: &ResourceQuota, pod: &Pod) -> bool {
    let spec = quota.spec.as_ref();
    let plain = spec.and_then(|spec| spec.scopes.as_ref()).into_iter().flatten().all(|scope| in_scope(scope, pod));
    let selected = spec.and_then(|spec| spec.scope_selector.as_ref()?.match_expressions.as_ref()).into_iter().flatten();
    plain && selected.into_iter().all(|requirement| satisfies(requirement, pod))
}

fn in_scope(scope: &str, pod: &Pod) -> bool {
    let deadline = pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds).is_some();
    let best_effort = pod
        .status
        .as_ref()
        .and_then(|status| status.qos_class.as_deref())
        .map_or_else(|| of_pod(pod, false).is_empty() && of_pod(pod, true).is_empty(), |class| class == "BestEffort");
    match scope {
        "Terminating" => deadline,
        "NotTerminating" => !deadline,
        "BestEffort" => best_effort,
        "NotBestEffort" => !best_effort,
        _ => true,
    }
}

fn satisfies(requirement: &ScopedResourceSelectorRequirement, pod: &Pod) -> bool {
    if requirement.scope_name != "PriorityClass" {
        return in_scope(&requirement.scope_name, pod);
    }
    let class =
        pod.spec.as_ref().and_then(|spec| spec.priority_class_name.as_deref()).filter(|class| !class.is_empty());
    let listed = |class: &str| requirement.values.iter().flatten().any(|wanted| wanted == class);
    match requirement.operator.as_str() {
        "In" => class.is_some_and(listed),
        "NotIn" => !class.is_some_and(listed),
        "DoesNotExist" => class.is_none(),
        _ => class.is_some(),
    }
}

/// The object counts of a limit: `services`, `count/jobs.batch` → (plural, group).
pub(super) fn counted(key: &str) -> Option<(&str, &str)> {
    match key {
        "services" | "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas" => Some((key, "")),
        _ => key.strip_prefix("count/").map(|name| name.split_once('.').unwrap_or((name, ""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{PodSpec, PodStatus, ResourceRequirements};

    fn container(cpu: &str, restart: Option<&str>) -> Container {
        let requests = [("cpu".to_owned(), ApiQuantity(cpu.to_owned()))].into();
        Container {
            restart_policy: restart.map(str::to_owned),
            resources: Some(ResourceRequirements { requests: Some(requests), ..ResourceRequirements::default() }),
            ..Container::default()
        }
    }

    fn pod(phase: &str, containers: Vec<Container>, init: Vec<Container>) -> Pod {
        Pod {
            spec: Some(PodSpec { containers, init_containers: Some(init), ..PodSpec::default() }),
            status: Some(PodStatus { phase: Some(phase.into()), ..PodStatus::default() }),
            ..Pod::default()
        }
    }

    #[test]
    fn pods_use_their_peak() {
        let all = [
            pod("Running", vec![container("100m", None), container("200m", None)], vec![container("250m", None)]),
            pod(
                "Pending",
                vec![container("100m", None)],
                vec![container("100m", Some("Always")), container("1", None)],
            ),
            pod("Succeeded", vec![container("5", None)], vec![]),
        ];
        let used = of_pods(all.iter());
        assert_eq!(used["requests.cpu"].to_string(), "1400m");
        assert_eq!(used["pods"].to_string(), "2");
        assert_eq!(used["count/pods"].to_string(), "3");
    }

    #[test]
    fn names_of_counts() {
        assert_eq!(counted("count/deployments.apps"), Some(("deployments", "apps")));
        assert_eq!(counted("count/services"), Some(("services", "")));
        assert_eq!(counted("secrets"), Some(("secrets", "")));
        assert_eq!(counted("requests.cpu"), None);
    }
}
