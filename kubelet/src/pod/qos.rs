//! Quality of service class of a pod.
//!
//! upstream: pkg/apis/core/v1/helper/qos/qos.go

use std::collections::BTreeMap;

use apimachinery::quantity::Quantity;
use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};

use super::view::PodView;

/// `Guaranteed`, `Burstable` or `BestEffort`. What the API computed once stays.
pub fn qos_class(pod: &Pod) -> &'static str {
    match pod.status().qos_class.as_deref() {
        Some("Guaranteed") => "Guaranteed",
        Some("Burstable") => "Burstable",
        Some("BestEffort") => "BestEffort",
        _ => compute(pod),
    }
}

fn compute(pod: &Pod) -> &'static str {
    let spec = pod.spec();
    let pod_level = spec.resources.as_ref().filter(|r| !is_empty(&positive(r, true)) || !is_empty(&positive(r, false)));
    let all: Vec<&ResourceRequirements> = match pod_level {
        Some(resources) => vec![resources],
        None => spec
            .containers
            .iter()
            .chain(pod.init_containers())
            .filter_map(|container| container.resources.as_ref())
            .collect(),
    };
    let count = if pod_level.is_some() { 1 } else { spec.containers.len() + pod.init_containers().len() };
    let mut guaranteed = all.len() == count;
    let mut any = false;
    for resources in all {
        let (requests, limits) = (positive(resources, false), positive(resources, true));
        any |= !is_empty(&requests) || !is_empty(&limits);
        let complete = limits.contains_key("cpu") && limits.contains_key("memory");
        let equal = requests.iter().all(|(name, value)| limits.get(name) == Some(value));
        guaranteed &= complete && equal;
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn is_empty(amounts: &BTreeMap<String, i64>) -> bool {
    amounts.is_empty()
}

/// Amounts of cpu and memory in thousandths that are above zero.
fn positive(resources: &ResourceRequirements, limits: bool) -> BTreeMap<String, i64> {
    let list = if limits { &resources.limits } else { &resources.requests };
    list.iter()
        .flatten()
        .filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory"))
        .filter_map(|(name, amount)| Some((name.clone(), Quantity::parse(&amount.0).ok()?.milli_value())))
        .filter(|(_, amount)| *amount > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_requests_and_limits() {
        for (resources, want) in [
            ("[{}]", "BestEffort"),
            (r#"[{"limits":{"cpu":"1","memory":"1Gi"}}]"#, "Guaranteed"),
            (r#"[{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1000m","memory":"1Gi"}}]"#, "Guaranteed"),
            (r#"[{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m"}}]"#, "Burstable"),
            (r#"[{"limits":{"cpu":"1","memory":"1Gi"}},{}]"#, "Burstable"),
            (r#"[{"requests":{"cpu":"1m"}}]"#, "Burstable"),
        ] {
            let list: Vec<ResourceRequirements> = serde_json::from_str(resources).expect("valid");
            let mut pod = Pod::default();
            let containers = list
                .into_iter()
                .map(|resources| k8s_openapi::api::core::v1::Container {
                    resources: Some(resources),
                    ..Default::default()
                })
                .collect();
            pod.spec = Some(k8s_openapi::api::core::v1::PodSpec { containers, ..Default::default() });
            assert_eq!(qos_class(&pod), want, "{resources}");
        }
    }
}
