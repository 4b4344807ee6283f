//! Dynamic resource allocation: device classes, claims, claim templates and slices.
//!
//! What is absent: the limit of a selector's cost is not checked.
//! upstream: pkg/registry/resource, pkg/apis/resource/validation/validation.go

mod claims;
mod slices;
mod status;

pub use claims::{ClaimTemplates, Claims, DeviceClasses};
pub use slices::Slices;

use std::collections::BTreeSet;

use apimachinery::field::{Errors, Path};
use apimachinery::names;
use apimachinery::selector::label::validate_label_name;
use apimachinery::value::Cursor;

use crate::registry::storage_group::driver_name;
use crate::registry::validation::named;

const LONGEST_JSON: usize = 10 * 1024;

/// upstream: validatePoolName
fn pool_name(place: Cursor<'_>, errs: &mut Errors) {
    const LONGEST: usize = 253;
    let name = place.str();
    if name.is_empty() {
        return errs.required(place, "");
    }
    if name.len() > LONGEST {
        errs.too_long(place, LONGEST);
    }
    for part in name.split('/') {
        errs.invalid_each(place, part, names::dns1123_subdomain(part));
    }
}

/// upstream: validateUID
fn uid(place: Cursor<'_>, errs: &mut Errors) {
    let text = place.str();
    if let Err(error) = go_uuid(text) {
        errs.invalid(place, text, format!("error validating uid: {error}"));
    } else if text.len() != 36 || text != text.to_lowercase() {
        let detail = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase \
                      hexadecimal characters";
        errs.invalid(place, text, detail);
    }
}

/// The forms that Go's library takes, and its words for the others.
fn go_uuid(text: &str) -> Result<(), String> {
    let body = match text.len() {
        36 => text,
        32 => {
            let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
            return if hex { Ok(()) } else { Err("invalid UUID format".to_owned()) };
        }
        38 => match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            Some(body) => body,
            None => return Err("invalid bracketed UUID format".to_owned()),
        },
        45 => match text.get(..9) {
            Some(prefix) if prefix.eq_ignore_ascii_case("urn:uuid:") => &text[9..],
            _ => return Err(format!("invalid urn prefix: {:?}", text.get(..9).unwrap_or_default())),
        },
        length => return Err(format!("invalid UUID length: {length}")),
    };
    let fits = |(i, b): (usize, u8)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() };
    if body.bytes().enumerate().all(fits) { Ok(()) } else { Err("invalid UUID format".to_owned()) }
}

/// Embedded JSON that must be an object.
/// upstream: validateRawExtension
fn json_object(place: Cursor<'_>, stored: bool, errs: &mut Errors) {
    let length = place.value().as_raw().map_or(0, str::len);
    let mut tree = place.value().clone();
    tree.expand_raw();
    if !stored && length > LONGEST_JSON {
        errs.too_long(place, LONGEST_JSON);
    } else if tree.is_null() {
        errs.required(place, "");
    } else if tree.as_map().is_none() {
        errs.invalid(place, "<value omitted>", "must be a valid JSON object");
    }
}

/// Checks each element unless there are too many of them.
/// upstream: validateSlice
fn each(list: Cursor<'_>, most: usize, mut check: impl FnMut(Cursor<'_>, &mut Errors), errs: &mut Errors) -> bool {
    if list.len() > most {
        errs.too_many(list, list.len(), most);
        return false;
    }
    list.list().for_each(|item| check(item, errs));
    true
}

