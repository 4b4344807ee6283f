//! Resource quotas: what a namespace may use altogether.
//! upstream: pkg/registry/core/resourcequota, pkg/apis/core/validation/validation.go (ValidateResourceQuota)

use std::collections::BTreeSet;

use apimachinery::field::{BadValue, Errors};
use apimachinery::object_meta::IMMUTABLE;
use apimachinery::value::Cursor;

use crate::registry::core::pod_spec::{is_standard, quantity_of, quantity_value, resource_name};
use crate::registry::internal_json::shown_struct;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::shown;

/// The strategy of ResourceQuotas.
pub struct ResourceQuotas;

impl Strategy for ResourceQuotas {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        spec(obj.field("spec"), errs);
        amounts(obj.field("status").field("hard"), errs);
        amounts(obj.field("status").field("used"), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        spec(obj.field("spec"), errs);
        let scopes = obj.field("spec").field("scopes");
        let set = |list: Cursor<'_>| list.list().map(|scope| scope.str().to_owned()).collect::<BTreeSet<String>>();
        if set(scopes) != set(old.field("spec").field("scopes")) {
            errs.invalid(scopes, shown(scopes.value()), IMMUTABLE);
        }
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        amounts(obj.field("status").field("hard"), errs);
        amounts(obj.field("status").field("used"), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        let hard = obj.field("spec").field("hard");
        let mut warnings = Vec::new();
        for resource in ["cpu", "memory", "storage", "ephemeral-storage"] {
            let (request, limit) = (format!("requests.{resource}"), format!("limits.{resource}"));
            let plain = !hard.key(&request).exists() && matches!(resource, "cpu" | "memory");
            let request = if plain { resource } else { &request };
            let [wanted, most] = [request, &limit].map(|name| hard.key(name));
            if wanted.exists() && most.exists() && quantity_of(wanted) > quantity_of(most) {
                let (wanted, most) = (quantity_of(wanted), quantity_of(most));
                warnings.push(format!("ResourceQuota {request} ({wanted}) should be less than {limit} ({most})"));
            }
        }
        warnings
    }
}

/// What quotas can be about besides objects that are counted and extended resources: of storage only what is requested.
fn is_for_quota(name: &str) -> bool {
    is_standard(name) && name != "storage"
}

fn amounts(list: Cursor<'_>, errs: &mut Errors) {
    for (name, place) in list.map() {
        resource_name(place, name, errs);
        if !name.contains('/') && !is_for_quota(name) {
            errs.invalid(place, name, "must be a standard resource for quota");
        }
        quantity_value(place, name, &quantity_of(place), errs);
    }
}

fn spec(spec: Cursor<'_>, errs: &mut Errors) {
    amounts(spec.field("hard"), errs);
    scopes(spec, errs);
    if spec.field("scopeSelector").exists() {
        selector(spec, errs);
    }
}

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];

/// upstream: IsResourceQuotaScopeValidForResource
fn fits(scope: &str, resource: &str) -> bool {
    const COMPUTE: [&str; 6] = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        scope if SCOPES.contains(&scope) => resource == "pods" || COMPUTE.contains(&resource),
        _ => true,
    }
}

/// How many of the resources a scope says nothing about.
fn misfits(spec: Cursor<'_>, scope: &str) -> usize {
    spec.field("hard").map().filter(|(name, _)| is_for_quota(name) && !fits(scope, name)).count()
}

fn conflicts(used: &BTreeSet<&str>) -> usize {
    let pairs = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
    pairs.iter().filter(|pair| pair.iter().all(|scope| used.contains(scope))).count()
}

/// upstream: validateResourceQuotaScopes
fn scopes(spec: Cursor<'_>, errs: &mut Errors) {
    let list = spec.field("scopes");
    let mut complain = |why: &str| errs.invalid(list, shown(list.value()), why);
    for scope in list.list().map(|scope| scope.str()) {
        if !SCOPES.contains(&scope) {
            complain("unsupported scope");
        }
        (0..misfits(spec, scope)).for_each(|_| complain("unsupported scope applied to resource"));
    }
    let used = list.list().map(|scope| scope.str()).collect();
    (0..conflicts(&used)).for_each(|_| complain("conflicting scopes"));
}

/// upstream: validateScopedResourceSelectorRequirement
fn selector(spec: Cursor<'_>, errs: &mut Errors) {
    const EXISTS: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
    let list = spec.field("scopeSelector").field("matchExpressions");
    let selector = || shown_struct(spec.field("scopeSelector"), "io.k8s.api.core.v1.ScopeSelector");
    for requirement in list.list() {
        let (scope, operator) = (requirement.field("scopeName").str(), requirement.field("operator").str());
        let values = requirement.field("values");
        if !SCOPES.contains(&scope) {
            errs.invalid(list.field("scopeName"), scope, "unsupported scope");
        }
        for _ in 0..misfits(spec, scope) {
            errs.invalid(list, selector(), "unsupported scope applied to resource");
        }
        let by_existence = SCOPES.contains(&scope) && !matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if by_existence && operator != "Exists" {
            errs.invalid(list.field("operator"), operator, EXISTS);
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errs.required(list.field("values"), why);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errs.invalid(list.field("values"), shown(values.value()), why);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errs.invalid(list.field("operator"), operator, "not a valid selector operator"),
        }
    }
    let used = list.list().map(|requirement| requirement.field("scopeName").str()).collect();
    let all: BadValue = shown(spec.field("scopes").value());
    (0..conflicts(&used)).for_each(|_| errs.invalid(list, all.clone(), "conflicting scopes"));
}

#[cfg(test)]
mod tests {
    use apimachinery::value::Value;

    use super::*;

    #[test]
    fn specs() {
        let cases = [
            (r#"{"hard": {"pods": "1", "count/pods": "2"}, "scopes": ["BestEffort"]}"#, ""),
            (r#"{"hard": {"pods": "1.5"}}"#, r#"spec.hard[pods]: Invalid value: "1500m": must be an integer"#),
            (
                r#"{"hard": {"storage": "1"}}"#,
                r#"spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota"#,
            ),
            (
                r#"{"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}"#,
                r#"spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource"#,
            ),
            (
                r#"{"scopes": ["Terminating", "NotTerminating"]}"#,
                r#"spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes"#,
            ),
            (
                r#"{"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}"#,
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ),
        ];
        for (json, expected) in cases {
            let value: Value = serde_json::from_str(&format!(r#"{{"spec": {json}}}"#)).expect("JSON");
            let mut errs = Errors::new();
            spec(Cursor::root(&value).field("spec"), &mut errs);
            assert_eq!(errs.to_aggregate(), expected, "{json}");
        }
    }
}
