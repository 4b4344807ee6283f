//! The statuses of all pods: the one place that keeps them, compares them and writes them to the API.
//!
//! upstream: pkg/kubelet/status/status_manager.go

mod normalize;
mod patch;
mod publish;

use std::collections::HashMap;
use std::sync::Arc;

use component_base::clock;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use publish::{Publisher, RunningCheck};

use crate::pod::conditions;
use crate::pod::status::{lost_state, whole_second};
use crate::pod::view::PodView;

/// Statuses by UID.
#[derive(Debug, Default)]
pub struct Statuses {
    entries: Mutex<HashMap<String, Entry>>,
    changed: Notify,
}

#[derive(Clone, Debug)]
struct Entry {
    pod: Arc<Pod>,
    status: PodStatus,
    version: u64,
    published: u64,
    finished: bool,
}

impl Statuses {
    /// The status that was computed last.
    pub fn get(&self, uid: &str) -> Option<PodStatus> {
        self.entries.lock().get(uid).map(|entry| entry.status.clone())
    }

    /// Keeps a newer status. What equals the one before is not written again.
    pub fn set(&self, pod: &Pod, status: PodStatus) {
        self.store(pod, status, pod.metadata.deletion_timestamp.is_some(), false);
    }

    fn store(&self, pod: &Pod, mut status: PodStatus, force: bool, finished: bool) {
        let mut entries = self.entries.lock();
        let before = entries.get(pod.uid());
        let old = before.map_or(pod.status(), |entry| &entry.status);
        status.observed_generation = pod.metadata.generation.filter(|generation| *generation != 0);
        keep_times(&mut status, old);
        normalize::normalize(pod, &mut status);
        let unchanged = before.is_some_and(|entry| entry.status == status && entry.finished == finished);
        if unchanged && !force {
            return;
        }
        let version = before.map_or(0, |entry| entry.version) + 1;
        let published = before.map_or(0, |entry| entry.published);
        let finished = finished || before.is_some_and(|entry| entry.finished);
        let entry = Entry { pod: Arc::new(pod.clone()), status, version, published, finished };
        entries.insert(pod.uid().to_owned(), entry);
        drop(entries);
        self.changed.notify_one();
    }

    /// The last status of a pod of which nothing is left: every container ended, and so did the pod.
    pub fn finish(&self, pod: &Pod) {
        let mut status = self.get(pod.uid()).unwrap_or_else(|| pod.status().clone());
        let has_ended = |one: &ContainerStatus| one.state.as_ref().is_some_and(|state| state.terminated.is_some());
        let started = |one: &ContainerStatus| {
            has_ended(one)
                || one.state.as_ref().is_some_and(|state| state.running.is_some())
                || one.last_state.as_ref().is_some_and(|state| state.terminated.is_some())
        };
        let initialized = status.container_statuses.iter().flatten().any(started) || pod.init_containers().is_empty();
        if initialized {
            for one in status.container_statuses.iter_mut().flatten().filter(|one| !has_ended(one)) {
                one.state = Some(lost_state());
            }
        }
        let init = status.init_container_statuses.as_deref_mut().unwrap_or_default();
        // Init containers after the last one that ever started stay as they are: they waited.
        let reached = init.iter().rposition(started).map_or(0, |last| last + 1);
        for one in init.iter_mut().take(reached).filter(|one| !has_ended(one)) {
            one.state = Some(lost_state());
        }
        if !pod.is_static() && !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            status.phase = Some("Failed".to_owned());
        }
        self.store(pod, status, true, true);
    }

    /// Changes the readiness of one running container, without waiting for the pod's worker.
    pub fn set_container_readiness(&self, uid: &str, container_id: &str, ready: bool) {
        let Some((pod, mut status)) =
            self.entries.lock().get(uid).map(|entry| (Arc::clone(&entry.pod), entry.status.clone()))
        else {
            return;
        };
        let all = status.container_statuses.iter_mut().chain(&mut status.init_container_statuses).flatten();
        let of_id = |one: &&mut ContainerStatus| {
            one.container_id.as_deref().and_then(|id| id.split_once("://")).is_some_and(|(_, id)| id == container_id)
        };
        let Some(one) = all.into_iter().find(of_id) else {
            return;
        };
        one.ready = ready && one.started == Some(true);
        let both: Vec<ContainerStatus> =
            status.init_container_statuses.iter().chain(&status.container_statuses).flatten().cloned().collect();
        let phase = status.phase.clone().unwrap_or_default();
        let mut all = status.conditions.take().unwrap_or_default();
        let ready = conditions::ready(&pod, &both, &phase, &all);
        let containers_ready = conditions::containers_ready(&pod, &both, &phase);
        for mut new in [ready, containers_ready] {
            if let Some(old) = all.iter_mut().find(|old| old.type_ == new.type_) {
                new.observed_generation = old.observed_generation;
                *old = new;
            }
        }
        status.conditions = Some(all);
        self.store(&pod, status, false, false);
    }

    /// Makes the status of a pod be written once more, such as for a new mirror.
    pub fn retry(&self, uid: &str) {
        if let Some(entry) = self.entries.lock().get_mut(uid) {
            entry.published = 0;
        }
        self.changed.notify_one();
    }

    /// Forgets a pod that is gone.
    pub fn remove(&self, uid: &str) {
        self.entries.lock().remove(uid);
    }
}

