//! Roles and bindings. Whether a user may grant what a role says (escalation) is checked by admission to storage, not here.
//! upstream: pkg/apis/rbac/validation/validation.go, pkg/registry/rbac

use apimachinery::field::{BadValue, Errors};
use apimachinery::names;
use apimachinery::selector::label::{self, Selector, SelectorRules};
use apimachinery::value::Cursor;

use crate::registry::internal_json::shown_plain_struct;
use crate::registry::strategy::{NameRule, RequestContext, Strategy};
use crate::registry::validation::{metadata_again, metadata_update, named, one_of, required};

const GROUP: &str = "rbac.authorization.k8s.io";

/// The strategy of Roles and ClusterRoles.
pub struct Roles;
/// The strategy of RoleBindings and ClusterRoleBindings.
pub struct Bindings;

impl Strategy for Roles {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn validate_create(&self, cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        role(cx, obj, SelectorRules::default(), errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata_again(cx, obj, names::path_segment_name, errs);
        let selectors = old.field("aggregationRule").field("clusterRoleSelectors");
        let had_invalid = selectors.list().any(|selector| label::has_invalid_values(selector.value()));
        role(cx, obj, SelectorRules { allow_invalid_values: had_invalid, ..SelectorRules::default() }, errs);
        metadata_update(obj.field("metadata"), old.field("metadata"), errs);
    }
}

fn role(cx: &RequestContext, obj: Cursor<'_>, rules: SelectorRules, errs: &mut Errors) {
    let namespaced = !cx.namespace.is_empty();
    for rule in obj.field("rules").list() {
        policy_rule(rule, namespaced, errs);
    }
    let aggregation = obj.field("aggregationRule");
    if aggregation.exists() {
        let selectors = aggregation.field("clusterRoleSelectors");
        if selectors.is_empty() {
            errs.required(selectors, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for selector in selectors.list() {
            label::validate(selector, rules, errs);
            if Selector::from_value(selector.value()).is_err() {
                errs.invalid(selector, BadValue::null(), "invalid label selector.");
            }
        }
    }
}

fn policy_rule(rule: Cursor<'_>, namespaced: bool, errs: &mut Errors) {
    if rule.field("verbs").is_empty() {
        errs.required(rule.field("verbs"), "verbs must contain at least one value");
    }
    let urls = rule.field("nonResourceURLs");
    if !urls.is_empty() {
        if namespaced {
            errs.invalid(urls, urls, "namespaced rules cannot apply to non-resource URLs");
        }
        if ["apiGroups", "resources", "resourceNames"].into_iter().any(|list| !rule.field(list).is_empty()) {
            errs.invalid(urls, urls, "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    for (list, detail) in [
        ("apiGroups", "resource rules must supply at least one api group"),
        ("resources", "resource rules must supply at least one resource"),
    ] {
        if rule.field(list).is_empty() {
            errs.required(rule.field(list), detail);
        }
    }
}

impl Strategy for Bindings {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn validate_create(&self, cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        binding(cx, obj, errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata_again(cx, obj, names::path_segment_name, errs);
        binding(cx, obj, errs);
        metadata_update(obj.field("metadata"), old.field("metadata"), errs);
        let role = obj.field("roleRef");
        if role.value() != old.field("roleRef").value() {
            let shown = shown_plain_struct(role, "io.k8s.api.rbac.v1.RoleRef");
            errs.invalid(role, shown, "cannot change roleRef");
        }
    }
}

fn binding(cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
    let namespaced = !cx.namespace.is_empty();
    let role = obj.field("roleRef");
    one_of(role.field("apiGroup"), &[GROUP], errs);
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    one_of(role.field("kind"), kinds, errs);
    let name = role.field("name");
    if name.is_empty() {
        errs.required(name, "")
    } else {
        named(name, names::path_segment_name, errs)
    }
    for subject in obj.field("subjects").list() {
        binding_subject(subject, namespaced, errs);
    }
}

fn binding_subject(subject: Cursor<'_>, namespaced: bool, errs: &mut Errors) {
    let (name, group, namespace) = (subject.field("name"), subject.field("apiGroup"), subject.field("namespace"));
    required(name, errs);
    match subject.field("kind").str() {
        "ServiceAccount" => {
            if !name.is_empty() {
                named(name, names::dns1123_subdomain, errs);
            }
            one_of(group, &[""], errs);
            if !namespaced {
                required(namespace, errs);
            }
        }
        "User" | "Group" => one_of(group, &[GROUP], errs),
        _ => one_of(subject.field("kind"), &["ServiceAccount", "User", "Group"], errs),
    }
}
