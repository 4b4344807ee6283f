//! Feeds of the authorizers' indexes from the watch caches: RBAC objects, and what the Node authorizer follows.
//!
//! upstream: plugin/pkg/auth/authorizer/node/graph_populator.go

use std::sync::Arc;

use apimachinery::value::{Value, from_value};
use tokio::sync::mpsc::UnboundedSender;

use super::node::{NodeAuthorizer, PodRefs, Target, VolumeRefs};
use super::rbac::Policy;
use crate::follow::Sink;

const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// The RBAC resource a sink is for.
#[derive(Clone, Copy, Debug)]
pub enum RbacKind {
    /// `clusterroles`
    ClusterRole,
    /// `roles`
    Role,
    /// `clusterrolebindings`
    ClusterRoleBinding,
    /// `rolebindings`
    RoleBinding,
}

impl RbacKind {
    /// All four with their plural names.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::ClusterRole, "clusterroles"),
        (Self::Role, "roles"),
        (Self::ClusterRoleBinding, "clusterrolebindings"),
        (Self::RoleBinding, "rolebindings"),
    ];
}

/// Writes one RBAC resource into the policy.
#[derive(Debug)]
pub struct RbacSink {
    /// Which resource.
    pub kind: RbacKind,
    /// Where to.
    pub policy: Arc<Policy>,
    /// Told when everything is in.
    pub synced: UnboundedSender<()>,
}

impl Sink for RbacSink {
    fn apply(&mut self, namespace: &str, name: &str, object: Option<&Value>) {
        let rules = || object.map(|o| from_value(o.get("rules")).unwrap_or_default());
        let binding = || object.map(|o| from_value(o).unwrap_or_default());
        match self.kind {
            RbacKind::ClusterRole => self.policy.set_cluster_role(name, rules()),
            RbacKind::Role => self.policy.set_role(namespace, name, rules()),
            RbacKind::ClusterRoleBinding => self.policy.set_cluster_binding(name, binding()),
            RbacKind::RoleBinding => self.policy.set_binding(namespace, name, binding()),
        }
    }

    fn synced(&mut self) {
        // nobody listens after start-up
        let _ = self.synced.send(());
    }
}

/// The resource a node sink is for.
#[derive(Clone, Copy, Debug)]
pub enum NodeKind {
    /// `pods`
    Pod,
    /// `persistentvolumes`
    Volume,
    /// `volumeattachments`
    Attachment,
    /// `resourceslices`
    Slice,
}

impl NodeKind {
    /// All with their groups and plural names.
    pub const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Pod, "", "pods"),
        (Self::Volume, "", "persistentvolumes"),
        (Self::Attachment, "storage.k8s.io", "volumeattachments"),
        (Self::Slice, "resource.k8s.io", "resourceslices"),
    ];
}

/// Writes one resource into the node authorizer's graph.
#[derive(Debug)]
pub struct NodeSink {
    /// Which resource.
    pub kind: NodeKind,
    /// Where to.
    pub node: Arc<NodeAuthorizer>,
}

impl Sink for NodeSink {
    fn apply(&mut self, namespace: &str, name: &str, object: Option<&Value>) {
        match self.kind {
            NodeKind::Pod => self.node.set_pod(namespace, name, object.map(pod_refs)),
            NodeKind::Volume => self.node.set_volume(name, object.and_then(volume_refs)),
            NodeKind::Attachment => {
                let node = object.map(|o| o.path(&["spec", "nodeName"]).str_or_empty());
                self.node.set_owned(Target::Attachment, name, node);
            }
            NodeKind::Slice => {
                let node = object.and_then(|o| o.path(&["spec", "nodeName"]).as_str());
                self.node.set_owned(Target::Slice, name, node);
            }
        }
    }
}

