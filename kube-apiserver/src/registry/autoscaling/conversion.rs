//! Version 1 of autoscalers, which only knows the processor: the rest of what version 2 says is kept in annotations.
//! upstream: pkg/apis/autoscaling/v1/conversion.go

use apimachinery::quote::json_value;
use apimachinery::value::Value;

/// The older version.
pub(super) const V1: &str = "autoscaling/v1";

const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";

const DEFAULT_UTILIZATION: i64 = 80;

/// Where fields of version 1 of a metric are in version 2: kind, then pairs.
type Moves = (&'static str, &'static [(&'static str, &'static [&'static str])]);

const SPEC: [Moves; 5] = [
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("targetValue", &["target", "value"]),
            ("selector", &["metric", "selector"]),
            ("averageValue", &["target", "averageValue"]),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("targetAverageValue", &["target", "averageValue"]),
            ("selector", &["metric", "selector"]),
        ],
    ),
    ("resource", RESOURCE),
    ("containerResource", RESOURCE),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
    ),
];
const RESOURCE: &[(&str, &[&str])] = &[
    ("name", &["name"]),
    ("targetAverageUtilization", &["target", "averageUtilization"]),
    ("targetAverageValue", &["target", "averageValue"]),
    ("container", &["container"]),
];
const STATUS: [Moves; 5] = [
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("currentValue", &["current", "value"]),
            ("selector", &["metric", "selector"]),
            ("averageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("currentAverageValue", &["current", "averageValue"]),
            ("selector", &["metric", "selector"]),
        ],
    ),
    ("resource", RESOURCE_STATUS),
    ("containerResource", RESOURCE_STATUS),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
];
const RESOURCE_STATUS: &[(&str, &[&str])] = &[
    ("name", &["name"]),
    ("currentAverageUtilization", &["current", "averageUtilization"]),
    ("currentAverageValue", &["current", "averageValue"]),
    ("container", &["container"]),
];

/// True for a metric that version 1 has a field for.
fn is_processor(metric: &Value, place: &str) -> bool {
    metric.get("type").as_str() == Some("Resource")
        && metric.path(&["resource", "name"]).as_str() == Some("cpu")
        && !metric.path(&["resource", place, "averageUtilization"]).is_null()
}

/// A metric in the form of version 1.
fn older(metric: &Value, moves: &[Moves]) -> Value {
    let mut out = Value::map();
    out.set("type", metric.get("type").clone());
    for (kind, fields) in moves.iter().filter(|(kind, _)| !metric.get(kind).is_null()) {
        let mut source = Value::map();
        for (field, path) in *fields {
            match metric.get(kind).path(path) {
                // Quantities that are no pointers are written even if they are zero.
                Value::Null if REQUIRED.contains(&(*kind, *field)) => source.set(field, "0"),
                Value::Null => {}
                value => source.set(field, value.clone()),
            }
        }
        out.set(kind, source);
    }
    out
}

const REQUIRED: [(&str, &str); 6] = [
    ("object", "targetValue"),
    ("object", "currentValue"),
    ("pods", "targetAverageValue"),
    ("pods", "currentAverageValue"),
    ("resource", "currentAverageValue"),
    ("external", "currentValue"),
];

/// A metric in the form of version 2.
fn newer(metric: &Value, moves: &[Moves], is_spec: bool) -> Value {
    let mut out = Value::map();
    out.set("type", metric.get("type").clone());
    for (kind, fields) in moves.iter().filter(|(kind, _)| !metric.get(kind).is_null()) {
        let mut source = Value::map();
        for (field, path) in fields.iter().filter(|(field, _)| !metric.get(kind).get(field).is_null()) {
            source.set_path(path, metric.get(kind).get(field).clone());
        }
        if is_spec {
            let has = |field: &str| !source.path(&["target", field]).is_null();
            let target = match *kind {
                "object" if !has("averageValue") => "Value",
                "external" if has("value") => "Value",
                "resource" | "containerResource" if has("averageUtilization") => "Utilization",
                _ => "AverageValue",
            };
            source.set_path(&["target", "type"], Value::str(target));
        }
        out.set(kind, source);
    }
    out
}

