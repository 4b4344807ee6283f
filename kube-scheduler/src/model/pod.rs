//! A pod as plugins see it: decoded straight from JSON, containers and everything that scheduling never asks for are not kept.
//! upstream: pkg/scheduler/framework/types.go (PodInfo)

use std::sync::Arc;

use component_base::informer::ObjectKey as PodKey;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::Deserialize;

use super::{
    affinity::AffinityTerms,
    labels::{LabelMatcher, Labels},
    node_affinity::{NodeSelector, PodNodeAffinity, PreferredTerm},
    requests::totals,
    resources::Resources,
    taints::Toleration,
};

/// A port that a container takes on the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// `0.0.0.0` when the container does not say.
    pub ip: Box<str>,
    /// TCP, UDP or SCTP.
    pub protocol: Box<str>,
    /// 1 to 65535.
    pub port: i32,
}

/// What a topology spread constraint does when it cannot be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsatisfiable {
    /// The pod stays pending.
    DoNotSchedule,
    /// The constraint only scores.
    ScheduleAnyway,
}

/// A topology spread constraint with its selector compiled and `matchLabelKeys` merged into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpreadConstraint {
    /// Largest allowed difference.
    pub max_skew: i32,
    /// Node label that makes the domains.
    pub topology_key: Box<str>,
    /// What to do when it cannot be met.
    pub unsatisfiable: Unsatisfiable,
    /// The pods to count.
    pub selector: LabelMatcher,
    /// Fewest domains, at least 1.
    pub min_domains: i32,
    /// Count only nodes that the pod's node affinity allows.
    pub honor_affinity: bool,
    /// Count only nodes whose taints the pod tolerates.
    pub honor_taints: bool,
}

/// A volume that scheduling cares about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeUse {
    /// A claim in the pod's namespace.
    Claim(Box<str>),
    /// A generic ephemeral volume; its claim is `<pod>-<volume>`.
    Ephemeral(Box<str>),
    /// An inline CSI volume and its driver.
    Csi(Box<str>),
    /// A disk named in the pod itself: kind, identity, and whether it is used read-only.
    Disk {
        /// gcePersistentDisk, awsElasticBlockStore, iscsi or rbd.
        kind: &'static str,
        /// What makes two uses the same disk; several alternatives (RBD monitors).
        identity: Vec<Box<str>>,
        /// Read-only everywhere it is used.
        read_only: bool,
    },
}

/// The condition PodScheduled as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledCondition {
    /// True, False or Unknown.
    pub status: Box<str>,
    /// Reason.
    pub reason: Box<str>,
    /// Message.
    pub message: Box<str>,
}

/// A pod, compiled.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "raw::Pod")]
pub struct Pod {
    /// Object metadata without annotations, finalizers and managed fields.
    pub metadata: ObjectMeta,
    /// Key in queues and caches.
    pub key: PodKey,
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `spec.nodeName`; empty while unassigned.
    pub node_name: Box<str>,
    /// `spec.schedulerName`.
    pub scheduler_name: Box<str>,
    /// `spec.priority`.
    pub priority: i32,
    /// `spec.preemptionPolicy` is not Never.
    pub may_preempt: bool,
    /// `status.phase` is Succeeded or Failed.
    pub terminal: bool,
    /// Names of the scheduling gates left.
    pub gates: Box<[Box<str>]>,
    /// Tolerations.
    pub tolerations: Box<[Toleration]>,
    /// Node selector and node affinity; `None` when the pod has neither.
    pub node_affinity: Option<Box<PodNodeAffinity>>,
    /// Pod affinity and anti-affinity.
    pub affinity: Option<Box<AffinityTerms>>,
    /// Topology spread constraints.
    pub spread: Box<[SpreadConstraint]>,
    /// What the pod asks for.
    pub requests: Resources,
    /// CPU for scoring, in thousandths.
    pub nonzero_milli_cpu: i64,
    /// Memory for scoring, in bytes.
    pub nonzero_memory: i64,
    /// Host ports.
    pub host_ports: Box<[HostPort]>,
    /// Images of all containers and image volumes, with `:latest` added where no tag is given.
    pub images: Box<[Box<str>]>,
    /// Number of init and ordinary containers.
    pub containers: u16,
    /// Volumes scheduling cares about.
    pub volumes: Box<[VolumeUse]>,
    /// Names of the resource claims of `spec.resourceClaims` (dynamic resource allocation).
    pub resource_claims: bool,
    /// `status.nominatedNodeName`; empty when none.
    pub nominated_node: Box<str>,
    /// The condition PodScheduled.
    pub scheduled: Option<Box<ScheduledCondition>>,
    /// The pod is being deleted because the scheduler preempted it.
    pub preempted: bool,
    /// `status.startTime`.
    pub started: Option<Time>,
}

