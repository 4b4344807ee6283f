//! Horizontal pod autoscalers.
//! upstream: pkg/apis/autoscaling/validation/validation.go, pkg/registry/autoscaling/horizontalpodautoscaler

mod conversion;
mod metrics;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::object_meta::NOT_NEGATIVE;
use apimachinery::value::{Cursor, Value};

use crate::registry::core::pod_spec::quantity_of;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{none_or_one_of, not_negative, one_of, positive, required_named};

/// The strategy of HorizontalPodAutoscalers.
pub struct Autoscalers;

impl Strategy for Autoscalers {
    fn needs_conversion(&self, api_version: &str) -> bool {
        api_version == conversion::V1
    }

    fn to_hub(&self, api_version: &str, obj: &mut Value) {
        if api_version == conversion::V1 {
            conversion::to_v2(obj);
        }
    }

    fn from_hub(&self, api_version: &str, obj: &mut Value) {
        if api_version == conversion::V1 {
            conversion::to_v1(obj);
        }
    }

    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        obj.set("spec", old.get("spec").clone());
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        autoscaler(obj.field("spec"), Cursor::default(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        autoscaler(obj.field("spec"), old.field("spec"), errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        for field in ["currentReplicas", "desiredReplicas"] {
            not_negative(obj.field("status").field(field), errs);
        }
    }
}

/// What a reference to an object of any group may leave out.
#[derive(Clone, Copy, Default)]
struct References {
    any_version: bool,
    no_group: bool,
}

/// upstream: validateHorizontalPodAutoscalerSpec
fn autoscaler(spec: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let (min, max, target) = (spec.field("minReplicas"), spec.field("maxReplicas"), spec.field("scaleTargetRef"));
    let lowest = i64::from(old.field("minReplicas").opt_i64() != Some(0));
    if min.opt_i64().is_some_and(|min| min < lowest) {
        errs.invalid(min, min.i64(), format!("must be greater than or equal to {lowest}"));
    }
    if max.i64() == 0 {
        errs.required(max, "must be set and greater than 0");
    } else if max.i64() < 0 {
        errs.invalid(max, max.i64(), "must be greater than or equal to 1");
    }
    if min.exists() && max.i64() < min.i64() {
        errs.invalid(max, max.i64(), "must be greater than or equal to `minReplicas`");
    }
    let old_target = old.field("scaleTargetRef");
    let same = ["apiVersion", "kind"].iter().all(|f| target.field(f).str() == old_target.field(f).str());
    let any_version = old.exists() && same;
    let no_group = target.field("kind").str() == "ReplicationController";
    reference(target, References { any_version, no_group }, errs);
    let mut described = References { any_version: false, no_group: true };
    described.any_version = old.field("metrics").list().any(|metric| {
        let object = metric.field("object").field("describedObject");
        object.exists() && version_problem(object, described).is_some()
    });
    let list = spec.field("metrics");
    list.list().for_each(|metric| metrics::metric(metric, described, errs));
    let external = list.list().any(|metric| matches!(metric.field("type").str(), "Object" | "External"));
    if min.opt_i64() == Some(0) && !external {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        errs.forbidden(list, why);
    }
    for rules in ["scaleUp", "scaleDown"].map(|rules| spec.field("behavior").field(rules)) {
        if rules.exists() {
            scaling_rules(rules, errs);
        }
    }
}

/// upstream: ValidateCrossVersionObjectReference
fn reference(reference: Cursor<'_>, rules: References, errs: &mut Errors) {
    required_named(reference.field("kind"), names::path_segment_name, errs);
    required_named(reference.field("name"), names::path_segment_name, errs);
    if let Some(why) = version_problem(reference, rules) {
        let version = reference.field("apiVersion");
        errs.invalid(version, version.str(), why);
    }
}

/// upstream: ValidateAPIVersion
fn version_problem(reference: Cursor<'_>, rules: References) -> Option<String> {
    let version = reference.field("apiVersion").str();
    match version.matches('/').count() {
        _ if rules.any_version => None,
        0 | 1 if rules.no_group || version.split_once('/').is_some_and(|(group, _)| !group.is_empty()) => None,
        0 | 1 => Some("apiVersion must specify API group".to_owned()),
        _ => Some(format!("unexpected GroupVersion string: {version}")),
    }
}

/// upstream: validateScalingRules
fn scaling_rules(rules: Cursor<'_>, errs: &mut Errors) {
    const MAX_WINDOW: i64 = 3600;
    const MAX_PERIOD: i64 = 1800;
    let (window, policies) = (rules.field("stabilizationWindowSeconds"), rules.field("policies"));
    if window.i64() < 0 {
        errs.invalid(window, window.i64(), "must be greater than or equal to zero");
    }
    if window.i64() > MAX_WINDOW {
        errs.invalid(window, window.i64(), format!("must be less than or equal to {MAX_WINDOW}"));
    }
    none_or_one_of(rules.field("selectPolicy"), &["Disabled", "Max", "Min"], errs);
    if policies.is_empty() {
        errs.required(policies, "must specify at least one Policy");
    }
    for policy in policies.list() {
        let period = policy.field("periodSeconds");
        one_of(policy.field("type"), &["Percent", "Pods"], errs);
        positive(policy.field("value"), errs);
        positive(period, errs);
        if period.i64() > MAX_PERIOD {
            errs.invalid(period, period.i64(), format!("must be less than or equal to {MAX_PERIOD}"));
        }
    }
    let tolerance = rules.field("tolerance");
    if quantity_of(tolerance).is_negative() {
        errs.invalid(tolerance, tolerance.str(), NOT_NEGATIVE);
    }
}
