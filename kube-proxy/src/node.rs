//! This node: its name, addresses, pod networks and zone. upstream: pkg/proxy/node.go, cmd/kube-proxy/app/server.go

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use component_base::informer::Reader;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use tracing::{info, warn};

use crate::model::Family;

/// How long to wait for the node to have addresses.
const ADDRESSES_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for the node to have pod networks, where they are needed.
const POD_CIDRS_TIMEOUT: Duration = Duration::from_secs(300);
const POLL_PERIOD: Duration = Duration::from_millis(500);

const ZONE: &str = "topology.kubernetes.io/zone";
/// Set by the cluster autoscaler on nodes that it is about to delete.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// The node's name: the override or the host's name, trimmed and in lower case as the kubelet does it.
pub fn node_name(hostname_override: &str) -> String {
    let own = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = if hostname_override.is_empty() { own() } else { hostname_override.to_owned() };
    name.trim().to_lowercase()
}

/// Internal addresses, then external ones, at most one per family.
pub fn node_ips(node: &Node) -> Vec<IpAddr> {
    let addresses = node.status.as_ref().and_then(|s| s.addresses.as_deref()).unwrap_or_default();
    let of =
        |kind: &'static str| addresses.iter().filter(move |a| a.type_ == kind).filter_map(|a| a.address.parse().ok());
    let mut found: Vec<IpAddr> = Vec::new();
    for ip in of("InternalIP").chain(of("ExternalIP")) {
        if !found.iter().any(|known| Family::of(*known) == Family::of(ip)) {
            found.push(ip);
        }
    }
    found
}

/// Networks of the node's pods.
pub fn pod_cidrs(node: &Node) -> Vec<IpNet> {
    let spec = node.spec.as_ref();
    spec.and_then(|s| s.pod_cidrs.as_deref()).unwrap_or_default().iter().filter_map(|net| net.parse().ok()).collect()
}

/// The zone label; empty when absent.
pub fn zone(node: &Node) -> String {
    node.metadata.labels.as_ref().and_then(|l| l.get(ZONE)).cloned().unwrap_or_default()
}

/// Whether load balancers should send traffic to the node.
pub fn is_eligible(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default();
    node.metadata.deletion_timestamp.is_none() && !taints.iter().any(|t| t.key == TO_BE_DELETED)
}

/// Waits until the node has addresses, and pod networks if they are needed; gives up in time and says so.
pub async fn wait_for_node(reader: &Reader<Node>, name: &str, needs_pod_cidrs: bool) -> Option<std::sync::Arc<Node>> {
    let limit = if needs_pod_cidrs { POD_CIDRS_TIMEOUT } else { ADDRESSES_TIMEOUT };
    let complete = async {
        loop {
            let node = reader.get("", name);
            if node.as_ref().is_some_and(|n| !node_ips(n).is_empty() && (!needs_pod_cidrs || !pod_cidrs(n).is_empty()))
            {
                return node;
            }
            tokio::time::sleep(POLL_PERIOD).await;
        }
    };
    match tokio::time::timeout(limit, complete).await {
        Ok(node) => node,
        Err(_elapsed) => {
            warn!(node = name, "Timed out waiting for the node to exist and to have addresses");
            reader.get("", name)
        }
    }
}

/// The primary family and an address per family: the bind address, the node's, or loopback.
pub fn detect_ips(node: Option<&Node>, bind_address: &str) -> (Family, BTreeMap<Family, IpAddr>) {
    let mut ips: BTreeMap<_, _> = [Family::V4, Family::V6].map(|f| (f, f.loopback())).into();
    let mut primary = Family::V4;
    let own = node.map(node_ips).unwrap_or_default();
    if let Some(first) = own.first() {
        primary = Family::of(*first);
    }
    ips.extend(own.into_iter().map(|ip| (Family::of(ip), ip)));
    if let Some(ip) = bind_address.parse::<IpAddr>().ok().filter(|ip| !ip.is_unspecified()) {
        primary = Family::of(ip);
        ips.insert(primary, ip);
    }
    if ips[&primary].is_loopback() {
        info!(
            "Can't determine this node's IP, assuming loopback; if this is incorrect, please set the --bind-address flag"
        );
    }
    (primary, ips)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(json: &str) -> Node {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn reads_the_node() {
        let n = node(
            r#"{"metadata":{"labels":{"topology.kubernetes.io/zone":"z"}},"spec":{"podCIDRs":["10.1.0.0/24"],"taints":[{"key":"ToBeDeletedByClusterAutoscaler","effect":"NoSchedule"}]},
                "status":{"addresses":[{"type":"Hostname","address":"h"},{"type":"ExternalIP","address":"1.2.3.4"},{"type":"InternalIP","address":"10.0.0.1"},{"type":"InternalIP","address":"fd00::1"}]}}"#,
        );
        assert_eq!(node_ips(&n).iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.1", "fd00::1"]);
        assert_eq!((zone(&n).as_str(), is_eligible(&n), pod_cidrs(&n).len()), ("z", false, 1));
        let (primary, ips) = detect_ips(Some(&n), "0.0.0.0");
        assert_eq!((primary, ips[&Family::V4].to_string()), (Family::V4, "10.0.0.1".to_owned()));
        let (primary, ips) = detect_ips(None, "fd00::7");
        assert_eq!(
            (primary, ips[&Family::V6].to_string(), ips[&Family::V4].to_string()),
            (Family::V6, "fd00::7".to_owned(), "127.0.0.1".to_owned())
        );
    }
}
