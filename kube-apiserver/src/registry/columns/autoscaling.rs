//! The row of a HorizontalPodAutoscaler (in its v2 form).

use apimachinery::value::{Cursor, Value};
use jiff::Timestamp;

use super::{Entry, NONE, UNSET, age, name, number, text};

pub(super) const FUNCTIONS: &[Entry] = &[("autoscaling", "HorizontalPodAutoscaler", autoscaler)];

fn autoscaler(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (object.field("spec"), object.field("status"));
    let target = spec.field("scaleTargetRef");
    let minimum = spec.field("minReplicas").opt_i64().map_or(UNSET.to_owned(), |n| n.to_string());
    vec![
        name(object),
        text(format!("{}/{}", target.field("kind").str(), target.field("name").str())),
        text(metrics(spec.field("metrics"), status.field("currentMetrics"))),
        text(minimum),
        number(spec.field("maxReplicas").i64()),
        number(status.field("currentReplicas").i64()),
        age(object, now),
    ]
}

fn metrics(specs: Cursor<'_>, statuses: Cursor<'_>) -> String {
    /// How many metrics are shown.
    const SHOWN: usize = 2;
    if specs.is_empty() {
        return NONE.to_owned();
    }
    let all: Vec<String> = specs.list().enumerate().map(|(i, spec)| metric(spec, statuses.index(i))).collect();
    match all.len() {
        n if n > SHOWN => format!("{} + {} more...", all[..SHOWN].join(", "), n - SHOWN),
        _ => all.join(", "),
    }
}

fn metric(spec: Cursor<'_>, status: Cursor<'_>) -> String {
    let (source, is_resource) = match spec.field("type").str() {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let target = spec.field(source).field("target");
    let current = status.field(source).field("current");
    let quantity = |place: Cursor<'_>, field: &'static str| place.field(field).opt_str().map(str::to_owned);
    let unknown = || "<unknown>".to_owned();
    if is_resource {
        let name = spec.field(source).field("name").str();
        if let Some(average) = quantity(target, "averageValue") {
            return format!("{name}: {}/{average}", quantity(current, "averageValue").unwrap_or_else(unknown));
        }
        let percent = |place: Cursor<'_>| place.field("averageUtilization").opt_i64().map(|n| format!("{n}%"));
        let aim = percent(target).unwrap_or_else(|| "<auto>".to_owned());
        return format!("{name}: {}/{aim}", percent(current).unwrap_or_else(unknown));
    }
    match (quantity(target, "averageValue"), source) {
        (Some(average), "pods") => format!("{}/{average}", quantity(current, "averageValue").unwrap_or_else(unknown)),
        (Some(average), _) => format!("{}/{average} (avg)", quantity(current, "averageValue").unwrap_or_else(unknown)),
        (None, _) => {
            let aim = quantity(target, "value").unwrap_or_else(|| NONE.to_owned());
            format!("{}/{aim}", quantity(current, "value").unwrap_or_else(unknown))
        }
    }
}
