//! NodeVolumeLimits: a node attaches only so many volumes of a CSI driver. In-tree volumes that were migrated to CSI are not
//! translated in this build. upstream: plugins/nodevolumelimits/csi.go

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::framework::{
    ActionType, ClusterEvent, CycleState, EnqueueExtensions, EventResource, Extensions, FITS, Filter, Handle, Listers,
    Plugin, PreFilter, PreFilterOutcome, Rejection, Verdict,
};
use crate::model::{Pod, VolumeUse};

pub(super) const NAME: &str = "NodeVolumeLimits";

pub(super) struct NodeVolumeLimits {
    listers: Arc<dyn Listers>,
}

/// Distinct volumes by driver.
type Attached = BTreeMap<String, BTreeSet<String>>;

impl NodeVolumeLimits {
    pub(super) fn new(handle: &Handle) -> Self {
        Self { listers: Arc::clone(&handle.listers) }
    }

    /// Adds the CSI volumes of a pod: bound ones by their handle, unbound ones by the claim and the class' provisioner.
    fn collect(&self, pod: &Pod, into: &mut Attached) {
        for volume in &pod.volumes {
            let claim_name = match volume {
                VolumeUse::Claim(name) => name.to_string(),
                VolumeUse::Ephemeral(volume) => format!("{}-{volume}", pod.name()),
                VolumeUse::Csi(_) | VolumeUse::Disk { .. } => continue,
            };
            let Some(claim) = self.listers.claim(pod.namespace(), &claim_name) else { continue };
            let bound = self.listers.volume(&claim.volume_name).and_then(|v| v.csi.clone());
            let identified = bound.or_else(|| {
                let class =
                    self.listers.class(super::volumes::class(&claim)).filter(|_| claim.volume_name.is_empty())?;
                Some((class.provisioner.clone(), format!("{}/{claim_name}", pod.namespace())))
            });
            if let Some((driver, handle)) = identified {
                into.entry(driver).or_default().insert(handle);
            }
        }
    }
}

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_filter = Some(self.clone());
        extensions.filter = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl PreFilter for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter(&self, _state: &mut CycleState, pod: &Pod, _nodes: &Snapshot) -> Result<PreFilterOutcome, Rejection> {
        let claims = |v: &VolumeUse| matches!(v, VolumeUse::Claim(_) | VolumeUse::Ephemeral(_));
        Ok(if pod.volumes.iter().any(claims) { PreFilterOutcome::All } else { PreFilterOutcome::Skip })
    }
}

impl Filter for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        NAME
    }
    fn filter(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Verdict {
        let Some(csi) = self.listers.csi_node(&node.node.name).filter(|csi| !csi.limits.is_empty()) else {
            return FITS;
        };
        let mut wanted = Attached::new();
        self.collect(pod, &mut wanted);
        if wanted.is_empty() {
            return FITS;
        }
        let mut attached = Attached::new();
        node.pods.iter().for_each(|other| self.collect(other, &mut attached));
        for (driver, handles) in wanted {
            let there = attached.remove(&driver).unwrap_or_default();
            let new = handles.difference(&there).count();
            let total = i64::try_from(there.len() + new).unwrap_or(i64::MAX);
            if new > 0 && csi.limits.get(&driver).is_some_and(|limit| total > *limit) {
                return Err(Rejection::unschedulable("node(s) exceed max volume count"));
            }
        }
        FITS
    }
}

impl EnqueueExtensions for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::CsiNode, ActionType::ADD.or(ActionType::UPDATE)),
            ClusterEvent::new(EventResource::Pod, ActionType::DELETE),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, ActionType::ADD),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FixedListers, handle, node_info, pod};

    #[test]
    fn counts_distinct_volumes_of_a_driver() {
        let claim = |n: &str| {
            Arc::new(
                serde_json::from_str(&format!(
                    r#"{{"metadata":{{"name":"{n}","namespace":"default"}},"spec":{{"volumeName":"v{n}"}}}}"#
                ))
                .unwrap(),
            )
        };
        let volume = |n: &str| {
            Arc::new(
                serde_json::from_str(&format!(
                    r#"{{"metadata":{{"name":"v{n}"}},"spec":{{"csi":{{"driver":"d","volumeHandle":"h{n}"}}}}}}"#
                ))
                .unwrap(),
            )
        };
        let csi = serde_json::from_str(
            r#"{"metadata":{"name":"a"},"spec":{"drivers":[{"name":"d","nodeID":"x","allocatable":{"count":1}}]}}"#,
        )
        .unwrap();
        let listers = FixedListers {
            claims: vec![claim("1"), claim("2")],
            volumes: vec![volume("1"), volume("2")],
            csi_nodes: vec![Arc::new(csi)],
            ..FixedListers::default()
        };
        let plugin = NodeVolumeLimits::new(&handle(listers));
        let uses = |name: &str, claim: &str| {
            format!("name: {name}\nvolumes: [{{name: v, persistentVolumeClaim: {{claimName: '{claim}'}}}}]")
        };
        let node = node_info("a: {}", &[&uses("x", "1")]);
        assert_eq!(plugin.filter(&CycleState::default(), &pod(&uses("n", "1")), &node), Ok(()));
        assert!(plugin.filter(&CycleState::default(), &pod(&uses("n", "2")), &node).is_err());
        assert_eq!(plugin.filter(&CycleState::default(), &pod(&uses("n", "2")), &node_info("a: {}", &[])), Ok(()));
    }
}
