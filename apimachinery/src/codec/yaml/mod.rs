//! YAML as Kubernetes reads and writes it: the YAML 1.1 of Go's yaml v2 library (`0644` is 420, `yes` is true, `<<` merges), by way of JSON
//! values. Corresponds to sigs.k8s.io/yaml. The syntax is parsed by the granit-parser crate, which only this module names.

mod compose;
mod documents;
mod emit;
mod resolve;

use super::json::{self, DecodeError, DecodeOptions, Decoded};
use crate::schema::Type;
use crate::value::Value;

pub use compose::{YamlError, parse};
pub use documents::documents;
pub use emit::encode;

/// Why YAML could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum YamlDecodeError {
    /// No YAML.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// YAML that does not fit the type.
    #[error(transparent)]
    Json(#[from] DecodeError),
}

/// Converts one document to JSON text.
pub fn to_json(text: &[u8]) -> Result<Vec<u8>, YamlError> {
    let mut out = Vec::new();
    json::encode_untyped(&parse(text)?.value, &mut out);
    Ok(out)
}

/// Decodes one document as a value of a type. In strict mode keys that occur twice are among the strict errors.
pub fn decode(text: &[u8], ty: &Type, options: &DecodeOptions) -> Result<Decoded, YamlDecodeError> {
    let parsed = parse(text)?;
    let mut json = Vec::new();
    json::encode_untyped(&parsed.value, &mut json);
    let mut decoded = json::decode(&json, ty, options)?;
    if options.strict {
        decoded.strict_errors.splice(0..0, parsed.duplicates());
    }
    Ok(decoded)
}

/// Decodes one document without a schema.
pub fn decode_untyped(text: &[u8]) -> Result<Value, YamlError> {
    Ok(parse(text)?.value)
}

/// Converts JSON text, which must be valid, to YAML.
pub fn from_json(json: &[u8]) -> Result<String, DecodeError> {
    Ok(encode(&json::decode_untyped(json)?))
}
