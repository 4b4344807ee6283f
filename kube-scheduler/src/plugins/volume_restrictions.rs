//! VolumeRestrictions: disks that only one node or pod may use, and claims of mode ReadWriteOncePod.
//! upstream: plugins/volumerestrictions/volume_restrictions.go

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::framework::{
    ActionType, Change, ClusterEvent, CycleState, EnqueueExtensions, EventResource, Extensions, FITS, Filter, Handle,
    Listers, Plugin, PreFilter, PreFilterOutcome, Rejection, Verdict,
};
use crate::model::{Pod, VolumeUse};

use super::volumes;

pub(super) const NAME: &str = "VolumeRestrictions";

pub(super) struct VolumeRestrictions {
    listers: Arc<dyn Listers>,
}

/// The pod's ReadWriteOncePod claims and how many uses of them there are.
#[derive(Clone)]
struct Exclusive {
    claims: BTreeSet<Box<str>>,
    uses: usize,
}

impl VolumeRestrictions {
    pub(super) fn new(handle: &Handle) -> Self {
        Self { listers: Arc::clone(&handle.listers) }
    }
}

fn claims_of(pod: &Pod) -> impl Iterator<Item = &str> {
    pod.volumes.iter().filter_map(|v| if let VolumeUse::Claim(name) = v { Some(&**name) } else { None })
}

fn uses(pod: &Pod, other: &Pod, claims: &BTreeSet<Box<str>>) -> usize {
    if other.namespace() == pod.namespace() { claims_of(other).filter(|c| claims.contains(*c)).count() } else { 0 }
}

/// Whether two uses of disks exclude each other on a node: the same disk, unless both only read (AWS disks never share).
fn conflict(one: &VolumeUse, other: &VolumeUse) -> bool {
    let (
        VolumeUse::Disk { kind, identity, read_only },
        VolumeUse::Disk { kind: other_kind, identity: other_identity, read_only: other_reads },
    ) = (one, other)
    else {
        return false;
    };
    kind == other_kind && identity.iter().any(|i| other_identity.contains(i)) && !(*read_only && *other_reads)
}

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_filter = Some(self.clone());
        extensions.filter = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl PreFilter for VolumeRestrictions {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, nodes: &Snapshot) -> Result<PreFilterOutcome, Rejection> {
        let disks = pod.volumes.iter().any(|v| matches!(v, VolumeUse::Disk { .. }));
        let mut claims = BTreeSet::new();
        for name in claims_of(pod) {
            let Some(claim) = self.listers.claim(pod.namespace(), name) else {
                return Err(Rejection::unresolvable(format!("persistentvolumeclaim {name:?} not found")));
            };
            if claim.access_modes.iter().any(|mode| mode == "ReadWriteOncePod") {
                claims.insert(Box::from(volumes::name(&claim)));
            }
        }
        let mut exclusive = Exclusive { claims, uses: 0 };
        if !exclusive.claims.is_empty() {
            let others = nodes.nodes().iter().flat_map(|n| &n.pods);
            exclusive.uses = others.map(|other| uses(pod, other, &exclusive.claims)).sum();
        }
        if !disks && exclusive.uses == 0 {
            return Ok(PreFilterOutcome::Skip);
        }
        state.insert(exclusive);
        Ok(PreFilterOutcome::All)
    }
    fn recount(&self, state: &mut CycleState, pod: &Pod, other: &Pod, _node: &NodeInfo, by: i64) {
        if let Some(exclusive) = state.get_mut::<Exclusive>() {
            let changed = uses(pod, other, &exclusive.claims);
            exclusive.uses = if by > 0 { exclusive.uses + changed } else { exclusive.uses.saturating_sub(changed) };
        }
    }
}

impl Filter for VolumeRestrictions {
    fn name(&self) -> &'static str {
        NAME
    }
    fn filter(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Verdict {
        let there = || node.pods.iter().flat_map(|p| &p.volumes);
        if pod.volumes.iter().any(|own| there().any(|other| conflict(own, other))) {
            return Err(Rejection::unschedulable("node(s) had no available disk"));
        }
        if state.get::<Exclusive>().is_some_and(|e| e.uses > 0) {
            let reason = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";
            return Err(Rejection::unschedulable(reason));
        }
        FITS
    }
}

impl EnqueueExtensions for VolumeRestrictions {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Pod, ActionType::DELETE),
            ClusterEvent::new(EventResource::Node, ActionType::ADD),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, ActionType::ADD.or(ActionType::UPDATE)),
        ]
    }
    fn may_help(&self, pod: &Pod, _event: &ClusterEvent, change: &Change) -> bool {
        let Change::Pod { old: Some(gone), .. } = change else { return true };
        let own: BTreeSet<Box<str>> = claims_of(pod).map(Box::from).collect();
        let disks = pod.volumes.iter().any(|v| gone.volumes.iter().any(|other| conflict(v, other)));
        disks || uses(pod, gone, &own) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FixedListers, handle, node_info, pod, snapshot};

    #[test]
    fn disks_and_exclusive_claims_conflict() {
        let claim = serde_json::from_str(
            r#"{"metadata":{"name":"c","namespace":"default"},"spec":{"accessModes":["ReadWriteOncePod"]}}"#,
        );
        let plugin = VolumeRestrictions::new(&handle(FixedListers {
            claims: vec![Arc::new(claim.unwrap())],
            ..FixedListers::default()
        }));
        let gce = |name: &str, reads: bool| {
            format!("name: {name}\nvolumes: [{{name: v, gcePersistentDisk: {{pdName: d, readOnly: {reads}}}}}]")
        };
        let rwop =
            |name: &str| format!("name: {name}\nvolumes: [{{name: v, persistentVolumeClaim: {{claimName: c}}}}]");
        let disk = "node(s) had no available disk";
        let cases = [
            (gce("x", false), gce("n", false), disk),
            (gce("x", true), gce("n", true), "ok"),
            (
                rwop("x"),
                rwop("n"),
                "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
            ),
            ("name: x".into(), rwop("n"), "skip"),
        ];
        for (there, new, expected) in cases {
            let node = node_info("a: {}", &[&there]);
            let mut state = CycleState::default();
            let new = pod(&new);
            let got = match plugin.pre_filter(&mut state, &new, &snapshot(&[Arc::clone(&node)])).unwrap() {
                PreFilterOutcome::Skip => "skip".to_owned(),
                _ => plugin.filter(&state, &new, &node).map_or_else(|r| r.message(), |()| "ok".into()),
            };
            assert_eq!(got, expected, "{there}");
        }
    }
}
