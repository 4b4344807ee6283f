//! What may change about the status of a pod.
//! upstream: pkg/apis/core/validation/validation.go (ValidatePodStatusUpdate)

use std::collections::HashSet;
use std::net::IpAddr;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::{Cursor, Value};

use super::pod_updates::annotations;
use crate::registry::internal_json::shown_structs;
use crate::registry::validation::{immutable, legacy_ip, named, required};

const STATUSES: [&str; 3] = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];

/// upstream: ValidatePodStatusUpdate
pub fn change(pod: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    annotations(pod, old, errs);
    let (status, before, spec) = (pod.field("status"), old.field("status"), pod.field("spec"));
    conditions(status.field("conditions"), errs);
    let nominated = status.field("nominatedNodeName");
    if nominated.value() != before.field("nominatedNodeName").value() && !nominated.is_empty() {
        named(nominated, names::dns1123_subdomain, errs);
        if !old.field("spec").field("nodeName").is_empty() {
            errs.forbidden(nominated, "may not be set on pods that are already bound to a node");
        }
    }
    not_negative(status.field("observedGeneration"), errs);
    immutable(status.field("qosClass"), before.field("qosClass"), errs);
    ended_containers(status, old, errs);
    resource_claims(status.field("resourceClaimStatuses"), spec, errs);
    extended_claim(status.field("extendedResourceClaimStatus"), spec, errs);
    addresses(status.field("podIPs"), before.field("podIPs"), "io.k8s.api.core.v1.PodIP", errs);
    let hosts = status.field("hostIPs");
    let first = hosts.index(0).field("ip");
    if !hosts.is_empty() && first.str() != status.field("hostIP").str() {
        errs.invalid(first, first.str(), "must be equal to `hostIP`");
    }
    addresses(hosts, before.field("hostIPs"), "io.k8s.api.core.v1.HostIP", errs);
    for list in STATUSES {
        users(status.field(list), spec, errs);
    }
    allocated(status.field(STATUSES[0]), spec.field("containers"), errs);
    allocated(status.field(STATUSES[1]), spec.field("initContainers"), errs);
    for place in status.field(STATUSES[2]).list().map(|s| s.field("allocatedResourcesStatus")) {
        if !place.is_empty() {
            errs.forbidden(place, "must not be specified in container status");
        }
    }
}

fn not_negative(generation: Cursor<'_>, errs: &mut Errors) {
    if generation.i64() < 0 {
        errs.invalid(generation, generation.i64(), "must be a non-negative integer");
    }
}

fn conditions(list: Cursor<'_>, errs: &mut Errors) {
    for condition in list.list() {
        let kind = condition.field("type").str();
        not_negative(condition.field("observedGeneration"), errs);
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            // The path is upstream's, with its capital letter.
            errs.invalid_each(condition.field("Type"), kind, names::qualified_name(kind));
        }
    }
}

/// Addresses of both families, one of each.
fn addresses(list: Cursor<'_>, old: Cursor<'_>, type_name: &str, errs: &mut Errors) {
    let known = Value::List(old.value().items().iter().map(|entry| entry.get("ip").clone()).collect());
    for entry in list.list() {
        legacy_ip(entry.at(entry.field("ip").value()), Cursor::root(&known), errs);
    }
    let texts: Vec<&str> = list.list().map(|entry| entry.field("ip").str()).collect();
    let parsed: Vec<Option<IpAddr>> = texts.iter().map(|text| names::parse_ip_sloppy(text)).collect();
    if list.len() < 2 {
        return;
    }
    if let Some(broken) = parsed.iter().position(Option::is_none) {
        let why = format!("failed to check for dual stack with error:invalid IP[{broken}]: {}", texts[broken]);
        errs.internal(list, why);
    }
    let dual = parsed.iter().all(Option::is_some)
        && parsed.iter().flatten().any(IpAddr::is_ipv4)
        && parsed.iter().flatten().any(IpAddr::is_ipv6);
    if !dual || list.len() > 2 {
        errs.invalid(list, shown_structs(list, type_name), "may specify no more than one IP for each IP family");
    }
}

