//! Pure: (Service, pods, nodes, existing slices) → slices to create, update and delete.
//!
//! Slices that need no change stay as they are; changed ones are filled up first, then others that have room, then new ones
//! are made. Upstream: staging/src/k8s.io/endpointslice/{reconciler.go,utils.go,trafficdist}.

use std::collections::BTreeMap;
use std::sync::Arc;

use component_base::informer::Object as _;
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::services::{self, HEADLESS_LABEL};
use crate::{api, pods};

pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";
const RESERVED_LABELS: [&str; 3] = [SERVICE_NAME, MANAGED_BY, HEADLESS_LABEL];

/// What to do.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<EndpointSlice>,
    /// Pods left out because their node is unknown: the Service is to be tried again.
    pub(super) without_node: Vec<String>,
}

/// What is there.
pub(super) struct Observed<'a> {
    pub(super) service: &'a Service,
    /// Pods that the selector matches.
    pub(super) pods: &'a [Arc<Pod>],
    /// Slices of the Service that this controller manages.
    pub(super) slices: &'a [Arc<EndpointSlice>],
    /// Zone (may be empty) of a node; None if the node is unknown.
    pub(super) zone_of: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// Most endpoints in a slice.
    pub(super) max: usize,
}

/// Identity of an endpoint: whether it is the same one, though its conditions differ.
type EndpointKey = (Vec<String>, Option<String>, Option<String>, Option<String>);

fn key_of(endpoint: &Endpoint) -> EndpointKey {
    let target = endpoint.target_ref.as_ref();
    let mut addresses = endpoint.addresses.clone();
    addresses.sort();
    (
        addresses,
        endpoint.hostname.clone(),
        target.and_then(|target| target.namespace.clone()),
        target.and_then(|target| target.name.clone()),
    )
}

type PortsKey = Vec<(Option<String>, Option<i32>, Option<String>, Option<String>)>;

fn ports_key(ports: Option<&Vec<EndpointPort>>) -> PortsKey {
    let one = |port: &EndpointPort| {
        (port.name.clone().filter(|name| !name.is_empty()), port.port, port.protocol.clone(), port.app_protocol.clone())
    };
    let mut keys: PortsKey = ports.into_iter().flatten().map(one).collect();
    keys.sort();
    keys
}

/// Endpoints that want to be in slices with the same ports.
struct Group {
    ports: Vec<EndpointPort>,
    wanted: BTreeMap<EndpointKey, Endpoint>,
}

/// Plans all address families of a Service.
pub(super) fn plan(observed: &Observed<'_>) -> Plan {
    let families = families(observed.service);
    let mut plan = Plan::default();
    for slice in observed.slices {
        if !families.contains(&slice.address_type.as_str()) {
            plan.delete.push((**slice).clone());
        }
    }
    for family in families {
        let mut one = plan_family(observed, family);
        reuse_deleted(observed.service, &mut one);
        plan.create.append(&mut one.create);
        plan.update.append(&mut one.update);
        plan.delete.append(&mut one.delete);
        plan.without_node.append(&mut one.without_node);
    }
    if observed.service.is_deleting() {
        plan.create.clear();
    }
    plan
}

fn families(service: &Service) -> Vec<&'static str> {
    let spec = service.spec.as_ref();
    let listed = spec.and_then(|spec| spec.ip_families.as_ref()).into_iter().flatten();
    let known: Vec<&'static str> = listed
        .filter_map(|family| match family.as_str() {
            "IPv4" => Some("IPv4"),
            "IPv6" => Some("IPv6"),
            _ => None,
        })
        .collect();
    if !known.is_empty() {
        return known;
    }
    match spec.and_then(|spec| spec.cluster_ip.as_deref()).filter(|address| !address.is_empty() && *address != "None") {
        Some(address) if address.contains(':') => vec!["IPv6"],
        Some(_) => vec!["IPv4"],
        None => vec!["IPv4", "IPv6"],
    }
}

fn is_owned(slice: &EndpointSlice, service: &Service) -> bool {
    slice.metadata.owner_references.iter().flatten().any(|owner| owner.uid == service.uid() && owner.kind == "Service")
}

