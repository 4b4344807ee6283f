//! Claims of persistent volumes.
//! upstream: pkg/registry/core/persistentvolumeclaim, pkg/apis/core/validation/validation.go
//! (ValidatePersistentVolumeClaim), pkg/api/persistentvolumeclaim/util.go

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::object_meta::IMMUTABLE;
use apimachinery::value::{Cursor, Value};

use crate::registry::core::pod_spec::{ClaimRules, claim_spec, quantity_of, quantity_value};
use crate::registry::internal_json::difference;
use crate::registry::pod_resources::is_native;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{metadata, metadata_update, shown};

/// The strategy of PersistentVolumeClaims.
pub struct PersistentVolumeClaims;

/// Where the class of storage was named before there was a field for it.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

impl Strategy for PersistentVolumeClaims {
    fn prepare_create(&self, _cx: &RequestContext, obj: &mut Value) {
        let mut status = Value::map();
        status.set("phase", "Pending");
        obj.set("status", status);
        prepare_sources(obj.field_mut("spec"), None);
    }

    fn prepare_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        obj.set("status", old.get("status").clone());
        prepare_sources(obj.field_mut("spec"), Some(old.get("spec")));
    }

    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        obj.set("spec", old.get("spec").clone());
    }

    fn checks_metadata(&self, cx: &RequestContext) -> bool {
        cx.subresource.is_empty()
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        metadata(obj.field("metadata"), true, names::dns1123_subdomain, errs);
        claim_spec(obj.field("spec"), ClaimRules::default(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata_update(obj.field("metadata"), old.field("metadata"), errs);
        metadata(obj.field("metadata"), true, names::dns1123_subdomain, errs);
        claim_spec(obj.field("spec"), ClaimRules::since(old.field("spec")), errs);
        let mut old_value = old.value().clone();
        normalize_sources(old_value.field_mut("spec"));
        changes(obj, Cursor::root(&old_value), errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        status(obj.field("status"), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        warnings(obj)
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>) -> Vec<String> {
        warnings(obj)
    }
}

/// Drops what may not be asked for, and fills in the one of the two fields about the source that is not given.
fn prepare_sources(spec: &mut Value, old: Option<&Value>) {
    let was_given = |field: &str| old.is_some_and(|old| !old.get(field).is_null());
    // Sources of other namespaces are behind a feature gate that is off.
    if !spec.path(&["dataSourceRef", "namespace"]).is_zero() && !was_given("dataSourceRef") {
        spec.remove("dataSourceRef");
    }
    let source = spec.get("dataSource");
    let (kind, group) = (source.get("kind").str_or_empty(), source.get("apiGroup").str_or_empty());
    let known = matches!((kind, group), ("PersistentVolumeClaim", "") | ("VolumeSnapshot", "snapshot.storage.k8s.io"));
    let was_used = was_given("dataSource") || was_given("dataSourceRef");
    if !was_used && !known && spec.get("dataSourceRef").is_null() {
        spec.remove("dataSource");
    }
    normalize_sources(spec);
}

/// `dataSource` and `dataSourceRef` say the same; the older one cannot hold what the newer one can.
fn normalize_sources(spec: &mut Value) {
    let reference_is_local = spec.path(&["dataSourceRef", "namespace"]).is_zero();
    if !spec.get("dataSource").is_null() && spec.get("dataSourceRef").is_null() {
        let source = spec.get("dataSource").clone();
        spec.set("dataSourceRef", source);
    } else if !spec.get("dataSourceRef").is_null() && spec.get("dataSource").is_null() && reference_is_local {
        let mut source = spec.get("dataSourceRef").clone();
        source.remove("namespace");
        spec.set("dataSource", source);
    }
}

/// upstream: ValidatePersistentVolumeClaimUpdate
fn changes(obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    const STORAGE: [&str; 3] = ["resources", "requests", "storage"];
    const CLASS: &str = "volumeAttributesClassName";
    let (spec, old_spec, status) = (obj.field("spec"), old.field("spec"), obj.field("status"));
    let (mut new_clone, mut old_clone) = (spec.value().clone(), old_spec.value().clone());
    if old_spec.field("volumeName").is_empty() {
        copy(&mut old_clone, spec.value(), &["volumeName"]);
    }
    storage_class(obj, old, &mut new_clone, errs);
    if status.field("phase").str() == "Bound" {
        if !new_clone.path(&STORAGE[..2]).is_null() {
            let before = old_spec.value().path(&STORAGE);
            new_clone.set_path(&STORAGE, if before.is_null() { Value::str("0") } else { before.clone() });
        }
        copy(&mut new_clone, old_spec.value(), &[CLASS]);
    }
    if new_clone != old_clone {
        let diff = difference(&old_clone, &new_clone, "io.k8s.api.core.v1.PersistentVolumeClaimSpec");
        let why =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errs.forbidden(spec, format!("{why}\n{diff}"));
    }
    let (size, before) = (spec.fields(&STORAGE), old_spec.fields(&STORAGE));
    let is_less = quantity_of(size) < quantity_of(before);
    if is_less && quantity_of(size) <= quantity_of(status.field("capacity").field("storage")) {
        errs.forbidden(size, "field can not be less than status.capacity");
    }
    let mode = spec.field("volumeMode");
    if mode.value() != old_spec.field("volumeMode").value() {
        errs.invalid("volumeMode", shown(mode.value()), IMMUTABLE);
    }
    let (class, applied) = (spec.field(CLASS), old.field("status").field("currentVolumeAttributesClassName"));
    if class.value() != old_spec.field(CLASS).value() && applied.exists() {
        let what = if class.exists() { "empty string" } else { "nil" };
        if class.is_empty() {
            let why = format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil");
            errs.forbidden(class, why);
        }
    }
}

fn copy(to: &mut Value, from: &Value, path: &[&str]) {
    match from.path(path) {
        Value::Null => drop(to.remove_path(path)),
        value => to.set_path(path, value.clone()),
    }
}

/// The class may be given once where there was none, or moved from the annotation into the field.
fn storage_class(obj: Cursor<'_>, old: Cursor<'_>, new_clone: &mut Value, errs: &mut Errors) {
    const FIELD: &str = "storageClassName";
    let annotation =
        |obj: Cursor<'_>| obj.field("metadata").field("annotations").key(CLASS_ANNOTATION).opt_str().map(str::to_owned);
    let (noted, old_noted) = (annotation(obj), annotation(old));
    let (class, old_class) = (obj.field("spec").field(FIELD).opt_str(), old.field("spec").field(FIELD).opt_str());
    let named_as_before = old_noted.is_some() && class == old_noted.as_deref();
    if old_class.is_none() && named_as_before && (noted.is_none() || noted == old_noted) {
        new_clone.remove(FIELD);
        return;
    }
    let (noted, before) = (noted.unwrap_or_default(), old_noted.clone().unwrap_or_default());
    if noted != before {
        let place = obj.field("metadata").field("annotations").path().child(CLASS_ANNOTATION);
        errs.invalid(place, noted, IMMUTABLE);
    }
    if class.is_some() && old_class.is_none() && (old_noted.is_none() || named_as_before) {
        new_clone.remove(FIELD);
    }
}

/// upstream: ValidatePersistentVolumeClaimStatusUpdate
fn status(status: Cursor<'_>, errs: &mut Errors) {
    const RESIZES: [&str; 5] = [
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
        "NodeResizePending",
    ];
    for (_, place) in status.field("capacity").map() {
        not_negative_value(place, errs);
    }
    let states = status.field("allocatedResourceStatuses");
    for (name, place) in states.map() {
        resource_key(states, name, errs);
        if !RESIZES.contains(&place.str()) {
            errs.not_supported(states, name, RESIZES);
        }
    }
    let allocated = status.field("allocatedResources");
    for (name, place) in allocated.map() {
        if resource_key(allocated, name, errs) && not_negative_value(place, errs) {
            quantity_value(place, "storage", &quantity_of(place), errs);
        }
    }
}

/// upstream: validateBasicResource
pub(super) fn not_negative_value(place: Cursor<'_>, errs: &mut Errors) -> bool {
    let value = quantity_of(place).value();
    if value < 0 {
        errs.invalid(place, value, "must be a valid resource quantity");
    }
    value >= 0
}

/// upstream: validatePersistentVolumeClaimResourceKey
fn resource_key(place: Cursor<'_>, name: &str, errs: &mut Errors) -> bool {
    let wrong = names::qualified_name(name);
    let known = !is_native(name) || name == "storage";
    if wrong.is_empty() && !known {
        errs.not_supported(place, name, ["storage"]);
    }
    let right = wrong.is_empty() && known;
    errs.invalid_each(place, name, wrong);
    right
}

fn warnings(obj: Cursor<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let annotation = obj.field("metadata").field("annotations").key(CLASS_ANNOTATION);
    if annotation.exists() {
        let message = "deprecated since v1.8; use \"storageClassName\" attribute instead";
        warnings.push(format!("{}: {message}", annotation.path()));
    }
    warnings.extend(claim_spec_warnings(obj.field("spec")));
    warnings
}

/// Warnings about a claim's spec, alone or in a template.
/// upstream: GetWarningsForPersistentVolumeClaimSpec
pub fn claim_spec_warnings(spec: Cursor<'_>) -> Vec<String> {
    let lists = ["requests", "limits"].map(|list| spec.field("resources").field(list).key("storage"));
    let broken = lists.into_iter().filter(|place| quantity_of(*place).milli_value() % 1000 != 0);
    let warning = |place: Cursor<'_>| {
        let shown = quantity_of(place);
        format!("{}: fractional byte value \"{shown}\" is invalid, must be an integer", place.path())
    };
    broken.map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn updates() {
        let old = r#"{"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}"#;
        let cases = [
            (
                r#"{"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}, "volumeName": "v"}"#,
                "",
            ),
            (
                r#"{"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}"#,
                "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity",
            ),
            (
                r#"{"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "2Gi"}}}"#,
                "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n@@ -1,6 +1,6 @@\n {\n  \"AccessModes\": [\n-  \"ReadWriteOnce\"\n+  \"ReadOnlyMany\"\n  ],\n  \"Selector\": null,\n  \"Resources\": {\n",
            ),
            (
                r#"{"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}, "storageClassName": "s"}"#,
                "",
            ),
        ];
        let old = value(old);
        for (spec, expected) in cases {
            let mut new = old.clone();
            new.set("spec", value(spec));
            let mut errs = Errors::new();
            changes(Cursor::root(&new), Cursor::root(&old), &mut errs);
            assert_eq!(errs.to_aggregate(), expected, "{spec}");
        }
    }

    #[test]
    fn statuses() {
        let cases = [
            (
                r#"{"capacity": {"storage": "-1"}}"#,
                "status.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
            ),
            (
                r#"{"allocatedResources": {"cpu": "1"}}"#,
                r#"status.allocatedResources: Unsupported value: "cpu": supported values: "storage""#,
            ),
            (
                r#"{"allocatedResourceStatuses": {"storage": "x"}}"#,
                r#"status.allocatedResourceStatuses: Unsupported value: "storage": supported values: "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending""#,
            ),
        ];
        for (json, expected) in cases {
            let value = value(&format!(r#"{{"status": {json}}}"#));
            let mut errs = Errors::new();
            status(Cursor::root(&value).field("status"), &mut errs);
            assert_eq!(errs.to_aggregate(), expected, "{json}");
        }
    }
}
