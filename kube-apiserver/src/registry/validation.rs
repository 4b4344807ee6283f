//! Rules that many validations are made of: one line each where they are used.

use apimachinery::field::{BadValue, Errors};
use apimachinery::names;
use apimachinery::value::{Cursor, Value};

use crate::registry::strategy::RequestContext;

/// The metadata of an object that is created, for kinds that check it themselves.
/// upstream: pkg/apis/core/validation/validation.go: ValidateObjectMeta
pub fn metadata(meta: Cursor<'_>, namespaced: bool, rule: names::Rule, errs: &mut Errors) {
    apimachinery::object_meta::validate(meta, namespaced, rule, errs);
    finalizer_names(meta, errs);
}

/// A change of the metadata, for kinds that check it themselves.
/// upstream: pkg/apis/core/validation/validation.go: ValidateObjectMetaUpdate
pub fn metadata_update(meta: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    apimachinery::object_meta::validate_update(meta, old, errs);
    finalizer_names(meta, errs);
}

/// The metadata of a changed object once more, for kinds that check a change as they check a new object, and then as a
/// change.
pub fn metadata_again(cx: &RequestContext, obj: Cursor<'_>, rule: names::Rule, errs: &mut Errors) {
    metadata(obj.field("metadata"), cx.resource.namespaced, rule, errs);
}

/// The metadata of a template: labels and annotations, and nothing else.
/// upstream: pkg/apis/core/validation/validation.go: ValidateTemplateObjectMeta
pub fn template_metadata(meta: Cursor<'_>, errs: &mut Errors) {
    // with the paths that upstream makes of the names of the Go fields
    const REFUSED: [(&str, &str); 12] = [
        ("name", "name"),
        ("generateName", "generateName"),
        ("namespace", "namespace"),
        ("selfLink", "selfLink"),
        ("uid", "uID"),
        ("resourceVersion", "resourceVersion"),
        ("generation", "generation"),
        ("creationTimestamp", "creationTimestamp"),
        ("deletionTimestamp", "deletionTimestamp"),
        ("deletionGracePeriodSeconds", "deletionGracePeriodSeconds"),
        ("ownerReferences", "ownerReferences"),
        ("finalizers", "finalizers"),
    ];
    apimachinery::object_meta::validate_annotations(meta.field("annotations"), errs);
    apimachinery::selector::label::validate_labels(meta.field("labels"), errs);
    for (name, shown) in REFUSED {
        let place = meta.field(name);
        if place.exists() && (place.value().as_i64().is_some() || !place.is_empty()) {
            errs.forbidden(meta.path().child(shown), "cannot be set");
        }
    }
}

/// Kinds of Kubernetes itself take well-known finalizers and qualified ones only.
/// upstream: pkg/apis/core/validation/validation.go: validateKubeFinalizerName
pub fn finalizer_names(meta: Cursor<'_>, errs: &mut Errors) {
    for name in meta.field("finalizers").list() {
        let text = name.str();
        if !text.contains('/') && !matches!(text, "kubernetes" | "orphan" | "foregroundDeletion") {
            errs.invalid(name, text, "name is neither a standard finalizer name nor is it fully qualified");
        }
    }
}

/// Complains about an absent or zero value.
pub fn required(place: Cursor<'_>, errs: &mut Errors) {
    if place.is_empty() {
        errs.required(place, "");
    }
}

/// Complains about a value that is not one of `allowed`, which is in the order that the message shows.
pub fn one_of(place: Cursor<'_>, allowed: &[&str], errs: &mut Errors) {
    if !allowed.contains(&place.str()) {
        errs.not_supported(place, place.str(), allowed);
    }
}

/// As [`one_of`], but an absent value is allowed.
pub fn none_or_one_of(place: Cursor<'_>, allowed: &[&str], errs: &mut Errors) {
    if place.exists() {
        one_of(place, allowed, errs);
    }
}

/// As [`one_of`], but an absent value is told as missing.
pub fn required_one_of(place: Cursor<'_>, allowed: &[&str], errs: &mut Errors) {
    if place.is_empty() { errs.required(place, "") } else { one_of(place, allowed, errs) }
}

/// As [`required_one_of`], of a pointer: text that is given is a value even if it is empty.
pub fn given_one_of(place: Cursor<'_>, allowed: &[&str], errs: &mut Errors) {
    if place.exists() { one_of(place, allowed, errs) } else { errs.required(place, "") }
}

