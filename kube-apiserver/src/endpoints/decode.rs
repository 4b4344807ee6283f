//! Bodies to objects: decode in the media type, check apiVersion and kind, default, turn into the hub version.
//!
//! upstream: endpoints/handlers/{create,rest}.go: transformDecodeError; runtime/serializer
use apimachinery::codec::{json, protobuf, yaml};
use apimachinery::schema::{self, Type};
use apimachinery::status::ApiError;
use apimachinery::structural::Structural;
use apimachinery::value::Value;

use super::negotiation::Media;
use super::options::FieldValidation;
use crate::registry::resource;
use crate::request::{Emptied, Warnings};

/// Before the message when apiVersion and kind cannot be read.
const NO_TYPE: &str = "couldn't get version/kind; json parse error: ";

/// What a body should be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// `group/version`
    pub api_version: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Its type.
    pub schema: &'a Type,
    /// Its schema, if it is a custom resource.
    pub custom: Option<&'a Structural>,
    /// Told if the object has empty lists and maps, which are to be dropped after defaulting; `None` if it may not have any.
    pub emptied: Option<&'a Emptied>,
}

/// A body as a tree of the expected type, normalized, with apiVersion and kind set. Not defaulted.
///
/// # Errors
/// 400 in upstream's words.
pub fn object(
    body: &[u8],
    media: Media,
    expected: Expected<'_>,
    validation: FieldValidation,
    warnings: &Warnings,
) -> Result<Value, ApiError> {
    let strict = validation != FieldValidation::Ignore;
    let decoded = match media {
        Media::Json => from_json(body, body, expected, strict)?,
        Media::Yaml => from_yaml(body, expected, strict)?,
        Media::Protobuf => from_protobuf(body, expected)?,
    };
    match (validation, decoded.strict_errors.is_empty()) {
        (_, true) | (FieldValidation::Ignore, _) => {}
        (FieldValidation::Warn, false) => {
            // what YAML says of several lines is one error, but one warning for each
            let lines =
                decoded.strict_errors.iter().flat_map(|e| e.strip_prefix(YAML_ERRORS).unwrap_or(e).split("\n  "));
            lines.for_each(|line| warnings.add(line));
        }
        (FieldValidation::Strict, false) => {
            let text = format!("strict decoding error: {}", decoded.strict_errors.join(", "));
            return Err(cannot_handle(&decoded.kind, version_of(&decoded.api_version), expected.kind, &text));
        }
    }
    let mut value = decoded.value;
    if decoded.api_version != expected.api_version {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            decoded.api_version, expected.api_version
        )));
    }
    if expected.custom.is_some() {
        value.set("apiVersion", expected.api_version);
        crate::extensions::custom::check_type(&value, expected.api_version, expected.kind)?;
    }
    value.set("apiVersion", expected.api_version);
    value.set("kind", expected.kind);
    Ok(value)
}

/// How the YAML decoder begins to tell what is wrong with single lines.
const YAML_ERRORS: &str = "yaml: unmarshal errors:\n  ";

/// DeleteOptions of a body: of any group version, or without apiVersion and kind.
///
/// # Errors
/// 400 in upstream's words.
pub fn delete_options(body: &[u8], media: Media, api_version: &str) -> Result<Value, ApiError> {
    let schema = schema::kind("v1", "DeleteOptions").expect("the type is in the table");
    let expected = Expected { api_version, kind: "DeleteOptions", schema, custom: None, emptied: None };
    let bad = |why: String| ApiError::bad_request(why);
    let (value, has_version, kind) = match media {
        Media::Protobuf => {
            let envelope = protobuf::Envelope::parse(body).map_err(|e| bad(e.to_string()))?;
            let value = protobuf::decode(envelope.raw, schema).map_err(|e| bad(e.to_string()))?;
            (value, envelope.api_version.to_owned(), envelope.kind.to_owned())
        }
        Media::Json | Media::Yaml => {
            let converted;
            let text = if media == Media::Yaml {
                converted = yaml::to_json(body).map_err(|e| bad(e.to_string()))?;
                &converted
            } else {
                body
            };
            let (version, kind) = json::type_meta(text).map_err(|e| bad(format!("{NO_TYPE}{e}")))?;
            let decoded = json::decode(text, schema, &json::DecodeOptions::default()).map_err(|e| bad(e.to_string()));
            match (kind.as_str(), decoded) {
                ("" | "DeleteOptions", Err(e)) => return Err(e),
                (_, decoded) => (decoded.map(|d| d.value).unwrap_or_default(), version, kind),
            }
        }
    };
    let (has_version, kind) = filled(has_version, kind, expected);
    if kind != "DeleteOptions" {
        return Err(bad(format!(
            "no kind {} is registered for version {} in scheme \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\"",
            apimachinery::quote::quote(&kind),
            apimachinery::quote::quote(&has_version)
        )));
    }
    Ok(value)
}

struct Body {
    value: Value,
    api_version: String,
    kind: String,
    strict_errors: Vec<String>,
}

