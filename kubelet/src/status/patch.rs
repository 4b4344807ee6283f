//! The strategic merge patch from one status to another.
//!
//! upstream: pkg/util/pod/pod.go: PatchPodStatus

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

/// Lists that are merged by a key; all others are replaced as a whole.
const MERGED_LISTS: [(&str, &str); 4] =
    [("conditions", "type"), ("podIPs", "ip"), ("hostIPs", "ip"), ("resourceClaimStatuses", "name")];

/// The body of the patch, `None` when nothing differs. `uid` makes it fail for a pod of the same name.
pub fn status_patch(uid: &str, old: &PodStatus, new: &PodStatus) -> Option<Value> {
    let changes = diff(&object(old), &object(new));
    if changes.is_empty() {
        return None;
    }
    Some(json!({ "metadata": { "uid": uid }, "status": changes }))
}

fn object(status: &PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn diff(old: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let mut changes = Map::new();
    for (field, value) in new {
        if old.get(field) == Some(value) {
            continue;
        }
        let merged_by = MERGED_LISTS.iter().find(|(list, _)| list == field).map(|(_, key)| *key);
        match (merged_by, old.get(field), value) {
            (Some(key), Some(Value::Array(before)), Value::Array(after)) => {
                let order: Vec<Value> = after.iter().map(|item| json!({ key: item[key] })).collect();
                changes.insert(format!("$setElementOrder/{field}"), Value::Array(order));
                let items = merge_items(key, before, after);
                if !items.is_empty() {
                    changes.insert(field.clone(), Value::Array(items));
                }
            }
            (_, Some(Value::Object(_)), Value::Object(after)) => {
                let mut whole = after.clone();
                whole.insert("$patch".to_owned(), json!("replace"));
                changes.insert(field.clone(), Value::Object(whole));
            }
            _ => {
                changes.insert(field.clone(), value.clone());
            }
        }
    }
    for field in old.keys().filter(|field| !new.contains_key(*field)) {
        changes.insert(field.clone(), Value::Null);
    }
    changes
}

fn merge_items(key: &str, before: &[Value], after: &[Value]) -> Vec<Value> {
    let find = |list: &[Value], item: &Value| list.iter().find(|other| other[key] == item[key]).cloned();
    let mut items = Vec::new();
    for item in after {
        match (find(before, item), item) {
            (Some(old), item) if old == *item => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                let mut changed = new.clone();
                for gone in old.keys().filter(|field| !new.contains_key(*field)) {
                    changed.insert(gone.clone(), Value::Null);
                }
                items.push(Value::Object(changed));
            }
            (_, item) => items.push(item.clone()),
        }
    }
    let gone = before.iter().filter(|item| find(after, item).is_none());
    items.extend(gone.map(|item| json!({ "$patch": "delete", key: item[key] })));
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: Value) -> PodStatus {
        serde_json::from_value(json).expect("valid")
    }

    #[test]
    fn only_what_differs() {
        let old = status(json!({"phase": "Pending", "podIPs": [{"ip": "1"}], "reason": "x",
            "conditions": [{"type": "Ready", "status": "False", "reason": "r"}, {"type": "Own", "status": "True"}]}));
        let new = status(json!({"phase": "Running", "podIPs": [{"ip": "1"}, {"ip": "2"}],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Own", "status": "True"}]}));
        let got = status_patch("u", &old, &new).expect("a patch");
        assert_eq!(
            got,
            json!({"metadata": {"uid": "u"}, "status": {
                "phase": "Running", "reason": null,
                "podIPs": [{"ip": "2"}], "$setElementOrder/podIPs": [{"ip": "1"}, {"ip": "2"}],
                "conditions": [{"type": "Ready", "status": "True", "reason": null}],
                "$setElementOrder/conditions": [{"type": "Ready"}, {"type": "Own"}]}})
        );
        assert_eq!(status_patch("u", &new, &new), None);
    }
}