/// True if a container that ended with this code is started again.
/// upstream: pkg/api/v1/pod/util.go: ContainerShouldRestart
fn restarts(container: Cursor<'_>, spec: Cursor<'_>, code: i64) -> bool {
    let by_policy = |policy: &str| match policy {
        "OnFailure" => code != 0,
        policy => policy != "Never",
    };
    let own = container.field("restartPolicy");
    if !own.exists() {
        return by_policy(spec.field("restartPolicy").str());
    }
    let applies = |rule: &Cursor<'_>| {
        let codes = rule.field("exitCodes");
        let listed = codes.field("values").list().any(|value| value.i64() == code);
        matches!((codes.field("operator").str(), listed), ("In", true) | ("NotIn", false))
    };
    let rule = container.field("restartPolicyRules").list().find(applies);
    let restarted = rule.is_some_and(|r| matches!(r.field("action").str(), "Restart" | "RestartAllContainers"));
    restarted
        || match own.str() {
            own @ ("Always" | "OnFailure" | "Never") => by_policy(own),
            _ => by_policy(spec.field("restartPolicy").str()),
        }
}

/// Containers that ended and are not to start again stay ended.
/// upstream: ValidateContainerStateTransition and the like
fn ended_containers(status: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let spec = old.field("spec");
    let restarts_all = ["initContainers", "containers"]
        .iter()
        .flat_map(|list| spec.field(list).list())
        .flat_map(|container| container.field("restartPolicyRules").list())
        .any(|rule| rule.field("action").str() == "RestartAllContainers");
    for (kind, containers) in STATUSES.iter().zip(["containers", "initContainers", ""]) {
        if restarts_all && !containers.is_empty() {
            continue;
        }
        let list = status.field(kind);
        for (index, before) in old.value().path(&["status", kind]).items().iter().enumerate() {
            let (name, ended) = (before.get("name").str_or_empty(), before.path(&["state", "terminated"]));
            if ended.is_null() {
                continue;
            }
            let code = ended.get("exitCode").as_i64().unwrap_or(0);
            let container = spec.field(containers).list().find(|c| c.field("name").str() == name);
            let allowed = container.is_some_and(|container| restarts(container, spec, code));
            let revived = list.list().any(|status| {
                status.field("name").str() == name && !status.field("state").field("terminated").exists()
            });
            if revived && !allowed {
                let place = list.path().index(index).child("state");
                errs.forbidden(place, "may not be transitioned to non-terminated state");
            }
        }
    }
}

