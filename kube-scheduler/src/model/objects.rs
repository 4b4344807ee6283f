//! The other kinds that plugins read, cut down to the fields they read.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Deserialize;

use super::{
    labels::{LabelMatcher, Labels},
    node_affinity::{NodeSelector, NodeTerm},
    resources::amount,
};

/// Makes a type of ours a watchable API resource.
macro_rules! resource {
    ($type:ty, $group:literal, $version:literal, $kind:literal, $plural:literal, $scope:ident) => {
        impl k8s_openapi::Resource for $type {
            const API_VERSION: &'static str = $crate::model::objects::api_version!($group, $version);
            const GROUP: &'static str = $group;
            const KIND: &'static str = $kind;
            const VERSION: &'static str = $version;
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = $crate::model::objects::scope!($scope);
        }
        impl k8s_openapi::Metadata for $type {
            type Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

            fn metadata(&self) -> &Self::Ty {
                &self.metadata
            }
            fn metadata_mut(&mut self) -> &mut Self::Ty {
                &mut self.metadata
            }
        }
    };
}
macro_rules! api_version {
    ("", $version:literal) => {
        $version
    };
    ($group:literal, $version:literal) => {
        concat!($group, "/", $version)
    };
}
macro_rules! scope {
    (namespaced) => {
        k8s_openapi::NamespaceResourceScope
    };
    (cluster) => {
        k8s_openapi::ClusterResourceScope
    };
}
pub(crate) use api_version;
pub(crate) use resource;
pub(crate) use scope;

/// A namespace: its labels.
#[derive(Debug, Clone, Deserialize)]
pub struct Namespace {
    /// Metadata.
    pub metadata: ObjectMeta,
}
resource!(Namespace, "", "v1", "Namespace", "namespaces", cluster);

/// Defines a kind of which only the selector matters.
macro_rules! selecting {
    ($(#[$doc:meta])* $name:ident, $raw:ty, $compile:expr, $group:literal, $kind:literal, $plural:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            /// Metadata.
            pub metadata: ObjectMeta,
            /// The pods it speaks about; `None` when it has no selector or one that does not parse.
            pub selector: Option<LabelMatcher>,
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = Selecting::<$raw>::deserialize(deserializer)?;
                let compile: fn(&$raw) -> Option<LabelMatcher> = $compile;
                Ok(Self { metadata: slim(raw.metadata), selector: raw.spec.selector.as_ref().and_then(compile) })
            }
        }
        resource!($name, $group, "v1", $kind, $plural, namespaced);
    };
}

#[derive(Deserialize)]
struct Selecting<S> {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default = "SelectingSpec::none")]
    spec: SelectingSpec<S>,
}

#[derive(Deserialize)]
struct SelectingSpec<S> {
    #[serde(default = "Option::default")]
    selector: Option<S>,
}

impl<S> SelectingSpec<S> {
    fn none() -> Self {
        Self { selector: None }
    }
}

fn slim(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta { annotations: None, managed_fields: None, labels: None, owner_references: None, ..metadata }
}

fn by_labels(labels: &Labels) -> Option<LabelMatcher> {
    Some(LabelMatcher::from_labels(labels))
}

fn by_selector(selector: &LabelSelector) -> Option<LabelMatcher> {
    LabelMatcher::compile(Some(selector)).ok()
}

selecting!(
    /// A service: which pods it selects.
    Service, Labels, by_labels, "", "Service", "services"
);
selecting!(
    /// A replication controller: which pods it selects.
    ReplicationController, Labels, by_labels, "", "ReplicationController", "replicationcontrollers"
);
selecting!(
    /// A replica set: which pods it selects.
    ReplicaSet, LabelSelector, by_selector, "apps", "ReplicaSet", "replicasets"
);
selecting!(
    /// A stateful set: which pods it selects.
    StatefulSet, LabelSelector, by_selector, "apps", "StatefulSet", "statefulsets"
);

