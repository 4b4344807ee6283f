//! Groups, names, versions, columns, subresources and conversion.

use std::collections::BTreeSet;

use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::names::dns1035_label;
use apimachinery::value::{Cursor, Value};

use super::{Leniency, field_path, schema, shown};
use crate::registry::certificates::is_certificate_bundle;
use crate::registry::validation::{immutable_text, required, required_one_of};
use crate::registry::webhook_target;

/// Versions of conversion reviews that this server speaks.
pub(super) const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// The schemas of a definition's spec: the one of all versions, or each version's; null where there is none.
pub(super) fn schemas(spec: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    let shared = spec.path(&["validation", "openAPIV3Schema"]);
    if !shared.is_null() {
        return Box::new(std::iter::once(shared));
    }
    Box::new(spec.get("versions").items().iter().map(|v| v.path(&["schema", "openAPIV3Schema"])))
}

fn joined(place: Cursor<'_>, value: &str, wrong: Vec<String>, errs: &mut Errors) {
    if !wrong.is_empty() {
        errs.invalid(place, value, wrong.join(","));
    }
}

/// upstream: validateCustomResourceDefinitionSpec
pub(super) fn validate(spec: Cursor<'_>, mut leniency: Leniency, errs: &mut Errors) {
    let group = spec.field("group");
    if group.is_empty() {
        errs.required(group, "");
    } else {
        let wrong = apimachinery::names::dns1123_subdomain(group.str());
        if wrong.is_empty() && !group.str().contains('.') {
            errs.invalid(group, group.str(), "should be a domain with at least one dot");
        }
        joined(group, group.str(), wrong, errs);
    }
    required_one_of(spec.field("scope"), &["Cluster", "Namespaced"], errs);
    let preserves = spec.field("preserveUnknownFields").bool();
    leniency.non_structural &= preserves;
    missing_schemas(spec, leniency, preserves, errs);
    if schema::has_schema_with(spec.value(), &|s| !s.get("default").is_null()) {
        leniency.non_structural = false;
        if preserves {
            let detail = "must be false in order to use defaults in the schema";
            errs.invalid(spec.field("preserveUnknownFields"), true, detail);
        }
    }
    if schema::has_schema_with(spec.value(), &schema::has_extensions) {
        leniency.non_structural = false;
    }
    versions(spec, leniency, errs);
    for name in ["plural", "singular", "kind", "listKind"] {
        required(spec.field("names").field(name), errs);
    }
    names(spec.field("names"), errs);
    let any_status = std::iter::once(spec).chain(spec.field("versions").list()).any(has_status);
    schema::validate_root(spec.field("validation"), any_status, leniency, errs);
    subresources(spec.field("subresources"), errs);
    spec.field("additionalPrinterColumns").list().for_each(|one| column(one, errs));
    selectable_fields(
        spec.field("selectableFields"),
        spec.field("validation").value(),
        "validations.schema is included",
        errs,
    );
    let strategy = spec.field("conversion").field("strategy");
    if strategy.str() != "None" && spec.field("conversion").exists() && preserves {
        errs.invalid(strategy, strategy.str(), "must be None if spec.preserveUnknownFields is true");
    }
    conversion(spec.field("conversion"), leniency, errs);
}

fn missing_schemas(spec: Cursor<'_>, leniency: Leniency, preserves: bool, errs: &mut Errors) {
    if spec.field("validation").field("openAPIV3Schema").exists() {
        return;
    }
    for version in spec.field("versions").list() {
        let place = version.field("schema").field("openAPIV3Schema");
        if place.exists() {
            continue;
        }
        if !leniency.no_schema {
            errs.required(place, "");
        } else if !preserves && version.field("served").bool() {
            errs.required(place, "because otherwise all fields are pruned");
        }
    }
}

fn has_status(place: Cursor<'_>) -> bool {
    place.field("subresources").field("status").exists()
}

