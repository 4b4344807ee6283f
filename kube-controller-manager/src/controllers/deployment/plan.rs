//! Pure: one step of a Deployment: (Deployment, its ReplicaSets, now) → actions in order, and the status that follows.
//!
//! The next step is planned when the informers show the effects of this one.
//! Upstream: pkg/controller/deployment/{sync.go,rolling.go,recreate.go}.

use std::collections::BTreeMap;

use apimachinery::names::DNS1123_SUBDOMAIN_MAX;
use component_base::informer::Object as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{annotations, rollout, status};
use crate::{api, templates};
use rollout::{replicas, total, wanted};

pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// What to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Make the new ReplicaSet.
    Create(Box<ReplicaSet>),
    /// Write a ReplicaSet's annotations or minReadySeconds.
    Update(Box<ReplicaSet>),
    /// Write a ReplicaSet with another size.
    Scale { set: Box<ReplicaSet>, from: i32 },
    /// Delete an old ReplicaSet that nobody needs to go back to.
    Delete(Box<ReplicaSet>),
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    /// Status to write after the actions.
    pub(super) status: DeploymentStatus,
    /// Revision annotation of the Deployment, if it is to change.
    pub(super) revision: Option<String>,
    /// When to look at the progress deadline again.
    pub(super) recheck_after: Option<i64>,
}

/// What is there.
pub(super) struct Observed<'a> {
    pub(super) deployment: &'a Deployment,
    /// ReplicaSets that the Deployment controls.
    pub(super) sets: Vec<ReplicaSet>,
    /// Whether a pod of an old ReplicaSet still runs (asked for by Recreate).
    pub(super) old_pods_run: bool,
    pub(super) now: Timestamp,
}

/// The state that a step works on: sizes change as actions are planned.
struct Step<'a> {
    deployment: Deployment,
    observed: &'a Observed<'a>,
    /// Oldest first.
    old: Vec<ReplicaSet>,
    new: Option<ReplicaSet>,
    actions: Vec<Action>,
    revision: Option<String>,
}

/// Plans one step.
pub(super) fn plan(observed: &Observed<'_>) -> Plan {
    let mut step = Step::new(observed);
    if step.deployment.is_deleting() {
        return step.finish_counts();
    }
    step.note_pause();
    let paused = step.deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or(false);
    if paused || step.is_scaling() {
        step.sync_new_set(false);
        step.scale();
        if paused {
            step.clean_up();
        }
        return step.finish_counts();
    }
    if rollout::is_rolling(&step.deployment) { step.roll() } else { step.recreate() }
}

impl<'a> Step<'a> {
    fn new(observed: &'a Observed<'a>) -> Self {
        let mut old = observed.sets.clone();
        old.sort_by(|left, right| {
            let key = |set: &ReplicaSet| (api::created(&set.metadata), set.name().to_owned());
            key(left).cmp(&key(right))
        });
        let template = observed.deployment.spec.as_ref().map(|spec| normalized(&spec.template)).unwrap_or_default();
        let is_new = |set: &ReplicaSet| {
            set.spec.as_ref().and_then(|spec| spec.template.as_ref()).map(normalized).unwrap_or_default() == template
        };
        // The oldest of several equal ones, so that the choice is stable.
        let new = old.iter().position(is_new).map(|index| old.remove(index));
        Self { deployment: observed.deployment.clone(), observed, old, new, actions: Vec::new(), revision: None }
    }

    fn now(&self) -> Timestamp {
        self.observed.now
    }

    fn all(&self) -> Vec<&ReplicaSet> {
        self.old.iter().chain(self.new.as_ref()).collect()
    }

    fn status_mut(&mut self) -> &mut DeploymentStatus {
        self.deployment.status.get_or_insert_default()
    }

    /// Keeps the progress deadline from running while paused.
    fn note_pause(&mut self) {
        if status::deadline(&self.deployment).is_none() {
            return;
        }
        let now = self.now();
        let paused = self.deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or(false);
        let current = self.deployment.status.as_ref().and_then(|known| status::condition(known, status::PROGRESSING));
        let reason = current.and_then(|current| current.reason.clone()).unwrap_or_default();
        if reason == status::TIMED_OUT {
            return;
        }
        if paused && reason != status::PAUSED {
            status::set(
                self.status_mut(),
                status::PROGRESSING,
                "Unknown",
                status::PAUSED,
                "Deployment is paused".into(),
                now,
            );
        } else if !paused && reason == status::PAUSED {
            status::set(
                self.status_mut(),
                status::PROGRESSING,
                "Unknown",
                status::RESUMED,
                "Deployment is resumed".into(),
                now,
            );
        }
    }

    /// Whether an active ReplicaSet was sized for another number of replicas.
    fn is_scaling(&self) -> bool {
        let wanted_total = replicas(&self.deployment);
        self.all()
            .into_iter()
            .filter(|set| wanted(set) > 0)
            .filter_map(|set| annotations::number(set, annotations::DESIRED))
            .any(|desired| desired != wanted_total)
    }

