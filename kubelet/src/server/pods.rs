//! The pods of this node.
//!
//! upstream: pkg/kubelet/server/server.go: getPods, getRunningPods

use component_base::serving::{ResponseBody, json};
use http::{Response, StatusCode};
use serde_json::{Value, json as object};

use super::{Context, Refusal};
use crate::pod::view::PodView;
use crate::runtime::labels;
use crate::runtime::types::ContainerState;

/// Every pod with the status that this node has computed.
pub async fn pods(cx: Context) -> Response<ResponseBody> {
    let statuses = &cx.workers.machinery().statuses;
    let items: Vec<Value> = cx
        .workers
        .pods()
        .into_iter()
        .map(|pod| {
            let mut pod = pod.as_ref().clone();
            if let Some(status) = statuses.get(pod.uid()) {
                pod.status = Some(status);
            }
            let mut value = serde_json::to_value(pod).unwrap_or_default();
            if let Some(fields) = value.as_object_mut() {
                fields.remove("apiVersion");
                fields.remove("kind");
            }
            value
        })
        .collect();
    json(StatusCode::OK, &list(items))
}

/// What runs, as far as the runtime alone tells.
pub async fn running(cx: Context) -> Response<ResponseBody> {
    let containers = match cx.workers.machinery().runtime.list_containers(None).await {
        Ok(containers) => containers,
        Err(error) => return Refusal::internal(error.to_string()).response(),
    };
    let mut pods: std::collections::BTreeMap<String, Value> = std::collections::BTreeMap::new();
    for container in containers.iter().filter(|container| container.state() == ContainerState::ContainerRunning) {
        let label = |key: &str| container.labels.get(key).cloned().unwrap_or_default();
        let pod = pods.entry(label(labels::POD_UID)).or_insert_with(|| {
            object!({
                "metadata": { "name": label(labels::POD_NAME), "namespace": label(labels::POD_NAMESPACE), "uid": label(labels::POD_UID) },
                "spec": { "containers": [] }, "status": {}
            })
        });
        let image = container.image.as_ref().map(|image| image.image.clone()).unwrap_or_default();
        if let Some(list) = pod["spec"]["containers"].as_array_mut() {
            list.push(object!({ "name": label(labels::CONTAINER_NAME), "image": image, "resources": {} }));
        }
    }
    json(StatusCode::OK, &list(pods.into_values().collect()))
}

fn list(items: Vec<Value>) -> Value {
    object!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items })
}
