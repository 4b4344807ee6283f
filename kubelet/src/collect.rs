//! Removing what ended: dead containers and sandboxes, folders, groups and logs of pods that are gone.
//!
//! Of a pod that still exists the newest dead container of each name stays, because its log and its exit code are shown.
//!
//! upstream: pkg/kubelet/kuberuntime/kuberuntime_gc.go, pkg/kubelet/kubelet_pods.go: HandlePodCleanups

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pod::machinery::Machinery;
use crate::runtime::relist::Snapshot;
use crate::runtime::types::{Container, ContainerState, PodSandbox, PodSandboxState};
use crate::runtime::{RuntimeResult, labels};

/// Containers and sandboxes are collected at this interval.
const INTERVAL: Duration = Duration::from_secs(60);
/// A pod that is gone is cleared away sooner.
const INTERVAL_GONE: Duration = Duration::from_secs(4);

/// Collects.
pub struct Collector {
    cx: Arc<Machinery>,
    collected_at: Option<Instant>,
    looked_at: Option<Instant>,
}

/// What may be removed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Garbage {
    containers: Vec<String>,
    sandboxes: Vec<String>,
}

impl Collector {
    /// Nothing was collected yet.
    pub fn new(cx: Arc<Machinery>) -> Self {
        Self { cx, collected_at: None, looked_at: None }
    }

    /// Collects when it is due. `known` are the UIDs of pods that have a worker.
    pub async fn collect(&mut self, known: &BTreeSet<String>, snapshot: &Snapshot) {
        let due = |at: Option<Instant>, interval| at.is_none_or(|at: Instant| at.elapsed() >= interval);
        let has_gone = snapshot.uids().any(|uid| !known.contains(uid));
        let full = due(self.collected_at, INTERVAL);
        if !(full || (has_gone && due(self.looked_at, INTERVAL_GONE))) {
            return;
        }
        self.looked_at = Some(Instant::now());
        if full {
            self.collected_at = Some(Instant::now());
            let ours = folders(&self.cx.paths.pods());
            self.remove_folders(&ours, known, snapshot);
            self.remove_groups(&ours, known, snapshot);
        }
        if let Err(error) = self.remove_containers(known).await {
            tracing::debug!(%error, "dead containers were not collected");
        }
        self.remove_logs(known);
    }

    async fn remove_containers(&self, known: &BTreeSet<String>) -> RuntimeResult<()> {
        let runtime = &self.cx.runtime;
        let containers = runtime.list_containers(None).await?;
        let sandboxes = runtime.list_sandboxes(None).await?;
        let garbage = garbage(&containers, &sandboxes, known);
        for id in &garbage.containers {
            runtime.remove_container(id).await?;
        }
        for id in &garbage.sandboxes {
            // The network is taken down for certain before the record of it is gone.
            runtime.stop_sandbox(id).await?;
            runtime.remove_sandbox(id).await?;
        }
        Ok(())
    }

    /// Folders of pods that nobody knows and of which nothing runs.
    fn remove_folders(&self, ours: &BTreeSet<String>, known: &BTreeSet<String>, snapshot: &Snapshot) {
        for uid in ours.iter().filter(|uid| !known.contains(*uid) && !snapshot.contains(uid)) {
            if let Err(error) = self.cx.volumes.tear_down(uid) {
                tracing::warn!(uid, error = %component_base::Chain(&error), "orphaned pod folder was not removed");
            }
        }
    }

    /// Groups of pods that nobody knows. What runs in one is ended only where this kubelet has or had the pod: another kubelet
    /// of this machine may have groups below the same root, and upstream's would end its pods.
    fn remove_groups(&self, ours: &BTreeSet<String>, known: &BTreeSet<String>, snapshot: &Snapshot) {
        for tier in self.cx.cgroups.tiers() {
            for child in self.cx.kernel.cgroup_children(&tier) {
                let Some(uid) = child.rsplit("pod").next().filter(|uid| child.contains("pod") && uid.len() >= 32)
                else {
                    continue;
                };
                let uid = uid.trim_end_matches(".slice").replace('_', "-");
                if known.contains(&uid) {
                    continue;
                }
                let group = tier.child(&format!("pod{uid}"));
                if !ours.contains(&uid) && !snapshot.contains(&uid) && self.cx.kernel.cgroup_is_used(&group) {
                    continue;
                }
                if let Err(error) = self.cx.kernel.remove_cgroup(&group) {
                    tracing::debug!(uid, %error, "orphaned control group was not removed");
                }
            }
        }
    }

