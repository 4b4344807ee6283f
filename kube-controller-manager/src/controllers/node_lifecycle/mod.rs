//! node-lifecycle-controller: notices nodes that are not heard of, and taints nodes by their conditions.
//!
//! Evictions follow from the NoExecute taints; taint-eviction-controller carries them out.
//! Upstream: pkg/controller/nodelifecycle.

mod plan;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use component_base::informer::{Object as _, Options};
use component_base::queue::Bucket;
use component_base::{Chain, ObjectKey, Reader};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, PodCondition};
use kube::api::{Api, Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;
use tracing::warn;

use super::StartError;
use crate::context::{Context, Shared};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::writes::Writes;
use crate::{api, events, pods};
use plan::{Health, Times, ZoneState};

const LEASES: &str = "kube-node-lease";
const REGION_LABEL: &str = "topology.kubernetes.io/region";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("node-controller", "node-controller")?;
    let flags = &shared.flags;
    let settings = Settings {
        times: Times {
            grace: flags.duration("node-monitor-grace-period"),
            startup_grace: flags.duration("node-startup-grace-period"),
        },
        period: flags.duration("node-monitor-period"),
        rate: flags.float("node-eviction-rate"),
        secondary_rate: flags.float("secondary-node-eviction-rate"),
        large_cluster: usize::try_from(flags.int("large-cluster-size-threshold")).unwrap_or(50),
        unhealthy_share: flags.float("unhealthy-zone-threshold"),
    };
    let pods = crate::pods::slim::reader(&context.informers);
    pods.add_index("node", |pod| vec![pods::node(pod).to_owned()]);
    let controller = NodeLifecycle {
        nodes: context.informers.reader(),
        leases: context.informers.reader_with(Options::in_namespace(LEASES)),
        pods,
        writes: Writes::default(),
        health: Mutex::default(),
        zones: Mutex::default(),
        settings,
        context: context.clone(),
    };
    runner::start(controller, &context, 8);
    Ok(true)
}

struct Settings {
    times: Times,
    period: Duration,
    /// Nodes per second that are tainted for eviction in a zone.
    rate: f64,
    secondary_rate: f64,
    large_cluster: usize,
    unhealthy_share: f64,
}

struct NodeLifecycle {
    context: Context,
    nodes: Reader<Node>,
    leases: Reader<Lease>,
    pods: Reader<Pod>,
    writes: Writes,
    health: Mutex<HashMap<ObjectKey, Health>>,
    /// Eviction budget of each zone.
    zones: Mutex<HashMap<String, (ZoneState, Bucket)>>,
    settings: Settings,
}

#[async_trait]
impl Controller for NodeLifecycle {
    const NAME: &'static str = "node-lifecycle-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.nodes, queue);
        let recorder = self.context.recorder.clone();
        self.nodes.on_event(move |event| {
            let node = event.object();
            let name = node.name();
            if event.old().is_none() {
                let text = format!("Node {name} event: Registered Node {name} in Controller");
                events::normal(&recorder, &**node, "RegisteredNode", text);
            } else if event.new_state().is_none() {
                let text = format!("Node {name} event: Removing Node {name} from Controller");
                events::normal(&recorder, &**node, "RemovingNode", text);
            }
        });
    }

    fn writes(&self) -> Option<&Writes> {
        Some(&self.writes)
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(node) = self.nodes.get_key(key) else {
            self.health.lock().remove(key);
            return Ok(Next::OnChange);
        };
        let now = self.context.clock.now();
        let renewed = self
            .leases
            .get(LEASES, &key.name)
            .and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0));
        let health = {
            let mut all = self.health.lock();
            let health = plan::observe(all.remove(key), &node, renewed, now);
            all.insert(key.clone(), health.clone());
            health
        };
        let lost = plan::lost_conditions(&node, &health, self.settings.times, now);
        let node = if lost.is_empty() { (*node).clone() } else { self.write_conditions(key, &node, &lost).await? };
        self.note_unready_pods(&node).await?;
        let wants_eviction = plan::wants_eviction(&node);
        let may_evict = wants_eviction && self.may_evict(&node);
        if let Some(taints) = plan::taints(&node, may_evict, now) {
            let patch = json!({
                "metadata": { "resourceVersion": node.resource_version() },
                "spec": { "taints": if taints.is_empty() { serde_json::Value::Null } else { json!(taints) } },
            });
            let nodes: Api<Node> = Api::all(self.context.client.clone());
            let written = nodes.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
            let written = written.doing(|| "cannot change taints".to_owned())?;
            self.writes.wrote(key, &self.nodes, &written);
        }
        if wants_eviction && !may_evict {
            return Ok(Next::After(Duration::from_secs(1)));
        }
        let lost_in = plan::lost_in(&node, &health, self.settings.times, now);
        Ok(Next::After(self.settings.period.min(lost_in)))
    }
}

