//! What may not stand in a KubeProxyConfiguration. upstream: pkg/proxy/apis/config/validation

use std::net::IpAddr;

use apimachinery::field::{Errors, Path};
use apimachinery::value::Value;
use component_base::config::GoDuration;
use component_base::flags::FeatureGates;
use ipnet::IpNet;

use crate::config::{Config, Conntrack};

const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
const ONE_OR_A_PAIR: &str =
    "must be a either a single CIDR or dual-stack pair of CIDRs (e.g. [10.100.0.0/16, fde4:8dba:82e1::/48]";

/// Everything that is wrong, in upstream's order.
pub(crate) fn validate(config: &Config) -> Errors {
    let mut errors = Errors::new();
    let root = Path::root("KubeProxyConfiguration");
    feature_gates(config, &root, &mut errors);
    let bit = |bit: Option<i32>, part: &str, errors: &mut Errors| {
        if let Some(bit) = bit.filter(|bit| !(0..=31).contains(bit)) {
            errors.invalid(root.child(part).child("MasqueradeBit"), i64::from(bit), "must be within the range [0, 31]");
        }
    };
    bit(config.iptables.masquerade_bit, "KubeProxyIPTablesConfiguration", &mut errors);
    match config.mode.as_str() {
        "ipvs" => ipvs(config, &root.child("KubeProxyIPVSConfiguration"), &mut errors),
        "nftables" => bit(config.nftables.masquerade_bit, "KubeProxyNFTablesConfiguration", &mut errors),
        _ => {}
    }
    linux(config, &root.child("KubeProxyLinuxConfiguration"), &mut errors);
    if !["", "iptables", "ipvs", "nftables"].contains(&config.mode.as_str()) {
        errors.invalid(
            root.child("Mode").child("ProxyMode"),
            config.mode.as_str(),
            "must be iptables, ipvs, nftables or blank (blank means the best-available proxy [currently iptables])",
        );
    }
    if config.client_connection.burst < 0 {
        let burst = i64::from(config.client_connection.burst);
        errors.invalid(root.child("ClientConnection").child("Burst"), burst, NOT_NEGATIVE);
    }
    periods(config, &root, &mut errors);
    addresses(config, &root, &mut errors);
    local_traffic(config, &root, &mut errors);
    errors
}

fn feature_gates(config: &Config, root: &Path, errors: &mut Errors) {
    let Some(given) = &config.feature_gates else { return };
    let pairs = given.iter().map(|(gate, on)| (gate.as_str(), if *on { "true" } else { "false" }));
    if let Err(error) = FeatureGates::defaults().set(pairs) {
        let shown: Value = serde_json::to_value(given).unwrap_or_default().into();
        errors.invalid(root.child("featureGates"), &shown, error.to_string());
    }
}

fn not_negative(duration: GoDuration, path: Path, errors: &mut Errors) {
    if duration.nanos() < 0 {
        errors.invalid(path, duration.to_string(), NOT_NEGATIVE);
    }
}

fn cidrs(list: &[String], path: &Path, detail: &str, errors: &mut Errors) {
    for (index, cidr) in list.iter().enumerate().filter(|(_, cidr)| cidr.parse::<IpNet>().is_err()) {
        errors.invalid(path.index(index), cidr.as_str(), detail);
    }
}

fn ipvs(config: &Config, path: &Path, errors: &mut Errors) {
    let ipvs = &config.ipvs;
    not_negative(ipvs.tcp_timeout, path.child("TCPTimeout"), errors);
    not_negative(ipvs.tcp_fin_timeout, path.child("TCPFinTimeout"), errors);
    not_negative(ipvs.udp_timeout, path.child("UDPTimeout"), errors);
    cidrs(
        ipvs.exclude_cidrs.as_deref().unwrap_or_default(),
        &path.child("ExcludeCidrs"),
        "must be a valid CIDR",
        errors,
    );
}

fn linux(config: &Config, path: &Path, errors: &mut Errors) {
    conntrack(&config.conntrack, &path.child("KubeProxyConntrackConfiguration"), errors);
    if let Some(score) = config.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
        errors.invalid(path.child("OOMScoreAdj"), i64::from(score), "must be within the range [-1000, 1000]");
    }
}

