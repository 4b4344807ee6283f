//! Looks at all sandboxes and containers once a second and tells which pods changed since the last look.
//!
//! It never looks inside a pod: the pod's worker observes it afresh before it acts. That the last look is recent is
//! also the sign that the runtime answers at all.
//!
//! upstream: pkg/kubelet/pleg/generic.go

use std::collections::{BTreeMap, BTreeSet};

use prometheus::GaugeVec;

use super::types::{Container, PodSandbox, PodSandboxState};
use super::{Runtime, RuntimeResult, labels};
use crate::metrics;

/// State of every sandbox and container at one look: pod UID → object id → state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pods: BTreeMap<String, BTreeMap<String, i32>>,
    running_sandboxes: u32,
    containers_by_state: [u32; 4],
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
        let ready = i32::from(PodSandboxState::SandboxReady);
        let running_sandboxes = sandboxes.iter().filter(|sandbox| sandbox.state == ready).count();
        let mut containers_by_state = [0; 4];
        for container in containers {
            let slot = usize::try_from(container.state).ok().and_then(|state| containers_by_state.get_mut(state));
            if let Some(count) = slot {
                *count += 1;
            }
        }
        Self { pods, running_sandboxes: u32::try_from(running_sandboxes).unwrap_or(u32::MAX), containers_by_state }
    }

    /// Shows the numbers of pods and containers as metrics.
    pub fn count(&self) {
        let set = |gauge: &GaugeVec, labels: &[&str], value: u32| gauge.with_label_values(labels).set(f64::from(value));
        set(&metrics::RUNNING_PODS, &[], self.running_sandboxes);
        for (state, count) in ["created", "running", "exited", "unknown"].into_iter().zip(self.containers_by_state) {
            set(&metrics::RUNNING_CONTAINERS, &[state], count);
        }
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