fn from_json(text: &[u8], original: &[u8], expected: Expected<'_>, strict: bool) -> Result<Body, ApiError> {
    let (api_version, kind) =
        json::type_meta(text).map_err(|e| unrecognized(expected.kind, &format!("{NO_TYPE}{e}"), original))?;
    if kind.is_empty() && expected.custom.is_some() {
        let why = format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(text));
        return Err(unrecognized(expected.kind, &why, original));
    }
    let (api_version, kind) = filled(api_version, kind, expected);
    if let Some(custom) = expected.custom {
        let (value, strict_errors) = crate::extensions::custom::decode(text, custom)
            .map_err(|e| cannot_handle(&kind, version_of(&api_version), expected.kind, &e))?;
        return Ok(Body { value, api_version, kind, strict_errors: if strict { strict_errors } else { Vec::new() } });
    }
    let schema = actual_type(&api_version, &kind, expected)?;
    let keep_empty = expected.emptied.is_some();
    let options = json::DecodeOptions { strict, keep_empty, ..json::DecodeOptions::default() };
    let decoded = json::decode(text, schema, &options)
        .map_err(|e| cannot_handle(&kind, version_of(&api_version), expected.kind, &e.to_string()))?;
    if let Some(emptied) = expected.emptied.filter(|_| decoded.kept_empty) {
        emptied.kept();
    }
    Ok(Body { value: decoded.value, api_version, kind, strict_errors: decoded.strict_errors })
}

fn from_yaml(text: &[u8], expected: Expected<'_>, strict: bool) -> Result<Body, ApiError> {
    let parsed = yaml::parse(text).map_err(|e| unrecognized(expected.kind, &e.to_string(), text))?;
    let mut converted = Vec::new();
    json::encode_untyped(&parsed.value, &mut converted);
    let mut body = from_json(&converted, text, expected, strict)?;
    if strict {
        body.strict_errors.splice(0..0, parsed.duplicates());
    }
    Ok(body)
}

fn from_protobuf(bytes: &[u8], expected: Expected<'_>) -> Result<Body, ApiError> {
    if bytes.is_empty() {
        return Err(unrecognized(expected.kind, "empty data", bytes));
    }
    if !bytes.starts_with(protobuf::MAGIC) {
        let why = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";
        return Err(unrecognized(expected.kind, why, bytes));
    }
    let envelope = protobuf::Envelope::parse(bytes).map_err(|e| unrecognized(expected.kind, &e.to_string(), bytes))?;
    let (api_version, kind) = filled(envelope.api_version.to_owned(), envelope.kind.to_owned(), expected);
    let schema = actual_type(&api_version, &kind, expected)?;
    let value = protobuf::decode(envelope.raw, schema)
        .map_err(|e| cannot_handle(&kind, version_of(&api_version), expected.kind, &e.to_string()))?;
    Ok(Body { value, api_version, kind, strict_errors: Vec::new() })
}

/// What the body leaves out is what is expected.
fn filled(api_version: String, kind: String, expected: Expected<'_>) -> (String, String) {
    let kind = if kind.is_empty() { expected.kind.to_owned() } else { kind };
    let api_version = if api_version.is_empty() { expected.api_version.to_owned() } else { api_version };
    (api_version, kind)
}

/// The type of the body. Another kind than expected is refused.
fn actual_type<'a>(api_version: &str, kind: &str, expected: Expected<'a>) -> Result<&'a Type, ApiError> {
    if kind == expected.kind && api_version == expected.api_version {
        return Ok(expected.schema);
    }
    let version = version_of(api_version);
    let known = schema::kind(api_version, kind);
    if kind == expected.kind && known.is_some() {
        // another version of the same kind: refused by the caller, with the message for that
        return Ok(expected.schema);
    }
    if known.is_none() {
        let text = format!(
            "no kind {} is registered for version {} in scheme {}",
            apimachinery::quote::quote(kind),
            apimachinery::quote::quote(api_version),
            apimachinery::quote::quote(resource::scheme_of(expected.api_version))
        );
        return Err(cannot_handle(kind, version, expected.kind, &text));
    }
    let text = format!(
        "converting ({}) to ({}): unknown conversion",
        go_name(api_version, kind),
        internal_name(expected.api_version, expected.kind)
    );
    Err(cannot_handle(kind, version, expected.kind, &text))
}

/// The name of the Go type that all versions of a kind are converted to.
pub fn internal_name(api_version: &str, kind: &str) -> String {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let package = match group {
        "" | "events.k8s.io" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        other => other.split('.').next().unwrap_or(other),
    };
    format!("{package}.{kind}")
}

/// The name of a versioned Go type.
pub fn go_name(api_version: &str, kind: &str) -> String {
    format!("{}.{kind}", version_of(api_version))
}

fn version_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or(api_version, |(_, version)| version)
}

fn cannot_handle(kind: &str, version: &str, expected: &str, why: &str) -> ApiError {
    let version = apimachinery::quote::quote(version);
    ApiError::bad_request(format!("{kind} in version {version} cannot be handled as a {expected}: {why}"))
}

fn unrecognized(expected: &str, why: &str, body: &[u8]) -> ApiError {
    let summary = summary(body);
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {expected}): {why} ({summary})"
    ))
}

/// The beginning of a body: text if it looks like JSON, else hexadecimal.
fn summary(body: &[u8]) -> String {
    const MAX: usize = 30;
    let shown = &body[..body.len().min(MAX)];
    let text = match body.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(shown).into_owned(),
        Some(_) => shown.iter().map(|b| format!("{b:02x}")).collect(),
    };
    if body.len() > MAX { format!("{text} ...") } else { text }
}
