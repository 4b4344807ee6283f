//! What the scheduler does to the cluster: binds, writes pod status, evicts victims, records events.
//! Behind a trait, so that the scheduling cycle runs in tests and benchmarks without an API server.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use component_base::Chain;
use component_base::client::is_not_found;
use component_base::clock;
use component_base::events::{EventType, Recorder, reference};
use component_base::informer::Reader;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use parking_lot::Mutex;
use serde_json::json;
use tracing::{debug, error, info};

use crate::model::{Claim, PersistentVolume, Pod, PodKey};

/// Longest event note that the API takes, in bytes.
const NOTE_LIMIT: usize = 1024;

/// A request to the API server that failed.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// The request could not be made.
    #[error("cannot build the request to {0}")]
    Build(&'static str, #[source] kube::core::request::Error),
    /// The server refused it or could not be reached.
    #[error("{1}")]
    Api(&'static str, #[source] kube::Error),
    /// An object that is no JSON.
    #[error("cannot encode the {0}")]
    Encode(&'static str, #[source] serde_json::Error),
}

/// The condition PodScheduled=False to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotScheduled {
    /// Unschedulable or SchedulerError.
    pub reason: &'static str,
    /// Why.
    pub message: String,
}

/// Acts on the cluster.
#[async_trait]
pub trait Actions: Send + Sync {
    /// Binds a pod to a node.
    ///
    /// # Errors
    /// When the API server refuses.
    async fn bind(&self, pod: &Pod, node: &str) -> Result<(), ActionError>;
    /// Writes the condition and, if given, the nominated node; does nothing when both are as they should be.
    ///
    /// # Errors
    /// When the API server refuses.
    async fn write_status(
        &self,
        pod: &Pod,
        condition: Option<NotScheduled>,
        nominated: Option<&str>,
    ) -> Result<(), ActionError>;
    /// Reserves a volume for a claim; the controller of volumes then binds them to each other.
    ///
    /// # Errors
    /// When the API server refuses.
    async fn reserve_volume(&self, volume: &PersistentVolume, claim: &Claim) -> Result<(), ActionError>;
    /// Asks for a volume to be provisioned for a claim on a node.
    ///
    /// # Errors
    /// When the API server refuses.
    async fn select_node(&self, claim: &Claim, node: &str) -> Result<(), ActionError>;
    /// Evicts the victims and clears the nominations of the outranked pods, in the background.
    fn preempt(&self, preemptor: Arc<Pod>, node: Arc<str>, victims: Vec<Arc<Pod>>, outranked: Vec<Arc<Pod>>);
    /// Whether the pod's victims are still being evicted.
    fn is_preempting(&self, uid: &str) -> bool;
    /// Records an event about a pod.
    fn event(&self, pod: &Pod, type_: EventType, reason: &str, action: &str, note: &str);
}

/// Called when an eviction failed, so that the preemptor is tried again.
pub type RetryPod = Box<dyn Fn(&PodKey) + Send + Sync>;

/// [`Actions`] on a real API server.
pub struct ApiActions {
    inner: Arc<Inner>,
}

struct Inner {
    client: kube::Client,
    instance: String,
    recorders: Mutex<HashMap<Box<str>, Recorder>>,
    pods: Reader<Pod>,
    /// Preemptors, and once only the last victim is left, that victim.
    preempting: Mutex<HashMap<Arc<str>, Option<PodKey>>>,
    retry: OnceLock<RetryPod>,
}

impl ApiActions {
    /// Acts through a client; `host` names this instance in events.
    pub fn new(client: kube::Client, host: &str, pods: Reader<Pod>) -> Self {
        let inner = Inner {
            client,
            instance: host.to_owned(),
            recorders: Mutex::default(),
            pods,
            preempting: Mutex::default(),
            retry: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Sets what to do when an eviction fails; the first call counts.
    pub fn on_failed_preemption(&self, retry: RetryPod) {
        // A second handler is a mistake in wiring; keeping the first is harmless.
        let _ = self.inner.retry.set(retry);
    }
}

fn path(pod: &Pod) -> String {
    format!("/api/v1/namespaces/{}/pods", pod.namespace())
}

impl Inner {
    async fn send(&self, what: &'static str, request: http::Request<Vec<u8>>) -> Result<(), ActionError> {
        self.client.request::<serde::de::IgnoredAny>(request).await.map(drop).map_err(|e| ActionError::Api(what, e))
    }

    async fn patch_status(&self, pod: &Pod, status: serde_json::Value) -> Result<(), ActionError> {
        let patch = Patch::Strategic(json!({"metadata": {"uid": &*pod.uid}, "status": status}));
        let request = Request::new(path(pod))
            .patch_subresource("status", pod.name(), &PatchParams::default(), &patch)
            .map_err(|e| ActionError::Build("pod status", e))?;
        self.send("patch of the pod's status", request).await
    }

    async fn merge_patch(
        &self,
        what: &'static str,
        path: String,
        name: &str,
        patch: serde_json::Value,
    ) -> Result<(), ActionError> {
        let request = Request::new(path)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .map_err(|e| ActionError::Build(what, e))?;
        self.send(what, request).await
    }

    fn recorder(&self, scheduler: &str) -> Recorder {
        let mut recorders = self.recorders.lock();
        if let Some(known) = recorders.get(scheduler) {
            return known.clone();
        }
        let instance = format!("{scheduler}-{}", self.instance);
        let recorder = Recorder::events_v1(self.client.clone(), scheduler, &instance);
        recorders.insert(scheduler.into(), recorder.clone());
        recorder
    }

    async fn evict(&self, preemptor: &Pod, node: &str, victim: &Pod) -> Result<(), ActionError> {
        let condition = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": format!("{}: preempting to accommodate a higher priority pod", preemptor.scheduler_name),
            "lastProbeTime": null,
            "lastTransitionTime": clock::now_time(),
            "observedGeneration": victim.metadata.generation,
        });
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(victim.uid.to_string()), resource_version: None }),
            ..DeleteParams::default()
        };
        let delete = Request::new(path(victim))
            .delete(victim.name(), &params)
            .map_err(|e| ActionError::Build("pod deletion", e))?;
        for step in [
            self.patch_status(victim, json!({"conditions": [condition]})).await,
            self.send("deletion of the victim", delete).await,
        ] {
            match step {
                Err(ActionError::Api(_, error)) if is_not_found(&error) => return Ok(()),
                step => step?,
            }
        }
        let note = format!("Preempted by pod {} on node {node}", preemptor.uid);
        self.recorder(&preemptor.scheduler_name).eventf(
            reference(victim),
            Some(reference(preemptor)),
            EventType::Normal,
            "Preempted",
            "Preempting",
            note,
        );
        info!(namespace = victim.namespace(), name = victim.name(), node, preemptor = %preemptor.key, "Preemptor pod preempted victim pod");
        Ok(())
    }

    async fn evict_all(
        &self,
        preemptor: &Pod,
        node: &str,
        victims: &[Arc<Pod>],
        outranked: &[Arc<Pod>],
    ) -> Result<(), ActionError> {
        for pod in outranked.iter().filter(|p| !p.nominated_node.is_empty()) {
            self.patch_status(pod, json!({"nominatedNodeName": null})).await?;
        }
        let Some((last, others)) = victims.split_last() else { return Ok(()) };
        let evictions = others.iter().map(|victim| self.evict(preemptor, node, victim));
        futures::future::try_join_all(evictions).await?;
        // From here on the deletion event of the last victim brings the preemptor back.
        self.preempting.lock().insert(Arc::clone(&preemptor.uid), Some(last.key.clone()));
        self.evict(preemptor, node, last).await
    }
}

