//! `pods/binding` and `bindings`: puts a pod on a node.
//!
//! upstream: pkg/registry/core/pod/storage/storage.go: BindingREST

use apimachinery::field::{Errors, Path};
use apimachinery::quote::quote;
use apimachinery::status::{ApiError, Reason};
use apimachinery::value::Value;
use async_trait::async_trait;

use super::pod::set_condition;
use crate::registry::store::Preconditions;
use crate::registry::{Creater, RequestContext, Subresource};
use crate::state::AppState;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Binding;

impl Subresource for Binding {
    fn creater(&self) -> Option<&dyn Creater> {
        Some(self)
    }
}

#[async_trait]
impl Creater for Binding {
    async fn create(&self, state: &AppState, cx: &RequestContext, obj: Value) -> Result<Value, ApiError> {
        let own = obj.path(&["metadata", "name"]).str_or_empty();
        // the resource `bindings` has no name in its path
        let name = if cx.name.is_empty() { own } else { &cx.name };
        if name != own {
            return Err(ApiError::bad_request("name in URL does not match name in Binding object"));
        }
        check(&obj)?;
        let store = state.registry.store("", "pods").ok_or_else(|| ApiError::not_found("", "pods", name))?;
        let text = |key: &str| Some(obj.path(&["metadata", key]).str_or_empty().to_owned()).filter(|t| !t.is_empty());
        let preconditions = Preconditions { uid: text("uid"), resource_version: text("resourceVersion") };
        let cx = RequestContext { subresource: "binding".to_owned(), ..cx.clone() };
        store.modify(&cx, name, &preconditions, |pod| assign(pod, &obj, name)).await?;
        Ok(success())
    }
}

fn check(binding: &Value) -> Result<(), ApiError> {
    let mut errs = Errors::new();
    let target = Path::root("target");
    let kind = binding.path(&["target", "kind"]).str_or_empty();
    if !matches!(kind, "" | "Node") {
        errs.not_supported(target.child("kind"), kind, ["Node", "<empty>"]);
    }
    if binding.path(&["target", "name"]).str_or_empty().is_empty() {
        errs.required(target.child("name"), "");
    }
    if errs.is_empty() {
        return Ok(());
    }
    // upstream returns the bare list, which becomes a 500 without a reason
    Err(ApiError::new(500, Reason::default(), errs.to_aggregate()))
}

fn assign(pod: &mut Value, binding: &Value, name: &str) -> Result<(), ApiError> {
    let refuse = |why: String| Err(ApiError::conflict("", "pods/binding", name, why));
    if !pod.path(&["metadata", "deletionTimestamp"]).is_null() {
        return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = pod.path(&["spec", "nodeName"]).str_or_empty();
    if !node.is_empty() {
        return refuse(format!("pod {name} is already assigned to node {}", quote(node)));
    }
    if !pod.path(&["spec", "schedulingGates"]).items().is_empty() {
        return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod.field_mut("spec").set("nodeName", binding.path(&["target", "name"]).clone());
    pod.remove_path(&["status", "nominatedNodeName"]);
    for map in ["annotations", "labels"] {
        for (key, value) in binding.path(&["metadata", map]).entries() {
            pod.field_mut("metadata").field_mut(map).set(key, value.clone());
        }
    }
    set_condition(pod, "PodScheduled", "True", "", "");
    Ok(())
}

/// The Status that says that it worked.
pub fn success() -> Value {
    [
        ("apiVersion", Value::from("v1")),
        ("kind", "Status".into()),
        ("metadata", Value::map()),
        ("status", "Success".into()),
        ("code", 201i64.into()),
    ]
    .into()
}
