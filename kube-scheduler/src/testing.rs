//! Short forms of objects for tests, and listers that answer from vectors.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::cache::{NodeInfo, Snapshot};
use crate::framework::{Handle, Listers};
use crate::model::{
    Claim, CsiNode, DisruptionBudget, LabelMatcher, Labels, Namespace, Node, PersistentVolume, Pod, StorageClass,
};

fn parse(yaml: &str) -> Map<String, Value> {
    serde_saphyr::from_str(yaml).unwrap()
}

/// A pod: `name`, `namespace`, `labels`, `requests`, `image`, `hostPort` and `status` in short, anything else goes to the spec.
pub(crate) fn pod(yaml: &str) -> Pod {
    let mut short = parse(yaml);
    let name: Value = match short.remove("name") {
        Some(Value::String(name)) => name.into(),
        Some(other) => other.to_string().into(),
        None => "p".into(),
    };
    let namespace = short.remove("namespace").unwrap_or_else(|| "default".into());
    let uid = short
        .remove("uid")
        .unwrap_or_else(|| json!(format!("{}-{}", namespace.as_str().unwrap(), name.as_str().unwrap())));
    let labels = short.remove("labels").unwrap_or_else(|| json!({}));
    let status = short.remove("status").unwrap_or_else(|| json!({}));
    let deleted = short.remove("deletionTimestamp");
    let mut container = json!({"name": "c", "image": short.remove("image").unwrap_or_else(|| "i".into())});
    if let Some(requests) = short.remove("requests") {
        container["resources"] = json!({"requests": requests});
    }
    if let Some(port) = short.remove("hostPort") {
        container["ports"] = json!([{"hostPort": port}]);
    }
    short.entry("containers").or_insert_with(|| json!([container]));
    short.entry("schedulerName").or_insert_with(|| "default-scheduler".into());
    let mut metadata = json!({"name": name, "namespace": namespace, "uid": uid, "labels": labels});
    if let Some(deleted) = deleted {
        metadata["deletionTimestamp"] = deleted;
    }
    serde_json::from_value(json!({"metadata": metadata, "spec": short, "status": status})).unwrap()
}

/// A node: one key, its name; `labels`, `taints`, `unschedulable`, `allocatable` (32 CPU, 64Gi, 110 pods unless given), `images`.
pub(crate) fn node(yaml: &str) -> Node {
    let (name, short) = parse(yaml).into_iter().next().unwrap();
    let mut allocatable = json!({"cpu": "32", "memory": "64Gi", "pods": "110"});
    for (key, value) in short["allocatable"].as_object().into_iter().flatten() {
        allocatable[key] = value.as_str().map_or_else(|| value.to_string(), str::to_owned).into();
    }
    let images: Vec<_> = short["images"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, size)| json!({"names": [name], "sizeBytes": size}))
        .collect();
    let or = |key: &str, default: Value| if short[key].is_null() { default } else { short[key].clone() };
    let object = json!({
        "metadata": {"name": name, "labels": or("labels", json!({}))},
        "spec": {"unschedulable": or("unschedulable", json!(false)), "taints": or("taints", json!([]))},
        "status": {"allocatable": allocatable, "images": images},
    });
    serde_json::from_value(object).unwrap()
}

/// A node with pods on it.
pub(crate) fn node_info(yaml: &str, pods: &[&str]) -> Arc<NodeInfo> {
    let mut info = NodeInfo { node: Arc::new(node(yaml)), ..NodeInfo::default() };
    for text in pods {
        info.add_pod(Arc::new(pod(text)));
    }
    Arc::new(info)
}

/// A snapshot of nodes.
pub(crate) fn snapshot(nodes: &[Arc<NodeInfo>]) -> Snapshot {
    Snapshot::of(nodes.to_vec())
}

/// Listers that answer from vectors.
#[derive(Default)]
pub(crate) struct FixedListers {
    pub(crate) namespaces: Vec<Arc<Namespace>>,
    pub(crate) selector: Option<LabelMatcher>,
    pub(crate) budgets: Vec<Arc<DisruptionBudget>>,
    pub(crate) claims: Vec<Arc<Claim>>,
    pub(crate) volumes: Vec<Arc<PersistentVolume>>,
    pub(crate) classes: Vec<Arc<StorageClass>>,
    pub(crate) csi_nodes: Vec<Arc<CsiNode>>,
}

fn named<'a, K: k8s_openapi::Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>>(
    list: &'a [Arc<K>],
    name: &str,
) -> Option<&'a Arc<K>> {
    list.iter().find(|o| o.metadata().name.as_deref() == Some(name))
}

impl Listers for FixedListers {
    fn namespace_labels(&self, name: &str) -> Option<Labels> {
        named(&self.namespaces, name).map(|n| n.metadata.labels.clone().unwrap_or_default())
    }
    fn namespaces(&self) -> Vec<Arc<Namespace>> {
        self.namespaces.clone()
    }
    fn default_selector(&self, _pod: &Pod) -> Option<LabelMatcher> {
        self.selector.clone()
    }
    fn disruption_budgets(&self) -> Vec<Arc<DisruptionBudget>> {
        self.budgets.clone()
    }
    fn pod(&self, _namespace: &str, _name: &str) -> Option<Arc<Pod>> {
        None
    }
    fn claim(&self, _namespace: &str, name: &str) -> Option<Arc<Claim>> {
        named(&self.claims, name).cloned()
    }
    fn volume(&self, name: &str) -> Option<Arc<PersistentVolume>> {
        named(&self.volumes, name).cloned()
    }
    fn volumes(&self) -> Vec<Arc<PersistentVolume>> {
        self.volumes.clone()
    }
    fn class(&self, name: &str) -> Option<Arc<StorageClass>> {
        named(&self.classes, name).cloned()
    }
    fn csi_node(&self, name: &str) -> Option<Arc<CsiNode>> {
        named(&self.csi_nodes, name).cloned()
    }
}

/// A handle without a way to the API server.
pub(crate) fn handle(listers: FixedListers) -> Handle {
    Handle { listers: Arc::new(listers), actions: None }
}
