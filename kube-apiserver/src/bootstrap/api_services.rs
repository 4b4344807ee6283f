//! An APIService for every group-version this server serves itself.
//!
//! upstream: pkg/controlplane/apiserver/aggregator.go, staging/src/k8s.io/kube-aggregator

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use futures::StreamExt;
use jiff::Timestamp;

use super::created;
use crate::discovery::Enabled;
use crate::loopback::{Loopback, Options};
use crate::objects::Kind;

const KIND: Kind = Kind::new("apiregistration.k8s.io", "apiservices");
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const PARALLEL: usize = 8;

/// Makes those that are missing, and marks them available.
///
/// # Errors
/// What storage says.
pub async fn ensure(api: &Loopback, enabled: &Enabled) -> Result<(), ApiError> {
    let wanted: Vec<Value> = enabled
        .groups()
        .filter(|group| group.name != KIND.group)
        .flat_map(|group| {
            let versions: Vec<&str> = enabled.versions(group).collect();
            versions.into_iter().map(move |version| {
                let priority = group.version_priority.iter().find(|(v, _)| *v == version).map_or(1, |(_, p)| *p);
                api_service(group.name, version, group.priority_minimum, priority)
            })
        })
        .collect();
    let results: Vec<Result<(), ApiError>> = futures::stream::iter(wanted)
        .map(|object| async move { ensure_one(api, &object).await })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    results.into_iter().collect()
}

async fn ensure_one(api: &Loopback, object: &Value) -> Result<(), ApiError> {
    let name = object.path(&["metadata", "name"]).str_or_empty();
    let existing = match api.cached(KIND, "", name) {
        Some(existing) => existing,
        None => {
            created(api.create(KIND, "", object, Options::default()).await)?;
            api.get(KIND, "", name).await?
        }
    };
    let available =
        existing.path(&["status", "conditions"]).items().iter().any(|c| c.get("type").str_or_empty() == "Available");
    if available || existing.get("spec").has("service") {
        return Ok(());
    }
    let condition: Value = [
        ("type", Value::from("Available")),
        ("status", "True".into()),
        ("lastTransitionTime", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()),
        ("reason", "Local".into()),
        ("message", "Local APIServices are always available".into()),
    ]
    .into();
    let mut with_status = existing;
    with_status.set_path(&["status", "conditions"], Value::List(vec![condition]));
    api.update(KIND, "", name, "status", &with_status, Options::default()).await.map(|_| ())
}

fn api_service(group: &str, version: &str, minimum: i32, priority: i32) -> Value {
    let labels: Value = [(AUTOMANAGED, "onstart")].into();
    let meta: Value = [("name", Value::from(format!("{version}.{group}"))), ("labels", labels)].into();
    let mut spec: Value = [
        ("version", Value::from(version)),
        ("groupPriorityMinimum", minimum.into()),
        ("versionPriority", priority.into()),
    ]
    .into();
    if !group.is_empty() {
        spec.set("group", group);
    }
    [
        ("apiVersion", Value::from("apiregistration.k8s.io/v1")),
        ("kind", "APIService".into()),
        ("metadata", meta),
        ("spec", spec),
    ]
    .into()
}
