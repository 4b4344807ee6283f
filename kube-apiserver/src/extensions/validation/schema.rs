//! Which parts of OpenAPI a schema may use, and how lists and maps of it are to be merged.
//! upstream: ValidateCustomResourceDefinitionOpenAPISchema

use std::collections::BTreeSet;

use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::value::{Cursor, Value};

use super::super::rules;
use super::{Leniency, defaults, field_path, shown, structural};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Schemas inside a schema, each with the way to it: the field's name and the key or index in it.
pub(super) enum Step<'a> {
    /// The field itself.
    Field,
    /// An element of a list.
    Index(usize),
    /// An entry of a map.
    Key(&'a str),
}

impl Step<'_> {
    /// The path of the schema that is found in the field `name` by this step.
    pub(super) fn path(&self, base: &Path, name: &str) -> Path {
        let field = base.child(name);
        match self {
            Step::Field => field,
            Step::Index(i) => field.index(*i),
            Step::Key(key) => field.key(key),
        }
    }
}

/// The schemas in one field, whatever form that has.
pub(super) fn inner<'a>(schema: &'a Value, name: &str) -> Vec<(Step<'a>, &'a Value)> {
    const MAPS: [&str; 4] = ["properties", "patternProperties", "definitions", "dependencies"];
    match schema.get(name) {
        Value::List(list) => list.iter().enumerate().map(|(i, s)| (Step::Index(i), s)).collect(),
        Value::Map(map) if MAPS.contains(&name) => {
            map.iter().filter(|(_, s)| s.as_map().is_some()).map(|(key, s)| (Step::Key(key), s)).collect()
        }
        one @ Value::Map(_) => vec![(Step::Field, one)],
        _ => Vec::new(),
    }
}

const INNER: [&str; 11] = [
    "items",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "properties",
    "additionalProperties",
    "patternProperties",
    "additionalItems",
    "definitions",
    "dependencies",
];

/// Calls `f` for the schema and all inside it.
pub(super) fn visit<'a>(schema: &'a Value, f: &mut dyn FnMut(&'a Value)) {
    if schema.is_null() {
        return;
    }
    f(schema);
    for name in INNER {
        inner(schema, name).into_iter().for_each(|(_, s)| visit(s, f));
    }
}

/// True if any schema of the definition's spec is such.
pub(super) fn has_schema_with(spec: &Value, test: &dyn Fn(&Value) -> bool) -> bool {
    let mut found = false;
    super::spec::schemas(spec).for_each(|schema| visit(schema, &mut |s| found |= test(s)));
    found
}

pub(super) fn has_unknown_type(schema: &Value) -> bool {
    let ty = schema.get("type").str_or_empty();
    !ty.is_empty() && !TYPES.contains(&ty)
}

pub(super) fn has_extensions(schema: &Value) -> bool {
    ["embedded-resource", "preserve-unknown-fields", "int-or-string", "list-map-keys", "list-type", "validations"]
        .iter()
        .any(|name| !schema.get(&format!("x-kubernetes-{name}")).is_null())
}

/// The wrong field of the items of a set, whose items must be replaced as a whole.
fn non_atomic_field(schema: &Value) -> Option<&'static str> {
    let items = schema.get("items");
    if schema.get("x-kubernetes-list-type").as_str() != Some("set") || items.as_map().is_none() {
        return None;
    }
    let list = items.get("x-kubernetes-list-type").as_str();
    let map = items.get("x-kubernetes-map-type").as_str();
    match items.get("type").str_or_empty() {
        "array" if list.is_some_and(|l| l != "atomic") => Some("x-kubernetes-list-type"),
        "object" if map != Some("atomic") => Some("x-kubernetes-map-type"),
        _ => None,
    }
}

pub(super) fn is_non_atomic_set(schema: &Value) -> bool {
    non_atomic_field(schema).is_some()
}

pub(super) fn has_loose_map_keys(schema: &Value) -> bool {
    let mut errs = Errors::new();
    map_keys(schema, &Path::root(""), &mut errs);
    !errs.is_empty()
}

