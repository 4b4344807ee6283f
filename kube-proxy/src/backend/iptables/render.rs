//! Rules as text for iptables-restore. Pure. Rule order, comments and arguments are upstream's (syncProxyRules).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::backend::{RuleCounts, Scope, Settings};
use crate::model::{Endpoint, Family};
use crate::plan::{Plan, Policy, Refusal, ServicePlan};

use super::jumps::{
    EXTERNAL_SERVICES, FORWARD, KUBELET_FIREWALL, MARK_MASQ, NODE_PORTS, POSTROUTING, PROXY_FIREWALL, SERVICES,
};
use super::names::{ServiceChains, endpoint_chain};

/// Text for iptables-restore and how many rules it has.
pub(super) struct Rendered {
    pub(super) text: String,
    pub(super) counts: RuleCounts,
}

/// Chain and rule lines of the two tables.
#[derive(Default)]
struct Tables {
    filter_chains: String,
    filter: Lines,
    nat_chains: String,
    nat: Lines,
    /// Rules of services that need not be written this time, only counted.
    skipped: usize,
    active: BTreeSet<String>,
}

#[derive(Default)]
struct Lines {
    text: String,
    count: usize,
}

impl Lines {
    fn add(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
        self.count += 1;
    }
}

macro_rules! rule {
    ($lines:expr, $($arg:tt)*) => {
        $lines.add(format_args!($($arg)*))
    };
}

fn declare(chains: &mut String, name: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(chains, ":{name} - [0:0]");
}

/// Renders the plan. `existing` are the service chains in the kernel: those no longer used are removed. `node_port_ips`
/// are the addresses for node ports when they do not answer on all.
pub(super) fn render(
    plan: &Plan,
    settings: &Settings,
    scope: Scope<'_>,
    existing: &BTreeSet<String>,
    node_port_ips: &[IpAddr],
) -> Rendered {
    let mut tables = Tables::default();
    write_head(&mut tables, settings);
    for service in &plan.services {
        let writer = Writer { service, settings, chains: ServiceChains::new(&service.name), large: plan.large };
        writer.write_portals(&mut tables);
        writer.write_own(&mut tables, scope.covers(&service.name.service));
    }
    let stale: Vec<_> = existing.difference(&tables.active).cloned().collect();
    for chain in &stale {
        declare(&mut tables.nat_chains, chain);
        rule!(tables.nat, "-X {chain}");
    }
    write_node_port_jump(&mut tables, settings, node_port_ips);
    write_forwarding(&mut tables, settings);
    let written = tables.nat.count - stale.len();
    Rendered {
        counts: RuleCounts { filter: tables.filter.count, nat: written + tables.skipped, nat_written: written },
        text: format!(
            "*filter\n{}{}COMMIT\n*nat\n{}{}COMMIT\n",
            tables.filter_chains, tables.filter.text, tables.nat_chains, tables.nat.text
        ),
    }
}

/// Text that removes chains of a table.
pub(super) fn removal<'a>(table: &str, chains: impl Iterator<Item = &'a String>) -> String {
    let mut declared = String::new();
    let mut lines = Lines::default();
    for chain in chains {
        declare(&mut declared, chain);
        rule!(lines, "-X {chain}");
    }
    format!("*{table}\n{declared}{}COMMIT\n", lines.text)
}

fn write_head(tables: &mut Tables, settings: &Settings) {
    for chain in [SERVICES, EXTERNAL_SERVICES, FORWARD, NODE_PORTS, PROXY_FIREWALL] {
        declare(&mut tables.filter_chains, chain);
    }
    for chain in [SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQ] {
        declare(&mut tables.nat_chains, chain);
    }
    let mark = settings.mark();
    let nat = &mut tables.nat;
    rule!(nat, "-A {POSTROUTING} -m mark ! --mark {mark}/{mark} -j RETURN");
    rule!(nat, "-A {POSTROUTING} -j MARK --xor-mark {mark}");
    rule!(
        nat,
        "-A {POSTROUTING} -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully"
    );
    rule!(nat, "-A {MARK_MASQ} -j MARK --or-mark {mark}");
    if settings.family == Family::V4 && settings.localhost_node_ports {
        // route_localnet lets neighbours send packets to 127.0.0.1: only the node itself may.
        declare(&mut tables.filter_chains, KUBELET_FIREWALL);
        rule!(
            tables.filter,
            "-A {KUBELET_FIREWALL} -m comment --comment \"block incoming localnet connections\" -d 127.0.0.0/8 ! -s \
             127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
        );
    }
}

