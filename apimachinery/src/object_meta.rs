//! Rules for the metadata that every object has, and for the options of requests. Corresponds to upstream's
//! apimachinery/pkg/api/validation/objectmeta.go and pkg/apis/meta/v1/validation.

use std::collections::BTreeSet;

use crate::field::{BadValue, Errors, Path};
use crate::names::{self, Rule};
use crate::quote::{json_string, json_value, quote};
use crate::selector::label;
use crate::value::{Cursor, Value};

/// Most bytes that all annotations of an object may have together.
pub const TOTAL_ANNOTATION_SIZE_LIMIT: usize = 256 * 1024;
/// What is said of a field that must not change.
pub const IMMUTABLE: &str = "field is immutable";
/// What is said of a negative number.
pub const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

const FIELD_MANAGER_MAX: usize = 128;
const SUBRESOURCE_MAX: usize = 256;
const CONDITION_REASON_MAX: usize = 1024;
const CONDITION_MESSAGE_MAX: usize = 32 * 1024;

/// What is wrong with the metadata of a new object; its name is already generated. `rule` is that of the resource's names.
pub fn validate(meta: Cursor<'_>, namespaced: bool, rule: Rule, errs: &mut Errors) {
    let generate = meta.field("generateName");
    if !generate.is_empty() {
        errs.invalid_each(generate, generate.str(), rule(&names::mask_trailing_dash(generate.str())));
    }
    let name = meta.field("name");
    if name.is_empty() {
        errs.required(name, "name or generateName is required");
    } else {
        errs.invalid_each(name, name.str(), rule(name.str()));
    }
    validate_namespace(meta.field("namespace"), namespaced, errs);
    let generation = meta.field("generation");
    if generation.i64() < 0 {
        errs.invalid(generation, generation.i64(), NOT_NEGATIVE);
    }
    validate_common(meta, errs);
    validate_finalizers(meta.field("finalizers"), errs);
    validate_managed_fields(meta.field("managedFields"), errs);
}

fn validate_namespace(namespace: Cursor<'_>, namespaced: bool, errs: &mut Errors) {
    match (namespaced, namespace.str()) {
        (true, "") => errs.required(namespace, ""),
        (true, text) => errs.invalid_each(namespace, text, names::dns1123_label(text)),
        (false, "") => {}
        (false, _) => errs.forbidden(namespace, "not allowed on this type"),
    }
}

fn validate_common(meta: Cursor<'_>, errs: &mut Errors) {
    label::validate_labels(meta.field("labels"), errs);
    validate_annotations(meta.field("annotations"), errs);
    validate_owner_references(meta.field("ownerReferences"), errs);
}

/// What is wrong with changing the metadata from `old` to `meta`.
pub fn validate_update(meta: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    if old.field("deletionTimestamp").exists() {
        validate_no_new_finalizers(meta.field("finalizers"), old.field("finalizers"), errs);
    }
    let version = meta.field("resourceVersion");
    if version.is_empty() {
        errs.invalid(version, "", "must be specified for an update");
    }
    let generation = meta.field("generation");
    if generation.i64() < old.field("generation").i64() {
        errs.invalid(generation, generation.i64(), "must not be decremented");
    }
    for name in ["name", "namespace", "uid"] {
        if meta.field(name).str() != old.field(name).str() {
            errs.invalid(meta.field(name), meta.field(name).str(), IMMUTABLE);
        }
    }
    for name in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        validate_immutable(meta.field(name), old.field(name), errs);
    }
    validate_common(meta, errs);
    validate_managed_fields(meta.field("managedFields"), errs);
}

/// Complains if the value differs from the old one.
pub fn validate_immutable(new: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    if new.value() != old.value() {
        errs.invalid(new, new, IMMUTABLE);
    }
}