impl NodeLifecycle {
    async fn write_conditions(
        &self,
        key: &ObjectKey,
        node: &Node,
        lost: &[NodeCondition],
    ) -> Result<Node, ReconcileError> {
        warn!(node = node.name(), "Node was not heard of");
        let nodes: Api<Node> = Api::all(self.context.client.clone());
        let patch =
            json!({ "metadata": { "resourceVersion": node.resource_version() }, "status": { "conditions": lost } });
        let written = nodes.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(&patch)).await;
        let written = written.doing(|| "cannot update conditions".to_owned())?;
        self.writes.wrote(key, &self.nodes, &written);
        let was_ready = plan::condition(node, "Ready").is_some_and(|ready| ready.status == "True");
        if was_ready {
            let text = format!("Node {} status is now: NodeNotReady", node.name());
            events::normal(&self.context.recorder, node, "NodeNotReady", text);
        }
        Ok(written)
    }

    /// Pods of a node that is not ready are not ready either.
    async fn note_unready_pods(&self, node: &Node) -> Result<(), ReconcileError> {
        let ready = plan::condition(node, "Ready");
        if ready.is_none_or(|ready| ready.status == "True") {
            return Ok(());
        }
        let now = self.context.clock.now();
        for pod in self.pods.by_index("node", node.name()) {
            if !pods::is_ready(&pod) || self.is_changing(&pod, now) {
                continue;
            }
            let condition = PodCondition {
                type_: "Ready".to_owned(),
                status: "False".to_owned(),
                last_transition_time: Some(api::time(now)),
                ..PodCondition::default()
            };
            let patch = json!({ "metadata": { "uid": pod.uid() }, "status": { "conditions": [condition] } });
            let client: Api<Pod> = Api::namespaced(self.context.client.clone(), pod.namespace());
            events::warning(&self.context.recorder, &*pod, "NodeNotReady", "Node is not ready");
            match client.patch_status(pod.name(), &PatchParams::default(), &Patch::Strategic(&patch)).await {
                Err(error) if !api::has_code(&error, 404) && !api::has_code(&error, 409) => {
                    warn!(namespace = pod.namespace(), name = pod.name(), err = %Chain(&error), "Failed to mark a pod not ready");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A node that reports itself not ready marks its pods itself; a just written pod is left to it.
    fn is_changing(&self, pod: &Pod, now: Timestamp) -> bool {
        let since = pods::condition(pod, "Ready").and_then(|ready| ready.last_transition_time.as_ref());
        since.is_some_and(|since| component_base::clock::since(now, since.0) < Duration::from_secs(1))
    }

    /// Takes one from the eviction budget of the node's zone, which depends on how many nodes there are in trouble.
    fn may_evict(&self, node: &Node) -> bool {
        let zone = zone_of(node);
        let nodes = self.nodes.list();
        let is_ready = |node: &Node| plan::condition(node, "Ready").is_some_and(|ready| ready.status == "True");
        let in_zone: Vec<bool> =
            nodes.iter().filter(|other| zone_of(other) == zone).map(|other| is_ready(other)).collect();
        let ready = in_zone.iter().filter(|ready| **ready).count();
        let state = plan::zone_state(ready, in_zone.len() - ready, self.settings.unhealthy_share);
        // If no node of the cluster is ready the trouble is on our side of the network: nothing is evicted.
        if nodes.len() > 1 && !nodes.iter().any(|node| is_ready(node)) {
            return false;
        }
        let rate = match state {
            ZoneState::Normal | ZoneState::Full => self.settings.rate,
            ZoneState::Partial if nodes.len() > self.settings.large_cluster => self.settings.secondary_rate,
            ZoneState::Partial => 0.0,
        };
        let mut zones = self.zones.lock();
        let entry = zones.entry(zone).or_insert_with(|| (state, Bucket::new(rate, 1.0)));
        if entry.0 != state {
            *entry = (state, Bucket::new(rate, 1.0));
        }
        rate > 0.0 && entry.1.try_take(Instant::now())
    }
}

fn zone_of(node: &Node) -> String {
    format!("{}:{}", node.label(REGION_LABEL).unwrap_or_default(), node.label(ZONE_LABEL).unwrap_or_default())
}
