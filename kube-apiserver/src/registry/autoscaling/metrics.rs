//! What an autoscaler looks at.
//! upstream: pkg/apis/autoscaling/validation/validation.go (validateMetricSpec)

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::quantity::Quantity;
use apimachinery::value::Cursor;

use super::{References, reference};
use crate::registry::core::pod_spec::{container_resource_name, quantity_of};
use crate::registry::validation::{named, one_of};

const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
/// Types with the fields that describe them, in upstream's order.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

/// A value that must be given, for a reason, and follow a rule.
fn required_name(place: Cursor<'_>, why: &str, rule: names::Rule, errs: &mut Errors) {
    if place.is_empty() { errs.required(place, why) } else { named(place, rule, errs) }
}

/// upstream: validateMetricSpec
pub(super) fn metric(metric: Cursor<'_>, references: References, errs: &mut Errors) {
    let kind = metric.field("type");
    if kind.is_empty() {
        errs.required(kind, "must specify a metric source type");
    }
    one_of(kind, &TYPES, errs);
    let given: Vec<&'static str> =
        SOURCES.iter().map(|(_, field)| *field).filter(|field| metric.field(field).exists()).collect();
    if let Some(field) = given.first() {
        source(field, metric.field(field), references, errs);
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind.str()).map(|(_, field)| *field);
    match expected {
        Some(field) if !metric.field(field).exists() => {
            errs.required(metric.field(field), "must populate information for the given metric source");
        }
        Some(_) => {}
        None => one_of(kind, &TYPES, errs),
    }
    if given.len() != 1 {
        for field in given.into_iter().filter(|field| Some(*field) != expected) {
            errs.forbidden(metric.field(field), "must populate the given metric source only");
        }
    }
}

fn source(kind: &str, source: Cursor<'_>, references: References, errs: &mut Errors) {
    let target = source.field("target");
    let (value, average, utilization) =
        (target.field("value"), target.field("averageValue"), target.field("averageUtilization"));
    let named_metric = |errs: &mut Errors| {
        let name = source.field("metric").field("name");
        required_name(name, "must specify a metric name", names::path_segment_name, errs);
    };
    match kind {
        "object" => {
            reference(source.field("describedObject"), references, errs);
            named_metric(errs);
            metric_target(target, errs);
            if !value.exists() && !average.exists() {
                errs.required(average, "must set either a target value or averageValue");
            }
        }
        "external" => {
            named_metric(errs);
            metric_target(target, errs);
            match (value.exists(), average.exists()) {
                (false, false) => {
                    errs.required(average, "must set either a target value for metric or a per-pod target");
                }
                (true, true) => {
                    errs.forbidden(value, "may not set both a target value for metric and a per-pod target");
                }
                _ => {}
            }
        }
        "pods" => {
            named_metric(errs);
            metric_target(target, errs);
            if !average.exists() {
                errs.required(average, "must specify a positive target averageValue");
            }
        }
        _ => {
            let name = source.field("name");
            if name.is_empty() {
                errs.required(name, "must specify a resource name");
            } else if kind == "containerResource" {
                container_resource_name(name, name.str(), errs);
            }
            if kind == "containerResource" {
                required_name(source.field("container"), "must specify a container", names::dns1123_label, errs);
            }
            metric_target(target, errs);
            match (utilization.exists(), average.exists()) {
                (false, false) => {
                    errs.required(utilization, "must set either a target raw value or a target utilization");
                }
                (true, true) => {
                    errs.forbidden(average, "may not set both a target raw value and a target utilization");
                }
                _ => {}
            }
        }
    }
}

/// upstream: validateMetricTarget
fn metric_target(target: Cursor<'_>, errs: &mut Errors) {
    let (kind, utilization) = (target.field("type"), target.field("averageUtilization"));
    if kind.is_empty() {
        errs.required(kind, "must specify a metric target type");
    }
    if !matches!(kind.str(), "Utilization" | "Value" | "AverageValue") {
        errs.invalid(kind, kind.str(), "must be either Utilization, Value, or AverageValue");
    }
    for place in ["value", "averageValue"].map(|field| target.field(field)).into_iter().filter(|place| place.exists()) {
        if quantity_of(place) <= Quantity::default() {
            errs.invalid(place, place.str(), "must be positive");
        }
    }
    if utilization.opt_i64().is_some_and(|utilization| utilization < 1) {
        errs.invalid(utilization, utilization.i64(), "must be greater than 0");
    }
}
