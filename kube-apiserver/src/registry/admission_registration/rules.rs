//! Which requests a webhook or policy wants to see.

use std::collections::BTreeSet;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::selector::label::{self, SelectorRules};
use apimachinery::value::Cursor;

use super::MATCH_POLICIES;
use crate::registry::validation::{holds, named, one_of, required, required_one_of};

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const MUTATING_OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];
const SCOPES: &[&str] = &["*", "Cluster", "Namespaced"];

/// upstream: validateRuleWithOperations, validateRule
pub(super) fn rule(rule: Cursor<'_>, errs: &mut Errors) {
    let operations = rule.field("operations");
    required(operations, errs);
    alone(operations, "operations", errs);
    operations.list().for_each(|operation| one_of(operation, OPERATIONS, errs));
    let (groups, versions) = (rule.field("apiGroups"), rule.field("apiVersions"));
    required(groups, errs);
    alone(groups, "API groups", errs);
    required(versions, errs);
    alone(versions, "API versions", errs);
    versions.list().for_each(|version| required(version, errs));
    resources(rule.field("resources"), errs);
    let scope = rule.field("scope");
    if scope.exists() {
        one_of(scope, SCOPES, errs);
    }
}

/// A `*` says it all.
fn alone(list: Cursor<'_>, what: &str, errs: &mut Errors) {
    if list.len() > 1 && holds(list, "*") {
        errs.invalid(list, list, format!("if '*' is present, must not specify other {what}"));
    }
}

/// upstream: validateResources
fn resources(list: Cursor<'_>, errs: &mut Errors) {
    required(list, errs);
    let (mut any_subresource, mut any_resource) = (BTreeSet::new(), BTreeSet::new());
    // Upstream remembers only whether the last entry without a subresource was a plain one.
    let mut plain = false;
    for entry in list.list() {
        let text = entry.str();
        if text.is_empty() {
            errs.required(entry, "");
            continue;
        }
        let Some((resource, subresource)) = text.split_once('/') else {
            plain = text != "*";
            continue;
        };
        if any_subresource.contains(resource) {
            errs.invalid(entry, text, format!("if '{resource}/*' is present, must not specify {text}"));
        }
        if any_resource.contains(subresource) {
            errs.invalid(entry, text, format!("if '*/{subresource}' is present, must not specify {text}"));
        }
        if subresource == "*" {
            any_subresource.insert(resource);
        }
        if resource == "*" {
            any_resource.insert(subresource);
        }
    }
    if list.len() > 1 && holds(list, "*/*") {
        errs.invalid(list, list, "if '*/*' is present, must not specify other resources");
    }
    if holds(list, "*") && plain {
        errs.invalid(list, list, "if '*' is present, must not specify other resources without subresources");
    }
}

/// upstream: validateMatchResources
pub(super) fn match_resources(resources: Cursor<'_>, errs: &mut Errors) {
    if !resources.exists() {
        return;
    }
    let policy = resources.field("matchPolicy");
    if policy.exists() {
        one_of(policy, MATCH_POLICIES, errs)
    } else {
        errs.required(policy, "")
    }
    for selector in ["namespaceSelector", "objectSelector"].map(|name| resources.field(name)) {
        if selector.exists() {
            label::validate(selector, SelectorRules::default(), errs);
        } else {
            errs.required(selector, "");
        }
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        resources.field(list).list().for_each(|one| named_rule(one, errs));
    }
}

/// upstream: validateNamedRuleWithOperations
fn named_rule(one: Cursor<'_>, errs: &mut Errors) {
    let mut seen = BTreeSet::new();
    for name in one.field("resourceNames").list() {
        named(name, names::path_segment_name, errs);
        if !seen.insert(name.str()) {
            errs.duplicate(name, name.str());
        }
    }
    rule(one, errs);
}

/// Deletions cannot be changed. The path has no index, as upstream's has none.
pub(super) fn only_mutable_operations(resources: Cursor<'_>, errs: &mut Errors) {
    let path = resources.field("resourceRules").field("operations").path();
    for rule in resources.field("resourceRules").list() {
        for operation in rule.field("operations").list().filter(|o| !MUTATING_OPERATIONS.contains(&o.str())) {
            errs.not_supported(&path, operation.str(), MUTATING_OPERATIONS);
        }
    }
}

/// upstream: validateParamKind
pub(super) fn param_kind(kind: Cursor<'_>, errs: &mut Errors) {
    let (version, name) = (kind.field("apiVersion"), kind.field("kind"));
    match version.str().split('/').collect::<Vec<_>>()[..] {
        [""] => errs.required(version, ""),
        ["", ""] => errs.invalid(version, version.str(), "version must be specified"),
        [only] => param_version(version, "", only, errs),
        [group, only] => param_version(version, group, only, errs),
        _ => errs.invalid(version, version.str(), format!("unexpected GroupVersion string: {}", version.str())),
    }
    if name.is_empty() {
        errs.required(name, "");
        return;
    }
    let wrong = names::dns1035_label(&name.str().to_lowercase());
    if !wrong.is_empty() {
        let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
        errs.invalid(name, name.str(), detail);
    }
}

fn param_version(place: Cursor<'_>, group: &str, version: &str, errs: &mut Errors) {
    let mut check = |text: &str, wrong: Vec<String>| {
        if !wrong.is_empty() {
            errs.invalid(place, text, wrong.join(","));
        }
    };
    if !group.is_empty() {
        check(group, names::dns1123_subdomain(group));
    }
    if version.is_empty() {
        check(place.str(), vec!["version must be specified".to_owned()]);
    } else {
        check(version, names::dns1035_label(version));
    }
}

/// upstream: validateParamRef
pub(super) fn param_ref(reference: Cursor<'_>, errs: &mut Errors) {
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    if !reference.exists() {
        return;
    }
    let (name, selector) = (reference.field("name"), reference.field("selector"));
    if !name.is_empty() {
        named(name, names::path_segment_name, errs);
        if selector.exists() {
            errs.forbidden(name, EXCLUSIVE);
        }
    }
    if selector.exists() {
        label::validate(selector, SelectorRules::default(), errs);
        if !name.is_empty() {
            errs.forbidden(selector, EXCLUSIVE);
        }
    }
    if name.is_empty() && !selector.exists() {
        errs.required(reference, "one of name or selector must be specified");
    }
    required_one_of(reference.field("parameterNotFoundAction"), &["Deny", "Allow"], errs);
}
