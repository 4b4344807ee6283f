//! ValidatingAdmissionPolicies, MutatingAdmissionPolicies and their bindings.

use std::collections::BTreeSet;

use apimachinery::field::{BadValue, Errors};
use apimachinery::quote::json_string;
use apimachinery::value::Cursor;
use apimachinery::{names, object_meta};

use super::{FAILURE_POLICIES, REINVOCATION_POLICIES, Scope, match_conditions, rules, static_name_warnings};
use crate::registry::expressions::{Wanted, mistake};
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{none_or_one_of, one_of, required_named, required_one_of};

/// The two kinds of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Says no.
    Validating,
    /// Changes objects.
    Mutating,
}

/// The strategy of policies.
pub struct Policies(pub PolicyKind);
/// The strategy of their bindings.
pub struct PolicyBindings(pub PolicyKind);

impl Strategy for Policies {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        policy(self.0, obj, false, errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        // Nothing that could make valid conditions wrong has changed.
        let same = ["paramKind", "matchConditions"]
            .iter()
            .all(|f| obj.value().path(&["spec", f]) == old.value().path(&["spec", f]));
        policy(self.0, obj, same, errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        let status = obj.field("status");
        for warning in status.field("typeChecking").field("expressionWarnings").list() {
            for name in ["warning", "fieldRef"] {
                let place = warning.field(name);
                if place.str().trim().is_empty() && (name == "fieldRef" || place.is_empty()) {
                    errs.required(place, "");
                }
            }
        }
        object_meta::validate_conditions(status.field("conditions"), errs);
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

/// upstream: validateValidatingAdmissionPolicySpec, validateMutatingAdmissionPolicySpec
fn policy(kind: PolicyKind, obj: Cursor<'_>, conditions_are_known: bool, errs: &mut Errors) {
    let spec = obj.field("spec");
    let scope = Scope::of(spec);
    let failure = spec.field("failurePolicy");
    if failure.exists() {
        one_of(failure, FAILURE_POLICIES, errs)
    } else {
        errs.required(failure, "")
    }
    if scope.params {
        rules::param_kind(spec.field("paramKind"), errs);
    }
    let constraints = spec.field("matchConstraints");
    if constraints.exists() {
        rules::match_resources(constraints, errs);
        let resource_rules = constraints.field("resourceRules");
        if resource_rules.is_empty() {
            errs.required(resource_rules, "");
        }
        if kind == PolicyKind::Mutating {
            rules::only_mutable_operations(constraints, errs);
        }
    } else {
        errs.required(constraints, "");
    }
    if !conditions_are_known {
        match_conditions(spec.field("matchConditions"), Scope { variables: false, ..scope }, errs);
    }
    spec.field("variables").list().for_each(|one| variable(one, scope, errs));
    match kind {
        PolicyKind::Validating => validations(obj, spec, errs),
        PolicyKind::Mutating => mutations(spec, errs),
    }
}

/// upstream: validateVariable
fn variable(variable: Cursor<'_>, scope: Scope, errs: &mut Errors) {
    let (name, expression) = (variable.field("name"), variable.field("expression"));
    if name.str().trim().is_empty() {
        errs.required(name, "name is not specified");
    } else if !is_cel_identifier(name.str()) {
        errs.invalid(name, name.str(), "must be a valid CEL identifier");
    }
    if expression.str().trim().is_empty() {
        errs.required(expression, "expression is not specified");
    } else {
        told(expression, expression.str(), scope, Wanted::Anything, errs);
    }
}

/// Tells what is wrong with an expression; `text` is what upstream compiles of it.
fn told(place: Cursor<'_>, text: &str, scope: Scope, wanted: Wanted, errs: &mut Errors) {
    if let Some(wrong) = mistake(text, &scope.names(), wanted) {
        errs.invalid(place, text, wrong);
    }
}

/// True if the expression is a variable that could not be compiled, whose type is therefore not known.
fn is_broken_variable(text: &str, spec: Cursor<'_>, scope: Scope) -> bool {
    let Some(name) = text.strip_prefix("variables.") else { return false };
    let broken = |v: &Cursor<'_>| mistake(v.field("expression").str(), &scope.names(), Wanted::Anything).is_some();
    spec.field("variables").list().any(|v| v.field("name").str() == name && broken(&v))
}

fn is_cel_identifier(name: &str) -> bool {
    names::c_identifier(name).is_empty() && !cel::escaping::RESERVED.contains(&name)
}

fn validations(obj: Cursor<'_>, spec: Cursor<'_>, errs: &mut Errors) {
    const MOST: usize = 20;
    let (validations, annotations) = (spec.field("validations"), spec.field("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        for list in [validations, annotations] {
            errs.required(list, "validations or auditAnnotations must contain at least one item");
        }
        return;
    }
    validations.list().for_each(|one| validation(one, spec, errs));
    if annotations.len() > MOST {
        let shown: Vec<String> = annotations
            .list()
            .map(|a| {
                let (key, value) = (json_string(a.field("key").str()), json_string(a.field("valueExpression").str()));
                format!(r#"{{"Key":{key},"ValueExpression":{value}}}"#)
            })
            .collect();
        let shown = BadValue::json(format!("[{}]", shown.join(",")));
        errs.invalid(annotations, shown, format!("must not have more than {MOST} auditAnnotations"));
    }
    let mut seen = BTreeSet::new();
    for annotation in annotations.list() {
        audit_annotation(obj, annotation, errs);
        let key = annotation.field("key");
        if !seen.insert(key.str()) {
            errs.duplicate(key, key.str());
        }
    }
}

/// upstream: validateValidation
fn validation(validation: Cursor<'_>, spec: Cursor<'_>, errs: &mut Errors) {
    const EMPTY: &str = "must be non-empty if specified";
    let scope = Scope::of(spec);
    let expression = validation.field("expression");
    if expression.str().trim().is_empty() {
        errs.required(expression, "expression is not specified");
    } else if is_broken_variable(expression.str(), spec, scope) {
        errs.invalid(expression, expression.str(), "must evaluate to bool but got dyn");
    } else {
        told(expression, expression.str(), scope, Wanted::Bool, errs);
    }
    let text = validation.field("messageExpression");
    if !text.is_empty() && text.str().trim().is_empty() {
        errs.invalid(text, text.str(), EMPTY);
    } else if !text.is_empty() {
        told(text, text.str(), scope, Wanted::Text, errs);
    }
    let message = validation.field("message");
    if !message.is_empty() && message.str().trim().is_empty() {
        errs.invalid(message, message.str(), EMPTY);
    }
    if message.str().trim().contains(['\n', '\r']) {
        errs.invalid(message, message.str(), "must not contain line breaks");
    }
    none_or_one_of(validation.field("reason"), &["Forbidden", "Invalid", "RequestEntityTooLarge"], errs);
}

/// upstream: validateAuditAnnotation
fn audit_annotation(obj: Cursor<'_>, annotation: Cursor<'_>, errs: &mut Errors) {
    const LONGEST: usize = 5 * 1024;
    let policy = obj.field("metadata").field("name").str();
    let scope = Scope::of(obj.field("spec"));
    let (key, value) = (annotation.field("key"), annotation.field("valueExpression"));
    if policy.is_empty() {
        errs.invalid(key, key.str(), "requires metadata.name be non-empty");
    } else {
        let name = format!("{policy}/{}", key.str());
        errs.invalid_each(key, name.as_str(), names::qualified_name(&name));
    }
    match value.str().trim().len() {
        0 => errs.required(value, "valueExpression is not specified"),
        length if length > LONGEST => errs.required(value, format!("must not exceed {LONGEST} bytes in length")),
        _ => {
            if let Some(wrong) = mistake(value.str().trim(), &scope.names(), Wanted::Anything) {
                errs.invalid(value, value.str(), wrong);
            }
        }
    }
}

fn mutations(spec: Cursor<'_>, errs: &mut Errors) {
    let mutations = spec.field("mutations");
    if mutations.is_empty() {
        errs.required(mutations, "mutations must contain at least one item");
    }
    let scope = Scope::of(spec);
    mutations.list().for_each(|one| mutation(one, scope, errs));
    required_one_of(spec.field("reinvocationPolicy"), REINVOCATION_POLICIES, errs);
}

/// upstream: validateMutation
fn mutation(mutation: Cursor<'_>, scope: Scope, errs: &mut Errors) {
    let kind = mutation.field("patchType");
    let (own, other) = match kind.str() {
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        _ => return required_one_of(kind, &["ApplyConfiguration", "JSONPatch"], errs),
    };
    let (patch, foreign) = (mutation.field(own), mutation.field(other));
    let expression = patch.field("expression");
    if !patch.exists() {
        errs.required(patch, format!("must be specified when patchType is {}", kind.str()));
    } else if expression.str().trim().is_empty() {
        errs.required(expression, "");
    } else {
        told(expression, expression.str().trim(), scope, Wanted::Anything, errs);
    }
    if foreign.exists() {
        let detail = format!("must not be specified when patchType is {}", kind.str());
        errs.invalid(foreign, format!("{{{other}}}"), detail);
    }
}

impl Strategy for PolicyBindings {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        binding(self.0, obj.field("spec"), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        binding(self.0, obj.field("spec"), errs);
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

/// upstream: validateValidatingAdmissionPolicyBindingSpec, validateMutatingAdmissionPolicyBindingSpec
fn binding(kind: PolicyKind, spec: Cursor<'_>, errs: &mut Errors) {
    required_named(spec.field("policyName"), names::dns1123_subdomain, errs);
    rules::param_ref(spec.field("paramRef"), errs);
    rules::match_resources(spec.field("matchResources"), errs);
    match kind {
        PolicyKind::Validating => validation_actions(spec.field("validationActions"), errs),
        PolicyKind::Mutating => rules::only_mutable_operations(spec.field("matchResources"), errs),
    }
}

/// upstream: validateValidationActions
fn validation_actions(actions: Cursor<'_>, errs: &mut Errors) {
    let mut seen = BTreeSet::new();
    for action in actions.list() {
        one_of(action, &["Audit", "Deny", "Warn"], errs);
        if !seen.insert(action.str()) {
            errs.duplicate(action, action.str());
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let both = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                    response and headers serves no purpose)";
        errs.invalid(actions, actions, both);
    }
    if seen.is_empty() {
        errs.required(actions, "at least one validation action is required");
    }
}
