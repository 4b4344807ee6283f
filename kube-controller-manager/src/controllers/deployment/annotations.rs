//! Pure: the annotations with which a Deployment and its ReplicaSets remember revisions and sizes.
//!
//! Upstream: pkg/controller/deployment/util/deployment_util.go.

use std::collections::BTreeMap;

use component_base::informer::Object as _;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The list of past revisions is cut from its front beyond this.
const HISTORY_CHARS_MAX: usize = 2000;

/// Annotations of a Deployment that its ReplicaSets do not get.
const NOT_COPIED: [&str; 6] = [LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MAX, ROLLBACK_TO];

fn annotations(meta: &mut ObjectMeta) -> &mut BTreeMap<String, String> {
    meta.annotations.get_or_insert_default()
}

/// A revision, 0 if there is none.
pub(super) fn revision(meta: &ObjectMeta) -> i64 {
    meta.annotations.as_ref().and_then(|all| all.get(REVISION)).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A number in an annotation.
pub(super) fn number(set: &ReplicaSet, key: &str) -> Option<i32> {
    set.annotation(key)?.parse().ok()
}

/// Sets an annotation; tells whether that changed anything.
pub(super) fn put(meta: &mut ObjectMeta, key: &str, value: String) -> bool {
    let all = annotations(meta);
    let changed = all.get(key) != Some(&value);
    all.insert(key.to_owned(), value);
    changed
}

/// Notes the size a ReplicaSet is part of.
pub(super) fn put_sizes(set: &mut ReplicaSet, desired: i32, max: i32) -> bool {
    let first = put(&mut set.metadata, DESIRED, desired.to_string());
    put(&mut set.metadata, MAX, max.to_string()) || first
}

/// Brings a new ReplicaSet's annotations up to its Deployment's, with the given revision.
pub(super) fn update_new_set(deployment: &Deployment, set: &mut ReplicaSet, new_revision: i64) -> bool {
    let mut changed = false;
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if !NOT_COPIED.contains(&key.as_str()) {
            changed |= put(&mut set.metadata, key, value.clone());
        }
    }
    let old = set.annotation(REVISION).map(str::to_owned);
    if new_revision <= revision(&set.metadata) {
        return changed;
    }
    put(&mut set.metadata, REVISION, new_revision.to_string());
    if let Some(old) = old.filter(|old| !old.is_empty()) {
        let history = append_history(set.annotation(REVISION_HISTORY).unwrap_or_default(), &old);
        put(&mut set.metadata, REVISION_HISTORY, history);
    }
    true
}

fn append_history(history: &str, revision: &str) -> String {
    let mut all: Vec<&str> = history.split(',').filter(|entry| !entry.is_empty()).collect();
    all.push(revision);
    while all.len() > 1 && all.iter().map(|entry| entry.len() + 1).sum::<usize>() > HISTORY_CHARS_MAX {
        all.remove(0);
    }
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_becomes_new_again_remembers_its_revisions() {
        let mut deployment = Deployment::default();
        put(&mut deployment.metadata, "note", "x".into());
        put(&mut deployment.metadata, LAST_APPLIED, "{}".into());
        let mut set = ReplicaSet::default();
        assert!(update_new_set(&deployment, &mut set, 1));
        assert!(!update_new_set(&deployment, &mut set, 1));
        assert!(update_new_set(&deployment, &mut set, 3));
        assert_eq!(set.annotation(REVISION), Some("3"));
        assert_eq!(set.annotation(REVISION_HISTORY), Some("1"));
        assert_eq!(set.annotation("note"), Some("x"));
        assert_eq!(set.annotation(LAST_APPLIED), None);
        assert_eq!(append_history("1", "3"), "1,3");
    }
}