/// Turns version 2 into version 1.
pub(super) fn to_v1(obj: &mut Value) {
    drop_annotations(obj);
    let (metrics, current) =
        (obj.path(&["spec", "metrics"]).items().to_vec(), obj.path(&["status", "currentMetrics"]).items().to_vec());
    let conditions = obj.path(&["status", "conditions"]).clone();
    let behavior = obj.path(&["spec", "behavior"]).clone();
    for path in [["spec", "metrics"], ["spec", "behavior"], ["status", "currentMetrics"], ["status", "conditions"]] {
        obj.remove_path(&path);
    }
    if let Some(metric) = metrics.iter().find(|metric| is_processor(metric, "target")) {
        let utilization = metric.path(&["resource", "target", "averageUtilization"]).clone();
        obj.set_path(&["spec", "targetCPUUtilizationPercentage"], utilization);
    }
    if let Some(metric) = current.iter().find(|metric| is_processor(metric, "current")) {
        let utilization = metric.path(&["resource", "current", "averageUtilization"]).clone();
        obj.set_path(&["status", "currentCPUUtilizationPercentage"], utilization);
    }
    let others: Vec<Value> =
        metrics.iter().filter(|metric| !is_processor(metric, "target")).map(|metric| older(metric, &SPEC)).collect();
    let current: Vec<Value> = current.iter().map(|metric| older(metric, &STATUS)).collect();
    let mut annotate = |key: &str, text: String| {
        obj.field_mut("metadata").field_mut("annotations").set(key, text);
    };
    if !others.is_empty() {
        annotate(METRICS, text(&Value::List(others)));
    }
    if !current.is_empty() {
        annotate(CURRENT_METRICS, text(&Value::List(current)));
    }
    if !behavior.is_null() {
        annotate(BEHAVIOR, behavior_text(&behavior));
    }
    if !conditions.items().is_empty() {
        annotate(CONDITIONS, text(&conditions));
    }
}

/// Turns version 1 into version 2.
pub(super) fn to_v2(obj: &mut Value) {
    let annotation = |key: &str| -> Option<Value> {
        serde_json::from_str(obj.path(&["metadata", "annotations", key]).as_str()?).ok()
    };
    let list = |key: &str| annotation(key).filter(|value| value.as_list().is_some());
    let (others, current, conditions) = (list(METRICS), list(CURRENT_METRICS), list(CONDITIONS));
    let behavior = annotation(BEHAVIOR).map(|behavior| decapitalized(&behavior));
    let utilization = obj.remove_path(&["spec", "targetCPUUtilizationPercentage"]).filter(|value| !value.is_null());
    let now = obj.remove_path(&["status", "currentCPUUtilizationPercentage"]).filter(|value| !value.is_null());
    let mut metrics: Vec<Value> =
        others.iter().flat_map(|list| list.items()).map(|metric| newer(metric, &SPEC, true)).collect();
    metrics.extend(utilization.map(|utilization| processor("target", utilization)));
    if metrics.is_empty() {
        metrics.push(processor("target", Value::Int(DEFAULT_UTILIZATION)));
    }
    obj.set_path(&["spec", "metrics"], Value::List(metrics));
    if let Some(behavior) = behavior.filter(|behavior| behavior.entries().any(|(_, rules)| !rules.is_null())) {
        obj.set_path(&["spec", "behavior"], behavior);
    }
    if let Some(current) = current {
        let current = current.items().iter().map(|metric| newer(metric, &STATUS, false)).collect();
        obj.set_path(&["status", "currentMetrics"], Value::List(current));
    } else if let Some(now) = now {
        obj.set_path(&["status", "currentMetrics"], Value::List(vec![processor("current", now)]));
    }
    if let Some(conditions) = conditions {
        obj.set_path(&["status", "conditions"], conditions);
    }
    drop_annotations(obj);
}

fn processor(place: &str, utilization: Value) -> Value {
    let mut metric = Value::map();
    metric.set("type", "Resource");
    metric.set_path(&["resource", "name"], Value::str("cpu"));
    metric.set_path(&["resource", place, "averageUtilization"], utilization);
    if place == "target" {
        metric.set_path(&["resource", "target", "type"], Value::str("Utilization"));
    }
    metric
}