impl Pod {
    /// Namespace.
    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// Labels.
    pub fn labels(&self) -> &Labels {
        static NONE: Labels = Labels::new();
        self.metadata.labels.as_ref().unwrap_or(&NONE)
    }

    /// Bound to a node.
    pub fn is_assigned(&self) -> bool {
        !self.node_name.is_empty()
    }

    /// A deletion was asked for.
    pub fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether the pod can stand on a node: bound to it or nominated for one.
    pub fn has_place(&self) -> bool {
        self.is_assigned() || !self.nominated_node.is_empty()
    }
}

super::objects::resource!(Pod, "", "v1", "Pod", "pods", namespaced);

impl From<raw::Pod> for Pod {
    fn from(mut raw: raw::Pod) -> Self {
        let totals = totals(&raw);
        let meta = std::mem::take(&mut raw.metadata);
        let none = Labels::new();
        let labels = meta.labels.as_ref().unwrap_or(&none);
        let namespace = meta.namespace.clone().unwrap_or_default();
        let affinity = raw.spec.affinity.as_ref();
        let terms = affinity.and_then(|a| AffinityTerms::compile(&namespace, labels, a));
        let condition = |type_: &str| raw.status.conditions.iter().find(|c| c.type_ == type_);
        let scheduled = condition("PodScheduled").map(|c| {
            Box::new(ScheduledCondition {
                status: c.status.as_str().into(),
                reason: c.reason.as_deref().unwrap_or_default().into(),
                message: c.message.as_deref().unwrap_or_default().into(),
            })
        });
        let preempted = condition("DisruptionTarget")
            .is_some_and(|c| c.status == "True" && c.reason.as_deref() == Some("PreemptionByScheduler"));
        let spread = raw.spec.topology_spread_constraints.iter().filter_map(|c| spread(c, labels)).collect();
        Self {
            key: PodKey::new(&namespace, meta.name.as_deref().unwrap_or_default()),
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            node_name: raw.spec.node_name.as_str().into(),
            scheduler_name: raw.spec.scheduler_name.as_str().into(),
            priority: raw.spec.priority.unwrap_or(0),
            may_preempt: raw.spec.preemption_policy.as_deref() != Some("Never"),
            terminal: matches!(raw.status.phase.as_str(), "Succeeded" | "Failed"),
            gates: raw.spec.scheduling_gates.iter().map(|g| g.name.as_str().into()).collect(),
            node_affinity: node_affinity(&mut raw.spec.node_selector, affinity),
            affinity: terms,
            spread,
            requests: totals.requests,
            nonzero_milli_cpu: totals.nonzero_milli_cpu,
            nonzero_memory: totals.nonzero_memory,
            host_ports: host_ports(&raw.spec),
            images: images(&raw.spec),
            containers: u16::try_from(raw.spec.containers.len() + raw.spec.init_containers.len()).unwrap_or(u16::MAX),
            volumes: raw.spec.volumes.iter().filter_map(raw::Volume::compile).collect(),
            resource_claims: !raw.spec.resource_claims.is_empty(),
            nominated_node: raw.status.nominated_node_name.as_str().into(),
            scheduled,
            preempted,
            started: raw.status.start_time.take(),
            tolerations: raw.spec.tolerations.into(),
            metadata: ObjectMeta {
                annotations: None,
                managed_fields: None,
                finalizers: None,
                generate_name: None,
                ..meta
            },
        }
    }
}

