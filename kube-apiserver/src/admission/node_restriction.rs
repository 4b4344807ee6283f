//! NodeRestriction: a kubelet may write only its own node, pods bound to it and what belongs to them.
//!
//! upstream: plugin/pkg/admission/noderestriction/admission.go

use std::collections::BTreeSet;
use std::sync::Arc;

use apimachinery::quote::quote;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::{Attributes, Context, Operation, Plugin, forbidden};
use crate::authorization::attributes::Attributes as Ask;
use crate::authorization::{Authorizer, Decision};
use crate::objects::{Kind, NODES, Objects, PODS, VOLUMES};

/// Annotation of pods that a kubelet made of a file.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Namespace of the leases of nodes.
const LEASES: &str = "kube-node-lease";
const CLAIMS: Kind = Kind::new("", "persistentvolumeclaims");
const DRIVERS: Kind = Kind::new("storage.k8s.io", "csidrivers");
/// Labels of Kubernetes' own domains that a kubelet may set on its node.
const LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

/// Makes the plugin.
pub fn new(context: &Context) -> Box<dyn Plugin> {
    Box::new(NodeRestriction { objects: context.objects.clone(), authorizer: context.authorizer.clone() })
}

struct NodeRestriction {
    objects: Arc<dyn Objects>,
    authorizer: Arc<Authorizer>,
}

#[async_trait]
impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update | Operation::Delete)
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        let Some(node) = a.user.node_name() else { return Ok(()) };
        let refuse = |why: String| Err(forbidden(a, object, why));
        if node.is_empty() {
            return refuse(format!("could not determine node from user {}", quote(&a.user.name)));
        }
        let why = match (&*a.resource.group, &*a.resource.plural, a.subresource) {
            ("", "pods", "") => self.pod(a, node, object).await?,
            ("", "pods", "status") => pod_status(a, node, object),
            ("", "pods", "eviction") => self.eviction(a, node).await?,
            ("", "pods", other) => {
                Some(format!("unexpected pod subresource {}, only 'status' and 'eviction' are allowed", quote(other)))
            }
            ("", "nodes", _) => own_node(a, node, object),
            ("", "persistentvolumeclaims", "status") if a.operation == Operation::Update => None,
            ("", "persistentvolumeclaims", _) => Some("may only update PVC status".to_owned()),
            ("", "serviceaccounts", "token") if a.operation == Operation::Create => self.token(a, node, object).await?,
            ("coordination.k8s.io", "leases", _) => lease(a, node, object),
            ("storage.k8s.io", "csinodes", _) if named(a, object) != node => {
                Some("can only access CSINode with the same name as the requesting node".to_owned())
            }
            ("resource.k8s.io", "resourceslices", _) => resource_slice(a, node, object),
            _ => None,
        };
        why.map_or(Ok(()), refuse)
    }
}

impl NodeRestriction {
    async fn pod(&self, a: &Attributes<'_>, node: &str, pod: &Value) -> Result<Option<String>, ApiError> {
        match a.operation {
            Operation::Create => self.mirror_pod(node, pod).await,
            Operation::Delete => {
                let own = self.objects.get(PODS, a.namespace, a.name).await?.path(&["spec", "nodeName"]).as_str()
                    == Some(node);
                Ok((!own)
                    .then(|| format!("node {} can only delete pods with spec.nodeName set to itself", quote(node))))
            }
            other => {
                let (operation, node) = (quote(other.as_str()), quote(node));
                Ok(Some(format!(
                    "unexpected operation {operation}, node {node} can only create and delete mirror pods"
                )))
            }
        }
    }

    /// The only pods a kubelet creates mirror its static pods and lean on no other object.
    async fn mirror_pod(&self, node: &str, pod: &Value) -> Result<Option<String>, ApiError> {
        let quoted = quote(node);
        if !pod.path(&["metadata", "annotations"]).has(MIRROR) {
            return Ok(Some(format!(
                "pod does not have {} annotation, node {quoted} can only create mirror pods",
                quote(MIRROR)
            )));
        }
        if pod.path(&["spec", "nodeName"]).as_str() != Some(node) {
            return Ok(Some(format!("node {quoted} can only create pods with spec.nodeName set to itself")));
        }
        let owner = match pod.path(&["metadata", "ownerReferences"]).items() {
            [owner] => owner,
            [] => return Ok(Some(format!("node {quoted} can only create pods with an owner reference set to itself"))),
            _ => {
                return Ok(Some(format!(
                    "node {quoted} can only create pods with a single owner reference set to itself"
                )));
            }
        };
        let text = |key| owner.get(key).str_or_empty();
        if (text("apiVersion"), text("kind"), text("name")) != ("v1", "Node", node) {
            return Ok(Some(format!("node {quoted} can only create pods with an owner reference set to itself")));
        }
        if owner.get("controller").as_bool() != Some(true) {
            return Ok(Some(format!(
                "node {quoted} can only create pods with a controller owner reference set to itself"
            )));
        }
        if owner.get("blockOwnerDeletion").as_bool() == Some(true) {
            return Ok(Some(format!("node {quoted} must not set blockOwnerDeletion on an owner reference")));
        }
        let found = self.objects.get(NODES, "", node).await?;
        let (expected, got) = (found.path(&["metadata", "uid"]).str_or_empty(), text("uid"));
        if expected != got {
            return Ok(Some(format!("node {node} UID mismatch: expected {expected} got {got}")));
        }
        let what = referenced(pod.get("spec"));
        Ok(what.map(|what| format!("node {quoted} can not create pods that reference {what}")))
    }

