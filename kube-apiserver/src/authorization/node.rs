//! The Node authorizer: a kubelet may touch what the pods bound to its node refer to, and no more.
//!
//! Keeps, for every secret, config map, claim and service account, which nodes have pods that use
//! it; fed from outside by watches, answers from memory.
//! upstream: plugin/pkg/auth/authorizer/node/{node_authorizer,graph}.go

use std::collections::HashMap;

use apimachinery::quote::quote;
use parking_lot::RwLock;

use super::Decision;
use super::attributes::Attributes;
use super::rbac::PolicyRule;
use crate::authentication::user::NODE_USER_PREFIX;

/// Namespace of node leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// What a volume leans on: namespace and name of its claim, and of the secrets it needs.
pub type VolumeRefs = (String, String, Vec<(String, String)>);

/// Kinds of objects that a node may reach through its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The pod itself.
    Pod,
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
    /// A PersistentVolumeClaim.
    Claim,
    /// A ResourceClaim.
    ResourceClaim,
    /// A ServiceAccount.
    ServiceAccount,
    /// A PersistentVolume (cluster scoped).
    Volume,
    /// A VolumeAttachment (cluster scoped).
    Attachment,
    /// A ResourceSlice (cluster scoped).
    Slice,
}

/// A node's pod and the names in its namespace that it refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodRefs {
    /// Node the pod is bound to.
    pub node: String,
    /// What it refers to, in its own namespace.
    pub refs: Vec<(Target, String)>,
}

type Key = (Target, String, String);

#[derive(Debug, Default)]
struct Graph {
    pods: HashMap<(String, String), PodRefs>,
    /// How many pods of each node use an object.
    used: HashMap<Key, HashMap<String, usize>>,
    /// Claim of a volume, and the secrets its driver needs.
    volumes: HashMap<String, (String, String)>,
    volume_secrets: HashMap<(String, String), Vec<String>>,
}

/// See the module.
#[derive(Debug)]
pub struct NodeAuthorizer {
    graph: RwLock<Graph>,
    rules: Vec<PolicyRule>,
}

impl NodeAuthorizer {
    /// An authorizer without any pod; `rules` are what every node may do (the role `system:node`).
    pub fn new(rules: Vec<PolicyRule>) -> Self {
        Self { graph: RwLock::default(), rules }
    }

    /// Sets or removes a pod. A pod without node counts as removed.
    pub fn set_pod(&self, namespace: &str, name: &str, refs: Option<PodRefs>) {
        let mut graph = self.graph.write();
        let key = (namespace.to_owned(), name.to_owned());
        let refs = refs.filter(|r| !r.node.is_empty());
        if graph.pods.get(&key) == refs.as_ref() {
            return;
        }
        if let Some(old) = graph.pods.remove(&key) {
            for (target, used) in with_self(&old, name) {
                graph.release((target, namespace.to_owned(), used), &old.node);
            }
        }
        if let Some(new) = refs {
            for (target, used) in with_self(&new, name) {
                graph.acquire((target, namespace.to_owned(), used), &new.node);
            }
            graph.pods.insert(key, new);
        }
    }

    /// Sets or removes a volume: its claim (namespace, name) and the secrets (namespace, name) it needs.
    pub fn set_volume(&self, name: &str, volume: Option<VolumeRefs>) {
        let mut graph = self.graph.write();
        for list in graph.volume_secrets.values_mut() {
            list.retain(|v| v != name);
        }
        graph.volume_secrets.retain(|_, list| !list.is_empty());
        let Some((namespace, claim, secrets)) = volume else {
            graph.volumes.remove(name);
            return;
        };
        for secret in secrets {
            graph.volume_secrets.entry(secret).or_default().push(name.to_owned());
        }
        graph.volumes.insert(name.to_owned(), (namespace, claim));
    }

    /// Says that a cluster-scoped object (attachment, slice) belongs to a node, or is gone.
    pub fn set_owned(&self, target: Target, name: &str, node: Option<&str>) {
        let mut graph = self.graph.write();
        let key = (target, String::new(), name.to_owned());
        graph.used.remove(&key);
        if let Some(node) = node {
            graph.acquire(key, node);
        }
    }

