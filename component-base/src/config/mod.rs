//! Configuration files: YAML or JSON, one kind each. Unknown and repeated fields are refused, or told and passed over,
//! as the daemon's format says.
//!
//! Flags that were set win over the file: the caller applies them after [`load`].
//! Upstream: apimachinery/pkg/runtime/serializer/json, component-base/codec.

mod decode;
mod duration;

use std::path::Path;

use apimachinery::codec::{json, yaml};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{PathError, read_file};

pub use decode::{DecodeError, decode};
pub use duration::GoDuration;

/// A kind of configuration file.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// apiVersions that are read.
    pub versions: &'static [&'static str],
    /// Its kind.
    pub kind: &'static str,
    /// The scheme that upstream names in errors.
    pub scheme: &'static str,
    /// What strict decoding finds is a message, not an error.
    pub lenient: bool,
}

/// Why a configuration file is refused, in upstream's words.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] PathError),
    /// It is neither YAML nor JSON, or does not say what it is.
    #[error("{0}")]
    Syntax(String),
    /// It is of another kind.
    #[error("no kind {kind:?} is registered for version {version:?} in scheme {scheme:?}")]
    Kind {
        /// What it says it is.
        kind: String,
        /// Of which version.
        version: String,
        /// Where it is not registered.
        scheme: &'static str,
    },
    /// A field is of a wrong type.
    #[error(transparent)]
    Type(#[from] DecodeError),
    /// Fields are unknown or repeated.
    #[error("strict decoding error: {0}")]
    Strict(String),
}

/// Reads a configuration file. `T` defaults the fields that the file leaves open; `apiVersion` and `kind` are taken out before.
///
/// # Errors
/// See [`ConfigError`].
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>, format: &Format) -> Result<T, ConfigError> {
    parse(&read_file(path)?, format)
}

/// As [`load`], from text.
///
/// # Errors
/// See [`ConfigError`].
pub fn parse<T: DeserializeOwned>(text: &[u8], format: &Format) -> Result<T, ConfigError> {
    parse_and(text, format, |_| Ok(Vec::new()))
}

/// As [`parse`], with more strict errors that a look at the configuration finds (objects inside it that are decoded later).
///
/// # Errors
/// See [`ConfigError`].
pub fn parse_and<T: DeserializeOwned>(
    text: &[u8],
    format: &Format,
    more: impl FnOnce(&T) -> Result<Vec<String>, DecodeError>,
) -> Result<T, ConfigError> {
    let (mut value, mut strict) = tree(text)?;
    check_kind(text, &value, format)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    let (config, unknown) = decode(&value)?;
    strict.extend(unknown);
    strict.extend(more(&config)?);
    if !strict.is_empty() {
        let error = ConfigError::Strict(strict.join(", "));
        if !format.lenient {
            return Err(error);
        }
        tracing::info!(err = %error, "Using lenient decoding as strict decoding failed");
    }
    Ok(config)
}

/// The file as a tree, and keys that occur twice.
fn tree(text: &[u8]) -> Result<(Value, Vec<String>), ConfigError> {
    let is_json = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if is_json && let Ok(decoded) = json::decode_strict_untyped(text) {
        return Ok((plain(&decoded.value)?, decoded.strict_errors));
    }
    let parsed = yaml::parse(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
    Ok((plain(&parsed.value)?, parsed.duplicates().into_iter().collect()))
}

fn plain(value: &apimachinery::value::Value) -> Result<Value, ConfigError> {
    apimachinery::value::from_value(value).map_err(|error| ConfigError::Syntax(error.to_string()))
}

fn check_kind(text: &[u8], value: &Value, format: &Format) -> Result<(), ConfigError> {
    let as_json = serde_json::to_vec(value).unwrap_or_default();
    let (version, kind) = json::type_meta(&as_json)
        .map_err(|error| ConfigError::Syntax(format!("couldn't get version/kind; json parse error: {error}")))?;
    let shown = String::from_utf8_lossy(text);
    if kind.is_empty() {
        return Err(ConfigError::Syntax(format!("Object 'Kind' is missing in '{shown}'")));
    }
    if version.is_empty() {
        return Err(ConfigError::Syntax(format!("Object 'apiVersion' is missing in '{shown}'")));
    }
    if kind != format.kind || !format.versions.contains(&version.as_str()) {
        return Err(ConfigError::Kind { kind, version, scheme: format.scheme });
    }
    Ok(())
}

/// YAML as Go reads it (octal `0644`), as a JSON value; repeated keys are an error.
///
/// # Errors
/// The parser's.
pub fn parse_yaml(text: &str) -> Result<Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    serde_saphyr::from_str_with_options(text, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(rename_all = "camelCase", rename = "Sample", default)]
    struct Sample {
        bind_address: String,
        mode: u32,
    }

    const STRICT: Format = Format { versions: &["a/v1"], kind: "Sample", scheme: "here.go:1", lenient: false };

    fn read(text: &str) -> Result<Sample, String> {
        parse(text.as_bytes(), &STRICT).map_err(|error| error.to_string())
    }

    #[test]
    fn good_files() {
        let sample = read("apiVersion: a/v1\nkind: Sample\nbindAddress: x\nmode: 0644\n").expect("good");
        assert_eq!(sample, Sample { bind_address: "x".into(), mode: 420 });
        assert_eq!(read(r#"{"apiVersion":"a/v1","kind":"Sample","mode":1}"#).expect("good").mode, 1);
        let lenient = Format { lenient: true, ..STRICT };
        let text = b"apiVersion: a/v1\nkind: Sample\nmode: 1\nmode: 2\nfoo: 1\n";
        assert_eq!(parse::<Sample>(text, &lenient).expect("lenient").mode, 2);
    }

    #[test]
    fn bad_files() {
        let head = "apiVersion: a/v1\nkind: Sample\n";
        for (text, message) in [
            (format!("{head}nope: 1\n"), "strict decoding error: unknown field \"nope\""),
            (
                format!("{head}mode: 1\nmode: 2\nfoo: 1\n"),
                "strict decoding error: yaml: unmarshal errors:\n  line 4: key \"mode\" already set in map, unknown field \"foo\"",
            ),
            (
                r#"{"apiVersion":"a/v1","kind":"Sample","mode":1,"mode":2}"#.to_owned(),
                "strict decoding error: duplicate field \"mode\"",
            ),
            (
                "apiVersion: b/v1\nkind: Sample\n".to_owned(),
                "no kind \"Sample\" is registered for version \"b/v1\" in scheme \"here.go:1\"",
            ),
            ("kind: Sample\n".to_owned(), "Object 'apiVersion' is missing in 'kind: Sample\n'"),
            ("a: b\n".to_owned(), "Object 'Kind' is missing in 'a: b\n'"),
            ("a: [".to_owned(), "yaml: line 1: did not find expected node content"),
            (
                format!("{head}mode: a\n"),
                "json: cannot unmarshal string into Go struct field Sample.mode of type uint32",
            ),
        ] {
            assert_eq!(read(&text).expect_err(message), message, "{text}");
        }
        let missing = load::<Sample>("/nope", &STRICT).expect_err("no file");
        assert_eq!(missing.to_string(), "open /nope: no such file or directory");
    }
}