fn versions(spec: Cursor<'_>, leniency: Leniency, errs: &mut Errors) {
    let list = spec.field("versions");
    let mut seen = BTreeSet::new();
    let per_version = list.list().any(|v| v.field("subresources").exists());
    for version in list.list() {
        let name = version.field("name");
        seen.insert(name.str());
        joined(name, name.str(), dns1035_label(name.str()), errs);
        let status = has_status(if per_version { version } else { spec });
        self::version(version, status, leniency, errs);
    }
    for (shared, own) in [
        ("validation", "schema"),
        ("subresources", "subresources"),
        ("additionalPrinterColumns", "additionalPrinterColumns"),
    ] {
        if !spec.field(shared).is_empty() && list.list().any(|v| !v.field(own).is_empty()) {
            let what = if shared == "validation" { "schemas" } else { shared };
            errs.forbidden(spec.field(shared), format!("top-level and per-version {what} are mutually exclusive"));
        }
    }
    let all = || shown::versions(list.value());
    if seen.len() < list.len() {
        errs.invalid(list, all(), "must contain unique version names");
    }
    if list.list().filter(|v| v.field("storage").bool()).count() != 1 {
        errs.invalid(list, all(), "must have exactly one version marked as storage version");
    }
    let first = spec.field("version");
    if !first.is_empty() {
        joined(first, first.str(), dns1035_label(first.str()), errs);
    }
}

/// upstream: validateCustomResourceDefinitionVersion
fn version(version: Cursor<'_>, has_status: bool, leniency: Leniency, errs: &mut Errors) {
    let warning = version.field("deprecationWarning");
    if let Some(text) = warning.opt_str() {
        for wrong in deprecation_warning(version.field("deprecated").bool(), text) {
            errs.invalid(warning, text, wrong);
        }
    }
    schema::validate_root(version.field("schema"), has_status, leniency, errs);
    subresources(version.field("subresources"), errs);
    version.field("additionalPrinterColumns").list().for_each(|one| column(one, errs));
    let needed = "`version.schema.openAPIV3Schema` is not included";
    selectable_fields(version.field("selectableFields"), version.field("schema").value(), needed, errs);
}

/// upstream: validateDeprecationWarning
fn deprecation_warning(deprecated: bool, text: &str) -> Vec<String> {
    const LONGEST: usize = 256;
    if !deprecated {
        return vec!["can only be set for deprecated versions".to_owned()];
    }
    let mut wrong = Vec::new();
    if text.len() > LONGEST {
        wrong.push(format!("must be <= {LONGEST} characters long"));
    }
    if text.is_empty() {
        wrong.push("must not be an empty string".to_owned());
    }
    if let Some((i, _)) = text.char_indices().find(|(_, c)| !apimachinery::quote::is_printable(*c)) {
        wrong.push(format!("must only contain printable UTF-8 characters; non-printable character found at index {i}"));
    }
    wrong
}

/// upstream: ValidateCustomResourceDefinitionNames
pub(super) fn names(names: Cursor<'_>, errs: &mut Errors) {
    for place in ["plural", "singular"].map(|name| names.field(name)).into_iter().filter(|n| !n.is_empty()) {
        joined(place, place.str(), dns1035_label(place.str()), errs);
    }
    for place in ["kind", "listKind"].map(|name| names.field(name)).into_iter().filter(|n| !n.is_empty()) {
        let wrong = dns1035_label(&place.str().to_lowercase());
        if !wrong.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
            errs.invalid(place, place.str(), detail);
        }
    }
    let labels = |list: Cursor<'_>, errs: &mut Errors| {
        list.list().for_each(|one| joined(one, one.str(), dns1035_label(one.str()), errs));
    };
    labels(names.field("shortNames"), errs);
    let (kind, list_kind) = (names.field("kind"), names.field("listKind"));
    if !kind.is_empty() && kind.str() == list_kind.str() {
        errs.invalid(list_kind, list_kind.str(), "kind and listKind may not be the same");
    }
    labels(names.field("categories"), errs);
}

/// upstream: ValidateCustomResourceColumnDefinition
fn column(column: Cursor<'_>, errs: &mut Errors) {
    required(column.field("name"), errs);
    let (kind, format) = (column.field("type"), column.field("format"));
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    if kind.is_empty() {
        errs.required(kind, types);
    } else if !COLUMN_TYPES.contains(&kind.str()) {
        errs.invalid(kind, kind.str(), types);
    }
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format.str()) {
        errs.invalid(format, format.str(), format!("must be one of {}", COLUMN_FORMATS.join(",")));
    }
    let path = column.field("JSONPath");
    if path.is_empty() {
        errs.required(path, "");
    } else {
        simple_path(&path.path(), path.str(), errs);
    }
}

