//! Events: one stored resource, served in two groups that name its fields differently. They vanish by themselves,
//! by a lease of the store.
//!
//! upstream: pkg/registry/core/event/strategy.go, pkg/apis/events/v1/conversion.go

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::{Cursor, Value};

use crate::registry::internal_json::shown_struct;
use crate::registry::strategy::{DefaultPropagation, RequestContext, Strategy};
use crate::registry::validation::{immutable, metadata, metadata_update, named, required};

/// The version with the newer names.
const EVENTS_V1: &str = "events.k8s.io/v1";

/// Names in core/v1 and in events.k8s.io/v1.
const NAMES: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// The strategy of Events.
pub struct Events;

impl Strategy for Events {
    fn default_propagation(&self) -> DefaultPropagation {
        DefaultPropagation::Unsupported
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn checks_metadata(&self, _cx: &RequestContext) -> bool {
        true
    }

    fn validate_create(&self, cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        event(cx, obj, errs);
        if is_strict(cx) {
            metadata(obj.field("metadata"), true, names::dns1123_subdomain, errs);
            strictly(obj, errs);
        }
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        event(cx, obj, errs);
        if is_strict(cx) {
            metadata_update(obj.field("metadata"), old.field("metadata"), errs);
            changes(obj, old, errs);
        }
    }

    fn needs_conversion(&self, api_version: &str) -> bool {
        api_version == EVENTS_V1
    }

    fn to_hub(&self, api_version: &str, obj: &mut Value) {
        if api_version == EVENTS_V1 {
            NAMES.iter().for_each(|(core, events)| rename(obj, events, core));
        }
    }

    fn from_hub(&self, api_version: &str, obj: &mut Value) {
        if api_version == EVENTS_V1 {
            NAMES.iter().for_each(|(core, events)| rename(obj, core, events));
        }
    }

    fn field_value(&self, obj: &Value, label: &str) -> Option<String> {
        let value = crate::registry::ordinary::field_value(obj, label);
        // older reporters name themselves in the source alone
        if label == "reportingComponent" && value.is_empty() || label == "source" {
            return Some(obj.path(&["source", "component"]).str_or_empty().to_owned())
                .filter(|s| !s.is_empty())
                .or_else(|| Some(obj.get("reportingComponent").str_or_empty().to_owned()));
        }
        Some(value)
    }

    fn computes_fields(&self) -> bool {
        true
    }
}

fn rename(obj: &mut Value, from: &str, to: &str) {
    if let Some(value) = obj.remove(from) {
        obj.set(to, value);
    }
}

/// The newer group has rules that the older one came without.
fn is_strict(cx: &RequestContext) -> bool {
    !cx.group.is_empty()
}

/// upstream: legacyValidateEvent
fn event(cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
    const NAMESPACE: &str = "does not match event.namespace";
    let namespace = obj.field("metadata").field("namespace").str();
    let about = obj.field("involvedObject").field("namespace");
    if !obj.field("eventTime").exists() {
        let fits = match about.str() {
            "" => matches!(namespace, "" | "default"),
            other => other == namespace,
        };
        if !fits {
            errs.invalid(about, about.str(), NAMESPACE);
        }
    } else {
        if about.is_empty() && !matches!(namespace, "default" | "kube-system") {
            errs.invalid(about, about.str(), NAMESPACE);
        }
        let reporter = obj.field("reportingComponent");
        let reporter = if is_strict(cx) { obj.field("reportingController").at(reporter.value()) } else { reporter };
        required(reporter, errs);
        named(reporter, names::qualified_name, errs);
        for (name, most, needed) in
            [("reportingInstance", 128, true), ("action", 128, true), ("reason", 128, true), ("message", 1024, false)]
        {
            let place = obj.field(name);
            if needed {
                required(place, errs);
            }
            if place.str().len() > most {
                errs.invalid(place, "", format!("can have at most {most} characters"));
            }
        }
    }
    errs.invalid_each("namespace", namespace, names::dns1123_subdomain(namespace));
}

/// upstream: ValidateEventCreate
fn strictly(obj: Cursor<'_>, errs: &mut Errors) {
    const UNSET: &str = "needs to be unset";
    series(obj.field("series"), errs);
    required(obj.field("eventTime"), errs);
    let kind = obj.field("type");
    if !matches!(kind.str(), "Normal" | "Warning") {
        errs.invalid(kind, "", format!("has invalid value: {}", kind.str()));
    }
    for name in ["firstTimestamp", "lastTimestamp", "count"] {
        if !obj.field(name).is_empty() {
            errs.invalid(obj.field(name), "", UNSET);
        }
    }
    let source = obj.field("source");
    if !source.field("component").is_empty() || !source.field("host").is_empty() {
        errs.invalid(source, "", UNSET);
    }
}

fn series(series: Cursor<'_>, errs: &mut Errors) {
    if series.exists() {
        if series.field("count").i64() < 2 {
            errs.invalid(series.field("count"), "", "should be at least 2");
        }
        required(series.field("lastObservedTime"), errs);
    }
}

/// upstream: ValidateEventUpdate
fn changes(obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    if obj.field("series").value() != old.field("series").value() {
        series(obj.field("series"), errs);
    }
    let same_struct = |field: &'static str, type_name: &str, errs: &mut Errors| {
        let (new, old) = (obj.field(field), old.field(field));
        // Whether there is a related object counts even if nothing is said of it.
        let is_same = match field {
            "related" => new.value() == old.value(),
            _ => without_empty(new.value()) == without_empty(old.value()),
        };
        if !is_same {
            let empty = Value::map();
            // All but the related object are there even if nothing is given.
            let place = if new.exists() || field == "related" { new } else { new.at(&empty) };
            errs.invalid(new, shown_struct(place, type_name), apimachinery::object_meta::IMMUTABLE);
        }
    };
    let same = |fields: &[&'static str], errs: &mut Errors| {
        for field in fields {
            let (new, old) = (obj.field(field), old.field(field));
            match (new.exists(), old.value()) {
                (false, Value::Str(_)) if !field.ends_with("Timestamp") && *field != "eventTime" => {
                    errs.invalid(new, "", apimachinery::object_meta::IMMUTABLE);
                }
                (false, Value::Int(_)) => errs.invalid(new, 0, apimachinery::object_meta::IMMUTABLE),
                _ => immutable(new, old, errs),
            }
        }
    };
    same_struct("involvedObject", "io.k8s.api.core.v1.ObjectReference", errs);
    same(&["reason", "message"], errs);
    same_struct("source", "io.k8s.api.core.v1.EventSource", errs);
    same(&["firstTimestamp", "lastTimestamp", "count", "reason", "type", "eventTime", "action"], errs);
    same_struct("related", "io.k8s.api.core.v1.ObjectReference", errs);
    if obj.field("reportingComponent").str() != old.field("reportingComponent").str() {
        let reporter = obj.field("reportingComponent").str();
        errs.invalid("reportingController", reporter, apimachinery::object_meta::IMMUTABLE);
    }
    same(&["reportingInstance"], errs);
}

/// Nothing and an object without anything in it are the same.
fn without_empty(value: &Value) -> Value {
    if value.is_zero() { Value::Null } else { value.clone() }
}