fn plan_family(observed: &Observed<'_>, family: &'static str) -> Plan {
    let service = observed.service;
    let mut plan = Plan::default();
    let mut existing: BTreeMap<PortsKey, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    let mut untouched: Vec<EndpointSlice> = Vec::new();
    let of_family: Vec<&Arc<EndpointSlice>> =
        observed.slices.iter().filter(|slice| slice.address_type == family).collect();
    for slice in &of_family {
        if is_owned(slice, service) {
            existing.entry(ports_key(slice.ports.as_ref())).or_default().push(Arc::clone(slice));
        } else {
            plan.delete.push((***slice).clone());
        }
    }
    let groups = group_pods(observed, family, &mut plan.without_node);
    for (ports, group) in groups {
        let slices = existing.remove(&ports).unwrap_or_default();
        fit_group(observed, family, group, &slices, &mut plan, &mut untouched);
    }
    plan.delete.extend(existing.into_values().flatten().map(|slice| (*slice).clone()));
    if of_family.len() == plan.delete.len() && plan.create.is_empty() {
        keep_placeholder(service, family, &mut plan);
    }
    apply_hints(service, &mut plan, untouched);
    plan
}

/// A Service without endpoints has one empty slice.
fn keep_placeholder(service: &Service, family: &str, plan: &mut Plan) {
    let placeholder = new_slice(service, family, Vec::new());
    let same = |slice: &EndpointSlice| {
        slice.endpoints.as_ref().is_none_or(Vec::is_empty)
            && slice.ports.as_ref().is_none_or(Vec::is_empty)
            && slice.metadata.labels == placeholder.metadata.labels
            && is_owned(slice, service)
    };
    match plan.delete.as_slice() {
        [only] if same(only) => plan.delete.clear(),
        _ => plan.create.push(placeholder),
    }
}

fn group_pods(observed: &Observed<'_>, family: &str, without_node: &mut Vec<String>) -> BTreeMap<PortsKey, Group> {
    let publish_all = observed.service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false);
    let mut groups: BTreeMap<PortsKey, Group> = BTreeMap::new();
    for pod in observed.pods.iter().filter(|pod| services::may_be_endpoint(pod, true)) {
        let ports = ports_of(observed.service, pod);
        let group = groups.entry(ports_key(Some(&ports))).or_insert_with(|| Group { ports, wanted: BTreeMap::new() });
        let zone = (observed.zone_of)(pods::node(pod));
        if zone.is_none() && !publish_all {
            without_node.push(pod.name().to_owned());
            continue;
        }
        let endpoint = endpoint_of(observed.service, pod, zone.unwrap_or_default(), family == "IPv6", publish_all);
        if !endpoint.addresses.is_empty() {
            group.wanted.insert(key_of(&endpoint), endpoint);
        }
    }
    groups
}

fn ports_of(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    ports
        .filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(services::target_port(pod, port)?),
                protocol: port.protocol.clone().or_else(|| Some("TCP".to_owned())),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect()
}

