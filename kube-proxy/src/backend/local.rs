//! What belongs to this node: traffic of its pods, and the addresses that node ports answer on.
//! upstream: pkg/proxy/util/{localdetector,nodeport_addresses}.go

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::model::Family;

/// How to recognize traffic that comes from pods of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalTraffic {
    /// Its input interface is a bridge.
    Bridge(String),
    /// Its source is in a network.
    Cidr(IpNet),
    /// The name of its input interface starts so.
    InterfacePrefix(String),
    /// Not at all.
    Unknown,
}

impl LocalTraffic {
    /// Whether it can be recognized.
    pub fn is_known(&self) -> bool {
        *self != Self::Unknown
    }

    /// iptables arguments that match it, or what is not it.
    pub fn iptables(&self, negated: bool) -> String {
        let not = if negated { "! " } else { "" };
        match self {
            Self::Bridge(name) => format!("{not}-i {name}"),
            Self::Cidr(net) => format!("{not}-s {net}"),
            Self::InterfacePrefix(prefix) => format!("{not}-i {prefix}+"),
            Self::Unknown => String::new(),
        }
    }

    /// The same for nftables.
    pub fn nftables(&self, negated: bool) -> String {
        let not = if negated { "!= " } else { "" };
        match self {
            Self::Bridge(name) => format!("iifname {not}{name}"),
            Self::Cidr(net) => format!("{} saddr {not}{net}", if net.addr().is_ipv4() { "ip" } else { "ip6" }),
            Self::InterfacePrefix(prefix) => format!("iifname {not}{prefix}*"),
            Self::Unknown => String::new(),
        }
    }
}

/// On which addresses node ports answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePortAddresses {
    networks: Vec<IpNet>,
    all: bool,
}

impl NodePortAddresses {
    /// Those in the networks of the family; every address when there are none.
    pub fn new(family: Family, networks: &[IpNet]) -> Self {
        let networks: Vec<_> = networks.iter().filter(|n| Family::of(n.addr()) == family).copied().collect();
        let all = networks.is_empty() || networks.iter().any(|n| n.prefix_len() == 0);
        Self { networks, all }
    }

    /// Every address of the node.
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// Loopback addresses are among them.
    pub fn has_ipv4_loopback(&self) -> bool {
        let start = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0));
        self.all || self.networks.iter().any(|n| n.contains(&start) || (n.addr().is_ipv4() && n.addr().is_loopback()))
    }

    /// The node's addresses that are among them.
    pub fn select(&self, addresses: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
        addresses.iter().filter(|ip| self.networks.iter().any(|n| n.contains(*ip))).copied().collect()
    }
}

/// The addresses of this network namespace, read from /proc.
pub fn node_addresses() -> BTreeSet<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut all: BTreeSet<IpAddr> = ipv4_addresses(&read("/proc/net/fib_trie")).into_iter().map(Into::into).collect();
    all.extend(ipv6_addresses(&read("/proc/net/if_inet6")).into_iter().map(IpAddr::from));
    all
}

/// Local addresses in the kernel's routing trie: each is a line with the address and, below it, `/32 host LOCAL`.
fn ipv4_addresses(trie: &str) -> BTreeSet<Ipv4Addr> {
    let mut last: Option<Ipv4Addr> = None;
    let mut found = BTreeSet::new();
    for line in trie.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("|-- ") {
            last = rest.parse().ok();
        } else if line.starts_with("/32 host LOCAL") {
            found.extend(last);
        }
    }
    found
}

fn ipv6_addresses(table: &str) -> BTreeSet<Ipv6Addr> {
    let first = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok();
    table.lines().filter_map(first).map(Ipv6Addr::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_from_proc() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.0.0.0/24 2 0 2\n        |-- 10.0.0.0\n           /24 link UNICAST\n        |-- 10.0.0.7\n           /32 host LOCAL\n     |-- 127.0.0.1\n           /32 host LOCAL\n";
        let found: Vec<_> = ipv4_addresses(trie).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.7", "127.0.0.1"]);
        let table =
            "fe8000000000000000fc00fffe000001 04 40 20 80 eth0\n00000000000000000000000000000001 01 80 10 80 lo\n";
        let found: Vec<_> = ipv6_addresses(table).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["::1", "fe80::fc:ff:fe00:1"]);
    }

    #[test]
    fn selects_node_port_addresses() {
        let nets = |list: &[&str]| list.iter().map(|n| n.parse().unwrap()).collect::<Vec<IpNet>>();
        assert!(NodePortAddresses::new(Family::V4, &[]).is_all());
        assert!(NodePortAddresses::new(Family::V4, &nets(&["fd00::/8"])).is_all());
        let some = NodePortAddresses::new(Family::V4, &nets(&["10.0.0.0/8"]));
        assert!(!some.is_all() && !some.has_ipv4_loopback());
        let addresses = ["10.0.0.7", "127.0.0.1"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(some.select(&addresses), ["10.0.0.7".parse::<IpAddr>().unwrap()]);
    }
}