    /// The decision; no opinion about anybody who is no node.
    pub fn authorize(&self, a: &Attributes) -> Decision {
        let Some(node) = a.user.node_name() else {
            return Decision::NoOpinion(String::new());
        };
        if node.is_empty() {
            return no(format!("unknown node for user {}", quote(&a.user.name)));
        }
        debug_assert!(a.user.name.starts_with(NODE_USER_PREFIX));
        if a.resource_request
            && let Some(decision) = self.authorize_resource(node, a)
        {
            return decision;
        }
        if self.rules.iter().any(|rule| rule.allows(a)) { allow() } else { no("") }
    }

    /// The resources with rules of their own; `None` for all others.
    fn authorize_resource(&self, node: &str, a: &Attributes) -> Option<Decision> {
        Some(match (a.group.as_str(), a.resource.as_str()) {
            ("", "secrets") => self.read_namespaced(node, Target::Secret, a),
            ("", "configmaps") => self.read_namespaced(node, Target::ConfigMap, a),
            ("", "persistentvolumeclaims") if a.subresource == "status" => {
                if matches!(a.verb.as_str(), "update" | "patch") {
                    self.reach(node, Target::Claim, a)
                } else {
                    no("can only get/update/patch this type")
                }
            }
            ("", "persistentvolumeclaims") => self.get_one(node, Target::Claim, a),
            ("", "persistentvolumes") => self.get_one(node, Target::Volume, a),
            ("resource.k8s.io", "resourceclaims") => self.get_one(node, Target::ResourceClaim, a),
            ("storage.k8s.io", "volumeattachments") => self.get_one(node, Target::Attachment, a),
            ("", "serviceaccounts") => self.service_account(node, a),
            ("coordination.k8s.io", "leases") => lease(node, a),
            ("storage.k8s.io", "csinodes") => csi_node(node, a),
            ("resource.k8s.io", "resourceslices") => self.slice(node, a),
            ("", "nodes") => own_node(node, a),
            ("", "pods") => self.pod(node, a),
            ("certificates.k8s.io", "podcertificaterequests") => no(""),
            _ => return None,
        })
    }

    fn get_one(&self, node: &str, target: Target, a: &Attributes) -> Decision {
        if a.verb != "get" {
            return no("can only get individual resources of this type");
        }
        if !a.subresource.is_empty() {
            return no("cannot get subresource");
        }
        self.reach(node, target, a)
    }

    fn read_namespaced(&self, node: &str, target: Target, a: &Attributes) -> Decision {
        if !a.is_read_only() {
            return no("can only read resources of this type");
        }
        if !a.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if a.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.reach(node, target, a)
    }

    fn reach(&self, node: &str, target: Target, a: &Attributes) -> Decision {
        if a.name.is_empty() {
            return no("No Object name found");
        }
        if self.graph.read().reaches(node, target, &a.namespace, &a.name) {
            allow()
        } else {
            no(format!("no relationship found between node '{node}' and this object"))
        }
    }

    fn service_account(&self, node: &str, a: &Attributes) -> Decision {
        if a.verb == "get" && a.subresource.is_empty() {
            return self.read_namespaced(node, Target::ServiceAccount, a);
        }
        if a.verb != "create" || a.name.is_empty() {
            return no("can only create tokens for individual service accounts");
        }
        if a.subresource != "token" {
            return no("can only create token subresource of serviceaccount");
        }
        self.reach(node, Target::ServiceAccount, a)
    }

    fn slice(&self, node: &str, a: &Attributes) -> Decision {
        if !a.subresource.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match a.verb.as_str() {
            "create" => allow(),
            "get" | "update" | "patch" | "delete" => self.reach(node, Target::Slice, a),
            "watch" | "list" | "deletecollection" if selects(a, "spec.nodeName", node) => allow(),
            "watch" | "list" | "deletecollection" => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    fn pod(&self, node: &str, a: &Attributes) -> Decision {
        match (a.subresource.as_str(), a.verb.as_str()) {
            ("", "get") => self.get_one(node, Target::Pod, a),
            ("", "list" | "watch") if selects(a, "spec.nodeName", node) => allow(),
            ("", "list" | "watch") if !a.name.is_empty() => self.reach(node, Target::Pod, a),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => allow(),
            _ => no(""),
        }
    }
}

impl Graph {
    fn acquire(&mut self, key: Key, node: &str) {
        *self.used.entry(key).or_default().entry(node.to_owned()).or_insert(0) += 1;
    }

    fn release(&mut self, key: Key, node: &str) {
        let Some(nodes) = self.used.get_mut(&key) else { return };
        if let Some(count) = nodes.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                nodes.remove(node);
            }
        }
        if nodes.is_empty() {
            self.used.remove(&key);
        }
    }

