//! The v2 document as protobuf (gnostic's openapi.v2.Document), which older clients ask for.

use crate::codec::protobuf::wire::{VARINT, write_bytes, write_int, write_message, write_tag, write_varint};
use crate::codec::yaml;
use crate::value::Value;

type Out = Vec<u8>;

/// Appends the message of a v2 document.
pub fn encode_v2(document: &Value, out: &mut Vec<u8>) {
    text(1, document, "swagger", out);
    write_message(2, out, |out| {
        text(1, document.get("info"), "title", out);
        text(2, document.get("info"), "version", out);
    });
    write_message(8, out, |out| named(2, document.get("paths"), out, path_item));
    write_message(9, out, |out| named(1, document.get("definitions"), out, schema));
    write_message(10, out, |out| named(1, document.get("parameters"), out, parameter));
    for requirement in document.get("security").items() {
        write_message(12, out, |out| named(1, requirement, out, |values, out| strings(1, values, out)));
    }
    let definitions = document.get("securityDefinitions");
    write_message(13, out, |out| {
        named(1, definitions, out, |item, out| write_message(2, out, |out| api_key(item, out)))
    });
}

/// A string member, if it is not empty.
pub(super) fn text(tag: u32, of: &Value, key: &str, out: &mut Out) {
    if let Some(text) = of.get(key).as_str().filter(|t| !t.is_empty()) {
        write_bytes(tag, text.as_bytes(), out);
    }
}

/// A boolean member, if it is true.
pub(super) fn flag(tag: u32, of: &Value, key: &str, out: &mut Out) {
    if of.get(key).as_bool() == Some(true) {
        write_tag(tag, VARINT, out);
        write_varint(1, out);
    }
}

pub(super) fn strings(tag: u32, list: &Value, out: &mut Out) {
    list.items().iter().filter_map(Value::as_str).for_each(|s| write_bytes(tag, s.as_bytes(), out));
}

/// The entries of a map as `{name = 1, value = 2}`.
pub(super) fn named(tag: u32, map: &Value, out: &mut Out, value: impl Fn(&Value, &mut Out)) {
    for (name, entry) in map.entries() {
        write_message(tag, out, |out| {
            write_bytes(1, name.as_bytes(), out);
            write_message(2, out, |out| value(entry, out));
        });
    }
}

/// Members with a name of x-… as YAML text.
pub(super) fn extensions(tag: u32, of: &Value, out: &mut Out) {
    for (name, value) in of.entries().filter(|(name, _)| name.starts_with("x-")) {
        write_message(tag, out, |out| {
            write_bytes(1, name.as_bytes(), out);
            write_message(2, out, |out| write_bytes(2, yaml::encode(value).as_bytes(), out));
        });
    }
}

fn api_key(item: &Value, out: &mut Out) {
    text(1, item, "type", out);
    text(2, item, "name", out);
    text(3, item, "in", out);
    text(4, item, "description", out);
}

fn path_item(item: &Value, out: &mut Out) {
    for (tag, method) in (2..).zip(["get", "put", "post", "delete", "options", "head", "patch"]) {
        if !item.get(method).is_null() {
            write_message(tag, out, |out| operation(item.get(method), out));
        }
    }
    parameters(9, item.get("parameters"), out);
}

/// Parameters in place or as references.
fn parameters(tag: u32, list: &Value, out: &mut Out) {
    for item in list.items() {
        write_message(tag, out, |out| {
            if item.has("$ref") {
                write_message(2, out, |out| text(1, item, "$ref", out));
            } else {
                write_message(1, out, |out| parameter(item, out));
            }
        });
    }
}

fn parameter(item: &Value, out: &mut Out) {
    let place = item.get("in").str_or_empty();
    if place == "body" {
        return write_message(1, out, |out| {
            text(1, item, "description", out);
            text(2, item, "name", out);
            text(3, item, "in", out);
            flag(4, item, "required", out);
            write_message(5, out, |out| schema(item.get("schema"), out));
        });
    }
    // Query parameters have one field more than path parameters, in front of the type.
    let (kind, shift) = if place == "path" { (4, 0) } else { (3, 1) };
    write_message(2, out, |out| {
        write_message(kind, out, |out| {
            flag(1, item, "required", out);
            text(2, item, "in", out);
            text(3, item, "description", out);
            text(4, item, "name", out);
            text(5 + shift, item, "type", out);
            flag(19 + shift, item, "uniqueItems", out);
        });
    });
}

