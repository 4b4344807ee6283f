//! The codecs this crate uses, under one roof: JSON and YAML text to values and back.

use apimachinery::codec::{json, yaml};
use apimachinery::schema::Type;
use apimachinery::value::Value;

/// Reads JSON.
pub fn decode_json(text: &[u8]) -> anyhow::Result<Value> {
    Ok(json::decode_untyped(text)?)
}

/// Writes compact JSON, keys sorted.
pub fn encode_json(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    json::encode_untyped(value, &mut out);
    out
}

/// Writes compact JSON as the Go type does.
pub fn encode_typed(value: &Value, ty: &Type) -> Vec<u8> {
    let mut out = Vec::new();
    json::encode(value, ty, &mut out);
    out
}

/// Reads one YAML (or JSON) document.
pub fn decode_yaml(text: &[u8]) -> anyhow::Result<Value> {
    Ok(yaml::decode_untyped(text)?)
}

/// Writes YAML as Go's sigs.k8s.io/yaml.
pub fn encode_yaml(value: &Value) -> String {
    yaml::encode(value)
}
