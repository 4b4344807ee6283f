//! Folds service and endpoint slice events into the current state of one family and remembers what changed. Pure.
//! upstream: pkg/proxy/{servicechangetracker,endpointschangetracker,endpointslicecache}.go

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use component_base::informer::ObjectKey;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1 as discovery;

use crate::model::{Endpoint, Family, PortName, Protocol, ServicePort, service_ports};

const SERVICE_NAME: &str = "kubernetes.io/service-name";

type SliceEndpoints = Vec<(PortName, Endpoint)>;

/// What changed since the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Services whose ports or endpoints changed.
    pub services: BTreeSet<ObjectKey>,
    /// Endpoints of some UDP port changed: connection tracking may hold entries to endpoints that are gone.
    pub udp: bool,
}

impl Changes {
    /// Adds changes that were taken but not applied.
    pub fn merge(&mut self, other: Self) {
        self.services.extend(other.services);
        self.udp |= other.udp;
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && !self.udp
    }
}

/// Services and endpoints of one family.
#[derive(Debug)]
pub struct Tracker {
    family: Family,
    node_name: String,
    services: BTreeMap<PortName, ServicePort>,
    slices: BTreeMap<ObjectKey, BTreeMap<String, SliceEndpoints>>,
    endpoints: BTreeMap<PortName, Vec<Endpoint>>,
    changes: Changes,
}

impl Tracker {
    /// An empty tracker for a node.
    pub fn new(family: Family, node_name: &str) -> Self {
        Self {
            family,
            node_name: node_name.to_owned(),
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            changes: Changes::default(),
        }
    }

    /// The family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// All service ports in the order of their names.
    pub fn services(&self) -> &BTreeMap<PortName, ServicePort> {
        &self.services
    }

    /// Endpoints of a service port, sorted by their text.
    pub fn endpoints(&self, name: &PortName) -> &[Endpoint] {
        self.endpoints.get(name).map_or(&[], Vec::as_slice)
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// A service appeared, changed or went; tells whether that matters.
    pub fn set_service(&mut self, key: &ObjectKey, service: Option<&Service>) -> bool {
        let new: BTreeMap<_, _> =
            service.map(|s| service_ports(s, self.family)).unwrap_or_default().into_iter().collect();
        let own = |(name, _): &(&PortName, &ServicePort)| name.service == *key;
        if self.services.iter().filter(own).eq(new.iter()) {
            return false;
        }
        let udp = |ports: &BTreeMap<PortName, ServicePort>| {
            ports.keys().any(|name| name.service == *key && name.protocol == Protocol::Udp)
        };
        self.changes.udp |= udp(&self.services) || udp(&new);
        self.services.retain(|name, _| name.service != *key);
        self.services.extend(new);
        self.changes.services.insert(key.clone());
        true
    }

    /// A slice appeared, changed or went; tells whether that matters.
    pub fn set_slice(&mut self, slice: &discovery::EndpointSlice, gone: bool) -> bool {
        let family = match slice.address_type.as_str() {
            "IPv4" => Family::V4,
            "IPv6" => Family::V6,
            _ => return false,
        };
        let labels = slice.metadata.labels.as_ref();
        let service = labels.and_then(|l| l.get(SERVICE_NAME)).filter(|name| !name.is_empty());
        let (Some(service), true) = (service, family == self.family) else { return false };
        let key = ObjectKey::new(slice.metadata.namespace.as_deref().unwrap_or_default(), service);
        let name = slice.metadata.name.clone().unwrap_or_default();
        let new = if gone { None } else { Some(self.compile(&key, slice)) };
        let slices = self.slices.entry(key.clone()).or_default();
        if slices.get(&name) == new.as_ref() {
            return false;
        }
        match new {
            Some(new) => drop(slices.insert(name, new)),
            None => drop(slices.remove(&name)),
        }
        if slices.is_empty() {
            self.slices.remove(&key);
        }
        self.merge_slices(&key);
        true
    }

    fn compile(&self, service: &ObjectKey, slice: &discovery::EndpointSlice) -> SliceEndpoints {
        let mut compiled = Vec::new();
        for port in slice.ports.as_deref().unwrap_or_default() {
            let (Some(name), Some(number)) =
                (&port.name, port.port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0))
            else {
                continue;
            };
            let protocol = Protocol::parse(port.protocol.as_deref());
            let name = PortName { service: service.clone(), port: name.clone(), protocol };
            let endpoints = slice.endpoints.iter().flatten().filter_map(|e| self.endpoint(e, number));
            compiled.extend(endpoints.map(|endpoint| (name.clone(), endpoint)));
        }
        compiled
    }

