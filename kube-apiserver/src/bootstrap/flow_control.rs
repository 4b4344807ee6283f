//! Priority levels and flow schemas: the suggested ones are made if missing, the mandatory ones kept as they are.
//!
//! Requests are not queued by them (see `filters::flow_control`); clients and operators expect the objects.
//! upstream: pkg/registry/flowcontrol/{rest/storage_flowcontrol.go, ensurer}

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use jiff::Timestamp;

use super::{created, data};
use crate::loopback::{Loopback, Options};
use crate::objects::Kind;

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

/// The condition that says whether the schema's priority level exists.
async fn set_status(api: &Loopback, name: &str, wanted: &Value) -> Result<(), ApiError> {
    let there = api.cached(SCHEMAS, "", name).is_some_and(|schema| {
        let conditions = schema.path(&["status", "conditions"]).items();
        conditions.iter().any(|c| c.get("type").str_or_empty() == "Dangling")
    });
    if there {
        return Ok(());
    }
    let level = wanted.path(&["spec", "priorityLevelConfiguration", "name"]).str_or_empty();
    let message =
        format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} and it exists");
    let condition: Value = [
        ("type", Value::from("Dangling")),
        ("status", "False".into()),
        ("lastTransitionTime", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()),
        ("reason", "Found".into()),
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
