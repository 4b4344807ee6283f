//! Policy, decided once for every backend: which endpoints each kind of traffic of each service port may use. Pure.
//! upstream: pkg/proxy/topology.go (CategorizeEndpoints) and the decisions in pkg/proxy/iptables/proxier.go

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use component_base::informer::ObjectKey;

use crate::model::{Endpoint, Family, PortName, ServicePort};
use crate::tracker::Tracker;

/// Above so many endpoints rules are written without comments and full syncs are avoided.
const LARGE_CLUSTER_ENDPOINTS: usize = 1000;

/// What the plan needs to know of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its address in the plan's family.
    pub ip: IpAddr,
    /// Label topology.kubernetes.io/zone; empty when absent.
    pub zone: String,
}

/// Which endpoints a kind of traffic uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Those anywhere in the cluster.
    Cluster,
    /// Those on this node.
    Local,
}

/// What happens to packets for a service port when no endpoint may take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There are endpoints, but none on this node: silence, so that the client tries another node.
    Drop,
    /// There are no endpoints at all: an ICMP error at once.
    Reject,
}

/// The decisions for one service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePlan {
    /// Its name.
    pub name: PortName,
    /// The port.
    pub port: ServicePort,
    /// Endpoints for traffic with policy Cluster.
    pub cluster: Vec<Endpoint>,
    /// Endpoints for traffic with policy Local.
    pub local: Vec<Endpoint>,
    /// Endpoints that either policy uses.
    pub reachable: Vec<Endpoint>,
    /// Somewhere there are endpoints.
    pub has_endpoints: bool,
    /// Policy of traffic to the cluster IP.
    pub internal: Policy,
    /// Policy of traffic from outside.
    pub external: Policy,
    /// Why traffic to the cluster IP is refused; `None` when it is not.
    pub internal_refusal: Option<Refusal>,
    /// Why traffic from outside is refused; `None` when it is not.
    pub external_refusal: Option<Refusal>,
    /// Clients of the load balancer addresses are restricted.
    pub firewalled: bool,
}

impl ServicePlan {
    /// Some traffic is spread over cluster endpoints.
    pub fn uses_cluster(&self) -> bool {
        !self.cluster.is_empty() && self.port.uses_cluster_endpoints()
    }

    /// Some traffic is spread over local endpoints.
    pub fn uses_local(&self) -> bool {
        !self.local.is_empty() && self.port.uses_local_endpoints()
    }

    /// Traffic from outside has rules of its own.
    pub fn uses_external(&self) -> bool {
        self.has_endpoints && self.port.externally_accessible()
    }
}

/// The decisions for all service ports of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The family.
    pub family: Family,
    /// In the order of names.
    pub services: Vec<ServicePlan>,
    /// Endpoints of all services.
    pub endpoints: usize,
    /// The cluster is large (see upstream's large cluster mode).
    pub large: bool,
}

impl Plan {
    /// Health check node ports by service.
    pub fn health_check_ports(&self) -> BTreeMap<ObjectKey, u16> {
        let with = self.services.iter().filter(|s| s.port.health_check_node_port != 0);
        with.map(|s| (s.name.service.clone(), s.port.health_check_node_port)).collect()
    }

    /// How many ports have no local endpoints though their policy asks for such: for internal and for external traffic.
    pub fn without_local_endpoints(&self) -> (usize, usize) {
        let dropped = |refusal: fn(&ServicePlan) -> Option<Refusal>| {
            self.services.iter().filter(|s| refusal(s) == Some(Refusal::Drop)).count()
        };
        (dropped(|s| s.internal_refusal), dropped(|s| s.external_refusal))
    }
}

/// How many ready endpoints of each service are on this node (counted by address), for health checks of load balancers.
pub fn local_ready(tracker: &Tracker) -> BTreeMap<ObjectKey, usize> {
    let mut ips: BTreeMap<ObjectKey, BTreeSet<IpAddr>> = BTreeMap::new();
    for name in tracker.services().keys() {
        let local = tracker.endpoints(name).iter().filter(|e| e.local && e.ready).map(|e| e.address.ip());
        ips.entry(name.service.clone()).or_default().extend(local);
    }
    ips.into_iter().map(|(key, ips)| (key, ips.len())).collect()
}

