//! Connection tracking: deletes UDP entries that lead to endpoints which are gone, and sets the kernel's limits.
//! upstream: pkg/proxy/conntrack/{cleanup,sysctls}.go

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use component_base::Chain;
use component_base::clock;
use tracing::{debug, info, warn};

use crate::backend::{Command, run_command};
use crate::config::Conntrack;
use crate::model::{Family, Protocol};
use crate::tracker::Tracker;

/// More entries than this are never asked for.
const MAX_LIMIT: i64 = 1_048_576;

/// One tracked flow.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flow {
    /// Where the client sent its packets.
    destination: SocketAddr,
    client: SocketAddr,
    /// Who answers.
    answered_by: SocketAddr,
}

/// Endpoints that may answer for each UDP address or node port.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UdpTargets {
    by_address: BTreeMap<SocketAddr, BTreeSet<SocketAddr>>,
    by_node_port: BTreeMap<u16, BTreeSet<SocketAddr>>,
}

impl UdpTargets {
    /// Collects them; services without serving endpoints are left out, their packets are rejected anyway.
    pub fn of(tracker: &Tracker) -> Self {
        let mut targets = Self::default();
        for (name, port) in tracker.services().iter().filter(|(name, _)| name.protocol == Protocol::Udp) {
            let serving = tracker.endpoints(name).iter().filter(|e| e.serving).map(|e| e.address);
            let endpoints: BTreeSet<_> = serving.collect();
            if endpoints.is_empty() {
                continue;
            }
            let ips = port.load_balancer_vips.iter().chain(&port.external_ips).chain([&port.cluster_ip]);
            for ip in ips {
                targets.by_address.insert(SocketAddr::new(*ip, port.port), endpoints.clone());
            }
            if port.node_port != 0 {
                targets.by_node_port.insert(port.node_port, endpoints);
            }
        }
        targets
    }

    fn is_stale(&self, flow: &Flow) -> bool {
        let gone = |endpoints: &BTreeSet<SocketAddr>| !endpoints.contains(&flow.answered_by);
        self.by_address.get(&flow.destination).is_some_and(gone)
            || self.by_node_port.get(&flow.destination.port()).is_some_and(gone)
    }
}

/// Deletes flows to endpoints that are gone.
pub async fn clean_up(family: Family, targets: &UdpTargets) {
    if *targets == UdpTargets::default() {
        return;
    }
    let started = clock::now();
    let name = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let listing = match run_command(Command::new("conntrack", ["-L", "-f", name, "-p", "udp"])).await {
        Ok(listing) => listing,
        Err(error) => {
            warn!(err = %Chain(&error), family = family.as_str(), "Failed to list conntrack entries");
            return;
        }
    };
    let flows = String::from_utf8_lossy(&listing);
    let mut deleted: u32 = 0;
    for flow in flows.lines().filter_map(parse_flow).filter(|flow| targets.is_stale(flow)) {
        deleted += u32::from(delete(name, &flow).await);
    }
    debug!(family = family.as_str(), deleted, "Finished reconciling conntrack entries");
    let metrics = crate::metrics::get();
    let took = clock::since(clock::now(), started).as_secs_f64();
    metrics.conntrack_duration.with_label_values(&[family.as_str()]).observe(took);
    metrics.conntrack_deleted.with_label_values(&[family.as_str()]).inc_by(f64::from(deleted));
}

async fn delete(family: &str, flow: &Flow) -> bool {
    let text = |ip: IpAddr, port: u16| (ip.to_string(), port.to_string());
    let (client, client_port) = text(flow.client.ip(), flow.client.port());
    let (to, to_port) = text(flow.destination.ip(), flow.destination.port());
    let args =
        ["-D", "-f", family, "-p", "udp", "-s", &client, "--sport", &client_port, "-d", &to, "--dport", &to_port];
    match run_command(Command::new("conntrack", args)).await {
        Ok(_) => true,
        // It may have timed out by itself.
        Err(error) => {
            debug!(err = %Chain(&error), "Conntrack entry was not deleted");
            false
        }
    }
}

/// A line such as `udp 17 29 src=10.0.0.5 dst=10.0.0.10 sport=4000 dport=53 [UNREPLIED] src=10.1.0.3 dst=10.0.0.5 sport=53 dport=4000 …`.
fn parse_flow(line: &str) -> Option<Flow> {
    let values = |key: &str| -> Vec<&str> { line.split_whitespace().filter_map(|w| w.strip_prefix(key)).collect() };
    let (sources, destinations) = (values("src="), values("dst="));
    let (source_ports, destination_ports) = (values("sport="), values("dport="));
    let at = |ips: &[&str], ports: &[&str], n: usize| {
        Some(SocketAddr::new(ips.get(n)?.parse().ok()?, ports.get(n)?.parse().ok()?))
    };
    Some(Flow {
        client: at(&sources, &source_ports, 0)?,
        destination: at(&destinations, &destination_ports, 0)?,
        answered_by: at(&sources, &source_ports, 1)?,
    })
}

