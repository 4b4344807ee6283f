//! A node as plugins see it. Conditions, addresses and the rest of the status are left behind.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::{
    labels::Labels,
    resources::{Resources, amount},
    taints::Taint,
};

/// An image that a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageOnNode {
    /// Bytes on disk.
    pub size: i64,
}

/// A node, compiled.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "RawNode")]
pub struct Node {
    /// Object metadata; labels and annotations are moved out or dropped.
    pub metadata: ObjectMeta,
    /// The name.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// `spec.taints`.
    pub taints: Vec<Taint>,
    /// `status.allocatable` without pods.
    pub allocatable: Resources,
    /// `status.allocatable.pods`.
    pub allowed_pods: i64,
    /// Images by every name they have.
    pub images: HashMap<Box<str>, ImageOnNode>,
    /// Statuses of the conditions by type (changes are queue events).
    pub conditions: BTreeMap<Box<str>, Box<str>>,
    /// A digest of the annotations (changes are queue events).
    pub annotations_hash: u64,
    /// `status.declaredFeatures`.
    pub declared_features: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawNode {
    metadata: ObjectMeta,
    spec: RawSpec,
    status: RawStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawSpec {
    unschedulable: bool,
    taints: Vec<Taint>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawStatus {
    allocatable: BTreeMap<String, String>,
    images: Vec<RawImage>,
    conditions: Vec<RawCondition>,
    declared_features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawImage {
    #[serde(default)]
    names: Vec<Box<str>>,
    #[serde(default)]
    size_bytes: i64,
}

#[derive(Deserialize)]
struct RawCondition {
    #[serde(rename = "type")]
    type_: Box<str>,
    status: Box<str>,
}

impl From<RawNode> for Node {
    fn from(raw: RawNode) -> Self {
        let mut metadata = raw.metadata;
        let mut allocatable = Resources::default();
        let mut allowed_pods = 0;
        for (name, quantity) in &raw.status.allocatable {
            match name.as_str() {
                "pods" => allowed_pods = amount(name, quantity),
                _ => allocatable.add_named(name, amount(name, quantity)),
            }
        }
        let images = raw.status.images.into_iter().flat_map(|image| {
            let size = image.size_bytes;
            image.names.into_iter().map(move |name| (name, ImageOnNode { size }))
        });
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            labels: metadata.labels.take().unwrap_or_default(),
            unschedulable: raw.spec.unschedulable,
            taints: raw.spec.taints,
            allocatable,
            allowed_pods,
            images: images.collect(),
            conditions: raw.status.conditions.into_iter().map(|c| (c.type_, c.status)).collect(),
            annotations_hash: digest(metadata.annotations.take()),
            declared_features: raw.status.declared_features,
            metadata: ObjectMeta { managed_fields: None, finalizers: None, owner_references: None, ..metadata },
        }
    }
}

fn digest(annotations: Option<BTreeMap<String, String>>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    annotations.unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

impl Node {
    /// Region and zone labels, in the stable or the old beta form; empty when the node has neither.
    /// upstream: pkg/util/node GetZoneKey
    pub fn zone(&self) -> String {
        let label = |stable: &str, beta: &str| {
            self.labels.get(stable).or_else(|| self.labels.get(beta)).map_or("", String::as_str)
        };
        let region = label("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region");
        let zone = label("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone");
        if region.is_empty() && zone.is_empty() { String::new() } else { format!("{region}:\u{0}:{zone}") }
    }
}

super::objects::resource!(Node, "", "v1", "Node", "nodes", cluster);
