//! What containers and pods request, and claims of devices.

use std::collections::{BTreeSet, HashSet};

use apimachinery::field::{Errors, Path};
use apimachinery::names;
use apimachinery::object_meta::NOT_NEGATIVE;
use apimachinery::quantity::Quantity;
use apimachinery::value::Cursor;

use super::Scope;
use crate::registry::internal_json::shown_struct;
use crate::registry::pod_resources::{aggregate, is_huge_page, is_native, is_overcommit_allowed, is_pod_level};
use crate::registry::validation::{named, none_or_named};

/// The quantity at a place; zero if there is none.
pub fn quantity_of(place: Cursor<'_>) -> Quantity {
    Quantity::parse(place.str()).unwrap_or_default()
}

/// Names without a domain that are known.
const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];

/// True if a name without a domain is known.
/// upstream: IsStandardResourceName
pub fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || is_huge_page(name) || name.starts_with("requests.hugepages-")
}

/// upstream: validateResourceName
pub fn resource_name(place: Cursor<'_>, name: &str, errs: &mut Errors) -> bool {
    let wrong = names::qualified_name(name);
    let known = name.contains('/') || is_standard(name);
    if !wrong.is_empty() {
        errs.invalid_each(place, name, wrong);
        return false;
    }
    if !known {
        errs.invalid(place, name, "must be a standard resource type or fully qualified");
    }
    known
}

