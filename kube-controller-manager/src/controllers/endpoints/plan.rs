//! Pure: the subsets of a Service's Endpoints (upstream: pkg/controller/endpoint, pkg/api/v1/endpoints).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, ObjectReference, Pod, Service, ServicePort,
};

use crate::{pods, services};

/// Most addresses in one Endpoints object.
const CAPACITY: usize = 1000;

type PortKey = (String, i32, String, Option<String>);
/// Address and UID of its pod.
type AddressKey = (String, String);
/// An address with the ports that it serves.
type Served = (EndpointAddress, BTreeSet<PortKey>);

/// Subsets for a Service and the pods that its selector matches.
pub(super) fn subsets(service: &Service, matching: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let spec = service.spec.clone().unwrap_or_default();
    let publish_all = spec.publish_not_ready_addresses.unwrap_or(false);
    let ports = spec.ports.unwrap_or_default();
    let mut single = Vec::new();
    for pod in matching.iter().filter(|pod| services::may_be_endpoint(pod, publish_all)) {
        let Some(address) = address_of(service, pod) else { continue };
        let is_ready = publish_all || pods::is_ready(pod);
        if ports.is_empty() {
            if spec.cluster_ip.as_deref() == Some("None") {
                single.push(subset(address, None, is_ready));
            }
            continue;
        }
        for port in &ports {
            if let Some(number) = services::target_port(pod, port) {
                single.push(subset(address.clone(), Some(endpoint_port(port, number)), is_ready));
            }
        }
    }
    repack(&single)
}

fn endpoint_port(port: &ServicePort, number: i32) -> EndpointPort {
    EndpointPort {
        name: port.name.clone().filter(|name| !name.is_empty()),
        port: number,
        protocol: port.protocol.clone().or_else(|| Some("TCP".to_owned())),
        app_protocol: port.app_protocol.clone(),
    }
}

fn subset(address: EndpointAddress, port: Option<EndpointPort>, is_ready: bool) -> EndpointSubset {
    let (ready, not_ready) = if is_ready { (Some(vec![address]), None) } else { (None, Some(vec![address])) };
    EndpointSubset { addresses: ready, not_ready_addresses: not_ready, ports: port.map(|port| vec![port]) }
}

