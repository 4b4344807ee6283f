//! A v3 document as protobuf (gnostic's openapi.v3.Document). It takes what our documents have, not all of OpenAPI.

use super::gnostic::{additional, any, bounds, extensions, flag, named, strings, text};
use crate::codec::protobuf::wire::{FIXED64, VARINT, write_bytes, write_message, write_tag, write_varint};
use crate::value::Value;

type Out = Vec<u8>;

/// Appends the message of a v3 document.
pub fn encode_v3(document: &Value, out: &mut Vec<u8>) {
    text(1, document, "openapi", out);
    write_message(2, out, |out| {
        let info = document.get("info");
        text(1, info, "title", out);
        text(6, info, "version", out);
    });
    write_message(4, out, |out| named(1, document.get("paths"), out, path_item));
    let components = document.get("components");
    if components.is_null() {
        return;
    }
    write_message(5, out, |out| {
        if components.has("schemas") {
            write_message(1, out, |out| named(1, components.get("schemas"), out, schema_or_reference));
        }
        if components.has("securitySchemes") {
            write_message(7, out, |out| {
                named(1, components.get("securitySchemes"), out, |item, out| {
                    write_message(1, out, |out| security_scheme(item, out));
                });
            });
        }
    });
}

fn security_scheme(item: &Value, out: &mut Out) {
    text(1, item, "type", out);
    text(2, item, "description", out);
    text(3, item, "name", out);
    text(4, item, "in", out);
}

fn path_item(item: &Value, out: &mut Out) {
    for (tag, method) in (4..).zip(["get", "put", "post", "delete", "options", "head", "patch"]) {
        if item.has(method) {
            write_message(tag, out, |out| operation(item.get(method), out));
        }
    }
    parameters(13, item.get("parameters"), out);
}

fn parameters(tag: u32, list: &Value, out: &mut Out) {
    for item in list.items() {
        write_message(tag, out, |out| write_message(1, out, |out| parameter(item, out)));
    }
}

fn parameter(item: &Value, out: &mut Out) {
    text(1, item, "name", out);
    text(2, item, "in", out);
    text(3, item, "description", out);
    flag(4, item, "required", out);
    if item.has("schema") {
        write_message(10, out, |out| schema_or_reference(item.get("schema"), out));
    }
}

fn operation(item: &Value, out: &mut Out) {
    strings(1, item.get("tags"), out);
    text(3, item, "description", out);
    text(5, item, "operationId", out);
    parameters(6, item.get("parameters"), out);
    let body = item.get("requestBody");
    if !body.is_null() {
        write_message(7, out, |out| {
            write_message(1, out, |out| {
                text(1, body, "description", out);
                content(2, body, out);
                flag(3, body, "required", out);
            });
        });
    }
    write_message(8, out, |out| {
        named(2, item.get("responses"), out, |response, out| {
            write_message(1, out, |out| {
                text(1, response, "description", out);
                content(3, response, out);
            });
        });
    });
    extensions(13, item, out);
}

/// The media types of a body.
fn content(tag: u32, of: &Value, out: &mut Out) {
    if !of.has("content") {
        return;
    }
    write_message(tag, out, |out| {
        named(1, of.get("content"), out, |media, out| {
            if media.has("schema") {
                write_message(1, out, |out| schema_or_reference(media.get("schema"), out));
            }
        });
    });
}

fn schema_or_reference(item: &Value, out: &mut Out) {
    if item.has("$ref") {
        write_message(2, out, |out| text(1, item, "$ref", out));
    } else {
        write_message(1, out, |out| schema(item, out));
    }
}

fn schema(item: &Value, out: &mut Out) {
    flag(1, item, "nullable", out);
    text(9, item, "title", out);
    bounds(15, item, out);
    text(17, item, "pattern", out);
    flag(20, item, "uniqueItems", out);
    strings(23, item.get("required"), out);
    item.get("enum").items().iter().for_each(|value| any(24, value, out));
    text(25, item, "type", out);
    for (tag, key) in [(26, "allOf"), (27, "oneOf"), (28, "anyOf")] {
        for part in item.get(key).items() {
            write_message(tag, out, |out| schema_or_reference(part, out));
        }
    }
    if item.has("items") {
        write_message(30, out, |out| write_message(1, out, |out| schema_or_reference(item.get("items"), out)));
    }
    if item.has("properties") {
        write_message(31, out, |out| named(1, item.get("properties"), out, schema_or_reference));
    }
    additional(32, item, out, schema_or_reference);
    default(item.get("default"), out);
    text(34, item, "description", out);
    text(35, item, "format", out);
    extensions(36, item, out);
}

/// A default is a number, a boolean or a string; of any other only its presence is told.
fn default(value: &Value, out: &mut Out) {
    if value.is_null() {
        return;
    }
    write_message(33, out, |out| match value {
        Value::Bool(value) => {
            write_tag(2, VARINT, out);
            write_varint(u64::from(*value), out);
        }
        Value::Str(value) => write_bytes(3, value.as_bytes(), out),
        other => {
            if let Some(number) = other.as_f64() {
                write_tag(1, FIXED64, out);
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::encode_v3;
    use crate::codec::protobuf::support::{bytes_field, each};
    use crate::openapi::v3;

    #[test]
    fn has_schemas_and_paths() {
        let mut out = Vec::new();
        encode_v3(&v3::document("apps", "v1"), &mut out);
        assert_eq!(bytes_field(&out, 1).unwrap(), Some(&b"3.0.0"[..]));
        let schemas = bytes_field(bytes_field(&out, 5).unwrap().unwrap(), 1).unwrap().unwrap();
        let mut found = false;
        each(schemas, 1, |entry| {
            found |= bytes_field(entry, 1)? == Some(b"io.k8s.api.apps.v1.DaemonSet");
            Ok(())
        })
        .unwrap();
        assert!(found);
    }
}
