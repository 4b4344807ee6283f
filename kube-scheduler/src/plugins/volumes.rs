//! What the volume plugins share: the claims of a pod, whether they are bound, and which volume suits a claim. Pure.
//! upstream: component-helpers/storage/volume, plugins/volumebinding/binder.go

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::framework::{Listers, Rejection};
use crate::model::{Claim, ClaimPhase, ClassBindingMode, Node, PersistentVolume, Pod, StorageClass, VolumeUse};

const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The node that a claim waits to be provisioned for.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// An annotation of a claim.
pub(super) fn annotation<'a>(claim: &'a Claim, key: &str) -> Option<&'a str> {
    claim.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The name of a claim.
pub(super) fn name(claim: &Claim) -> &str {
    claim.metadata.name.as_deref().unwrap_or_default()
}

/// The name of a volume.
pub(super) fn volume_name(volume: &PersistentVolume) -> &str {
    volume.metadata.name.as_deref().unwrap_or_default()
}

/// The class of a claim; empty when it has none.
pub(super) fn class(claim: &Claim) -> &str {
    annotation(claim, BETA_CLASS).or(claim.class.as_deref()).unwrap_or_default()
}

/// Whether binding is over for a claim.
pub(super) fn is_bound(claim: &Claim) -> bool {
    !claim.volume_name.is_empty() && annotation(claim, BIND_COMPLETED).is_some()
}

/// The claims of a pod, those of generic ephemeral volumes included.
///
/// # Errors
/// A claim that does not exist, or cannot be used by this pod.
pub(super) fn claims(listers: &dyn Listers, pod: &Pod) -> Result<Vec<Arc<Claim>>, Rejection> {
    let mut found = Vec::new();
    for volume in &pod.volumes {
        let (claim_name, ephemeral) = match volume {
            VolumeUse::Claim(name) => (name.to_string(), false),
            VolumeUse::Ephemeral(volume) => (format!("{}-{volume}", pod.name()), true),
            VolumeUse::Csi(_) | VolumeUse::Disk { .. } => continue,
        };
        let Some(claim) = listers.claim(pod.namespace(), &claim_name) else {
            return Err(Rejection::unresolvable(if ephemeral {
                format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {claim_name:?}")
            } else {
                format!("persistentvolumeclaim {claim_name:?} not found")
            }));
        };
        if claim.phase == ClaimPhase::Lost {
            let volume = &claim.volume_name;
            return Err(Rejection::unresolvable(format!(
                "persistentvolumeclaim {claim_name:?} bound to non-existent persistentvolume {volume:?}"
            )));
        }
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(Rejection::unresolvable(format!("persistentvolumeclaim {claim_name:?} is being deleted")));
        }
        let owners = claim.metadata.owner_references.as_deref().unwrap_or_default();
        if ephemeral && !owners.iter().any(|o| o.controller == Some(true) && *o.uid == *pod.uid) {
            let (namespace, pod) = (pod.namespace(), pod.name());
            return Err(Rejection::unresolvable(format!(
                "PVC {namespace}/{claim_name} was not created for pod {namespace}/{pod} (pod is not owner)"
            )));
        }
        found.push(claim);
    }
    Ok(found)
}

/// Whether a claim of a class is bound when a pod is scheduled.
pub(super) fn waits_for_consumer(class: Option<&StorageClass>) -> bool {
    class.is_some_and(|c| c.mode == ClassBindingMode::WaitForFirstConsumer)
}

/// Whether a volume can be provisioned for the node by the class.
pub(super) fn can_provision(class: &StorageClass, node: &Node) -> bool {
    let topology = class.topologies.is_empty() || class.topologies.iter().any(|term| term.matches(node));
    !class.provisioner.is_empty() && class.provisioner != NO_PROVISIONER && topology
}

/// Whether the node reaches the volume.
pub(super) fn reaches(volume: &PersistentVolume, node: &Node) -> bool {
    volume.node_affinity.as_ref().is_none_or(|affinity| affinity.matches(node))
}

/// The smallest available volume that suits the claim on the node; one reserved for the claim by hand comes first.
pub(super) fn matching<'a>(
    claim: &Claim,
    volumes: &'a [Arc<PersistentVolume>],
    node: &Node,
    taken: &BTreeSet<String>,
) -> Option<&'a Arc<PersistentVolume>> {
    let suits = |v: &&Arc<PersistentVolume>| {
        v.class == class(claim)
            && v.block == claim.block
            && v.capacity >= claim.capacity
            && v.metadata.deletion_timestamp.is_none()
            && !taken.contains(volume_name(v))
            && claim.access_modes.iter().all(|mode| v.access_modes.contains(mode))
    };
    let candidates = || volumes.iter().filter(suits);
    let reserved = |v: &PersistentVolume| {
        v.claim.as_ref().is_some_and(|(namespace, name_of, uid)| {
            Some(namespace) == claim.metadata.namespace.as_ref()
                && name_of == name(claim)
                && (uid.is_empty() || Some(uid) == claim.metadata.uid.as_ref())
        })
    };
    if let Some(own) = candidates().find(|v| reserved(v)) {
        return Some(own).filter(|v| reaches(v, node));
    }
    let none = crate::model::Labels::new();
    let free = candidates().filter(|v| v.available && v.claim.is_none() && reaches(v, node));
    let selected = free.filter(|v| claim.selector.matches(v.metadata.labels.as_ref().unwrap_or(&none)));
    selected.min_by_key(|v| v.capacity)
}