/// Sets the kernel's limits. What a container or an old kernel does not let us set is said once and left.
pub fn apply_sysctls(config: &Conntrack) {
    let cpus = i64::try_from(std::thread::available_parallelism().map_or(1, usize::from)).unwrap_or(1);
    let max = conntrack_max(config, cpus);
    if max > 0 {
        set("nf_conntrack_max", max);
        raise_hash_size(max / 4);
    }
    let seconds = |duration: Option<component_base::config::GoDuration>| {
        duration.and_then(|d| i64::try_from(d.0.as_secs()).ok()).filter(|s| *s > 0)
    };
    let timeouts = [
        ("nf_conntrack_tcp_timeout_established", seconds(config.tcp_established_timeout)),
        ("nf_conntrack_tcp_timeout_close_wait", seconds(config.tcp_close_wait_timeout)),
        ("nf_conntrack_tcp_be_liberal", config.tcp_be_liberal.then_some(1)),
        ("nf_conntrack_udp_timeout", seconds(Some(config.udp_timeout))),
        ("nf_conntrack_udp_timeout_stream", seconds(Some(config.udp_stream_timeout))),
    ];
    for (name, value) in timeouts {
        if let Some(value) = value {
            set(name, value);
        }
    }
}

fn conntrack_max(config: &Conntrack, cpus: i64) -> i64 {
    match config.max_per_core.unwrap_or(0) {
        per_core if per_core > 0 => {
            (i64::from(per_core) * cpus).min(MAX_LIMIT).max(i64::from(config.min.unwrap_or(0)).min(MAX_LIMIT))
        }
        _ => 0,
    }
}

fn set(name: &str, value: i64) {
    ensure_sysctl(&format!("net/netfilter/{name}"), value);
}

/// Sets a kernel parameter unless it has the value; tells whether it has it now.
pub fn ensure_sysctl(name: &str, value: i64) -> bool {
    let path = format!("/proc/sys/{name}");
    if read_number(&path) == Some(value) {
        return true;
    }
    match std::fs::write(&path, value.to_string()) {
        Ok(()) => {
            info!(sysctl = name, value, "Set sysctl");
            true
        }
        Err(err) => {
            warn!(sysctl = name, value, %err, "Cannot set sysctl, it stays as it is");
            false
        }
    }
}

/// The value of a numeric kernel parameter.
pub fn sysctl(name: &str) -> Option<i64> {
    read_number(&format!("/proc/sys/{name}"))
}

fn read_number(path: &str) -> Option<i64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn raise_hash_size(wanted: i64) {
    const PATH: &str = "/sys/module/nf_conntrack/parameters/hashsize";
    let Some(size) = read_number(PATH) else { return };
    if size < wanted
        && let Err(err) = std::fs::write(PATH, wanted.to_string())
    {
        warn!(%err, wanted, "Cannot raise the size of the conntrack hash table");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tracker;

    #[test]
    fn finds_flows_to_endpoints_that_are_gone() {
        let tracker = tracker(&[(
            "ns/dns",
            "10.0.0.10",
            "type: NodePort\nports: [{name: dns, port: 53, protocol: UDP, nodePort: 30053}]",
            "[{addresses: [10.1.0.1]}]",
        )]);
        let targets = UdpTargets::of(&tracker);
        let line = |to: &str, port: u16, from: &str| {
            format!(
                "udp      17 29 src=10.2.0.5 dst={to} sport=4000 dport={port} [UNREPLIED] src={from} dst=10.2.0.5 sport=8080 dport=4000 mark=0 use=1"
            )
        };
        let cases = [
            (line("10.0.0.10", 53, "10.1.0.1"), false),
            (line("10.0.0.10", 53, "10.1.0.9"), true),
            (line("192.168.0.1", 30053, "10.1.0.9"), true),
            (line("10.0.0.11", 53, "10.1.0.9"), false),
        ];
        for (line, stale) in cases {
            assert_eq!(targets.is_stale(&parse_flow(&line).unwrap()), stale, "{line}");
        }
        assert_eq!(parse_flow("conntrack v1.4.7: 1 flow entries have been shown."), None);
    }

    #[test]
    fn limits_are_upstreams() {
        let config = |per_core, min| Conntrack { max_per_core: Some(per_core), min: Some(min), ..Conntrack::default() };
        assert_eq!(conntrack_max(&config(0, 131_072), 4), 0);
        assert_eq!(conntrack_max(&config(32768, 131_072), 2), 131_072);
        assert_eq!(conntrack_max(&config(32768, 131_072), 8), 262_144);
        assert_eq!(conntrack_max(&config(32768, 131_072), 64), MAX_LIMIT);
    }
}
