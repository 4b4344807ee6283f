//! Pure: numbers of a rollout: how far up and down, in which proportion.
//!
//! Upstream: pkg/controller/deployment/{rolling.go,util/deployment_util.go}.

use component_base::informer::Object as _;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use super::annotations::{MAX, number};
use crate::api::{self, scaled};

pub(super) fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

pub(super) fn is_rolling(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("Recreate")
}

/// Pods above the wanted number during a rolling update; 0 for Recreate.
pub(super) fn max_surge(deployment: &Deployment) -> i32 {
    fenceposts(deployment).0
}

/// Pods that may be missing during a rolling update; 0 for Recreate or without pods.
pub(super) fn max_unavailable(deployment: &Deployment) -> i32 {
    if replicas(deployment) == 0 { 0 } else { fenceposts(deployment).1.min(replicas(deployment)) }
}

fn fenceposts(deployment: &Deployment) -> (i32, i32) {
    if !is_rolling(deployment) {
        return (0, 0);
    }
    let rolling = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.strategy.as_ref())
        .and_then(|strategy| strategy.rolling_update.as_ref());
    let total = replicas(deployment);
    let surge = scaled(rolling.and_then(|rolling| rolling.max_surge.as_ref()), total, true);
    let unavailable = scaled(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), total, false);
    // Both zero would be a standstill; that happens only when a percentage rounds down to nothing.
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

pub(super) fn wanted(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

pub(super) fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

pub(super) fn total(sets: &[&ReplicaSet], count: impl Fn(&ReplicaSet) -> i32) -> i32 {
    sets.iter().map(|set| count(set)).sum()
}

/// Size of the new ReplicaSet, given what all have now.
pub(super) fn new_set_size(deployment: &Deployment, all_wanted: i32, new_wanted: i32) -> i32 {
    let replicas = replicas(deployment);
    if !is_rolling(deployment) {
        return replicas;
    }
    let room = replicas + max_surge(deployment) - all_wanted;
    if room <= 0 {
        return new_wanted;
    }
    new_wanted + room.min(replicas - new_wanted)
}

/// New sizes of old ReplicaSets in one step of a rolling update: first those pods go that are not available anyway, then
/// as many as the minimum permits. `old` is ordered by age, oldest first. Returns (index, size) of those that change.
pub(super) fn shrink_old(deployment: &Deployment, old: &[&ReplicaSet], new: &ReplicaSet) -> Vec<(usize, i32)> {
    let all_wanted = total(old, wanted) + wanted(new);
    if total(old, wanted) == 0 {
        return Vec::new();
    }
    let min_available = replicas(deployment) - max_unavailable(deployment);
    let new_unavailable = wanted(new) - available(new);
    let most = all_wanted - min_available - new_unavailable;
    if most <= 0 {
        return Vec::new();
    }
    let mut sizes: Vec<i32> = old.iter().map(|set| wanted(set)).collect();
    let mut left = most;
    for (size, set) in sizes.iter_mut().zip(old) {
        let unhealthy = (*size - available(set)).max(0).min(left);
        *size -= unhealthy;
        left -= unhealthy;
    }
    let mut healthy_left = total(old, available) + available(new) - min_available;
    for size in &mut sizes {
        if healthy_left <= 0 {
            break;
        }
        let step = (*size).min(healthy_left);
        *size -= step;
        healthy_left -= step;
    }
    sizes.into_iter().enumerate().filter(|(index, size)| *size != wanted(old[*index])).collect()
}

/// Sizes of the active ReplicaSets after the Deployment's size changed in the middle of a rollout: each gets its share.
pub(super) fn proportional(deployment: &Deployment, active: &[&ReplicaSet]) -> Vec<(usize, i32)> {
    let allowed = if replicas(deployment) > 0 { replicas(deployment) + max_surge(deployment) } else { 0 };
    let to_add = allowed - total(active, wanted);
    let mut order: Vec<usize> = (0..active.len()).collect();
    // Bigger ones first; of equal ones the newer gains first and the older loses first.
    order.sort_by(|left, right| {
        let (left, right) = (active[*left], active[*right]);
        let by_age = api::created(&left.metadata)
            .cmp(&api::created(&right.metadata))
            .then_with(|| left.name().cmp(right.name()));
        wanted(right).cmp(&wanted(left)).then(if to_add > 0 { by_age.reverse() } else { by_age })
    });
    let mut added = 0;
    let mut sizes: Vec<(usize, i32)> = Vec::new();
    for index in order {
        let share = if to_add == 0 { 0 } else { share(deployment, active[index], to_add, added) };
        added += share;
        sizes.push((index, wanted(active[index]) + share));
    }
    if let Some((_, largest)) = sizes.first_mut().filter(|_| to_add != 0) {
        *largest = (*largest + to_add - added).max(0);
    }
    sizes
}

fn share(deployment: &Deployment, set: &ReplicaSet, to_add: i32, added: i32) -> i32 {
    if wanted(set) == 0 || to_add == added {
        return 0;
    }
    let fraction = fraction(deployment, set);
    if to_add > 0 { fraction.min(to_add - added) } else { fraction.max(to_add - added) }
}

fn fraction(deployment: &Deployment, set: &ReplicaSet) -> i32 {
    if replicas(deployment) == 0 {
        return -wanted(set);
    }
    let max_now = f64::from(replicas(deployment) + max_surge(deployment));
    let status = deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
    let max_before = number(set, MAX).filter(|max| *max > 0).unwrap_or(status);
    if max_before <= 0 {
        return 0;
    }
    let size = f64::from(wanted(set)) * max_now / f64::from(max_before);
    size.round() as i32 - wanted(set)
}