fn drop_annotations(obj: &mut Value) {
    let mut dropped = false;
    for key in [METRICS, CURRENT_METRICS, BEHAVIOR, CONDITIONS] {
        dropped |= obj.remove_path(&["metadata", "annotations", key]).is_some();
    }
    if dropped && obj.path(&["metadata", "annotations"]).is_zero() {
        obj.remove_path(&["metadata", "annotations"]);
    }
}

/// Fields in the order of the Go types; this order fits all of them.
const ORDER: [&str; 30] = [
    "type",
    "status",
    "lastTransitionTime",
    "reason",
    "message",
    "object",
    "pods",
    "resource",
    "containerResource",
    "external",
    "target",
    "kind",
    "name",
    "apiVersion",
    "metricName",
    "metricSelector",
    "targetValue",
    "currentValue",
    "targetAverageUtilization",
    "currentAverageUtilization",
    "targetAverageValue",
    "currentAverageValue",
    "selector",
    "averageValue",
    "container",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
];

/// JSON as Go writes the older types.
fn text(value: &Value) -> String {
    match value {
        Value::List(list) => format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(",")),
        Value::Map(map) => {
            let rank = |key: &str| ORDER.iter().position(|known| *known == key).unwrap_or(ORDER.len());
            let mut entries: Vec<(&str, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| (rank(key), *key));
            let entries =
                entries.iter().map(|(key, value)| format!("{}:{}", json_value(&Value::str(*key)), text(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        other => json_value(other),
    }
}

/// JSON of upstream's internal type, whose fields have capitals and are never left out.
fn behavior_text(behavior: &Value) -> String {
    let fields = |value: &Value, names: &[(&str, &str)], inner: &dyn Fn(&str, &Value) -> String| {
        let fields = names.iter().map(|(go, name)| format!("\"{go}\":{}", inner(name, value.get(name))));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    };
    let plain = |_: &str, value: &Value| if value.is_null() { "null".to_owned() } else { json_value(value) };
    const POLICY: [(&str, &str); 3] = [("Type", "type"), ("Value", "value"), ("PeriodSeconds", "periodSeconds")];
    const RULES: [(&str, &str); 4] = [
        ("StabilizationWindowSeconds", "stabilizationWindowSeconds"),
        ("SelectPolicy", "selectPolicy"),
        ("Policies", "policies"),
        ("Tolerance", "tolerance"),
    ];
    let rules = |_: &str, rules: &Value| match rules {
        Value::Null => "null".to_owned(),
        rules => fields(rules, &RULES, &|name, value| match (name, value) {
            ("policies", Value::List(list)) => {
                let list: Vec<String> = list.iter().map(|policy| fields(policy, &POLICY, &plain)).collect();
                format!("[{}]", list.join(","))
            }
            (_, value) => plain(name, value),
        }),
    };
    fields(behavior, &[("ScaleUp", "scaleUp"), ("ScaleDown", "scaleDown")], &rules)
}

/// Fields of an internal type under their own names; what is null is left out.
fn decapitalized(value: &Value) -> Value {
    match value {
        Value::Map(map) => {
            let mut out = Value::map();
            for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                let mut chars = key.chars();
                let first: String = chars.next().into_iter().flat_map(char::to_lowercase).collect();
                out.set(&format!("{first}{}", chars.as_str()), decapitalized(value));
            }
            out
        }
        Value::List(list) => Value::List(list.iter().map(decapitalized).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let v2 = r#"{"metadata": {"name": "a"}, "spec": {"maxReplicas": 3, "behavior": {"scaleUp": {"selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}}, "metrics": [
            {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "1"}}},
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
            ]}}"#;
        let v2: Value = serde_json::from_str(v2).expect("JSON");
        let mut obj = v2.clone();
        to_v1(&mut obj);
        assert_eq!(obj.path(&["spec", "targetCPUUtilizationPercentage"]).as_i64(), Some(50));
        let annotations = obj.path(&["metadata", "annotations"]);
        assert_eq!(
            annotations.get(METRICS).as_str(),
            Some(r#"[{"type":"Pods","pods":{"metricName":"m","targetAverageValue":"1"}}]"#)
        );
        let behavior = r#"{"ScaleUp":{"StabilizationWindowSeconds":null,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":null}"#;
        assert_eq!(annotations.get(BEHAVIOR).as_str(), Some(behavior));
        to_v2(&mut obj);
        assert_eq!(obj, v2);
    }
}