    fn endpoint(&self, raw: &discovery::Endpoint, port: u16) -> Option<Endpoint> {
        let ip: IpAddr = raw.addresses.first()?.parse().ok()?;
        let conditions = raw.conditions.as_ref();
        let hints = raw.hints.as_ref();
        let names = |list: Option<Vec<String>>| list.unwrap_or_default().into_iter().collect();
        Some(Endpoint {
            address: SocketAddr::new(ip, port),
            local: !self.node_name.is_empty() && raw.node_name.as_deref() == Some(&self.node_name),
            ready: conditions.and_then(|c| c.ready).unwrap_or(true),
            serving: conditions.and_then(|c| c.serving).unwrap_or(true),
            terminating: conditions.and_then(|c| c.terminating).unwrap_or(false),
            zones: names(hints.and_then(|h| Some(h.for_zones.as_ref()?.iter().map(|z| z.name.clone()).collect()))),
            nodes: names(hints.and_then(|h| Some(h.for_nodes.as_ref()?.iter().map(|n| n.name.clone()).collect()))),
        })
    }

    /// Rebuilds the endpoints of a service from its slices: an address counts once, and not as terminating if any slice
    /// says that it is not.
    fn merge_slices(&mut self, key: &ObjectKey) {
        let mut merged: BTreeMap<PortName, BTreeMap<String, Endpoint>> = BTreeMap::new();
        for (name, endpoint) in self.slices.get(key).into_iter().flat_map(BTreeMap::values).flatten() {
            let known = merged.entry(name.clone()).or_default();
            let text = endpoint.address.to_string();
            if !endpoint.terminating || !known.contains_key(&text) {
                known.insert(text, endpoint.clone());
            }
        }
        let old_udp = self.endpoints.keys().any(|n| n.service == *key && n.protocol == Protocol::Udp);
        let new_udp = merged.keys().any(|n| n.protocol == Protocol::Udp);
        self.changes.udp |= old_udp || new_udp;
        self.endpoints.retain(|name, _| name.service != *key);
        self.endpoints.extend(merged.into_iter().map(|(name, set)| (name, set.into_values().collect())));
        self.changes.services.insert(key.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{service, slice};

    #[test]
    fn merges_slices_and_reports_what_changed() {
        let mut tracker = Tracker::new(Family::V4, "n1");
        let s = service("ns/s", "10.0.0.1", "ports: [{name: p, port: 80}]");
        assert!(tracker.set_service(&ObjectKey::new("ns", "s"), Some(&s)));
        assert!(!tracker.set_service(&ObjectKey::new("ns", "s"), Some(&s)));
        let a = slice("ns/s-a", "s", "p", 8080, "[{addresses: [10.1.0.2], nodeName: n1}, {addresses: [10.1.0.1]}]");
        let b =
            slice("ns/s-b", "s", "p", 8080, "[{addresses: [10.1.0.1], conditions: {ready: false, terminating: true}}]");
        assert!(tracker.set_slice(&a, false) && tracker.set_slice(&b, false));
        assert!(!tracker.set_slice(&b, false));
        assert_eq!(tracker.take_changes().services.len(), 1);
        let name = tracker.services().keys().next().unwrap().clone();
        let found: Vec<_> =
            tracker.endpoints(&name).iter().map(|e| (e.address.to_string(), e.local, e.ready)).collect();
        assert_eq!(found, [("10.1.0.1:8080".to_owned(), false, true), ("10.1.0.2:8080".to_owned(), true, true)]);
        assert!(tracker.set_slice(&a, true));
        assert!(tracker.endpoints(&name)[0].terminating);
        assert!(tracker.set_slice(&b, true));
        assert!(tracker.endpoints(&name).is_empty() && tracker.slices.is_empty());
        assert!(!tracker.take_changes().udp);
    }

    #[test]
    fn udp_changes_ask_for_conntrack_clean_up() {
        let mut tracker = Tracker::new(Family::V4, "n1");
        let s = service("ns/dns", "10.0.0.10", "ports: [{name: dns, port: 53, protocol: UDP}]");
        tracker.set_service(&ObjectKey::new("ns", "dns"), Some(&s));
        assert!(tracker.take_changes().udp);
    }
}
