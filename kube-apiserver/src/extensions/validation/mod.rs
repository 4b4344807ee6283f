//! What is wrong with a CustomResourceDefinition.
//!
//! Works on the form of upstream's internal type, where what all versions share stands once: that is where the paths of
//! its errors come from. Rules are compiled by `super::rules`.
//! upstream: apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go

mod defaults;
mod field_path;
mod schema;
mod shown;
mod spec;
mod structural;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use apimachinery::field::Errors;
use apimachinery::structural::knows_format;
use apimachinery::value::{Cursor, Value};

use super::names;
use crate::registry::certificates::is_certificate_bundle;
use crate::registry::go_url;
use schema::has_schema_with;

/// What the stored definition was allowed already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Leniency {
    unknown_review_versions: bool,
    mutable_names: bool,
    no_schema: bool,
    invalid_types: bool,
    non_structural: bool,
    unpruned_defaults: bool,
    non_atomic_sets: bool,
    loose_map_keys: bool,
    /// A bundle that is none is accepted until the definition is established.
    invalid_bundle: bool,
}

const CREATE: Leniency = Leniency {
    unknown_review_versions: false,
    mutable_names: true,
    no_schema: false,
    invalid_types: false,
    non_structural: false,
    unpruned_defaults: false,
    non_atomic_sets: false,
    loose_map_keys: false,
    invalid_bundle: true,
};

impl Leniency {
    fn of(old: &Value) -> Leniency {
        let spec = old.get("spec");
        let conversion = spec.get("conversion");
        let versions = conversion.get("conversionReviewVersions").items();
        let bundle = conversion.path(&["webhookClientConfig", "caBundle"]).str_or_empty();
        let established = names::has(old, "Established");
        Leniency {
            unknown_review_versions: !versions.is_empty()
                && !versions.iter().any(|v| spec::REVIEW_VERSIONS.contains(&v.str_or_empty())),
            mutable_names: !established,
            no_schema: spec::schemas(spec).any(|schema| schema.is_null()),
            invalid_types: has_schema_with(spec, &schema::has_unknown_type),
            non_structural: spec::schemas(spec).any(structural::is_wrong),
            unpruned_defaults: spec::schemas(spec).any(defaults::has_unpruned),
            non_atomic_sets: has_schema_with(spec, &schema::is_non_atomic_set),
            loose_map_keys: has_schema_with(spec, &schema::has_loose_map_keys),
            invalid_bundle: !established || !bundle.is_empty() && !is_certificate_bundle(bundle),
        }
    }
}

/// Checks a new definition, in the internal form.
pub(super) fn create(obj: &Value, errs: &mut Errors) {
    definition(obj, None, CREATE, errs);
}

/// Checks a change, both in the internal form.
pub(super) fn update(obj: &Value, old: &Value, errs: &mut Errors) {
    definition(obj, Some(old), Leniency::of(old), errs);
}

/// Checks a change of the status.
pub(super) fn status(obj: &Value, errs: &mut Errors) {
    spec::names(Cursor::root(obj).field("status").field("acceptedNames"), errs);
}

fn definition(obj: &Value, old: Option<&Value>, leniency: Leniency, errs: &mut Errors) {
    let root = Cursor::root(obj);
    let name = root.field("metadata").field("name");
    let names = root.field("spec").field("names");
    if old.is_none()
        && !name.is_empty()
        && name.str() != format!("{}.{}", names.field("plural").str(), root.field("spec").field("group").str())
    {
        errs.invalid(name, name.str(), "must be spec.names.plural+\".\"+spec.group");
    }
    spec::validate(root.field("spec"), leniency, errs);
    if let Some(old) = old {
        spec::immutable(root.field("spec"), Cursor::root(old).field("spec"), !leniency.mutable_names, errs);
    }
    status(obj, errs);
    stored_versions(root, errs);
    check_approval(root, old, errs);
    let preserve = root.field("spec").field("preserveUnknownFields");
    let preserved = |old: &Value| old.path(&["spec", "preserveUnknownFields"]).as_bool() == Some(true);
    if preserve.bool() && !old.is_some_and(preserved) {
        let detail =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errs.invalid(preserve, true, detail);
    }
}

