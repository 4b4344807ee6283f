//! A node with its pods and sums. upstream: pkg/scheduler/framework/types.go (NodeInfo)

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{HostPort, Node, Pod, Resources};

/// Host ports taken on a node, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortsInUse(BTreeMap<HostPort, u32>);

impl PortsInUse {
    /// Takes a port.
    pub fn add(&mut self, port: &HostPort) {
        *self.0.entry(port.clone()).or_default() += 1;
    }

    fn remove(&mut self, port: &HostPort) {
        if let Some(count) = self.0.get_mut(port) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(port);
            }
        }
    }

    /// Whether the port is taken: on the same address, or on any when one of the two is the wildcard address.
    pub fn conflicts(&self, wanted: &HostPort) -> bool {
        const WILDCARD: &str = "0.0.0.0";
        self.0.keys().any(|taken| {
            taken.port == wanted.port
                && taken.protocol == wanted.protocol
                && (taken.ip == wanted.ip || &*taken.ip == WILDCARD || &*wanted.ip == WILDCARD)
        })
    }
}

/// A node with the pods on it. Cloned when it changes while a snapshot holds it.
#[derive(Debug, Clone)]
pub struct NodeInfo {
    /// The node.
    pub node: Arc<Node>,
    /// Its pods.
    pub pods: Vec<Arc<Pod>>,
    /// Sum of requests.
    pub requested: Resources,
    /// Sum of CPU requests with defaults for containers that ask for none.
    pub nonzero_milli_cpu: i64,
    /// Likewise memory, in bytes.
    pub nonzero_memory: i64,
    /// Host ports taken.
    pub ports: PortsInUse,
    /// Number of pods with any affinity terms.
    pub with_affinity: u32,
    /// Number of pods with required anti-affinity terms.
    pub with_required_anti_affinity: u32,
}

impl Default for NodeInfo {
    fn default() -> Self {
        let empty: Node = serde_json::from_str("{}").expect("every field of a node has a default");
        Self {
            node: Arc::new(empty),
            pods: Vec::new(),
            requested: Resources::default(),
            nonzero_milli_cpu: 0,
            nonzero_memory: 0,
            ports: PortsInUse::default(),
            with_affinity: 0,
            with_required_anti_affinity: 0,
        }
    }
}

impl NodeInfo {
    /// Adds a pod and its sums.
    pub fn add_pod(&mut self, pod: Arc<Pod>) {
        self.account(&pod, 1);
        self.pods.push(pod);
    }

    /// Removes a pod by UID and its sums; tells whether it was there.
    pub fn remove_pod(&mut self, uid: &str) -> bool {
        let Some(position) = self.pods.iter().position(|pod| *pod.uid == *uid) else { return false };
        let pod = self.pods.swap_remove(position);
        self.account(&pod, -1);
        true
    }

    fn account(&mut self, pod: &Pod, sign: i32) {
        self.requested.add(&pod.requests, i64::from(sign));
        self.nonzero_milli_cpu += i64::from(sign) * pod.nonzero_milli_cpu;
        self.nonzero_memory += i64::from(sign) * pod.nonzero_memory;
        for port in &pod.host_ports {
            if sign > 0 { self.ports.add(port) } else { self.ports.remove(port) }
        }
        if let Some(terms) = &pod.affinity {
            self.with_affinity = self.with_affinity.saturating_add_signed(sign);
            if !terms.required_anti.is_empty() {
                self.with_required_anti_affinity = self.with_required_anti_affinity.saturating_add_signed(sign);
            }
        }
    }
}
