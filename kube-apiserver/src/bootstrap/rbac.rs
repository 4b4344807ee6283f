//! The bootstrap policy: missing roles and bindings are made, existing ones get back what they lost.
//!
//! Nothing is ever taken away; an object whose annotation `rbac.authorization.kubernetes.io/autoupdate` is not
//! `true` is left alone.
//! upstream: pkg/registry/rbac/{rest/storage_rbac.go, reconciliation}

use apimachinery::status::ApiError;
use apimachinery::value::{Value, from_value};
use futures::StreamExt;

use super::{created, data};
use crate::authorization::rbac::PolicyRule;
use crate::authorization::rbac::rule::uncovered;
use crate::loopback::{Loopback, Options};
use crate::objects::Kind;

const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const GROUP: &str = "rbac.authorization.k8s.io";
/// Objects written at once.
const PARALLEL: usize = 16;

/// Reconciles every object of the policy.
///
/// # Errors
/// The first failure; the others are tried all the same.
pub async fn reconcile(api: &Loopback) -> Result<(), ApiError> {
    let results: Vec<Result<(), ApiError>> = futures::stream::iter(data::objects(data::RBAC))
        .map(|wanted| async move { reconcile_one(api, &wanted).await })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    results.into_iter().collect()
}

async fn reconcile_one(api: &Loopback, wanted: &Value) -> Result<(), ApiError> {
    let kind = match wanted.get("kind").str_or_empty() {
        "ClusterRole" => Kind::new(GROUP, "clusterroles"),
        "ClusterRoleBinding" => Kind::new(GROUP, "clusterrolebindings"),
        "Role" => Kind::new(GROUP, "roles"),
        _ => Kind::new(GROUP, "rolebindings"),
    };
    let namespace = wanted.path(&["metadata", "namespace"]).str_or_empty();
    let name = wanted.path(&["metadata", "name"]).str_or_empty();
    let Some(existing) = api.cached(kind, namespace, name) else {
        return created(api.create(kind, namespace, wanted, Options::default()).await);
    };
    if existing.path(&["metadata", "annotations", AUTOUPDATE]).str_or_empty() != "true" {
        return Ok(());
    }
    if existing.get("roleRef") != wanted.get("roleRef") {
        // the reference of a binding cannot change: it is made anew
        api.delete(kind, namespace, name).await?;
        return created(api.create(kind, namespace, wanted, Options::default()).await);
    }
    match completed(&existing, wanted) {
        Some(object) => api.update(kind, namespace, name, "", &object, Options::default()).await.map(|_| ()),
        None => Ok(()),
    }
}

/// The existing object plus what it lacks, or `None` if it lacks nothing.
fn completed(existing: &Value, wanted: &Value) -> Option<Value> {
    let mut object = existing.clone();
    for map in ["labels", "annotations"] {
        for (key, value) in wanted.path(&["metadata", map]).entries() {
            if object.path(&["metadata", map, key]) != value {
                object.field_mut("metadata").field_mut(map).set(key, value.clone());
            }
        }
    }
    // an aggregated role's rules belong to the aggregation controller
    if wanted.has("aggregationRule") {
        add_missing(&mut object, existing, wanted, &["aggregationRule", "clusterRoleSelectors"]);
    } else {
        let own: Vec<PolicyRule> = from_value(existing.get("rules")).unwrap_or_default();
        for rule in wanted.get("rules").items() {
            let parsed: PolicyRule = from_value(rule).unwrap_or_default();
            if !uncovered(&own, &[parsed]).is_empty() {
                object.field_mut("rules").list_mut().push(rule.clone());
            }
        }
    }
    add_missing(&mut object, existing, wanted, &["subjects"]);
    (object != *existing).then_some(object)
}

fn add_missing(object: &mut Value, existing: &Value, wanted: &Value, path: &[&str]) {
    let there = existing.path(path).items();
    let missing: Vec<Value> = wanted.path(path).items().iter().filter(|v| !there.contains(v)).cloned().collect();
    if missing.is_empty() {
        return;
    }
    let mut all = there.to_vec();
    all.extend(missing);
    object.set_path(path, Value::List(all));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_taken() {
        let wanted = data::objects(data::RBAC)
            .find(|o| o.path(&["metadata", "name"]).str_or_empty() == "system:basic-user")
            .unwrap();
        assert_eq!(completed(&wanted, &wanted), None);
        let mut stripped = wanted.clone();
        stripped.set("rules", Value::List(Vec::new()));
        stripped.remove_path(&["metadata", "labels"]);
        let fixed = completed(&stripped, &wanted).unwrap();
        assert_eq!(fixed.get("rules"), wanted.get("rules"));
        assert_eq!(fixed.path(&["metadata", "labels"]), wanted.path(&["metadata", "labels"]));
    }
}