/// What is different for parts of a schema.
#[derive(Clone)]
struct Place {
    leniency: Leniency,
    /// Why defaults are not allowed here.
    no_defaults: Option<String>,
    in_meta: bool,
}

/// Checks `openAPIV3Schema` below `validation`.
/// upstream: validateCustomResourceDefinitionValidation
pub(super) fn validate_root(validation: Cursor<'_>, has_status: bool, leniency: Leniency, errs: &mut Errors) {
    let schema = validation.value().get("openAPIV3Schema");
    if schema.is_null() {
        return;
    }
    let before = errs.len();
    let path = validation.path().child("openAPIV3Schema");
    if has_status {
        root_fields(schema, &path, errs);
    }
    if schema.get("nullable").as_bool() == Some(true) {
        errs.forbidden(path.child("nullable"), "nullable cannot be true at the root");
    }
    let mut not_structural = None;
    if !leniency.non_structural {
        match structural::conversion_error(schema) {
            Some(error) => not_structural = Some(error),
            None => {
                let wrong = structural::validate(schema, &path);
                if wrong.is_empty() {
                    defaults::validate(schema, &path, !leniency.unpruned_defaults, errs);
                } else {
                    errs.extend(wrong.iter().cloned());
                }
            }
        }
    }
    walk(schema, &path, &Place { leniency, no_defaults: None, in_meta: false }, true, errs);
    if errs.len() == before && !leniency.non_structural {
        rules::check_definition(schema, &path, errs);
    }
    if let Some(error) = not_structural.filter(|_| errs.len() == before) {
        errs.invalid(&path, "", error);
    }
}

/// With a status subresource the root may only say what need not hold for the status.
fn root_fields(schema: &Value, path: &Path, errs: &mut Errors) {
    const ALLOWED: [&str; 22] = [
        "Description",
        "Type",
        "Format",
        "Title",
        "Maximum",
        "ExclusiveMaximum",
        "Minimum",
        "ExclusiveMinimum",
        "MaxLength",
        "MinLength",
        "Pattern",
        "MaxItems",
        "MinItems",
        "UniqueItems",
        "MultipleOf",
        "Required",
        "Items",
        "Properties",
        "ExternalDocs",
        "Example",
        "XPreserveUnknownFields",
        "XValidations",
    ];
    for (_, go) in shown::schema_fields().filter(|(json, _)| !schema.get(json).is_null()) {
        if go == "Type" {
            let ty = schema.get("type").str_or_empty();
            if ty != "object" {
                let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is \
                              enabled";
                return errs.invalid(path.child("type"), ty, detail);
            }
        } else if !ALLOWED.contains(&go) {
            let detail = format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                ALLOWED.join(" ")
            );
            return errs.invalid(path, shown::schema(schema), detail);
        }
    }
}

/// upstream: ValidateCustomResourceDefinitionOpenAPISchema
fn walk(schema: &Value, path: &Path, place: &Place, is_root: bool, errs: &mut Errors) {
    standard(schema, path, place, errs);
    if schema.get("uniqueItems").as_bool() == Some(true) {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errs.forbidden(path.child("uniqueItems"), detail);
    }
    let additional = schema.get("additionalProperties");
    let closes = additional.as_map().is_some() || additional.as_bool() == Some(false);
    if closes && schema.get("properties").as_map().is_some_and(|m| !m.is_empty()) {
        let detail = "additionalProperties and properties are mutual exclusive";
        errs.forbidden(path.child("additionalProperties"), detail);
    }
    if additional.as_map().is_some() {
        let mut place = place.clone();
        if place.in_meta {
            place.no_defaults = Some("inside additionalProperties applying to object metadata".to_owned());
        }
        walk(additional, &path.child("additionalProperties"), &place, false, errs);
    }
    let embeds = schema.get("x-kubernetes-embedded-resource").as_bool() == Some(true);
    for (step, property) in inner(schema, "properties") {
        let mut place = place.clone();
        if let Step::Key(key) = step
            && (is_root || embeds)
            && matches!(key, "metadata" | "kind" | "apiVersion")
        {
            place.in_meta = true;
            if is_root {
                place.no_defaults = Some(format!("in top-level {key}"));
            }
        }
        walk(property, &step.path(path, "properties"), &place, false, errs);
    }
    for name in ["not", "allOf", "oneOf", "anyOf", "definitions", "items", "dependencies"] {
        for (step, inner) in inner(schema, name) {
            walk(inner, &step.path(path, name), place, false, errs);
        }
    }
    merging(schema, path, place, errs);
    if !place.leniency.loose_map_keys {
        map_keys(schema, path, errs);
    }
    rule_texts(schema, path, errs);
}

