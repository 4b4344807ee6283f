//! Writing statuses to the API, one pod after the other, and deleting pods that have ended there.
//!
//! upstream: pkg/kubelet/status/status_manager.go: syncBatch, syncPod, mergePodStatus

use std::sync::Arc;
use std::time::Duration;

use component_base::Reader;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use tokio::time::MissedTickBehavior;

use super::patch::status_patch;
use super::{Entry, Statuses};
use crate::pod::conditions;
use crate::pod::view::{CONFIG_HASH, CONFIG_MIRROR, PodView};

/// Everything is compared again after this time, for what got lost.
const INTERVAL: Duration = Duration::from_secs(10);

/// Tells whether containers of a pod may still run.
pub type RunningCheck = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// The task that writes statuses.
pub struct Publisher {
    statuses: Arc<Statuses>,
    client: Client,
    pods: Reader<Pod>,
    could_run: RunningCheck,
}

impl Publisher {
    /// Writes through `client`; `pods` are those of this node, as the API has them.
    pub fn new(statuses: Arc<Statuses>, client: Client, pods: Reader<Pod>, could_run: RunningCheck) -> Self {
        Self { statuses, client, pods, could_run }
    }

    /// Writes until the kubelet ends.
    pub async fn run(self) {
        let mut all = tokio::time::interval(INTERVAL);
        all.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let compare = tokio::select! {
                () = self.statuses.changed.notified() => false,
                _ = all.tick() => true,
            };
            for (uid, entry) in self.due(compare) {
                if let Err(error) = self.publish(&uid, &entry).await {
                    tracing::debug!(
                        namespace = entry.pod.namespace(), name = entry.pod.name(), uid, %error,
                        "status was not written, will be tried again"
                    );
                }
            }
        }
    }

    /// Statuses that were not written, and with `compare` those that the API has otherwise: somebody else wrote there,
    /// or a pod that has ended is still to be deleted.
    fn due(&self, compare: bool) -> Vec<(String, Entry)> {
        let entries = self.statuses.entries.lock();
        let differs = |uid: &str, entry: &Entry| {
            let known = self.pods.get(entry.pod.namespace(), entry.pod.name());
            known.is_some_and(|pod| {
                is_same(uid, &pod) && {
                    let merged = merge(&pod, &entry.status, (self.could_run)(uid));
                    status_patch(uid, pod.status(), &merged).is_some()
                }
            })
        };
        let is_due = |uid: &str, entry: &Entry| {
            entry.version > entry.published || (compare && (entry.finished || differs(uid, entry)))
        };
        entries.iter().filter(|(uid, entry)| is_due(uid, entry)).map(|(uid, e)| (uid.clone(), e.clone())).collect()
    }

    async fn publish(&self, uid: &str, entry: &Entry) -> Result<(), kube::Error> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), entry.pod.namespace());
        let name = entry.pod.name();
        let Some(current) = pods.get_opt(name).await? else {
            self.mark_published(uid, entry.version);
            return Ok(());
        };
        if !is_same(uid, &current) {
            // A new pod has taken the name: nobody wants to know about the old one.
            self.mark_published(uid, entry.version);
            return Ok(());
        }
        let merged = merge(&current, &entry.status, (self.could_run)(uid));
        let mut latest = current.clone();
        if let Some(patch) = status_patch(current.uid(), current.status(), &merged) {
            latest = pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        }
        self.mark_published(uid, entry.version);
        if can_be_deleted(&latest, entry) {
            self.delete(&pods, &latest).await?;
        }
        Ok(())
    }

    async fn delete(&self, pods: &Api<Pod>, pod: &Pod) -> Result<(), kube::Error> {
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        match pods.delete(pod.name(), &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn mark_published(&self, uid: &str, version: u64) {
        if let Some(entry) = self.statuses.entries.lock().get_mut(uid) {
            entry.published = entry.published.max(version);
        }
    }
}

/// The API's pod, or the mirror of a static one.
fn is_same(uid: &str, current: &Pod) -> bool {
    current.uid() == uid || current.annotation(CONFIG_MIRROR) == uid || current.annotation(CONFIG_HASH) == uid
}

fn can_be_deleted(latest: &Pod, entry: &Entry) -> bool {
    let terminal = matches!(latest.status().phase.as_deref(), Some("Succeeded" | "Failed"));
    latest.metadata.deletion_timestamp.is_some() && !latest.is_mirror() && terminal && entry.finished
}

/// What the kubelet does not own stays; a phase that ends the pod waits until nothing can run any more.
fn merge(current: &Pod, computed: &PodStatus, could_run: bool) -> PodStatus {
    let old = current.status();
    let mut new = computed.clone();
    let is_terminal = |phase: &Option<String>| matches!(phase.as_deref(), Some("Succeeded" | "Failed"));
    let ends = !is_terminal(&old.phase) && is_terminal(&new.phase);
    let owned = |kind: &str| conditions::OWNED.contains(&kind);
    let foreign = old.conditions.iter().flatten().filter(|condition| !owned(&condition.type_));
    let mut all: Vec<_> = foreign.cloned().collect();
    for condition in computed.conditions.iter().flatten() {
        let shared = condition.type_ == "DisruptionTarget" && ends && !could_run;
        if owned(&condition.type_) || shared {
            all.retain(|other| other.type_ != condition.type_);
            all.push(condition.clone());
        }
    }
    new.resource_claim_statuses.clone_from(&old.resource_claim_statuses);
    new.extended_resource_claim_status.clone_from(&old.extended_resource_claim_status);
    if new.nominated_node_name.is_none() {
        new.nominated_node_name.clone_from(&old.nominated_node_name);
    }
    if ends && could_run {
        new.phase.clone_from(&old.phase);
        new.reason.clone_from(&old.reason);
        new.message.clone_from(&old.message);
    }
    if is_terminal(&new.phase) {
        let reason = if new.phase.as_deref() == Some("Failed") { "PodFailed" } else { "PodCompleted" };
        for condition in all.iter_mut().filter(|c| matches!(c.type_.as_str(), "Ready" | "ContainersReady")) {
            if condition.status == "True" {
                "False".clone_into(&mut condition.status);
                condition.reason = Some(reason.to_owned());
                condition.message = None;
            }
        }
    }
    new.conditions = Some(all);
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_phase_waits_for_the_containers() {
        let current: Pod = serde_json::from_str(
            r#"{"status":{"phase":"Running","conditions":[{"type":"Own","status":"True"},{"type":"Ready","status":"True"}]}}"#,
        )
        .expect("valid");
        let computed: PodStatus =
            serde_json::from_str(r#"{"phase":"Failed","conditions":[{"type":"Ready","status":"True"}]}"#)
                .expect("valid");
        assert_eq!(merge(&current, &computed, true).phase.as_deref(), Some("Running"));
        let ended = merge(&current, &computed, false);
        assert_eq!(ended.phase.as_deref(), Some("Failed"));
        let kinds: Vec<_> = ended.conditions.iter().flatten().map(|c| format!("{}={}", c.type_, c.status)).collect();
        assert_eq!(kinds, ["Own=True", "Ready=False"]);
    }
}
