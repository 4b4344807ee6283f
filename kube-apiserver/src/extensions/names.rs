//! Which names of a definition are accepted: those that no other accepted definition of the group has.
//!
//! Pure. upstream: apiextensions-apiserver/pkg/controller/status/naming_controller.go

use std::collections::HashSet;

use super::validation::approval;
use apimachinery::quote::quote;
use apimachinery::value;
use apimachinery::value::Value;

/// The status that a definition should have, given all definitions (itself included). Conditions keep their
/// time while their status stays.
pub fn status(definition: &Value, all: &[Value], now: &str) -> Value {
    let (accepted, conflict) = accepted(definition, all);
    let mut status = definition.get("status").clone();
    status.set("acceptedNames", accepted);
    let names = match &conflict {
        None => condition("NamesAccepted", true, "NoConflicts", "no conflicts found", now),
        Some((reason, message)) => condition("NamesAccepted", false, reason, message, now),
    };
    set_condition(&mut status, names);
    let was = has(definition, "Established");
    let established = match (&conflict, was) {
        (None, _) | (_, true) => {
            condition("Established", true, "InitialNamesAccepted", "the initial names have been accepted", now)
        }
        (Some(_), false) => condition("Established", false, "NotAccepted", "not all names are accepted", now),
    };
    set_condition(&mut status, established);
    if let Some((approved, reason, message)) = approval(definition) {
        let kind = "KubernetesAPIApprovalPolicyConformant";
        set_condition(&mut status, condition(kind, approved, reason, &message, now));
    }
    status
}

/// True if a definition has a condition.
pub fn has(definition: &Value, condition: &str) -> bool {
    let conditions = definition.path(&["status", "conditions"]).items();
    conditions.iter().any(|c| c.get("type").as_str() == Some(condition) && c.get("status").as_str() == Some("True"))
}

type Conflict = (&'static str, String);

fn accepted(definition: &Value, all: &[Value]) -> (Value, Option<Conflict>) {
    let name = definition.path(&["metadata", "name"]);
    let group = definition.path(&["spec", "group"]);
    let (mut resources, mut kinds) = (HashSet::new(), HashSet::new());
    for other in all {
        if other.path(&["metadata", "name"]) == name || other.path(&["spec", "group"]) != group {
            continue;
        }
        let names = other.path(&["status", "acceptedNames"]);
        for field in ["plural", "singular"] {
            resources.insert(names.get(field).str_or_empty());
        }
        resources.extend(names.get("shortNames").items().iter().filter_map(Value::as_str));
        for field in ["kind", "listKind"] {
            kinds.insert(names.get(field).str_or_empty());
        }
    }
    let wanted = definition.path(&["spec", "names"]);
    let mut accepted = definition.path(&["status", "acceptedNames"]).clone();
    let mut conflict = None;
    let mut refuse = |reason: &'static str, text: &str| {
        conflict = Some((reason, format!("{} is already in use", quote(text))));
    };
    for (field, taken, reason) in [
        ("plural", &resources, "PluralConflict"),
        ("singular", &resources, "SingularConflict"),
        ("kind", &kinds, "KindConflict"),
        ("listKind", &kinds, "ListKindConflict"),
    ] {
        let text = wanted.get(field).str_or_empty();
        if !text.is_empty() && taken.contains(text) {
            refuse(reason, text);
        } else if !text.is_empty() {
            accepted.set(field, text);
        }
    }
    let short = wanted.get("shortNames").items();
    match short.iter().find(|s| resources.contains(s.str_or_empty())) {
        Some(taken) => refuse("ShortNamesConflict", taken.str_or_empty()),
        None if short.is_empty() => drop(accepted.remove("shortNames")),
        None => accepted.set("shortNames", wanted.get("shortNames").clone()),
    }
    match wanted.get("categories") {
        Value::Null => drop(accepted.remove("categories")),
        categories => accepted.set("categories", categories.clone()),
    }
    (accepted, conflict)
}

fn condition(kind: &str, status: bool, reason: &str, message: &str, now: &str) -> Value {
    value!({
        "type": kind,
        "status": if status { "True" } else { "False" },
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    })
}

fn set_condition(status: &mut Value, mut wanted: Value) {
    let conditions = status.field_mut("conditions").list_mut();
    let same_type = |c: &&mut Value| c.get("type") == wanted.get("type");
    match conditions.iter_mut().find(same_type) {
        Some(existing) => {
            if existing.get("status") == wanted.get("status") {
                wanted.set("lastTransitionTime", existing.get("lastTransitionTime").clone());
            }
            *existing = wanted;
        }
        None => conditions.push(wanted),
    }
}
