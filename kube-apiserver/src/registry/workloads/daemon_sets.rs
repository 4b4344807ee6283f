//! Daemon sets.
//! upstream: pkg/apis/apps/validation/validation.go, pkg/registry/apps/daemonset

use apimachinery::field::Errors;
use apimachinery::selector::label::{self, Selector, SelectorRules};
use apimachinery::value::{Cursor, Value};

use super::rolling::{amount, int_or_percent, not_all};
use super::{collisions, counters, keep_spec, matching_labels, runs_for_ever, template_warnings};
use crate::registry::core::pod_spec::{self, Rules};
use crate::registry::defaulting;
use crate::registry::internal_json::{LABEL_SELECTOR, immutable_struct, shown_struct};
use crate::registry::ordinary;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::not_negative;

/// The strategy of DaemonSets.
pub struct DaemonSets;

/// The generation of the template is a field in the version that is served no more; it lives on here.
const GENERATION: [&str; 3] = ["metadata", "annotations", "deprecated.daemonset.template.generation"];

fn generation(obj: &Value) -> i64 {
    obj.path(&GENERATION).as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn set_generation(obj: &mut Value, generation: i64) {
    obj.set_path(&GENERATION, Value::str(generation.to_string()));
}

impl Strategy for DaemonSets {
    fn default(&self, obj: &mut Value) {
        defaulting::apply_to_object(obj);
        self.complete_empty(obj);
    }

    fn as_internal(&self, obj: &mut Value) {
        obj.remove_path(&GENERATION);
        if obj.path(&GENERATION[..2]).entries().next().is_none() {
            obj.remove_path(&GENERATION[..2]);
        }
    }

    fn has_internal_form(&self) -> bool {
        true
    }

    fn complete_empty(&self, obj: &mut Value) {
        let generation = generation(obj);
        set_generation(obj, generation);
    }

    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        ordinary::prepare_create(cx, obj);
        let generation = generation(obj).max(1);
        set_generation(obj, generation);
    }

    fn prepare_update(&self, cx: &RequestContext, obj: &mut Value, old: &Value) {
        ordinary::prepare_update(cx, obj, old);
        let same = obj.path(&["spec", "template"]) == old.path(&["spec", "template"]);
        set_generation(obj, generation(old) + i64::from(!same));
    }

    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        keep_spec(obj, old);
        set_generation(obj, generation(old));
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        daemon_set(obj.field("spec"), Rules::template(), SelectorRules::default(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let (spec, old) = (obj.field("spec"), old.field("spec"));
        immutable_struct(spec.field("selector"), old.field("selector"), LABEL_SELECTOR, errs);
        let allow_invalid_values = label::has_invalid_values(old.field("selector").value());
        let selector_rules = SelectorRules { allow_invalid_values, ..SelectorRules::default() };
        daemon_set(spec, Rules::template().since(old.field("template")), selector_rules, errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        const COUNTERS: [&str; 9] = [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ];
        counters(obj.field("status"), &COUNTERS, errs);
        collisions(obj.field("status"), old.field("status"), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        template_warnings(obj.field("spec").field("template"), Cursor::default())
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
        match generation(obj.value()) == generation(old.value()) {
            true => Vec::new(),
            false => template_warnings(obj.field("spec").field("template"), old.field("spec").field("template")),
        }
    }
}

/// upstream: ValidateDaemonSetSpec
fn daemon_set(spec: Cursor<'_>, rules: Rules, selector_rules: SelectorRules, errs: &mut Errors) {
    let (selector, template) = (spec.field("selector"), spec.field("template"));
    label::validate(selector, selector_rules, errs);
    if let Ok(parsed) = Selector::from_value(selector.value()) {
        matching_labels(template, &parsed, errs);
    }
    let empty = ["matchLabels", "matchExpressions"].iter().all(|field| selector.field(field).is_empty());
    if selector.exists() && empty {
        errs.invalid(selector, shown_struct(selector, LABEL_SELECTOR), "empty selector is invalid for daemonset");
    }
    pod_spec::template(template, rules, errs);
    runs_for_ever(template, "DaemonSet", errs);
    not_negative(spec.field("minReadySeconds"), errs);
    update_strategy(spec.field("updateStrategy"), errs);
    not_negative(spec.field("revisionHistoryLimit"), errs);
}

/// upstream: ValidateDaemonSetUpdateStrategy
fn update_strategy(strategy: Cursor<'_>, errs: &mut Errors) {
    let rolling = strategy.field("rollingUpdate");
    match strategy.field("type").str() {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.exists() => errs.required(rolling, ""),
        "RollingUpdate" => {
            let (missing, more) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
            int_or_percent(missing, errs);
            int_or_percent(more, errs);
            not_all(missing, errs);
            not_all(more, errs);
            match (amount(missing) != 0, amount(more) != 0) {
                (true, true) => errs.invalid(more, more, "may not be set when maxUnavailable is non-zero"),
                (false, false) => errs.required(missing, "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        _ => errs.not_supported(
            strategy,
            shown_struct(strategy, "io.k8s.api.apps.v1.DaemonSetUpdateStrategy"),
            ["RollingUpdate", "OnDelete"],
        ),
    }
}
