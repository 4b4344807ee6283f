//! Pure: a Deployment's status and its conditions.
//!
//! Upstream: pkg/controller/deployment/{sync.go,progress.go}.

use component_base::informer::Object as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};

use super::rollout::{self, total};
use crate::api;

pub(super) const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const REPLICA_FAILURE: &str = "ReplicaFailure";
pub(super) const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
pub(super) const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub(super) const PAUSED: &str = "DeploymentPaused";
pub(super) const RESUMED: &str = "DeploymentResumed";

pub(super) fn condition<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Sets a condition unless its status and reason stand already; the transition time changes with the status alone.
pub(super) fn set(
    status: &mut DeploymentStatus,
    kind: &str,
    value: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let known = condition(status, kind).cloned();
    if known.as_ref().is_some_and(|known| known.status == value && known.reason.as_deref() == Some(reason)) {
        return;
    }
    let since = known.filter(|known| known.status == value).and_then(|known| known.last_transition_time);
    put(status, kind, value, reason, message, since, now);
}

fn put(
    status: &mut DeploymentStatus,
    kind: &str,
    value: &str,
    reason: &str,
    message: String,
    since: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
    now: Timestamp,
) {
    let made = DeploymentCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(api::time(now)),
        last_transition_time: since.or_else(|| Some(api::time(now))),
    };
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != kind);
    conditions.push(made);
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
}

/// The deadline in seconds, if there is one.
pub(super) fn deadline(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)
}

fn some(number: i32) -> Option<i32> {
    (number != 0).then_some(number)
}

/// Counts and the condition Available.
pub(super) fn counts(
    deployment: &Deployment,
    all: &[&ReplicaSet],
    new: Option<&ReplicaSet>,
    now: Timestamp,
) -> DeploymentStatus {
    let old = deployment.status.clone().unwrap_or_default();
    let ready = |set: &ReplicaSet| set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let terminating = |set: &ReplicaSet| set.status.as_ref().and_then(|status| status.terminating_replicas);
    let known = all.iter().all(|set| terminating(set).is_some());
    let available = total(all, rollout::available);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(total(all, rollout::actual)),
        updated_replicas: some(new.map_or(0, rollout::actual)),
        ready_replicas: some(total(all, ready)),
        available_replicas: some(available),
        unavailable_replicas: some((total(all, rollout::wanted) - available).max(0)),
        terminating_replicas: known.then(|| total(all, |set| terminating(set).unwrap_or(0))),
        collision_count: old.collision_count,
        conditions: old.conditions,
    };
    if available >= rollout::replicas(deployment) - rollout::max_unavailable(deployment) {
        let message = "Deployment has minimum availability.".to_owned();
        set(&mut status, AVAILABLE, "True", "MinimumReplicasAvailable", message, now);
    } else {
        let message = "Deployment does not have minimum availability.".to_owned();
        set(&mut status, AVAILABLE, "False", "MinimumReplicasUnavailable", message, now);
    }
    status
}

/// Whether all pods are new and available.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = some(rollout::replicas(deployment));
    status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
        && status.observed_generation >= deployment.metadata.generation
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let n = |number: Option<i32>| number.unwrap_or(0);
    let olds = |status: &DeploymentStatus| n(status.replicas) - n(status.updated_replicas);
    n(new.updated_replicas) > n(old.updated_replicas)
        || olds(new) < olds(old)
        || n(new.ready_replicas) > n(old.ready_replicas)
        || n(new.available_replicas) > n(old.available_replicas)
}

fn has_timed_out(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> bool {
    let (Some(seconds), Some(progressing)) = (deadline(deployment), condition(status, PROGRESSING)) else {
        return false;
    };
    match progressing.reason.as_deref() {
        Some(NEW_SET_AVAILABLE) => false,
        Some(TIMED_OUT) => true,
        _ => {
            let from = progressing.last_update_time.as_ref().map_or(now, |time| time.0);
            now.as_second() - from.as_second() > i64::from(seconds)
        }
    }
}

/// Counts, and how the rollout comes along.
pub(super) fn of_rollout(
    deployment: &Deployment,
    all: &[&ReplicaSet],
    new: Option<&ReplicaSet>,
    now: Timestamp,
) -> DeploymentStatus {
    let mut status = counts(deployment, all, new, now);
    match deadline(deployment) {
        None => remove(&mut status, PROGRESSING),
        Some(_) => progress(deployment, &mut status, new, now),
    }
    match failure(all, new) {
        Some((reason, message)) => set(&mut status, REPLICA_FAILURE, "True", &reason, message, now),
        None => remove(&mut status, REPLICA_FAILURE),
    }
    status
}

fn progress(deployment: &Deployment, status: &mut DeploymentStatus, new: Option<&ReplicaSet>, now: Timestamp) {
    let current = condition(status, PROGRESSING).cloned();
    let announced = current.as_ref().is_some_and(|current| current.reason.as_deref() == Some(NEW_SET_AVAILABLE));
    if announced && status.replicas == status.updated_replicas {
        return;
    }
    let subject =
        new.map_or_else(|| format!("Deployment {:?}", deployment.name()), |set| format!("ReplicaSet {:?}", set.name()));
    let old = deployment.status.clone().unwrap_or_default();
    if is_complete(deployment, status) {
        set(status, PROGRESSING, "True", NEW_SET_AVAILABLE, format!("{subject} has successfully progressed."), now);
    } else if has_progressed(&old, status) {
        // The update time is what the deadline counts from, so this is written even if nothing else changes.
        let since = current.filter(|current| current.status == "True").and_then(|current| current.last_transition_time);
        put(status, PROGRESSING, "True", "ReplicaSetUpdated", format!("{subject} is progressing."), since, now);
    } else if has_timed_out(deployment, status, now) {
        set(status, PROGRESSING, "False", TIMED_OUT, format!("{subject} has timed out progressing."), now);
    }
}

/// Why pods cannot be made: the new ReplicaSet's reason, or any other's.
fn failure(all: &[&ReplicaSet], new: Option<&ReplicaSet>) -> Option<(String, String)> {
    new.into_iter().chain(all.iter().copied()).find_map(|set| {
        let conditions = set.status.as_ref()?.conditions.as_ref()?;
        let failed = conditions.iter().find(|condition| condition.type_ == REPLICA_FAILURE)?;
        Some((failed.reason.clone().unwrap_or_default(), failed.message.clone().unwrap_or_default()))
    })
}

/// Seconds until the deadline is to be looked at again, if the rollout can still time out.
pub(super) fn recheck_after(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> Option<i64> {
    let (Some(seconds), Some(current)) = (deadline(deployment), condition(status, PROGRESSING)) else { return None };
    if is_complete(deployment, status) || current.reason.as_deref() == Some(TIMED_OUT) {
        return None;
    }
    let from = current.last_update_time.as_ref().map_or(now, |time| time.0);
    Some((from.as_second() + i64::from(seconds) - now.as_second()).max(0) + 1)
}