/// Decides everything.
pub fn plan(tracker: &Tracker, node: &NodeView) -> Plan {
    let services: Vec<_> =
        tracker.services().iter().map(|(name, port)| plan_port(name, port, tracker.endpoints(name), node)).collect();
    let endpoints = tracker.services().keys().map(|name| tracker.endpoints(name).len()).sum();
    Plan { family: tracker.family(), services, endpoints, large: endpoints > LARGE_CLUSTER_ENDPOINTS }
}

fn plan_port(name: &PortName, port: &ServicePort, endpoints: &[Endpoint], node: &NodeView) -> ServicePlan {
    let Categories { cluster, local, reachable, any } = categorize(port, endpoints, node);
    let policy = |is_local: bool| if is_local { Policy::Local } else { Policy::Cluster };
    let (internal, external) = (policy(port.internal_local), policy(port.external_local));
    let refusal = |policy: Policy| match (any, policy) {
        (false, _) => Some(Refusal::Reject),
        (true, Policy::Local) if local.is_empty() => Some(Refusal::Drop),
        (true, _) => None,
    };
    ServicePlan {
        name: name.clone(),
        internal_refusal: refusal(internal),
        external_refusal: refusal(external),
        firewalled: any && !port.load_balancer_vips.is_empty() && !port.source_ranges.is_empty(),
        has_endpoints: any,
        port: port.clone(),
        cluster,
        local,
        reachable,
        internal,
        external,
    }
}

