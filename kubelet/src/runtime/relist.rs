//! Looks at all sandboxes and containers once a second and tells which pods changed since the last look.
//!
//! It never looks inside a pod: the pod's worker observes it afresh before it acts. That the last look is recent is
//! also the sign that the runtime answers at all.
//!
//! upstream: pkg/kubelet/pleg/generic.go

use std::collections::{BTreeMap, BTreeSet};

use super::types::{Container, PodSandbox};
use super::{Runtime, RuntimeResult, labels};

/// State of every sandbox and container at one look: pod UID → object id → state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pods: BTreeMap<String, BTreeMap<String, i32>>,
}

impl Snapshot {
    /// Looks.
    ///
    /// # Errors
    /// The runtime did not answer.
    pub async fn take(runtime: &dyn Runtime) -> RuntimeResult<Self> {
        Ok(Self::of(&runtime.list_sandboxes(None).await?, &runtime.list_containers(None).await?))
    }

    fn of(sandboxes: &[PodSandbox], containers: &[Container]) -> Self {
        let mut pods: BTreeMap<String, BTreeMap<String, i32>> = BTreeMap::new();
        let listed = sandboxes
            .iter()
            .map(|sandbox| (&sandbox.labels, &sandbox.id, sandbox.state))
            .chain(containers.iter().map(|container| (&container.labels, &container.id, container.state)));
        for (labels, id, state) in listed {
            // Without our label it was made by somebody else: none of our business.
            if let Some(uid) = labels.get(labels::POD_UID) {
                pods.entry(uid.clone()).or_default().insert(id.clone(), state);
            }
        }
        Self { pods }
    }

    /// UIDs of all pods that have a sandbox or a container.
    pub fn uids(&self) -> impl Iterator<Item = &String> {
        self.pods.keys()
    }

    /// True when the pod has anything at the runtime.
    pub fn contains(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    /// UIDs of the pods that differ between `older` and `self`.
    pub fn changed_since(&self, older: &Self) -> BTreeSet<String> {
        let all: BTreeSet<&String> = self.pods.keys().chain(older.pods.keys()).collect();
        all.into_iter().filter(|uid| self.pods.get(*uid) != older.pods.get(*uid)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(uid: &str, id: &str, state: i32) -> Container {
        let labels = [(labels::POD_UID.to_owned(), uid.to_owned())].into();
        Container { id: id.to_owned(), state, labels, ..Default::default() }
    }

    #[test]
    fn tells_the_pods_that_changed() {
        let older = Snapshot::of(&[], &[container("a", "1", 1), container("b", "2", 1), container("c", "3", 1)]);
        let newer = Snapshot::of(&[], &[container("a", "1", 1), container("b", "2", 2), container("d", "4", 0)]);
        let changed: Vec<String> = newer.changed_since(&older).into_iter().collect();
        assert_eq!(changed, ["b", "c", "d"]);
        assert!(newer.changed_since(&newer).is_empty());
    }
}
