//! Stateful sets.
//! upstream: pkg/apis/apps/validation/validation.go, pkg/registry/apps/statefulset

use std::collections::BTreeSet;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::object_meta::validate_annotations;
use apimachinery::selector::label::{Selector, validate_labels};
use apimachinery::value::{Cursor, Value};

use super::rolling::{amount, int_or_percent, not_all};
use super::{
    at_most, collisions, counters, keep_spec, matching_labels, required_selector, runs_for_ever, template_warnings,
    update_warnings,
};
use crate::registry::core::claims::claim_spec_warnings;
use crate::registry::core::pod_spec::{self, Rules};
use crate::registry::internal_json::{shown_selector, shown_struct};
use crate::registry::ordinary;
use crate::registry::strategy::{NameRule, RequestContext, Strategy};
use crate::registry::validation::{none_or_named, not_negative, one_of};

/// The strategy of StatefulSets.
pub struct StatefulSets;

/// A field that is not enabled by default.
const MAX_UNAVAILABLE: [&str; 4] = ["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"];

/// What is let pass on updates.
#[derive(Clone, Copy, Default)]
struct Leniency {
    any_service_name: bool,
    any_claims: bool,
    any_template: bool,
}

impl Strategy for StatefulSets {
    fn complete_empty(&self, obj: &mut Value) {
        if obj.path(&["spec", "replicas"]).is_null() {
            obj.set_path(&["spec", "replicas"], Value::Int(0));
        }
    }

    fn name_rule(&self) -> NameRule {
        NameRule::Dns1123Label
    }

    /// Claims are stored without saying what they are.
    fn decorate(&self, obj: &mut Value) {
        name_claims(obj);
    }

    fn decorates(&self) -> bool {
        true
    }

    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        ordinary::prepare_create(cx, obj);
        obj.remove_path(&MAX_UNAVAILABLE);
        name_claims(obj);
    }

    fn prepare_update(&self, cx: &RequestContext, obj: &mut Value, old: &Value) {
        if old.path(&MAX_UNAVAILABLE).is_null() {
            obj.remove_path(&MAX_UNAVAILABLE);
        }
        name_claims(obj);
        ordinary::prepare_update(cx, obj, old);
    }

    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        keep_spec(obj, old);
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        stateful_set(obj.field("spec"), Rules::template(), Leniency::default(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        const MUTABLE: [&str; 7] = [
            "replicas",
            "template",
            "updateStrategy",
            "minReadySeconds",
            "ordinals",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
        ];
        let (spec, old) = (obj.field("spec"), old.field("spec"));
        let rules = Rules::template().since(old.field("template"));
        let mut leniency = Leniency { any_service_name: true, any_claims: true, any_template: false };
        let mut wrong_before = Errors::new();
        stateful_set(old, rules, leniency, &mut wrong_before);
        leniency.any_template = !wrong_before.is_empty();
        stateful_set(spec, rules, leniency, errs);
        let rest = |spec: Cursor<'_>| {
            let mut spec = spec.value().clone();
            MUTABLE.iter().for_each(|field| drop(spec.remove(field)));
            spec
        };
        if rest(spec) != rest(old) {
            errs.forbidden(
                spec,
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            );
        }
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let status = obj.field("status");
        counters(
            status,
            &[
                "replicas",
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
                "observedGeneration",
                "collisionCount",
            ],
            errs,
        );
        let limited = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        at_most(status, &limited, "replicas", "status.replicas", errs);
        at_most(status, &["availableReplicas"], "readyReplicas", "status.readyReplicas", errs);
        collisions(status, old.field("status"), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        let spec = obj.field("spec");
        let mut warnings = template_warnings(spec.field("template"), Cursor::default());
        for claim in spec.field("volumeClaimTemplates").list() {
            // Upstream leaves the step to the spec out of these paths, and gives it a capital in those of changes.
            warnings.extend(claim_spec_warnings(claim.at(claim.field("spec").value())));
        }
        warnings.extend(history_warning(spec));
        warnings
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
        let mut warnings = update_warnings(obj, old);
        warnings.extend(history_warning(obj.field("spec")));
        warnings
    }
}

fn history_warning(spec: Cursor<'_>) -> Option<String> {
    const TEXT: &str =
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
    (spec.field("revisionHistoryLimit").i64() < 0).then(|| TEXT.to_owned())
}

/// Claims within a set are objects of their own.
fn name_claims(obj: &mut Value) {
    if let Some(Value::List(claims)) = obj.path_mut(&["spec", "volumeClaimTemplates"]) {
        for claim in claims {
            claim.set("apiVersion", "v1");
            claim.set("kind", "PersistentVolumeClaim");
        }
    }
}

