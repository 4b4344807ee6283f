//! The part of the table that does not depend on services: base chains, jumps, maps, sets. upstream: setupNFTables

use std::net::IpAddr;

use crate::backend::Settings;
use crate::model::Family;

pub(super) const TABLE: &str = "kube-proxy";
pub(super) const SERVICES: &str = "services";
pub(super) const SERVICE_IPS: &str = "service-ips";
pub(super) const SERVICE_NODE_PORTS: &str = "service-nodeports";
pub(super) const NO_ENDPOINT_SERVICES: &str = "no-endpoint-services";
pub(super) const NO_ENDPOINT_NODE_PORTS: &str = "no-endpoint-nodeports";
pub(super) const REJECT_CHAIN: &str = "reject-chain";
pub(super) const FIREWALL_IPS: &str = "firewall-ips";
pub(super) const CLUSTER_IPS: &str = "cluster-ips";
pub(super) const HAIRPIN: &str = "hairpin-connections";
const NODE_PORT_IPS: &str = "nodeport-ips";
const MASQUERADING: &str = "masquerading";

/// Chains with a hook: name, type, hook, priority (dstnat is -100, filter 0, srcnat 100).
const BASE_CHAINS: [(&str, &str, &str, i32); 8] = [
    ("filter-prerouting-pre-dnat", "filter", "prerouting", -110),
    ("filter-output-pre-dnat", "filter", "output", -110),
    ("filter-input", "filter", "input", 0),
    ("filter-forward", "filter", "forward", 0),
    ("filter-output", "filter", "output", 0),
    ("nat-prerouting", "nat", "prerouting", -100),
    ("nat-output", "nat", "output", -100),
    ("nat-postrouting", "nat", "postrouting", 100),
];

/// Jumps from base chains: to, from, condition.
const JUMPS: [(&str, &str, &str); 11] = [
    ("nodeport-endpoints-check", "filter-input", "ct state new "),
    ("service-endpoints-check", "filter-input", "ct state new "),
    ("service-endpoints-check", "filter-forward", "ct state new "),
    ("service-endpoints-check", "filter-output", "ct state new "),
    ("firewall-check", "filter-prerouting-pre-dnat", "ct state new "),
    ("firewall-check", "filter-output-pre-dnat", "ct state new "),
    (SERVICES, "nat-output", ""),
    (SERVICES, "nat-prerouting", ""),
    (MASQUERADING, "nat-postrouting", ""),
    ("cluster-ips-check", "filter-forward", "ct state new "),
    ("cluster-ips-check", "filter-output", "ct state new "),
];

/// Words that differ between the families.
pub(super) struct Words {
    pub(super) table: String,
    /// ip or ip6.
    pub(super) ip: &'static str,
    pub(super) address_type: &'static str,
    no_localhost: &'static str,
}

impl Words {
    pub(super) fn new(family: Family) -> Self {
        let (ip, address_type, no_localhost) = match family {
            Family::V4 => ("ip", "ipv4_addr", "ip daddr != 127.0.0.0/8"),
            Family::V6 => ("ip6", "ipv6_addr", "ip6 daddr != ::1"),
        };
        Self { table: format!("{ip} {TABLE}"), ip, address_type, no_localhost }
    }
}

/// The commands; base chains are made anew when this process writes them for the first time.
pub(super) fn render(settings: &Settings, node_port_ips: &[IpAddr], fresh_base_chains: bool) -> String {
    let words = Words::new(settings.family);
    let table = &words.table;
    let mut text = format!("add table {table} {{ comment \"rules for kube-proxy\" ; }}\n");
    let mut line = |command: String| {
        text.push_str(&command);
        text.push('\n');
    };
    if fresh_base_chains {
        for (name, ..) in BASE_CHAINS {
            line(format!("add chain {table} {name}"));
            line(format!("delete chain {table} {name}"));
        }
    }
    for (name, kind, hook, priority) in BASE_CHAINS {
        line(format!("add chain {table} {name} {{ type {kind} hook {hook} priority {priority} ; }}"));
        line(format!("flush chain {table} {name}"));
    }
    let mut made: Vec<&str> = Vec::new();
    for (to, from, condition) in JUMPS {
        if !made.contains(&to) {
            made.push(to);
            line(format!("add chain {table} {to}"));
            line(format!("flush chain {table} {to}"));
        }
        line(format!("add rule {table} {from} {condition}jump {to}"));
    }
    text + &masquerading(settings, &words)
        + &cluster_ips(&words)
        + &checks(settings, &words, node_port_ips)
        + &services(settings, &words)
}

fn container(table: &str, kind: &str, name: &str, type_: &str, comment: &str) -> String {
    format!("add {kind} {table} {name} {{ type {type_} ; comment \"{comment}\" ; }}\nflush {kind} {table} {name}\n")
}

