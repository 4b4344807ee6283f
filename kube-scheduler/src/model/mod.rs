//! The scheduler's view of API objects: only what plugins read, compiled once when an object arrives.
//! A watched pod shrinks to a few hundred bytes here; nothing in this folder does IO or reads the clock.

mod affinity;
mod labels;
mod node;
mod node_affinity;
mod objects;
mod pod;
mod requests;
mod resources;
mod taints;

/// Namespace and name of a pod.
pub use component_base::informer::ObjectKey as PodKey;

pub use affinity::{AffinityTerm, AffinityTerms, WeightedTerm};
pub use labels::{LabelMatcher, Labels, SelectorError};
pub use node::{ImageOnNode, Node};
pub use node_affinity::{NodeSelector, NodeTerm, PodNodeAffinity, PreferredTerm};
pub use objects::{
    Claim, ClaimPhase, ClassBindingMode, CsiNode, DisruptionBudget, Namespace, ReplicaSet, ReplicationController,
    Service, StatefulSet, StorageClass, Volume as PersistentVolume,
};
pub use pod::{HostPort, Pod, ScheduledCondition, SpreadConstraint, Unsatisfiable, VolumeUse};
pub use requests::{DEFAULT_MEMORY, DEFAULT_MILLI_CPU};
pub use resources::{Resources, amount, is_extended_resource, is_scalar_resource};
pub use taints::{Effect, Taint, Toleration, first_untolerated, tolerates};