    fn uses(&self, node: &str, target: Target, namespace: &str, name: &str) -> bool {
        self.used.get(&(target, namespace.to_owned(), name.to_owned())).is_some_and(|nodes| nodes.contains_key(node))
    }

    fn reaches(&self, node: &str, target: Target, namespace: &str, name: &str) -> bool {
        if self.uses(node, target, namespace, name) {
            return true;
        }
        match target {
            Target::Volume => self.reaches_volume(node, name),
            Target::Secret => self
                .volume_secrets
                .get(&(namespace.to_owned(), name.to_owned()))
                .is_some_and(|volumes| volumes.iter().any(|v| self.reaches_volume(node, v))),
            _ => false,
        }
    }

    fn reaches_volume(&self, node: &str, volume: &str) -> bool {
        self.volumes.get(volume).is_some_and(|(namespace, claim)| self.uses(node, Target::Claim, namespace, claim))
    }
}

fn with_self(refs: &PodRefs, name: &str) -> Vec<(Target, String)> {
    let mut all = refs.refs.clone();
    all.push((Target::Pod, name.to_owned()));
    all
}

fn lease(node: &str, a: &Attributes) -> Decision {
    if !matches!(a.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a node lease");
    }
    if a.namespace != LEASE_NAMESPACE {
        return no(format!("can only access leases in the {} system namespace", quote(LEASE_NAMESPACE)));
    }
    if a.verb != "create" && a.name != node {
        return no("can only access node lease with the same name as the requesting node");
    }
    allow()
}

fn csi_node(node: &str, a: &Attributes) -> Decision {
    if !matches!(a.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a CSINode");
    }
    if !a.subresource.is_empty() {
        return no("cannot authorize CSINode subresources");
    }
    if a.verb != "create" && a.name != node {
        return no("can only access CSINode with the same name as the requesting node");
    }
    allow()
}

fn own_node(node: &str, a: &Attributes) -> Decision {
    match (a.subresource.as_str(), a.verb.as_str()) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => allow(),
        ("", "get" | "list" | "watch") if a.name == node => allow(),
        ("", "get" | "list" | "watch") if a.name.is_empty() => {
            no(format!("node '{node}' cannot read all nodes, only its own Node object"))
        }
        ("", "get" | "list" | "watch") => {
            no(format!("node '{node}' cannot read '{}', only its own Node object", a.name))
        }
        _ => no(""),
    }
}

/// True if the field selector pins `field` to `value`.
fn selects(a: &Attributes, field: &str, value: &str) -> bool {
    a.field_selector.split(',').any(|requirement| {
        let Some((name, wanted)) = requirement.split_once('=') else { return false };
        name == field && wanted.strip_prefix('=').unwrap_or(wanted) == value
    })
}

fn allow() -> Decision {
    Decision::Allow(String::new())
}

fn no(reason: impl Into<String>) -> Decision {
    Decision::NoOpinion(reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::user::{NODES, UserInfo};

    fn ask(verb: &str, resource: &str, name: &str) -> Attributes {
        Attributes {
            user: UserInfo::new("system:node:n1", &[NODES]),
            verb: verb.into(),
            resource_request: true,
            resource: resource.into(),
            namespace: "ns".into(),
            name: name.into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn follows_pods_to_what_they_use() {
        let node = NodeAuthorizer::new(Vec::new());
        let secret = ask("get", "secrets", "s");
        assert_eq!(node.authorize(&secret), no("no relationship found between node 'n1' and this object"));
        let refs = PodRefs { node: "n1".into(), refs: vec![(Target::Secret, "s".into()), (Target::Claim, "c".into())] };
        node.set_pod("ns", "p", Some(refs));
        assert_eq!(node.authorize(&secret), allow());
        assert_ne!(node.authorize(&ask("get", "persistentvolumes", "v")), allow());
        node.set_volume("v", Some(("ns".into(), "c".into(), Vec::new())));
        assert_eq!(node.authorize(&ask("get", "persistentvolumes", "v")), allow());
        node.set_pod("ns", "p", None);
        assert_ne!(node.authorize(&secret), allow());
        assert!(node.graph.read().used.is_empty());
    }
}
