//! Groups with one or two resources and few rules: coordination, node, policy, scheduling.
//! upstream: pkg/registry/{coordination,node,policy,scheduling}, pkg/apis/*/validation

use std::collections::BTreeSet;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::object_meta::validate_conditions;
use apimachinery::selector::label::{self, SelectorRules};
use apimachinery::value::{Cursor, Value};

use crate::registry::core::pod_spec::{self, Rules};
use crate::registry::internal_json::shown_struct;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{
    immutable, immutable_text, none_or_one_of, not_negative, required_named, required_one_of,
};

/// The strategy of Leases.
pub struct Leases;
/// The strategy of PodDisruptionBudgets.
pub struct DisruptionBudgets;
/// The strategy of PriorityClasses.
pub struct PriorityClasses;
/// The strategy of RuntimeClasses.
pub struct RuntimeClasses;

impl Strategy for Leases {
    fn prepare_create(&self, _cx: &RequestContext, obj: &mut Value) {
        // Coordinated leader election is off by default.
        for field in ["strategy", "preferredHolder"] {
            obj.remove_path(&["spec", field]);
        }
    }

    fn prepare_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        for field in ["strategy", "preferredHolder"] {
            if old.path(&["spec", field]).is_null() {
                obj.remove_path(&["spec", field]);
            }
        }
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        lease(obj.field("spec"), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        lease(obj.field("spec"), errs);
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

fn lease(spec: Cursor<'_>, errs: &mut Errors) {
    let duration = spec.field("leaseDurationSeconds");
    if duration.exists() && duration.i64() <= 0 {
        errs.invalid(duration, duration, "must be greater than 0");
    }
    not_negative(spec.field("leaseTransitions"), errs);
    let (strategy, preferred) = (spec.field("strategy"), spec.field("preferredHolder"));
    if strategy.exists() {
        // The path has the name twice, as upstream's has.
        let path = strategy.path().child("strategy");
        if strategy.str().contains('/') {
            errs.invalid_each(path, strategy.str(), names::qualified_name(strategy.str()));
        } else if strategy.str() != "OldestEmulationVersion" {
            errs.not_supported(path, strategy.str(), ["OldestEmulationVersion"]);
        }
    }
    if !preferred.is_empty() && strategy.is_empty() {
        errs.forbidden(preferred, "may only be specified if `strategy` is defined");
    }
}

impl Strategy for DisruptionBudgets {
    /// Upstream leaves the metadata to the rules of all kinds.
    fn checks_metadata(&self, _cx: &RequestContext) -> bool {
        true
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        disruption_budget(obj.field("spec"), SelectorRules::default(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let had_invalid = label::has_invalid_values(old.field("spec").field("selector").value());
        let rules = SelectorRules { allow_invalid_values: had_invalid, ..SelectorRules::default() };
        disruption_budget(obj.field("spec"), rules, errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        validate_conditions(obj.field("status").field("conditions"), errs);
        for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
            not_negative(obj.field("status").field(field), errs);
        }
    }
}

fn disruption_budget(spec: Cursor<'_>, rules: SelectorRules, errs: &mut Errors) {
    let (least, most) = (spec.field("minAvailable"), spec.field("maxUnavailable"));
    if least.exists() && most.exists() {
        errs.invalid(
            spec,
            shown_struct(spec, "io.k8s.api.policy.v1.PodDisruptionBudgetSpec"),
            "minAvailable and maxUnavailable cannot be both set",
        );
    }
    for amount in [least, most] {
        if amount.exists() {
            int_or_percent(amount, errs);
            not_more_than_all(amount, errs);
        }
    }
    label::validate(spec.field("selector"), rules, errs);
    none_or_one_of(spec.field("unhealthyPodEvictionPolicy"), &["AlwaysAllow", "IfHealthyBudget"], errs);
}

/// A number of things that is not negative, or a percentage.
/// upstream: pkg/apis/apps/validation ValidatePositiveIntOrPercent
pub fn int_or_percent(place: Cursor<'_>, errs: &mut Errors) {
    match place.value() {
        Value::Str(text) => {
            errs.invalid_each(place, &**text, names::percent(text));
        }
        _ => not_negative(place, errs),
    }
}

/// At most 100 %.
pub fn not_more_than_all(place: Cursor<'_>, errs: &mut Errors) {
    let Value::Str(text) = place.value() else { return };
    let percent = text.strip_suffix('%').and_then(|number| number.parse::<i64>().ok());
    if percent.is_some_and(|percent| percent > 100) {
        errs.invalid(place, &**text, "must not be greater than 100%");
    }
}

impl Strategy for PriorityClasses {
    fn prepare_create(&self, _cx: &RequestContext, obj: &mut Value) {
        obj.set_path(&["metadata", "generation"], Value::Int(1));
    }

    fn prepare_update(&self, _cx: &RequestContext, _obj: &mut Value, _old: &Value) {}

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        /// What users may go up to.
        const HIGHEST: i64 = 1_000_000_000;
        let name = obj.field("metadata").field("name");
        let value = obj.field("value");
        if name.str().starts_with("system-") {
            if let Some(error) = system_class_error(obj) {
                let reserved = "priority class names with 'system-' prefix are reserved for system use only. error: ";
                errs.forbidden(name, format!("{reserved}{error}"));
            }
        } else if value.i64() > HIGHEST {
            errs.forbidden(value, format!("maximum allowed value of a user defined priority is {HIGHEST}"));
        }
        let policy = obj.field("preemptionPolicy");
        if policy.exists() {
            required_one_of(policy, &["PreemptLowerPriority", "Never"], errs);
        }
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        if obj.field("value").i64() != old.field("value").i64() {
            errs.forbidden(obj.field("value"), "may not be changed in an update.");
        }
        immutable(obj.field("preemptionPolicy"), old.field("preemptionPolicy"), errs);
    }
}

/// What is wrong with a class whose name is reserved; `None` for the two that there are.
fn system_class_error(obj: Cursor<'_>) -> Option<String> {
    let name = obj.field("metadata").field("name").str();
    let value = match name {
        "system-node-critical" => 2_000_001_000,
        "system-cluster-critical" => 2_000_000_000,
        _ => return Some(format!("{name} is not a known system priority class")),
    };
    if obj.field("value").i64() != value {
        return Some(format!("value of {name} PriorityClass must be {value}"));
    }
    obj.field("globalDefault").bool().then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

impl Strategy for RuntimeClasses {
    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        runtime_class(obj, errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let rule = names::dns1123_subdomain;
        apimachinery::object_meta::validate(obj.field("metadata"), cx.resource.namespaced, rule, errs);
        runtime_class(obj, errs);
        apimachinery::object_meta::validate_update(obj.field("metadata"), old.field("metadata"), errs);
        immutable_text(obj.field("handler"), old.field("handler"), errs);
    }
}

/// upstream: ValidateRuntimeClass
fn runtime_class(obj: Cursor<'_>, errs: &mut Errors) {
    required_named(obj.field("handler"), names::dns1123_label, errs);
    let fixed = obj.field("overhead").field("podFixed");
    if fixed.exists() {
        // Upstream checks them as the limits of a container, and tells the paths as such.
        let mut limits = Value::map();
        limits.set("limits", fixed.value().clone());
        pod_spec::container_resources(obj.field("overhead").at(&limits), errs);
    }
    let scheduling = obj.field("scheduling");
    label::validate_labels(scheduling.field("nodeSelector"), errs);
    let tolerations = scheduling.field("tolerations");
    pod_spec::tolerations(tolerations, Rules::template(), errs);
    let mut seen = BTreeSet::new();
    for toleration in tolerations.list() {
        let key = ["key", "operator", "value", "effect"].map(|name| toleration.value().get(name).str_or_empty());
        if !seen.insert(key) {
            errs.duplicate(toleration, shown_struct(toleration, "io.k8s.api.core.v1.Toleration"));
        }
    }
}
