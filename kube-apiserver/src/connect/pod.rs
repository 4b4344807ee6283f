//! Small questions about pods and changes of them that several subresources need.

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use jiff::Timestamp;

use crate::state::AppState;

/// The pod, fresh.
///
/// # Errors
/// 404, or what storage says.
pub async fn get(state: &AppState, namespace: &str, name: &str) -> Result<Value, ApiError> {
    match state.registry.store("", "pods") {
        Some(store) => store.get(namespace, name).await,
        None => Err(ApiError::not_found("", "pods", name)),
    }
}

/// Sets a status condition; the transition time changes only when the status does.
pub fn set_condition(pod: &mut Value, kind: &str, status: &str, reason: &str, message: &str) {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let generation = pod.path(&["metadata", "generation"]).as_i64();
    let conditions = pod.field_mut("status").field_mut("conditions").list_mut();
    let mut fresh: Value = [("type", kind), ("status", status), ("lastTransitionTime", &now)].into();
    for (key, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            fresh.set(key, text);
        }
    }
    match conditions.iter_mut().find(|c| c.get("type").str_or_empty() == kind) {
        Some(known) => {
            if known.get("status").str_or_empty() == status {
                fresh.set("lastTransitionTime", known.get("lastTransitionTime").clone());
            }
            if let Some(seen) = known.get("observedGeneration").as_i64().or(generation) {
                fresh.set("observedGeneration", seen);
            }
            *known = fresh;
        }
        None => conditions.push(fresh),
    }
}

/// The container that a request means: the one it names, or the only one.
///
/// # Errors
/// 400 with upstream's text.
pub fn container(pod: &Value, asked: &str) -> Result<String, ApiError> {
    let name = pod.path(&["metadata", "name"]).str_or_empty();
    let all = names(pod);
    if !asked.is_empty() {
        if all.iter().any(|n| n == asked) {
            return Ok(asked.to_owned());
        }
        return Err(ApiError::bad_request(format!("container {asked} is not valid for pod {name}")));
    }
    match pod.path(&["spec", "containers"]).items() {
        [] => Err(ApiError::bad_request(format!("a container name must be specified for pod {name}"))),
        [one] => Ok(one.get("name").str_or_empty().to_owned()),
        _ => Err(ApiError::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            all.join(" ")
        ))),
    }
}

/// All container names: init, ordinary, ephemeral.
fn names(pod: &Value) -> Vec<String> {
    ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| pod.path(&["spec", list]).items())
        .map(|c| c.get("name").str_or_empty().to_owned())
        .collect()
}