/// What is wrong with annotations.
pub fn validate_annotations(annotations: Cursor<'_>, errs: &mut Errors) {
    let mut size = 0;
    for (key, value) in annotations.map() {
        errs.invalid_each(annotations, key, names::qualified_name(&key.to_lowercase()));
        size += key.len() + value.str().len();
    }
    if size > TOTAL_ANNOTATION_SIZE_LIMIT {
        errs.too_long(annotations, TOTAL_ANNOTATION_SIZE_LIMIT);
    }
}

/// What is wrong with the owners of an object.
pub fn validate_owner_references(owners: Cursor<'_>, errs: &mut Errors) {
    let path = owners.path();
    let mut controller: Option<String> = None;
    for owner in owners.list() {
        validate_owner_reference(owner, &path, errs);
        if !owner.field("controller").bool() {
            continue;
        }
        let this = format!("{}/{}", owner.field("kind").str(), owner.field("name").str());
        match &controller {
            None => controller = Some(this),
            Some(first) => errs.invalid(
                &path,
                BadValue::json(format!("[{}]", owners.list().map(owner_json).collect::<Vec<_>>().join(","))),
                format!("Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"),
            ),
        }
    }
}

fn validate_owner_reference(owner: Cursor<'_>, path: &Path, errs: &mut Errors) {
    let (api_version, kind) = (owner.field("apiVersion").str(), owner.field("kind").str());
    let version = if api_version.matches('/').count() > 1 { "" } else { api_version.rsplit('/').next().unwrap_or("") };
    if version.is_empty() {
        errs.invalid(path.child("apiVersion"), api_version, "version must not be empty");
    }
    for name in ["kind", "name", "uid"] {
        if owner.field(name).is_empty() {
            errs.invalid(path.child(name), "", "must not be empty");
        }
    }
    if (api_version, kind) == ("v1", "Event") {
        let shown = BadValue::json(owner_json(owner));
        errs.invalid(path, shown, "/v1, Kind=Event is disallowed from being an owner");
    }
}

/// An owner reference as Go writes it.
fn owner_json(owner: Cursor<'_>) -> String {
    let mut members = Vec::new();
    for name in ["apiVersion", "kind", "name", "uid"] {
        members.push(format!("\"{name}\":{}", json_string(owner.field(name).str())));
    }
    for name in ["controller", "blockOwnerDeletion"] {
        if let Some(flag) = owner.field(name).opt_bool() {
            members.push(format!("\"{name}\":{flag}"));
        }
    }
    format!("{{{}}}", members.join(","))
}

/// What is wrong with finalizers.
pub fn validate_finalizers(finalizers: Cursor<'_>, errs: &mut Errors) {
    let path = finalizers.path();
    for finalizer in finalizers.list() {
        errs.invalid_each(&path, finalizer.str(), names::qualified_name(finalizer.str()));
    }
    let has = |name: &str| finalizers.list().any(|f| f.str() == name);
    if has("orphan") && has("foregroundDeletion") {
        errs.invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
    }
}

fn validate_no_new_finalizers(new: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let old: BTreeSet<&str> = old.list().map(Cursor::str).collect();
    let added: BTreeSet<&str> = new.list().map(Cursor::str).filter(|f| !old.contains(f)).collect();
    if !added.is_empty() {
        let list: Vec<String> = added.iter().map(|f| quote(f)).collect();
        errs.forbidden(
            new,
            format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                list.join(", ")
            ),
        );
    }
}

/// What is wrong with managed fields, apart from the field sets themselves.
pub fn validate_managed_fields(entries: Cursor<'_>, errs: &mut Errors) {
    for entry in entries.list() {
        let operation = entry.field("operation");
        if !matches!(operation.str(), "Apply" | "Update") {
            errs.invalid(operation, operation.str(), "must be `Apply` or `Update`");
        }
        let fields_type = entry.field("fieldsType");
        if !matches!(fields_type.str(), "" | "FieldsV1") {
            errs.invalid(fields_type, fields_type.str(), "must be `FieldsV1`");
        }
        validate_field_manager(entry.field("manager").str(), &entry.field("manager").path(), errs);
        if entry.field("subresource").str().len() > SUBRESOURCE_MAX {
            errs.too_long(entry.field("subresource"), SUBRESOURCE_MAX);
        }
    }
}

