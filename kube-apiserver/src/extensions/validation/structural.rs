//! Structural schemas: types stand outside of what alternatives say, and everything that alternatives speak of is
//! declared.
//! upstream: apiextensions-apiserver/pkg/apiserver/schema/{convert,validation,complete}.go

use apimachinery::field::{Error, Errors, Path};
use apimachinery::value;
use apimachinery::value::Value;

use super::schema::{Step, inner};

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).as_bool() == Some(true)
}

/// True if the schema is not structural.
pub(super) fn is_wrong(schema: &Value) -> bool {
    !schema.is_null() && (conversion_error(schema).is_some() || !validate(schema, &Path::root("")).is_empty())
}

/// Why the schema cannot be read as a structural one.
pub(super) fn conversion_error(schema: &Value) -> Option<String> {
    for name in ["id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"] {
        if !schema.get(name).is_zero() {
            return Some(format!("OpenAPIV3Schema '{}' is not supported", name.replace("$schema", "schema")));
        }
    }
    for name in ["not", "allOf", "anyOf", "oneOf"] {
        let error = inner(schema, name).into_iter().find_map(|(_, s)| conversion_error(s));
        if error.is_some() {
            return error;
        }
    }
    if schema.get(PRESERVE).as_bool() == Some(false) {
        return Some("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".to_owned());
    }
    if !schema.get("items").items().is_empty() {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    let rest = ["items", "properties", "additionalProperties"];
    rest.into_iter().find_map(|name| inner(schema, name).into_iter().find_map(|(_, s)| conversion_error(s)))
}

/// What makes the schema not structural, in the order of the messages.
pub(super) fn validate(schema: &Value, path: &Path) -> Errors {
    let mut errs = Errors::new();
    invariants(schema, Level::Root, path, &mut errs);
    complete_alternatives(schema, Some(schema), path, path, &mut errs);
    let mut all: Vec<Error> = errs.iter().cloned().collect();
    all.sort_by_cached_key(ToString::to_string);
    let mut sorted = Errors::new();
    sorted.extend(all);
    sorted
}

/// upstream: validateStructuralInvariants
fn invariants(schema: &Value, level: Level, path: &Path, errs: &mut Errors) {
    let ty = schema.get("type").str_or_empty();
    let embeds = flag(schema, EMBEDDED);
    if ty == "array" && schema.get("items").is_null() {
        errs.required(path.child("items"), "must be specified");
    }
    for (step, item) in inner(schema, "items") {
        invariants(item, Level::Item, &step.path(path, "items"), errs);
    }
    for (step, property) in inner(schema, "properties") {
        invariants(property, Level::Field, &step.path(path, "properties"), errs);
    }
    let additional = schema.get("additionalProperties");
    if !additional.is_null() {
        if level == Level::Root {
            errs.forbidden(path.child("additionalProperties"), "must not be used at the root");
        }
        if additional.as_map().is_some() {
            invariants(additional, Level::Field, &path.child("additionalProperties"), errs);
        }
    }
    if flag(schema, INT_OR_STRING) {
        for name in [PRESERVE, EMBEDDED].into_iter().filter(|name| flag(schema, name)) {
            errs.invalid(path.child(name), true, "must be false if x-kubernetes-int-or-string is true");
        }
    }
    let skips = (is_int_or_string(schema), schema.get("allOf").items().first().is_some_and(is_int_or_string));
    alternatives(schema, skips, level, path, errs);
    types(schema, level, path, errs);
    let checks_metadata = level == Level::Root || embeds;
    if embeds && !additional.is_null() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errs.forbidden(path.child("additionalProperties"), detail);
    }
    let properties = schema.get("properties");
    for name in ["kind", "apiVersion"].into_iter().filter(|_| checks_metadata) {
        let property = properties.get(name);
        let ty = property.get("type").str_or_empty();
        if !property.is_null() && ty != "string" {
            errs.invalid(path.child("properties").key(name).child("type"), ty, "must be string");
        }
    }
    if !properties.get("metadata").is_null() {
        let here = path.child("properties").key("metadata");
        metadata(properties.get("metadata"), checks_metadata, level, &here, errs);
    }
    if embeds && !flag(schema, PRESERVE) && properties.is_zero() {
        let detail =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errs.required(path.child("properties"), detail);
    }
}

fn types(schema: &Value, level: Level, path: &Path, errs: &mut Errors) {
    let ty = schema.get("type").str_or_empty();
    let place = path.child("type");
    if flag(schema, EMBEDDED) && ty != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        if ty.is_empty() { errs.required(&place, detail) } else { errs.invalid(&place, ty, detail) }
    } else if ty.is_empty() && !flag(schema, INT_OR_STRING) && !flag(schema, PRESERVE) {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errs.required(&place, detail);
    }
    if level == Level::Root && !ty.is_empty() && ty != "object" {
        errs.invalid(place, ty, "must be object at the root");
    }
}