/// upstream: ValidateStatefulSetSpec
fn stateful_set(spec: Cursor<'_>, rules: Rules, leniency: Leniency, errs: &mut Errors) {
    let management = spec.field("podManagementPolicy");
    match management.str() {
        "" => errs.required(management, ""),
        "OrderedReady" | "Parallel" => {}
        other => errs.invalid(management, other, "must be 'OrderedReady' or 'Parallel'"),
    }
    update_strategy(spec.field("updateStrategy"), errs);
    let retention = spec.field("persistentVolumeClaimRetentionPolicy");
    if retention.exists() {
        for field in ["whenDeleted", "whenScaled"] {
            one_of(retention.field(field), &["Retain", "Delete"], errs);
        }
    }
    if !leniency.any_claims {
        for claim in spec.field("volumeClaimTemplates").list() {
            pod_spec::claim_spec(claim.field("spec"), pod_spec::ClaimRules::default(), errs);
        }
    }
    not_negative(spec.field("replicas"), errs);
    not_negative(spec.field("minReadySeconds"), errs);
    not_negative(spec.field("ordinals").field("start"), errs);
    if !leniency.any_service_name {
        none_or_named(spec.field("serviceName"), names::dns1123_label, errs);
    }
    let (selector, template) = (spec.field("selector"), spec.field("template"));
    required_selector(selector, "statefulset", errs);
    match Selector::from_value(selector.value()) {
        Err(_) => errs.invalid(selector, shown_selector(selector), ""),
        Ok(parsed) => {
            let filled = filled_template(spec);
            selected_template(template.at(&filled), &parsed, rules, leniency, errs);
        }
    }
    runs_for_ever(template, "StatefulSet", errs);
}

/// upstream: ValidatePodTemplateSpecForStatefulSet
fn selected_template(template: Cursor<'_>, selector: &Selector, rules: Rules, leniency: Leniency, errs: &mut Errors) {
    if !selector.is_empty() {
        matching_labels(template, selector, errs);
    }
    if !leniency.any_template {
        pod_spec::template(template, rules, errs);
    }
    // Upstream checks the metadata once more.
    let meta = template.field("metadata");
    let annotations = template.field("annotations").at(meta.field("annotations").value());
    validate_labels(template.field("labels").at(meta.field("labels").value()), errs);
    validate_annotations(annotations, errs);
    pod_spec::pod_annotations(annotations, template.field("spec"), rules, errs);
}

/// The template as the controller fills it: with a volume for each claim, and names that are not the client's.
fn filled_template(spec: Cursor<'_>) -> Value {
    let mut template = spec.field("template").value().clone();
    let claims: Vec<&str> =
        spec.field("volumeClaimTemplates").list().map(|claim| claim.field("metadata").field("name").str()).collect();
    let pod = template.field_mut("spec");
    pod.remove("subdomain");
    pod.remove("hostname");
    if claims.is_empty() {
        return template;
    }
    let mut volumes: Vec<Value> = Vec::new();
    for name in claims.iter().collect::<BTreeSet<_>>() {
        let mut volume = Value::map();
        volume.set("name", *name);
        volume.set_path(&["persistentVolumeClaim", "claimName"], Value::str(*name));
        volumes.push(volume);
    }
    let own = pod.get("volumes").items().iter().filter(|v| !claims.contains(&v.get("name").str_or_empty()));
    volumes.extend(own.cloned());
    pod.set("volumes", Value::List(volumes));
    template
}

fn update_strategy(strategy: Cursor<'_>, errs: &mut Errors) {
    let rolling = strategy.field("rollingUpdate");
    match strategy.field("type").str() {
        "" => errs.required(strategy, ""),
        "OnDelete" if rolling.exists() => {
            errs.invalid(
                rolling,
                shown_struct(rolling, "io.k8s.api.apps.v1.RollingUpdateStatefulSetStrategy"),
                "only allowed for updateStrategy 'RollingUpdate'",
            );
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            let missing = rolling.field("maxUnavailable");
            not_negative(rolling.field("partition"), errs);
            if missing.exists() {
                int_or_percent(missing, errs);
                if amount(missing) == 0 {
                    errs.invalid(missing, missing, "cannot be 0");
                }
                not_all(missing, errs);
            }
        }
        _ => errs.invalid(
            strategy,
            shown_struct(strategy, "io.k8s.api.apps.v1.StatefulSetUpdateStrategy"),
            "must be 'RollingUpdate' or 'OnDelete'",
        ),
    }
}