fn conntrack(conntrack: &Conntrack, path: &Path, errors: &mut Errors) {
    for (name, count) in [("MaxPerCore", conntrack.max_per_core), ("Min", conntrack.min)] {
        if let Some(count) = count.filter(|count| *count < 0) {
            errors.invalid(path.child(name), i64::from(count), NOT_NEGATIVE);
        }
    }
    for (name, timeout) in [
        ("TCPEstablishedTimeout", conntrack.tcp_established_timeout),
        ("TCPCloseWaitTimeout", conntrack.tcp_close_wait_timeout),
        ("UDPTimeout", Some(conntrack.udp_timeout)),
        ("UDPStreamTimeout", Some(conntrack.udp_stream_timeout)),
    ] {
        not_negative(timeout.unwrap_or_default(), path.child(name), errors);
    }
}

fn periods(config: &Config, root: &Path, errors: &mut Errors) {
    const POSITIVE: &str = "must be greater than 0";
    if config.config_sync_period.nanos() <= 0 {
        errors.invalid(root.child("ConfigSyncPeriod"), config.config_sync_period.to_string(), POSITIVE);
    }
    let (sync, least) = config.written_periods();
    if sync.nanos() <= 0 {
        errors.invalid(root.child("SyncPeriod"), sync.to_string(), POSITIVE);
    }
    not_negative(least, root.child("MinSyncPeriod"), errors);
    if least.nanos() > sync.nanos() {
        let detail = format!("must be greater than or equal to {}", root.child("MinSyncPeriod"));
        errors.invalid(root.child("SyncPeriod"), least.to_string(), detail);
    }
}

fn addresses(config: &Config, root: &Path, errors: &mut Errors) {
    if config.bind_address.parse::<IpAddr>().is_err() {
        let detail = "not a valid textual representation of an IP address";
        errors.invalid(root.child("BindAddress"), config.bind_address.as_str(), detail);
    }
    if !config.healthz_bind_address.is_empty() {
        host_port(&config.healthz_bind_address, &root.child("HealthzBindAddress"), errors);
    }
    host_port(&config.metrics_bind_address, &root.child("MetricsBindAddress"), errors);
    let path = root.child("NodePortAddresses");
    let networks = config.node_port_addresses.as_deref().unwrap_or_default();
    let primary = networks.iter().position(|net| net == "primary");
    cidrs(&networks[..primary.unwrap_or(networks.len())], &path, "must be a valid CIDR", errors);
    if let Some(index) = primary.filter(|_| networks.len() > 1) {
        errors.invalid(path.index(index), "primary", "can't use both 'primary' and CIDRs");
    }
}

fn host_port(text: &str, path: &Path, errors: &mut Errors) {
    let Some((host, port)) = split_host_port(text) else {
        return errors.invalid(path, text, "must be IP:port");
    };
    if host.parse::<IpAddr>().is_err() {
        errors.invalid(path, host, "must be a valid IP");
    }
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        errors.invalid(path, port, "must be a valid port");
    }
}

