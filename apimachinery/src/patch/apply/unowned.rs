//! Merging without owners: what a mutating admission policy makes of an object. Managed fields stay as they are. Corresponds to
//! upstream's apiserver/pkg/admission/plugin/policy/mutating/patch/smd.go.

use super::schema::{Kind, Node};
use super::set::{FieldPath, PathElement, path_text};
use super::{Write, pair, walk};
use crate::codec::json::{self, DecodeOptions};
use crate::value::Value;

/// Why a configuration cannot be merged into an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnownedError {
    /// It does not fit the schema.
    #[error("failed to convert patch object to typed object: {0}")]
    Configuration(String),
    /// It would replace lists or maps that are one value.
    #[error("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}", .0.join(", "))]
    Atomic(Vec<String>),
    /// The object does not fit the schema.
    #[error("failed to convert original object to typed object: {0}")]
    Object(String),
    /// The result does not fit the schema.
    #[error("failed to convert typed object to object: {0}")]
    Result(String),
}

/// Merges `config`, a tree of JSON, into `live`. The result is in normal form, without defaults.
///
/// # Errors
/// If one of them does not fit the schema, or the configuration speaks of atomic lists, maps or structs.
pub fn merge_unowned(write: &Write<'_>, live: &Value, config: &Value) -> Result<Value, UnownedError> {
    let mut config = config.clone();
    config.set("apiVersion", write.api_version);
    config.set("kind", write.kind);
    walk::validate(&config, write.node(), false).map_err(UnownedError::Configuration)?;
    let mut atomic = Vec::new();
    find_atomic(&config, write.node(), &mut Vec::new(), &mut atomic);
    if !atomic.is_empty() {
        atomic.sort();
        return Err(UnownedError::Atomic(atomic));
    }
    let live_tree = write.tree(live);
    walk::validate(&live_tree, write.node(), true).map_err(UnownedError::Object)?;
    let merged = pair::merge(Some(&live_tree), Some(&config), write.node()).unwrap_or_default();
    let mut text = Vec::new();
    json::encode_untyped(&merged, &mut text);
    let decoded = json::decode(&text, write.ty, &DecodeOptions::default());
    let mut object = decoded.map_err(|error| UnownedError::Result(error.to_string()))?.value;
    let fields = live.path(&["metadata", "managedFields"]);
    if !fields.is_null() {
        object.set_path(&["metadata", "managedFields"], fields.clone());
    }
    Ok(object)
}

/// Paths of what is one value although it has members.
fn find_atomic(value: &Value, node: Node<'_>, path: &mut FieldPath, out: &mut Vec<String>) {
    match (value, node.resolve().deduce(Some(value)).kind()) {
        (Value::Map(entries), Kind::Map(map)) => {
            if map.atomic {
                out.push(path_text(path));
            }
            for (key, member) in entries.iter() {
                let Some(node) = map.field(key) else { continue };
                path.push(PathElement::field(key));
                find_atomic(member, node, path, out);
                path.pop();
            }
        }
        (Value::List(items), Kind::List(list)) => {
            if !list.associative {
                out.push(path_text(path));
            }
            for (i, item) in (0..).zip(items) {
                path.push(PathElement::Index(i));
                find_atomic(item, list.element, path, out);
                path.pop();
            }
        }
        _ => {}
    }
}
