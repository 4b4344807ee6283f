//! Registration: creating the node, or taking over one of that name.
//!
//! upstream: pkg/kubelet/kubelet_node_status.go: registerWithAPIServer

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeStatus};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::object::NodeFacts;

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(7);

/// Tries until the node is registered. `status` is its first status.
pub async fn register(client: Client, facts: &NodeFacts, status: NodeStatus) {
    let nodes: Api<Node> = Api::all(client);
    let mut wait = RETRY_MIN;
    loop {
        match try_register(&nodes, facts, &status).await {
            Ok(()) => {
                tracing::info!(node = facts.name, "node is registered");
                return;
            }
            Err(error) => tracing::warn!(node = facts.name, %error, "node is not registered yet"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

async fn try_register(nodes: &Api<Node>, facts: &NodeFacts, status: &NodeStatus) -> Result<(), kube::Error> {
    let mut node = facts.node();
    node.status = Some(status.clone());
    match nodes.create(&PostParams::default(), &node).await {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 409 => {}
        Err(error) => return Err(error),
    }
    let existing = nodes.get(&facts.name).await?;
    let labels = existing.metadata.labels.unwrap_or_default();
    let annotations = existing.metadata.annotations.unwrap_or_default();
    let differs = facts.all_labels().iter().any(|(key, value)| labels.get(key) != Some(value))
        || facts.annotations().iter().any(|(key, value)| annotations.get(key) != Some(value));
    if differs {
        // Only what the kubelet sets itself; everything else on the node belongs to others.
        let patch = json!({ "metadata": { "labels": facts.all_labels(), "annotations": facts.annotations() } });
        nodes.patch(&facts.name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
    }
    Ok(())
}
