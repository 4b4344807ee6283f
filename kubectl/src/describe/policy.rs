//! Disruption budgets, priority classes and autoscalers.

use apimachinery::value::Value;

use super::document::{Document, format_selector, number};
use crate::printers::{format_labels, sprint};
use crate::time::rfc1123z;

pub(super) fn disruption_budget(object: &Value, doc: &mut Document) -> bool {
    let (spec, status) = (object.get("spec"), object.get("status"));
    doc.head(object, true);
    if spec.has("minAvailable") {
        doc.field(0, "Min available", &sprint(spec.get("minAvailable")));
    } else if spec.has("maxUnavailable") {
        doc.field(0, "Max unavailable", &sprint(spec.get("maxUnavailable")));
    }
    let chosen = if spec.has("selector") { format_selector(spec.get("selector")) } else { "<unset>".to_owned() };
    doc.field(0, "Selector", &chosen);
    doc.write(0, "Status:\n");
    for (title, field) in [
        ("Allowed disruptions", "disruptionsAllowed"),
        ("Current", "currentHealthy"),
        ("Desired", "desiredHealthy"),
        ("Total", "expectedPods"),
    ] {
        doc.field(2, title, &number(status, &[field]).to_string());
    }
    true
}

pub(super) fn priority_class(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, false);
    doc.field(0, "Value", &number(object, &["value"]).to_string());
    doc.field(0, "GlobalDefault", &object.get("globalDefault").as_bool().unwrap_or(false).to_string());
    doc.field(0, "PreemptionPolicy", object.get("preemptionPolicy").str_or_empty());
    doc.field(0, "Description", object.get("description").str_or_empty());
    doc.field(0, "Annotations", &format_labels(object.path(&["metadata", "annotations"]).as_map()));
    true
}

pub(super) fn autoscaler(object: &Value, doc: &mut Document) -> bool {
    let (spec, status) = (object.get("spec"), object.get("status"));
    doc.head(object, true);
    doc.labels_and_annotations(object);
    doc.field(0, "CreationTimestamp", &rfc1123z(object.path(&["metadata", "creationTimestamp"]).str_or_empty()));
    let target = spec.get("scaleTargetRef");
    let kind = target.get("kind").str_or_empty();
    doc.field(0, "Reference", &format!("{kind}/{}", target.get("name").str_or_empty()));
    doc.write(0, "Metrics:\t( current / target )\n");
    for (index, metric) in spec.get("metrics").items().iter().enumerate() {
        let line = metric_line(metric, status.get("currentMetrics").index(index));
        doc.write(1, &format!("{line}\n"));
    }
    let min = spec.get("minReplicas");
    doc.field(0, "Min replicas", &if min.is_null() { "<unset>".to_owned() } else { sprint(min) });
    doc.field(0, "Max replicas", &number(spec, &["maxReplicas"]).to_string());
    if spec.has("behavior") {
        doc.write(0, "Behavior:\n");
        for (title, field) in [("Scale Up", "scaleUp"), ("Scale Down", "scaleDown")] {
            behavior(title, spec.path(&["behavior", field]), doc);
        }
    }
    let (current, desired) = (number(status, &["currentReplicas"]), number(status, &["desiredReplicas"]));
    doc.write(0, &format!("{kind} pods:\t{current} current / {desired} desired\n"));
    if !status.get("conditions").is_zero() {
        doc.write(0, "Conditions:\n");
        doc.write(1, "Type\tStatus\tReason\tMessage\n");
        doc.write(1, "----\t------\t------\t-------\n");
    }
    for condition in status.get("conditions").items() {
        let cells = ["type", "status", "reason", "message"].map(|k| condition.get(k).str_or_empty());
        doc.write(1, &format!("{}\n", cells.join("\t")));
    }
    true
}

fn quantity(value: &Value) -> String {
    if value.is_null() { "<unknown>".to_owned() } else { sprint(value) }
}

/// One metric with its present and its wanted value.
fn metric_line(metric: &Value, current: &Value) -> String {
    let kind = metric.get("type").str_or_empty();
    let field = match kind {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        other => return format!("<unknown metric type \"{other}\">"),
    };
    let (source, current) = (metric.get(field), current.path(&[field, "current"]));
    let target = source.get("target");
    let average = target.has("averageValue");
    let name = source.path(&["metric", "name"]).str_or_empty();
    let value_key = if average { "averageValue" } else { "value" };
    let values = format!("{} / {}", quantity(current.get(value_key)), sprint(target.get(value_key)));
    let what = if average { "(target average value)" } else { "(target value)" };
    match kind {
        "External" => format!("\"{name}\" {what}:\t{values}"),
        "Pods" => format!(
            "\"{name}\" on pods:\t{} / {}",
            quantity(current.get("averageValue")),
            sprint(target.get("averageValue"))
        ),
        "Object" => {
            let object = source.get("describedObject");
            let text = |key: &str| object.get(key).str_or_empty();
            format!("\"{name}\" on {}/{} {what}:\t{values}", text("kind"), text("name"))
        }
        _ => {
            let resource = source.get("name").str_or_empty();
            let container = source.get("container").str_or_empty();
            let (on, gap) = match kind {
                "Resource" => ("on pods".to_owned(), "  "),
                _ => (format!("of container \"{container}\" on pods"), "  "),
            };
            if average {
                return format!("resource {resource} {on}:\t{values}");
            }
            let now = match current.get("averageUtilization") {
                none if none.is_null() => "<unknown>".to_owned(),
                percent => format!("{}% ({})", sprint(percent), sprint(current.get("averageValue"))),
            };
            let wanted = match target.get("averageUtilization") {
                none if none.is_null() => "<auto>".to_owned(),
                percent => format!("{}%", sprint(percent)),
            };
            format!("resource {resource} {on}{gap}(as a percentage of request):\t{now} / {wanted}")
        }
    }
}

fn behavior(title: &str, rules: &Value, doc: &mut Document) {
    if rules.is_null() {
        return;
    }
    doc.write(1, &format!("{title}:\n"));
    if rules.has("stabilizationWindowSeconds") {
        let seconds = number(rules, &["stabilizationWindowSeconds"]);
        doc.write(2, &format!("Stabilization Window: {seconds} seconds\n"));
    }
    if !rules.get("policies").is_zero() {
        let select = match rules.get("selectPolicy").str_or_empty() {
            "" => "Max",
            select => select,
        };
        doc.write(2, &format!("Select Policy: {select}\n"));
        doc.write(2, "Policies:\n");
    }
    for policy in rules.get("policies").items() {
        let kind = policy.get("type").str_or_empty();
        let (value, period) = (number(policy, &["value"]), number(policy, &["periodSeconds"]));
        doc.write(3, &format!("- Type: {kind}\tValue: {value}\tPeriod: {period} seconds\n"));
    }
}