fn node_affinity(
    selector: &mut Labels,
    affinity: Option<&k8s_openapi::api::core::v1::Affinity>,
) -> Option<Box<PodNodeAffinity>> {
    let affinity = affinity.and_then(|a| a.node_affinity.as_ref());
    if selector.is_empty() && affinity.is_none() {
        return None;
    }
    Some(Box::new(PodNodeAffinity {
        selector: std::mem::take(selector),
        required: affinity
            .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())
            .map(NodeSelector::compile),
        preferred: affinity
            .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref())
            .map(PreferredTerm::compile_all)
            .unwrap_or_default(),
    }))
}

fn spread(raw: &k8s_openapi::api::core::v1::TopologySpreadConstraint, labels: &Labels) -> Option<SpreadConstraint> {
    let mut selector = LabelMatcher::compile(raw.label_selector.as_ref()).ok()?;
    for key in raw.match_label_keys.iter().flatten() {
        if let Some(value) = labels.get(key) {
            selector.require_value(key, value);
        }
    }
    Some(SpreadConstraint {
        max_skew: raw.max_skew,
        topology_key: raw.topology_key.as_str().into(),
        unsatisfiable: match raw.when_unsatisfiable.as_str() {
            "ScheduleAnyway" => Unsatisfiable::ScheduleAnyway,
            _ => Unsatisfiable::DoNotSchedule,
        },
        selector,
        min_domains: raw.min_domains.unwrap_or(1),
        honor_affinity: raw.node_affinity_policy.as_deref() != Some("Ignore"),
        honor_taints: raw.node_taints_policy.as_deref() == Some("Honor"),
    })
}

fn host_ports(spec: &raw::PodSpec) -> Box<[HostPort]> {
    let sidecars = spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|c| &c.ports).filter(|p| p.host_port > 0);
    ports
        .map(|p| HostPort {
            ip: if p.host_ip.is_empty() { "0.0.0.0".into() } else { p.host_ip.as_str().into() },
            protocol: if p.protocol.is_empty() { "TCP".into() } else { p.protocol.as_str().into() },
            port: p.host_port,
        })
        .collect()
}

fn images(spec: &raw::PodSpec) -> Box<[Box<str>]> {
    let volumes = spec.volumes.iter().filter_map(|v| v.image.as_ref()).map(|i| i.reference.as_str());
    let containers = spec.init_containers.iter().chain(&spec.containers).map(|c| c.image.as_str());
    containers.chain(volumes).map(with_tag).collect()
}

/// upstream: imagelocality normalizedImageName
fn with_tag(image: &str) -> Box<str> {
    if image.rfind(':') <= image.rfind('/') { format!("{image}:latest").into() } else { image.into() }
}

/// The JSON form, as far as it is read.
pub(super) mod raw {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::{Affinity, TopologySpreadConstraint};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
    use serde::Deserialize;

