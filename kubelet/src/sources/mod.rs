//! Where pods come from: files on the node and the API. Each source tells its whole set; the merge tells what changed.
//!
//! upstream: pkg/kubelet/config

pub mod api;
pub mod file;
pub mod mirror;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::pod::view::PodView;

/// One of the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceName {
    /// Manifests on the node.
    File,
    /// The API.
    Api,
}

/// The whole set of one source.
#[derive(Clone, Debug)]
pub struct PodSet {
    /// Which source.
    pub source: SourceName,
    /// Its pods.
    pub pods: Vec<Arc<Pod>>,
}

/// What a new set changes.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Pods that are new or whose definition differs.
    pub updated: Vec<Arc<Pod>>,
    /// Pods of which only the status differs: our own writing came back.
    pub refreshed: Vec<Arc<Pod>>,
    /// UIDs of pods that no source has any more.
    pub removed: Vec<String>,
}

/// The desired pods by UID.
#[derive(Debug, Default)]
pub struct Desired {
    expected: Vec<SourceName>,
    sets: BTreeMap<SourceName, BTreeMap<String, Arc<Pod>>>,
}

impl Desired {
    /// `expected` are the sources that will tell their set some time.
    pub fn new(expected: Vec<SourceName>) -> Self {
        Self { expected, sets: BTreeMap::new() }
    }

    /// True when every source has told its set at least once: only then is an unknown pod an orphan.
    pub fn complete(&self) -> bool {
        self.expected.iter().all(|source| self.sets.contains_key(source))
    }

    /// Takes a new set.
    pub fn replace(&mut self, set: PodSet) -> Changes {
        let new: BTreeMap<String, Arc<Pod>> = set.pods.into_iter().map(|pod| (pod.uid().to_owned(), pod)).collect();
        let old = self.sets.remove(&set.source).unwrap_or_default();
        let mut changes = Changes::default();
        for (uid, pod) in &new {
            match old.get(uid) {
                Some(before) if Arc::ptr_eq(before, pod) || before == pod => {}
                Some(before) if same_definition(before, pod) => changes.refreshed.push(Arc::clone(pod)),
                _ => changes.updated.push(Arc::clone(pod)),
            }
        }
        changes.removed = old.keys().filter(|uid| !new.contains_key(*uid)).cloned().collect();
        self.sets.insert(set.source, new);
        changes
    }

    /// True when some source has the pod.
    pub fn contains(&self, uid: &str) -> bool {
        self.sets.values().any(|set| set.contains_key(uid))
    }
}

/// Equal but for the status, the version, and conditions of others that readiness gates may wait for.
fn same_definition(a: &Pod, b: &Pod) -> bool {
    let (x, y) = (&a.metadata, &b.metadata);
    let gates = a.spec().readiness_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    !gates
        && a.spec == b.spec
        && x.labels == y.labels
        && x.annotations == y.annotations
        && x.deletion_timestamp == y.deletion_timestamp
        && x.deletion_grace_period_seconds == y.deletion_grace_period_seconds
        && x.finalizers == y.finalizers
        && x.owner_references == y.owner_references
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, image: &str) -> Arc<Pod> {
        let json =
            format!(r#"{{"metadata":{{"uid":"{uid}"}},"spec":{{"containers":[{{"name":"c","image":"{image}"}}]}}}}"#);
        Arc::new(serde_json::from_str(&json).expect("valid"))
    }

    #[test]
    fn tells_what_a_new_set_changes() {
        let mut desired = Desired::new(vec![SourceName::File, SourceName::Api]);
        let set = |source, pods| PodSet { source, pods };
        desired.replace(set(SourceName::File, vec![pod("f", "1")]));
        assert!(!desired.complete());
        desired.replace(set(SourceName::Api, vec![pod("a", "1"), pod("b", "1"), pod("c", "1")]));
        assert!(desired.complete());
        let changes = desired.replace(set(SourceName::Api, vec![pod("a", "1"), pod("b", "2"), pod("d", "1")]));
        let updated: Vec<&str> = changes.updated.iter().map(|pod| pod.uid()).collect();
        assert_eq!((updated, changes.removed), (vec!["b", "d"], vec!["c".to_owned()]));
        assert!(desired.contains("f") && !desired.contains("c"));
    }
}