/// Parts of OpenAPI that are not supported.
/// upstream: specStandardValidatorV3.validate
fn standard(schema: &Value, path: &Path, place: &Place, errs: &mut Errors) {
    let ty = schema.get("type").str_or_empty();
    if !place.leniency.invalid_types && has_unknown_type(schema) {
        errs.not_supported(path.child("type"), ty, TYPES);
    }
    if let Some(reason) = &place.no_defaults
        && !schema.get("default").is_null()
    {
        errs.forbidden(path.child("default"), format!("must not be set {reason}"));
    }
    for name in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        if !schema.get(name).is_null() {
            errs.forbidden(path.child(name), format!("{name} is not supported"));
        }
    }
    if ty == "null" {
        errs.forbidden(path.child("type"), "type cannot be set to null, use nullable as an alternative");
    }
    if !schema.get("items").items().is_empty() {
        errs.forbidden(path.child("items"), "items must be a schema object and not an array");
    }
    if place.in_meta && schema.get("x-kubernetes-embedded-resource").as_bool() == Some(true) {
        errs.forbidden(path.child("x-kubernetes-embedded-resource"), "must not be used inside of resource meta");
    }
}

fn type_must_be(wanted: &str, extension: &str, schema: &Value, path: &Path, errs: &mut Errors) -> bool {
    let detail = format!("must be {wanted} if {extension} is specified");
    match schema.get("type").str_or_empty() {
        ty if ty == wanted => return true,
        "" => errs.required(path.child("type"), detail),
        ty => errs.invalid(path.child("type"), ty, detail),
    }
    false
}

/// How lists and maps are merged.
fn merging(schema: &Value, path: &Path, place: &Place, errs: &mut Errors) {
    const LIST: &str = "x-kubernetes-list-type";
    const MAP: &str = "x-kubernetes-map-type";
    const KEYS: &str = "x-kubernetes-list-map-keys";
    const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
    if schema.get(PRESERVE).as_bool() == Some(false) {
        errs.invalid(path.child(PRESERVE), false, "must be true or undefined");
    }
    let (list_type, map_type) = (schema.get(LIST).as_str(), schema.get(MAP).as_str());
    if let Some(map_type) = map_type {
        type_must_be("object", MAP, schema, path, errs);
        if !matches!(map_type, "atomic" | "granular") {
            errs.not_supported(path.child(MAP), map_type, ["atomic", "granular"]);
        }
    }
    if let Some(list_type) = list_type {
        let is_array = type_must_be("array", LIST, schema, path, errs);
        if is_array
            && !place.leniency.non_atomic_sets
            && let Some(field) = non_atomic_field(schema)
        {
            // Upstream shows the list type in both cases.
            let value = crate::registry::validation::shown(schema.path(&["items", LIST]));
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            errs.invalid(path.child("items").child(field), value, detail);
        }
        if !matches!(list_type, "atomic" | "set" | "map") {
            errs.not_supported(path.child(LIST), list_type, ["atomic", "set", "map"]);
        }
    }
    if !schema.get(KEYS).items().is_empty() && list_type != Some("map") {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        match list_type {
            None => errs.required(path.child(LIST), detail),
            Some(other) => errs.invalid(path.child(LIST), other, detail),
        }
    }
    if list_type == Some("map") {
        map_list(schema, &path.child(KEYS), path, errs);
    }
}