/// upstream: validatePodResourceClaimStatuses
fn resource_claims(list: Cursor<'_>, spec: Cursor<'_>, errs: &mut Errors) {
    let mut seen = HashSet::new();
    for status in list.list() {
        let (name, claim) = (status.field("name"), status.field("resourceClaimName"));
        if !spec.field("resourceClaims").list().any(|claim| claim.field("name").str() == name.str()) {
            errs.invalid(name, name.str(), "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name.str()) {
            errs.duplicate(name, name.str());
        }
        if claim.exists() {
            named(claim, names::dns1123_subdomain, errs);
        }
    }
}

/// upstream: validatePodExtendedResourceClaimStatus
fn extended_claim(status: Cursor<'_>, spec: Cursor<'_>, errs: &mut Errors) {
    const RESOURCE: &str = "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests";
    const CONTAINER: &str = "must match the name of an entry in spec.initContainers.name or spec.containers.name";
    if !status.exists() {
        return;
    }
    let mappings = status.field("requestMappings");
    if mappings.is_empty() {
        errs.required(mappings, "at least one request mapping is required");
    }
    let mut seen = HashSet::new();
    for mapping in mappings.list() {
        let (container, resource, request) =
            (mapping.field("containerName"), mapping.field("resourceName"), mapping.field("requestName"));
        let mut containers = ["containers", "initContainers"].iter().flat_map(|list| spec.field(list).list());
        match containers.find(|c| c.field("name").str() == container.str()) {
            None => errs.invalid(container, container.str(), CONTAINER),
            Some(c) if !c.field("resources").field("requests").key(resource.str()).exists() => {
                errs.invalid(resource, resource.str(), RESOURCE);
            }
            Some(_) => {}
        }
        // Upstream leaves the step to the mapping out of this path.
        let place = status.field("requestName");
        errs.invalid_each(place, request.str(), names::dns1123_label(request.str()));
        if !seen.insert([container, resource, request].map(|place| place.str())) {
            [container, resource, request].iter().for_each(|place| errs.duplicate(*place, place.str()));
        }
    }
    let name = status.field("resourceClaimName");
    if name.is_empty() {
        required(name, errs);
    } else {
        named(name, names::dns1123_subdomain, errs);
    }
}

/// upstream: validateContainerStatusUsers
fn users(list: Cursor<'_>, spec: Cursor<'_>, errs: &mut Errors) {
    for linux in list.list().map(|status| status.field("user").field("linux")).filter(|linux| linux.exists()) {
        match spec.field("os").field("name").opt_str() {
            Some("windows") => errs.forbidden(linux, "cannot be set for a windows pod"),
            None | Some("linux") => {
                let (user, group) = (linux.field("uid"), linux.field("gid"));
                errs.invalid_each(user, user.i64(), names::user_id(user.i64()));
                errs.invalid_each(group, group.i64(), names::group_id(group.i64()));
                for group in linux.field("supplementalGroups").list() {
                    errs.invalid_each(group, group.i64(), names::group_id(group.i64()));
                }
            }
            Some(_) => {}
        }
    }
}

/// upstream: validateContainerStatusAllocatedResourcesStatus
fn allocated(list: Cursor<'_>, containers: Cursor<'_>, errs: &mut Errors) {
    const CLAIM: &str = "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty";
    const REQUEST: &str = "must match one of the container's resource requests";
    for status in list.list() {
        let container = containers.list().find(|c| c.field("name").str() == status.field("name").str());
        for resource in status.field("allocatedResourcesStatus").list() {
            let name = resource.field("name");
            if let Some(resources) = container.map(|container| container.field("resources")) {
                let claimed = |claim: Cursor<'_>| match claim.field("request").str() {
                    "" => format!("claim:{}", claim.field("name").str()),
                    request => format!("claim:{}/{request}", claim.field("name").str()),
                };
                let is_claim = name.str().starts_with("claim:");
                let found = match is_claim {
                    true => resources.field("claims").list().any(|claim| claimed(claim) == name.str()),
                    false => resources.field("requests").key(name.str()).exists(),
                };
                if !found {
                    errs.invalid(name, name.str(), if is_claim { CLAIM } else { REQUEST });
                }
            }
            health(resource.field("resources"), errs);
        }
    }
}

fn health(list: Cursor<'_>, errs: &mut Errors) {
    const HEALTH: [&str; 3] = ["Healthy", "Unhealthy", "Unknown"];
    const LONGEST: usize = 1024;
    let mut seen = HashSet::new();
    for resource in list.list() {
        let (health, message, id) = (resource.field("health"), resource.field("message"), resource.field("resourceID"));
        if !HEALTH.contains(&health.str()) {
            errs.not_supported(health, health.str(), HEALTH);
        }
        if message.exists() && message.is_empty() {
            errs.required(message, "must be non-empty if specified");
        } else if message.str().len() > LONGEST {
            errs.too_long(message, LONGEST);
        }
        if !seen.insert(id.str()) {
            errs.duplicate(id, id.str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn statuses() {
        let old = r#"{"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}, "status": {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 1}}}]}}"#;
        let ended = r#""containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 1}}}]"#;
        let cases = [
            (format!("{{{ended}}}"), ""),
            (
                r#"{"containerStatuses": [{"name": "c", "state": {"running": {}}}]}"#.to_owned(),
                "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
            ),
            (
                format!(r#"{{{ended}, "conditions": [{{"type": "Ready", "observedGeneration": -1}}]}}"#),
                "status.conditions[0].observedGeneration: Invalid value: -1: must be a non-negative integer",
            ),
            (
                format!(r#"{{{ended}, "resourceClaimStatuses": [{{"name": "x"}}]}}"#),
                r#"status.resourceClaimStatuses[0].name: Invalid value: "x": must match the name of an entry in `spec.resourceClaims`"#,
            ),
            (
                format!(r#"{{{ended}, "podIPs": [{{"ip": "10.0.0.1"}}, {{"ip": "10.0.0.2"}}]}}"#),
                r#"status.podIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"10.0.0.2"}]: may specify no more than one IP for each IP family"#,
            ),
        ];
        let old = value(old);
        for (status, expected) in cases {
            let mut new = old.clone();
            new.set("status", value(&status));
            let mut errs = Errors::new();
            change(Cursor::root(&new), Cursor::root(&old), &mut errs);
            assert_eq!(errs.to_aggregate(), expected, "{status}");
        }
    }
}
