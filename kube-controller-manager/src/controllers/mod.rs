//! The list of all controllers. A new one is a folder here, a `mod` line and its `start` in the table.

mod clusterrole_aggregation;
mod cronjob;
mod csr;
mod daemonset;
mod deployment;
mod endpoints;
mod endpointslice;
mod garbage_collector;
mod job;
mod namespace;
mod node_lifecycle;
mod pod_gc;
mod protection;
mod replicaset;
mod replicationcontroller;
mod resource_quota;
mod root_ca;
mod serviceaccount;
mod statefulset;
mod taint_eviction;
mod token;
mod ttl_after_finished;

use std::collections::BTreeSet;

use component_base::Flags;
use component_base::client::ClientError;
use component_base::flags::FeatureGates;
use tracing::{info, warn};

use crate::context::Shared;

/// Why a controller cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// It has no client.
    #[error("cannot make a client")]
    Client(#[from] ClientError),
    /// A file it needs.
    #[error("{0}")]
    Setup(String),
}

/// Starts a controller; Ok(false) if the flags leave it nothing to do.
type Start = fn(&Shared) -> Result<bool, StartError>;

/// One controller of upstream.
struct Descriptor {
    name: &'static str,
    /// Name of old, still accepted.
    alias: &'static str,
    /// Whether `*` includes it.
    default_on: bool,
    /// Gates that must be on.
    gates: &'static [&'static str],
    /// Needs a cloud provider in this process, which no longer exists.
    cloud: bool,
    /// None as long as it is not built.
    start: Option<Start>,
}