/// upstream: ValidateCustomResourceDefinitionStoredVersions
fn stored_versions(root: Cursor<'_>, errs: &mut Errors) {
    let stored = root.field("status").field("storedVersions");
    if stored.is_empty() {
        return errs.invalid(
            stored,
            crate::registry::validation::shown(stored.value()),
            "must have at least one stored version",
        );
    }
    let versions = root.field("spec").field("versions");
    // Each stored version is found once; of two versions with one name the second finds nothing.
    let mut left: BTreeSet<&str> = stored.list().map(|s| s.str()).collect();
    for version in versions.list() {
        let name = version.field("name").str();
        if !left.remove(name) && version.field("storage").bool() {
            errs.invalid(stored, stored, format!("must have the storage version {name}"));
        }
    }
    for place in stored.list() {
        let name = place.str();
        if left.contains(name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            errs.invalid(place, name, detail);
        }
    }
}

const APPROVAL: &str = "api-approved.kubernetes.io";
const APPROVAL_HELP: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// How far the community let a definition of its groups come.
#[derive(PartialEq, Eq)]
enum Approval {
    Missing,
    Invalid,
    Given,
    Bypassed,
}

fn approval_of(definition: &Value) -> Approval {
    let text = definition.path(&["metadata", "annotations", APPROVAL]).str_or_empty();
    let is_url = || go_url::parse(text).is_ok_and(|url| !url.host.is_empty() && !url.scheme.is_empty());
    match text {
        "" => Approval::Missing,
        _ if text.starts_with("unapproved") => Approval::Bypassed,
        _ if is_url() => Approval::Given,
        _ => Approval::Invalid,
    }
}

fn is_protected(definition: &Value) -> bool {
    let group = definition.path(&["spec", "group"]).str_or_empty();
    ["k8s.io", "kubernetes.io"].iter().any(|g| group == *g || group.ends_with(&format!(".{g}")))
}

/// What the condition about the approval says, for definitions in groups of the community: status, reason, message.
/// upstream: apiextensions-apiserver/pkg/controller/apiapproval
pub(super) fn approval(definition: &Value) -> Option<(bool, &'static str, String)> {
    let text = definition.path(&["metadata", "annotations", APPROVAL]).str_or_empty();
    is_protected(definition).then(|| match approval_of(definition) {
        Approval::Missing => (false, "MissingAnnotation", missing_approval()),
        Approval::Invalid => (false, "InvalidAnnotation", invalid_approval()),
        Approval::Bypassed => (false, "UnapprovedAnnotation", format!("not approved: {text:?}")),
        Approval::Given => (true, "ApprovedAnnotation", format!("approved in {text}")),
    })
}

fn missing_approval() -> String {
    format!("protected groups must have approval annotation {APPROVAL:?}, {APPROVAL_HELP}")
}

fn invalid_approval() -> String {
    format!(
        "protected groups must have approval annotation {APPROVAL:?} with either a URL or a reason starting with \
         \"unapproved\", {APPROVAL_HELP}"
    )
}

/// Groups of the Kubernetes community want an annotation.
/// upstream: validateAPIApproval
fn check_approval(root: Cursor<'_>, old: Option<&Value>, errs: &mut Errors) {
    let state = approval_of(root.value());
    if !is_protected(root.value()) || old.is_some_and(|old| approval_of(old) == state) {
        return;
    }
    let place = root.field("metadata").field("annotations").key(APPROVAL);
    match state {
        Approval::Given | Approval::Bypassed => {}
        Approval::Missing => errs.required(place, missing_approval()),
        Approval::Invalid => errs.invalid(place, place.str(), invalid_approval()),
    }
}

/// Formats of values that this server does not check, of a definition in the internal form.
pub(super) fn unknown_formats(definition: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for schema in spec::schemas(definition.get("spec")) {
        schema::visit(schema, &mut |schema| {
            let (format, ty) = (schema.get("format").str_or_empty(), schema.get("type").str_or_empty());
            if !format.is_empty() && knows_format(ty, format) == Some(false) {
                found.push(format.to_owned());
            }
        });
    }
    found
}