fn masquerading(settings: &Settings, words: &Words) -> String {
    let Words { table, ip, address_type, .. } = words;
    let mark = settings.mark();
    let type_ = format!("{address_type} . {address_type} . inet_proto . inet_service");
    container(table, "set", HAIRPIN, &type_, "service hairpin connections")
        + &format!(
            "add rule {table} {MASQUERADING} mark and {mark} != 0 mark set mark xor {mark} masquerade fully-random\n\
             add rule {table} {MASQUERADING} ct status dnat {ip} saddr . {ip} daddr . meta l4proto . th dport @{HAIRPIN} masquerade fully-random\n"
        )
}

fn cluster_ips(words: &Words) -> String {
    let Words { table, ip, address_type, .. } = words;
    container(table, "set", CLUSTER_IPS, address_type, "Active ClusterIPs")
        + &format!(
            "add rule {table} cluster-ips-check {ip} daddr @{CLUSTER_IPS} reject comment \"Reject traffic to invalid ports of ClusterIPs\"\n"
        )
}

fn checks(settings: &Settings, words: &Words, node_port_ips: &[IpAddr]) -> String {
    let Words { table, ip, address_type, no_localhost } = words;
    let mut text = container(table, "set", NODE_PORT_IPS, address_type, "IPs that accept NodePort traffic");
    if settings.node_ports.is_all() {
        text += &format!("delete set {table} {NODE_PORT_IPS}\n");
    }
    for address in node_port_ips.iter().filter(|a| !settings.node_ports.is_all() && !a.is_loopback()) {
        text += &format!("add element {table} {NODE_PORT_IPS} {{ {address} }}\n");
    }
    let by_service = format!("{address_type} . inet_proto . inet_service : verdict");
    text += &container(
        table,
        "map",
        NO_ENDPOINT_SERVICES,
        &by_service,
        "vmap to drop or reject packets to services with no endpoints",
    );
    text += &container(
        table,
        "map",
        NO_ENDPOINT_NODE_PORTS,
        "inet_proto . inet_service : verdict",
        "vmap to drop or reject packets to service nodeports with no endpoints",
    );
    let to_node =
        if settings.node_ports.is_all() { (*no_localhost).to_owned() } else { format!("{ip} daddr @{NODE_PORT_IPS}") };
    text += &format!(
        "add chain {table} {REJECT_CHAIN} {{ comment \"helper for @no-endpoint-services / @no-endpoint-nodeports\" ; }}\n\
         flush chain {table} {REJECT_CHAIN}\n\
         add rule {table} {REJECT_CHAIN} reject\n\
         add rule {table} service-endpoints-check {ip} daddr . meta l4proto . th dport vmap @{NO_ENDPOINT_SERVICES}\n\
         add rule {table} nodeport-endpoints-check {to_node} meta l4proto . th dport vmap @{NO_ENDPOINT_NODE_PORTS}\n"
    );
    text += &container(
        table,
        "map",
        FIREWALL_IPS,
        &by_service,
        "destinations that are subject to LoadBalancerSourceRanges",
    );
    text + &format!("add rule {table} firewall-check {ip} daddr . meta l4proto . th dport vmap @{FIREWALL_IPS}\n")
}

fn services(settings: &Settings, words: &Words) -> String {
    let Words { table, ip, address_type, no_localhost } = words;
    let by_service = format!("{address_type} . inet_proto . inet_service : verdict");
    let mut text =
        container(table, "map", SERVICE_IPS, &by_service, "ClusterIP, ExternalIP and LoadBalancer IP traffic");
    text += &container(table, "map", SERVICE_NODE_PORTS, "inet_proto . inet_service : verdict", "NodePort traffic");
    let masquerade = masquerade_rule(settings);
    if settings.masquerade_all {
        text += &format!(
            "add rule {table} {SERVICES} {ip} daddr @{CLUSTER_IPS} {masquerade} comment \"masquerade all clusterIP traffic\"\n"
        );
    } else if settings.local.is_known() {
        let not_local = settings.local.nftables(true);
        text += &format!(
            "add rule {table} {SERVICES} {ip} daddr @{CLUSTER_IPS} {not_local} {masquerade} comment \"masquerade clusterIP traffic from outside cluster\"\n"
        );
    }
    text += &format!("add rule {table} {SERVICES} {ip} daddr . meta l4proto . th dport vmap @{SERVICE_IPS}\n");
    let to_node = if settings.node_ports.is_all() {
        format!("fib daddr type local {no_localhost}")
    } else {
        format!("{ip} daddr @{NODE_PORT_IPS}")
    };
    text + &format!("add rule {table} {SERVICES} {to_node} meta l4proto . th dport vmap @{SERVICE_NODE_PORTS}\n")
}

/// Marks a packet for masquerading.
pub(super) fn masquerade_rule(settings: &Settings) -> String {
    format!("mark set mark or {}", settings.mark())
}