/// As Go's net.SplitHostPort: a host with colons stands in brackets.
pub(crate) fn split_host_port(text: &str) -> Option<(&str, &str)> {
    if let Some((host, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return port.strip_prefix(':').map(|port| (host, port));
    }
    text.rsplit_once(':').filter(|(host, _)| !host.contains([':', '[', ']']))
}

fn local_traffic(config: &Config, root: &Path, errors: &mut Errors) {
    let modes = ["ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix", ""];
    let mode = config.detect_local_mode.as_str();
    if !modes.contains(&mode) {
        errors.not_supported(root.child("DetectLocalMode"), mode, modes);
    }
    let path = root.child("DetectLocalConfiguration");
    let local = &config.detect_local;
    match mode {
        "BridgeInterface" if local.bridge_interface.is_empty() => {
            errors.invalid(path.child("InterfaceName"), "", "must not be empty");
        }
        "InterfaceNamePrefix" if local.interface_name_prefix.is_empty() => {
            errors.invalid(path.child("InterfacePrefix"), "", "must not be empty");
        }
        "ClusterCIDR" if !config.cluster_cidr.is_empty() => {
            cluster_cidrs(&config.cluster_cidr, &path.child("ClusterCIDRs"), errors);
        }
        _ => {}
    }
}

fn cluster_cidrs(text: &str, path: &Path, errors: &mut Errors) {
    let list: Vec<String> = text.split(',').map(str::to_owned).collect();
    let shown = || Value::List(list.iter().map(|cidr| Value::str(cidr.as_str())).collect());
    if list.len() > 2 {
        return errors.invalid(path, &shown(), ONE_OR_A_PAIR);
    }
    cidrs(&list, path, "must be a valid CIDR block (e.g. 10.100.0.0/16 or fde4:8dba:82e1::/48)", errors);
    let families: Vec<bool> = list.iter().filter_map(|cidr| cidr.parse::<IpNet>().ok()).map(is_v4).collect();
    if matches!(families.as_slice(), [first, second] if first == second) {
        errors.invalid(path, &shown(), ONE_OR_A_PAIR);
    }
}

fn is_v4(net: IpNet) -> bool {
    net.addr().is_ipv4()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
        let config = Config::parse(format!("{head}{text}").as_bytes()).expect("readable");
        validate(&config).to_string().replace("KubeProxyConfiguration.", "")
    }

    #[test]
    fn texts_are_upstreams() {
        for (text, message) in [
            ("", ""),
            (
                "mode: foo",
                "Mode.ProxyMode: Invalid value: \"foo\": must be iptables, ipvs, nftables or blank (blank means the best-available proxy [currently iptables])",
            ),
            (
                "iptables: {masqueradeBit: 50}",
                "KubeProxyIPTablesConfiguration.MasqueradeBit: Invalid value: 50: must be within the range [0, 31]",
            ),
            (
                "mode: ipvs\nipvs: {tcpTimeout: -1s, excludeCIDRs: [x]}",
                "[KubeProxyIPVSConfiguration.TCPTimeout: Invalid value: \"-1s\": must be greater than or equal to 0, KubeProxyIPVSConfiguration.ExcludeCidrs[0]: Invalid value: \"x\": must be a valid CIDR]",
            ),
            (
                "conntrack: {maxPerCore: -1, udpTimeout: -1s}",
                "[KubeProxyLinuxConfiguration.KubeProxyConntrackConfiguration.MaxPerCore: Invalid value: -1: must be greater than or equal to 0, KubeProxyLinuxConfiguration.KubeProxyConntrackConfiguration.UDPTimeout: Invalid value: \"-1s\": must be greater than or equal to 0]",
            ),
            (
                "oomScoreAdj: -5000",
                "KubeProxyLinuxConfiguration.OOMScoreAdj: Invalid value: -5000: must be within the range [-1000, 1000]",
            ),
            (
                "clientConnection: {burst: -1}",
                "ClientConnection.Burst: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                "iptables: {syncPeriod: 1s, minSyncPeriod: 2s}",
                "SyncPeriod: Invalid value: \"2s\": must be greater than or equal to MinSyncPeriod",
            ),
            (
                "healthzBindAddress: \"a:b\"",
                "[HealthzBindAddress: Invalid value: \"a\": must be a valid IP, HealthzBindAddress: Invalid value: \"b\": must be a valid port]",
            ),
            (
                "healthzBindAddress: \"1.2.3.4:99999\"\nmetricsBindAddress: x",
                "[HealthzBindAddress: Invalid value: \"99999\": must be a valid port, MetricsBindAddress: Invalid value: \"x\": must be IP:port]",
            ),
            (
                "nodePortAddresses: [x, primary]",
                "[NodePortAddresses[0]: Invalid value: \"x\": must be a valid CIDR, NodePortAddresses[1]: Invalid value: \"primary\": can't use both 'primary' and CIDRs]",
            ),
            (
                "detectLocalMode: Foo",
                "DetectLocalMode: Unsupported value: \"Foo\": supported values: \"ClusterCIDR\", \"NodeCIDR\", \"BridgeInterface\", \"InterfaceNamePrefix\", \"\"",
            ),
            (
                "detectLocalMode: InterfaceNamePrefix",
                "DetectLocalConfiguration.InterfacePrefix: Invalid value: \"\": must not be empty",
            ),
            (
                "clusterCIDR: x",
                "DetectLocalConfiguration.ClusterCIDRs[0]: Invalid value: \"x\": must be a valid CIDR block (e.g. 10.100.0.0/16 or fde4:8dba:82e1::/48)",
            ),
            (
                "clusterCIDR: 10.0.0.0/8,10.0.0.0/8",
                "DetectLocalConfiguration.ClusterCIDRs: Invalid value: [\"10.0.0.0/8\",\"10.0.0.0/8\"]: must be a either a single CIDR or dual-stack pair of CIDRs (e.g. [10.100.0.0/16, fde4:8dba:82e1::/48]",
            ),
            (
                "featureGates: {Foo: true}",
                "featureGates: Invalid value: {\"Foo\":true}: unrecognized feature gate: Foo",
            ),
        ] {
            assert_eq!(problems(text), message, "{text}");
        }
    }
}
