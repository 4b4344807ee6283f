//! What the node has promised to its pods, what their containers really have, and the resizes in between.
//!
//! A pod's definition may ask for other resources than it was admitted with. Until the node can give them, everything else
//! works with the allotted form of the pod, which this module makes. It decides nothing itself: whether a resize fits is the
//! business of `pod::admission`, and carrying it out that of `pod::actuate`.
//!
//! upstream: pkg/kubelet/allocation/allocation_manager.go, pkg/kubelet/status/status_manager.go: podResizeConditions

mod ledger;
mod message;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use component_base::{Chain, clock};
use k8s_openapi::api::core::v1::{Container, Pod, PodCondition, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use parking_lot::Mutex;

pub use ledger::{LedgerError, PodResources};
pub use message::resize_message;

use crate::pod::conditions::condition;
use crate::pod::resize::same_resources;
use crate::pod::status::whole_second;
use crate::pod::view::PodView;

/// Condition: the node has not granted a resize yet.
pub const PENDING: &str = "PodResizePending";
/// Condition: a granted resize is being carried out.
pub const IN_PROGRESS: &str = "PodResizeInProgress";
/// Reason: the resize does not fit now.
pub const DEFERRED: &str = "Deferred";
/// The promises and their fulfilment.
#[derive(Debug)]
pub struct Allocations {
    allotted: ledger::Ledger,
    actuated: ledger::Ledger,
    conditions: Mutex<HashMap<String, Conditions>>,
    waiting: Mutex<Vec<String>>,
    look_again: AtomicBool,
}

#[derive(Clone, Debug, Default)]
struct Conditions {
    pending: Option<PodCondition>,
    in_progress: Option<PodCondition>,
}

impl Allocations {
    /// Goes on from the files below the kubelet's root folder.
    ///
    /// # Errors
    /// A file is damaged.
    pub fn open(root: &Path) -> Result<Self, LedgerError> {
        Ok(Self {
            allotted: ledger::Ledger::open(root.join("allocated_pods_state"))?,
            actuated: ledger::Ledger::open(root.join("actuated_pods_state"))?,
            conditions: Mutex::default(),
            waiting: Mutex::default(),
            look_again: AtomicBool::new(false),
        })
    }

    /// The pod with the resources that it was granted, whatever its definition asks for by now.
    pub fn allotted(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        match self.allotted.pod(pod.uid()) {
            Some(granted) if differs(pod, &granted) => Arc::new(with_resources(pod, &granted)),
            _ => Arc::clone(pod),
        }
    }

    /// True when the definition asks for other resources than were granted.
    pub fn wants_resize(&self, pod: &Pod) -> bool {
        self.allotted.pod(pod.uid()).is_some_and(|granted| differs(pod, &granted))
    }

    /// Grants what the definition asks for.
    pub fn allot(&self, pod: &Pod) {
        let written = self.allotted.change(pod.uid(), |entry| {
            entry.pod_level_resources.clone_from(&pod.spec().resources);
            entry.container_resources =
                resizable(pod).map(|one| (one.name.clone(), one.resources.clone().unwrap_or_default())).collect();
        });
        report(written);
    }

    /// What the runtime and the kernel were told last.
    pub fn actuated(&self, uid: &str) -> PodResources {
        self.actuated.pod(uid).unwrap_or_default()
    }

    /// Notes what a container was given.
    pub fn set_actuated(&self, uid: &str, container: &str, resources: ResourceRequirements) {
        report(self.actuated.change(uid, |entry| {
            entry.container_resources.insert(container.to_owned(), resources);
        }));
    }

    /// Notes what the pod as a whole was given.
    pub fn set_actuated_pod(&self, uid: &str, resources: Option<&ResourceRequirements>) {
        report(self.actuated.change(uid, |entry| entry.pod_level_resources = resources.cloned()));
    }

    /// Forgets all pods but these.
    pub fn keep_only(&self, known: &BTreeSet<String>) {
        report(self.allotted.keep_only(known));
        report(self.actuated.keep_only(known));
        self.conditions.lock().retain(|uid, _| known.contains(uid));
        self.waiting.lock().retain(|uid| known.contains(uid));
    }

    /// Remembers a pod whose resize is to be decided.
    pub fn push(&self, uid: &str) {
        let mut waiting = self.waiting.lock();
        if !waiting.iter().any(|other| other == uid) {
            waiting.push(uid.to_owned());
        }
        self.look_again.store(true, Ordering::Relaxed);
    }

    /// Pods whose resizes are to be decided.
    pub fn waiting(&self) -> Vec<String> {
        self.waiting.lock().clone()
    }

    /// A decision was made that needs no other.
    pub fn decided(&self, uid: &str) {
        self.waiting.lock().retain(|other| other != uid);
    }

    /// Resources became free: a resize that had to wait may fit now.
    pub fn resources_were_freed(&self) {
        self.look_again.store(true, Ordering::Relaxed);
    }

    /// True once after something happened that may let a waiting resize fit.
    pub fn take_look_again(&self) -> bool {
        self.look_again.swap(false, Ordering::Relaxed)
    }

    /// Takes over the conditions that a former kubelet wrote.
    pub fn backfill(&self, pod: &Pod) {
        for one in pod.status().conditions.iter().flatten() {
            let mut all = self.conditions.lock();
            match one.type_.as_str() {
                PENDING => all.entry(pod.uid().to_owned()).or_default().pending = Some(one.clone()),
                IN_PROGRESS => all.entry(pod.uid().to_owned()).or_default().in_progress = Some(one.clone()),
                _ => {}
            }
        }
    }

    /// The conditions of a pod's resize, as they are to be shown.
    pub fn conditions(&self, uid: &str) -> Vec<PodCondition> {
        let all = self.conditions.lock();
        all.get(uid).map(|one| one.pending.iter().chain(&one.in_progress).cloned().collect()).unwrap_or_default()
    }

    /// The resize must wait. True when this is news.
    pub fn set_pending(&self, pod: &Pod, reason: &str, message: &str) -> bool {
        let mut all = self.conditions.lock();
        let slot = &mut all.entry(pod.uid().to_owned()).or_default().pending;
        let new = resize_condition(PENDING, slot.as_ref(), reason, message, pod.metadata.generation);
        let is_news = slot.as_ref().is_none_or(|old| {
            old.reason.as_deref() != Some(reason) || old.observed_generation != pod.metadata.generation
        });
        *slot = Some(new);
        is_news
    }

    /// The resize is being carried out. Keeps the generation and, without a new one, the error that is shown already.
    /// True when anything changed.
    pub fn set_in_progress(&self, pod: &Pod, error: Option<&str>) -> bool {
        let mut all = self.conditions.lock();
        let slot = &mut all.entry(pod.uid().to_owned()).or_default().in_progress;
        let old = slot.clone();
        let (reason, message) = match (error, &old) {
            (Some(error), _) => ("Error".to_owned(), error.to_owned()),
            (None, Some(old)) => (old.reason.clone().unwrap_or_default(), old.message.clone().unwrap_or_default()),
            (None, None) => Default::default(),
        };
        let generation = old.as_ref().map_or(pod.metadata.generation, |old| old.observed_generation);
        let new = resize_condition(IN_PROGRESS, old.as_ref(), &reason, &message, generation);
        let changed = old.is_none_or(|old| old.reason != new.reason || old.message != new.message);
        *slot = Some(new);
        changed
    }

    /// The resize waits no more.
    pub fn clear_pending(&self, uid: &str) {
        if let Some(one) = self.conditions.lock().get_mut(uid) {
            one.pending = None;
        }
    }

    /// The resize is complete, or another one begins. Answers the generation that it was for.
    pub fn clear_in_progress(&self, uid: &str) -> Option<i64> {
        let mut all = self.conditions.lock();
        let old = all.get_mut(uid)?.in_progress.take()?;
        Some(old.observed_generation.unwrap_or(0))
    }
}

fn report(written: Result<(), LedgerError>) {
    if let Err(error) = written {
        tracing::error!(error = %Chain(&error), "resources of pods were not noted");
    }
}

fn resize_condition(
    kind: &str,
    old: Option<&PodCondition>,
    reason: &str,
    message: &str,
    generation: Option<i64>,
) -> PodCondition {
    let now = Time(whole_second(clock::now()));
    let same_reason = old.filter(|old| old.reason.as_deref().unwrap_or_default() == reason);
    let since = same_reason.and_then(|old| old.last_transition_time.clone()).unwrap_or_else(|| now.clone());
    PodCondition {
        last_probe_time: Some(now),
        last_transition_time: Some(since),
        observed_generation: generation,
        ..condition(kind, true, reason, message)
    }
}

/// Containers whose resources may change while they exist.
fn resizable(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.init_containers().iter().chain(&pod.spec().containers)
}

fn differs(pod: &Pod, granted: &PodResources) -> bool {
    let empty = ResourceRequirements::default();
    let of_pod = |resources: &Option<ResourceRequirements>| resources.clone().unwrap_or_default();
    !same_resources(&of_pod(&pod.spec().resources), &of_pod(&granted.pod_level_resources))
        || resizable(pod).any(|container| {
            let granted = granted.container_resources.get(&container.name);
            granted.is_some_and(|granted| !same_resources(container.resources.as_ref().unwrap_or(&empty), granted))
        })
}

fn with_resources(pod: &Pod, granted: &PodResources) -> Pod {
    let mut out = pod.clone();
    let Some(spec) = out.spec.as_mut() else { return out };
    spec.resources.clone_from(&granted.pod_level_resources);
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        if let Some(resources) = granted.container_resources.get(&container.name) {
            container.resources = Some(resources.clone());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(cpu: &str, generation: i64) -> Arc<Pod> {
        let json = format!(
            r#"{{"metadata":{{"uid":"u","generation":{generation}}},
                "spec":{{"containers":[{{"name":"c","resources":{{"requests":{{"cpu":"{cpu}"}}}}}}]}}}}"#
        );
        Arc::new(serde_json::from_str(&json).expect("valid"))
    }

    fn opened() -> (tempfile::TempDir, Allocations) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let allocations = Allocations::open(folder.path()).expect("opened");
        (folder, allocations)
    }

    #[test]
    fn a_pod_keeps_what_it_was_granted_until_more_is() {
        let (_folder, allocations) = opened();
        allocations.allot(&pod("1", 1));
        assert!(!allocations.wants_resize(&pod("1000m", 1)), "equal amounts are no resize");
        let wanted = pod("2", 2);
        assert!(allocations.wants_resize(&wanted));
        assert_eq!(allocations.allotted(&wanted).spec(), pod("1", 1).spec());
        allocations.allot(&wanted);
        assert_eq!(allocations.allotted(&wanted).spec(), wanted.spec());
    }

    #[test]
    fn conditions_tell_news_once() {
        let (_folder, allocations) = opened();
        let wanted = pod("2", 2);
        assert!(allocations.set_pending(&wanted, DEFERRED, "full"));
        assert!(!allocations.set_pending(&wanted, DEFERRED, "still full"));
        assert!(allocations.set_pending(&pod("3", 3), DEFERRED, "full"));
        allocations.clear_pending("u");
        assert!(allocations.set_in_progress(&wanted, None));
        assert!(allocations.set_in_progress(&wanted, Some("no")));
        assert!(!allocations.set_in_progress(&wanted, None), "the error stays");
        assert_eq!(allocations.conditions("u")[0].message.as_deref(), Some("no"));
        assert_eq!(allocations.clear_in_progress("u"), Some(2));
        assert_eq!(allocations.clear_in_progress("u"), None);
    }
}