#[async_trait]
impl Actions for ApiActions {
    async fn bind(&self, pod: &Pod, node: &str) -> Result<(), ActionError> {
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name(), "namespace": pod.namespace(), "uid": &*pod.uid},
            "target": {"kind": "Node", "name": node},
        });
        let body = serde_json::to_vec(&binding).map_err(|e| ActionError::Encode("binding", e))?;
        let request = Request::new(path(pod))
            .create_subresource("binding", pod.name(), &PostParams::default(), body)
            .map_err(|e| ActionError::Build("binding", e))?;
        self.inner.send("binding", request).await
    }

    async fn write_status(
        &self,
        pod: &Pod,
        condition: Option<NotScheduled>,
        nominated: Option<&str>,
    ) -> Result<(), ActionError> {
        let mut status = serde_json::Map::new();
        let same = |c: &NotScheduled| {
            pod.scheduled
                .as_ref()
                .is_some_and(|s| *s.status == *"False" && *s.reason == *c.reason && *s.message == *c.message)
        };
        if let Some(condition) = condition.filter(|c| !same(c)) {
            let mut value = json!({
                "type": "PodScheduled",
                "status": "False",
                "reason": condition.reason,
                "message": condition.message,
                "observedGeneration": pod.metadata.generation,
            });
            if pod.scheduled.as_ref().is_none_or(|s| *s.status != *"False") {
                value["lastProbeTime"] = serde_json::Value::Null;
                value["lastTransitionTime"] = json!(clock::now_time());
            }
            status.insert("conditions".into(), json!([value]));
        }
        if let Some(node) = nominated.filter(|node| *pod.nominated_node != **node) {
            let value = if node.is_empty() { serde_json::Value::Null } else { json!(node) };
            status.insert("nominatedNodeName".into(), value);
        }
        if status.is_empty() {
            return Ok(());
        }
        self.inner.patch_status(pod, status.into()).await
    }

    async fn reserve_volume(&self, volume: &PersistentVolume, claim: &Claim) -> Result<(), ActionError> {
        let reference = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": claim.metadata.namespace,
            "name": claim.metadata.name,
            "uid": claim.metadata.uid,
            "resourceVersion": claim.metadata.resource_version,
        });
        let patch = json!({
            "metadata": {
                "resourceVersion": volume.metadata.resource_version,
                "annotations": {"pv.kubernetes.io/bound-by-controller": "yes"},
            },
            "spec": {"claimRef": reference},
        });
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        self.inner.merge_patch("reservation of the volume", "/api/v1/persistentvolumes".into(), name, patch).await
    }

    async fn select_node(&self, claim: &Claim, node: &str) -> Result<(), ActionError> {
        let patch = json!({
            "metadata": {
                "resourceVersion": claim.metadata.resource_version,
                "annotations": {"volume.kubernetes.io/selected-node": node},
            },
        });
        let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
        let path = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims");
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        self.inner.merge_patch("selection of the claim's node", path, name, patch).await
    }

    fn preempt(&self, preemptor: Arc<Pod>, node: Arc<str>, victims: Vec<Arc<Pod>>, outranked: Vec<Arc<Pod>>) {
        let metrics = crate::metrics::get();
        metrics.preemption_victims.with_label_values::<&str>(&[]).observe(crate::metrics::count(victims.len()));
        let victims: Vec<_> = victims.into_iter().filter(|v| !v.is_deleting()).collect();
        if victims.is_empty() {
            return;
        }
        self.inner.preempting.lock().insert(Arc::clone(&preemptor.uid), None);
        let inner = Arc::clone(&self.inner);
        component_base::task::spawn("preemption", async move {
            debug!(preemptor = %preemptor.key, node = &*node, victims = victims.len(), "Start the preemption");
            let result = inner.evict_all(&preemptor, &node, &victims, &outranked).await;
            inner.preempting.lock().remove(&preemptor.uid);
            if let Err(error) = result {
                error!(preemptor = %preemptor.key, node = &*node, err = %Chain(&error), "Error occurred during async preemption");
                if let Some(retry) = inner.retry.get() {
                    retry(&preemptor.key);
                }
            }
        });
    }

    fn is_preempting(&self, uid: &str) -> bool {
        let preempting = self.inner.preempting.lock();
        match preempting.get(uid) {
            None => false,
            Some(None) => true,
            Some(Some(last)) => self.inner.pods.get_key(last).is_some_and(|pod| !pod.is_deleting()),
        }
    }

    fn event(&self, pod: &Pod, type_: EventType, reason: &str, action: &str, note: &str) {
        self.inner.recorder(&pod.scheduler_name).eventf(reference(pod), None, type_, reason, action, truncated(note));
    }
}

/// Cuts a note to what the API takes.
fn truncated(note: &str) -> String {
    const SUFFIX: &str = " ...";
    if note.len() <= NOTE_LIMIT {
        return note.to_owned();
    }
    let mut end = NOTE_LIMIT - SUFFIX.len();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{SUFFIX}", &note[..end])
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_notes_are_cut() {
        let cut = super::truncated(&"x".repeat(2000));
        assert_eq!((cut.len(), &cut[1018..]), (1024, "xx ..."));
        assert_eq!(super::truncated("short"), "short");
    }
}