fn address_of(service: &Service, pod: &Pod) -> Option<EndpointAddress> {
    let spec = service.spec.as_ref();
    let family = spec.and_then(|spec| spec.ip_families.as_ref()).and_then(|families| families.first());
    let ipv6 = match family {
        Some(family) => family == "IPv6",
        None => spec.and_then(|spec| spec.cluster_ip.as_deref()).is_some_and(|address| address.contains(':')),
    };
    Some(EndpointAddress {
        ip: services::addresses(pod, ipv6).into_iter().next()?,
        hostname: services::hostname(pod, service),
        node_name: Some(pods::node(pod).to_owned()).filter(|node| !node.is_empty()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
    })
}

fn port_key(port: &EndpointPort) -> PortKey {
    (
        port.name.clone().unwrap_or_default(),
        port.port,
        port.protocol.clone().unwrap_or_default(),
        port.app_protocol.clone(),
    )
}

fn address_key(address: &EndpointAddress) -> AddressKey {
    let uid = address.target_ref.as_ref().and_then(|target| target.uid.clone());
    (address.ip.clone(), uid.unwrap_or_default())
}

/// The canonical form: addresses with the same ports share a subset; everything in order. An address that is ready and
/// not ready for the same port counts as not ready.
pub(super) fn repack(subsets: &[EndpointSubset]) -> Vec<EndpointSubset> {
    let mut ports: BTreeMap<PortKey, EndpointPort> = BTreeMap::new();
    let mut by_address: BTreeMap<(AddressKey, bool), Served> = BTreeMap::new();
    for subset in subsets {
        let keys: Vec<PortKey> = subset.ports.iter().flatten().map(port_key).collect();
        for port in subset.ports.iter().flatten() {
            ports.insert(port_key(port), port.clone());
        }
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        for (address, is_ready) in
            ready.chain(subset.not_ready_addresses.iter().flatten().map(|address| (address, false)))
        {
            let entry = by_address
                .entry((address_key(address), is_ready))
                .or_insert_with(|| (address.clone(), BTreeSet::new()));
            entry.1.extend(keys.iter().cloned());
        }
    }
    let mut by_ports: BTreeMap<Vec<PortKey>, (Vec<EndpointAddress>, Vec<EndpointAddress>)> = BTreeMap::new();
    for ((key, is_ready), (address, keys)) in &by_address {
        let unready: BTreeSet<PortKey> = if *is_ready {
            by_address.get(&(key.clone(), false)).map(|(_, keys)| keys.clone()).unwrap_or_default()
        } else {
            BTreeSet::new()
        };
        let kept: Vec<PortKey> = keys.difference(&unready).cloned().collect();
        if kept.is_empty() && !keys.is_empty() {
            continue;
        }
        let (ready, not_ready) = by_ports.entry(kept).or_default();
        if *is_ready { ready.push(address.clone()) } else { not_ready.push(address.clone()) }
    }
    let some = |list: Vec<EndpointAddress>| (!list.is_empty()).then_some(list);
    by_ports
        .into_iter()
        .map(|(keys, (ready, not_ready))| EndpointSubset {
            addresses: some(ready),
            not_ready_addresses: some(not_ready),
            ports: (!keys.is_empty()).then(|| keys.iter().filter_map(|key| ports.get(key).cloned()).collect()),
        })
        .collect()
}

/// Cuts to the capacity, ready addresses kept first, in proportion over the subsets; tells whether it had to.
pub(super) fn truncate(subsets: &mut [EndpointSubset]) -> bool {
    let ready: usize = subsets.iter().flat_map(|subset| &subset.addresses).map(Vec::len).sum();
    let not_ready: usize = subsets.iter().flat_map(|subset| &subset.not_ready_addresses).map(Vec::len).sum();
    if ready + not_ready <= CAPACITY {
        return false;
    }
    let cut_ready = ready > CAPACITY;
    let (room, total) = if cut_ready { (CAPACITY, ready) } else { (CAPACITY - ready, not_ready) };
    let mut left = room;
    for subset in subsets {
        let list = if cut_ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        if let Some(addresses) = list {
            let share = (addresses.len() * room).div_ceil(total.max(1)).min(left);
            addresses.truncate(share);
            left -= addresses.len();
        }
        if cut_ready {
            subset.not_ready_addresses = None;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(ip: &str) -> EndpointAddress {
        EndpointAddress { ip: ip.into(), ..EndpointAddress::default() }
    }

    fn port(number: i32) -> EndpointPort {
        EndpointPort { port: number, ..EndpointPort::default() }
    }

    fn one(ip: &str, number: i32, is_ready: bool) -> EndpointSubset {
        subset(address(ip), Some(port(number)), is_ready)
    }

    fn describe(subsets: &[EndpointSubset]) -> Vec<String> {
        let ips = |list: &Option<Vec<EndpointAddress>>| {
            list.iter().flatten().map(|address| address.ip.clone()).collect::<Vec<_>>().join(",")
        };
        let ports = |subset: &EndpointSubset| {
            subset.ports.iter().flatten().map(|port| port.port.to_string()).collect::<Vec<_>>().join(",")
        };
        subsets
            .iter()
            .map(|subset| format!("{}|{}:{}", ips(&subset.addresses), ips(&subset.not_ready_addresses), ports(subset)))
            .collect()
    }

    #[test]
    fn addresses_with_the_same_ports_share_a_subset() {
        let packed = repack(&[
            one("2", 80, true),
            one("1", 80, true),
            one("1", 443, true),
            one("2", 443, true),
            one("3", 80, true),
        ]);
        assert_eq!(describe(&packed), ["3|:80", "1,2|:80,443"]);
        assert_eq!(repack(&packed), packed);
        let packed = repack(&[one("1", 80, true), one("2", 80, false)]);
        assert_eq!(describe(&packed), ["1|2:80"]);
        let packed = repack(&[one("1", 80, true), one("1", 80, false)]);
        assert_eq!(describe(&packed), ["|1:80"]);
    }

    #[test]
    fn too_many_are_cut() {
        let many: Vec<EndpointAddress> = (0..1500).map(|number| address(&number.to_string())).collect();
        let mut subsets =
            [EndpointSubset { addresses: Some(many), not_ready_addresses: Some(vec![address("x")]), ports: None }];
        assert!(truncate(&mut subsets));
        assert_eq!(subsets[0].addresses.as_ref().map(Vec::len), Some(1000));
        assert_eq!(subsets[0].not_ready_addresses, None);
        assert!(!truncate(&mut subsets));
    }
}