/// A list whose items have keys.
fn map_list(schema: &Value, keys_path: &Path, path: &Path, errs: &mut Errors) {
    let (keys, items) = (schema.get("x-kubernetes-list-map-keys"), schema.get("items"));
    if keys.items().is_empty() {
        errs.required(keys_path, "must not be empty if x-kubernetes-list-type is map");
    }
    let items_path = path.child("items");
    match items {
        Value::Map(_) => {}
        Value::List(_) => {
            let detail = "must only have a single schema if x-kubernetes-list-type is map";
            return errs.invalid(items_path, shown::items(items), detail);
        }
        _ => return errs.required(items_path, "must have a schema if x-kubernetes-list-type is map"),
    }
    let ty = items.get("type").str_or_empty();
    if ty != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        return errs.invalid(items_path.child("type"), ty, detail);
    }
    let mut seen = BTreeSet::new();
    for key in keys.items().iter().map(Value::str_or_empty) {
        let property = items.get("properties").get(key);
        if property.is_null() {
            errs.invalid(keys_path, BadValue::from(keys), "entries must all be names of item properties");
        } else if matches!(property.get("type").str_or_empty(), "array" | "object") {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errs.invalid(items_path.child("properties").key(key).child("type"), ty, detail);
        }
        if !seen.insert(key) {
            errs.invalid(keys_path, BadValue::from(keys), "must not contain duplicate entries");
        }
    }
}

/// Keys of items are there: required or defaulted, and never null.
/// upstream: validateMapListKeysMapSet
fn map_keys(schema: &Value, path: &Path, errs: &mut Errors) {
    let (items, list_type) = (schema.get("items"), schema.get("x-kubernetes-list-type").str_or_empty());
    if items.as_map().is_none() || !matches!(list_type, "set" | "map") {
        return;
    }
    let items_path = path.child("items");
    if items.get("nullable").as_bool() == Some(true) {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errs.forbidden(items_path.child("nullable"), detail);
    }
    if list_type != "map" {
        return;
    }
    let required = items.get("required").items();
    for key in schema.get("x-kubernetes-list-map-keys").items().iter().map(Value::str_or_empty) {
        let property = items.get("properties").get(key);
        if property.is_null() {
            continue;
        }
        let here = items_path.child("properties").key(key);
        if property.get("default").is_null() && !required.iter().any(|r| r.as_str() == Some(key)) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required \
                          property";
            errs.required(here.child("default"), detail);
        }
        if property.get("nullable").as_bool() == Some(true) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errs.forbidden(here.child("nullable"), detail);
        }
    }
}

/// What is wrong with rules as text.
fn rule_texts(schema: &Value, path: &Path, errs: &mut Errors) {
    const REASONS: [&str; 4] =
        ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
    const BREAKS: [char; 2] = ['\n', '\r'];
    for (i, rule) in schema.get("x-kubernetes-validations").items().iter().enumerate() {
        let here = path.child("x-kubernetes-validations").index(i);
        let text = |name: &str| rule.get(name).str_or_empty();
        let (message, expression) = (text("message"), text("messageExpression"));
        if text("rule").trim().is_empty() {
            errs.required(here.child("rule"), "rule is not specified");
        } else if !message.is_empty() && message.trim().is_empty() {
            errs.invalid(here.child("message"), message, "must be non-empty if specified");
        } else if message.trim().contains(BREAKS) {
            errs.invalid(here.child("message"), message, "must not contain line breaks");
        } else if text("rule").trim().contains(BREAKS) && message.trim().is_empty() {
            errs.required(here.child("message"), "message must be specified if rule contains line breaks");
        }
        if !expression.is_empty() && expression.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            errs.required(here.child("messageExpression"), detail);
        }
        if let Some(reason) = rule.get("reason").as_str()
            && !REASONS.contains(&reason)
        {
            errs.not_supported(here.child("reason"), reason, REASONS);
        }
        let place = here.child("fieldPath");
        let field = text("fieldPath");
        if !field.is_empty() && field.trim().is_empty() {
            errs.invalid(&place, field, "must be non-empty if specified");
        }
        if field.contains(BREAKS) {
            errs.invalid(&place, field, "must not contain line breaks");
        }
        let valid =
            || structural::conversion_error(schema).is_some() || field_path::resolve(field, schema, true).is_ok();
        if !field.is_empty() && !valid() {
            errs.invalid(&place, field, "must be a valid path");
        }
    }
}
