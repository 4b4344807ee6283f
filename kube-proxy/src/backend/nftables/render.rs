//! A transaction for nft. Pure. upstream: syncProxyRules of pkg/proxy/nftables/proxier.go

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::backend::{Scope, Settings};
use crate::model::Endpoint;
use crate::plan::{Plan, Policy, Refusal, ServicePlan};

use super::base::{self, Words};
use super::elements::Elements;
use super::names::{ServiceNames, endpoint_names};

/// What is in the kernel.
pub(super) struct Previous<'a> {
    /// Elements as this process wrote them last.
    pub(super) elements: &'a Elements,
    /// Chains of services.
    pub(super) chains: &'a BTreeSet<String>,
    /// Affinity sets.
    pub(super) affinity_sets: &'a BTreeSet<String>,
    /// The base chains were not written by this process yet.
    pub(super) fresh_base_chains: bool,
}

/// The transaction and what is in the kernel after it.
pub(super) struct Rendered {
    pub(super) text: String,
    pub(super) elements: Elements,
    pub(super) chains: BTreeSet<String>,
    pub(super) affinity_sets: BTreeSet<String>,
}

/// Renders the plan.
pub(super) fn render(
    plan: &Plan,
    settings: &Settings,
    scope: Scope<'_>,
    previous: &Previous<'_>,
    node_port_ips: &[IpAddr],
) -> Rendered {
    let mut writer = Writer {
        settings,
        words: Words::new(settings.family),
        elements: Elements::default(),
        chains: BTreeSet::new(),
        affinity_sets: BTreeSet::new(),
        declarations: String::new(),
        rules: String::new(),
    };
    for service in &plan.services {
        writer.write_service(service, scope.covers(&service.name.service));
    }
    let table = writer.words.table.clone();
    let nothing = Elements::default();
    let (head, old) = match scope {
        // A full sync flushes the maps and sets, so that all elements are written.
        Scope::Full => (base::render(settings, node_port_ips, previous.fresh_base_chains), &nothing),
        Scope::Partial(_) => (String::new(), previous.elements),
    };
    let elements = writer.elements.changes_from(old, &table);
    let stale_chains = previous.chains.difference(&writer.chains);
    let stale_chains: String = stale_chains.map(|chain| format!("flush chain {table} {chain}\n")).collect();
    let stale_sets = previous.affinity_sets.difference(&writer.affinity_sets);
    let stale_sets: String = stale_sets.map(|set| format!("delete set {table} {set}\n")).collect();
    Rendered {
        text: format!("{head}{}{elements}{}{stale_chains}{stale_sets}", writer.declarations, writer.rules),
        elements: writer.elements,
        chains: writer.chains,
        affinity_sets: writer.affinity_sets,
    }
}

struct Writer<'a> {
    settings: &'a Settings,
    words: Words,
    elements: Elements,
    chains: BTreeSet<String>,
    affinity_sets: BTreeSet<String>,
    declarations: String,
    rules: String,
}