#[rustfmt::skip]
const CONTROLLERS: [Descriptor; 52] = [
    Descriptor { name: "bootstrap-signer-controller", alias: "bootstrapsigner", default_on: false, gates: &[], cloud: false, start: None },
    Descriptor { name: "certificatesigningrequest-approving-controller", alias: "csrapproving", default_on: true, gates: &[], cloud: false, start: Some(csr::start_approving) },
    Descriptor { name: "certificatesigningrequest-cleaner-controller", alias: "csrcleaner", default_on: true, gates: &[], cloud: false, start: Some(csr::start_cleaning) },
    Descriptor { name: "certificatesigningrequest-signing-controller", alias: "csrsigning", default_on: true, gates: &[], cloud: false, start: Some(csr::start_signing) },
    Descriptor { name: "cloud-node-lifecycle-controller", alias: "cloud-node-lifecycle", default_on: true, gates: &[], cloud: true, start: None },
    Descriptor { name: "clusterrole-aggregation-controller", alias: "clusterrole-aggregation", default_on: true, gates: &[], cloud: false, start: Some(clusterrole_aggregation::start) },
    Descriptor { name: "cronjob-controller", alias: "cronjob", default_on: true, gates: &[], cloud: false, start: Some(cronjob::start) },
    Descriptor { name: "daemonset-controller", alias: "daemonset", default_on: true, gates: &[], cloud: false, start: Some(daemonset::start) },
    Descriptor { name: "deployment-controller", alias: "deployment", default_on: true, gates: &[], cloud: false, start: Some(deployment::start) },
    Descriptor { name: "device-taint-eviction-controller", alias: "", default_on: true, gates: &["DynamicResourceAllocation", "DRADeviceTaints"], cloud: false, start: None },
    Descriptor { name: "disruption-controller", alias: "disruption", default_on: true, gates: &[], cloud: false, start: None },
    Descriptor { name: "endpoints-controller", alias: "endpoint", default_on: true, gates: &[], cloud: false, start: Some(endpoints::start) },
    Descriptor { name: "endpointslice-controller", alias: "endpointslice", default_on: true, gates: &[], cloud: false, start: Some(endpointslice::start) },
    Descriptor { name: "endpointslice-mirroring-controller", alias: "endpointslicemirroring", default_on: true, gates: &[], cloud: false, start: None },
    Descriptor { name: "ephemeral-volume-controller", alias: "ephemeral-volume", default_on: true, gates: &[], cloud: false, start: None },
    Descriptor { name: "garbage-collector-controller", alias: "garbagecollector", default_on: true, gates: &[], cloud: false, start: Some(garbage_collector::start) },
    Descriptor { name: "horizontal-pod-autoscaler-controller", alias: "horizontalpodautoscaling", default_on: true, gates: &[], cloud: false, start: None },
    Descriptor { name: "job-controller", alias: "job", default_on: true, gates: &[], cloud: false, start: Some(job::start) },
    Descriptor { name: "kube-apiserver-serving-clustertrustbundle-publisher-controller", alias: "", default_on: true, gates: &["ClusterTrustBundle"], cloud: false, start: None },
    Descriptor { name: "legacy-serviceaccount-token-cleaner-controller", alias: "legacy-service-account-token-cleaner", default_on: true, gates: &[], cloud: false, start: None },
    Descriptor { name: "namespace-controller", alias: "namespace", default_on: true, gates: &[], cloud: false, start: Some(namespace::start) },
    Descriptor { name: "node-ipam-controller", alias: "nodeipam", default_on: true, gates: &[], cloud: false, start: None },
    Descriptor { name: "node-lifecycle-controller", alias: "nodelifecycle", default_on: true, gates: &[], cloud: false, start: Some(node_lifecycle::start) },
    Descriptor { name: "node-route-controller", alias: "route", default_on: true, gates: &[], cloud: true, start: None },
    Descriptor { name: "persistentvolume-attach-detach-controller", alias: "attachdetach", default_on: true, gates: &[], cloud: false, start: None },
    Descriptor { name: "persistentvolume-binder-controller", alias: "persistentvolume-binder", default_on: true, gates: &[], cloud: false, start: None },
    Descriptor { name: "persistentvolume-expander-controller", alias: "persistentvolume-expander", default_on: true, gates: &[], cloud: false, start: None },
    Descriptor { name: "persistentvolume-protection-controller", alias: "pv-protection", default_on: true, gates: &[], cloud: false, start: Some(protection::start_volumes) },
    Descriptor { name: "persistentvolumeclaim-protection-controller", alias: "pvc-protection", default_on: true, gates: &[], cloud: false, start: Some(protection::start_claims) },
    Descriptor { name: "pod-garbage-collector-controller", alias: "podgc", default_on: true, gates: &[], cloud: false, start: Some(pod_gc::start) },
    Descriptor { name: "podcertificaterequest-cleaner-controller", alias: "", default_on: true, gates: &["PodCertificateRequest"], cloud: false, start: None },
    Descriptor { name: "podgroup-protection-controller", alias: "", default_on: true, gates: &["GenericWorkload"], cloud: false, start: None },
    Descriptor { name: "replicaset-controller", alias: "replicaset", default_on: true, gates: &[], cloud: false, start: Some(replicaset::start) },
    Descriptor { name: "replicationcontroller-controller", alias: "replicationcontroller", default_on: true, gates: &[], cloud: false, start: Some(replicationcontroller::start) },
    Descriptor { name: "resourceclaim-controller", alias: "resource-claim-controller", default_on: true, gates: &["DynamicResourceAllocation"], cloud: false, start: None },
    Descriptor { name: "resourcepoolstatusrequest-controller", alias: "", default_on: true, gates: &["DRAResourcePoolStatus"], cloud: false, start: None },
    Descriptor { name: "resourcequota-controller", alias: "resourcequota", default_on: true, gates: &[], cloud: false, start: Some(resource_quota::start) },
    Descriptor { name: "root-ca-certificate-publisher-controller", alias: "root-ca-cert-publisher", default_on: true, gates: &[], cloud: false, start: Some(root_ca::start) },
    Descriptor { name: "selinux-warning-controller", alias: "", default_on: false, gates: &["SELinuxChangePolicy"], cloud: false, start: None },
    Descriptor { name: "service-cidr-controller", alias: "", default_on: true, gates: &["MultiCIDRServiceAllocator"], cloud: false, start: None },
    Descriptor { name: "service-lb-controller", alias: "service", default_on: true, gates: &[], cloud: true, start: None },
    Descriptor { name: "serviceaccount-controller", alias: "serviceaccount", default_on: true, gates: &[], cloud: false, start: Some(serviceaccount::start) },
    Descriptor { name: "serviceaccount-token-controller", alias: "serviceaccount-token", default_on: true, gates: &[], cloud: false, start: Some(token::start) },
    Descriptor { name: "statefulset-controller", alias: "statefulset", default_on: true, gates: &[], cloud: false, start: Some(statefulset::start) },
    Descriptor { name: "storage-version-migrator-controller", alias: "svm", default_on: true, gates: &[], cloud: false, start: None },
    Descriptor { name: "storageversion-garbage-collector-controller", alias: "storage-version-gc", default_on: true, gates: &["APIServerIdentity", "StorageVersionAPI"], cloud: false, start: None },
    Descriptor { name: "taint-eviction-controller", alias: "", default_on: true, gates: &["SeparateTaintEvictionController"], cloud: false, start: Some(taint_eviction::start) },
    Descriptor { name: "token-cleaner-controller", alias: "tokencleaner", default_on: false, gates: &[], cloud: false, start: None },
    Descriptor { name: "ttl-after-finished-controller", alias: "ttl-after-finished", default_on: true, gates: &[], cloud: false, start: Some(ttl_after_finished::start) },
    Descriptor { name: "ttl-controller", alias: "ttl", default_on: true, gates: &[], cloud: false, start: None },
    Descriptor { name: "validatingadmissionpolicy-status-controller", alias: "", default_on: true, gates: &[], cloud: false, start: None },
    Descriptor { name: "volumeattributesclass-protection-controller", alias: "", default_on: true, gates: &["VolumeAttributesClass"], cloud: false, start: None },
];

