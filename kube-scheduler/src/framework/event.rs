//! Cluster events: what changed, said coarsely enough for plugins to state which changes may help a pod they rejected.
//! upstream: kube-scheduler/framework/types.go (ClusterEvent), pkg/scheduler/framework/events.go

use std::fmt;
use std::sync::Arc;

use crate::model::{Node, Pod};

/// The kind of object that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventResource {
    /// A pod on a node.
    AssignedPod,
    /// A pod waiting for a node.
    UnscheduledPod,
    /// Any pod (only in what plugins register).
    Pod,
    /// A node.
    Node,
    /// A persistent volume.
    PersistentVolume,
    /// A persistent volume claim.
    PersistentVolumeClaim,
    /// A storage class.
    StorageClass,
    /// A CSINode.
    CsiNode,
    /// Everything.
    Wildcard,
}

/// A set of kinds of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ActionType(u32);

impl ActionType {
    /// Created.
    pub const ADD: Self = Self(1);
    /// Deleted.
    pub const DELETE: Self = Self(1 << 1);
    /// Node allocatable changed.
    pub const NODE_ALLOCATABLE: Self = Self(1 << 2);
    /// Node labels changed.
    pub const NODE_LABEL: Self = Self(1 << 3);
    /// Node taints changed, or it became schedulable.
    pub const NODE_TAINT: Self = Self(1 << 4);
    /// Node conditions changed.
    pub const NODE_CONDITION: Self = Self(1 << 5);
    /// Node annotations changed.
    pub const NODE_ANNOTATION: Self = Self(1 << 6);
    /// Pod labels changed.
    pub const POD_LABEL: Self = Self(1 << 7);
    /// Pod asks for less.
    pub const POD_SCALE_DOWN: Self = Self(1 << 8);
    /// Pod got tolerations.
    pub const POD_TOLERATION: Self = Self(1 << 9);
    /// The last scheduling gate of a pod went away.
    pub const POD_GATES_ELIMINATED: Self = Self(1 << 10);
    /// Node declared features changed.
    pub const NODE_FEATURE: Self = Self(1 << 11);
    /// A change that none of the finer ones describes.
    pub const UPDATE_OTHER: Self = Self(1 << 12);
    /// Any change of an existing object.
    pub const UPDATE: Self = Self(((1 << 13) - 1) & !3);
    /// Everything.
    pub const ALL: Self = Self((1 << 13) - 1);

    /// Both sets.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the sets share a kind.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn name(self) -> &'static str {
        match self {
            Self::ADD => "Add",
            Self::DELETE => "Delete",
            Self::NODE_ALLOCATABLE => "UpdateNodeAllocatable",
            Self::NODE_LABEL => "UpdateNodeLabel",
            Self::NODE_TAINT => "UpdateNodeTaint",
            Self::NODE_CONDITION => "UpdateNodeCondition",
            Self::NODE_ANNOTATION => "UpdateNodeAnnotation",
            Self::NODE_FEATURE => "UpdateNodeDeclaredFeature",
            Self::POD_LABEL => "UpdatePodLabel",
            Self::POD_SCALE_DOWN => "UpdatePodScaleDown",
            Self::POD_TOLERATION => "UpdatePodToleration",
            Self::POD_GATES_ELIMINATED => "UpdatePodSchedulingGatesEliminated",
            Self::ALL => "All",
            _ => "Update",
        }
    }
}

/// A change of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterEvent {
    /// What changed.
    pub resource: EventResource,
    /// How.
    pub action: ActionType,
    label: Option<&'static str>,
}

impl ClusterEvent {
    /// The pods that waited longest are tried again.
    pub const UNSCHEDULABLE_TIMEOUT: Self = Self::labelled("UnschedulableTimeout");
    /// Somebody asked for a retry.
    pub const FORCE_ACTIVATE: Self = Self::labelled("ForceActivate");

    const fn labelled(label: &'static str) -> Self {
        Self { resource: EventResource::Wildcard, action: ActionType::ALL, label: Some(label) }
    }

    /// A change of a resource.
    pub const fn new(resource: EventResource, action: ActionType) -> Self {
        Self { resource, action, label: None }
    }

