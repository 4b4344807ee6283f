//! The node object: what is in it whatever the node's state.
//!
//! upstream: pkg/kubelet/kubelet_node_status.go: initialNode

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    DaemonEndpoint, Node, NodeAddress, NodeDaemonEndpoints, NodeSpec, NodeSwapStatus, NodeSystemInfo, Taint,
};
use kube::core::ObjectMeta;

use crate::options::Configuration;
use crate::sys::Machine;

/// What does not change while the kubelet runs.
#[derive(Clone, Debug)]
pub struct NodeFacts {
    /// Name of the node.
    pub name: String,
    /// Host name.
    pub hostname: String,
    /// Addresses, the primary one first.
    pub addresses: Vec<IpAddr>,
    /// The machine.
    pub machine: Machine,
    /// Such as `containerd://1.7.0`.
    pub runtime_version: String,
    /// Port of the server.
    pub port: u16,
    /// Labels from `--node-labels`.
    pub labels: BTreeMap<String, String>,
    /// Taints to register with.
    pub taints: Vec<Taint>,
    /// Register as unschedulable until a cloud controller has seen the node.
    pub external_cloud: bool,
    /// Identity at the provider.
    pub provider_id: String,
    /// Attaching volumes is left to the controller.
    pub controller_attaches: bool,
}

impl NodeFacts {
    /// From the configuration.
    pub fn new(
        name: &str,
        config: &Configuration,
        addresses: Vec<IpAddr>,
        machine: Machine,
        runtime_version: String,
    ) -> Self {
        Self {
            name: name.to_owned(),
            hostname: name.to_owned(),
            addresses,
            machine,
            runtime_version,
            port: u16::try_from(config.port).unwrap_or_default(),
            labels: BTreeMap::new(),
            taints: config.register_with_taints.clone(),
            external_cloud: false,
            provider_id: config.provider_id.clone(),
            controller_attaches: config.enable_controller_attach_detach,
        }
    }

    /// The labels that every node has, and those that were asked for.
    pub fn all_labels(&self) -> BTreeMap<String, String> {
        let arch = self.machine.facts.architecture.as_str();
        let fixed = [
            ("kubernetes.io/hostname", self.hostname.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", arch),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", arch),
        ];
        let mut labels: BTreeMap<String, String> =
            fixed.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        labels.extend(self.labels.clone());
        labels
    }

    /// The annotations that the kubelet sets.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::new();
        if self.controller_attaches {
            annotations.insert("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".to_owned());
        }
        annotations
    }

    /// A node to register, without its status.
    pub fn node(&self) -> Node {
        let mut taints = self.taints.clone();
        if self.external_cloud {
            taints.push(Taint {
                key: "node.cloudprovider.kubernetes.io/uninitialized".to_owned(),
                value: Some("true".to_owned()),
                effect: "NoSchedule".to_owned(),
                time_added: None,
            });
        }
        Node {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(self.all_labels()),
                annotations: Some(self.annotations()).filter(|annotations| !annotations.is_empty()),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec {
                taints: (!taints.is_empty()).then_some(taints),
                provider_id: Some(self.provider_id.clone()).filter(|id| !id.is_empty()),
                ..NodeSpec::default()
            }),
            status: None,
        }
    }

    /// Addresses as the API writes them.
    pub fn node_addresses(&self) -> Vec<NodeAddress> {
        let internal = self.addresses.iter().map(|ip| ("InternalIP", ip.to_string()));
        let all = internal.chain([("Hostname", self.hostname.clone())]);
        all.map(|(type_, address)| NodeAddress { type_: type_.to_owned(), address }).collect()
    }

    /// Versions and identities.
    pub fn system_info(&self) -> NodeSystemInfo {
        let facts = &self.machine.facts;
        NodeSystemInfo {
            architecture: facts.architecture.clone(),
            boot_id: facts.boot_id.clone(),
            container_runtime_version: self.runtime_version.clone(),
            kernel_version: facts.kernel_version.clone(),
            kube_proxy_version: String::new(),
            kubelet_version: component_base::version::GIT_VERSION.to_owned(),
            machine_id: facts.machine_id.clone(),
            operating_system: "linux".to_owned(),
            os_image: facts.os_image.clone(),
            swap: i64::try_from(self.machine.swap_bytes)
                .ok()
                .filter(|bytes| *bytes > 0)
                .map(|bytes| NodeSwapStatus { capacity: Some(bytes) }),
            system_uuid: facts.system_uuid.clone(),
        }
    }

    /// Where the server listens.
    pub fn endpoints(&self) -> NodeDaemonEndpoints {
        NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(self.port) }) }
    }
}

/// A version without what a distribution appended; pre-release and build of a semantic version stay.
pub fn plain_version(text: &str) -> &str {
    let text = text.trim().trim_start_matches('v');
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    if rest.starts_with(['-', '+']) { text } else { numbers.trim_end_matches('.') }
}

#[cfg(test)]
mod tests {
    use super::plain_version;

    #[test]
    fn versions_lose_what_a_distribution_appended() {
        assert_eq!(plain_version("1.6.20~ds1"), "1.6.20");
        assert_eq!(plain_version("v2.0.0-rc.1"), "2.0.0-rc.1");
        assert_eq!(plain_version("1.7"), "1.7");
    }
}