/// upstream: validateSimpleJSONPath
fn simple_path(place: &Path, text: &str, errs: &mut Errors) -> bool {
    let valid = text.starts_with('.');
    if !valid {
        errs.invalid(place, text, "must be a simple json path starting with .");
    }
    valid
}

/// upstream: ValidateCustomResourceDefinitionSubresources
fn subresources(subresources: Cursor<'_>, errs: &mut Errors) {
    let scale = subresources.field("scale");
    if !scale.exists() {
        return;
    }
    for (name, under) in [("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")] {
        let place = scale.field(name);
        if place.is_empty() {
            errs.required(place, "");
        } else if simple_path(&place.path(), place.str(), errs) && !place.str().starts_with(&format!("{under}.")) {
            errs.invalid(place, place.str(), format!("should be a json path under {under}"));
        }
    }
    let selector = scale.field("labelSelectorPath");
    if !selector.is_empty()
        && simple_path(&selector.path(), selector.str(), errs)
        && ![".spec.", ".status."].iter().any(|under| selector.str().starts_with(under))
    {
        errs.invalid(selector, selector.str(), "should be a json path under either .spec or .status");
    }
}

/// upstream: ValidateCustomResourceSelectableFields
fn selectable_fields(list: Cursor<'_>, validation: &Value, needed: &str, errs: &mut Errors) {
    const MOST: usize = 8;
    if list.is_empty() {
        return;
    }
    let schema = validation.get("openAPIV3Schema");
    if schema.is_null() {
        return errs.invalid(list, "", format!("may only be set when {needed}"));
    }
    let mut seen = BTreeSet::new();
    for place in list.list().map(|field| field.field("jsonPath")) {
        let text = place.str();
        if text.is_empty() {
            errs.required(place, "");
            continue;
        }
        let (path, found) = match field_path::resolve(text, schema, false) {
            Ok(found) => found,
            Err(error) => {
                errs.invalid(place, text, format!("is an invalid path: {error}"));
                continue;
            }
        };
        if path.as_str() == "metadata"
            || path.as_str().starts_with("metadata.")
            || path.as_str().starts_with("metadata[")
        {
            errs.invalid(place, text, "must not point to fields in metadata");
        }
        if !matches!(found.get("type").str_or_empty(), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                          formats are allowed.";
            errs.invalid(place, text, detail);
        }
        if !seen.insert(path) {
            errs.duplicate(place, text);
        }
    }
    if seen.len() > MOST {
        errs.too_many(list, seen.len(), MOST);
    }
}

/// upstream: validateCustomResourceConversion
fn conversion(conversion: Cursor<'_>, leniency: Leniency, errs: &mut Errors) {
    if !conversion.exists() {
        return;
    }
    let (config, versions) = (conversion.field("webhookClientConfig"), conversion.field("conversionReviewVersions"));
    required_one_of(conversion.field("strategy"), &["None", "Webhook"], errs);
    if conversion.field("strategy").str() != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        if config.exists() {
            errs.forbidden(config, detail);
        }
        if !versions.is_empty() {
            errs.forbidden(versions, detail);
        }
        return;
    }
    if config.exists() {
        webhook_target::validate(config, errs);
        let bundle = config.field("caBundle");
        if !bundle.is_empty() && !leniency.invalid_bundle && !is_certificate_bundle(bundle.str()) {
            let detail = "unable to load root certificates: unable to parse bytes as PEM block";
            errs.invalid(bundle, bundle.str(), detail);
        }
    } else {
        errs.required(config, "required when strategy is set to Webhook");
    }
    if versions.is_empty() {
        errs.required(versions, "");
    } else {
        webhook_target::review_versions(versions, &REVIEW_VERSIONS, !leniency.unknown_review_versions, errs);
    }
}

/// What may not change: names are where objects are stored.
pub(super) fn immutable(spec: Cursor<'_>, old: Cursor<'_>, established: bool, errs: &mut Errors) {
    if established {
        immutable_text(spec.field("scope"), old.field("scope"), errs);
        immutable_text(spec.field("names").field("kind"), old.field("names").field("kind"), errs);
    }
    for path in [&["group"][..], &["names", "plural"]] {
        let (new, old) = (spec.fields(path), old.fields(path));
        if new.value() != old.value() {
            errs.invalid(new, BadValue::from(new.str()), apimachinery::object_meta::IMMUTABLE);
        }
    }
}
