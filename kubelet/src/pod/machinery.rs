//! What every pod worker works with. It is built once and shared; each part owns its own state.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;

use super::admission::MachineRules;
use super::backoff::Backoff;
use super::cgroup::PodCgroups;
use super::classes::RuntimeClasses;
use super::dns::DnsSettings;
use super::fields::Surroundings;
use super::resources::CpuSettings;
use super::security::SecuritySettings;
use super::view::PodView;
use crate::allocation::Allocations;
use crate::events::Events;
use crate::images::Images;
use crate::node::NodePlace;
use crate::objects::Objects;
use crate::paths::Paths;
use crate::probes::Probes;
use crate::runtime::{Abilities, ObservedPod, Runtime};
use crate::sources::mirror::Mirror;
use crate::status::Statuses;
use crate::sys::Kernel;
use crate::volumes::Volumes;

/// The parts.
pub struct Machinery {
    /// Container runtime.
    pub runtime: Arc<dyn Runtime>,
    /// Its name, the scheme of container ids.
    pub runtime_name: String,
    /// Kernel.
    pub kernel: Arc<dyn Kernel>,
    /// ConfigMaps, Secrets, Services.
    pub objects: Arc<Objects>,
    /// Volumes.
    pub volumes: Volumes,
    /// Images.
    pub images: Images,
    /// Probes.
    pub probes: Probes,
    /// Statuses.
    pub statuses: Arc<Statuses>,
    /// Mirror pods.
    pub mirror: Mirror,
    /// Events.
    pub events: Events,
    /// Paths.
    pub paths: Paths,
    /// Classes of runtimes.
    pub classes: RuntimeClasses,
    /// What was promised to pods.
    pub allocations: Allocations,
    /// Groups of pods.
    pub cgroups: PodCgroups,
    /// Crash loops, by pod and container.
    pub crash_loops: Mutex<Backoff>,
    /// Facts that change.
    pub node: NodeState,
    /// What the configuration says.
    pub settings: PodSettings,
}

/// What the configuration says about pods.
#[derive(Clone, Debug)]
pub struct PodSettings {
    /// Names.
    pub dns: DnsSettings,
    /// Security.
    pub security: SecuritySettings,
    /// CPU and memory.
    pub cpu: CpuSettings,
    /// What the node's owner and the machine allow.
    pub machine: MachineRules,
}

/// Facts about the node that change while it runs.
#[derive(Default)]
pub struct NodeState {
    /// Addresses of the node, the primary one first.
    pub host_ips: Mutex<Vec<String>>,
    /// What pods may use.
    pub allocatable: Mutex<BTreeMap<String, String>>,
    /// What the runtime can do.
    pub abilities: Mutex<Abilities>,
    /// Labels and taints of the node.
    pub place: NodePlace,
    /// Why pods cannot get a network, empty when they can.
    pub network_error: Mutex<String>,
}

impl Machinery {
    /// What a pod's fields tell about where it runs.
    pub fn surroundings(&self, pod: &Pod, observed: &ObservedPod) -> Surroundings {
        let host_ips = self.node.host_ips.lock().clone();
        let mut pod_ips = observed.ips().to_vec();
        if pod.host_network() && pod_ips.is_empty() {
            pod_ips.clone_from(&host_ips);
        }
        Surroundings { pod_ips, host_ips, allocatable: self.node.allocatable.lock().clone() }
    }
}