/// What is wrong with the name of a field manager.
pub fn validate_field_manager(manager: &str, path: &Path, errs: &mut Errors) {
    if manager.len() > FIELD_MANAGER_MAX {
        errs.too_long(path, FIELD_MANAGER_MAX);
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| !crate::quote::is_printable(*c)) {
        errs.invalid(path, manager, format!("invalid character U+{:04X} (at position {at})", c as u32));
    }
}

/// What is wrong with the `dryRun` values of a request.
pub fn validate_dry_run(values: &[&str], errs: &mut Errors) {
    if values.iter().any(|v| *v != "All") {
        let list = Value::List(values.iter().map(|v| Value::from(*v)).collect());
        errs.not_supported("dryRun", BadValue::json(json_value(&list)), ["All"]);
    }
}

/// What is wrong with the `fieldValidation` of a request.
pub fn validate_field_validation(value: &str, errs: &mut Errors) {
    if !matches!(value, "" | "Ignore" | "Warn" | "Strict") {
        errs.not_supported("fieldValidation", value, ["", "Ignore", "Strict", "Warn"]);
    }
}

/// What is wrong with a list of `metav1.Condition`.
pub fn validate_conditions(conditions: Cursor<'_>, errs: &mut Errors) {
    let mut seen = BTreeSet::new();
    for condition in conditions.list() {
        let type_ = condition.field("type");
        if !seen.insert(type_.str()) {
            errs.duplicate(type_, type_.str());
        }
        validate_condition(condition, errs);
    }
}

fn validate_condition(condition: Cursor<'_>, errs: &mut Errors) {
    label::validate_label_name(condition.field("type"), errs);
    let status = condition.field("status");
    if !matches!(status.str(), "True" | "False" | "Unknown") {
        errs.not_supported(status, status.str(), ["False", "True", "Unknown"]);
    }
    let observed = condition.field("observedGeneration");
    if observed.i64() < 0 {
        errs.invalid(observed, observed.i64(), "must be greater than or equal to zero");
    }
    if condition.field("lastTransitionTime").is_empty() {
        errs.required(condition.field("lastTransitionTime"), "");
    }
    let reason = condition.field("reason");
    if reason.is_empty() {
        errs.required(reason, "");
    } else {
        errs.invalid_each(reason, reason.str(), names::condition_reason(reason.str()));
        if reason.str().len() > CONDITION_REASON_MAX {
            errs.too_long(reason, CONDITION_REASON_MAX);
        }
    }
    if condition.field("message").str().len() > CONDITION_MESSAGE_MAX {
        errs.too_long(condition.field("message"), CONDITION_MESSAGE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn creation() {
        let meta = value!({"name": "A", "namespace": "x y", "labels": {"a b": "c"}, "ownerReferences": [{"apiVersion": "a/b/c", "kind": "K", "name": "n", "uid": "u"}]});
        let mut errs = Errors::new();
        let path = Path::root("metadata");
        validate(Cursor::with_base(&meta, &path), true, names::dns1123_subdomain, &mut errs);
        let fields: Vec<&str> = errs.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(
            fields,
            ["metadata.name", "metadata.namespace", "metadata.labels", "metadata.ownerReferences.apiVersion"]
        );
    }

    #[test]
    fn update() {
        let old = value!({"name": "a", "uid": "1", "resourceVersion": "1", "deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["a/b"]});
        let new = value!({"name": "a", "uid": "2", "deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["a/b", "a/c"]});
        let mut errs = Errors::new();
        validate_update(Cursor::root(&new), Cursor::root(&old), &mut errs);
        assert_eq!(
            errs.to_aggregate(),
            "[finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"a/c\"}, resourceVersion: Invalid value: \"\": must be specified for an update, uid: Invalid value: \"2\": field is immutable]"
        );
    }
}
