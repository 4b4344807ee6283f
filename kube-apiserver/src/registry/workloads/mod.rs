//! What controllers of pods have in common: a selector, a template that it matches, counters in the status.

pub mod apps;
pub mod controllers;
pub mod cron_jobs;
pub mod daemon_sets;
mod failure_policy;
mod job_status;
pub mod jobs;
mod rolling;
mod schedule;
pub mod stateful_sets;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::selector::label::{self, Selector, SelectorRules};
use apimachinery::value::{Cursor, Value};

use crate::registry::core::pod_spec::{self, Rules};
use crate::registry::internal_json::shown_selector;
use crate::registry::validation::{not_negative, shown};

/// Complains about an absent or empty selector, and whatever is wrong with it.
fn required_selector(selector: Cursor<'_>, kind: &str, errs: &mut Errors) {
    if !selector.exists() {
        return errs.required(selector, "");
    }
    label::validate(selector, SelectorRules::default(), errs);
    if ["matchLabels", "matchExpressions"].iter().all(|field| selector.field(field).is_empty()) {
        errs.invalid(selector, shown_selector(selector), format!("empty selector is invalid for {kind}"));
    }
}

/// Complains about a template whose pods the selector would not find.
fn matching_labels(template: Cursor<'_>, selector: &Selector, errs: &mut Errors) {
    let labels = template.field("metadata").field("labels");
    if !selector.matches_value(labels.value()) {
        errs.invalid(labels, shown(labels.value()), "`selector` does not match template `labels`");
    }
}

/// Pods of most controllers run for ever.
fn runs_for_ever(template: Cursor<'_>, kind: &str, errs: &mut Errors) {
    let (policy, deadline) =
        (template.field("spec").field("restartPolicy"), template.field("spec").field("activeDeadlineSeconds"));
    if policy.str() != "Always" {
        errs.not_supported(policy, policy.str(), ["Always"]);
    }
    if deadline.exists() {
        errs.forbidden(deadline, format!("activeDeadlineSeconds in {kind} is not Supported"));
    }
}

/// A template, as deployments and replica sets check theirs.
/// upstream: ValidatePodTemplateSpecForReplicaSet
fn selected_template(spec: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    let template = spec.field("template");
    match Selector::from_value(spec.field("selector").value()) {
        Err(_) => {
            errs.invalid(spec.field("selector"), shown_selector(spec.field("selector")), "invalid label selector");
        }
        Ok(selector) => {
            if !selector.is_empty() {
                matching_labels(template, &selector, errs);
            }
            pod_spec::template(template, rules, errs);
            runs_for_ever(template, "ReplicaSet", errs);
        }
    }
}

/// Counters that cannot be negative.
fn counters(status: Cursor<'_>, fields: &[&'static str], errs: &mut Errors) {
    fields.iter().for_each(|field| not_negative(status.field(field), errs));
}

/// Counters that cannot be more than another one.
fn at_most(status: Cursor<'_>, fields: &[&'static str], limit: &'static str, name: &str, errs: &mut Errors) {
    for place in fields.iter().map(|field| status.field(field)) {
        if place.i64() > status.field(limit).i64() {
            errs.invalid(place, place.i64(), format!("cannot be greater than {name}"));
        }
    }
}

/// The collision count only grows.
fn collisions(status: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let (new, old) = (status.field("collisionCount"), old.field("collisionCount"));
    if old.exists() && new.i64() < old.i64() {
        errs.invalid(new, new.i64(), "cannot be decremented");
    }
}

/// Writers of a status cannot change the spec; metadata is theirs too.
fn keep_spec(obj: &mut Value, old: &Value) {
    obj.set("spec", old.get("spec").clone());
}

/// A warning about names that are no labels, for objects whose names become those of pods.
fn name_warnings(obj: Cursor<'_>) -> Vec<String> {
    let wrong = names::dns1123_label(obj.field("metadata").field("name").str());
    if wrong.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
        wrong.join(" ")
    )]
}

/// Warnings about a new object whose name becomes its pods' and that has a `spec.template`.
fn creation_warnings(obj: Cursor<'_>) -> Vec<String> {
    let mut warnings = name_warnings(obj);
    warnings.extend(template_warnings(obj.field("spec").field("template"), Cursor::default()));
    warnings
}

/// Warnings about a `spec.template`, if the update changed the spec.
fn update_warnings(obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
    match changed(obj, old) {
        true => template_warnings(obj.field("spec").field("template"), old.field("spec").field("template")),
        false => Vec::new(),
    }
}

/// Warnings about a template that changed, or is new.
fn template_warnings(template: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
    pod_spec::warnings::of_template(template, old)
}

/// True if an update changed the generation.
fn changed(obj: Cursor<'_>, old: Cursor<'_>) -> bool {
    let generation = |object: Cursor<'_>| object.field("metadata").field("generation").i64();
    generation(obj) != generation(old)
}