#[derive(Default)]
struct Categories {
    cluster: Vec<Endpoint>,
    local: Vec<Endpoint>,
    reachable: Vec<Endpoint>,
    any: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topology {
    Anywhere,
    SameNode,
    SameZone,
}

fn leaving(endpoint: &Endpoint) -> bool {
    endpoint.serving && endpoint.terminating
}

/// Ready endpoints; terminating ones that still serve only where there are no ready ones.
fn categorize(port: &ServicePort, endpoints: &[Endpoint], node: &NodeView) -> Categories {
    let pick =
        |keep: &dyn Fn(&Endpoint) -> bool| -> Vec<Endpoint> { endpoints.iter().filter(|e| keep(e)).cloned().collect() };
    let mut found = Categories::default();
    let mut topology = Topology::Anywhere;
    if port.uses_cluster_endpoints() {
        topology = topology_of(endpoints, node);
        found.cluster = pick(&|e| e.ready && available(e, topology, node));
        if found.cluster.is_empty() {
            found.cluster = pick(&leaving);
        }
        found.any = !found.cluster.is_empty();
    }
    if !port.uses_local_endpoints() {
        found.reachable = found.cluster.clone();
        return found;
    }
    found.any |= endpoints.iter().any(|e| e.ready || leaving(e));
    found.local = pick(&|e| e.local && e.ready);
    let mut only_leaving = false;
    if found.local.is_empty() {
        found.local = pick(&|e| e.local && leaving(e));
        only_leaving = !found.local.is_empty();
    }
    found.reachable = if !port.uses_cluster_endpoints() {
        found.local.clone()
    } else if topology == Topology::Anywhere && !only_leaving {
        found.cluster.clone()
    } else {
        pick(&|e| found.cluster.contains(e) || found.local.contains(e))
    };
    found
}

/// Hints count only when every ready endpoint has them and one is for us.
fn topology_of(endpoints: &[Endpoint], node: &NodeView) -> Topology {
    let ready: Vec<_> = endpoints.iter().filter(|e| e.ready).collect();
    let usable = |hints: fn(&Endpoint) -> &BTreeSet<String>, own: &str| {
        !ready.is_empty() && ready.iter().all(|e| !hints(e).is_empty()) && ready.iter().any(|e| hints(e).contains(own))
    };
    if usable(|e| &e.nodes, &node.name) {
        Topology::SameNode
    } else if usable(|e| &e.zones, &node.zone) {
        Topology::SameZone
    } else {
        Topology::Anywhere
    }
}

fn available(endpoint: &Endpoint, topology: Topology, node: &NodeView) -> bool {
    match topology {
        Topology::Anywhere => true,
        Topology::SameNode => endpoint.nodes.contains(&node.name),
        Topology::SameZone => endpoint.zones.contains(&node.zone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node_view, tracker};

    fn one(spec: &str, endpoints: &str) -> ServicePlan {
        let tracker = tracker(&[("ns/s", "10.0.0.1", spec, endpoints)]);
        plan(&tracker, &node_view()).services.remove(0)
    }

    fn ips(endpoints: &[Endpoint]) -> Vec<String> {
        endpoints.iter().map(|e| e.address.ip().to_string()).collect()
    }

    const TWO: &str = "[{addresses: [10.1.0.1], nodeName: n1}, {addresses: [10.1.0.2], nodeName: n2}]";

    #[test]
    fn cluster_policy_uses_every_ready_endpoint() {
        let s = one("ports: [{name: p, port: 80}]", TWO);
        assert_eq!((ips(&s.cluster), s.internal_refusal), (vec!["10.1.0.1".into(), "10.1.0.2".into()], None));
        assert!(s.local.is_empty() && s.uses_cluster() && !s.uses_local() && !s.uses_external());
    }

    #[test]
    fn local_policies_keep_to_this_node() {
        let s = one("internalTrafficPolicy: Local\nports: [{name: p, port: 80}]", TWO);
        assert_eq!((ips(&s.local), s.internal, s.internal_refusal), (vec!["10.1.0.1".into()], Policy::Local, None));
        let elsewhere = "[{addresses: [10.1.0.2], nodeName: n2}]";
        let s = one("internalTrafficPolicy: Local\nports: [{name: p, port: 80}]", elsewhere);
        assert_eq!((s.internal_refusal, s.has_endpoints), (Some(Refusal::Drop), true));
        let s = one(
            "type: NodePort\nexternalTrafficPolicy: Local\nports: [{name: p, port: 80, nodePort: 30080}]",
            elsewhere,
        );
        assert_eq!((s.internal_refusal, s.external_refusal), (None, Some(Refusal::Drop)));
    }

    #[test]
    fn without_endpoints_traffic_is_rejected() {
        let s = one(
            "ports: [{name: p, port: 80}]",
            "[{addresses: [10.1.0.1], conditions: {ready: false, serving: false}}]",
        );
        assert_eq!((s.internal_refusal, s.has_endpoints), (Some(Refusal::Reject), false));
    }

    #[test]
    fn terminating_endpoints_serve_when_no_other_does() {
        let leaving =
            "{addresses: [10.1.0.1], nodeName: n1, conditions: {ready: false, serving: true, terminating: true}}";
        let s = one("ports: [{name: p, port: 80}]", &format!("[{leaving}]"));
        assert_eq!(ips(&s.cluster), ["10.1.0.1"]);
        let s = one("ports: [{name: p, port: 80}]", &format!("[{leaving}, {{addresses: [10.1.0.2]}}]"));
        assert_eq!(ips(&s.cluster), ["10.1.0.2"]);
        let local = "type: NodePort\nexternalTrafficPolicy: Local\nports: [{name: p, port: 80, nodePort: 30080}]";
        let s = one(local, &format!("[{leaving}, {{addresses: [10.1.0.2], nodeName: n2}}]"));
        assert_eq!(
            (ips(&s.local), ips(&s.reachable)),
            (vec!["10.1.0.1".into()], vec!["10.1.0.1".into(), "10.1.0.2".into()])
        );
    }

    #[test]
    fn hints_count_when_all_endpoints_have_them() {
        let hinted = |zone: &str, ip: &str| format!("{{addresses: [{ip}], hints: {{forZones: [{{name: {zone}}}]}}}}");
        let both = format!("[{}, {}]", hinted("z1", "10.1.0.1"), hinted("z2", "10.1.0.2"));
        assert_eq!(ips(&one("ports: [{name: p, port: 80}]", &both).cluster), ["10.1.0.1"]);
        let one_without = format!("[{}, {{addresses: [10.1.0.2]}}]", hinted("z1", "10.1.0.1"));
        assert_eq!(ips(&one("ports: [{name: p, port: 80}]", &one_without).cluster).len(), 2);
        let none_for_us = format!("[{}]", hinted("z2", "10.1.0.2"));
        assert_eq!(ips(&one("ports: [{name: p, port: 80}]", &none_for_us).cluster), ["10.1.0.2"]);
        let node = "[{addresses: [10.1.0.1], hints: {forNodes: [{name: n1}]}}, {addresses: [10.1.0.2], hints: {forNodes: [{name: n2}]}}]";
        assert_eq!(ips(&one("ports: [{name: p, port: 80}]", node).cluster), ["10.1.0.1"]);
    }
}
