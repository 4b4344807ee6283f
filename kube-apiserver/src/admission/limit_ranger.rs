//! LimitRanger: default requests and limits of containers, and the bounds that pods and claims must keep.
//!
//! upstream: plugin/pkg/admission/limitranger/admission.go

use std::sync::Arc;

use apimachinery::field::aggregate;
use apimachinery::quantity::Quantity;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::pod_resources::{Amounts, Which, amounts, of_pod};
use super::{Attributes, Context, Operation, Plugin, forbidden, is_main, is_resource};
use crate::objects::{LIMIT_RANGES, Objects};

/// Where the plugin notes what it set.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Ratios up to here are compared in thousandths.
const MAX_MILLI: i64 = i64::MAX / 1000;

/// Makes the plugin.
pub fn new(context: &Context) -> Box<dyn Plugin> {
    Box::new(LimitRanger { objects: context.objects.clone() })
}

struct LimitRanger {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        if !is_main(a, "", "pods") || a.operation != Operation::Create {
            return Ok(());
        }
        for range in self.objects.list(LIMIT_RANGES, a.namespace) {
            set_defaults(&range, object);
        }
        Ok(())
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        let creates = a.operation == Operation::Create;
        let is_pod = is_resource(a, "", "pods") && (creates && a.subresource.is_empty() || a.subresource == "resize");
        let is_claim = is_main(a, "", "persistentvolumeclaims");
        if !is_pod && !is_claim {
            return Ok(());
        }
        for range in self.objects.list(LIMIT_RANGES, a.namespace) {
            let errors = if is_pod { check_pod(&range, object) } else { check_claim(&range, object) };
            if !errors.is_empty() {
                return Err(forbidden(a, object, aggregate(errors)));
            }
        }
        Ok(())
    }
}

fn items<'a>(range: &'a Value, kind: &'static str) -> impl Iterator<Item = &'a Value> {
    range.path(&["spec", "limits"]).items().iter().filter(move |l| l.get("type").as_str() == Some(kind))
}

fn set_defaults(range: &Value, pod: &mut Value) {
    let (mut requests, mut limits) = (Value::map(), Value::map());
    for item in items(range, "Container") {
        for (name, amount) in item.get("defaultRequest").entries() {
            requests.set(name, amount.clone());
        }
        for (name, amount) in item.get("default").entries() {
            limits.set(name, amount.clone());
        }
    }
    let mut notes = Vec::new();
    for (key, word) in [("containers", "container"), ("initContainers", "init container")] {
        let Some(list) = pod.path_mut(&["spec", key]).and_then(Value::as_list_mut) else { continue };
        for container in list {
            let name = container.get("name").str_or_empty().to_owned();
            let set_limits = fill(container, "limits", &limits);
            let set_requests = fill(container, "requests", &requests);
            for (set, half) in [(set_requests, "request"), (set_limits, "limit")] {
                if !set.is_empty() {
                    notes.push(format!("{} {half} for {word} {name}", set.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        pod.set_path(
            &["metadata", "annotations", ANNOTATION],
            format!("LimitRanger plugin set: {}", notes.join("; ")).into(),
        );
    }
}

/// Sets what is not set; says what it set.
fn fill(container: &mut Value, half: &str, defaults: &Value) -> Vec<String> {
    let mut set = Vec::new();
    for (name, amount) in defaults.entries() {
        if !container.path(&["resources", half]).has(name) {
            container.set_path(&["resources", half, name], amount.clone());
            set.push(name.to_owned());
        }
    }
    set.sort();
    set
}

fn check_pod(range: &Value, pod: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    for item in range.path(&["spec", "limits"]).items() {
        match item.get("type").str_or_empty() {
            "Container" => {
                let containers =
                    ["containers", "initContainers"].iter().flat_map(|key| pod.path(&["spec", key]).items());
                for container in containers {
                    let half = |half| amounts(container.path(&["resources", half]));
                    check_bounds(item, "Container", &half("requests"), &half("limits"), &mut errors);
                }
            }
            "Pod" => {
                let half = |half| of_pod(pod, Which { half, overhead: false });
                check_bounds(item, "Pod", &half("requests"), &half("limits"), &mut errors);
            }
            _ => {}
        }
    }
    errors
}

fn check_bounds(item: &Value, kind: &str, requests: &Amounts, limits: &Amounts, errors: &mut Vec<String>) {
    for (name, bound) in amounts(item.get("min")) {
        let text = format!("minimum {name} usage per {kind} is {bound}");
        match (requests.get(&name), limits.get(&name)) {
            (None, _) => errors.push(format!("{text}.  No request is specified")),
            (Some(request), _) if *request < bound => errors.push(format!("{text}, but request is {request}")),
            (_, Some(limit)) if *limit < bound => errors.push(format!("{text}, but limit is {limit}")),
            _ => {}
        }
    }
    for (name, bound) in amounts(item.get("max")) {
        let text = format!("maximum {name} usage per {kind} is {bound}");
        match (requests.get(&name), limits.get(&name)) {
            (_, None) => errors.push(format!("{text}.  No limit is specified")),
            (_, Some(limit)) if *limit > bound => errors.push(format!("{text}, but limit is {limit}")),
            (Some(request), _) if *request > bound => errors.push(format!("{text}, but request is {request}")),
            _ => {}
        }
    }
    for (name, bound) in amounts(item.get("maxLimitRequestRatio")) {
        let text = format!("{name} max limit to request ratio per {kind} is {bound}");
        let set = |half: &Amounts| half.get(&name).filter(|amount| !amount.is_zero()).map(Quantity::to_f64);
        match (set(requests), set(limits)) {
            (None, _) => errors.push(format!("{text}, but no request is specified or request is 0")),
            (_, None) => errors.push(format!("{text}, but no limit is specified or limit is 0")),
            (Some(request), Some(limit)) => {
                let ratio = limit / request;
                let most = if bound.value() <= MAX_MILLI { bound.to_f64() } else { f64::INFINITY };
                if ratio > most {
                    errors.push(format!("{text}, but provided ratio is {ratio:.6}"));
                }
            }
        }
    }
}

fn check_claim(range: &Value, claim: &Value) -> Vec<String> {
    let requests = amounts(claim.path(&["spec", "resources", "requests"]));
    let mut errors = Vec::new();
    for item in items(range, "PersistentVolumeClaim") {
        let bounds = [("minimum", "min"), ("maximum", "max")];
        for (word, key) in bounds {
            for (name, bound) in amounts(item.get(key)) {
                let text = format!("{word} {name} usage per PersistentVolumeClaim is {bound}");
                match requests.get(&name) {
                    None => errors.push(format!("{text}.  No request is specified")),
                    Some(request) if (key == "min" && *request < bound) || (key == "max" && *request > bound) => {
                        errors.push(format!("{text}, but request is {request}"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    errors
}