/// What a pod refers to.
fn pod_refs(pod: &Value) -> PodRefs {
    let spec = pod.get("spec");
    let mut out = PodRefs { node: spec.get("nodeName").str_or_empty().to_owned(), refs: Vec::new() };
    // a mirror pod is the node's own doing and must not open anything to it
    if out.node.is_empty() || pod.path(&["metadata", "annotations"]).has(MIRROR_ANNOTATION) {
        return out;
    }
    let mut add = |target: Target, name: &Value| {
        if let Some(name) = name.as_str().filter(|n| !n.is_empty()) {
            let entry = (target, name.to_owned());
            if !out.refs.contains(&entry) {
                out.refs.push(entry);
            }
        }
    };
    add(Target::ServiceAccount, spec.get("serviceAccountName"));
    for secret in spec.get("imagePullSecrets").items() {
        add(Target::Secret, secret.get("name"));
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.get(list).items() {
            container_refs(container, &mut add);
        }
    }
    for volume in spec.get("volumes").items() {
        volume_source_refs(volume, &mut add);
    }
    let pod_name = pod.path(&["metadata", "name"]).str_or_empty();
    for volume in spec.get("volumes").items().iter().filter(|v| v.has("ephemeral")) {
        let claim = format!("{pod_name}-{}", volume.get("name").str_or_empty());
        add(Target::Claim, &claim.as_str().into());
    }
    for status in pod.path(&["status", "resourceClaimStatuses"]).items() {
        add(Target::ResourceClaim, status.get("resourceClaimName"));
    }
    for claim in spec.get("resourceClaims").items() {
        add(Target::ResourceClaim, claim.get("resourceClaimName"));
    }
    out
}

fn container_refs(container: &Value, add: &mut impl FnMut(Target, &Value)) {
    for env in container.get("env").items() {
        add(Target::Secret, env.path(&["valueFrom", "secretKeyRef", "name"]));
        add(Target::ConfigMap, env.path(&["valueFrom", "configMapKeyRef", "name"]));
    }
    for from in container.get("envFrom").items() {
        add(Target::Secret, from.path(&["secretRef", "name"]));
        add(Target::ConfigMap, from.path(&["configMapRef", "name"]));
    }
}

fn volume_source_refs(volume: &Value, add: &mut impl FnMut(Target, &Value)) {
    add(Target::Secret, volume.path(&["secret", "secretName"]));
    add(Target::ConfigMap, volume.path(&["configMap", "name"]));
    add(Target::Claim, volume.path(&["persistentVolumeClaim", "claimName"]));
    add(Target::Secret, volume.path(&["csi", "nodePublishSecretRef", "name"]));
    add(Target::Secret, volume.path(&["azureFile", "secretName"]));
    for driver in ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"] {
        add(Target::Secret, volume.path(&[driver, "secretRef", "name"]));
    }
    for source in volume.path(&["projected", "sources"]).items() {
        add(Target::Secret, source.path(&["secret", "name"]));
        add(Target::ConfigMap, source.path(&["configMap", "name"]));
    }
}

/// The claim of a volume and the secrets its driver needs.
fn volume_refs(volume: &Value) -> Option<VolumeRefs> {
    let claim = volume.path(&["spec", "claimRef"]);
    let namespace = claim.get("namespace").as_str()?.to_owned();
    let name = claim.get("name").as_str()?.to_owned();
    let mut secrets = Vec::new();
    for reference in ["nodePublishSecretRef", "nodeStageSecretRef", "controllerPublishSecretRef", "nodeExpandSecretRef"]
    {
        let secret = volume.path(&["spec", "csi", reference]);
        if let Some(secret_name) = secret.get("name").as_str() {
            let own = secret.get("namespace").as_str().unwrap_or(&namespace);
            secrets.push((own.to_owned(), secret_name.to_owned()));
        }
    }
    for driver in ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi"] {
        let secret = volume.path(&["spec", driver, "secretRef"]);
        if let Some(secret_name) = secret.get("name").as_str() {
            let own = secret.get("namespace").as_str().unwrap_or(&namespace);
            secrets.push((own.to_owned(), secret_name.to_owned()));
        }
    }
    Some((namespace, name, secrets))
}
