//! Which control group a pod lives in.
//!
//! upstream: pkg/kubelet/cm/pod_container_manager_linux.go, qos_container_manager_linux.go

use k8s_openapi::api::core::v1::Pod;

use super::qos::qos_class;
use super::view::PodView;
use crate::sys::CgroupName;

/// The groups under which all pods live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodCgroups {
    /// Root of all pods; `None` when pods are not grouped by class.
    root: Option<CgroupName>,
    /// Where ungrouped pods go.
    plain: CgroupName,
}

impl PodCgroups {
    /// `cgroup_root` is the configured root; `per_qos` groups pods by class.
    pub fn new(cgroup_root: &str, per_qos: bool) -> Self {
        let plain = CgroupName::parse(cgroup_root);
        Self { root: per_qos.then(|| plain.child("kubepods")), plain }
    }

    /// The groups of the classes, the root first; empty when pods are not grouped.
    pub fn tiers(&self) -> Vec<CgroupName> {
        match &self.root {
            Some(root) => vec![root.clone(), root.child("burstable"), root.child("besteffort")],
            None => Vec::new(),
        }
    }

    /// The group of `pod`, or the common one when pods are not grouped.
    pub fn of(&self, pod: &Pod) -> CgroupName {
        let Some(root) = &self.root else {
            return self.plain.clone();
        };
        let name = format!("pod{}", pod.uid());
        match qos_class(pod) {
            "Guaranteed" => root.child(&name),
            "Burstable" => root.child("burstable").child(&name),
            _ => root.child("besteffort").child(&name),
        }
    }

    /// True when every pod has a group of its own.
    pub fn per_pod(&self) -> bool {
        self.root.is_some()
    }
}
