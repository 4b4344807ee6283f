//! Names of chains and sets, as upstream's: a short hash and a readable part.

use crate::backend::hash::short_hash;
use crate::model::{Endpoint, PortName};

/// nftables takes 256 characters, 16 of which upstream keeps for prefixes.
const MAX: usize = 240;

fn hashed(name: &str) -> String {
    let mut full = format!("{}-{name}", short_hash(&[name], 8));
    if full.len() > MAX {
        full.truncate(MAX - 3);
        full.push_str("...");
    }
    full
}

/// Names that belong to a service port.
pub(super) struct ServiceNames {
    pub(super) cluster: String,
    pub(super) local: String,
    pub(super) external: String,
    pub(super) firewall: String,
}

impl ServiceNames {
    pub(super) fn new(name: &PortName) -> Self {
        let base = hashed(&path(name));
        Self {
            cluster: format!("service-{base}"),
            local: format!("local-{base}"),
            external: format!("external-{base}"),
            firewall: format!("firewall-{base}"),
        }
    }
}

fn path(name: &PortName) -> String {
    format!("{}/{}/{}/{}", name.service.namespace, name.service.name, name.protocol.lower(), name.port)
}

/// The chain and the affinity set of an endpoint.
pub(super) fn endpoint_names(name: &PortName, endpoint: &Endpoint) -> (String, String) {
    let ip = endpoint.address.ip().to_string().replace(':', ".");
    let base = hashed(&format!("{}__{ip}/{}", path(name), endpoint.address.port()));
    (format!("endpoint-{base}"), format!("affinity-{base}"))
}

/// Whether a chain belongs to a service.
pub(super) fn is_service_chain(chain: &str) -> bool {
    chain.contains('/')
}

/// Whether a set remembers clients of an endpoint.
pub(super) fn is_affinity_set(set: &str) -> bool {
    set.starts_with("affinity-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;
    use component_base::ObjectKey;

    #[test]
    fn names_are_upstreams() {
        let name = PortName { service: ObjectKey::new("ns1", "svc1"), port: "p80".into(), protocol: Protocol::Tcp };
        assert_eq!(ServiceNames::new(&name).cluster, "service-ULMVA6XW-ns1/svc1/tcp/p80");
        let long = PortName {
            service: ObjectKey::new(&"n".repeat(200), &"s".repeat(60)),
            port: "p".into(),
            protocol: Protocol::Tcp,
        };
        assert_eq!(ServiceNames::new(&long).cluster.len(), "service-".len() + MAX);
    }
}
