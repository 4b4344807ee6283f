//! Events about pods, their containers and this node, with upstream's references.
//!
//! upstream: pkg/kubelet/events, pkg/kubelet/container/helpers.go: GenerateContainerRef

use component_base::events::{EventType, Recorder};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};

use crate::pod::view::{ContainerKind, PodView};

/// Writes events; without an API they only go to the log.
#[derive(Clone, Debug)]
pub struct Events {
    recorder: Option<Recorder>,
    node: String,
}

impl Events {
    /// Events of the kubelet on `node`.
    pub fn new(recorder: Option<Recorder>, node: &str) -> Self {
        Self { recorder, node: node.to_owned() }
    }

    /// Something normal about a pod.
    pub fn pod(&self, pod: &Pod, reason: &str, message: impl Into<String>) {
        self.record(pod_reference(pod), EventType::Normal, reason, message);
    }

    /// Something wrong with a pod.
    pub fn pod_warning(&self, pod: &Pod, reason: &str, message: impl Into<String>) {
        self.record(pod_reference(pod), EventType::Warning, reason, message);
    }

    /// Something normal about a container of a pod.
    pub fn container(&self, pod: &Pod, container: &str, reason: &str, message: impl Into<String>) {
        self.record(container_reference(pod, container), EventType::Normal, reason, message);
    }

    /// Something wrong with a container of a pod.
    pub fn container_warning(&self, pod: &Pod, container: &str, reason: &str, message: impl Into<String>) {
        self.record(container_reference(pod, container), EventType::Warning, reason, message);
    }

    /// Something normal about this node.
    pub fn node(&self, reason: &str, message: impl Into<String>) {
        self.record(self.node_reference(), EventType::Normal, reason, message);
    }

    /// Something wrong with this node.
    pub fn node_warning(&self, reason: &str, message: impl Into<String>) {
        self.record(self.node_reference(), EventType::Warning, reason, message);
    }

    fn record(&self, object: ObjectReference, kind: EventType, reason: &str, message: impl Into<String>) {
        let message = message.into();
        let name = object.name.as_deref().unwrap_or_default();
        tracing::debug!(
            kind = object.kind,
            namespace = object.namespace,
            name,
            field = object.field_path,
            event_type = kind.as_str(),
            reason,
            message,
            "event"
        );
        if let Some(recorder) = &self.recorder {
            recorder.event(object, kind, reason, message);
        }
    }

    /// Upstream writes the node's name in place of its UID, and `kubectl describe node` looks for that.
    fn node_reference(&self) -> ObjectReference {
        ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(self.node.clone()),
            uid: Some(self.node.clone()),
            ..ObjectReference::default()
        }
    }
}

fn pod_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        resource_version: pod.metadata.resource_version.clone(),
        field_path: None,
    }
}

fn container_reference(pod: &Pod, name: &str) -> ObjectReference {
    let list = match pod.container(name) {
        Some((ContainerKind::Init, _)) => "initContainers",
        Some((ContainerKind::Ephemeral, _)) => "ephemeralContainers",
        _ => "containers",
    };
    ObjectReference { field_path: Some(format!("spec.{list}{{{name}}}")), ..pod_reference(pod) }
}
