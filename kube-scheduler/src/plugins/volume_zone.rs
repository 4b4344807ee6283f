//! VolumeZone: a volume with zone or region labels is reached only from nodes in them. upstream: plugins/volumezone

use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::framework::{
    ActionType, ClusterEvent, CycleState, EnqueueExtensions, EventResource, Extensions, FITS, Filter, Handle, Listers,
    Plugin, PreFilter, PreFilterOutcome, Rejection, Verdict,
};
use crate::model::{Labels, Pod};

use super::volumes;

pub(super) const NAME: &str = "VolumeZone";

/// Topology labels: the old name and the stable one.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

pub(super) struct VolumeZone {
    listers: Arc<dyn Listers>,
}

/// Label names and the values that suit the pod's volumes.
#[derive(Clone)]
struct Required(Vec<(&'static str, &'static str, Vec<String>)>);

impl VolumeZone {
    pub(super) fn new(handle: &Handle) -> Self {
        Self { listers: Arc::clone(&handle.listers) }
    }
}

/// Several zones are written `a__b`.
fn topologies(labels: &Labels) -> impl Iterator<Item = (&'static str, &'static str, Vec<String>)> {
    LABELS.into_iter().filter_map(|(old, stable)| {
        let value = labels.get(old)?;
        Some((old, stable, value.split("__").map(|zone| zone.trim().to_owned()).collect()))
    })
}

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_filter = Some(self.clone());
        extensions.filter = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl PreFilter for VolumeZone {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, _nodes: &Snapshot) -> Result<PreFilterOutcome, Rejection> {
        let mut required = Vec::new();
        for claim in volumes::claims(&*self.listers, pod)? {
            if claim.volume_name.is_empty() {
                let class = volumes::class(&claim);
                if class.is_empty() {
                    return Err(Rejection::unresolvable("PersistentVolumeClaim had no pv name and storageClass name"));
                }
                let Some(found) = self.listers.class(class) else {
                    return Err(Rejection::unresolvable(format!("storageclass.storage.k8s.io {class:?} not found")));
                };
                if volumes::waits_for_consumer(Some(&found)) {
                    continue;
                }
                return Err(Rejection::unresolvable("PersistentVolume had no name"));
            }
            let Some(volume) = self.listers.volume(&claim.volume_name) else {
                return Err(Rejection::unresolvable(format!("persistentvolume {:?} not found", claim.volume_name)));
            };
            required.extend(volume.metadata.labels.iter().flat_map(topologies));
        }
        if required.is_empty() {
            return Ok(PreFilterOutcome::Skip);
        }
        state.insert(Required(required));
        Ok(PreFilterOutcome::All)
    }
}

impl Filter for VolumeZone {
    fn name(&self) -> &'static str {
        NAME
    }
    fn filter(&self, state: &CycleState, _pod: &Pod, node: &NodeInfo) -> Verdict {
        let Some(Required(required)) = state.get() else { return FITS };
        let labels = &node.node.labels;
        // A node without any zone is taken to be everywhere: there is one zone then.
        if !LABELS.iter().any(|(old, _)| labels.contains_key(*old)) {
            return FITS;
        }
        let suits = |(old, stable, values): &(&str, &str, Vec<String>)| {
            labels.get(*old).or_else(|| labels.get(*stable)).is_some_and(|value| values.contains(value))
        };
        if required.iter().all(suits) {
            FITS
        } else {
            Err(Rejection::unresolvable("node(s) had no available volume zone"))
        }
    }
}

impl EnqueueExtensions for VolumeZone {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        let add_or_update = ActionType::ADD.or(ActionType::UPDATE);
        vec![
            ClusterEvent::new(EventResource::StorageClass, ActionType::ADD),
            ClusterEvent::new(EventResource::Node, ActionType::ADD.or(ActionType::NODE_LABEL)),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, add_or_update),
            ClusterEvent::new(EventResource::PersistentVolume, add_or_update),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FixedListers, handle, node_info, pod, snapshot};

    #[test]
    fn keeps_pods_in_the_zone_of_their_volume() {
        let claim =
            serde_json::from_str(r#"{"metadata":{"name":"c","namespace":"default"},"spec":{"volumeName":"v"}}"#)
                .unwrap();
        let volume =
            serde_json::from_str(r#"{"metadata":{"name":"v","labels":{"topology.kubernetes.io/zone":"z1__z2"}}}"#)
                .unwrap();
        let listers =
            FixedListers { claims: vec![Arc::new(claim)], volumes: vec![Arc::new(volume)], ..FixedListers::default() };
        let plugin = VolumeZone::new(&handle(listers));
        let nodes = [
            node_info("a: {labels: {topology.kubernetes.io/zone: z2}}", &[]),
            node_info("b: {labels: {topology.kubernetes.io/zone: z3}}", &[]),
            node_info("c: {}", &[]),
        ];
        let p = pod("volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]");
        let mut state = CycleState::default();
        plugin.pre_filter(&mut state, &p, &snapshot(&nodes)).unwrap();
        let fits: Vec<_> = nodes.iter().map(|n| plugin.filter(&state, &p, n).is_ok()).collect();
        assert_eq!(fits, [true, false, true]);
    }
}
