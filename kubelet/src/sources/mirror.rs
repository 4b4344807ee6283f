//! Mirror pods: what the API shows for static pods.
//!
//! A mirror follows its static pod and never the other way round; one that was changed or outlived its pod is deleted.
//!
//! upstream: pkg/kubelet/pod/mirror_client.go, pkg/kubelet/kubelet.go: tryReconcileMirrorPods

use std::time::Duration;

use component_base::Reader;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};

use crate::pod::view::{CONFIG_HASH, CONFIG_MIRROR, PodView};
use crate::pod::workers::Workers;

/// Mirrors are looked at no more often than this; a static pod that was just read must have its worker first.
const INTERVAL: Duration = Duration::from_secs(5);

/// Makes and deletes mirror pods; does nothing without an API.
pub struct Mirror {
    client: Option<Client>,
    node: String,
}

impl Mirror {
    /// Mirrors of `node`.
    pub fn new(client: Option<Client>, node: &str) -> Self {
        Self { client, node: node.to_owned() }
    }

    /// Makes sure that a static pod has its mirror.
    pub async fn reconcile(&self, pod: &Pod) {
        let Some(client) = self.client.clone().filter(|_| pod.is_static()) else {
            return;
        };
        if let Err(error) = self.try_reconcile(client, pod).await {
            tracing::debug!(namespace = pod.namespace(), name = pod.name(), %error, "mirror pod was not made");
        }
    }

    async fn try_reconcile(&self, client: Client, pod: &Pod) -> Result<(), kube::Error> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), pod.namespace());
        if let Some(current) = pods.get_opt(pod.name()).await? {
            let ours = current.annotation(CONFIG_MIRROR) == pod.annotation(CONFIG_HASH);
            if ours && current.metadata.deletion_timestamp.is_none() {
                return Ok(());
            }
            if !current.is_mirror() {
                return Ok(());
            }
            self.delete(&pods, &current).await?;
        }
        let node: Node = Api::all(client).get(&self.node).await?;
        pods.create(&PostParams::default(), &self.copy(pod, &node)).await.map(drop)
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

    /// Deletes a mirror whose static pod is gone.
    pub async fn delete_orphan(&self, mirror: &Pod) {
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
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Deletes mirrors whose static pod is gone, until the kubelet ends.
pub async fn delete_orphans(pods: Reader<Pod>, workers: Workers) {
    let mut events = pods.events();
    pods.synced().await;
    loop {
        tokio::time::sleep(INTERVAL).await;
        for mirror in pods.list().into_iter().filter(|pod| pod.is_mirror()) {
            if workers.stage(mirror.annotation(CONFIG_MIRROR)).is_none() {
                workers.machinery().mirror.delete_orphan(&mirror).await;
            }
        }
        if events.next().await.is_none() {
            return;
        }
        while events.try_next().is_some() {}
    }
}
