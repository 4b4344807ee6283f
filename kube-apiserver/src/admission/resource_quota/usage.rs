//! What an object costs in terms of quotas, and which quotas count it.
//!
//! upstream: pkg/quota/v1/evaluator/core, staging/src/k8s.io/apiserver/pkg/quota/v1/generic

use std::collections::{BTreeMap, BTreeSet};

use apimachinery::quantity::{Format, Quantity};
use apimachinery::value::Value;

use crate::admission::pod_resources::{Amounts, Which, amounts, of_pod};
use crate::admission::{Attributes, is_resource};

/// Resources whose plain name counts their objects, besides `count/NAME`.
const PLAIN: [&str; 4] = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];
/// Compute resources that a pod must set on each container if a quota counts them.
const REQUIRED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

fn one() -> Quantity {
    Quantity::new(1, Format::DecimalSi)
}

/// What the object costs.
pub fn of(a: &Attributes<'_>, object: &Value) -> Amounts {
    let mut out = Amounts::new();
    let plural = &*a.resource.plural;
    let count = if a.resource.group.is_empty() {
        format!("count/{plural}")
    } else {
        format!("count/{plural}.{}", a.resource.group)
    };
    out.insert(count, one());
    if !a.resource.group.is_empty() {
        return out;
    }
    match plural {
        "pods" => pod(object, &mut out),
        "services" => service(object, &mut out),
        "persistentvolumeclaims" => claim(object, &mut out),
        _ if PLAIN.contains(&plural) => {
            out.insert(plural.to_owned(), one());
        }
        _ => {}
    }
    out
}

fn pod(pod: &Value, out: &mut Amounts) {
    if matches!(pod.path(&["status", "phase"]).str_or_empty(), "Failed" | "Succeeded") {
        return;
    }
    let half = |half| of_pod(pod, Which { half, overhead: true });
    compute(&half("requests"), &half("limits"), out);
    out.insert("pods".to_owned(), one());
}

fn compute(requests: &Amounts, limits: &Amounts, out: &mut Amounts) {
    for (name, amount) in requests {
        let native = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        if native {
            out.insert(name.clone(), amount.clone());
        }
        if native || name.contains('/') {
            out.insert(format!("requests.{name}"), amount.clone());
        }
    }
    for (name, amount) in limits {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            out.insert(format!("limits.{name}"), amount.clone());
        }
    }
}

fn service(service: &Value, out: &mut Amounts) {
    let spec = service.get("spec");
    let kind = spec.get("type").str_or_empty();
    let ports = spec.get("ports").items();
    let allocates = spec.get("allocateLoadBalancerNodePorts").as_bool() != Some(false);
    let node_ports = match kind {
        "NodePort" => ports.len(),
        "LoadBalancer" if allocates => ports.len(),
        "LoadBalancer" => ports.iter().filter(|p| p.get("nodePort").as_i64().unwrap_or(0) != 0).count(),
        _ => 0,
    };
    let number = |n: usize| Quantity::new(i64::try_from(n).unwrap_or(i64::MAX), Format::DecimalSi);
    out.insert("services".to_owned(), one());
    out.insert("services.nodeports".to_owned(), number(node_ports));
    out.insert("services.loadbalancers".to_owned(), number(usize::from(kind == "LoadBalancer")));
}

fn claim(claim: &Value, out: &mut Amounts) {
    let spec = claim.get("spec");
    let asked = amounts(spec.path(&["resources", "requests"])).remove("storage");
    let allocated = amounts(claim.path(&["status", "allocatedResources"])).remove("storage");
    let storage = asked.into_iter().chain(allocated).max();
    let annotated = claim.path(&["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]).as_str();
    let class = annotated.unwrap_or_else(|| spec.get("storageClassName").str_or_empty());
    let mut prefixes = vec![String::new()];
    if !class.is_empty() {
        prefixes.push(format!("{class}.storageclass.storage.k8s.io/"));
    }
    for prefix in prefixes {
        out.insert(format!("{prefix}persistentvolumeclaims"), one());
        if let Some(storage) = &storage {
            out.insert(format!("{prefix}requests.storage"), storage.clone());
        }
    }
}

/// True if the quota's scopes take the object.
pub fn in_scope(a: &Attributes<'_>, quota: &Value, object: &Value) -> bool {
    let spec = quota.get("spec");
    let selectors = spec.path(&["scopeSelector", "matchExpressions"]).items();
    let mut scopes = spec.get("scopes").items().iter().filter_map(Value::as_str);
    if !is_resource(a, "", "pods") {
        return selectors.is_empty() && scopes.next().is_none();
    }
    scopes.all(|scope| pod_has(scope, object)) && selectors.iter().all(|s| pod_selected(s, object))
}

fn pod_selected(selector: &Value, pod: &Value) -> bool {
    let scope = selector.get("scopeName").str_or_empty();
    if scope != "PriorityClass" {
        return pod_has(scope, pod);
    }
    let class = pod.path(&["spec", "priorityClassName"]).str_or_empty();
    let listed = || selector.get("values").items().iter().any(|v| v.as_str() == Some(class));
    match selector.get("operator").str_or_empty() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => !class.is_empty(),
        "DoesNotExist" => class.is_empty(),
        _ => false,
    }
}

fn pod_has(scope: &str, pod: &Value) -> bool {
    let terminating = || pod.path(&["spec", "activeDeadlineSeconds"]).as_i64().is_some_and(|s| s >= 0);
    match scope {
        "Terminating" => terminating(),
        "NotTerminating" => !terminating(),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => !pod.path(&["spec", "priorityClassName"]).str_or_empty().is_empty(),
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        _ => false,
    }
}

fn is_best_effort(pod: &Value) -> bool {
    let half = |half| of_pod(pod, Which { half, overhead: false });
    ["requests", "limits"].into_iter().all(|key| {
        let set = half(key);
        ["cpu", "memory"].iter().all(|name| set.get(*name).is_none_or(Quantity::is_zero))
    })
}

fn crosses_namespaces(pod: &Value) -> bool {
    let affinity = pod.path(&["spec", "affinity"]);
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let required = affinity.path(&[kind, "requiredDuringSchedulingIgnoredDuringExecution"]).items().iter();
        let preferred = affinity.path(&[kind, "preferredDuringSchedulingIgnoredDuringExecution"]).items();
        required
            .chain(preferred.iter().map(|p| p.get("podAffinityTerm")))
            .any(|term| !term.get("namespaces").items().is_empty() || !term.get("namespaceSelector").is_null())
    })
}

/// What containers of a pod leave out although a quota counts it.
pub fn missing(counted: &BTreeSet<String>, pod: &Value) -> Option<String> {
    let required: Vec<&str> = REQUIRED.into_iter().filter(|name| counted.contains(*name)).collect();
    let mut missing: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let containers = ["containers", "initContainers"].iter().flat_map(|key| pod.path(&["spec", key]).items());
    let of_pod = pod.path(&["spec", "resources"]);
    for container in containers {
        let mut has = Amounts::new();
        for resources in [of_pod, container.get("resources")] {
            compute(&amounts(resources.get("requests")), &amounts(resources.get("limits")), &mut has);
        }
        for name in required.iter().filter(|name| !has.contains_key(**name)) {
            missing.entry(name).or_default().insert(container.get("name").str_or_empty().to_owned());
        }
    }
    if missing.is_empty() {
        return None;
    }
    let texts: Vec<String> = missing
        .into_iter()
        .map(|(name, containers)| format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(",")))
        .collect();
    Some(format!("must specify {}", texts.join("; ")))
}
