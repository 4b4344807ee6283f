//! Patches, and the field sets of server-side apply.

use apimachinery::codec::json::{self, DecodeOptions};
use apimachinery::patch::apply::{self as server_side, FieldSet, Write};
use apimachinery::patch::{json_patch as steps, merge, strategic};
use apimachinery::value::Value;

use super::{KINDS, choose, halves};

/// A JSON patch of a document.
pub fn json_patch(data: &[u8]) {
    let Some((doc, patch)) = halves(data) else { return };
    let Ok(value) = json::decode_untyped(doc) else {
        let _ = steps::JsonPatch::decode(patch, true);
        return;
    };
    // What is patched is always an encoded object.
    if let Ok(patched) = steps::apply(json::to_string(&value).as_bytes(), patch) {
        assert_eq!(json::check_syntax(&patched), Ok(()), "{}", String::from_utf8_lossy(&patched));
    }
    if let Ok(decoded) = steps::JsonPatch::decode(patch, true) {
        let _ = decoded.strict_errors();
    }
}

/// A merge patch of a document; the patch between two documents makes the second of the first.
pub fn merge_patch(data: &[u8]) {
    let Some((doc, patch)) = halves(data) else { return };
    if let Ok(patched) = merge::apply(doc, patch) {
        assert_eq!(json::check_syntax(&patched), Ok(()), "{}", String::from_utf8_lossy(&patched));
    }
    let (Ok(original), Ok(modified)) = (json::decode_untyped(doc), json::decode_untyped(patch)) else { return };
    let _ = merge::apply_value(&original, &modified);
    let _ = merge::have_conflicts(&original, &modified);
    let _ = merge::create_three_way(&original, &modified, &original);
    if original.as_map().is_some() && modified.as_map().is_some() && !has_null(&modified) {
        let patch = merge::create(&original, &modified).unwrap_or_else(Value::map);
        assert_eq!(merge::apply_value(&original, &patch), modified, "{}", json::to_string(&patch));
    }
}

fn has_null(value: &Value) -> bool {
    value.is_null() || value.items().iter().any(has_null) || value.entries().any(|(_, value)| has_null(value))
}

/// A strategic merge patch of an object of a kind, and the patches between two objects.
pub fn strategic_patch(data: &[u8]) {
    let Some(((_, _, ty), rest)) = choose(&KINDS, data) else { return };
    let Some((doc, patch)) = halves(rest) else { return };
    let (Ok(doc), Ok(patch)) = (json::decode_untyped(doc), json::decode_untyped(patch)) else { return };
    let _ = strategic::apply(&doc, &patch, ty);
    if let Ok(between) = strategic::create_two_way(&doc, &patch, ty) {
        let _ = strategic::apply(&doc, &between, ty);
    }
    let _ = strategic::create_three_way(&doc, &patch, &doc, ty, false, &[]);
}

/// Managed fields on update, and server-side apply.
pub fn apply(data: &[u8]) {
    let Some(((api_version, kind, ty), rest)) = choose(&KINDS, data) else { return };
    let Some((live, config)) = halves(rest) else { return };
    let decode = |text| json::decode(text, ty, &DecodeOptions::default());
    let Ok(live) = decode(live) else { return };
    let write =
        Write { ty, api_version, kind, subresource: "", filter: None, now: "2026-01-01T00:00:00Z", convert: None };
    if let Ok(new) = decode(config) {
        let mut new = new.value;
        server_side::update(&write, &live.value, &mut new, "one");
    }
    if let Ok(config) = json::decode_untyped(config) {
        for force in [false, true] {
            if let Ok(applied) = server_side::apply(&write, &live.value, &config, "two", force) {
                let _ = server_side::apply(&write, &applied, &config, "two", true);
            }
        }
    }
}

/// FieldsV1: a set that was read is written to a fixed point, and algebra on it holds.
pub fn fields_v1(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(set) = FieldSet::from_fields_v1(text) else { return };
    let written = set.to_fields_v1();
    let again = FieldSet::from_fields_v1(&written).expect("what is written can be read");
    assert_eq!(again.to_fields_v1(), written);
    assert_eq!(set.union(&set), set);
    assert!(set.difference(&set).is_empty());
    assert!(set.recursive_difference(&set).is_empty());
}
