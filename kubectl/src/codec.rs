//! The codecs this crate uses, under one roof: JSON and YAML text to values and back.

use apimachinery::value::Value;

/// Reads JSON.
pub fn decode_json(text: &[u8]) -> anyhow::Result<Value> {
    Ok(Value::from(serde_json::from_slice::<serde_json::Value>(text)?))
}

/// Writes compact JSON, keys sorted.
pub fn encode_json(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a tree")
}

/// Reads one YAML (or JSON) document.
pub fn decode_yaml(text: &[u8]) -> anyhow::Result<Value> {
    Ok(Value::from(serde_yaml::from_slice::<serde_json::Value>(text)?))
}

/// Writes YAML as Go's sigs.k8s.io/yaml.
pub fn encode_yaml(value: &Value) -> String {
    serde_yaml::to_string(value).expect("a tree")
}
