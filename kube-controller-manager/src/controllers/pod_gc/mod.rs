//! pod-garbage-collector-controller: every 20 seconds deletes pods that nobody else does
//! (upstream: pkg/controller/podgc).

mod plan;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use component_base::informer::Object as _;
use component_base::{Chain, Reader};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;
use tracing::{error, info};

use super::StartError;
use crate::context::{Context, Shared};
use crate::runner::{Doing as _, ReconcileError};
use crate::{api, pods};
use plan::Reason;

const INTERVAL: Duration = Duration::from_secs(20);
/// A node must be missing this long before its pods count as orphaned.
const QUARANTINE: Duration = Duration::from_secs(40);

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("pod-garbage-collector", "pod-garbage-collector-controller")?;
    let threshold = usize::try_from(shared.flags.int("terminated-pod-gc-threshold")).unwrap_or(0);
    let mut collector = PodGc {
        pods: crate::pods::slim::reader(&context.informers),
        nodes: context.informers.reader(),
        missing: HashMap::new(),
        threshold,
        context: context.clone(),
    };
    component_base::task::spawn("pod-gc", async move {
        tokio::select! {
            () = context.stop.wait() => {}
            () = collector.run() => {}
        }
    });
    Ok(true)
}

struct PodGc {
    context: Context,
    pods: Reader<Pod>,
    nodes: Reader<Node>,
    /// Nodes that pods name and that do not exist, and since when.
    missing: HashMap<String, Timestamp>,
    threshold: usize,
}

impl PodGc {
    async fn run(&mut self) {
        self.pods.synced().await;
        self.nodes.synced().await;
        info!(controller = "pod-garbage-collector-controller", "Started controller");
        loop {
            self.round().await;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn round(&mut self) {
        let all = self.pods.list();
        let nodes: BTreeMap<String, Arc<Node>> =
            self.nodes.list().into_iter().map(|node| (node.name().to_owned(), node)).collect();
        let now = self.context.clock.now();
        let named = all.iter().map(|pod| pods::node(pod)).filter(|node| !node.is_empty() && !nodes.contains_key(*node));
        let missing: HashMap<String, Timestamp> =
            named.map(|node| (node.to_owned(), *self.missing.get(node).unwrap_or(&now))).collect();
        self.missing = missing;
        let long = |node: &str| {
            self.missing.get(node).is_some_and(|since| component_base::clock::since(now, *since) >= QUARANTINE)
        };
        let victims = plan::victims(&all, &nodes, long, self.threshold);
        for (pod, reason) in victims {
            if reason == Reason::Orphaned && !self.is_node_absent(pods::node(&pod)).await {
                continue;
            }
            if let Err(error) = self.delete(&pod, reason, now).await {
                error!(controller = "pod-garbage-collector-controller", namespace = pod.namespace(), name = pod.name(), err = %Chain(&error), "Failed to delete a pod");
            }
        }
    }

    async fn is_node_absent(&self, node: &str) -> bool {
        let nodes: Api<Node> = Api::all(self.context.client.clone());
        matches!(nodes.get_opt(node).await, Ok(None))
    }

    async fn delete(&self, pod: &Pod, reason: Reason, now: Timestamp) -> Result<(), ReconcileError> {
        let client: Api<Pod> = Api::namespaced(self.context.client.clone(), pod.namespace());
        info!(namespace = pod.namespace(), name = pod.name(), reason = ?reason, "Garbage collecting a pod");
        if !pods::is_terminal(pod) {
            let mut status = json!({ "phase": "Failed" });
            if reason == Reason::Orphaned {
                let condition = PodCondition {
                    type_: "DisruptionTarget".to_owned(),
                    status: "True".to_owned(),
                    reason: Some("DeletionByPodGC".to_owned()),
                    message: Some("PodGC: node no longer exists".to_owned()),
                    last_transition_time: Some(api::time(now)),
                    ..PodCondition::default()
                };
                status["conditions"] = json!([condition]);
            }
            let patch = json!({ "metadata": { "uid": pod.uid() }, "status": status });
            match client.patch_status(pod.name(), &PatchParams::default(), &Patch::Strategic(&patch)).await {
                Err(error) if api::has_code(&error, 404) => return Ok(()),
                other => other.map(drop).doing(|| "cannot set the phase".to_owned())?,
            }
        }
        let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match client.delete(pod.name(), &params).await {
            Err(error) if api::has_code(&error, 404) || api::has_code(&error, 409) => Ok(()),
            other => other.map(drop).doing(|| "cannot delete the pod".to_owned()),
        }
    }
}
