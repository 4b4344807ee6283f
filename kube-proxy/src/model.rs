//! Services and endpoints as the proxy sees them: one record per service port, one per endpoint. Pure.
//! upstream: pkg/proxy/{serviceport,endpoint,types}.go

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use component_base::informer::ObjectKey;
use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;

/// An IP family; each has rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The API's name, used in logs and as the metric label `ip_family`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// 127.0.0.1 or ::1.
    pub fn loopback(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// SCTP.
    Sctp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// From the API's name; absent means TCP.
    pub fn parse(name: Option<&str>) -> Self {
        match name {
            Some("UDP") => Self::Udp,
            Some("SCTP") => Self::Sctp,
            _ => Self::Tcp,
        }
    }

    /// As packet filters write it.
    pub fn lower(self) -> &'static str {
        match self {
            Self::Sctp => "sctp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Names one port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortName {
    /// Namespace and name of the service.
    pub service: ObjectKey,
    /// Name of the port; may be empty.
    pub port: String,
    /// Protocol of the port.
    pub protocol: Protocol,
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.service)?;
        if !self.port.is_empty() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

/// One port of a service, in one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// The virtual address.
    pub cluster_ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// Port on every node, or 0.
    pub node_port: u16,
    /// Load balancer addresses that packets arrive with.
    pub load_balancer_vips: Vec<IpAddr>,
    /// Addresses routed here by somebody else.
    pub external_ips: Vec<IpAddr>,
    /// Clients that the load balancer addresses accept; empty means all.
    pub source_ranges: Vec<IpNet>,
    /// Seconds that a client sticks to its endpoint; `None` without session affinity.
    pub affinity_seconds: Option<i32>,
    /// Port that tells load balancers whether this node has endpoints, or 0.
    pub health_check_node_port: u16,
    /// Traffic from outside goes to endpoints on this node only.
    pub external_local: bool,
    /// Traffic from inside goes to endpoints on this node only.
    pub internal_local: bool,
}

impl ServicePort {
    /// Reachable from outside the cluster in some way.
    pub fn externally_accessible(&self) -> bool {
        self.node_port != 0 || !self.load_balancer_vips.is_empty() || !self.external_ips.is_empty()
    }

    /// Some traffic goes to endpoints anywhere.
    pub fn uses_cluster_endpoints(&self) -> bool {
        !self.internal_local || self.externally_accessible()
    }

    /// Some traffic goes to endpoints on this node only.
    pub fn uses_local_endpoints(&self) -> bool {
        self.internal_local || (self.external_local && self.externally_accessible())
    }
}

fn number(port: Option<i32>) -> u16 {
    port.and_then(|p| u16::try_from(p).ok()).unwrap_or(0)
}

fn cluster_ip(spec: &core::ServiceSpec, family: Family) -> Option<IpAddr> {
    let own = |ip: &str| ip.parse::<IpAddr>().ok().filter(|ip| Family::of(*ip) == family);
    match spec.cluster_ips.as_deref() {
        Some(ips) if !ips.is_empty() => ips.iter().find_map(|ip| own(ip)),
        _ => spec.cluster_ip.as_deref().and_then(own),
    }
}

/// The ports of a service in a family: none for headless and ExternalName services and for those without an address in it.
pub fn service_ports(service: &core::Service, family: Family) -> Vec<(PortName, ServicePort)> {
    let Some(spec) = &service.spec else { return Vec::new() };
    if spec.type_.as_deref() == Some("ExternalName") {
        return Vec::new();
    }
    let Some(cluster_ip) = cluster_ip(spec, family) else { return Vec::new() };
    let external = matches!(spec.type_.as_deref(), Some("NodePort" | "LoadBalancer"))
        || spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty());
    let external_local = external && spec.external_traffic_policy.as_deref() == Some("Local");
    let ips = |list: &[String]| -> Vec<IpAddr> {
        list.iter().filter_map(|ip| ip.parse().ok()).filter(|ip| Family::of(*ip) == family).collect()
    };
    let affine = spec.session_affinity.as_deref() == Some("ClientIP");
    let timeout = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref()?.timeout_seconds);
    let balanced = spec.type_.as_deref() == Some("LoadBalancer");
    let base = ServicePort {
        cluster_ip,
        port: 0,
        node_port: 0,
        load_balancer_vips: vips(service, family),
        external_ips: ips(spec.external_ips.as_deref().unwrap_or_default()),
        source_ranges: source_ranges(spec, family),
        affinity_seconds: affine.then_some(timeout.unwrap_or(10800)),
        health_check_node_port: if balanced && external_local { number(spec.health_check_node_port) } else { 0 },
        external_local,
        internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
    };
    let key = ObjectKey::of(service);
    let ports = spec.ports.as_deref().unwrap_or_default().iter();
    ports
        .map(|port| {
            let protocol = Protocol::parse(port.protocol.as_deref());
            let name = PortName { service: key.clone(), port: port.name.clone().unwrap_or_default(), protocol };
            let own = ServicePort { port: number(Some(port.port)), node_port: number(port.node_port), ..base.clone() };
            (name, own)
        })
        .collect()
}

