//! ConfigMaps and Secrets.
//! upstream: pkg/registry/core/{configmap,secret}, pkg/apis/core/validation/validation.go, pkg/apis/core/v1/conversion.go

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::{Cursor, Value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{immutable, metadata};

/// The strategy of ConfigMaps.
pub struct ConfigMaps;
/// The strategy of Secrets.
pub struct Secrets;

/// Most bytes that the values of one object may have together.
const SIZE_LIMIT: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";

impl Strategy for ConfigMaps {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        config_map(obj, errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        frozen(obj, old, &["data", "binaryData"], errs);
        metadata(obj.field("metadata"), true, names::dns1123_subdomain, errs);
        config_map(obj, errs);
    }
}

fn config_map(obj: Cursor<'_>, errs: &mut Errors) {
    let mut size = 0;
    for (key, value) in obj.field("data").map() {
        errs.invalid_each(value, key, names::config_map_key(key));
        if obj.field("binaryData").key(key).exists() {
            errs.invalid(value, key, "duplicate of key present in binaryData");
        }
        size += value.str().len();
    }
    for (key, value) in obj.field("binaryData").map() {
        errs.invalid_each(value, key, names::config_map_key(key));
        size += decoded_len(value.str());
    }
    if size > SIZE_LIMIT {
        // Upstream gives no name here.
        errs.too_long("[]", SIZE_LIMIT);
    }
}

/// What an object that says it is immutable must keep.
fn frozen(obj: Cursor<'_>, old: Cursor<'_>, fields: &[&'static str], errs: &mut Errors) {
    if !old.field("immutable").bool() {
        return;
    }
    if !obj.field("immutable").bool() {
        errs.forbidden(obj.field("immutable"), FROZEN);
    }
    for field in fields {
        if obj.field(field).value() != old.field(field).value() {
            errs.forbidden(obj.field(field), FROZEN);
        }
    }
}

/// The length in bytes of what base64 text stands for.
fn decoded_len(text: &str) -> usize {
    text.len() / 4 * 3 - text.bytes().rev().take_while(|b| *b == b'=').count()
}

impl Strategy for Secrets {
    fn default(&self, obj: &mut Value) {
        merge_string_data(obj);
        crate::registry::defaulting::apply_to_object(obj);
    }

    fn prepare_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        if obj.get("type").is_zero() {
            obj.set("type", old.get("type").clone());
        }
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        secret(obj, errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        immutable(obj.field("type"), old.field("type"), errs);
        frozen(obj, old, &["data"], errs);
        metadata(obj.field("metadata"), true, names::dns1123_subdomain, errs);
        secret(obj, errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        tls_warning(obj).into_iter().collect()
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>) -> Vec<String> {
        tls_warning(obj).into_iter().collect()
    }
}

/// What Go's TLS says of a certificate and key that are none. Whether they belong together is not looked at.
fn tls_warning(obj: Cursor<'_>) -> Option<String> {
    if obj.field("type").str() != "kubernetes.io/tls" {
        return None;
    }
    let labels = |key: &str| pem_labels(&STANDARD.decode(obj.field("data").key(key).str()).unwrap_or_default());
    let (certificates, keys) = (labels("tls.crt"), labels("tls.key"));
    let skipped = |labels: &[String]| {
        let quoted: Vec<&str> = labels.iter().map(String::as_str).collect();
        format!("[{}]", quoted.join(" "))
    };
    if certificates.is_empty() {
        return Some("tls: failed to find any PEM data in certificate input".to_owned());
    }
    if !certificates.iter().any(|label| label == "CERTIFICATE") {
        if certificates.len() == 1 && certificates[0].ends_with("PRIVATE KEY") {
            return Some("tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched".to_owned());
        }
        let found = skipped(&certificates);
        return Some(format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: {found}"
        ));
    }
    if keys.is_empty() {
        return Some("tls: failed to find any PEM data in key input".to_owned());
    }
    if !keys.iter().any(|label| label == "PRIVATE KEY" || label.ends_with(" PRIVATE KEY")) {
        if keys.len() == 1 && keys[0] == "CERTIFICATE" {
            return Some("tls: found a certificate rather than a key in the PEM for the private key".to_owned());
        }
        let found = skipped(&keys);
        return Some(format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: {found}"
        ));
    }
    None
}

/// The labels of the PEM blocks of a text.
fn pem_labels(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let begins = text.lines().filter_map(|line| line.strip_prefix("-----BEGIN ")?.trim_end().strip_suffix("-----"));
    begins.filter(|label| text.contains(&format!("-----END {label}-----"))).map(str::to_owned).collect()
}

/// `stringData` is for writing only: its entries go into `data`.
fn merge_string_data(obj: &mut Value) {
    if let Some(strings) = obj.remove("stringData") {
        for (key, value) in strings.entries() {
            obj.field_mut("data").set(key, STANDARD.encode(value.str_or_empty()));
        }
    }
}

fn secret(obj: Cursor<'_>, errs: &mut Errors) {
    let data = obj.field("data");
    let mut size = 0;
    for (key, value) in data.map() {
        errs.invalid_each(value, key, names::config_map_key(key));
        size += decoded_len(value.str());
    }
    if size > SIZE_LIMIT {
        errs.too_long(data, SIZE_LIMIT);
    }
    let needs = |key: &'static str, errs: &mut Errors| {
        if !data.value().has(key) {
            errs.required(data.key(key), "");
        }
    };
    match obj.field("type").str() {
        "kubernetes.io/service-account-token" => {
            let account = obj.field("metadata").field("annotations").key("kubernetes.io/service-account.name");
            if account.is_empty() {
                errs.required(account, "");
            }
        }
        "kubernetes.io/dockercfg" => docker_config(data, ".dockercfg", errs),
        "kubernetes.io/dockerconfigjson" => docker_config(data, ".dockerconfigjson", errs),
        "kubernetes.io/basic-auth" if !data.value().has("username") && !data.value().has("password") => {
            needs("username", errs);
            needs("password", errs);
        }
        "kubernetes.io/ssh-auth" if data.field("ssh-privatekey").is_empty() => {
            errs.required(data.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => {
            needs("tls.crt", errs);
            needs("tls.key", errs);
        }
        _ => {}
    }
}

fn docker_config(data: Cursor<'_>, key: &'static str, errs: &mut Errors) {
    let place = data.key(key);
    if !data.value().has(key) {
        errs.required(place, "");
        return;
    }
    let bytes = STANDARD.decode(place.str()).unwrap_or_default();
    if let Err(error) = go_json_object(&bytes) {
        errs.invalid(place, "<secret contents redacted>", error);
    }
}

/// What Go's decoder says of bytes that are no JSON.
pub(super) fn go_json(bytes: &[u8]) -> Result<serde_json::Value, String> {
    serde_json::from_slice::<serde_json::Value>(bytes).map_err(|error| {
        if error.is_eof() {
            return "unexpected end of JSON input".to_owned();
        }
        let at = bytes.get(error.column().saturating_sub(1)).copied().unwrap_or(b' ');
        format!("invalid character '{}' looking for beginning of value", char::from(at).escape_debug())
    })
}

/// What Go's decoder says of bytes that are no JSON object.
fn go_json_object(bytes: &[u8]) -> Result<(), String> {
    let kind = match go_json(bytes)? {
        serde_json::Value::Object(_) | serde_json::Value::Null => return Ok(()),
        serde_json::Value::String(_) => "string",
        serde_json::Value::Number(_) => "number",
        serde_json::Value::Bool(_) => "bool",
        serde_json::Value::Array(_) => "array",
    };
    Err(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
}