/// As [`each`], and no two may have the same key.
/// upstream: validateSet
fn each_unique<'a>(
    list: Cursor<'a>,
    most: usize,
    key: impl Fn(Cursor<'a>) -> String,
    check: impl FnMut(Cursor<'_>, &mut Errors),
    errs: &mut Errors,
) {
    if !each(list, most, check, errs) {
        return;
    }
    let mut seen = BTreeSet::new();
    for item in list.list() {
        let key = key(item);
        if !seen.insert(key.clone()) {
            errs.duplicate(item, key);
        }
    }
}

/// The names of requests that may be referred to, `request` and `request/subrequest`.
fn request_names(devices: Cursor<'_>) -> BTreeSet<String> {
    let requests = devices.field("requests").list();
    let names = requests.flat_map(|request| {
        let name = request.field("name").str().to_owned();
        let parts = request.field("firstAvailable").list();
        let parts: Vec<String> = parts.map(|part| format!("{name}/{}", part.field("name").str())).collect();
        std::iter::once(name).chain(parts)
    });
    names.collect()
}

/// upstream: validateRequestNameRef
fn request_reference(place: Cursor<'_>, known: &BTreeSet<String>, errs: &mut Errors) {
    const UNKNOWN: &str =
        "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    let segments: Vec<&str> = place.str().split('/').collect();
    if segments.len() <= 2 {
        for segment in &segments {
            errs.invalid_each(place, *segment, names::dns1123_label(segment));
        }
    }
    if segments.len() > 2 || !known.contains(place.str()) {
        errs.invalid(place, place.str(), UNKNOWN);
    }
}

/// The opaque parameters of a driver.
/// upstream: validateDeviceConfiguration
fn configuration(config: Cursor<'_>, stored: bool, errs: &mut Errors) {
    let opaque = config.field("opaque");
    if !opaque.exists() {
        return errs.required(opaque, "");
    }
    driver_name(opaque.field("driver"), opaque.field("driver").str(), errs);
    json_object(opaque.field("parameters"), stored, errs);
}

/// upstream: validateDeviceBindingParameters
fn binding_conditions(device: Cursor<'_>, errs: &mut Errors) {
    const MOST: usize = 4;
    let (bound, failed) = (device.field("bindingConditions"), device.field("bindingFailureConditions"));
    each(bound, MOST, validate_label_name, errs);
    each(failed, MOST, validate_label_name, errs);
    let mut seen = BTreeSet::new();
    for condition in bound.list().filter(|c| !seen.insert(c.str())) {
        errs.duplicate(condition, condition.str());
    }
    let mut seen_failures = BTreeSet::new();
    for condition in failed.list() {
        if !seen_failures.insert(condition.str()) {
            errs.duplicate(condition, condition.str());
        }
        if seen.contains(condition.str()) {
            let detail = "bindingFailureConditions must not overlap with bindingConditions";
            errs.invalid(condition, condition.str(), detail);
        }
    }
    for (one, other, names) in [
        (bound, failed, ("bindingConditions", "bindingFailureConditions")),
        (failed, bound, ("bindingFailureConditions", "bindingConditions")),
    ] {
        if one.is_empty() && !other.is_empty() {
            errs.invalid(
                one,
                crate::registry::validation::shown(one.value()),
                format!("{} are required to use {}", names.0, names.1),
            );
        }
    }
}

const TAINT_EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];

/// upstream: validateQualifiedName
fn attribute_name(path: impl Into<Path>, name: &str, errs: &mut Errors) {
    let path = path.into();
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        [id] => c_identifier(&path, id, errs),
        [domain, id] => {
            if domain.is_empty() {
                errs.invalid(&path, "", "the domain must not be empty");
            } else {
                driver_name(&path, domain, errs);
            }
            if id.is_empty() {
                errs.invalid(&path, "", "the name must not be empty");
            } else {
                c_identifier(&path, id, errs);
            }
        }
        _ => {} // upstream does not look at these
    }
}

fn c_identifier(path: &Path, id: &str, errs: &mut Errors) {
    const LONGEST: usize = 32;
    if id.len() > LONGEST {
        errs.too_long(path, LONGEST);
    }
    errs.invalid_each(path, id, names::c_identifier(id));
}

fn label_value(place: Cursor<'_>, errs: &mut Errors) {
    named(place, names::label_value, errs);
}

#[cfg(test)]
mod tests;
