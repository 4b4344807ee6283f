//! Which writes a webhook wants to see: its rules and selectors.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/predicates

use std::sync::Arc;

use apimachinery::selector::label::Selector;
use apimachinery::status::ApiError;
use apimachinery::value::Value;

use crate::admission::{Attributes, Operation, is_resource};
use crate::objects::{NAMESPACES, Objects};

/// True for the objects that configure admission itself; they pass every webhook.
pub fn is_exempt(a: &Attributes<'_>) -> bool {
    &*a.resource.group == "admissionregistration.k8s.io"
}

/// True if one of the rules names the write.
pub fn match_rules(hook: &Value, a: &Attributes<'_>) -> bool {
    hook.get("rules").items().iter().any(|rule| match_rule(hook, rule, a))
}

/// True if a rule names the write; `owner` has the policy of matching.
pub fn match_rule(owner: &Value, rule: &Value, a: &Attributes<'_>) -> bool {
    let names = |key: &str, own: &str| {
        rule.get(key).items().iter().filter_map(Value::as_str).any(|name| name == "*" || name == own)
    };
    let scope = match rule.get("scope").str_or_empty() {
        "" | "*" => true,
        "Namespaced" => is_namespaced(a),
        "Cluster" => !is_namespaced(a),
        _ => false,
    };
    if !scope || !names("operations", a.operation.as_str()) || !names_resource(rule, a) {
        return false;
    }
    let requested = names("apiGroups", &a.resource.group) && names("apiVersions", a.version);
    let exact = owner.get("matchPolicy").as_str() == Some("Exact");
    requested
        || (!exact
            && a.resource.served.iter().any(|s| names("apiGroups", &s.group) && names("apiVersions", &s.version)))
}

fn names_resource(rule: &Value, a: &Attributes<'_>) -> bool {
    rule.get("resources").items().iter().filter_map(Value::as_str).any(|name| {
        let (resource, subresource) = name.split_once('/').unwrap_or((name, ""));
        (resource == "*" || resource == &*a.resource.plural) && (subresource == "*" || subresource == a.subresource)
    })
}

fn is_namespaced(a: &Attributes<'_>) -> bool {
    !a.namespace.is_empty() && !is_resource(a, "", "namespaces")
}

/// True if both selectors take the write.
pub async fn match_selectors(
    hook: &Value,
    a: &Attributes<'_>,
    object: &Value,
    objects: &Arc<dyn Objects>,
) -> Result<bool, ApiError> {
    Ok(match_object(hook.get("objectSelector"), a, object)?
        && match_namespace(hook.get("namespaceSelector"), a, object, objects).await?)
}

fn selector(value: &Value) -> Result<Option<Selector>, ApiError> {
    if value.is_zero() {
        return Ok(None);
    }
    let parsed = Selector::from_value(value).map_err(ApiError::internal)?;
    Ok((!parsed.is_empty()).then_some(parsed))
}

fn has_labels(selector: &Selector, object: &Value) -> bool {
    let labels = object.path(&["metadata", "labels"]);
    !object.is_null() && selector.matches(|key| labels.get(key).as_str())
}

fn match_object(value: &Value, a: &Attributes<'_>, object: &Value) -> Result<bool, ApiError> {
    let Some(selector) = selector(value)? else { return Ok(true) };
    Ok(has_labels(&selector, object) || has_labels(&selector, a.old))
}

async fn match_namespace(
    value: &Value,
    a: &Attributes<'_>,
    object: &Value,
    objects: &Arc<dyn Objects>,
) -> Result<bool, ApiError> {
    let Some(selector) = selector(value)? else { return Ok(true) };
    if is_resource(a, "", "namespaces")
        && matches!(a.operation, Operation::Create | Operation::Update)
        && a.subresource.is_empty()
    {
        return Ok(has_labels(&selector, object));
    }
    if a.namespace.is_empty() {
        return Ok(true);
    }
    let namespace = match objects.cached(NAMESPACES, "", a.namespace) {
        Some(found) => found,
        None => objects.get(NAMESPACES, "", a.namespace).await?,
    };
    Ok(has_labels(&selector, &namespace))
}
