//! Namespaces: the `kubernetes` finalizer in the spec keeps a deleted namespace until its controller has emptied it.
//! upstream: pkg/registry/core/namespace

use apimachinery::field::{Errors, Path};
use apimachinery::names;
use apimachinery::value::{Cursor, Value};

use crate::registry::admit::Operation;
use crate::registry::ordinary;
use crate::registry::strategy::{NameRule, RequestContext, Strategy};
use crate::registry::validation::{metadata, metadata_update};

/// The strategy of namespaces. Deletion is handled by the store, which knows `spec.finalizers`.
pub struct Namespaces;

const FINALIZER: &str = "kubernetes";

impl Strategy for Namespaces {
    fn name_rule(&self) -> NameRule {
        NameRule::Dns1123Label
    }

    fn prepare_create(&self, _cx: &RequestContext, obj: &mut Value) {
        let mut status = Value::map();
        status.set("phase", "Active");
        obj.set("status", status);
        let finalizers = obj.field_mut("spec").field_mut("finalizers").list_mut();
        if !finalizers.iter().any(|f| f.as_str() == Some(FINALIZER)) {
            finalizers.push(Value::str(FINALIZER));
        }
    }

    fn prepare_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        copy(obj, old, &["spec", "finalizers"]);
        copy(obj, old, &["status"]);
    }

    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        copy(obj, old, &["spec"]);
    }

    fn prepare_subresource_update(&self, subresource: &str, cx: &RequestContext, obj: &mut Value, old: &Value) {
        match subresource {
            "finalize" => copy(obj, old, &["status"]),
            _ => self.prepare_update(cx, obj, old),
        }
    }

    fn checks_metadata(&self, cx: &RequestContext) -> bool {
        cx.operation == Operation::Update && cx.subresource.is_empty()
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        let list = obj.field("spec").field("finalizers");
        for finalizer in list.list() {
            validate_finalizer(finalizer.str(), &list.path(), errs);
        }
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata(obj.field("metadata"), false, names::dns1123_label, errs);
        self.validate_create(cx, obj, errs);
        metadata_update(obj.field("metadata"), old.field("metadata"), errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        let deleted = obj.field("metadata").field("deletionTimestamp").exists();
        let (wanted, detail) = match deleted {
            false => ("Active", "may only be 'Active' if `deletionTimestamp` is empty"),
            true => ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty"),
        };
        let phase = obj.field("status").field("phase").str();
        if phase != wanted {
            errs.invalid("status.Phase", phase, detail);
        }
    }

    fn validate_subresource_update(
        &self,
        subresource: &str,
        _cx: &RequestContext,
        obj: Cursor<'_>,
        _old: Cursor<'_>,
        errs: &mut Errors,
    ) {
        if subresource == "finalize" {
            for finalizer in obj.field("spec").field("finalizers").list() {
                validate_finalizer(finalizer.str(), &finalizer.path(), errs);
            }
        }
    }

    fn canonicalize(&self, obj: &mut Value) {
        let name = obj.path(&["metadata", "name"]).clone();
        obj.field_mut("metadata").field_mut("labels").set("kubernetes.io/metadata.name", name);
    }

    fn field_value(&self, obj: &Value, label: &str) -> Option<String> {
        // Older servers called it so, and clients still do.
        let label = if label == "name" { "metadata.name" } else { label };
        Some(ordinary::field_value(obj, label))
    }
}

fn copy(obj: &mut Value, old: &Value, path: &[&str]) {
    match old.path(path) {
        Value::Null => drop(obj.remove_path(path)),
        value => obj.set_path(path, value.clone()),
    }
}

/// A finalizer is qualified by a domain, or one of Kubernetes' own.
fn validate_finalizer(name: &str, path: &Path, errs: &mut Errors) {
    errs.invalid_each(path, name, names::qualified_name(name));
    if !name.contains('/') && !matches!(name, FINALIZER | "orphan" | "foregroundDeletion") {
        errs.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
}