fn endpoint_of(service: &Service, pod: &Pod, zone: String, ipv6: bool, publish_all: bool) -> Endpoint {
    let serving = pods::is_ready(pod);
    let terminating = pod.is_deleting();
    Endpoint {
        addresses: services::addresses(pod, ipv6),
        conditions: Some(EndpointConditions {
            ready: Some(publish_all || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        node_name: Some(pods::node(pod).to_owned()).filter(|node| !node.is_empty()),
        zone: Some(zone).filter(|zone| !zone.is_empty()),
        hostname: services::hostname(pod, service),
        hints: None,
        deprecated_topology: None,
    }
}

fn without_hints(endpoint: &Endpoint) -> Endpoint {
    Endpoint { hints: None, ..endpoint.clone() }
}

fn fit_group(
    observed: &Observed<'_>,
    family: &str,
    mut group: Group,
    slices: &[Arc<EndpointSlice>],
    plan: &mut Plan,
    untouched: &mut Vec<EndpointSlice>,
) {
    let labels = labels_for(observed.service);
    let mut changed: Vec<EndpointSlice> = Vec::new();
    let mut unchanged: Vec<EndpointSlice> = Vec::new();
    for slice in slices {
        let endpoints = slice.endpoints.clone().unwrap_or_default();
        let mut kept = Vec::new();
        let mut differs = false;
        for endpoint in &endpoints {
            if let Some(wanted) = group.wanted.remove(&key_of(endpoint)) {
                differs |= without_hints(endpoint) != wanted;
                // Hints are put back at the end, so that a slice whose hints stay the same stays the same.
                kept.push(Endpoint { hints: endpoint.hints.clone(), ..wanted });
            }
        }
        let relabelled = slice.metadata.labels.as_ref() != Some(&labels);
        let mut slice = (**slice).clone();
        slice.metadata.labels = Some(labels.clone());
        if (differs || kept.len() != endpoints.len()) && kept.is_empty() {
            plan.delete.push(slice);
        } else if differs || kept.len() != endpoints.len() || relabelled {
            slice.endpoints = Some(kept);
            changed.push(slice);
        } else {
            unchanged.push(slice);
        }
    }
    place(observed, family, group, &mut changed, &mut unchanged, plan);
    plan.update.extend(changed);
    untouched.extend(unchanged);
}

/// Finds a place for the endpoints that are in no slice yet.
fn place(
    observed: &Observed<'_>,
    family: &str,
    group: Group,
    changed: &mut Vec<EndpointSlice>,
    unchanged: &mut Vec<EndpointSlice>,
    plan: &mut Plan,
) {
    let mut left: Vec<Endpoint> = group.wanted.into_values().collect();
    let count = |slice: &EndpointSlice| slice.endpoints.as_ref().map_or(0, Vec::len);
    if !changed.is_empty() {
        // Fullest first: fewest slices stay half full.
        changed.sort_by_key(|slice| std::cmp::Reverse(count(slice)));
        for slice in changed.iter_mut() {
            let room = observed.max.saturating_sub(count(slice)).min(left.len());
            slice.endpoints.get_or_insert_default().extend(left.drain(..room));
        }
    }
    while !left.is_empty() {
        let size = left.len().min(observed.max);
        let mut target = None;
        if left.len() < observed.max {
            let fits = |slice: &&EndpointSlice| count(slice) + left.len() <= observed.max;
            let best =
                unchanged.iter().filter(fits).max_by_key(|slice| count(slice)).map(|slice| slice.name().to_owned());
            target = best.and_then(|name| unchanged.iter().position(|slice| slice.name() == name));
        }
        match target {
            Some(index) => {
                let mut slice = unchanged.remove(index);
                slice.endpoints.get_or_insert_default().append(&mut left);
                changed.push(slice);
            }
            None => {
                let mut slice = new_slice(observed.service, family, group.ports.clone());
                slice.endpoints = Some(left.drain(..size).collect());
                plan.create.push(slice);
            }
        }
    }
}

/// Turns a creation and a deletion into one update.
fn reuse_deleted(service: &Service, plan: &mut Plan) {
    let mut index = 0;
    while index < plan.delete.len() && !plan.create.is_empty() {
        if !is_owned(&plan.delete[index], service) {
            index += 1;
            continue;
        }
        let old = plan.delete.remove(index);
        if let Some(mut slice) = plan.create.pop() {
            slice.metadata.name = old.metadata.name;
            slice.metadata.generate_name = old.metadata.generate_name;
            slice.metadata.resource_version = old.metadata.resource_version;
            slice.metadata.uid = old.metadata.uid;
            plan.update.push(slice);
        }
    }
}

fn new_slice(service: &Service, family: &str, ports: Vec<EndpointPort>) -> EndpointSlice {
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", service.name())),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels_for(service)),
            owner_references: Some(vec![api::controller_reference(service)]),
            ..ObjectMeta::default()
        },
        address_type: family.to_owned(),
        endpoints: Some(Vec::new()),
        ports: Some(ports),
    }
}

fn labels_for(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.retain(|key, _| !RESERVED_LABELS.contains(&key.as_str()));
    if services::is_headless(service) {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.name().to_owned());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

/// Sets or clears the hints of all slices; an untouched slice whose hints change is updated.
fn apply_hints(service: &Service, plan: &mut Plan, untouched: Vec<EndpointSlice>) {
    let distribution = service.spec.as_ref().and_then(|spec| spec.traffic_distribution.as_deref());
    for slice in plan.create.iter_mut().chain(plan.update.iter_mut()) {
        set_hints(slice, distribution);
    }
    for mut slice in untouched {
        if set_hints(&mut slice, distribution) {
            plan.update.push(slice);
        }
    }
}

fn set_hints(slice: &mut EndpointSlice, distribution: Option<&str>) -> bool {
    let mut changed = false;
    for endpoint in slice.endpoints.iter_mut().flatten() {
        let hints = hints_for(endpoint, distribution);
        changed |= endpoint.hints != hints;
        endpoint.hints = hints;
    }
    changed
}

fn hints_for(endpoint: &Endpoint, distribution: Option<&str>) -> Option<EndpointHints> {
    let is_ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true);
    if !is_ready {
        return None;
    }
    let zones = endpoint.zone.clone().map(|name| vec![ForZone { name }]);
    let nodes = endpoint.node_name.clone().map(|name| vec![ForNode { name }]);
    match distribution {
        Some("PreferClose" | "PreferSameZone") => {
            zones.map(|zones| EndpointHints { for_zones: Some(zones), for_nodes: None })
        }
        Some("PreferSameNode") => nodes.map(|nodes| EndpointHints { for_nodes: Some(nodes), for_zones: zones }),
        _ => None,
    }
}