/// Names in `--controllers` that mean nothing.
pub(crate) fn unknown_names(selection: &[String]) -> Vec<String> {
    let known = |name: &str| {
        name == "*"
            || CONTROLLERS
                .iter()
                .any(|descriptor| descriptor.name == name || (!descriptor.alias.is_empty() && descriptor.alias == name))
    };
    selection.iter().filter(|name| !known(name.trim_start_matches('-'))).cloned().collect()
}

/// Whether `--controllers` has a controller on: named, not denied, or part of `*` and on by default.
fn is_selected(descriptor: &Descriptor, selection: &[String]) -> bool {
    let is_it = |name: &str| name == descriptor.name || (!descriptor.alias.is_empty() && name == descriptor.alias);
    if selection.iter().any(|name| is_it(name)) {
        return true;
    }
    if selection.iter().any(|name| name.strip_prefix('-').is_some_and(is_it)) {
        return false;
    }
    descriptor.default_on && selection.iter().any(|name| name == "*")
}

fn is_wanted(descriptor: &Descriptor, flags: &Flags, gates: &FeatureGates) -> bool {
    is_selected(descriptor, flags.list("controllers"))
        && !descriptor.cloud
        && descriptor.gates.iter().all(|gate| gates.enabled(gate))
}

/// Starts all controllers that are selected. Those that are not built yet are named in one line.
pub(crate) fn start_all(shared: &Shared) -> Result<(), (&'static str, StartError)> {
    let mut missing = BTreeSet::new();
    for descriptor in CONTROLLERS.iter().filter(|descriptor| is_wanted(descriptor, &shared.flags, &shared.gates)) {
        match descriptor.start {
            None => {
                missing.insert(descriptor.name);
            }
            Some(start) => {
                if !start(shared).map_err(|error| (descriptor.name, error))? {
                    info!(controller = descriptor.name, "Skipping controller: the flags leave it nothing to do");
                }
            }
        }
    }
    if !missing.is_empty() {
        let names: Vec<&str> = missing.into_iter().collect();
        warn!(controllers = names.join(","), "Controllers that are selected but not implemented");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(selection: &[&str]) -> Vec<&'static str> {
        let selection: Vec<String> = selection.iter().map(|name| (*name).to_owned()).collect();
        CONTROLLERS
            .iter()
            .filter(|descriptor| is_selected(descriptor, &selection))
            .map(|descriptor| descriptor.name)
            .collect()
    }

    #[test]
    fn selection() {
        assert_eq!(selected(&["*"]).len(), 49);
        assert_eq!(selected(&["*", "-deployment"]).len(), 48);
        assert_eq!(selected(&["deployment"]), ["deployment-controller"]);
        assert!(selected(&["*", "bootstrapsigner"]).contains(&"bootstrap-signer-controller"));
        assert_eq!(unknown_names(&["*".into(), "-nope".into(), "job".into()]), ["-nope"]);
    }
}
