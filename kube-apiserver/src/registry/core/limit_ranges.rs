//! Limit ranges: what containers, pods and claims of a namespace may ask for.
//! upstream: pkg/registry/core/limitrange, pkg/apis/core/validation/validation.go (ValidateLimitRange)

use std::collections::{BTreeSet, HashSet};

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::quantity::Quantity;
use apimachinery::value::{Cursor, Value};

use crate::registry::core::pod_spec::{container_resource_name, quantity_of, resource_name};
use crate::registry::pod_resources::{is_huge_page, is_native};
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::metadata;

/// The strategy of LimitRanges.
pub struct LimitRanges;

impl Strategy for LimitRanges {
    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn prepare_create(&self, _cx: &RequestContext, obj: &mut Value) {
        if obj.path(&["metadata", "name"]).is_zero() {
            obj.set_path(&["metadata", "name"], uuid::Uuid::new_v4().to_string().into());
        }
    }

    fn prepare_update(&self, _cx: &RequestContext, _obj: &mut Value, _old: &Value) {}

    fn checks_metadata(&self, _cx: &RequestContext) -> bool {
        true
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        limit_range(obj, errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        limit_range(obj, errs);
    }
}

/// The lists of one limit, in the order in which they are checked.
const LISTS: [&str; 4] = ["max", "min", "default", "defaultRequest"];

fn limit_range(obj: Cursor<'_>, errs: &mut Errors) {
    metadata(obj.field("metadata"), true, names::dns1123_subdomain, errs);
    let mut seen = HashSet::new();
    for limit in obj.field("spec").field("limits").list() {
        let kind = limit.field("type");
        type_name(kind, errs);
        if !seen.insert(kind.str()) {
            errs.duplicate(kind, kind.str());
        }
        lists(limit, errs);
    }
}

fn type_name(kind: Cursor<'_>, errs: &mut Errors) {
    let wrong = names::qualified_name(kind.str());
    let known = kind.str().contains('/') || matches!(kind.str(), "Pod" | "Container" | "PersistentVolumeClaim");
    if wrong.is_empty() && !known {
        errs.invalid(kind, kind.str(), "must be a standard limit type or fully qualified");
    }
    errs.invalid_each(kind, kind.str(), wrong);
}

fn lists(limit: Cursor<'_>, errs: &mut Errors) {
    let kind = limit.field("type").str();
    let mut names = BTreeSet::new();
    let mut check = |list: Cursor<'_>, errs: &mut Errors| {
        for (name, _) in list.map() {
            if matches!(kind, "Pod" | "Container") {
                container_resource_name(list.key(name), name, errs);
            } else {
                resource_name(list.key(name), name, errs);
            }
            names.insert(name.to_owned());
        }
    };
    for list in LISTS {
        let place = limit.field(list);
        if kind == "Pod" && list.starts_with("default") {
            if !place.is_empty() {
                errs.forbidden(place, "may not be specified when `type` is 'Pod'");
            }
        } else {
            check(place, errs);
        }
    }
    let has_storage = |list: &'static str| limit.field(list).field("storage").exists();
    if kind == "PersistentVolumeClaim" && !has_storage("min") && !has_storage("max") {
        let why = "either minimum or maximum storage value is required, but neither was provided";
        errs.required(limit.field("limits"), why);
    }
    check(limit.field("maxLimitRequestRatio"), errs);
    names.iter().for_each(|name| relations(limit, name, errs));
}

/// How the values of one resource stand to each other.
fn relations(limit: Cursor<'_>, name: &str, errs: &mut Errors) {
    let is_pod = limit.field("type").str() == "Pod";
    let value = |list: &'static str| -> Option<Quantity> {
        let place = limit.field(list).key(name);
        (place.exists() && !(is_pod && list.starts_with("default"))).then(|| quantity_of(place))
    };
    let (min, max) = (value("min"), value("max"));
    let (default, request, ratio) = (value("default"), value("defaultRequest"), value("maxLimitRequestRatio"));
    // Each: what must not be more than what, how they are called, and where and which value to complain about.
    let pairs = [
        (&min, &max, "min value", "max value", "min", &min),
        (&min, &request, "min value", "default request value", "defaultRequest", &request),
        (&request, &max, "default request value", "max value", "defaultRequest", &request),
        (&request, &default, "default request value", "default limit value", "defaultRequest", &request),
        (&min, &default, "min value", "default value", "default", &min),
        (&default, &max, "default value", "max value", "default", &max),
    ];
    for (low, high, low_name, high_name, list, shown) in pairs {
        if let (Some(low), Some(high), Some(shown)) = (low, high, shown)
            && low > high
        {
            let why = format!("{low_name} {low} is greater than {high_name} {high}");
            errs.invalid(limit.field(list).key(name), shown.to_string(), why);
        }
    }
    if let Some(ratio) = ratio {
        most_ratio(limit.field("maxLimitRequestRatio").key(name), &ratio, min.zip(max), errs);
    }
    if let (Some(default), Some(request)) = (default, request)
        && (!is_native(name) || is_huge_page(name))
        && default != request
    {
        let why = format!("default value {default} must equal to defaultRequest value {request} in {name}");
        errs.invalid(limit.field("defaultRequest").key(name), request.to_string(), why);
    }
}

fn most_ratio(place: Cursor<'_>, ratio: &Quantity, bounds: Option<(Quantity, Quantity)>, errs: &mut Errors) {
    /// Whole values below this have thousandths that fit in 64 bits.
    const MAX_MILLI: i64 = i64::MAX / 1000;
    let one = Quantity::from_milli(1000, ratio.format());
    if *ratio < one {
        errs.invalid(place, ratio.to_string(), format!("ratio {ratio} is less than 1"));
    }
    let Some((min, max)) = bounds else { return };
    let fine = [ratio, &min, &max].iter().all(|quantity| quantity.value() < MAX_MILLI);
    let (most, value) = match fine {
        true => (max.milli_value() as f64 / min.milli_value() as f64, ratio.milli_value() as f64 / 1000.0),
        false => (max.value() as f64 / min.value() as f64, ratio.value() as f64),
    };
    if value > most {
        let shown = if most.is_infinite() { "+Inf".to_owned() } else { format!("{most:.6}") };
        errs.invalid(place, ratio.to_string(), format!("ratio {ratio} is greater than max/min = {shown}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let cases = [
            (r#"{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}"#, ""),
            (
                r#"{"type": "Nope"}"#,
                r#"spec.limits[0].type: Invalid value: "Nope": must be a standard limit type or fully qualified"#,
            ),
            (
                r#"{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}}"#,
                r#"spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1"#,
            ),
            (
                r#"{"type": "Pod", "default": {"cpu": "1"}}"#,
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
            ),
            (
                r#"{"type": "PersistentVolumeClaim"}"#,
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            ),
            (
                r#"{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "3"}}"#,
                r#"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000"#,
            ),
            (
                r#"{"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}"#,
                r#"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1"#,
            ),
        ];
        for (limit, expected) in cases {
            let json = format!(r#"{{"metadata": {{"name": "a", "namespace": "b"}}, "spec": {{"limits": [{limit}]}}}}"#);
            let value: Value = serde_json::from_str(&json).expect("JSON");
            let mut errs = Errors::new();
            limit_range(Cursor::root(&value), &mut errs);
            assert_eq!(errs.to_aggregate(), expected, "{limit}");
        }
    }
}