/// Complains about a negative number.
pub fn not_negative(place: Cursor<'_>, errs: &mut Errors) {
    if place.i64() < 0 {
        errs.invalid(place, place.i64(), apimachinery::object_meta::NOT_NEGATIVE);
    }
}

/// Complains with each message that a name rule has about the text.
pub fn named(place: Cursor<'_>, rule: fn(&str) -> Vec<String>, errs: &mut Errors) {
    errs.invalid_each(place, place.str(), rule(place.str()));
}

/// As [`named`], but an absent value is told as missing.
pub fn required_named(place: Cursor<'_>, rule: fn(&str) -> Vec<String>, errs: &mut Errors) {
    if place.is_empty() { errs.required(place, "") } else { named(place, rule, errs) }
}

/// Complains about a change.
pub fn immutable(new: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    apimachinery::object_meta::validate_immutable(new, old, errs);
}

/// As [`immutable`], of text that is never null.
pub fn immutable_text(new: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    if new.str() != old.str() {
        errs.invalid(new, new.str(), apimachinery::object_meta::IMMUTABLE);
    }
}

/// A port by number or by name.
pub fn port_or_name(place: Cursor<'_>, errs: &mut Errors) {
    match place.value() {
        Value::Str(name) => errs.invalid_each(place, &**name, names::port_name(name)),
        _ => errs.invalid_each(place, place.i64(), names::port_number(place.i64())),
    }
}

/// A port by number.
pub fn port(place: Cursor<'_>, errs: &mut Errors) {
    errs.invalid_each(place, place.i64(), names::port_number(place.i64()));
}

/// An address of a field that is older than strict parsing: what an object has already may stay.
/// upstream: IsValidIPForLegacyField
pub fn legacy_ip(place: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    if !old.list().any(|o| o.str() == place.str()) {
        errs.invalid_each(place, place.str(), names::ip_sloppy(place.str()));
    }
}

/// True if a list of the object holds the text.
pub fn holds(list: Cursor<'_>, text: &str) -> bool {
    list.list().any(|item| item.str() == text)
}

/// The JSON of a value as a message shows it, `null` if absent.
pub fn shown(value: &Value) -> BadValue {
    if value.is_null() { BadValue::null() } else { BadValue::from(value) }
}

/// Message about a number that must not be zero or less.
pub const NOT_POSITIVE: &str = "must be greater than zero";

/// Complains about a number that is zero or less.
pub fn positive(place: Cursor<'_>, errs: &mut Errors) {
    if place.i64() <= 0 {
        errs.invalid(place, place.i64(), NOT_POSITIVE);
    }
}

/// Complains about a number outside of the range.
pub fn in_range(place: Cursor<'_>, low: i64, high: i64, errs: &mut Errors) {
    errs.invalid_each(place, place.i64(), names::in_range(place.i64(), low, high));
}

/// Complains about a value that is there.
pub fn forbidden(place: Cursor<'_>, why: &str, errs: &mut Errors) {
    if place.exists() {
        errs.forbidden(place, why);
    }
}

/// As [`named`], but an absent or empty value is allowed.
pub fn none_or_named(place: Cursor<'_>, rule: fn(&str) -> Vec<String>, errs: &mut Errors) {
    if !place.is_empty() {
        named(place, rule, errs);
    }
}

/// A range of a field that is older than strict parsing: what an object has already may stay.
/// upstream: IsValidCIDRForLegacyField
pub fn legacy_cidr(place: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    if !holds(old, place.str()) {
        errs.invalid_each(place, place.str(), names::cidr_sloppy(place.str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apimachinery::value;

    #[test]
    fn metadata_of_templates() {
        let meta = value!({
            "labels": {"a": "b"},
            "uid": "u",
            "generation": 0,
            "deletionGracePeriodSeconds": 0,
            "finalizers": [],
            "ownerReferences": [{"name": "x"}],
        });
        let mut errs = Errors::new();
        template_metadata(Cursor::root(&meta), &mut errs);
        let fields: Vec<String> = errs.iter().map(ToString::to_string).collect();
        for expected in ["uID", "deletionGracePeriodSeconds", "ownerReferences"] {
            assert!(fields.contains(&format!("{expected}: Forbidden: cannot be set")), "{fields:?}");
        }
        assert!(!fields.iter().any(|f| f.starts_with("finalizers") || f.starts_with("labels")), "{fields:?}");
    }
}