    async fn eviction(&self, a: &Attributes<'_>, node: &str) -> Result<Option<String>, ApiError> {
        if a.operation != Operation::Create {
            let operation = quote(a.operation.as_str());
            return Ok(Some(format!("unexpected operation {operation}, node {node} can only evict pods")));
        }
        let pod = self.objects.get(PODS, a.namespace, a.name).await?;
        let own = pod.path(&["spec", "nodeName"]).as_str() == Some(node);
        Ok((!own).then(|| format!("node {node} can only evict pods with spec.nodeName set to itself")))
    }

    async fn token(&self, a: &Attributes<'_>, node: &str, request: &Value) -> Result<Option<String>, ApiError> {
        let bound = request.path(&["spec", "boundObjectRef"]);
        let text = |key| bound.get(key).str_or_empty();
        if (text("apiVersion"), text("kind")) != ("v1", "Pod") || text("name").is_empty() {
            return Ok(Some("node requested token not bound to a pod".to_owned()));
        }
        if text("uid").is_empty() {
            return Ok(Some("node requested token with a pod binding without a uid".to_owned()));
        }
        let pod = self.objects.get(PODS, a.namespace, text("name")).await?;
        if pod.path(&["metadata", "uid"]).as_str() != Some(text("uid")) {
            let uid = text("uid");
            return Ok(Some(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            )));
        }
        if pod.path(&["spec", "nodeName"]).as_str() != Some(node) {
            return Ok(Some("node requested token bound to a pod scheduled on a different node".to_owned()));
        }
        let audience = match request.path(&["spec", "audiences"]).items() {
            [] => "",
            [one] => one.str_or_empty(),
            _ => return Ok(Some("node may only request 0 or 1 audiences".to_owned())),
        };
        if self.audiences(&pod).contains(audience) || self.may_request(a, audience).await {
            return Ok(None);
        }
        let (audience, user) = (quote(audience), &a.user.name);
        Ok(Some(format!(
            "audience {audience} not found in pod spec volume, {user} is not authorized to request tokens for this audience"
        )))
    }

    /// Audiences that volumes of the pod need tokens for.
    fn audiences(&self, pod: &Value) -> BTreeSet<String> {
        let namespace = pod.path(&["metadata", "namespace"]).str_or_empty();
        let mut out = BTreeSet::new();
        let mut drivers = BTreeSet::new();
        for volume in pod.path(&["spec", "volumes"]).items() {
            for source in volume.path(&["projected", "sources"]).items() {
                let token = source.get("serviceAccountToken");
                if !token.is_null() {
                    out.insert(token.get("audience").str_or_empty().to_owned());
                }
            }
            drivers.extend(volume.path(&["csi", "driver"]).as_str().map(str::to_owned));
            let ephemeral =
                || format!("{}-{}", pod.path(&["metadata", "name"]).str_or_empty(), volume.get("name").str_or_empty());
            let claim = match volume.path(&["persistentVolumeClaim", "claimName"]).as_str() {
                Some(name) => Some(name.to_owned()),
                None => (!volume.get("ephemeral").is_null()).then(ephemeral),
            };
            let volume = claim
                .and_then(|claim| self.objects.cached(CLAIMS, namespace, &claim))
                .and_then(|claim| self.objects.cached(VOLUMES, "", claim.path(&["spec", "volumeName"]).str_or_empty()));
            drivers.extend(volume.and_then(|v| v.path(&["spec", "csi", "driver"]).as_str().map(str::to_owned)));
        }
        for driver in drivers.iter().filter_map(|name| self.objects.cached(DRIVERS, "", name)) {
            for token in driver.path(&["spec", "tokenRequests"]).items() {
                out.insert(token.get("audience").str_or_empty().to_owned());
            }
        }
        out
    }

    async fn may_request(&self, a: &Attributes<'_>, audience: &str) -> bool {
        let ask = Ask {
            user: (**a.user).clone(),
            verb: "request-serviceaccounts-token-audience".into(),
            resource_request: true,
            version: "v1".into(),
            resource: audience.into(),
            namespace: a.namespace.into(),
            name: a.name.into(),
            ..Ask::default()
        };
        matches!(self.authorizer.authorize(&ask).await, Decision::Allow(_))
    }
}