    /// Finds or makes the new ReplicaSet and keeps revisions current.
    fn sync_new_set(&mut self, create: bool) {
        let next = self.old.iter().map(|set| annotations::revision(&set.metadata)).max().unwrap_or(0) + 1;
        if self.new.is_some() {
            return self.update_new_set(next);
        }
        if !create {
            return;
        }
        let set = self.make_new_set(next);
        let revision = next.to_string();
        self.actions.push(Action::Create(Box::new(set.clone())));
        let message = format!("Created new replica set {:?}", set.name());
        self.new = Some(set);
        let now = self.now();
        if status::deadline(&self.deployment).is_some() {
            status::set(self.status_mut(), status::PROGRESSING, "True", "NewReplicaSetCreated", message, now);
        }
        self.note_revision(&revision);
    }

    fn update_new_set(&mut self, next: i64) {
        let Some(mut set) = self.new.take() else { return };
        let min_ready = self.deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
        let mut changed = annotations::update_new_set(&self.deployment, &mut set, next);
        let spec = set.spec.get_or_insert_default();
        if spec.min_ready_seconds.unwrap_or(0) != min_ready {
            spec.min_ready_seconds = Some(min_ready);
            changed = true;
        }
        if changed {
            self.actions.push(Action::Update(Box::new(set.clone())));
        }
        let revision = set.annotation(annotations::REVISION).unwrap_or_default().to_owned();
        let message = format!("Found new replica set {:?}", set.name());
        self.new = Some(set);
        let known = self
            .deployment
            .status
            .as_ref()
            .is_some_and(|known| status::condition(known, status::PROGRESSING).is_some());
        if status::deadline(&self.deployment).is_some() && !known {
            let now = self.now();
            status::set(self.status_mut(), status::PROGRESSING, "True", "FoundNewReplicaSet", message, now);
        }
        self.note_revision(&revision);
    }

    fn note_revision(&mut self, revision: &str) {
        if self.deployment.annotation(annotations::REVISION) != Some(revision) {
            self.revision = Some(revision.to_owned());
        }
    }

