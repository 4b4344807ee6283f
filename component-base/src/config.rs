//! Configuration files: YAML or JSON, one kind each, read strictly (an unknown or repeated field is an error), or leniently where
//! upstream does so.
//!
//! Flags that were set win over the file: the caller applies them after [`load`].

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a configuration file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("failed to read config file {path:?}")]
    Read {
        /// The file.
        path: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// It is neither YAML nor JSON.
    #[error("failed to parse {0:?}")]
    Syntax(String, #[source] Box<serde_saphyr::Error>),
    /// It is of another kind.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    Kind {
        /// What it says it is.
        kind: String,
        /// Of which version.
        api_version: String,
    },
    /// A field is unknown, repeated or of a wrong type.
    #[error("strict decoding error")]
    Strict(#[source] serde_json::Error),
}

/// Reads a configuration file of the given apiVersions and kind. `T` should deny unknown fields and default the others;
/// `apiVersion` and `kind` are taken out before.
///
/// # Errors
/// See [`ConfigError`].
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>, api_versions: &[&str], kind: &str) -> Result<T, ConfigError> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.display().to_string(), source })?;
    parse(&text, &path.display().to_string(), api_versions, kind)
}

/// As [`load`], from text; `name` is used in errors.
///
/// # Errors
/// See [`ConfigError`].
pub fn parse<T: DeserializeOwned>(text: &str, name: &str, api_versions: &[&str], kind: &str) -> Result<T, ConfigError> {
    serde_json::from_value(header_checked(text, name, api_versions, kind)?).map_err(ConfigError::Strict)
}

/// The fields of a file whose version and kind are right.
fn header_checked(text: &str, name: &str, api_versions: &[&str], kind: &str) -> Result<Value, ConfigError> {
    let mut value = parse_yaml(text).map_err(|error| ConfigError::Syntax(name.to_owned(), Box::new(error)))?;
    let mut take = |key: &str| {
        let taken = value.as_object_mut().and_then(|map| map.remove(key));
        taken.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let (found_version, found_kind) = (take("apiVersion"), take("kind"));
    if found_kind != kind || !api_versions.contains(&found_version.as_str()) {
        return Err(ConfigError::Kind { kind: found_kind, api_version: found_version });
    }
    Ok(value)
}

/// As [`load`], but an unknown field is told and passed over, as upstream does with its older kinds. Fields are known by what
/// a `T` of defaults is written with; a map that is empty there holds any keys.
///
/// # Errors
/// See [`ConfigError`].
pub fn load_lenient<T>(path: impl AsRef<Path>, api_versions: &[&str], kind: &str) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Serialize + Default,
{
    let path = path.as_ref();
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: name.clone(), source })?;
    let mut value = header_checked(&text, &name, api_versions, kind)?;
    let known = serde_json::to_value(T::default()).unwrap_or_default();
    for field in remove_unknown(&mut value, &known) {
        tracing::warn!(path = name, field, "unknown field of the configuration is ignored");
    }
    serde_json::from_value(value).map_err(ConfigError::Strict)
}

/// Takes out what `known` does not have; answers the paths of it.
fn remove_unknown(value: &mut Value, known: &Value) -> Vec<String> {
    let (Value::Object(fields), Value::Object(known)) = (value, known) else { return Vec::new() };
    if known.is_empty() {
        return Vec::new();
    }
    let mut removed: Vec<String> = fields.keys().filter(|name| !known.contains_key(*name)).cloned().collect();
    fields.retain(|name, _| known.contains_key(name));
    for (name, inner) in fields {
        removed.extend(remove_unknown(inner, &known[name]).into_iter().map(|inner| format!("{name}.{inner}")));
    }
    removed
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
    #[serde(rename_all = "camelCase", default, deny_unknown_fields)]
    struct Sample {
        bind_address: String,
        mode: u32,
    }

    fn read(text: &str) -> Result<Sample, String> {
        parse(text, "x", &["a/v1"], "Sample").map_err(|error| crate::error::Chain(&error).to_string())
    }

    #[test]
    fn strict() {
        let sample = read("apiVersion: a/v1\nkind: Sample\nbindAddress: x\nmode: 0644\n").expect("good");
        assert_eq!(sample, Sample { bind_address: "x".into(), mode: 420 });
        assert!(
            read("apiVersion: a/v1\nkind: Sample\nnope: 1\n").expect_err("unknown").contains("unknown field `nope`")
        );
        assert_eq!(
            read("apiVersion: b/v1\nkind: Sample\n").expect_err("kind"),
            "no kind \"Sample\" is registered for version \"b/v1\""
        );
        assert!(read("apiVersion: a/v1\nkind: Sample\nmode: 1\nmode: 2\n").is_err());
    }
}
