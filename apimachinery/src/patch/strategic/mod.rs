//! Strategic merge patches: merge patches that know, from the schema, which lists merge element by element and by which key.
//! Corresponds to upstream's apimachinery/pkg/util/strategicpatch.

mod conflicts;
mod create;
mod lists;
mod lookup;
mod merge;

pub use create::{create_three_way, create_two_way};

use super::PatchError;
use crate::quote::go_value;
use crate::schema::Type;
use crate::value::{Map, Value};
use lookup::Schema;

const DIRECTIVE: &str = "$patch";
const DELETE: &str = "delete";
const REPLACE: &str = "replace";
const MERGE: &str = "merge";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_PRIMITIVES: &str = "$deleteFromPrimitiveList";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";

/// How two trees are merged: a patch into an object, or a patch into a patch.
#[derive(Clone, Copy)]
struct MergeOptions {
    /// Directives about lists are carried out rather than kept.
    carry_out: bool,
    /// Nulls for which there is nothing to delete are dropped rather than kept.
    drop_nulls: bool,
}

/// `target`, in the form of its JSON, with `patch` merged into it.
///
/// # Errors
/// If the patch is malformed or does not fit the schema.
pub fn apply(target: &Value, patch: &Value, ty: &Type) -> Result<Value, PatchError> {
    if patch.is_null() {
        return Ok(target.clone());
    }
    let (Value::Map(target), Value::Map(patch)) = (target, patch) else { return Err(bad_document()) };
    let options = MergeOptions { carry_out: true, drop_nulls: true };
    merge::maps(target.clone(), patch.clone(), Schema::Type(ty), options).map(Value::Map)
}

/// An error that upstream answers with a bare 500.
fn unexpected(message: impl Into<String>) -> PatchError {
    PatchError::Unexpected(message.into())
}

fn bad_document() -> PatchError {
    PatchError::BadRequest("invalid JSON document".to_owned())
}

fn bad_primitive_list() -> PatchError {
    PatchError::BadRequest("invalid patch format of primitive list".to_owned())
}

fn bad_retain_keys() -> PatchError {
    PatchError::BadRequest("invalid patch format of retainKeys".to_owned())
}

fn bad_element_order() -> PatchError {
    PatchError::BadRequest("invalid patch format of setElementOrder list".to_owned())
}

fn no_list_of_lists() -> PatchError {
    PatchError::Unprocessable("lists of lists are not supported".to_owned())
}

fn no_merge_key(map: &Map, key: &str) -> PatchError {
    unexpected(format!("map: {} does not contain declared merge key: {key}", go_value(&Value::Map(map.clone()))))
}

fn bad_type(expected: &str, actual: &Value) -> PatchError {
    unexpected(format!("expected a {expected}, but received a {}", go_type(actual)))
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::Str(_) | Value::Raw(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
    }
}

fn same_type(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// The entries of a map value.
fn as_map(value: &Value) -> Result<&Map, PatchError> {
    value.as_map().ok_or_else(|| bad_type("map[string]interface {}", value))
}

/// The elements of a list value.
fn as_list(value: &Value) -> Result<&[Value], PatchError> {
    value.as_list().ok_or_else(|| bad_type("[]interface {}", value))
}

/// The part of `key` after `prefix` and a slash.
fn parallel_key<'a>(key: &'a str, prefix: &str, error: fn() -> PatchError) -> Result<&'a str, PatchError> {
    key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')).ok_or_else(error)
}

#[cfg(test)]
mod tests;
