//! ValidatingAdmissionPolicies, MutatingAdmissionPolicies and their bindings.

use std::collections::BTreeSet;

use apimachinery::field::{BadValue, Errors};
use apimachinery::quote::json_string;
use apimachinery::value::Cursor;
use apimachinery::{names, object_meta};

use super::{FAILURE_POLICIES, REINVOCATION_POLICIES, match_conditions, rules, static_name_warnings};
use crate::registry::expressions::{Compiler, Names, Wanted};
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
    let has_params = spec.field("paramKind").exists();
    let failure = spec.field("failurePolicy");
    if failure.exists() {
        one_of(failure, FAILURE_POLICIES, errs)
    } else {
        errs.required(failure, "")
    }
    if has_params {
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
        match_conditions(spec.field("matchConditions"), has_params, errs);
    }
    let composes = kind == PolicyKind::Mutating || !spec.field("variables").is_empty();
    let mut expressions = Expressions {
        compiler: if composes { Compiler::composing() } else { Compiler::default() },
        names: Names { params: has_params, authorizer: true },
    };
    spec.field("variables").list().for_each(|one| expressions.variable(one, errs));
    match kind {
        PolicyKind::Validating => validations(obj, spec, &expressions, errs),
        PolicyKind::Mutating => mutations(spec, &expressions, errs),
    }
}

/// The expressions of a policy, which share their variables.
struct Expressions {
    compiler: Compiler,
    names: Names,
}

impl Expressions {
    /// Tells what is wrong with an expression; `text` is what upstream compiles of it.
    fn told(&self, place: Cursor<'_>, text: &str, wanted: Wanted, errs: &mut Errors) {
        // messages may not ask the authorizer
        let names = Names { authorizer: wanted != Wanted::Text, ..self.names };
        if let Some(wrong) = self.compiler.mistake(text, names, wanted) {
            errs.invalid(place, text, wrong);
        }
    }

    /// upstream: validateVariable
    fn variable(&mut self, variable: Cursor<'_>, errs: &mut Errors) {
        let (name, expression) = (variable.field("name"), variable.field("expression"));
        if name.str().trim().is_empty() {
            errs.required(name, "name is not specified");
        } else if !is_cel_identifier(name.str()) {
            errs.invalid(name, name.str(), "must be a valid CEL identifier");
        }
        if expression.str().trim().is_empty() {
            errs.required(expression, "expression is not specified");
        } else if let Some(wrong) = self.compiler.declare(name.str(), expression.str(), self.names) {
            errs.invalid(expression, expression.str(), wrong);
        }
    }
}

fn is_cel_identifier(name: &str) -> bool {
    names::c_identifier(name).is_empty() && !cel::escaping::RESERVED.contains(&name)
}

fn validations(obj: Cursor<'_>, spec: Cursor<'_>, expressions: &Expressions, errs: &mut Errors) {
    const MOST: usize = 20;
    let (validations, annotations) = (spec.field("validations"), spec.field("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        for list in [validations, annotations] {
            errs.required(list, "validations or auditAnnotations must contain at least one item");
        }
        return;
    }
    validations.list().for_each(|one| validation(one, expressions, errs));
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
        audit_annotation(obj, annotation, expressions, errs);
        let key = annotation.field("key");
        if !seen.insert(key.str()) {
            errs.duplicate(key, key.str());
        }
    }
}

/// upstream: validateValidation
fn validation(validation: Cursor<'_>, expressions: &Expressions, errs: &mut Errors) {
    const EMPTY: &str = "must be non-empty if specified";
    let expression = validation.field("expression");
    if expression.str().trim().is_empty() {
        errs.required(expression, "expression is not specified");
    } else {
        expressions.told(expression, expression.str(), Wanted::Bool, errs);
    }
    let text = validation.field("messageExpression");
    if !text.is_empty() && text.str().trim().is_empty() {
        errs.invalid(text, text.str(), EMPTY);
    } else if !text.is_empty() {
        expressions.told(text, text.str(), Wanted::Text, errs);
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
fn audit_annotation(obj: Cursor<'_>, annotation: Cursor<'_>, expressions: &Expressions, errs: &mut Errors) {
    const LONGEST: usize = 5 * 1024;
    let policy = obj.field("metadata").field("name").str();
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
            let Expressions { compiler, names } = expressions;
            if let Some(wrong) = compiler.mistake(value.str().trim(), *names, Wanted::TextOrNull) {
                errs.invalid(value, value.str(), wrong);
            }
        }
    }
}

fn mutations(spec: Cursor<'_>, expressions: &Expressions, errs: &mut Errors) {
    let mutations = spec.field("mutations");
    if mutations.is_empty() {
        errs.required(mutations, "mutations must contain at least one item");
    }
    mutations.list().for_each(|one| mutation(one, expressions, errs));
    required_one_of(spec.field("reinvocationPolicy"), REINVOCATION_POLICIES, errs);
}

/// upstream: validateMutation
fn mutation(mutation: Cursor<'_>, expressions: &Expressions, errs: &mut Errors) {
    let kind = mutation.field("patchType");
    let (own, other, wanted) = match kind.str() {
        "JSONPatch" => ("jsonPatch", "applyConfiguration", Wanted::JsonPatch),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Wanted::ApplyConfiguration),
        _ => return required_one_of(kind, &["ApplyConfiguration", "JSONPatch"], errs),
    };
    let (patch, foreign) = (mutation.field(own), mutation.field(other));
    let expression = patch.field("expression");
    if !patch.exists() {
        errs.required(patch, format!("must be specified when patchType is {}", kind.str()));
    } else if expression.str().trim().is_empty() {
        errs.required(expression, "");
    } else {
        expressions.told(expression, expression.str().trim(), wanted, errs);
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
