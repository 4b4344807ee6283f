//! Events: one stored resource, served in two groups that name its fields differently. They vanish by themselves,
//! by a lease of the store.
//!
//! upstream: pkg/registry/core/event/strategy.go, pkg/apis/events/v1/conversion.go

use apimachinery::value::Value;

use crate::registry::strategy::Strategy;

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
    fn allow_create_on_update(&self) -> bool {
        true
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
