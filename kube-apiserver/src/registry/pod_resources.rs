//! Sums of what the containers of a pod request or limit, and rules about names of resources.
//! upstream: staging/src/k8s.io/component-helpers/resource/helpers.go, pkg/apis/core/helper/helpers.go

use std::collections::BTreeMap;

use apimachinery::quantity::Quantity;
use apimachinery::value::Value;

/// Quantities by the name of their resource.
pub type ResourceList = BTreeMap<String, Quantity>;

/// What the containers of a pod spec need together of `list` ("requests" or "limits"): the sum over the containers and the
/// restartable init containers, or what an ordinary init container needs beside the restartable ones started before it,
/// whichever is more.
pub fn aggregate(spec: &Value, list: &str) -> ResourceList {
    let of = |container: &Value| parse(container.path(&["resources", list]));
    let mut total = ResourceList::new();
    for container in spec.get("containers").items() {
        add(&mut total, &of(container));
    }
    let mut restartable = ResourceList::new();
    let mut initial = ResourceList::new();
    for container in spec.get("initContainers").items() {
        let mut needs = of(container);
        if container.get("restartPolicy").as_str() == Some("Always") {
            add(&mut total, &needs);
            add(&mut restartable, &needs);
            needs = restartable.clone();
        } else {
            add(&mut needs, &restartable);
        }
        raise(&mut initial, needs);
    }
    raise(&mut total, initial);
    total
}

/// A resource list of an object; entries that do not parse are left out, validation tells them.
pub fn parse(list: &Value) -> ResourceList {
    let entries = list.entries();
    entries.filter_map(|(name, text)| Some((name.to_owned(), Quantity::parse(text.as_str()?).ok()?))).collect()
}

/// Adds each entry of `other`.
pub fn add(list: &mut ResourceList, other: &ResourceList) {
    for (name, quantity) in other {
        match list.get_mut(name) {
            Some(sum) => sum.add(quantity),
            None => {
                list.insert(name.clone(), quantity.clone());
            }
        }
    }
}

/// Raises each entry to that of `other` where that is more.
pub fn raise(list: &mut ResourceList, other: ResourceList) {
    for (name, quantity) in other {
        if list.get(&name).is_none_or(|mine| *mine < quantity) {
            list.insert(name, quantity);
        }
    }
}

/// `hugepages-2Mi` and the like.
pub fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Resources that a pod as a whole can request and limit.
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

/// Names without a domain, or in a kubernetes.io domain, are Kubernetes' own.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// More may be limited than requested: of Kubernetes' own resources, huge pages excepted.
pub fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// The quality of service that the requests and limits of a pod spec ask for.
/// upstream: pkg/apis/core/v1/helper/qos/qos.go
pub fn qos_class(spec: &Value) -> &'static str {
    let compute = |list: &Value| -> ResourceList {
        let mut all = parse(list);
        all.retain(|name, quantity| matches!(name.as_str(), "cpu" | "memory") && !quantity.is_zero());
        all
    };
    let (mut requests, mut limits) = (ResourceList::new(), ResourceList::new());
    let mut all_limited = true;
    let pod = spec.get("resources");
    // Resources of the pod as a whole decide where there are some; ephemeral containers cannot have any.
    let holders: Vec<&Value> = match pod.is_null() {
        false => vec![pod],
        true => ["containers", "initContainers"]
            .iter()
            .flat_map(|l| spec.get(l).items())
            .map(|c| c.get("resources"))
            .collect(),
    };
    for holder in holders {
        let limited = compute(holder.get("limits"));
        all_limited &= limited.len() == 2;
        add(&mut limits, &limited);
        add(&mut requests, &compute(holder.get("requests")));
    }
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if all_limited && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_of_service() {
        let cases = [
            (r#"{"containers": [{}]}"#, "BestEffort"),
            (r#"{"containers": [{"resources": {"requests": {"cpu": "1"}}}]}"#, "Burstable"),
            (
                r#"{"containers": [{"resources": {"requests": {"cpu": "1", "memory": "1Gi"},
                    "limits": {"cpu": "1000m", "memory": "1024Mi"}}}]}"#,
                "Guaranteed",
            ),
            (
                r#"{"containers": [{"resources": {"requests": {"cpu": "1", "memory": "1"},
                    "limits": {"cpu": "1", "memory": "1"}}}, {}]}"#,
                "Burstable",
            ),
            (r#"{"containers": [{"resources": {"limits": {"example.com/gpu": "1"}}}]}"#, "BestEffort"),
        ];
        for (spec, expected) in cases {
            let spec: Value = serde_json::from_str(spec).expect("JSON");
            assert_eq!(qos_class(&spec), expected);
        }
    }
}