/// A pod disruption budget: whom it protects and how many disruptions it still allows.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "RawBudget")]
pub struct DisruptionBudget {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// The pods; `None` when the selector does not parse.
    pub selector: Option<LabelMatcher>,
    /// `status.disruptionsAllowed`.
    pub allowed: i32,
    /// Names of pods already being disrupted.
    pub disrupted: BTreeSet<String>,
}
resource!(DisruptionBudget, "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", namespaced);

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawBudget {
    metadata: ObjectMeta,
    spec: RawBudgetSpec,
    status: RawBudgetStatus,
}
#[derive(Deserialize, Default)]
#[serde(default)]
struct RawBudgetSpec {
    selector: Option<LabelSelector>,
}
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawBudgetStatus {
    disruptions_allowed: i32,
    disrupted_pods: BTreeMap<String, String>,
}
impl From<RawBudget> for DisruptionBudget {
    fn from(raw: RawBudget) -> Self {
        Self {
            metadata: slim(raw.metadata),
            selector: LabelMatcher::compile(raw.spec.selector.as_ref()).ok(),
            allowed: raw.status.disruptions_allowed,
            disrupted: raw.status.disrupted_pods.into_keys().collect(),
        }
    }
}

/// Whether a claim has its volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimPhase {
    /// Bound, or being bound.
    Bound,
    /// The bound volume is gone.
    Lost,
    /// Not bound yet.
    Pending,
}

/// A persistent volume claim.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "RawClaim")]
pub struct Claim {
    /// Metadata; annotations are kept, binding speaks through them.
    pub metadata: ObjectMeta,
    /// `spec.volumeName`, or empty.
    pub volume_name: String,
    /// `spec.storageClassName`; `None` when unset.
    pub class: Option<String>,
    /// `spec.accessModes`.
    pub access_modes: Vec<String>,
    /// Bytes asked for.
    pub capacity: i64,
    /// `spec.selector`, compiled; matches everything when unset.
    pub selector: LabelMatcher,
    /// `spec.volumeMode` is Block.
    pub block: bool,
    /// `status.phase`.
    pub phase: ClaimPhase,
}
resource!(Claim, "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", namespaced);

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawClaim {
    metadata: ObjectMeta,
    spec: api::PersistentVolumeClaimSpec,
    status: RawPhase,
}
#[derive(Deserialize, Default)]
#[serde(default)]
struct RawPhase {
    phase: String,
}
impl From<RawClaim> for Claim {
    fn from(raw: RawClaim) -> Self {
        let requests = raw.spec.resources.and_then(|r| r.requests).unwrap_or_default();
        let selector = raw.spec.selector.as_ref();
        Self {
            metadata: ObjectMeta { managed_fields: None, ..raw.metadata },
            volume_name: raw.spec.volume_name.unwrap_or_default(),
            class: raw.spec.storage_class_name,
            access_modes: raw.spec.access_modes.unwrap_or_default(),
            capacity: requests.get("storage").map_or(0, |q| amount("storage", &q.0)),
            selector: selector.map_or_else(LabelMatcher::default, |s| {
                LabelMatcher::compile(Some(s)).unwrap_or_else(|_| LabelMatcher::nothing())
            }),
            block: raw.spec.volume_mode.as_deref() == Some("Block"),
            phase: match raw.status.phase.as_str() {
                "Bound" => ClaimPhase::Bound,
                "Lost" => ClaimPhase::Lost,
                _ => ClaimPhase::Pending,
            },
        }
    }
}