fn operation(item: &Value, out: &mut Out) {
    strings(1, item.get("tags"), out);
    text(3, item, "description", out);
    text(5, item, "operationId", out);
    strings(6, item.get("produces"), out);
    strings(7, item.get("consumes"), out);
    parameters(8, item.get("parameters"), out);
    write_message(9, out, |out| {
        named(1, item.get("responses"), out, |r, out| write_message(1, out, |out| response(r, out)))
    });
    strings(10, item.get("schemes"), out);
    extensions(13, item, out);
}

fn response(item: &Value, out: &mut Out) {
    text(1, item, "description", out);
    if !item.get("schema").is_null() {
        write_message(2, out, |out| write_message(1, out, |out| schema(item.get("schema"), out)));
    }
}

/// The bounds of a schema: in both versions they begin with maxLength and keep the same distances.
pub(super) fn bounds(first_tag: u32, item: &Value, out: &mut Out) {
    for (distance, key) in [
        (0, "maxLength"),
        (1, "minLength"),
        (3, "maxItems"),
        (4, "minItems"),
        (6, "maxProperties"),
        (7, "minProperties"),
    ] {
        if let Some(n) = item.get(key).as_i64().filter(|n| *n != 0) {
            write_int(first_tag + distance, n, out);
        }
    }
}

/// What properties are allowed besides those named: yes, no, or a schema.
pub(super) fn additional(tag: u32, item: &Value, out: &mut Out, schema: impl Fn(&Value, &mut Out)) {
    match item.get("additionalProperties") {
        Value::Null => {}
        Value::Bool(allowed) => write_message(tag, out, |out| write_int(2, i64::from(*allowed), out)),
        inner => write_message(tag, out, |out| write_message(1, out, |out| schema(inner, out))),
    }
}

pub(super) fn any(tag: u32, value: &Value, out: &mut Out) {
    write_message(tag, out, |out| write_bytes(2, yaml::encode(value).as_bytes(), out));
}

fn schema(item: &Value, out: &mut Out) {
    text(1, item, "$ref", out);
    text(2, item, "format", out);
    text(3, item, "title", out);
    text(4, item, "description", out);
    if !item.get("default").is_null() {
        any(5, item.get("default"), out);
    }
    text(13, item, "pattern", out);
    bounds(11, item, out);
    strings(19, item.get("required"), out);
    item.get("enum").items().iter().for_each(|value| any(20, value, out));
    additional(21, item, out, schema);
    if let Some(ty) = item.get("type").as_str() {
        write_message(22, out, |out| write_bytes(1, ty.as_bytes(), out));
    }
    if !item.get("items").is_null() {
        write_message(23, out, |out| write_message(1, out, |out| schema(item.get("items"), out)));
    }
    if !item.get("properties").is_null() {
        write_message(25, out, |out| named(1, item.get("properties"), out, schema));
    }
    extensions(31, item, out);
}

#[cfg(test)]
mod tests {
    use super::encode_v2;
    use crate::codec::protobuf::support::{bytes_field, each};
    use crate::openapi::v2;

    #[test]
    fn has_definitions() {
        let mut out = Vec::new();
        encode_v2(&v2::document(&[("", "v1"), ("apps", "v1")], &[]), &mut out);
        assert_eq!(bytes_field(&out, 1).unwrap(), Some(&b"2.0"[..]));
        let definitions = bytes_field(&out, 9).unwrap().unwrap();
        let mut pod = false;
        each(definitions, 1, |entry| {
            pod |= bytes_field(entry, 1)? == Some(b"io.k8s.api.core.v1.Pod");
            Ok(())
        })
        .unwrap();
        assert!(pod);
    }
}