/// Start and transition times stay while nothing changes.
fn keep_times(status: &mut PodStatus, old: &PodStatus) {
    let now = Time(whole_second(clock::now()));
    status.start_time = old.start_time.clone().or_else(|| Some(now.clone()));
    if old.observed_generation > status.observed_generation {
        status.observed_generation = old.observed_generation;
    }
    for condition in status.conditions.iter_mut().flatten() {
        let before = old.conditions.iter().flatten().find(|before| before.type_ == condition.type_);
        let kept = before.filter(|before| before.status == condition.status);
        condition.last_transition_time =
            kept.and_then(|before| before.last_transition_time.clone()).or_else(|| Some(now.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::conditions::condition;

    fn pod() -> Pod {
        serde_json::from_str(
            r#"{"metadata":{"name":"p","namespace":"n","uid":"u"},"spec":{"containers":[{"name":"a"}]}}"#,
        )
        .expect("valid")
    }

    fn status(ready: bool) -> PodStatus {
        let one = ContainerStatus {
            name: "a".into(),
            ready,
            started: Some(true),
            container_id: Some("containerd://1".into()),
            ..ContainerStatus::default()
        };
        PodStatus {
            phase: Some("Running".into()),
            conditions: Some(vec![condition("Ready", ready, "", ""), condition("ContainersReady", ready, "", "")]),
            container_statuses: Some(vec![one]),
            ..PodStatus::default()
        }
    }

    #[test]
    fn an_equal_status_makes_no_new_version() {
        let statuses = Statuses::default();
        let version = |statuses: &Statuses| statuses.entries.lock()["u"].version;
        statuses.set(&pod(), status(false));
        statuses.set(&pod(), status(false));
        assert_eq!(version(&statuses), 1);
        statuses.set_container_readiness("u", "1", true);
        assert_eq!(version(&statuses), 2);
        let got = statuses.get("u").expect("kept");
        assert!(got.conditions.iter().flatten().all(|condition| condition.status == "True"));
        statuses.set_container_readiness("u", "other", false);
        assert_eq!(version(&statuses), 2);
    }

    #[test]
    fn the_last_status_ends_everything() {
        let statuses = Statuses::default();
        statuses.set(&pod(), status(true));
        statuses.finish(&pod());
        let got = statuses.get("u").expect("kept");
        assert_eq!(got.phase.as_deref(), Some("Failed"));
        let state = got.container_statuses.expect("one")[0].state.clone().expect("a state");
        assert_eq!(state.terminated.expect("ended").exit_code, 137);
    }
}
