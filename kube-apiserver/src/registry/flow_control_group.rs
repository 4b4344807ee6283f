//! Flow schemas and priority levels. Those that must be there have a fixed spec.
//! upstream: pkg/registry/flowcontrol, pkg/apis/flowcontrol/validation/validation.go

use std::collections::BTreeSet;

use apimachinery::field::{BadValue, Errors};
use apimachinery::names;
use apimachinery::value::{Cursor, Value};

use crate::bootstrap::data;
use crate::registry::internal_json::shown_plain_struct;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{named, required};

/// The strategy of FlowSchemas.
pub struct FlowSchemas;
/// The strategy of PriorityLevelConfigurations.
pub struct PriorityLevels;

const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

impl Strategy for FlowSchemas {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        flow_schema(obj, errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        flow_schema(obj, errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        conditions(obj.field("status"), errs);
    }
}

fn conditions(status: Cursor<'_>, errs: &mut Errors) {
    let mut seen = BTreeSet::new();
    for kind in status.field("conditions").list().map(|c| c.field("type")) {
        if !seen.insert(kind.str()) {
            errs.duplicate(kind, kind.str());
        }
        required(kind, errs);
    }
}

fn flow_schema(obj: Cursor<'_>, errs: &mut Errors) {
    const HIGHEST: i64 = 10_000;
    let spec = obj.field("spec");
    let precedence = spec.field("matchingPrecedence");
    if precedence.i64() <= 0 {
        errs.invalid(precedence, precedence.i64(), "must be a positive value");
    }
    if precedence.i64() > HIGHEST {
        errs.invalid(precedence, precedence.i64(), format!("must not be greater than {HIGHEST}"));
    }
    if precedence.i64() == 1 && obj.field("metadata").field("name").str() != "exempt" {
        let only = "only the schema named 'exempt' may have matchingPrecedence 1";
        errs.invalid(precedence, precedence.i64(), only);
    }
    let method = spec.field("distinguisherMethod");
    if method.exists() && !matches!(method.field("type").str(), "ByNamespace" | "ByUser") {
        // Upstream shows the struct around the type.
        let shown = BadValue::json(format!(r#"{{"Type":{}}}"#, BadValue::from(method.field("type").str())));
        errs.not_supported(method.field("type"), shown, ["ByNamespace", "ByUser"]);
    }
    let level = spec.field("priorityLevelConfiguration").field("name");
    if level.is_empty() {
        errs.required(level, "must reference a priority level");
    } else {
        named(level, names::dns1123_subdomain, errs);
    }
    for rule in spec.field("rules").list() {
        policy_rule(rule, errs);
    }
    if let Some(fixed) = fixed_spec("FlowSchema", name_of(obj))
        && *spec.value() != fixed
    {
        let shown = shown_plain_struct(spec, "io.k8s.api.flowcontrol.v1.FlowSchemaSpec");
        errs.invalid(spec, shown, format!("spec of '{}' must equal the fixed value", name_of(obj)));
    }
    conditions(obj.field("status"), errs);
}

fn name_of(obj: Cursor<'_>) -> &str {
    obj.field("metadata").field("name").str()
}

/// The spec of an object that must be there, and must be so.
fn fixed_spec(kind: &str, name: &str) -> Option<Value> {
    if !matches!(name, "exempt" | "catch-all") {
        return None;
    }
    let is_it =
        |o: &Value| o.get("kind").as_str() == Some(kind) && o.path(&["metadata", "name"]).as_str() == Some(name);
    data::objects(data::FLOW_CONTROL).find(is_it).map(|object| object.get("spec").clone())
}

/// upstream: ValidateIfMandatoryPriorityLevelConfigurationObject
fn fixed_level(obj: Cursor<'_>, errs: &mut Errors) {
    let (spec, name) = (obj.field("spec"), name_of(obj));
    let Some(fixed) = fixed_spec("PriorityLevelConfiguration", name) else { return };
    let mut given = spec.value().clone();
    let but = if name == "exempt" {
        given.set("exempt", fixed.get("exempt").clone());
        " except the 'spec.exempt' field"
    } else {
        ""
    };
    if given != fixed {
        let shown = shown_plain_struct(spec, "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec");
        errs.invalid(spec, shown, format!("spec of '{name}'{but} must equal the fixed value"));
    }
}

fn policy_rule(rule: Cursor<'_>, errs: &mut Errors) {
    let subjects = rule.field("subjects");
    if subjects.is_empty() {
        errs.required(subjects, "subjects must contain at least one value");
    }
    subjects.list().for_each(|one| subject(one, errs));
    let (resources, urls) = (rule.field("resourceRules"), rule.field("nonResourceRules"));
    if resources.is_empty() && urls.is_empty() {
        errs.required(rule, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    resources.list().for_each(|one| resource_rule(one, errs));
    urls.list().for_each(|one| url_rule(one, errs));
}

fn subject(subject: Cursor<'_>, errs: &mut Errors) {
    let members = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = subject.field("kind");
    let Some((_, own)) = members.into_iter().find(|(name, _)| *name == kind.str()) else {
        errs.not_supported(kind, kind.str(), ["Group", "ServiceAccount", "User"]);
        return;
    };
    let member = subject.field(own);
    let name = member.field("name");
    if !member.exists() {
        errs.required(member, format!("{own} is required when subject kind is '{}'", kind.str()));
    } else if own == "serviceAccount" {
        if name.is_empty() {
            errs.required(name, "");
        } else if name.str() != "*" {
            named(name, names::dns1123_subdomain, errs);
        }
        let namespace = member.field("namespace");
        if namespace.is_empty() {
            errs.required(namespace, "must specify namespace for service account");
        } else {
            named(namespace, names::dns1123_label, errs);
        }
    } else {
        required(name, errs);
    }
    for (expected, other) in members.into_iter().filter(|(_, member)| *member != own) {
        if subject.field(other).exists() {
            errs.forbidden(subject.field(other), format!("{other} is forbidden when subject kind is not '{expected}'"));
        }
    }
}

fn has_wildcard(list: Cursor<'_>) -> bool {
    list.list().any(|item| item.str() == "*")
}

fn verbs(list: Cursor<'_>, errs: &mut Errors) {
    if list.is_empty() {
        errs.required(list, "verbs must contain at least one value");
    } else if has_wildcard(list) {
        alone(list, "verbs", errs);
    } else if list.list().any(|verb| !VERBS.contains(&verb.str())) {
        errs.not_supported(list, BadValue::from(list), VERBS);
    }
}

/// A wildcard stands alone.
fn alone(list: Cursor<'_>, what: &str, errs: &mut Errors) {
    if list.len() > 1 {
        errs.invalid(list, list, format!("if '*' is present, must not specify other {what}"));
    }
}

fn resource_rule(rule: Cursor<'_>, errs: &mut Errors) {
    verbs(rule.field("verbs"), errs);
    for (list, what, detail) in [
        ("apiGroups", "api groups", "resource rules must supply at least one api group"),
        ("resources", "resources", "resource rules must supply at least one resource"),
    ] {
        let list = rule.field(list);
        if list.is_empty() {
            errs.required(list, detail);
        } else if has_wildcard(list) {
            alone(list, what, errs);
        }
    }
    let namespaces = rule.field("namespaces");
    if namespaces.is_empty() && !rule.field("clusterScope").bool() {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        errs.required(namespaces, detail);
    } else if has_wildcard(namespaces) {
        alone(namespaces, "namespaces", errs);
    } else {
        for namespace in namespaces.list() {
            let intro = "each member of this list must be '*' or a DNS-1123 label; ";
            let messages = names::dns1123_label(namespace.str()).into_iter().map(|message| format!("{intro}{message}"));
            errs.invalid_each(namespace, namespace.str(), messages.collect::<Vec<_>>());
        }
    }
}

fn url_rule(rule: Cursor<'_>, errs: &mut Errors) {
    verbs(rule.field("verbs"), errs);
    let urls = rule.field("nonResourceURLs");
    if urls.is_empty() {
        errs.required(urls, "nonResourceURLs must contain at least one value");
    } else if has_wildcard(urls) {
        alone(urls, "non-resource URLs", errs);
    } else {
        for url in urls.list() {
            if let Some(problem) = url_problem(url.str()) {
                errs.invalid(url, url.str(), problem);
            }
        }
    }
}

fn url_problem(path: &str) -> Option<&'static str> {
    let wildcards = path.matches('*').count();
    match path {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !path.starts_with('/') => Some("must start with slash"),
        _ if path.contains(' ') => Some("must not contain white-space"),
        _ if path.contains("//") => Some("must not contain double slash"),
        _ if wildcards > 1 || (wildcards == 1 && !path.ends_with("/*")) => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}

impl Strategy for PriorityLevels {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        priority_level(obj, errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        priority_level(obj, errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        conditions(obj.field("status"), errs);
    }
}

fn priority_level(obj: Cursor<'_>, errs: &mut Errors) {
    let (name, spec) = (obj.field("metadata").field("name").str(), obj.field("spec"));
    let (kind, limited, exempt) = (spec.field("type"), spec.field("limited"), spec.field("exempt"));
    if (name == "exempt") != (kind.str() == "Exempt") {
        errs.invalid(kind, kind.str(), "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match kind.str() {
        "Exempt" => {
            if limited.exists() {
                errs.forbidden(limited, "must be nil if the type is not Limited");
            }
            shares(exempt, errs);
        }
        "Limited" => {
            if exempt.exists() {
                errs.forbidden(exempt, "must be nil if the type is Limited");
            }
            if limited.exists() {
                limits(limited, errs);
            } else {
                errs.required(limited, "must not be empty when type is Limited");
            }
        }
        _ => errs.not_supported(kind, kind.str(), ["Exempt", "Limited"]),
    }
    fixed_level(obj, errs);
    conditions(obj.field("status"), errs);
}

fn shares(level: Cursor<'_>, errs: &mut Errors) {
    let shares = level.field("nominalConcurrencyShares");
    if shares.i64() < 0 {
        errs.invalid(shares, shares, "must be a non-negative integer");
    }
    lendable(level, errs);
}

fn lendable(level: Cursor<'_>, errs: &mut Errors) {
    let percent = level.field("lendablePercent");
    if !(0..=100).contains(&percent.i64()) {
        errs.invalid(percent, percent, "must be between 0 and 100, inclusive");
    }
}

fn limits(limited: Cursor<'_>, errs: &mut Errors) {
    let shares = limited.field("nominalConcurrencyShares");
    if shares.i64() < 0 {
        errs.invalid(shares, shares, "must be a non-negative integer");
    }
    let response = limited.field("limitResponse");
    let (kind, queuing) = (response.field("type"), response.field("queuing"));
    match (kind.str(), queuing.exists()) {
        ("Reject", true) => errs.forbidden(queuing, "must be nil if limited.limitResponse.type is not Limited"),
        ("Queue", false) => errs.required(queuing, "must not be empty if limited.limitResponse.type is Limited"),
        ("Queue", true) => queues(queuing, errs),
        ("Reject", false) => {}
        _ => errs.not_supported(kind, kind.str(), ["Queue", "Reject"]),
    }
    lendable(limited, errs);
    let borrowing = limited.field("borrowingLimitPercent");
    if borrowing.i64() < 0 {
        errs.invalid(borrowing, borrowing, "if specified, must be a non-negative integer");
    }
}

fn queues(queuing: Cursor<'_>, errs: &mut Errors) {
    const MOST_QUEUES: i64 = 10_000_000;
    /// Bits of the hash that deals the hands.
    const HASH_BITS: i64 = 60;
    let [length, queues, hand] = ["queueLengthLimit", "queues", "handSize"].map(|field| queuing.field(field));
    let positive = |place: Cursor<'_>, errs: &mut Errors| {
        if place.i64() <= 0 {
            errs.invalid(place, place.i64(), "must be positive");
        }
        place.i64() > 0
    };
    positive(length, errs);
    if positive(queues, errs) && queues.i64() > MOST_QUEUES {
        errs.invalid(queues, queues.i64(), format!("must not be greater than {MOST_QUEUES}"));
    }
    if !positive(hand, errs) {
        return;
    }
    let (deck, size) = (queues.i64(), hand.i64());
    if size > deck {
        errs.invalid(hand, size, format!("should not be greater than queues ({deck})"));
        return;
    }
    // Bits that choose `size` out of `deck` in order.
    let bits = (0..size).map(|dealt| ((deck - dealt) as f64).log2()).sum::<f64>().ceil() as i64;
    if bits > HASH_BITS {
        let detail = "required entropy bits of deckSize";
        let detail = format!("{detail} {deck} and handSize {size} should not be greater than {HASH_BITS}");
        errs.invalid(hand, size, detail);
    }
}
