//! Addresses of the node.
//!
//! upstream: pkg/kubelet/nodestatus/setters.go: NodeAddress

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs, UdpSocket};

/// The node's addresses, the primary one first: those given by `--node-ip`, else the node's name where it is an address
/// or resolves to one that is not a loopback, else the one from which the default route leaves, else the loopback.
pub fn addresses(node_ips: &str, node_name: &str) -> Vec<IpAddr> {
    let given: Vec<IpAddr> = node_ips.split(',').filter_map(|ip| ip.trim().parse().ok()).collect();
    let specified: Vec<IpAddr> = given.iter().filter(|ip| !ip.is_unspecified()).copied().collect();
    if !specified.is_empty() {
        return specified;
    }
    if let Ok(ip) = node_name.parse() {
        return vec![ip];
    }
    let wants_v6 = given.first().is_some_and(IpAddr::is_ipv6);
    let resolved = (node_name, 0).to_socket_addrs().into_iter().flatten().map(|address| address.ip());
    let mut usable: Vec<IpAddr> = resolved.filter(|ip| !ip.is_loopback() && !ip.is_unspecified()).collect();
    usable.sort_by_key(|ip| ip.is_ipv6() != wants_v6);
    let found = usable.first().copied().or_else(|| source_of_default_route(wants_v6));
    vec![found.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))]
}

/// Connecting a datagram socket sends nothing and tells which address would be used.
fn source_of_default_route(v6: bool) -> Option<IpAddr> {
    let (from, to) = if v6 { ("[::]:0", "[2001:db8::1]:9") } else { ("0.0.0.0:0", "192.0.2.1:9") };
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_addresses_come_first_and_then_a_name_that_is_one() {
        let text =
            |ips: &str, name: &str| addresses(ips, name).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(text("10.0.0.1,fd00::1", "node"), "10.0.0.1 fd00::1");
        assert_eq!(text("", "127.0.0.1"), "127.0.0.1");
        assert_eq!(text("0.0.0.0", "127.0.0.1"), "127.0.0.1");
        assert!(!addresses("", "name.invalid").is_empty());
    }
}