    fn remove_logs(&self, known: &BTreeSet<String>) {
        let entries = fs::read_dir(self.cx.paths.pod_logs()).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let uid = name.rsplit('_').next().unwrap_or_default();
            // Three parts: anything else was made by somebody else.
            if name.split('_').count() == 3 && !known.contains(uid) {
                remove(&entry.path());
            }
        }
        let links = fs::read_dir(self.cx.paths.container_logs()).into_iter().flatten().flatten();
        for link in links.map(|entry| entry.path()).filter(|path| path.is_symlink() && !path.exists()) {
            if let Err(error) = fs::remove_file(&link) {
                tracing::debug!(path = %link.display(), %error, "dead link to a log was not removed");
            }
        }
    }
}

/// Names of the folders, which are UIDs of pods.
fn folders(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn remove(folder: &PathBuf) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::debug!(path = %folder.display(), %error, "logs of a pod that is gone were not removed");
    }
}

fn garbage(containers: &[Container], sandboxes: &[PodSandbox], known: &BTreeSet<String>) -> Garbage {
    let mut dead: BTreeMap<(String, String), Vec<&Container>> = BTreeMap::new();
    let mut used_sandboxes = BTreeSet::new();
    let mut out = Garbage::default();
    for container in containers {
        let label = |key: &str| container.labels.get(key).cloned().unwrap_or_default();
        let uid = label(labels::POD_UID);
        if uid.is_empty() {
            continue;
        }
        if container.state() == ContainerState::ContainerExited {
            dead.entry((uid, label(labels::CONTAINER_NAME))).or_default().push(container);
        } else {
            used_sandboxes.insert(container.pod_sandbox_id.clone());
        }
    }
    for ((uid, _), mut list) in dead {
        list.sort_by_key(|container| std::cmp::Reverse(container.created_at));
        let keep = usize::from(known.contains(&uid));
        used_sandboxes.extend(list.iter().take(keep).map(|container| container.pod_sandbox_id.clone()));
        out.containers.extend(list.iter().skip(keep).map(|container| container.id.clone()));
    }
    let mut newest: BTreeMap<&str, &PodSandbox> = BTreeMap::new();
    for sandbox in sandboxes {
        if let Some(uid) = sandbox.labels.get(labels::POD_UID) {
            let entry = newest.entry(uid).or_insert(sandbox);
            if sandbox.created_at > entry.created_at {
                *entry = sandbox;
            }
        }
    }
    for sandbox in sandboxes {
        let Some(uid) = sandbox.labels.get(labels::POD_UID) else { continue };
        let ready = sandbox.state() == PodSandboxState::SandboxReady;
        let is_newest = newest.get(uid.as_str()).is_some_and(|newest| newest.id == sandbox.id);
        let needed = ready || used_sandboxes.contains(&sandbox.id) || (is_newest && known.contains(uid));
        if !needed {
            out.sandboxes.push(sandbox.id.clone());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(uid: &str, id: &str, created_at: i64, state: ContainerState) -> Container {
        Container {
            id: id.into(),
            pod_sandbox_id: format!("s-{id}"),
            created_at,
            state: state.into(),
            labels: [(labels::POD_UID.to_owned(), uid.to_owned()), (labels::CONTAINER_NAME.to_owned(), "c".to_owned())]
                .into(),
            ..Container::default()
        }
    }

    fn sandbox(uid: &str, id: &str, created_at: i64, state: PodSandboxState) -> PodSandbox {
        PodSandbox {
            id: id.into(),
            created_at,
            state: state.into(),
            labels: [(labels::POD_UID.to_owned(), uid.to_owned())].into(),
            ..PodSandbox::default()
        }
    }

    #[test]
    fn the_newest_dead_container_of_a_known_pod_stays() {
        use ContainerState::{ContainerExited, ContainerRunning};
        use PodSandboxState::{SandboxNotready, SandboxReady};
        let containers = [
            container("known", "1", 1, ContainerExited),
            container("known", "2", 2, ContainerExited),
            container("known", "3", 3, ContainerRunning),
            container("gone", "4", 4, ContainerExited),
        ];
        let sandboxes = [
            sandbox("known", "old", 1, SandboxNotready),
            sandbox("known", "s-2", 2, SandboxNotready),
            sandbox("known", "s-3", 3, SandboxReady),
            sandbox("gone", "s-4", 4, SandboxNotready),
        ];
        let known = ["known".to_owned()].into();
        let got = garbage(&containers, &sandboxes, &known);
        assert_eq!(got.containers, ["4", "1"]);
        assert_eq!(got.sandboxes, ["old", "s-4"]);
    }
}
