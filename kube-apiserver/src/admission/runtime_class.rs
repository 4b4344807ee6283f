//! RuntimeClass: pods get the overhead, node selector and tolerations of their runtime class.
//!
//! upstream: plugin/pkg/admission/runtimeclass/admission.go

use std::sync::Arc;

use apimachinery::quote::quote;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::{Attributes, Context, Operation, Plugin, forbidden, is_main};
use crate::objects::{Objects, RUNTIME_CLASSES};

/// Makes the plugin.
pub fn new(context: &Context) -> Box<dyn Plugin> {
    Box::new(RuntimeClass { objects: context.objects.clone() })
}

struct RuntimeClass {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        if !is_main(a, "", "pods") {
            return Ok(());
        }
        let Some(class) = self.class(a, object).await? else { return Ok(()) };
        set_overhead(a, object, &class)?;
        set_scheduling(a, object, class.get("scheduling"))
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        if !is_main(a, "", "pods") {
            return Ok(());
        }
        let class = self.class(a, object).await?.unwrap_or_default();
        let overhead = object.path(&["spec", "overhead"]);
        if class.has("overhead") {
            if class.path(&["overhead", "podFixed"]) != overhead {
                return Err(forbidden(
                    a,
                    object,
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
                ));
            }
        } else if !overhead.is_null() {
            return Err(forbidden(
                a,
                object,
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ));
        }
        Ok(())
    }
}

impl RuntimeClass {
    async fn class(&self, a: &Attributes<'_>, pod: &Value) -> Result<Option<Value>, ApiError> {
        let Some(name) = pod.path(&["spec", "runtimeClassName"]).as_str() else { return Ok(None) };
        if let Some(class) = self.objects.cached(RUNTIME_CLASSES, "", name) {
            return Ok(Some(class));
        }
        match self.objects.get(RUNTIME_CLASSES, "", name).await {
            Ok(class) => Ok(Some(class)),
            Err(error) if error.is_not_found() => {
                Err(forbidden(a, pod, format!("pod rejected: RuntimeClass {} not found", quote(name))))
            }
            Err(error) => Err(error),
        }
    }
}

fn set_overhead(a: &Attributes<'_>, pod: &mut Value, class: &Value) -> Result<(), ApiError> {
    if !class.has("overhead") {
        return Ok(());
    }
    let fixed = class.path(&["overhead", "podFixed"]);
    let own = pod.path(&["spec", "overhead"]);
    if own.entries().next().is_some() && own != fixed {
        return Err(forbidden(a, pod, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"));
    }
    pod.field_mut("spec").set("overhead", fixed.clone());
    Ok(())
}

fn set_scheduling(a: &Attributes<'_>, pod: &mut Value, scheduling: &Value) -> Result<(), ApiError> {
    if scheduling.is_null() {
        return Ok(());
    }
    for (key, wanted) in scheduling.get("nodeSelector").entries() {
        let own = pod.path(&["spec", "nodeSelector", key]);
        if let Some(value) = own.as_str()
            && wanted.as_str() != Some(value)
        {
            let wanted = wanted.str_or_empty();
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {value}"
            );
            return Err(forbidden(a, pod, why));
        }
        pod.field_mut("spec").field_mut("nodeSelector").set(key, wanted.clone());
    }
    let merged = merge(pod.path(&["spec", "tolerations"]).items(), scheduling.get("tolerations").items());
    if !merged.is_empty() {
        pod.field_mut("spec").set("tolerations", Value::List(merged));
    }
    Ok(())
}

/// Both lists in order, without those that another one covers.
/// upstream: pkg/util/tolerations/tolerations.go
fn merge(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (index, toleration) in all.iter().enumerate() {
        let earlier = merged.iter().any(|kept| covers(kept, toleration));
        let later = all[index + 1..].iter().any(|other| other != toleration && covers(other, toleration));
        if !earlier && !later {
            merged.push((*toleration).clone());
        }
    }
    merged
}

fn covers(wide: &Value, narrow: &Value) -> bool {
    if wide == narrow {
        return true;
    }
    let text = |v: &Value, key: &str| v.get(key).str_or_empty().to_owned();
    let (key, operator, effect) = (text(wide, "key"), text(wide, "operator"), text(wide, "effect"));
    if text(narrow, "key") != key && !(key.is_empty() && operator == "Exists") {
        return false;
    }
    if text(narrow, "effect") != effect && !effect.is_empty() {
        return false;
    }
    if effect == "NoExecute"
        && let Some(limit) = wide.get("tolerationSeconds").as_i64()
        && narrow.get("tolerationSeconds").as_i64().is_none_or(|seconds| seconds > limit)
    {
        return false;
    }
    match operator.as_str() {
        "Equal" | "" => {
            matches!(text(narrow, "operator").as_str(), "Equal" | "") && text(narrow, "value") == text(wide, "value")
        }
        "Exists" => true,
        _ => false,
    }
}
