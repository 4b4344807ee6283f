//! Checks of metadata that all resources share, on create and on update.
//!
//! upstream: staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go

use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::names;
use apimachinery::value::{Cursor, Value};

use super::strategy::NameRule;

/// Annotations of one object, all keys and values together, in bytes.
const MAX_ANNOTATIONS: usize = 256 << 10;
const MAX_FIELD_MANAGER: usize = 128;
const MAX_SUBRESOURCE: usize = 256;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What is wrong with a name under a rule; `prefix` for generateName.
pub fn check_name(rule: NameRule, name: &str, prefix: bool) -> Vec<String> {
    let masked = if prefix { names::mask_trailing_dash(name) } else { name.to_owned() };
    match rule {
        NameRule::Dns1123Subdomain => names::dns1123_subdomain(&masked),
        NameRule::Dns1123Label => names::dns1123_label(&masked),
        NameRule::Dns1035Label => names::dns1035_label(&masked),
        NameRule::PathSegment if prefix => names::path_segment_prefix(name),
        NameRule::PathSegment => names::path_segment_name(name),
        NameRule::Custom(check) => check(name, prefix),
    }
}

/// Checks metadata as on create, with the kind's rule for names.
pub fn validate(meta: Cursor<'_>, namespaced: bool, rule: NameRule, errs: &mut Errors) {
    let generate_name = meta.field("generateName");
    if !generate_name.str().is_empty() {
        errs.invalid_each(generate_name, generate_name.str(), check_name(rule, generate_name.str(), true));
    }
    let name = meta.field("name");
    if name.str().is_empty() {
        errs.required(name, "name or generateName is required");
    } else {
        errs.invalid_each(name, name.str(), check_name(rule, name.str(), false));
    }
    let namespace = meta.field("namespace");
    match (namespaced, namespace.str()) {
        (true, "") => errs.required(namespace, ""),
        (true, text) => errs.invalid_each(namespace, text, names::dns1123_label(text)),
        (false, "") => {}
        (false, _) => errs.forbidden(namespace, "not allowed on this type"),
    }
    let generation = meta.field("generation");
    if generation.i64() < 0 {
        errs.invalid(generation, generation.i64(), "must be greater than or equal to 0");
    }
    labels(meta.field("labels"), errs);
    annotations(meta.field("annotations"), errs);
    owner_references(meta.field("ownerReferences"), errs);
    finalizers(meta.field("finalizers"), errs);
    managed_fields(meta.field("managedFields"), errs);
}

/// Checks what may not change. The kind's rule for names does not matter here.
pub fn validate_update(meta: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    if old.field("deletionTimestamp").exists() {
        no_new_finalizers(meta.field("finalizers"), old.field("finalizers"), errs);
    }
    if meta.field("resourceVersion").str().is_empty() {
        errs.invalid(meta.field("resourceVersion"), "", "must be specified for an update");
    }
    let generation = meta.field("generation");
    if generation.i64() < old.field("generation").i64() {
        errs.invalid(generation, generation.i64(), "must not be decremented");
    }
    for name in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let field = meta.field(name);
        if field.value() != old.field(name).value() {
            errs.invalid(field, immutable_value(field.value(), name), "field is immutable");
        }
    }
    labels(meta.field("labels"), errs);
    annotations(meta.field("annotations"), errs);
    owner_references(meta.field("ownerReferences"), errs);
    managed_fields(meta.field("managedFields"), errs);
}

fn immutable_value(value: &Value, name: &str) -> BadValue {
    match value {
        Value::Str(text) => BadValue::Str(text.to_string()),
        Value::Int(number) => BadValue::Literal(number.to_string()),
        _ if matches!(name, "name" | "namespace" | "uid") => BadValue::Str(String::new()),
        _ => BadValue::null(),
    }
}

/// Checks the keys and values of labels.
pub fn labels(labels: Cursor<'_>, errs: &mut Errors) {
    let path = labels.path();
    for (key, value) in labels.value().entries() {
        errs.invalid_each(path.clone(), key, names::qualified_name(key));
        let value = value.str_or_empty();
        errs.invalid_each(path.clone(), value, names::label_value(value));
    }
}

/// Checks the keys of annotations and their size.
pub fn annotations(annotations: Cursor<'_>, errs: &mut Errors) {
    let path = annotations.path();
    let mut size = 0;
    for (key, value) in annotations.value().entries() {
        errs.invalid_each(path.clone(), key, names::qualified_name(&key.to_lowercase()));
        size += key.len() + value.str_or_empty().len();
    }
    if size > MAX_ANNOTATIONS {
        errs.too_long(path, MAX_ANNOTATIONS);
    }
}