fn write_node_port_jump(tables: &mut Tables, settings: &Settings, node_port_ips: &[IpAddr]) {
    let comment =
        "-m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\"";
    if settings.node_ports.is_all() {
        let except = match settings.family {
            Family::V6 => " ! -d ::1/128",
            Family::V4 if !settings.localhost_node_ports => " ! -d 127.0.0.0/8",
            Family::V4 => "",
        };
        rule!(tables.nat, "-A {SERVICES} {comment} -m addrtype --dst-type LOCAL{except} -j {NODE_PORTS}");
        return;
    }
    let usable = |ip: &&IpAddr| !ip.is_loopback() || (ip.is_ipv4() && settings.localhost_node_ports);
    for ip in node_port_ips.iter().filter(usable) {
        rule!(tables.nat, "-A {SERVICES} {comment} -d {ip} -j {NODE_PORTS}");
    }
}

fn write_forwarding(tables: &mut Tables, settings: &Settings) {
    let mark = settings.mark();
    let filter = &mut tables.filter;
    if !settings.conntrack_liberal {
        rule!(filter, "-A {FORWARD} -m conntrack --ctstate INVALID -j DROP");
    }
    rule!(
        filter,
        "-A {FORWARD} -m comment --comment \"kubernetes forwarding rules\" -m mark --mark {mark}/{mark} -j ACCEPT"
    );
    rule!(
        filter,
        "-A {FORWARD} -m comment --comment \"kubernetes forwarding conntrack rule\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    );
}

/// The chance of the first of `left` endpoints, in upstream's text form.
#[expect(clippy::cast_precision_loss, reason = "numbers of endpoints are small")]
fn probability(left: usize) -> String {
    format!("{:.10}", 1.0 / left as f64)
}

struct Writer<'a> {
    service: &'a ServicePlan,
    settings: &'a Settings,
    chains: ServiceChains,
    large: bool,
}

