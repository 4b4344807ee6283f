//! Affinities of pods to nodes and to each other.

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::selector::label::{self, SelectorRules, validate_label_name};
use apimachinery::value::Cursor;

use super::{Rules, spread};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// upstream: validateAffinity
pub(super) fn all(affinity: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    let node = affinity.field("nodeAffinity");
    if node.field(REQUIRED).exists() {
        node_selector(node.field(REQUIRED), rules.any_node_affinity_values, errs);
    }
    for term in node.field(PREFERRED).list() {
        weight(term, errs);
        node_selector_term(term.field("preference"), true, errs);
    }
    for kind in ["podAffinity", "podAntiAffinity"].map(|kind| affinity.field(kind)) {
        kind.field(REQUIRED).list().for_each(|term| pod_term(term, rules, errs));
        for term in kind.field(PREFERRED).list() {
            weight(term, errs);
            pod_term(term.field("podAffinityTerm"), rules, errs);
        }
    }
}

fn weight(term: Cursor<'_>, errs: &mut Errors) {
    let place = term.field("weight");
    if !(1..=100).contains(&place.i64()) {
        errs.invalid(place, place.i64(), "must be in the range 1-100");
    }
}

/// upstream: ValidateNodeSelector
pub fn node_selector(selector: Cursor<'_>, any_values: bool, errs: &mut Errors) {
    let terms = selector.field("nodeSelectorTerms");
    if terms.is_empty() {
        errs.required(terms, "must have at least one node selector term");
    }
    terms.list().for_each(|term| node_selector_term(term, any_values, errs));
}

/// upstream: ValidateNodeSelectorTerm
pub fn node_selector_term(term: Cursor<'_>, any_values: bool, errs: &mut Errors) {
    term.field("matchExpressions").list().for_each(|e| node_expression(e, any_values, errs));
    term.field("matchFields").list().for_each(|e| node_field(e, errs));
}

/// upstream: ValidateNodeSelectorRequirement
fn node_expression(expression: Cursor<'_>, any_values: bool, errs: &mut Errors) {
    let (operator, values) = (expression.field("operator"), expression.field("values"));
    match operator.str() {
        "In" | "NotIn" if values.is_empty() => {
            errs.required(values, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errs.forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.len() != 1 => {
            errs.required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errs.invalid(operator, other, "not a valid selector operator"),
    }
    validate_label_name(expression.field("key"), errs);
    if !any_values {
        values.list().for_each(|value| errs.invalid_each(value, value.str(), names::label_value(value.str())));
    }
}

/// upstream: ValidateNodeFieldSelectorRequirement
fn node_field(expression: Cursor<'_>, errs: &mut Errors) {
    let (operator, values) = (expression.field("operator"), expression.field("values"));
    match operator.str() {
        "In" | "NotIn" if values.len() != 1 => {
            errs.required(values, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
        }
        "In" | "NotIn" => {}
        other => errs.invalid(operator, other, "not a valid selector operator"),
    }
    let key = expression.field("key");
    if key.str() != "metadata.name" {
        return errs.invalid(key, key.str(), "not a valid field selector key");
    }
    values.list().for_each(|value| errs.invalid_each(value, value.str(), names::dns1123_subdomain(value.str())));
}

/// upstream: validatePodAffinityTerm
fn pod_term(term: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    let selector_rules = SelectorRules { allow_invalid_values: rules.any_selector_values, ..SelectorRules::default() };
    label::validate(term.field("labelSelector"), selector_rules, errs);
    label::validate(term.field("namespaceSelector"), selector_rules, errs);
    for name in term.field("namespaces").list().map(|name| name.str()) {
        errs.invalid_each(term.field("namespace"), name, names::dns1123_label(name));
    }
    spread::match_label_keys(term, errs);
    let key = term.field("topologyKey");
    if key.is_empty() {
        errs.required(key, "can not be empty");
    }
    validate_label_name(key, errs);
}

/// True if a selector of an affinity between pods has values that are refused today.
pub(super) fn has_invalid_selector_values(spec: Cursor<'_>) -> bool {
    let kinds = ["podAffinity", "podAntiAffinity"].map(|kind| spec.field("affinity").field(kind));
    let terms = kinds.into_iter().flat_map(|kind| {
        let preferred = kind.field(PREFERRED).list().map(|term| term.field("podAffinityTerm"));
        kind.field(REQUIRED).list().chain(preferred)
    });
    let mut selectors = terms.flat_map(|term| ["labelSelector", "namespaceSelector"].map(|s| term.field(s)));
    selectors.any(|selector| label::has_invalid_values(selector.value()))
}

/// True if a node affinity has values that are refused today.
pub(super) fn has_invalid_node_values(spec: Cursor<'_>) -> bool {
    let terms = spec.field("affinity").field("nodeAffinity").field(REQUIRED).field("nodeSelectorTerms");
    terms.list().any(|term| label::has_invalid_values(term.value()))
}