fn owner_references(refs: Cursor<'_>, errs: &mut Errors) {
    let path = refs.path();
    let mut controller: Option<String> = None;
    for owner in refs.value().items() {
        owner_reference(owner, &path, errs);
        if owner.get("controller").as_bool() != Some(true) {
            continue;
        }
        let this = format!("{}/{}", owner.get("kind").str_or_empty(), owner.get("name").str_or_empty());
        match &controller {
            Some(first) => errs.invalid(
                path.clone(),
                owners_text(refs.value()),
                format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                ),
            ),
            None => controller = Some(this),
        }
    }
}

fn owner_reference(owner: &Value, path: &Path, errs: &mut Errors) {
    let api_version = owner.get("apiVersion").str_or_empty();
    let kind = owner.get("kind").str_or_empty();
    let version = api_version.rsplit_once('/').map_or(api_version, |(_, v)| v);
    if version.is_empty() || api_version.matches('/').count() > 1 {
        errs.invalid(path.child("apiVersion"), api_version, "version must not be empty");
    }
    for field in ["kind", "name", "uid"] {
        let text = owner.get(field).str_or_empty();
        if text.is_empty() {
            errs.invalid(path.child(field), text, "must not be empty");
        }
    }
    if api_version == "v1" && kind == "Event" {
        errs.invalid(path.clone(), owner_text(owner), "/v1, Kind=Event is disallowed from being an owner");
    }
}

/// An owner reference as JSON, in Go's field order.
fn owner_text(owner: &Value) -> BadValue {
    let mut parts = Vec::new();
    for field in ["apiVersion", "kind", "name", "uid"] {
        parts.push(format!("\"{field}\":{}", apimachinery::quote::json_string(owner.get(field).str_or_empty())));
    }
    for field in ["controller", "blockOwnerDeletion"] {
        if let Some(flag) = owner.get(field).as_bool() {
            parts.push(format!("\"{field}\":{flag}"));
        }
    }
    BadValue::json(format!("{{{}}}", parts.join(",")))
}

fn owners_text(owners: &Value) -> BadValue {
    let all: Vec<String> = owners.items().iter().map(|o| owner_text(o).to_string()).collect();
    BadValue::json(format!("[{}]", all.join(",")))
}

fn finalizers(list: Cursor<'_>, errs: &mut Errors) {
    let path = list.path();
    let all: Vec<&str> = list.value().items().iter().map(Value::str_or_empty).collect();
    for name in &all {
        errs.invalid_each(path.clone(), *name, names::qualified_name(name));
    }
    if all.contains(&ORPHAN) && all.contains(&FOREGROUND) {
        let quoted: Vec<String> = all.iter().map(|f| apimachinery::quote::json_string(f)).collect();
        errs.invalid(
            path,
            BadValue::json(format!("[{}]", quoted.join(","))),
            format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set"),
        );
    }
}

fn no_new_finalizers(new: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let had = old.value().items();
    let mut extra: Vec<&str> =
        new.value().items().iter().filter(|f| !had.contains(f)).map(Value::str_or_empty).collect();
    if extra.is_empty() {
        return;
    }
    extra.sort_unstable();
    extra.dedup();
    let quoted: Vec<String> = extra.iter().map(|f| apimachinery::quote::quote(f)).collect();
    errs.forbidden(
        new,
        format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            quoted.join(", ")
        ),
    );
}

fn managed_fields(list: Cursor<'_>, errs: &mut Errors) {
    for entry in list.list() {
        let operation = entry.field("operation");
        if !matches!(operation.str(), "Apply" | "Update") {
            errs.invalid(operation, operation.str(), "must be `Apply` or `Update`");
        }
        let fields_type = entry.field("fieldsType");
        if !matches!(fields_type.str(), "" | "FieldsV1") {
            errs.invalid(fields_type, fields_type.str(), "must be `FieldsV1`");
        }
        field_manager(entry.field("manager").str(), entry.field("manager").path(), errs);
        let subresource = entry.field("subresource");
        if subresource.str().len() > MAX_SUBRESOURCE {
            errs.too_long(subresource, MAX_SUBRESOURCE);
        }
    }
}

/// Checks the name of a field manager.
pub fn field_manager(name: &str, path: Path, errs: &mut Errors) {
    if name.len() > MAX_FIELD_MANAGER {
        errs.too_long(path.clone(), MAX_FIELD_MANAGER);
    }
    for (at, c) in name.char_indices().filter(|(_, c)| !is_print(*c)) {
        let shown = if c.is_control() { String::new() } else { format!(" '{c}'") };
        errs.invalid(path.clone(), name, format!("invalid character U+{:04X}{shown} (at position {at})", c as u32));
    }
}

/// Go's unicode.IsPrint, near enough: letters, marks, numbers, punctuation, symbols, and the ASCII space.
pub fn is_print(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace() || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}'))
}