/// upstream: validateContainerResourceName
pub fn container_resource_name(place: Cursor<'_>, name: &str, errs: &mut Errors) {
    resource_name(place, name, errs);
    if !name.contains('/') {
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !is_huge_page(name) {
            errs.invalid(place, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        errs.invalid(place, name, "doesn't follow extended resource name standard");
    }
}

/// upstream: validatePodResourceName
fn pod_resource_name(place: Cursor<'_>, name: &str, errs: &mut Errors) {
    if resource_name(place, name, errs) && !is_pod_level(name) {
        errs.not_supported(place, name, ["cpu", "hugepages-", "memory"]);
    }
}

/// upstream: IsExtendedResourceName
pub fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// upstream: ValidateResourceQuantityValue
pub fn quantity_value(place: impl Into<Path>, name: &str, quantity: &Quantity, errs: &mut Errors) {
    let place = place.into();
    let counted = matches!(
        name,
        "pods"
            | "resourcequotas"
            | "services"
            | "replicationcontrollers"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
            | "services.nodeports"
            | "services.loadbalancers"
    );
    if quantity.is_negative() {
        errs.invalid(&place, quantity.to_string(), NOT_NEGATIVE);
    }
    if (counted || is_extended(name)) && quantity.milli_value() % 1000 != 0 {
        errs.invalid(&place, quantity.to_string(), "must be an integer");
    }
}

/// upstream: IsHugePageResourceValueDivisible
fn is_divisible(name: &str, quantity: &Quantity) -> bool {
    let size = Quantity::parse(name.trim_start_matches("hugepages-")).unwrap_or_default();
    size > Quantity::default() && size.milli_value() % 1000 == 0 && quantity.value() % size.value() == 0
}

/// True if a spec asks for huge pages that do not add up to whole ones.
pub(super) fn has_broken_huge_pages(spec: Cursor<'_>) -> bool {
    let lists = super::all_containers(spec)
        .chain(std::iter::once(spec))
        .flat_map(|holder| ["limits", "requests"].map(|list| holder.field("resources").field(list)));
    lists
        .chain(std::iter::once(spec.field("overhead")))
        .flat_map(|list| list.map())
        .any(|(name, place)| is_huge_page(name) && !is_divisible(name, &quantity_of(place)))
}

type NameCheck = fn(Cursor<'_>, &str, &mut Errors);

/// What else to check of an entry of a list: its name and quantity.
type Relation<'a> = &'a dyn Fn(&str, &Quantity, &mut Errors);

/// One list of resources; says whether there are huge pages, and processors or memory, in it.
fn list(
    list: Cursor<'_>,
    check: NameCheck,
    relation: Relation<'_>,
    broken_huge_pages: bool,
    errs: &mut Errors,
) -> (bool, bool) {
    let (mut huge, mut compute) = (false, false);
    for (name, entry) in list.map() {
        let (place, quantity) = (list.key(name), quantity_of(entry));
        check(place, name, errs);
        quantity_value(place, name, &quantity, errs);
        relation(name, &quantity, errs);
        if is_huge_page(name) {
            huge = true;
            if !broken_huge_pages && !is_divisible(name, &quantity) {
                let why = format!("{quantity} is not positive integer multiple of {name}");
                errs.invalid(place, quantity.to_string(), why);
            }
        }
        compute |= matches!(name, "cpu" | "memory");
    }
    (huge, compute)
}

/// upstream: validateResourceRequirements
fn requirements(
    place: Cursor<'_>,
    check: NameCheck,
    claims: &BTreeSet<&str>,
    broken_huge_pages: bool,
    errs: &mut Errors,
) {
    let (limits, requests) = (place.field("limits"), place.field("requests"));
    let (limit_huge, limit_compute) = list(limits, check, &|_, _, _| {}, broken_huge_pages, errs);
    let within = |name: &str, quantity: &Quantity, errs: &mut Errors| within_limit(place, name, quantity, errs);
    let (request_huge, request_compute) = list(requests, check, &within, broken_huge_pages, errs);
    if (limit_huge || request_huge) && !limit_compute && !request_compute {
        errs.forbidden(place, "HugePages require cpu or memory");
    }
    claim_names(place.field("claims"), claims, errs);
}

/// A request and its limit.
fn within_limit(place: Cursor<'_>, name: &str, quantity: &Quantity, errs: &mut Errors) {
    let (limits, requests) = (place.field("limits"), place.field("requests"));
    let limit = limits.field(name);
    let over = |relation: &str| format!("must be {relation} {name} limit of {}", quantity_of(limit));
    if limit.exists() {
        let most = quantity_of(limit);
        if *quantity != most && !is_overcommit_allowed(name) {
            errs.invalid(requests, quantity.to_string(), over("equal to"));
        } else if *quantity > most {
            errs.invalid(requests, quantity.to_string(), over("less than or equal to"));
        }
    } else if !is_overcommit_allowed(name) {
        errs.required(limits, "Limit must be set for non overcommitable resources");
    }
}

/// Resources of one container.
pub(super) fn of_container(place: Cursor<'_>, scope: &Scope<'_>, errs: &mut Errors) {
    requirements(place, container_resource_name, &scope.claims, scope.rules.broken_huge_pages, errs);
}

/// Resource requirements of a container outside of a spec.
/// upstream: ValidateContainerResourceRequirements
pub fn container_resources(place: Cursor<'_>, errs: &mut Errors) {
    requirements(place, container_resource_name, &BTreeSet::new(), false, errs);
}

/// upstream: validateOverhead
pub(super) fn overhead(scope: &Scope<'_>, errs: &mut Errors) {
    let place = scope.spec.field("overhead");
    // Upstream checks them as limits, and tells the paths as such.
    let limits = place.field("limits").at(place.value());
    let (huge, compute) = list(limits, container_resource_name, &|_, _, _| {}, scope.rules.broken_huge_pages, errs);
    if huge && !compute {
        errs.forbidden(place, "HugePages require cpu or memory");
    }
}

/// Resources of the pod as a whole.
/// upstream: validatePodResources
pub(super) fn of_pod(scope: &Scope<'_>, errs: &mut Errors) {
    let (spec, place) = (scope.spec, scope.spec.field("resources"));
    if !place.exists() {
        return;
    }
    if scope.os() == Some("windows") {
        return errs.forbidden(place, "may not be set for a windows pod");
    }
    if place.field("claims").exists() {
        errs.forbidden(place.field("claims"), "claims may not be set for Resources at pod-level");
    }
    requirements(place, pod_resource_name, &scope.claims, scope.rules.broken_huge_pages, errs);
    let (limits, requests) = (place.field("limits"), place.field("requests"));
    for (list, kind, sums) in [
        (requests, "requests", aggregate(spec.value(), "requests")),
        (limits, "limits", aggregate(spec.value(), "limits")),
    ] {
        for (name, entry) in list.map().filter(|(name, _)| kind == "requests" || is_huge_page(name)) {
            let most = quantity_of(entry);
            if let Some(sum) = sums.get(name).filter(|sum| **sum > most) {
                let why = format!("must be greater than or equal to aggregate container {kind} of {sum}");
                errs.invalid(list.key(name), most.to_string(), why);
            }
        }
    }
    for (index, container) in spec.field("containers").list().enumerate() {
        for (name, entry) in container.field("resources").field("limits").map() {
            let (limit, most) = (quantity_of(entry), limits.field(name));
            if most.exists() && limit > quantity_of(most) {
                let path = place.field("containers").path().index(index).key(name).child("limits");
                let why = format!("must be less than or equal to pod limits of {}", quantity_of(most));
                errs.invalid(path, limit.to_string(), why);
            }
        }
    }
}

/// upstream: validateResourceClaimNames
fn claim_names(claims: Cursor<'_>, known: &BTreeSet<&str>, errs: &mut Errors) {
    let mut seen: HashSet<String> = HashSet::new();
    for claim in claims.list() {
        let (name, request) = (claim.field("name").str(), claim.field("request"));
        if name.is_empty() {
            errs.required(claim, "");
        } else if seen.contains(name) {
            errs.duplicate(claim, name);
        } else {
            none_or_named(request, names::dns1123_label, errs);
            let key = if request.is_empty() { name.to_owned() } else { format!("{name}/{}", request.str()) };
            if seen.contains(&key) {
                errs.duplicate(claim, &key);
            } else if request.is_empty() {
                let part = |other: &&String| other.split_once('/').is_some_and(|(claim, _)| claim == name);
                seen.iter().filter(part).for_each(|_| errs.duplicate(claim, name));
            }
            seen.insert(key);
        }
        if !name.is_empty() && !known.contains(name) {
            let list: Vec<&str> = known.iter().copied().collect();
            let mut error = apimachinery::field::Error::not_found(claim, name);
            error.detail = match list.is_empty() {
                true => "must be one of the names in pod.spec.resourceClaims which is empty".to_owned(),
                false => format!("must be one of the names in pod.spec.resourceClaims: {}", list.join(", ")),
            };
            errs.push(error);
        }
    }
}

/// upstream: validatePodResourceClaims
pub(super) fn claims(list: Cursor<'_>, meta: Cursor<'_>, errs: &mut Errors) {
    let mut seen = HashSet::new();
    for claim in list.list() {
        if meta.field("annotations").field("kubernetes.io/config.mirror").exists() {
            errs.forbidden("[]", "static pods do not support resource claims");
            continue;
        }
        let (name, one, template) =
            (claim.field("name"), claim.field("resourceClaimName"), claim.field("resourceClaimTemplateName"));
        if name.is_empty() {
            errs.required(name, "");
        } else if !seen.insert(name.str()) {
            errs.duplicate(name, name.str());
        } else {
            named(name, names::dns1123_label, errs);
        }
        match (one.exists(), template.exists()) {
            (true, true) => {
                let why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errs.invalid(claim, shown_struct(claim, "io.k8s.api.core.v1.PodResourceClaim"), why);
            }
            (false, false) => {
                let why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errs.invalid(claim, shown_struct(claim, "io.k8s.api.core.v1.PodResourceClaim"), why);
            }
            _ => {}
        }
        for reference in [one, template].into_iter().filter(|r| r.exists()) {
            named(reference, names::dns1123_subdomain, errs);
        }
    }
}