/// upstream: validateStructuralMetadataInvariants
fn metadata(schema: &Value, checks: bool, level: Level, path: &Path, errs: &mut Errors) {
    let ty = schema.get("type").str_or_empty();
    if checks && ty != "object" {
        errs.invalid(path.child("type"), ty, "must be object");
    }
    if level != Level::Root {
        return;
    }
    let mut rest = schema.clone();
    rest.remove("type");
    rest.remove("default");
    let only_names = |properties: &Value| {
        properties.entries().next().is_some() && properties.entries().all(|(k, _)| matches!(k, "name" | "generateName"))
    };
    if only_names(rest.get("properties")) {
        rest.remove("properties");
    }
    if rest.entries().any(|(_, value)| !value.is_zero()) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errs.forbidden(path, detail);
    }
}

/// `anyOf` with an integer and a string, which is how people write what may be both.
fn is_int_or_string(schema: &Value) -> bool {
    let pattern = value!([{"type": "integer"}, {"type": "string"}]);
    *schema.get("anyOf") == pattern
}

/// upstream: validateValueValidation; `skips`: `anyOf`, and that of the first in `allOf`, are not looked at.
fn alternatives(schema: &Value, skips: (bool, bool), level: Level, path: &Path, errs: &mut Errors) {
    for name in ["anyOf", "allOf", "oneOf", "not"] {
        if name == "anyOf" && skips.0 {
            continue;
        }
        for (step, nested) in inner(schema, name) {
            let skip = name == "allOf" && skips.1 && matches!(step, Step::Index(0));
            self::nested(nested, skip, level, &step.path(path, name), errs);
        }
    }
    let pattern = schema.get("pattern").str_or_empty();
    if let Err(error) = regex::Regex::new(pattern) {
        let reason = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let detail = format!(
            "must be a valid regular expression, but isn't: error parsing regexp: {}",
            go_reason(&reason, pattern)
        );
        errs.invalid(path.child("pattern"), pattern, detail);
    }
}

/// Go's words for the usual mistakes in a pattern.
fn go_reason(reason: &str, pattern: &str) -> String {
    if reason.contains("unclosed character class") {
        let start = pattern.rfind('[').unwrap_or_default();
        format!("missing closing ]: `{}`", &pattern[start..])
    } else if reason.contains("unclosed group") {
        format!("missing closing ): `{pattern}`")
    } else if reason.contains("unopened group") {
        format!("unexpected ): `{pattern}`")
    } else if reason.contains("repetition operator missing expression") {
        let operator = pattern.chars().find(|c| "*+?".contains(*c)).map(String::from).unwrap_or_default();
        format!("missing argument to repetition operator: `{operator}`")
    } else if reason.contains("look-around") {
        let start = pattern.find("(?").unwrap_or_default();
        let end = pattern[start..].char_indices().nth(3).map_or(pattern.len(), |(i, _)| start + i);
        format!("invalid or unsupported Perl syntax: `{}`", &pattern[start..end])
    } else if reason.contains("repetition count range") {
        let start = pattern.find('{').unwrap_or_default();
        let end = pattern[start..].find('}').map_or(pattern.len(), |i| start + i + 1);
        format!("invalid repeat count: `{}`", &pattern[start..end])
    } else if reason.contains("incomplete escape sequence") {
        "trailing backslash at end of expression: ``".to_owned()
    } else {
        format!("{reason}: `{pattern}`")
    }
}

/// upstream: validateNestedValueValidation
fn nested(schema: &Value, skip_any_of: bool, level: Level, path: &Path, errs: &mut Errors) {
    alternatives(schema, (skip_any_of, false), level, path, errs);
    for (step, item) in inner(schema, "items") {
        nested(item, false, level, &step.path(path, "items"), errs);
    }
    for (step, property) in inner(schema, "properties") {
        nested(property, false, Level::Field, &step.path(path, "properties"), errs);
    }
    let forbids = [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        (PRESERVE, "must be false to be structural"),
        (EMBEDDED, "must be false to be structural"),
        (INT_OR_STRING, "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ];
    for (name, detail) in forbids {
        let value = schema.get(name);
        let says_nothing = value.is_null() || name == "additionalProperties" && value.as_bool() == Some(false);
        if !says_nothing {
            errs.forbidden(path.child(name), detail);
        }
    }
    if !schema.get("properties").get("metadata").is_null() {
        errs.forbidden(path.child("properties").key("metadata"), "must not be specified in a nested context");
    }
}

/// upstream: validateValueValidationCompleteness
fn complete_alternatives(schema: &Value, base: Option<&Value>, base_path: &Path, path: &Path, errs: &mut Errors) {
    for name in ["not", "allOf", "anyOf", "oneOf"] {
        for (step, nested) in inner(schema, name) {
            complete(nested, base, base_path, &step.path(path, name), errs);
        }
    }
}

/// upstream: validateNestedValueValidationCompleteness
fn complete(schema: &Value, base: Option<&Value>, base_path: &Path, path: &Path, errs: &mut Errors) {
    let Some(base) = base else {
        return errs.required(base_path, format!("because it is defined in {path}"));
    };
    complete_alternatives(schema, Some(base), base_path, path, errs);
    for (step, item) in inner(schema, "items") {
        let items = Some(base.get("items")).filter(|items| items.as_map().is_some());
        complete(item, items, &base_path.child("items"), &step.path(path, "items"), errs);
    }
    for (step, property) in inner(schema, "properties") {
        let Step::Key(key) = step else { continue };
        let declared = Some(base.get("properties").get(key)).filter(|p| !p.is_null());
        complete(property, declared, &step.path(base_path, "properties"), &step.path(path, "properties"), errs);
    }
}
