//! The node's status: measured every few seconds, written when it changed and at the latest after some minutes.
//!
//! upstream: pkg/kubelet/kubelet_node_status.go: syncNodeStatus, tryUpdateNodeStatus

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use component_base::{Shutdown, clock};
use k8s_openapi::api::core::v1::{
    ContainerImage, Node, NodeCondition, NodeFeatures, NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::json;

use super::conditions::{Measured, Pressure, conditions};
use super::object::NodeFacts;
use super::resources::{NodeResources, Reservations, hugepages, node_resources};
use crate::pod::machinery::Machinery;
use crate::pod::status::whole_second;
use crate::runtime::Abilities;
use crate::sync_loop::RelistHealth;

/// Until the node was ready once, its status is looked at this often.
const EAGER_INTERVAL: Duration = Duration::from_millis(500);
/// Most names of one image.
const NAMES_PER_IMAGE_MAX: usize = 5;

/// What the runtime says about itself.
#[derive(Debug, Default)]
pub struct RuntimeState(Mutex<String>);

impl RuntimeState {
    /// Notes what is wrong; empty when nothing is.
    pub fn set(&self, problem: String) {
        *self.0.lock() = problem;
    }

    fn problem(&self) -> String {
        self.0.lock().clone()
    }
}

/// Measures and writes.
pub struct Reporter {
    /// Parts of the kubelet.
    pub cx: Arc<Machinery>,
    /// What does not change.
    pub facts: NodeFacts,
    /// What is kept from pods.
    pub kept: Reservations,
    /// Hard eviction thresholds.
    pub thresholds: BTreeMap<String, String>,
    /// Whether containers are looked at.
    pub relist: Arc<RelistHealth>,
    /// Whether the runtime is ready.
    pub runtime: Arc<RuntimeState>,
    /// What the node runs short of, for others.
    pub pressure: Arc<Mutex<Pressure>>,
    /// When each kind of pressure was seen last.
    pub seen: Mutex<[Option<Instant>; 3]>,
    /// How long a condition of pressure stays.
    pub transition: Duration,
    /// Most images in the status, -1 for all.
    pub images_max: i32,
    /// How often the status is measured.
    pub interval: Duration,
    /// After which time it is written even if nothing changed.
    pub report_interval: Duration,
}

/// upstream: pkg/kubelet/nodestatus/setters.go: RuntimeHandlers
fn runtime_handlers(abilities: &Abilities) -> Option<Vec<NodeRuntimeHandler>> {
    let handlers: Vec<NodeRuntimeHandler> = abilities
        .handlers
        .iter()
        .map(|handler| NodeRuntimeHandler {
            name: Some(handler.name.clone()),
            features: Some(NodeRuntimeHandlerFeatures {
                recursive_read_only_mounts: Some(handler.recursive_read_only_mounts),
                user_namespaces: Some(handler.user_namespaces),
            }),
        })
        .collect();
    (!handlers.is_empty()).then_some(handlers)
}

impl Reporter {
    /// Measures the status. `old` are the conditions before.
    pub async fn status(&self, old: &[NodeCondition]) -> NodeStatus {
        let disk = self.cx.kernel.filesystem_space(self.cx.paths.root()).unwrap_or_default();
        let resources = node_resources(&self.facts.machine, &disk, &hugepages(), &self.kept);
        self.share(&resources);
        let measured = self.measure(disk).await;
        let pressure = Pressure::of(&self.thresholds, &measured);
        *self.pressure.lock() = pressure;
        let pressure = self.hold(pressure);
        let amounts = |list: BTreeMap<String, String>| {
            Some(list.into_iter().map(|(name, amount)| (name, Quantity(amount))).collect())
        };
        let now = Time(whole_second(clock::now()));
        let abilities = self.cx.node.abilities.lock().clone();
        NodeStatus {
            addresses: Some(self.facts.node_addresses()),
            capacity: amounts(resources.capacity),
            allocatable: amounts(resources.allocatable),
            conditions: Some(conditions(pressure, &self.problem(), old, &now)),
            daemon_endpoints: Some(self.facts.endpoints()),
            images: Some(self.images().await),
            node_info: Some(self.facts.system_info()),
            features: Some(NodeFeatures { supplemental_groups_policy: Some(abilities.supplemental_groups_policy) }),
            runtime_handlers: runtime_handlers(&abilities),
            ..NodeStatus::default()
        }
    }

    /// A condition stays for a while after the pressure is gone, or pods would come and go.
    fn hold(&self, now: Pressure) -> Pressure {
        let mut seen = self.seen.lock();
        let mut held = |index: usize, pressed: bool| {
            let last = seen.get_mut(index)?;
            if pressed {
                *last = Some(Instant::now());
            }
            *last
        };
        let mut holds = |index: usize, pressed: bool| {
            held(index, pressed).is_some_and(|at| at.elapsed() < self.transition || pressed)
        };
        Pressure { memory: holds(0, now.memory), disk: holds(1, now.disk), pids: holds(2, now.pids) }
    }

    fn share(&self, resources: &NodeResources) {
        self.cx.node.allocatable.lock().clone_from(&resources.allocatable);
        *self.cx.node.host_ips.lock() = self.facts.addresses.iter().map(ToString::to_string).collect();
    }

    async fn measure(&self, node_disk: crate::sys::FilesystemSpace) -> Measured {
        let images = self.cx.runtime.image_filesystems().await.unwrap_or_default();
        let mountpoint = images.into_iter().find_map(|usage| usage.fs_id.map(|id| id.mountpoint));
        let image_disk = mountpoint.and_then(|path| self.cx.kernel.filesystem_space(path.as_ref()).ok());
        let (processes, processes_max) = crate::sys::process_counts();
        Measured {
            memory_available_bytes: crate::sys::memory_available_bytes(),
            memory_bytes: self.facts.machine.memory_bytes,
            image_disk: image_disk.unwrap_or(node_disk),
            node_disk,
            processes,
            processes_max,
        }
    }

    fn problem(&self) -> String {
        let network = self.cx.node.network_error.lock().clone();
        let relist = self.relist.check().err().unwrap_or_default();
        let problems = [self.runtime.problem(), network, relist];
        let problems: Vec<String> = problems.into_iter().filter(|problem| !problem.is_empty()).collect();
        match problems.len() {
            0 | 1 => problems.into_iter().next().unwrap_or_default(),
            _ => format!("[{}]", problems.join(", ")),
        }
    }

    async fn images(&self) -> Vec<ContainerImage> {
        let mut images = self.cx.runtime.list_images().await.unwrap_or_default();
        images.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.id.cmp(&b.id)));
        let most = usize::try_from(self.images_max).unwrap_or(usize::MAX);
        images
            .into_iter()
            .take(most)
            .map(|image| ContainerImage {
                names: Some(image.repo_digests.into_iter().chain(image.repo_tags).take(NAMES_PER_IMAGE_MAX).collect()),
                size_bytes: i64::try_from(image.size).ok(),
            })
            .collect()
    }

    /// Writes the status until `stop`.
    pub async fn run(self, client: Client, stop: Shutdown) {
        let nodes: Api<Node> = Api::all(client);
        let mut last: Option<(NodeStatus, Instant)> = None;
        let mut was_ready = false;
        loop {
            match self.update(&nodes, last.as_ref()).await {
                Ok(Some(status)) => {
                    was_ready |= is_ready(&status);
                    last = Some((status, Instant::now()));
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(node = self.facts.name, %error, "node status was not written"),
            }
            tokio::select! {
                () = stop.wait() => return,
                () = tokio::time::sleep(if was_ready { self.interval } else { EAGER_INTERVAL }) => {}
            }
        }
    }

    async fn update(
        &self,
        nodes: &Api<Node>,
        last: Option<&(NodeStatus, Instant)>,
    ) -> Result<Option<NodeStatus>, kube::Error> {
        let known = last.and_then(|(status, _)| status.conditions.clone());
        let old = match known {
            Some(conditions) => conditions,
            None => {
                let node = nodes.get(&self.facts.name).await?;
                self.cx.node.place.tell(&node);
                if let Some(cidr) = node.spec.and_then(|spec| spec.pod_cidr) {
                    self.tell_pod_cidr(&cidr).await;
                }
                node.status.and_then(|status| status.conditions).unwrap_or_default()
            }
        };
        let status = self.status(&old).await;
        if last.is_some_and(|(before, at)| at.elapsed() < self.report_interval && same(before, &status)) {
            return Ok(None);
        }
        // The first time everything is told, so that the events of a start are complete.
        self.tell_changes(if last.is_some() { &old } else { &[] }, &status);
        let patch = json!({ "status": status });
        nodes.patch_status(&self.facts.name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        Ok(Some(status))
    }

    async fn tell_pod_cidr(&self, cidr: &str) {
        if let Err(error) = self.cx.runtime.update_pod_cidr(cidr).await {
            tracing::warn!(cidr, %error, "runtime was not told the pod CIDR");
        }
    }

    fn tell_changes(&self, old: &[NodeCondition], status: &NodeStatus) {
        for condition in status.conditions.iter().flatten() {
            let before = old.iter().find(|before| before.type_ == condition.type_);
            if before.is_some_and(|before| before.status == condition.status) {
                continue;
            }
            let event = match (condition.type_.as_str(), condition.status.as_str()) {
                ("Ready", "True") => "NodeReady",
                ("Ready", _) => "NodeNotReady",
                ("MemoryPressure", "True") => "NodeHasInsufficientMemory",
                ("MemoryPressure", _) => "NodeHasSufficientMemory",
                ("DiskPressure", "True") => "NodeHasDiskPressure",
                ("DiskPressure", _) => "NodeHasNoDiskPressure",
                ("PIDPressure", "True") => "NodeHasInsufficientPID",
                ("PIDPressure", _) => "NodeHasSufficientPID",
                _ => continue,
            };
            self.cx.events.node(event, format!("Node {} status is now: {event}", self.facts.name));
        }
    }
}

fn is_ready(status: &NodeStatus) -> bool {
    status.conditions.iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Equal but for the heartbeats.
fn same(a: &NodeStatus, b: &NodeStatus) -> bool {
    let quiet = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status
    };
    quiet(a) == quiet(b)
}