/// A persistent volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "RawVolume")]
pub struct Volume {
    /// Metadata with labels (zone labels are read).
    pub metadata: ObjectMeta,
    /// Namespace, name and uid of `spec.claimRef`.
    pub claim: Option<(String, String, String)>,
    /// `spec.storageClassName`.
    pub class: String,
    /// `spec.accessModes`.
    pub access_modes: Vec<String>,
    /// Bytes.
    pub capacity: i64,
    /// `spec.volumeMode` is Block.
    pub block: bool,
    /// `spec.nodeAffinity.required`.
    pub node_affinity: Option<NodeSelector>,
    /// `status.phase` is Available.
    pub available: bool,
    /// CSI driver and volume handle.
    pub csi: Option<(String, String)>,
}
resource!(Volume, "", "v1", "PersistentVolume", "persistentvolumes", cluster);

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawVolume {
    metadata: ObjectMeta,
    spec: api::PersistentVolumeSpec,
    status: RawPhase,
}
impl From<RawVolume> for Volume {
    fn from(raw: RawVolume) -> Self {
        let spec = raw.spec;
        let capacity = spec.capacity.unwrap_or_default();
        Self {
            metadata: ObjectMeta { managed_fields: None, ..raw.metadata },
            claim: spec
                .claim_ref
                .map(|r| (r.namespace.unwrap_or_default(), r.name.unwrap_or_default(), r.uid.unwrap_or_default())),
            class: spec.storage_class_name.unwrap_or_default(),
            access_modes: spec.access_modes.unwrap_or_default(),
            capacity: capacity.get("storage").map_or(0, |q| amount("storage", &q.0)),
            block: spec.volume_mode.as_deref() == Some("Block"),
            node_affinity: spec.node_affinity.and_then(|a| a.required).as_ref().map(NodeSelector::compile),
            available: raw.status.phase == "Available",
            csi: spec.csi.map(|c| (c.driver, c.volume_handle)),
        }
    }
}

/// When claims of a class are bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassBindingMode {
    /// As soon as the claim exists.
    Immediate,
    /// When a pod that uses it is scheduled.
    WaitForFirstConsumer,
}

/// A storage class.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "RawClass")]
pub struct StorageClass {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// `provisioner`.
    pub provisioner: String,
    /// `volumeBindingMode`.
    pub mode: ClassBindingMode,
    /// `allowedTopologies`; empty when unrestricted.
    pub topologies: Vec<NodeTerm>,
}
resource!(StorageClass, "storage.k8s.io", "v1", "StorageClass", "storageclasses", cluster);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawClass {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    provisioner: String,
    volume_binding_mode: Option<String>,
    allowed_topologies: Option<Vec<api::TopologySelectorTerm>>,
}
impl From<RawClass> for StorageClass {
    fn from(raw: RawClass) -> Self {
        let term = |term: &api::TopologySelectorTerm| {
            let requirements = term.match_label_expressions.iter().flatten();
            let requirements = requirements.map(|r| api::NodeSelectorRequirement {
                key: r.key.clone(),
                operator: "In".into(),
                values: Some(r.values.clone()),
            });
            NodeTerm::compile(&api::NodeSelectorTerm {
                match_expressions: Some(requirements.collect()),
                match_fields: None,
            })
        };
        let wait = raw.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
        Self {
            metadata: slim(raw.metadata),
            provisioner: raw.provisioner,
            mode: if wait { ClassBindingMode::WaitForFirstConsumer } else { ClassBindingMode::Immediate },
            topologies: raw.allowed_topologies.iter().flatten().map(term).collect(),
        }
    }
}

/// What CSI drivers report about a node.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "RawCsiNode")]
pub struct CsiNode {
    /// Metadata; the name is the node's.
    pub metadata: ObjectMeta,
    /// Most volumes a driver can attach; drivers without a limit are absent.
    pub limits: BTreeMap<String, i64>,
}
resource!(CsiNode, "storage.k8s.io", "v1", "CSINode", "csinodes", cluster);

#[derive(Deserialize)]
struct RawCsiNode {
    #[serde(default)]
    metadata: ObjectMeta,
    spec: k8s_openapi::api::storage::v1::CSINodeSpec,
}
impl From<RawCsiNode> for CsiNode {
    fn from(raw: RawCsiNode) -> Self {
        let limit = |d: k8s_openapi::api::storage::v1::CSINodeDriver| {
            Some((d.name, i64::from(d.allocatable.and_then(|a| a.count)?)))
        };
        Self { metadata: slim(raw.metadata), limits: raw.spec.drivers.into_iter().filter_map(limit).collect() }
    }
}