fn vips(service: &core::Service, family: Family) -> Vec<IpAddr> {
    let ingress =
        service.status.as_ref().and_then(|s| s.load_balancer.as_ref()?.ingress.as_deref()).unwrap_or_default();
    let vip = ingress.iter().filter(|i| i.ip_mode.as_deref().is_none_or(|mode| mode == "VIP"));
    vip.filter_map(|i| i.ip.as_deref()?.parse().ok()).filter(|ip| Family::of(*ip) == family).collect()
}

fn source_ranges(spec: &core::ServiceSpec, family: Family) -> Vec<IpNet> {
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or_default().iter();
    let parsed: Vec<IpNet> = ranges
        .filter_map(|range| range.trim().parse::<IpNet>().ok())
        .map(|net| net.trunc())
        .filter(|net| Family::of(net.addr()) == family)
        .collect();
    if parsed.iter().any(|net| net.prefix_len() == 0) { Vec::new() } else { parsed }
}

/// One endpoint of a service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// On this node.
    pub local: bool,
    /// Takes new connections.
    pub ready: bool,
    /// Answers, be it terminating or not.
    pub serving: bool,
    /// Is going away.
    pub terminating: bool,
    /// Zones that should use it; empty means no hint.
    pub zones: BTreeSet<String>,
    /// Nodes that should use it; empty means no hint.
    pub nodes: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: &str, status: &str) -> core::Service {
        let text = format!(r#"{{"metadata":{{"name":"s","namespace":"ns"}},"spec":{spec},"status":{status}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn reads_a_load_balancer() {
        let s = service(
            r#"{"type":"LoadBalancer","clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1","fd00::1"],"externalTrafficPolicy":"Local",
                "healthCheckNodePort":32000,"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}},
                "externalIPs":["1.2.3.4","::5"],"loadBalancerSourceRanges":[" 10.1.2.3/8 ","fd00::/64"],
                "ports":[{"name":"p","port":80,"nodePort":30080},{"name":"q","port":53,"protocol":"UDP"}]}"#,
            r#"{"loadBalancer":{"ingress":[{"ip":"5.6.7.8"},{"ip":"5.6.7.9","ipMode":"Proxy"},{"hostname":"x"}]}}"#,
        );
        let ports = service_ports(&s, Family::V4);
        assert_eq!(ports.iter().map(|(n, _)| n.to_string()).collect::<Vec<_>>(), ["ns/s:p", "ns/s:q"]);
        let p = &ports[0].1;
        assert_eq!((p.port, p.node_port, p.affinity_seconds, p.health_check_node_port), (80, 30080, Some(60), 32000));
        assert_eq!(p.load_balancer_vips, ["5.6.7.8".parse::<IpAddr>().unwrap()]);
        assert_eq!(p.external_ips, ["1.2.3.4".parse::<IpAddr>().unwrap()]);
        assert_eq!(p.source_ranges, ["10.0.0.0/8".parse::<IpNet>().unwrap()]);
        assert!(p.external_local && !p.internal_local);
        assert_eq!(service_ports(&s, Family::V6)[0].1.cluster_ip, "fd00::1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn skips_services_without_an_address() {
        for spec in
            [r#"{"clusterIP":"None","ports":[{"port":80}]}"#, r#"{"type":"ExternalName","clusterIP":"10.0.0.1"}"#]
        {
            assert!(service_ports(&service(spec, "{}"), Family::V4).is_empty(), "{spec}");
        }
        assert!(
            service_ports(&service(r#"{"clusterIP":"10.0.0.1","ports":[{"port":80}]}"#, "{}"), Family::V6).is_empty()
        );
    }
}