    use super::{Toleration, VolumeUse};

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(in crate::model) struct Pod {
        pub metadata: ObjectMeta,
        pub spec: PodSpec,
        pub status: PodStatus,
    }

    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    pub(in crate::model) struct PodSpec {
        pub node_name: String,
        pub scheduler_name: String,
        pub priority: Option<i32>,
        pub preemption_policy: Option<String>,
        pub scheduling_gates: Vec<Named>,
        pub tolerations: Vec<Toleration>,
        pub node_selector: BTreeMap<String, String>,
        pub affinity: Option<Affinity>,
        pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
        pub containers: Vec<Container>,
        pub init_containers: Vec<Container>,
        pub resources: Option<Requirements>,
        pub overhead: BTreeMap<String, String>,
        pub volumes: Vec<Volume>,
        pub resource_claims: Vec<Named>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(in crate::model) struct Named {
        pub name: String,
    }

    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    pub(in crate::model) struct Container {
        pub name: String,
        pub image: String,
        pub ports: Vec<Port>,
        pub resources: Requirements,
        pub restart_policy: Option<String>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(in crate::model) struct Requirements {
        pub requests: BTreeMap<String, String>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    pub(in crate::model) struct Port {
        #[serde(rename = "hostIP")]
        pub host_ip: String,
        pub host_port: i32,
        pub protocol: String,
    }

    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    pub(in crate::model) struct Volume {
        pub name: String,
        pub persistent_volume_claim: Option<ClaimSource>,
        pub ephemeral: Option<Anything>,
        pub csi: Option<CsiSource>,
        pub image: Option<ImageSource>,
        pub gce_persistent_disk: Option<GceSource>,
        pub aws_elastic_block_store: Option<AwsSource>,
        pub iscsi: Option<IscsiSource>,
        pub rbd: Option<RbdSource>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    pub(in crate::model) struct ClaimSource {
        pub claim_name: String,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(in crate::model) struct Anything {}

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(in crate::model) struct CsiSource {
        pub driver: String,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(in crate::model) struct ImageSource {
        pub reference: String,
    }

    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    pub(in crate::model) struct GceSource {
        pub pd_name: String,
        pub read_only: bool,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(in crate::model) struct AwsSource {
        #[serde(rename = "volumeID")]
        pub volume_id: String,
    }

    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    pub(in crate::model) struct IscsiSource {
        pub iqn: String,
        pub read_only: bool,
    }

    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    pub(in crate::model) struct RbdSource {
        pub monitors: Vec<String>,
        pub image: String,
        pub pool: String,
        pub read_only: bool,
    }

    impl Volume {
        pub(super) fn compile(&self) -> Option<VolumeUse> {
            let disk = |kind, identity: Vec<Box<str>>, read_only| Some(VolumeUse::Disk { kind, identity, read_only });
            if let Some(claim) = &self.persistent_volume_claim {
                Some(VolumeUse::Claim(claim.claim_name.as_str().into()))
            } else if self.ephemeral.is_some() {
                Some(VolumeUse::Ephemeral(self.name.as_str().into()))
            } else if let Some(csi) = &self.csi {
                Some(VolumeUse::Csi(csi.driver.as_str().into()))
            } else if let Some(gce) = &self.gce_persistent_disk {
                disk("gcePersistentDisk", vec![gce.pd_name.as_str().into()], gce.read_only)
            } else if let Some(aws) = &self.aws_elastic_block_store {
                disk("awsElasticBlockStore", vec![aws.volume_id.as_str().into()], false)
            } else if let Some(iscsi) = &self.iscsi {
                disk("iscsi", vec![iscsi.iqn.as_str().into()], iscsi.read_only)
            } else if let Some(rbd) = &self.rbd {
                let of = |monitor: &String| format!("{monitor}/{}/{}", rbd.pool, rbd.image).into();
                disk("rbd", rbd.monitors.iter().map(of).collect(), rbd.read_only)
            } else {
                None
            }
        }
    }

    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    pub(in crate::model) struct PodStatus {
        pub phase: String,
        pub nominated_node_name: String,
        pub conditions: Vec<Condition>,
        pub start_time: Option<Time>,
        pub container_statuses: Vec<ContainerStatus>,
        pub init_container_statuses: Vec<ContainerStatus>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(in crate::model) struct Condition {
        #[serde(rename = "type")]
        pub type_: String,
        pub status: String,
        pub reason: Option<String>,
        pub message: Option<String>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    pub(in crate::model) struct ContainerStatus {
        pub name: String,
        pub resources: Option<Requirements>,
        pub allocated_resources: BTreeMap<String, String>,
    }
}