    /// Whether it stands for everything.
    pub fn is_wildcard(&self) -> bool {
        self.resource == EventResource::Wildcard && self.action == ActionType::ALL
    }

    /// Whether this, as registered by a plugin, speaks about `event`. upstream: framework.MatchClusterEvents
    pub fn covers(&self, event: &Self) -> bool {
        let resource = self.resource == event.resource
            || self.resource == EventResource::Wildcard
            || (self.resource == EventResource::Pod
                && matches!(event.resource, EventResource::AssignedPod | EventResource::UnscheduledPod));
        resource && self.action.intersects(event.action)
    }
}

impl fmt::Display for ClusterEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = self.label {
            return f.write_str(label);
        }
        let resource = match self.resource {
            EventResource::AssignedPod => "AssignedPod",
            EventResource::UnscheduledPod => "UnscheduledPod",
            EventResource::Pod => "Pod",
            EventResource::Node => "Node",
            EventResource::PersistentVolume => "PersistentVolume",
            EventResource::PersistentVolumeClaim => "PersistentVolumeClaim",
            EventResource::StorageClass => "storage.k8s.io/StorageClass",
            EventResource::CsiNode => "storage.k8s.io/CSINode",
            EventResource::Wildcard => "*",
        };
        write!(f, "{resource}{}", self.action.name())
    }
}

/// The objects of a change, before and after.
#[derive(Debug, Clone)]
pub enum Change {
    /// A pod.
    Pod {
        /// Before; `None` when created.
        old: Option<Arc<Pod>>,
        /// After; `None` when deleted.
        new: Option<Arc<Pod>>,
    },
    /// A node.
    Node {
        /// Before; `None` when created.
        old: Option<Arc<Node>>,
        /// After; `None` when deleted.
        new: Option<Arc<Node>>,
    },
    /// Something whose content no hint looks at.
    Other,
}

/// The events that a pod update amounts to. upstream: PodSchedulingPropertiesChange
pub fn pod_events(new: &Pod, old: &Pod) -> Vec<ClusterEvent> {
    let resource = if new.is_assigned() { EventResource::AssignedPod } else { EventResource::UnscheduledPod };
    let smaller = |new: i64, old: i64| old > new;
    let scaled_down = smaller(new.requests.milli_cpu, old.requests.milli_cpu)
        || smaller(new.requests.memory, old.requests.memory)
        || smaller(new.requests.ephemeral_storage, old.requests.ephemeral_storage)
        || old.requests.scalar.iter().any(|(name, amount)| *amount > new.requests.get(name));
    let changes = [
        (new.labels() != old.labels(), ActionType::POD_LABEL),
        (scaled_down, ActionType::POD_SCALE_DOWN),
        (new.gates.is_empty() && !old.gates.is_empty(), ActionType::POD_GATES_ELIMINATED),
        (new.tolerations.len() != old.tolerations.len(), ActionType::POD_TOLERATION),
    ];
    let mut events: Vec<_> = changes
        .into_iter()
        .filter(|(changed, _)| *changed)
        .map(|(_, action)| ClusterEvent::new(resource, action))
        .collect();
    if events.is_empty() {
        events.push(ClusterEvent::new(resource, ActionType::UPDATE_OTHER));
    }
    events
}

/// The events that a node update amounts to; none for a mere heartbeat. upstream: NodeSchedulingPropertiesChange
pub fn node_events(new: &Node, old: &Node) -> Vec<ClusterEvent> {
    let taint = (old.unschedulable && !new.unschedulable) || new.taints != old.taints;
    let allocatable = new.allocatable != old.allocatable || new.allowed_pods != old.allowed_pods;
    let changes = [
        (taint, ActionType::NODE_TAINT),
        (allocatable, ActionType::NODE_ALLOCATABLE),
        (new.labels != old.labels, ActionType::NODE_LABEL),
        (new.conditions != old.conditions, ActionType::NODE_CONDITION),
        (new.annotations_hash != old.annotations_hash, ActionType::NODE_ANNOTATION),
        (new.declared_features != old.declared_features, ActionType::NODE_FEATURE),
    ];
    changes
        .into_iter()
        .filter(|(changed, _)| *changed)
        .map(|(_, action)| ClusterEvent::new(EventResource::Node, action))
        .collect()
}
