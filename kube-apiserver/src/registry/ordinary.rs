//! How a resource behaves unless its strategy says otherwise.
//!
//! upstream: the strategies under pkg/registry, where nearly all do the same

use apimachinery::value::Value;

use crate::registry::core::pod_spec::disabled::drop_disabled;
use crate::registry::resource::Resource;
use crate::registry::strategy::{RequestContext, Strategy};

/// The strategy of a resource that does nothing special.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ordinary;

impl Strategy for Ordinary {}

/// Status is not the client's to set; generations start at 1.
pub fn prepare_create(cx: &RequestContext, obj: &mut Value) {
    drop_disabled(&cx.resource, obj, &Value::Null);
    if cx.resource.has_status {
        obj.remove("status");
    }
    if cx.resource.has_generation {
        obj.set_path(&["metadata", "generation"], Value::Int(1));
    }
}

/// Status stays as it was; the generation counts changes of everything but metadata and status.
pub fn prepare_update(cx: &RequestContext, obj: &mut Value, old: &Value) {
    drop_disabled(&cx.resource, obj, old);
    if cx.resource.has_status {
        copy_field(obj, old, "status");
    }
    bump_generation(&cx.resource, obj, old);
}

/// Adds one to the old generation if anything but metadata and status differs.
pub fn bump_generation(resource: &Resource, obj: &mut Value, old: &Value) {
    if resource.has_generation && differs(obj, old, resource.has_status) {
        let old = old.path(&["metadata", "generation"]).as_i64().unwrap_or(0);
        obj.set_path(&["metadata", "generation"], Value::Int(old + 1));
    }
}

/// Everything but status and managedFields stays as it was.
pub fn prepare_status_update(_cx: &RequestContext, obj: &mut Value, old: &Value) {
    let keys: Vec<String> = obj
        .entries()
        .chain(old.entries())
        .map(|(k, _)| k.to_owned())
        .filter(|k| !matches!(k.as_str(), "apiVersion" | "kind" | "metadata" | "status"))
        .collect();
    for key in keys {
        copy_field(obj, old, &key);
    }
    reset_metadata(obj, old);
}

/// Metadata stays as it was, but for managedFields and the preconditions a client states with uid and
/// resourceVersion.
/// upstream: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/helpers.go: ResetObjectMetaForStatus
pub fn reset_metadata(obj: &mut Value, old: &Value) {
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
    ] {
        copy_path(obj, old, &["metadata", field]);
    }
}

fn copy_field(obj: &mut Value, old: &Value, key: &str) {
    copy_path(obj, old, &[key]);
}

fn copy_path(obj: &mut Value, old: &Value, path: &[&str]) {
    match old.path(path) {
        Value::Null => drop(obj.remove_path(path)),
        value => obj.set_path(path, value.clone()),
    }
}

fn differs(a: &Value, b: &Value, has_status: bool) -> bool {
    let relevant = |v: &Value| -> Vec<(String, Value)> {
        v.entries()
            .filter(|(k, _)| !matches!(*k, "metadata" | "apiVersion" | "kind") && (!has_status || *k != "status"))
            .map(|(k, v)| (k.to_owned(), v.clone()))
            .collect()
    };
    relevant(a) != relevant(b)
}

/// The text of a field for a field selector; empty if absent.
pub fn field_value(obj: &Value, label: &str) -> String {
    let value = label.split('.').fold(obj, |v, key| v.get(key));
    match value {
        Value::Str(s) => s.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        _ => String::new(),
    }
}