    fn make_new_set(&self, revision: i64) -> ReplicaSet {
        let deployment = &self.deployment;
        let spec = deployment.spec.clone().unwrap_or_default();
        let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
        let hash = templates::hash(&spec.template, collisions);
        let mut template = spec.template;
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(HASH_LABEL.to_owned(), hash.clone());
        let labels = labels.clone();
        let mut selector = spec.selector;
        selector.match_labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
        let mut set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(set_name(deployment.name(), &hash)),
                namespace: deployment.metadata.namespace.clone(),
                labels: Some(labels),
                owner_references: Some(vec![api::controller_reference(deployment)]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                min_ready_seconds: spec.min_ready_seconds,
                replicas: Some(0),
                selector,
                template: Some(template),
            }),
            status: None,
        };
        let size = rollout::new_set_size(deployment, total(&self.all(), wanted), 0);
        set.spec.get_or_insert_default().replicas = Some(size);
        annotations::update_new_set(deployment, &mut set, revision);
        annotations::put_sizes(&mut set, replicas(deployment), replicas(deployment) + rollout::max_surge(deployment));
        set
    }

    /// Plans another size; also brings the size annotations up to date. Tells whether the size changes.
    fn resize(&mut self, is_new: bool, index: usize, size: i32) -> bool {
        let (desired, max) =
            (replicas(&self.deployment), replicas(&self.deployment) + rollout::max_surge(&self.deployment));
        let Some(set) = (if is_new { self.new.as_mut() } else { self.old.get_mut(index) }) else { return false };
        let from = wanted(set);
        let noted = annotations::put_sizes(set, desired, max);
        if from == size && !noted {
            return false;
        }
        set.spec.get_or_insert_default().replicas = Some(size);
        let set = Box::new(set.clone());
        self.actions.push(if from == size { Action::Update(set) } else { Action::Scale { set, from } });
        from != size
    }

    /// Keeps proportions when only the size changed, or while paused.
    fn scale(&mut self) {
        if let Some((is_new, index)) = self.active_or_latest() {
            let set = if is_new { self.new.as_ref() } else { self.old.get(index) };
            if set.is_some_and(|set| wanted(set) != replicas(&self.deployment)) {
                self.resize(is_new, index, replicas(&self.deployment));
            }
            return;
        }
        if self.is_saturated() {
            for index in 0..self.old.len() {
                if wanted(&self.old[index]) > 0 {
                    self.resize(false, index, 0);
                }
            }
            return;
        }
        if !rollout::is_rolling(&self.deployment) {
            return;
        }
        let old_count = self.old.len();
        let active: Vec<usize> =
            self.all().iter().enumerate().filter(|(_, set)| wanted(set) > 0).map(|(index, _)| index).collect();
        let sizes = {
            let all = self.all();
            let sets: Vec<&ReplicaSet> = active.iter().map(|index| all[*index]).collect();
            rollout::proportional(&self.deployment, &sets)
        };
        for (position, size) in sizes {
            let index = active[position];
            self.resize(index == old_count, index, size);
        }
    }

    /// The only active ReplicaSet, or the latest if none is active; None if several are.
    fn active_or_latest(&self) -> Option<(bool, usize)> {
        let active: Vec<(bool, usize)> = self
            .old
            .iter()
            .enumerate()
            .filter(|(_, set)| wanted(set) > 0)
            .map(|(index, _)| (false, index))
            .chain(self.new.as_ref().filter(|set| wanted(set) > 0).map(|_| (true, 0)))
            .collect();
        match active.as_slice() {
            [] if self.new.is_some() => Some((true, 0)),
            [] => self.old.len().checked_sub(1).map(|index| (false, index)),
            [only] => Some(*only),
            _ => None,
        }
    }

    fn is_saturated(&self) -> bool {
        let size = replicas(&self.deployment);
        self.new.as_ref().is_some_and(|set| {
            wanted(set) == size
                && annotations::number(set, annotations::DESIRED) == Some(size)
                && rollout::available(set) == size
        })
    }

    fn roll(mut self) -> Plan {
        self.sync_new_set(true);
        if self.grow_new() {
            return self.finish();
        }
        let changes = {
            let old: Vec<&ReplicaSet> = self.old.iter().collect();
            self.new.as_ref().map(|new| rollout::shrink_old(&self.deployment, &old, new)).unwrap_or_default()
        };
        let mut shrunk = false;
        for (index, size) in changes {
            shrunk |= self.resize(false, index, size);
        }
        if shrunk {
            return self.finish();
        }
        self.clean_up_if_complete();
        self.finish()
    }

    fn grow_new(&mut self) -> bool {
        let Some(new) = &self.new else { return false };
        let (now, goal) = (wanted(new), replicas(&self.deployment));
        if now == goal {
            return false;
        }
        let size =
            if now > goal { goal } else { rollout::new_set_size(&self.deployment, total(&self.all(), wanted), now) };
        self.resize(true, 0, size)
    }

    fn recreate(mut self) -> Plan {
        self.sync_new_set(false);
        let active: Vec<usize> = (0..self.old.len()).filter(|index| wanted(&self.old[*index]) > 0).collect();
        let mut shrunk = false;
        for index in active {
            shrunk |= self.resize(false, index, 0);
        }
        if shrunk || self.observed.old_pods_run {
            return self.finish();
        }
        if self.new.is_none() {
            self.sync_new_set(true);
        }
        self.resize(true, 0, replicas(&self.deployment));
        self.clean_up_if_complete();
        self.finish()
    }

    fn clean_up_if_complete(&mut self) {
        if self.deployment.status.as_ref().is_some_and(|status| status::is_complete(&self.deployment, status)) {
            self.clean_up();
        }
    }

    /// Deletes old ReplicaSets beyond the history limit, lowest revisions first.
    fn clean_up(&mut self) {
        let limit = self
            .deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.revision_history_limit)
            .filter(|limit| *limit != i32::MAX);
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return };
        let mut idle: Vec<&ReplicaSet> = self.old.iter().filter(|set| !set.is_deleting()).collect();
        idle.sort_by_key(|set| (annotations::revision(&set.metadata), api::created(&set.metadata)));
        let excess = idle.len().saturating_sub(limit);
        let doomed = idle.into_iter().take(excess).filter(|set| {
            let observed = set.status.as_ref().and_then(|status| status.observed_generation);
            rollout::actual(set) == 0 && wanted(set) == 0 && set.metadata.generation <= observed
        });
        let doomed: Vec<Action> = doomed.map(|set| Action::Delete(Box::new(set.clone()))).collect();
        self.actions.extend(doomed);
    }

    fn finish(self) -> Plan {
        let all = self.all();
        let status = status::of_rollout(&self.deployment, &all, self.new.as_ref(), self.now());
        let recheck_after = status::recheck_after(&self.deployment, &status, self.now());
        Plan { actions: self.actions, status, revision: self.revision, recheck_after }
    }

    fn finish_counts(self) -> Plan {
        let all = self.all();
        let status = status::counts(&self.deployment, &all, self.new.as_ref(), self.now());
        Plan { actions: self.actions, status, revision: self.revision, recheck_after: None }
    }
}

/// A template without its hash label and without empty maps, so that equal ones are equal.
pub(super) fn normalized(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(meta) = &mut template.metadata {
        if let Some(labels) = &mut meta.labels {
            labels.remove(HASH_LABEL);
        }
        let is_empty = |map: &Option<BTreeMap<String, String>>| map.as_ref().is_some_and(BTreeMap::is_empty);
        if is_empty(&meta.labels) {
            meta.labels = None;
        }
        if is_empty(&meta.annotations) {
            meta.annotations = None;
        }
        meta.creation_timestamp = None;
    }
    let metadata = template.metadata.take().filter(|meta| *meta != ObjectMeta::default());
    PodTemplateSpec { metadata, ..template }
}

/// The name of the replica set with a hash, cut to what fits.
/// upstream: generateReplicaSetName
fn set_name(deployment: &str, hash: &str) -> String {
    let fits = DNS1123_SUBDOMAIN_MAX - hash.len() - 1;
    let cut = if deployment.len() > fits { &deployment[..fits] } else { deployment };
    format!("{cut}-{hash}")
}
