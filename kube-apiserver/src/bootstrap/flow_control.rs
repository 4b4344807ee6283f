//! Priority levels and flow schemas: the suggested ones are made if missing, the mandatory ones kept as they are.
//!
//! What they do to requests is in `filters::flow_control`.
//! upstream: pkg/registry/flowcontrol/{rest/storage_flowcontrol.go, ensurer}

use std::sync::Arc;
use std::time::Duration;

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use jiff::Timestamp;

use super::{created, data};
use crate::loopback::{Loopback, Options};
use crate::objects::Kind;
use crate::registry::Registry;
use crate::storage::EventKind;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const PRODUCER: Options<'static> =
    Options { field_manager: Some("api-priority-and-fairness-config-producer-v1"), force: false };
const CONSUMER: Options<'static> =
    Options { field_manager: Some("api-priority-and-fairness-config-consumer-v1"), force: true };
const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
const LEVELS: Kind = Kind::new(GROUP, "prioritylevelconfigurations");
const SCHEMAS: Kind = Kind::new(GROUP, "flowschemas");

/// Reconciles all objects and the status of the schemas.
///
/// # Errors
/// What storage says.
pub async fn ensure(api: &Loopback) -> Result<(), ApiError> {
    for wanted in data::objects(data::FLOW_CONTROL) {
        let schema = wanted.get("kind").str_or_empty() == "FlowSchema";
        let kind = if schema { SCHEMAS } else { LEVELS };
        let name = wanted.path(&["metadata", "name"]).str_or_empty();
        match api.cached(kind, "", name) {
            None => created(api.create(kind, "", &wanted, PRODUCER).await)?,
            Some(existing) => update(api, kind, name, existing, &wanted).await?,
        }
        if schema {
            set_status(api, name, &wanted).await?;
        }
    }
    Ok(())
}

/// Puts the spec back unless the object is somebody else's: mandatory ones always, others by their annotation.
async fn update(api: &Loopback, kind: Kind, name: &str, existing: Value, wanted: &Value) -> Result<(), ApiError> {
    let mandatory = matches!(name, "exempt" | "catch-all");
    let automatic = existing.path(&["metadata", "annotations", AUTOUPDATE]).str_or_empty() == "true";
    if !(mandatory || automatic) || existing.get("spec") == wanted.get("spec") {
        return Ok(());
    }
    let mut object = existing;
    object.set("spec", wanted.get("spec").clone());
    api.update(kind, "", name, "", &object, PRODUCER).await.map(|_| ())
}

/// Keeps the conditions of all schemas as they change, until dropped.
pub async fn follow(registry: Arc<Registry>, api: Loopback) {
    let Some(store) = registry.store(SCHEMAS.group, SCHEMAS.plural) else { return };
    loop {
        let Some((_, _, mut watcher)) = store.cache.watch_from_now() else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        for schema in store.cached_list("") {
            check(&api, &schema).await;
        }
        // ends when the cache was refilled
        while let Ok(events) = watcher.ready() {
            if events.is_empty() {
                watcher.changed().await;
            }
            for event in events.iter().filter(|e| e.kind != EventKind::Deleted) {
                if let Ok(schema) = store.object(&event.entry.raw) {
                    check(&api, &schema).await;
                }
            }
        }
    }
}

async fn check(api: &Loopback, schema: &Value) {
    let name = schema.path(&["metadata", "name"]).str_or_empty();
    match set_status(api, name, schema).await {
        Ok(()) => {}
        Err(e) if e.is_not_found() || e.is_conflict() => {}
        Err(error) => tracing::warn!(name, error = error.message(), "cannot set the condition of a flow schema"),
    }
}

/// The condition that says whether the schema's priority level exists.
async fn set_status(api: &Loopback, name: &str, wanted: &Value) -> Result<(), ApiError> {
    let level = wanted.path(&["spec", "priorityLevelConfiguration", "name"]).str_or_empty();
    let found = api.cached(LEVELS, "", level).is_some();
    let (status, reason, end) =
        if found { ("False", "Found", "and it exists") } else { ("True", "NotFound", "but there is no such object") };
    let message = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} {end}");
    let there = api.cached(SCHEMAS, "", name).is_some_and(|schema| {
        let conditions = schema.path(&["status", "conditions"]).items();
        conditions
            .iter()
            .any(|c| c.get("type").str_or_empty() == "Dangling" && c.get("status").str_or_empty() == status)
    });
    if there {
        return Ok(());
    }
    let condition: Value = [
        ("type", Value::from("Dangling")),
        ("status", status.into()),
        ("lastTransitionTime", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()),
        ("reason", reason.into()),
        ("message", message.into()),
    ]
    .into();
    let status: Value = [("conditions", Value::List(vec![condition]))].into();
    let meta: Value = [("name", name)].into();
    let object: Value = [
        ("apiVersion", Value::from("flowcontrol.apiserver.k8s.io/v1")),
        ("kind", "FlowSchema".into()),
        ("metadata", meta),
        ("status", status),
    ]
    .into();
    api.apply(SCHEMAS, "", name, "status", &object, CONSUMER).await.map(|_| ())
}
