//! ValidatingWebhookConfigurations and MutatingWebhookConfigurations.

use std::collections::BTreeSet;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::selector::label::{self, SelectorRules};
use apimachinery::value::Cursor;

use super::{FAILURE_POLICIES, MATCH_POLICIES, REINVOCATION_POLICIES, match_conditions, rules, static_name_warnings};
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{holds, none_or_one_of, one_of};
use crate::registry::webhook_target;

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const NO_SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
const SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun", "Some", "Unknown"];

/// The strategy of both kinds of webhook configurations.
pub struct WebhookConfigurations;

/// What the stored object was allowed already, and what need not be looked at again.
#[derive(Clone, Copy, Default)]
struct Leniency {
    match_conditions: bool,
    side_effects: bool,
    review_versions: bool,
    same_names: bool,
    selectors: bool,
}

impl Strategy for WebhookConfigurations {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        configuration(obj, Leniency::default(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        configuration(obj, Leniency::of(obj, old), errs);
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        static_name_warnings(obj)
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>) -> Vec<String> {
        static_name_warnings(obj)
    }
}

impl Leniency {
    fn of(obj: Cursor<'_>, old: Cursor<'_>) -> Leniency {
        let (hooks, before) = (obj.field("webhooks"), old.field("webhooks"));
        let conditions = |hook: Cursor<'_>| hook.field("matchConditions").value().clone();
        let has_review_version = |hook: Cursor<'_>| REVIEW_VERSIONS.iter().any(|v| holds(hook.field(VERSIONS), v));
        let mut seen = BTreeSet::new();
        let selector_errors = |hook: Cursor<'_>| {
            let mut found = Errors::new();
            for name in SELECTORS {
                label::validate(hook.field(name), SelectorRules::default(), &mut found);
            }
            !found.is_empty()
        };
        Leniency {
            match_conditions: hooks.len() == before.len()
                && hooks.list().zip(before.list()).all(|(new, old)| conditions(new) == conditions(old)),
            side_effects: before.list().any(|hook| !NO_SIDE_EFFECTS.contains(&hook.field("sideEffects").str())),
            review_versions: before.list().any(|hook| !hook.field(VERSIONS).is_empty() && !has_review_version(hook)),
            same_names: !before.list().all(|hook| seen.insert(hook.field("name").str())),
            selectors: before.list().any(selector_errors),
        }
    }
}

const SELECTORS: [&str; 2] = ["namespaceSelector", "objectSelector"];
const VERSIONS: &str = "admissionReviewVersions";

fn configuration(obj: Cursor<'_>, leniency: Leniency, errs: &mut Errors) {
    let mut seen = BTreeSet::new();
    for hook in obj.field("webhooks").list() {
        webhook(hook, leniency, errs);
        review_versions(hook.field(VERSIONS), !leniency.review_versions, errs);
        let name = hook.field("name");
        if !leniency.same_names && !name.is_empty() && !seen.insert(name.str()) {
            errs.duplicate(name, name.str());
        }
    }
}

/// upstream: validateValidatingWebhook, validateMutatingWebhook
fn webhook(hook: Cursor<'_>, leniency: Leniency, errs: &mut Errors) {
    errs.extend(names::fully_qualified_name(&hook.field("name").path(), hook.field("name").str()));
    hook.field("rules").list().for_each(|rule| rules::rule(rule, errs));
    none_or_one_of(hook.field("failurePolicy"), FAILURE_POLICIES, errs);
    none_or_one_of(hook.field("matchPolicy"), MATCH_POLICIES, errs);
    let effects = hook.field("sideEffects");
    let allowed = if leniency.side_effects { SIDE_EFFECTS } else { NO_SIDE_EFFECTS };
    if effects.exists() {
        one_of(effects, allowed, errs);
    } else {
        errs.required(effects, format!("must specify one of {}", allowed.join(", ")));
    }
    let timeout = hook.field("timeoutSeconds");
    if timeout.exists() && !(1..=30).contains(&timeout.i64()) {
        errs.invalid(timeout, timeout, "the timeout value must be between 1 and 30 seconds");
    }
    let selector_rules = SelectorRules { allow_invalid_values: leniency.selectors, ..SelectorRules::default() };
    SELECTORS.into_iter().for_each(|name| label::validate(hook.field(name), selector_rules, errs));
    none_or_one_of(hook.field("reinvocationPolicy"), REINVOCATION_POLICIES, errs);
    webhook_target::validate(hook.field("clientConfig"), errs);
    if !leniency.match_conditions {
        match_conditions(hook.field("matchConditions"), false, errs);
    }
}

/// upstream: validateAdmissionReviewVersions
fn review_versions(versions: Cursor<'_>, must_know_one: bool, errs: &mut Errors) {
    webhook_target::review_versions(versions, &REVIEW_VERSIONS, must_know_one, errs);
}
