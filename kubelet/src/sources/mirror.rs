//! Mirror pods: what the API shows for static pods.
//!
//! A mirror follows its static pod and never the other way round; one that was changed or outlived its pod is deleted.
//! What is there is looked up in the informer: a node may not read a pod that does not exist yet.
//!
//! upstream: pkg/kubelet/pod/mirror_client.go, pkg/kubelet/kubelet.go: tryReconcileMirrorPods

use std::sync::OnceLock;
use std::time::Duration;

use component_base::informer::Event;
use component_base::{Reader, client};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};

use crate::pod::view::{CONFIG_HASH, CONFIG_MIRROR, PodView};
use crate::pod::workers::Workers;

/// A mirror without a pod is left alone for this time: its static pod may just have been read.
const ORPHAN_WAIT: Duration = Duration::from_secs(5);

/// Makes and deletes mirror pods; does nothing without an API.
pub struct Mirror {
    client: Option<Client>,
    node: String,
    pods: OnceLock<Reader<Pod>>,
}

impl Mirror {
    /// Mirrors of `node`.
    pub fn new(client: Option<Client>, node: &str) -> Self {
        Self { client, node: node.to_owned(), pods: OnceLock::new() }
    }

    /// Where the pods of this node are looked up. The first call counts.
    pub fn set_pods(&self, pods: Reader<Pod>) {
        let _first_counts = self.pods.set(pods);
    }

    /// Makes sure that a static pod has its mirror; true when one was made.
    pub async fn reconcile(&self, pod: &Pod) -> bool {
        let (Some(client), Some(known)) = (self.client.clone(), self.pods.get().filter(|pods| pods.is_synced())) else {
            return false;
        };
        if !pod.is_static() {
            return false;
        }
        let current = known.get(pod.namespace(), pod.name());
        let result = self.try_reconcile(client, pod, current.as_deref()).await;
        result.unwrap_or_else(|error| {
            tracing::debug!(namespace = pod.namespace(), name = pod.name(), %error, "mirror pod was not made");
            false
        })
    }

    async fn try_reconcile(&self, client: Client, pod: &Pod, current: Option<&Pod>) -> Result<bool, kube::Error> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), pod.namespace());
        if let Some(current) = current {
            let ours = current.annotation(CONFIG_MIRROR) == pod.annotation(CONFIG_HASH);
            if !current.is_mirror() || (ours && current.metadata.deletion_timestamp.is_none()) {
                return Ok(false);
            }
            self.delete(&pods, current).await?;
        }
        let node: Node = Api::all(client).get(&self.node).await?;
        match pods.create(&PostParams::default(), &self.copy(pod, &node)).await {
            Ok(_) => Ok(true),
            Err(error) if client::is_conflict(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn copy(&self, pod: &Pod, node: &Node) -> Pod {
        let mut copy = pod.clone();
        copy.metadata.uid = None;
        copy.status = None;
        let hash = pod.annotation(CONFIG_HASH).to_owned();
        copy.metadata.annotations.get_or_insert_default().insert(CONFIG_MIRROR.to_owned(), hash);
        copy.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: self.node.clone(),
            uid: node.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: None,
        }]);
        copy
    }

    async fn delete_orphan(&self, mirror: &Pod) {
        let Some(client) = self.client.clone() else {
            return;
        };
        let pods: Api<Pod> = Api::namespaced(client, mirror.namespace());
        if let Err(error) = self.delete(&pods, mirror).await {
            tracing::debug!(namespace = mirror.namespace(), name = mirror.name(), %error, "mirror pod was not deleted");
        }
    }

    async fn delete(&self, pods: &Api<Pod>, mirror: &Pod) -> Result<(), kube::Error> {
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: mirror.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        match pods.delete(mirror.name(), &params).await {
            Ok(_) => Ok(()),
            Err(error) if client::is_not_found(&error) || client::is_conflict(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Follows the mirrors of this node: one that was deleted is made again by its pod's worker, one without a pod goes.
pub async fn follow(pods: Reader<Pod>, workers: Workers) {
    let mut events = pods.events();
    pods.synced().await;
    // Static pods that started before the API was read have no mirror yet.
    workers.wake_all();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => wake(&workers, &event),
                None => return,
            },
            () = tokio::time::sleep(ORPHAN_WAIT) => {
                for mirror in pods.list().into_iter().filter(|pod| pod.is_mirror()) {
                    if workers.stage(mirror.annotation(CONFIG_MIRROR)).is_none() {
                        workers.machinery().mirror.delete_orphan(&mirror).await;
                    }
                }
            }
        }
    }
}

fn wake(workers: &Workers, event: &Event<Pod>) {
    let pod = event.object();
    let ends = event.new_state().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
    if pod.is_mirror() && ends {
        workers.wake(pod.annotation(CONFIG_MIRROR));
    }
}