impl Writer<'_> {
    fn open(&mut self, chain: &str, write: bool) {
        if self.chains.insert(chain.to_owned()) && write {
            let table = &self.words.table;
            self.declarations.push_str(&format!("add chain {table} {chain}\nflush chain {table} {chain}\n"));
        }
    }

    fn rule(&mut self, chain: &str, rule: &str) {
        self.rules.push_str(&format!("add rule {} {chain} {rule}\n", self.words.table));
    }

    fn write_service(&mut self, service: &ServicePlan, write: bool) {
        let names = ServiceNames::new(&service.name);
        self.open_chains(service, &names, write);
        self.write_elements(service, &names);
        if !write {
            return;
        }
        self.write_external(service, &names);
        self.write_firewall(service, &names);
        self.write_affinity_sets(service);
        if service.uses_cluster() {
            self.write_spreading(service, &names.cluster, &service.cluster);
        }
        if service.uses_local() {
            self.write_spreading(service, &names.local, &service.local);
        }
        if service.port.affinity_seconds.is_some() {
            self.write_sticky_endpoints(service);
        }
    }

    fn restricted(service: &ServicePlan) -> bool {
        !service.port.load_balancer_vips.is_empty() && !service.port.source_ranges.is_empty()
    }

    fn open_chains(&mut self, service: &ServicePlan, names: &ServiceNames, write: bool) {
        let protocol = service.name.protocol.lower();
        for endpoint in &service.reachable {
            if service.port.affinity_seconds.is_some() {
                let (chain, set) = endpoint_names(&service.name, endpoint);
                self.open(&chain, write);
                self.affinity_sets.insert(set);
            }
            if endpoint.local {
                let (ip, port) = (endpoint.address.ip(), endpoint.address.port());
                self.elements.add(base::HAIRPIN, format!("{ip} . {ip} . {protocol} . {port}"));
            }
        }
        let used = [
            (service.uses_cluster(), &names.cluster),
            (service.uses_local(), &names.local),
            (service.uses_external(), &names.external),
            (Self::restricted(service), &names.firewall),
        ];
        for (_, chain) in used.into_iter().filter(|(used, _)| *used) {
            self.open(chain, write);
        }
    }

    fn write_elements(&mut self, service: &ServicePlan, names: &ServiceNames) {
        let ServicePlan { name, port, .. } = service;
        let protocol = name.protocol.lower();
        let comment = name.to_string();
        let key = |ip: &IpAddr| format!("{ip} . {protocol} . {}", port.port);
        let verdict = |refusal: Refusal| match refusal {
            Refusal::Reject => format!("goto {}", base::REJECT_CHAIN),
            Refusal::Drop => "drop".to_owned(),
        };
        self.elements.add(base::CLUSTER_IPS, port.cluster_ip.to_string());
        match service.internal_refusal {
            None => {
                let chain = if service.internal == Policy::Local { &names.local } else { &names.cluster };
                self.elements.map(base::SERVICE_IPS, key(&port.cluster_ip), format!("goto {chain}"), "");
            }
            Some(refusal) => {
                self.elements.map(base::NO_ENDPOINT_SERVICES, key(&port.cluster_ip), verdict(refusal), &comment);
            }
        }
        for ip in port.external_ips.iter().chain(&port.load_balancer_vips) {
            if service.has_endpoints {
                self.elements.map(base::SERVICE_IPS, key(ip), format!("goto {}", names.external), "");
            }
            if let Some(refusal) = service.external_refusal {
                self.elements.map(base::NO_ENDPOINT_SERVICES, key(ip), verdict(refusal), &comment);
            }
        }
        for ip in port.load_balancer_vips.iter().filter(|_| Self::restricted(service)) {
            self.elements.map(base::FIREWALL_IPS, key(ip), format!("goto {}", names.firewall), "");
        }
        if port.node_port != 0 {
            let key = format!("{protocol} . {}", port.node_port);
            if service.has_endpoints {
                self.elements.map(base::SERVICE_NODE_PORTS, key.clone(), format!("goto {}", names.external), "");
            }
            if let Some(refusal) = service.external_refusal {
                self.elements.map(base::NO_ENDPOINT_NODE_PORTS, key, verdict(refusal), &comment);
            }
        }
    }

    fn write_external(&mut self, service: &ServicePlan, names: &ServiceNames) {
        if !service.uses_external() {
            return;
        }
        let chain = &names.external;
        let masquerade = base::masquerade_rule(self.settings);
        if service.external == Policy::Cluster {
            self.rule(chain, &format!("{masquerade} comment \"masquerade\""));
        } else {
            let cluster = &names.cluster;
            if self.settings.local.is_known() {
                let local = self.settings.local.nftables(false);
                self.rule(chain, &format!("{local} goto {cluster} comment \"short-circuit pod traffic\""));
            }
            self.rule(chain, &format!("fib saddr type local {masquerade} comment \"masquerade local traffic\""));
            self.rule(chain, &format!("fib saddr type local goto {cluster} comment \"short-circuit local traffic\""));
        }
        if service.external_refusal.is_none() {
            let target = if service.external == Policy::Local { &names.local } else { &names.cluster };
            self.rule(chain, &format!("goto {target}"));
        }
    }

    fn write_firewall(&mut self, service: &ServicePlan, names: &ServiceNames) {
        if !Self::restricted(service) {
            return;
        }
        let ranges = &service.port.source_ranges;
        let mut sources: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        if ranges.iter().any(|range| range.contains(&self.settings.node_ip)) {
            sources.extend(service.port.load_balancer_vips.iter().map(ToString::to_string));
        }
        let rule = format!("{} saddr != {{ {} }} drop", self.words.ip, sources.join(" , "));
        self.rule(&names.firewall, &rule);
    }

    fn write_affinity_sets(&mut self, service: &ServicePlan) {
        let Some(seconds) = service.port.affinity_seconds else { return };
        let Words { table, address_type, .. } = &self.words;
        for endpoint in &service.reachable {
            let (_, set) = endpoint_names(&service.name, endpoint);
            self.declarations.push_str(&format!(
                "add set {table} {set} {{ type {address_type} ; flags dynamic,timeout ; timeout {seconds}s ; }}\n"
            ));
        }
    }

    fn write_spreading(&mut self, service: &ServicePlan, chain: &str, endpoints: &[Endpoint]) {
        let ip = self.words.ip;
        let protocol = service.name.protocol.lower();
        let count = endpoints.len();
        let list = |element: &dyn Fn(&Endpoint) -> String| {
            let numbered: Vec<_> = endpoints.iter().enumerate().map(|(i, e)| format!("{i} : {}", element(e))).collect();
            numbered.join(" , ")
        };
        if service.port.affinity_seconds.is_none() {
            let targets = list(&|e| format!("{} . {}", e.address.ip(), e.address.port()));
            self.rule(
                chain,
                &format!(
                    "meta l4proto {protocol} dnat {ip} addr . port to numgen random mod {count} map {{ {targets} }}"
                ),
            );
            return;
        }
        for endpoint in endpoints {
            let (target, set) = endpoint_names(&service.name, endpoint);
            self.rule(chain, &format!("{ip} saddr @{set} goto {target}"));
        }
        let targets = list(&|e| format!("goto {}", endpoint_names(&service.name, e).0));
        self.rule(chain, &format!("numgen random mod {count} vmap {{ {targets} }}"));
    }

    fn write_sticky_endpoints(&mut self, service: &ServicePlan) {
        let ip = self.words.ip;
        let protocol = service.name.protocol.lower();
        for endpoint in &service.reachable {
            let (chain, set) = endpoint_names(&service.name, endpoint);
            self.rule(&chain, &format!("update @{set} {{ {ip} saddr }}"));
            self.rule(&chain, &format!("meta l4proto {protocol} dnat to {}", endpoint.address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{LocalTraffic, NodePortAddresses};
    use crate::model::Family;
    use crate::plan::plan;
    use crate::testing::{node_view, tracker};
    use crate::tracker::Changes;

    fn settings() -> Settings {
        Settings {
            family: Family::V4,
            masquerade_all: false,
            masquerade_bit: 14,
            local: LocalTraffic::Cidr("10.0.0.0/8".parse().unwrap()),
            localhost_node_ports: false,
            node_ports: NodePortAddresses::new(Family::V4, &["192.168.0.0/24".parse().unwrap()]),
            node_ip: "192.168.0.1".parse().unwrap(),
            conntrack_liberal: false,
        }
    }

    fn first<'a>(elements: &'a Elements, none: &'a BTreeSet<String>) -> Previous<'a> {
        Previous { elements, chains: none, affinity_sets: none, fresh_base_chains: true }
    }

    fn services() -> crate::tracker::Tracker {
        tracker(&[
            ("ns1/svc1", "172.30.0.41", "ports: [{name: p80, port: 80}]", "[{addresses: [10.180.0.1], nodeName: n1}]"),
            (
                "ns2/svc2",
                "172.30.0.42",
                "type: LoadBalancer\nexternalTrafficPolicy: Local\nexternalIPs: [192.168.99.22]\ningress: 1.2.3.4\nloadBalancerSourceRanges: [203.0.113.0/25]\n\
                 ports: [{name: p80, port: 80, nodePort: 3001}]",
                "[{addresses: [10.180.0.2], nodeName: n2}]",
            ),
            (
                "ns3/svc3",
                "172.30.0.43",
                "type: NodePort\nsessionAffinity: ClientIP\nports: [{name: p80, port: 80, nodePort: 3003}]",
                "[{addresses: [10.180.0.3]}, {addresses: [10.180.0.4]}]",
            ),
            ("ns4/svc4", "172.30.0.44", "ports: [{name: p80, port: 80}]", "[]"),
        ])
    }

    #[test]
    fn renders_every_kind_of_service() {
        let (elements, none) = (Elements::default(), BTreeSet::new());
        let plan = plan(&services(), &node_view());
        let rendered =
            render(&plan, &settings(), Scope::Full, &first(&elements, &none), &["192.168.0.1".parse().unwrap()]);
        insta::assert_snapshot!("nftables", rendered.text);
    }

    #[test]
    fn a_partial_sync_writes_only_differences() {
        let (elements, none) = (Elements::default(), BTreeSet::new());
        let before = plan(&services(), &node_view());
        let full = render(&before, &settings(), Scope::Full, &first(&elements, &none), &[]);
        let previous = Previous {
            elements: &full.elements,
            chains: &full.chains,
            affinity_sets: &full.affinity_sets,
            fresh_base_chains: false,
        };
        let nothing = render(&before, &settings(), Scope::Partial(&Changes::default()), &previous, &[]);
        assert_eq!(nothing.text, "");
        let mut after = before.clone();
        after.services.remove(2);
        let changes = Changes { services: [component_base::ObjectKey::new("ns3", "svc3")].into(), udp: false };
        let rendered = render(&after, &settings(), Scope::Partial(&changes), &previous, &[]);
        insta::assert_snapshot!("nftables_removal", rendered.text);
    }
}
