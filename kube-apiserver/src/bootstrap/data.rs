//! The bootstrap objects as data: one JSON object per line in the files beside this one.

use apimachinery::codec::json;
use apimachinery::value::{Value, from_value};

use crate::authorization::rbac::PolicyRule;

/// Roles and bindings.
pub const RBAC: &str = include_str!("rbac.jsonl");
/// Flow schemas and priority levels.
pub const FLOW_CONTROL: &str = include_str!("flow_control.jsonl");
/// Priority classes.
pub const PRIORITY_CLASSES: &str = include_str!("priority_classes.jsonl");

/// The objects of a file.
pub fn objects(text: &str) -> impl Iterator<Item = Value> + '_ {
    text.lines().map(|line| json::decode_untyped(line.as_bytes()).expect("checked by the tests of this module"))
}

/// Rules of the role `system:node`, which the node authorizer grants to every kubelet.
pub fn node_rules() -> Vec<PolicyRule> {
    objects(RBAC)
        .find(|o| {
            o.get("kind").str_or_empty() == "ClusterRole"
                && o.path(&["metadata", "name"]).str_or_empty() == "system:node"
        })
        .map(|role| from_value(role.get("rules")).unwrap_or_default())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_an_object() {
        let count = |text| objects(text).filter(|o| !o.path(&["metadata", "name"]).str_or_empty().is_empty()).count();
        assert_eq!(count(RBAC), RBAC.lines().count());
        assert_eq!(count(FLOW_CONTROL), 19);
        assert_eq!(count(PRIORITY_CLASSES), 2);
        assert!(!node_rules().is_empty());
    }
}
