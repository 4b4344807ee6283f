//! taint-eviction-controller: deletes pods that do not tolerate the NoExecute taints of their node
//! (upstream: pkg/controller/tainteviction).

mod plan;

use std::collections::HashMap;

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};
use kube::api::{Api, Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::json;

use super::StartError;
use crate::context::{Context, Shared};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::{api, events, pods};
use plan::Verdict;

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    // Upstream lets it act under the node controller's role.
    let context = shared.context("node-controller", "taint-eviction-controller")?;
    let pods = crate::pods::slim::reader(&context.informers);
    pods.add_index("node", |pod| vec![pods::node(pod).to_owned()]);
    let controller = TaintEviction {
        nodes: context.informers.reader(),
        pods,
        first_seen: Mutex::default(),
        context: context.clone(),
    };
    runner::start(controller, &context, 8);
    Ok(true)
}

struct TaintEviction {
    context: Context,
    nodes: Reader<Node>,
    pods: Reader<Pod>,
    /// Pods that are to go later, and since when.
    first_seen: Mutex<HashMap<ObjectKey, Timestamp>>,
}

#[async_trait]
impl Controller for TaintEviction {
    const NAME: &'static str = "taint-eviction-controller";

    fn watches(&self, queue: &Keys) {
        let keys = queue.clone();
        self.pods.on_event(move |event| {
            let is_new = event.old().is_none_or(|old| pods::node(old) != pods::node(event.object()));
            if is_new || event.new_state().is_none() {
                keys.add(ObjectKey::of(&**event.object()));
            }
        });
        let (pods, keys) = (self.pods.clone(), queue.clone());
        self.nodes.on_event(move |event| {
            let taints = |node: &Node| plan::evicting(node.spec.as_ref().and_then(|spec| spec.taints.as_ref()));
            let old = event.old().map(|node| taints(node)).unwrap_or_default();
            let new = event.new_state().map(|node| taints(node)).unwrap_or_default();
            if old != new {
                pods.by_index("node", event.object().name()).iter().for_each(|pod| keys.add(ObjectKey::of(&**pod)));
            }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let pod = self.pods.get_key(key).filter(|pod| !pod.is_deleting() && !pods::node(pod).is_empty());
        let Some(pod) = pod else {
            self.first_seen.lock().remove(key);
            return Ok(Next::OnChange);
        };
        let node = self.nodes.get("", pods::node(&pod));
        let taints = plan::evicting(node.as_ref().and_then(|node| node.spec.as_ref()?.taints.as_ref()));
        let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.clone()).unwrap_or_default();
        let now = self.context.clock.now();
        let first_seen = self.first_seen.lock().get(key).copied();
        match plan::judge(&tolerations, &taints, first_seen.unwrap_or(now), now) {
            Verdict::Stay => {
                if self.first_seen.lock().remove(key).is_some() {
                    let text = format!("Cancelling deletion of Pod {}", key);
                    events::normal(&self.context.recorder, &*pod, "TaintManagerEviction", text);
                }
                Ok(Next::OnChange)
            }
            Verdict::EvictIn(left) => {
                self.first_seen.lock().entry(key.clone()).or_insert(now);
                Ok(Next::After(left))
            }
            Verdict::Evict => {
                self.evict(key, &pod, now).await?;
                self.first_seen.lock().remove(key);
                Ok(Next::OnChange)
            }
        }
    }
}

impl TaintEviction {
    async fn evict(&self, key: &ObjectKey, pod: &Pod, now: Timestamp) -> Result<(), ReconcileError> {
        let client: Api<Pod> = Api::namespaced(self.context.client.clone(), &key.namespace);
        events::normal(&self.context.recorder, pod, "TaintManagerEviction", format!("Marking for deletion Pod {key}"));
        let condition = PodCondition {
            type_: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
            reason: Some("DeletionByTaintManager".to_owned()),
            message: Some("Taint manager: deleting due to NoExecute taint".to_owned()),
            last_transition_time: Some(api::time(now)),
            observed_generation: pod.metadata.generation,
            ..PodCondition::default()
        };
        let patch = json!({ "metadata": { "uid": pod.uid() }, "status": { "conditions": [condition] } });
        let patched = client.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(&patch)).await;
        match patched {
            Err(error) if api::has_code(&error, 404) => return Ok(()),
            other => other.map(drop).doing(|| "cannot set the pod's DisruptionTarget".to_owned())?,
        }
        match client.delete(&key.name, &api::delete_exactly(&pod.metadata)).await {
            Err(error) if api::has_code(&error, 404) || api::has_code(&error, 409) => Ok(()),
            other => other.map(drop).doing(|| "cannot delete the pod".to_owned()),
        }
    }
}
