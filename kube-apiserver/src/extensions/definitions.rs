//! The strategy of CustomResourceDefinitions, and their form at rest, which is that of v1beta1.
//!
//! upstream: apiextensions-apiserver/pkg/registry/customresourcedefinition, pkg/apis/apiextensions/v1/conversion.go

use apimachinery::field::Errors;
use apimachinery::value::{Cursor, Value};

use super::validation;
use crate::registry::ordinary;
use crate::registry::strategy::{RequestContext, Strategy};

const V1BETA1: &str = "apiextensions.k8s.io/v1beta1";
/// What v1beta1 has once for all versions where they agree: its name there, and in a version.
const SHARED: [(&str, &str); 4] = [
    ("validation", "schema"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// The strategy of definitions.
pub struct Definitions;

impl Strategy for Definitions {
    fn needs_conversion(&self, api_version: &str) -> bool {
        api_version == V1BETA1
    }

    fn to_hub(&self, api_version: &str, obj: &mut Value) {
        if api_version == V1BETA1 {
            from_v1beta1(obj.field_mut("spec"));
        }
    }

    fn from_hub(&self, api_version: &str, obj: &mut Value) {
        if api_version == V1BETA1 {
            to_v1beta1(obj.field_mut("spec"));
        }
    }

    /// Status is the server's; which versions were ever stored is known from the start.
    fn prepare_create(&self, _cx: &RequestContext, obj: &mut Value) {
        obj.remove("status");
        obj.set_path(&["metadata", "generation"], Value::Int(1));
        add_stored_version(obj);
    }

    fn prepare_update(&self, cx: &RequestContext, obj: &mut Value, old: &Value) {
        ordinary::prepare_update(cx, obj, old);
        add_stored_version(obj);
    }

    /// Metadata may change with the status, as upstream lets it.
    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        obj.set("spec", old.get("spec").clone());
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        validation::create(&internal(obj.value()), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        validation::update(&internal(obj.value()), &internal(old.value()), errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        validation::status(obj.value(), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        format_warnings(validation::unknown_formats(&internal(obj.value())))
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
        let known = validation::unknown_formats(&internal(old.value()));
        let mut formats = validation::unknown_formats(&internal(obj.value()));
        formats.retain(|format| !known.contains(format));
        format_warnings(formats)
    }
}

fn format_warnings(formats: Vec<String>) -> Vec<String> {
    formats.into_iter().map(|format| format!("unrecognized format {format:?}")).collect()
}

/// The definition as upstream's internal type has it, which is nearly that of v1beta1.
fn internal(definition: &Value) -> Value {
    let mut definition = definition.clone();
    let has_versions = !definition.path(&["spec", "versions"]).is_null();
    to_v1beta1(definition.field_mut("spec"));
    if !has_versions {
        definition.remove_path(&["spec", "versions"]);
    }
    definition
}

/// The version that is stored from now on joins those that ever were.
fn add_stored_version(obj: &mut Value) {
    let versions = obj.path(&["spec", "versions"]).items();
    let Some(name) = versions.iter().find(|v| v.get("storage").as_bool() == Some(true)).map(|v| v.get("name").clone())
    else {
        return;
    };
    let stored = obj.field_mut("status").field_mut("storedVersions").list_mut();
    if !stored.contains(&name) {
        stored.push(name);
    }
}

fn to_v1beta1(spec: &mut Value) {
    let mut versions = spec.get("versions").items().to_vec();
    for version in &mut versions {
        rename_columns(version, "jsonPath", "JSONPath");
    }
    for (shared, own) in SHARED {
        let first = versions.first().map(|v| v.get(own).clone()).unwrap_or_default();
        if first.is_null() || versions.iter().any(|v| *v.get(own) != first) {
            continue;
        }
        versions.iter_mut().for_each(|v| drop(v.remove(own)));
        spec.set(shared, first);
    }
    if let Some(name) = versions.first().map(|v| v.get("name").clone()) {
        spec.set("version", name);
    }
    spec.set("versions", Value::List(versions));
    if spec.get("preserveUnknownFields").is_null() {
        spec.set("preserveUnknownFields", false);
    }
    if let Some(conversion) = spec.get_mut("conversion")
        && let Some(webhook) = conversion.remove("webhook")
    {
        for (new, old) in
            [("clientConfig", "webhookClientConfig"), ("conversionReviewVersions", "conversionReviewVersions")]
        {
            if !webhook.get(new).is_null() {
                conversion.set(old, webhook.get(new).clone());
            }
        }
    }
}

fn from_v1beta1(spec: &mut Value) {
    let mut versions = spec.get("versions").items().to_vec();
    for (shared, own) in SHARED {
        let Some(value) = spec.remove(shared) else { continue };
        versions.iter_mut().filter(|v| v.get(own).is_null()).for_each(|v| v.set(own, value.clone()));
    }
    for version in &mut versions {
        rename_columns(version, "JSONPath", "jsonPath");
    }
    spec.remove("version");
    spec.set("versions", Value::List(versions));
    if spec.get("preserveUnknownFields").as_bool() != Some(true) {
        spec.remove("preserveUnknownFields");
    }
    if let Some(conversion) = spec.get_mut("conversion") {
        for (old, new) in
            [("webhookClientConfig", "clientConfig"), ("conversionReviewVersions", "conversionReviewVersions")]
        {
            if let Some(value) = conversion.remove(old) {
                conversion.set_path(&["webhook", new], value);
            }
        }
    }
}

fn rename_columns(version: &mut Value, from: &str, to: &str) {
    let Some(columns) = version.get_mut("additionalPrinterColumns").and_then(Value::as_list_mut) else { return };
    for column in columns {
        if let Some(path) = column.remove(from) {
            column.set(to, path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apimachinery::value;

    #[test]
    fn what_versions_share_is_stored_once() {
        let hub = value!({"spec": {"group": "g", "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}},
             "additionalPrinterColumns": [{"name": "S", "type": "string", "jsonPath": ".spec"}]},
        ]}});
        let mut stored = hub.clone();
        Definitions.from_hub(V1BETA1, &mut stored);
        let expected = value!({"spec": {"group": "g", "version": "v1", "preserveUnknownFields": false,
            "validation": {"openAPIV3Schema": {"type": "object"}},
            "additionalPrinterColumns": [{"name": "S", "type": "string", "JSONPath": ".spec"}],
            "versions": [{"name": "v1", "served": true, "storage": true}],
        }});
        assert_eq!(stored, expected);
        Definitions.to_hub(V1BETA1, &mut stored);
        assert_eq!(stored, hub);
    }
}
