//! Names of chains. They are part of the contract: another proxy finds its predecessor's chains by them.
//! Upstream hashes because chain names are limited to 28 characters.

use crate::backend::hash::short_hash;
use crate::model::{Endpoint, PortName};

const SERVICE: &str = "KUBE-SVC-";
const SERVICE_LOCAL: &str = "KUBE-SVL-";
const FIREWALL: &str = "KUBE-FW-";
const EXTERNAL: &str = "KUBE-EXT-";
const ENDPOINT: &str = "KUBE-SEP-";
const HASH_LENGTH: usize = 16;

/// The chains of a service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceChains {
    pub(super) cluster: String,
    pub(super) local: String,
    pub(super) firewall: String,
    pub(super) external: String,
}

impl ServiceChains {
    pub(super) fn new(name: &PortName) -> Self {
        let hash = short_hash(&[&name.to_string(), name.protocol.lower()], HASH_LENGTH);
        Self {
            cluster: format!("{SERVICE}{hash}"),
            local: format!("{SERVICE_LOCAL}{hash}"),
            firewall: format!("{FIREWALL}{hash}"),
            external: format!("{EXTERNAL}{hash}"),
        }
    }
}

/// The chain of an endpoint of a service port.
pub(super) fn endpoint_chain(name: &PortName, endpoint: &Endpoint) -> String {
    let hash = short_hash(&[&name.to_string(), name.protocol.lower(), &endpoint.address.to_string()], HASH_LENGTH);
    format!("{ENDPOINT}{hash}")
}

/// Whether a chain belongs to some service port or endpoint.
pub(super) fn is_service_chain(chain: &str) -> bool {
    [SERVICE, SERVICE_LOCAL, FIREWALL, EXTERNAL, ENDPOINT].iter().any(|prefix| chain.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;
    use component_base::ObjectKey;

    #[test]
    fn names_are_upstreams() {
        // Known from upstream's tests and any cluster: the chain of default/kubernetes:https.
        let name = PortName {
            service: ObjectKey::new("default", "kubernetes"),
            port: "https".into(),
            protocol: Protocol::Tcp,
        };
        assert_eq!(ServiceChains::new(&name).cluster, "KUBE-SVC-NPX46M4PTMTKRN6Y");
        let name = PortName {
            service: ObjectKey::new("kube-system", "kube-dns"),
            port: "dns".into(),
            protocol: Protocol::Udp,
        };
        assert_eq!(ServiceChains::new(&name).cluster, "KUBE-SVC-TCOU7JCQXEZGVUNU");
        // From upstream's TestOverallIPTablesRules.
        let name = PortName { service: ObjectKey::new("ns1", "svc1"), port: "p80".into(), protocol: Protocol::Tcp };
        assert_eq!(ServiceChains::new(&name).cluster, "KUBE-SVC-XPGD46QRK7WJZT7O");
        let endpoint = Endpoint {
            address: "10.180.0.1:80".parse().unwrap(),
            local: false,
            ready: true,
            serving: true,
            terminating: false,
            zones: Default::default(),
            nodes: Default::default(),
        };
        assert_eq!(endpoint_chain(&name, &endpoint), "KUBE-SEP-SXIVWICOYRO3J4NJ");
    }
}