fn pod_status(a: &Attributes<'_>, node: &str, pod: &Value) -> Option<String> {
    let quoted = quote(node);
    if a.operation != Operation::Update {
        return Some(format!("unexpected operation {}", quote(a.operation.as_str())));
    }
    if a.old.path(&["spec", "nodeName"]).as_str() != Some(node) {
        return Some(format!("node {quoted} can only update pod status for pods with spec.nodeName set to itself"));
    }
    let labels = |pod: &Value| pod.path(&["metadata", "labels"]).clone();
    (labels(a.old) != labels(pod)).then(|| format!("node {quoted} cannot update labels through pod status"))
}

fn own_node(a: &Attributes<'_>, node: &str, object: &Value) -> Option<String> {
    let quoted = quote(node);
    if a.operation == Operation::Create {
        let labels = forbidden_labels(&Value::default(), object);
        if !labels.is_empty() {
            return Some(format!("is not allowed to set the following labels: {}", labels.join(", ")));
        }
    }
    let name = named(a, object);
    if name != node {
        return Some(format!("node {quoted} is not allowed to modify node {}", quote(name)));
    }
    if a.operation != Operation::Update {
        return None;
    }
    let differs = |path: &[&str]| {
        let (old, new) = (a.old.path(path), object.path(path));
        old != new && !(old.is_zero() && new.is_zero())
    };
    if differs(&["metadata", "ownerReferences"]) {
        return Some(format!("node {quoted} is not allowed to modify ownerReferences"));
    }
    if differs(&["spec", "taints"]) {
        return Some(format!("node {quoted} is not allowed to modify taints"));
    }
    let labels = forbidden_labels(a.old, object);
    (!labels.is_empty()).then(|| format!("is not allowed to modify labels: {}", labels.join(", ")))
}

/// Changed labels that only others may change.
fn forbidden_labels(old: &Value, new: &Value) -> Vec<String> {
    let (old, new) = (old.path(&["metadata", "labels"]), new.path(&["metadata", "labels"]));
    let keys: BTreeSet<&str> = old.entries().chain(new.entries()).map(|(key, _)| key).collect();
    let changed = keys.into_iter().filter(|key| old.get(key) != new.get(key));
    changed.filter(|key| !may_label(key)).map(str::to_owned).collect()
}

fn may_label(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let within = |parent: &str| domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if within("node-restriction.kubernetes.io") {
        return false;
    }
    let kubernetes = within("kubernetes.io") || within("k8s.io");
    !kubernetes || LABELS.contains(&key) || within("kubelet.kubernetes.io") || within("node.kubernetes.io")
}

fn lease(a: &Attributes<'_>, node: &str, object: &Value) -> Option<String> {
    if a.namespace != LEASES {
        return Some(format!("can only access leases in the {} system namespace", quote(LEASES)));
    }
    let own = named(a, object) == node;
    (!own).then(|| "can only access node lease with the same name as the requesting node".to_owned())
}

fn resource_slice(a: &Attributes<'_>, node: &str, object: &Value) -> Option<String> {
    let slice = if a.operation == Operation::Create { object } else { a.old };
    let own = slice.path(&["spec", "nodeName"]).as_str() == Some(node);
    let verb = a.operation.as_str().to_lowercase();
    (!own).then(|| format!("can only {verb} a ResourceSlice with the same NodeName as the requesting node"))
}

/// Name of the object: on a create the one in it.
fn named<'o>(a: &'o Attributes<'_>, object: &'o Value) -> &'o str {
    match a.operation {
        Operation::Create if a.subresource.is_empty() => object.path(&["metadata", "name"]).str_or_empty(),
        _ => a.name,
    }
}

/// Other objects a pod leans on.
fn referenced(spec: &Value) -> Option<&'static str> {
    if !spec.get("serviceAccountName").str_or_empty().is_empty() {
        return Some("a service account");
    }
    let volumes = || spec.get("volumes").items().iter();
    let containers = || ["initContainers", "containers"].into_iter().flat_map(|key| spec.get(key).items());
    let from_env = |source: &str, key: &str| {
        containers().any(|c| {
            c.get("envFrom").items().iter().any(|e| e.has(source))
                || c.get("env").items().iter().any(|e| e.get("valueFrom").has(key))
        })
    };
    let projected =
        |kind: &str| volumes().any(|v| v.path(&["projected", "sources"]).items().iter().any(|s| s.has(kind)));
    let pulls = !spec.get("imagePullSecrets").items().is_empty();
    if pulls || volumes().any(|v| v.has("secret")) || projected("secret") || from_env("secretRef", "secretKeyRef") {
        return Some("secrets");
    }
    if volumes().any(|v| v.has("configMap")) || projected("configMap") || from_env("configMapRef", "configMapKeyRef") {
        return Some("configmaps");
    }
    volumes().any(|v| v.has("persistentVolumeClaim")).then_some("persistentvolumeclaims")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_kubelets() {
        for (key, may) in [
            ("a", true),
            ("example.com/a", true),
            ("kubernetes.io/hostname", true),
            ("kubernetes.io/other", false),
            ("x.node.kubernetes.io/other", true),
            ("a.k8s.io/b", false),
            ("node-restriction.kubernetes.io/a", false),
            ("x.node-restriction.kubernetes.io/a", false),
        ] {
            assert_eq!(may_label(key), may, "{key}");
        }
    }
}