impl Writer<'_> {
    fn policy_chain(&self, policy: Policy) -> &str {
        match policy {
            Policy::Cluster => &self.chains.cluster,
            Policy::Local => &self.chains.local,
        }
    }

    fn refusal(&self, refusal: Refusal) -> (String, &'static str) {
        let name = &self.service.name;
        match refusal {
            Refusal::Reject => (format!("\"{name} has no endpoints\""), "REJECT"),
            Refusal::Drop => (format!("\"{name} has no local endpoints\""), "DROP"),
        }
    }

    fn comment(&self, text: &str) -> String {
        if self.large { String::new() } else { format!("-m comment --comment {text} ") }
    }

    /// Rules in the chains that all services share; they are written in every sync.
    fn write_portals(&self, tables: &mut Tables) {
        self.write_cluster_ip(tables);
        self.write_external_ips(tables);
        self.write_load_balancer(tables);
        self.write_node_port(tables);
    }

    fn write_cluster_ip(&self, tables: &mut Tables) {
        let ServicePlan { name, port, .. } = self.service;
        let protocol = name.protocol.lower();
        let (ip, number) = (port.cluster_ip, port.port);
        match self.service.internal_refusal.map(|r| self.refusal(r)) {
            None => rule!(
                tables.nat,
                "-A {SERVICES} -m comment --comment \"{name} cluster IP\" -m {protocol} -p {protocol} -d {ip} --dport {number} -j {}",
                self.policy_chain(self.service.internal)
            ),
            Some((comment, target)) => rule!(
                tables.filter,
                "-A {SERVICES} -m comment --comment {comment} -m {protocol} -p {protocol} -d {ip} --dport {number} -j {target}"
            ),
        }
    }

    /// Refuses traffic from outside to an address.
    fn write_external_refusal(&self, tables: &mut Tables, ip: IpAddr) {
        let Some((comment, target)) = self.service.external_refusal.map(|r| self.refusal(r)) else { return };
        let (protocol, number) = (self.service.name.protocol.lower(), self.service.port.port);
        rule!(
            tables.filter,
            "-A {EXTERNAL_SERVICES} -m comment --comment {comment} -m {protocol} -p {protocol} -d {ip} --dport {number} -j {target}"
        );
    }

    fn write_external_ips(&self, tables: &mut Tables) {
        let ServicePlan { name, port, .. } = self.service;
        let protocol = name.protocol.lower();
        for ip in &port.external_ips {
            if self.service.has_endpoints {
                rule!(
                    tables.nat,
                    "-A {SERVICES} -m comment --comment \"{name} external IP\" -m {protocol} -p {protocol} -d {ip} --dport {} -j {}",
                    port.port,
                    self.chains.external
                );
            }
            self.write_external_refusal(tables, *ip);
        }
    }

    fn write_load_balancer(&self, tables: &mut Tables) {
        let ServicePlan { name, port, .. } = self.service;
        let (protocol, number) = (name.protocol.lower(), port.port);
        let target = if self.service.firewalled { &self.chains.firewall } else { &self.chains.external };
        for ip in &port.load_balancer_vips {
            if self.service.has_endpoints {
                rule!(
                    tables.nat,
                    "-A {SERVICES} -m comment --comment \"{name} loadbalancer IP\" -m {protocol} -p {protocol} -d {ip} --dport {number} -j {target}"
                );
            }
            if self.service.firewalled {
                rule!(
                    tables.filter,
                    "-A {PROXY_FIREWALL} -m comment --comment \"{name} traffic not accepted by {}\" -m {protocol} -p {protocol} -d {ip} --dport {number} -j DROP",
                    self.chains.firewall
                );
            }
        }
        for ip in &port.load_balancer_vips {
            self.write_external_refusal(tables, *ip);
        }
    }

    fn write_node_port(&self, tables: &mut Tables) {
        let ServicePlan { name, port, .. } = self.service;
        let (protocol, number) = (name.protocol.lower(), port.node_port);
        if number != 0 {
            if self.service.has_endpoints {
                rule!(
                    tables.nat,
                    "-A {NODE_PORTS} -m comment --comment {name} -m {protocol} -p {protocol} --dport {number} -j {}",
                    self.chains.external
                );
            }
            if let Some((comment, target)) = self.service.external_refusal.map(|r| self.refusal(r)) {
                rule!(
                    tables.filter,
                    "-A {EXTERNAL_SERVICES} -m comment --comment {comment} -m addrtype --dst-type LOCAL -m {protocol} -p {protocol} --dport {number} -j {target}"
                );
            }
        }
        if port.health_check_node_port != 0 {
            rule!(
                tables.filter,
                "-A {NODE_PORTS} -m comment --comment \"{name} health check node port\" -m tcp -p tcp --dport {} -j ACCEPT",
                port.health_check_node_port
            );
        }
    }

    /// The service's own chains. Where they need not be written they stay as they are in the kernel.
    fn write_own(&self, tables: &mut Tables, write: bool) {
        let mut own = Tables::default();
        self.write_masquerade(&mut own);
        self.write_external_chain(&mut own);
        self.write_firewall_chain(&mut own);
        if self.service.uses_cluster() {
            self.write_spreading(&mut own, &self.chains.cluster, &self.service.cluster);
        }
        if self.service.uses_local() {
            self.write_spreading(&mut own, &self.chains.local, &self.service.local);
        }
        for endpoint in &self.service.reachable {
            self.write_endpoint(&mut own, endpoint);
        }
        tables.active.append(&mut own.active);
        if write {
            tables.nat_chains.push_str(&own.nat_chains);
            tables.nat.text.push_str(&own.nat.text);
            tables.nat.count += own.nat.count;
        } else {
            tables.skipped += own.nat.count;
        }
    }

    fn open(own: &mut Tables, chain: &str) {
        declare(&mut own.nat_chains, chain);
        own.active.insert(chain.to_owned());
    }

    /// Packets to the cluster IP that do not come from local pods get the node's address, so that answers come back.
    fn write_masquerade(&self, own: &mut Tables) {
        if self.service.internal_refusal.is_some() {
            return;
        }
        let ServicePlan { name, port, .. } = self.service;
        let chain = self.policy_chain(self.service.internal);
        let protocol = name.protocol.lower();
        let not_local = if self.settings.masquerade_all {
            String::new()
        } else if self.settings.local.is_known() {
            format!("{} ", self.settings.local.iptables(true))
        } else {
            return;
        };
        rule!(
            own.nat,
            "-A {chain} -m comment --comment \"{name} cluster IP\" -m {protocol} -p {protocol} -d {} --dport {} {not_local}-j {MARK_MASQ}",
            port.cluster_ip,
            port.port
        );
    }

    fn write_external_chain(&self, own: &mut Tables) {
        if !self.service.uses_external() {
            return;
        }
        let (name, chain) = (&self.service.name, &self.chains.external);
        Self::open(own, chain);
        if self.service.external == Policy::Cluster {
            rule!(
                own.nat,
                "-A {chain} -m comment --comment \"masquerade traffic for {name} external destinations\" -j {MARK_MASQ}"
            );
        } else {
            // Pods and the node itself may use endpoints anywhere; only what really comes from outside keeps to this node.
            let cluster = &self.chains.cluster;
            if self.settings.local.is_known() {
                let local = self.settings.local.iptables(false);
                rule!(
                    own.nat,
                    "-A {chain} -m comment --comment \"pod traffic for {name} external destinations\" {local} -j {cluster}"
                );
            }
            rule!(
                own.nat,
                "-A {chain} -m comment --comment \"masquerade LOCAL traffic for {name} external destinations\" -m addrtype --src-type LOCAL -j {MARK_MASQ}"
            );
            rule!(
                own.nat,
                "-A {chain} -m comment --comment \"route LOCAL traffic for {name} external destinations\" -m addrtype --src-type LOCAL -j {cluster}"
            );
        }
        if self.service.external_refusal.is_none() {
            rule!(own.nat, "-A {chain} -j {}", self.policy_chain(self.service.external));
        }
    }

    fn write_firewall_chain(&self, own: &mut Tables) {
        if !self.service.firewalled {
            return;
        }
        let ServicePlan { name, port, .. } = self.service;
        let (chain, external) = (&self.chains.firewall, &self.chains.external);
        Self::open(own, chain);
        let comment = format!("-m comment --comment \"{name} loadbalancer IP\"");
        for range in &port.source_ranges {
            rule!(own.nat, "-A {chain} {comment} -s {range} -j {external}");
        }
        if port.source_ranges.iter().any(|range| range.contains(&self.settings.node_ip)) {
            // A load balancer address that is local to the node comes back with itself as the source.
            for ip in &port.load_balancer_vips {
                rule!(own.nat, "-A {chain} {comment} -s {ip} -j {external}");
            }
        }
        rule!(
            own.nat,
            "-A {chain} -m comment --comment \"other traffic to {name} will be dropped by {PROXY_FIREWALL}\""
        );
    }

    fn write_spreading(&self, own: &mut Tables, chain: &str, endpoints: &[Endpoint]) {
        Self::open(own, chain);
        let name = &self.service.name;
        let comment = |e: &Endpoint| self.comment(&format!("\"{name} -> {}\"", e.address));
        if let Some(seconds) = self.service.port.affinity_seconds {
            for endpoint in endpoints {
                let target = endpoint_chain(name, endpoint);
                rule!(
                    own.nat,
                    "-A {chain} {}-m recent --name {target} --rcheck --seconds {seconds} --reap -j {target}",
                    comment(endpoint)
                );
            }
        }
        for (index, endpoint) in endpoints.iter().enumerate() {
            let left = endpoints.len() - index;
            let chance = if left > 1 {
                format!("-m statistic --mode random --probability {} ", probability(left))
            } else {
                String::new()
            };
            rule!(own.nat, "-A {chain} {}{chance}-j {}", comment(endpoint), endpoint_chain(name, endpoint));
        }
    }

    fn write_endpoint(&self, own: &mut Tables, endpoint: &Endpoint) {
        let name = &self.service.name;
        let chain = endpoint_chain(name, endpoint);
        Self::open(own, &chain);
        let protocol = name.protocol.lower();
        let comment = self.comment(&name.to_string());
        // A pod that reaches itself through the service needs another source address.
        rule!(own.nat, "-A {chain} {comment}-s {} -j {MARK_MASQ}", endpoint.address.ip());
        let remember = if self.service.port.affinity_seconds.is_some() {
            format!("-m recent --name {chain} --set ")
        } else {
            String::new()
        };
        rule!(
            own.nat,
            "-A {chain} {comment}{remember}-m {protocol} -p {protocol} -j DNAT --to-destination {}",
            endpoint.address
        );
    }
}

#[cfg(test)]
mod tests;
