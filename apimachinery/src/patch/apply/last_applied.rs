//! The annotation of client-side apply: read to let `kubectl apply --server-side` take over without conflicts, and kept up to
//! date so that there is a way back.

use super::pair;
use super::schema::Node;
use super::set::FieldSet;
use super::walk;
use crate::codec::json;
use crate::object_meta::TOTAL_ANNOTATION_SIZE_LIMIT;
use crate::value::Value;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Fields that the live object has as client-side apply left them: kubectl may take those. Nothing if there is no annotation.
pub(super) fn allowed_conflicts(live: &Value, api_version: &str, node: Node<'_>) -> Option<FieldSet> {
    let text = live.path(&["metadata", "annotations", ANNOTATION]).as_str().filter(|t| !t.is_empty())?;
    let applied = json::decode_untyped(text.as_bytes()).ok()?;
    if applied.get("apiVersion").as_str() != Some(api_version) {
        return None;
    }
    walk::validate(live, node, false).ok()?;
    walk::validate(&applied, node, false).ok()?;
    let found = pair::compare(&applied, live, node);
    let mentioned = walk::field_set(&applied, node);
    Some(mentioned.difference(&found.modified).difference(&found.added).difference(&found.removed))
}

/// Writes the annotation anew if the object has it.
pub(super) fn refresh(object: &mut Value, config: &Value) {
    let path = ["metadata", "annotations", ANNOTATION];
    if object.path(&path).str_or_empty().is_empty() {
        return;
    }
    let mut applied = config.clone();
    applied.remove_path(&path);
    let text = json::to_string(&applied) + "\n";
    object.set_path(&path, text.into());
    let annotations = object.path(&["metadata", "annotations"]);
    let size: usize = annotations.entries().map(|(k, v)| k.len() + v.str_or_empty().len()).sum();
    if size > TOTAL_ANNOTATION_SIZE_LIMIT {
        object.remove_path(&path);
    }
}
