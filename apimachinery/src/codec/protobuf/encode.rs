//! A [`Value`] into a message, with the zero values that upstream's generated code writes.

use super::envelope::{MAGIC, unknown_tail};
use super::wire::{FIXED64, write_bytes, write_int, write_message, write_tag};
use crate::codec::base64;
use crate::schema::{Field, Form, Shape, Slot, Type};
use crate::time::{Duration, Timestamp, ZERO_MICRO_TEXT, ZERO_TEXT};
use crate::value::{Map, NULL, Value};

/// Appends the message of a value.
pub fn encode(value: &Value, ty: &Type, out: &mut Vec<u8>) {
    match (&ty.form, value) {
        (Form::Struct, Value::Map(map)) => structure(map, ty, out),
        (Form::Struct, _) => structure(&Map::new(), ty, out),
        (Form::Named(shape), value) => message(value, shape, out),
    }
}

/// Appends a value in its envelope: magic number, apiVersion, kind, message.
pub fn encode_object(value: &Value, ty: &Type, api_version: &str, kind: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    write_message(1, out, |out| {
        write_bytes(1, api_version.as_bytes(), out);
        write_bytes(2, kind.as_bytes(), out);
    });
    write_message(2, out, |out| encode(value, ty, out));
    unknown_tail(out);
}

fn structure(map: &Map, ty: &Type, out: &mut Vec<u8>) {
    for wire in ty.wire.iter() {
        match &wire.slot {
            Slot::Inline { ty, .. } => write_message(wire.tag, out, |out| structure(map, ty, out)),
            Slot::Field(index) => {
                let field = &ty.fields[usize::from(*index)];
                let value = map.get(&field.json_name).unwrap_or(&NULL);
                write_field(value, field, wire.tag, out);
            }
        }
    }
}

fn write_field(value: &Value, field: &Field, tag: u32, out: &mut Vec<u8>) {
    match (&field.shape, value) {
        (Shape::List(element), value) => value.items().iter().for_each(|item| write_element(item, element, tag, out)),
        (Shape::Map(element), value) => value.entries().for_each(|(k, v)| {
            write_message(tag, out, |out| {
                write_bytes(1, k.as_bytes(), out);
                if !(matches!(**element, Shape::Bytes) && v.is_null()) {
                    write_element(v, element, 2, out);
                }
            });
        }),
        (Shape::Bytes | Shape::WrappedStrings, Value::Null) => {}
        (_, Value::Null) if field.pointer => {}
        (shape, value) => write_element(value, shape, tag, out),
    }
}

/// Appends one value with its tag, zero or not.
fn write_element(value: &Value, shape: &Shape, tag: u32, out: &mut Vec<u8>) {
    match shape {
        Shape::Bool => write_int(tag, i64::from(value.as_bool().unwrap_or(false)), out),
        Shape::Int32 | Shape::Int64 | Shape::Uint32 | Shape::Uint64 => write_int(tag, value.as_i64().unwrap_or(0), out),
        Shape::Float64 => {
            write_tag(tag, FIXED64, out);
            out.extend_from_slice(&value.as_f64().unwrap_or(0.0).to_bits().to_le_bytes());
        }
        Shape::String => write_bytes(tag, value.str_or_empty().as_bytes(), out),
        // Values hold base64 that was decoded before; text set by code that is none becomes no bytes.
        Shape::Bytes => write_bytes(tag, &base64::decode(value.str_or_empty().as_bytes()).unwrap_or_default(), out),
        shape => write_message(tag, out, |out| message(value, shape, out)),
    }
}

/// Appends the inside of a message of one of the shapes that are messages.
fn message(value: &Value, shape: &Shape, out: &mut Vec<u8>) {
    match shape {
        Shape::Struct(ty) => match value {
            Value::Map(map) => structure(map, ty, out),
            _ => structure(&Map::new(), ty, out),
        },
        Shape::Nullable(inner) => message(value, inner, out),
        Shape::Time => time(value, Timestamp::parse, false, out),
        Shape::MicroTime => time(value, Timestamp::parse_micro, true, out),
        Shape::Duration => {
            write_int(1, Duration::parse(value.as_str().unwrap_or("0")).unwrap_or_default().nanos(), out);
        }
        Shape::Quantity => write_bytes(1, value.as_str().unwrap_or("0").as_bytes(), out),
        Shape::IntOrString => {
            let text = value.as_str();
            write_int(1, i64::from(text.is_some()), out);
            write_int(2, value.as_i64().unwrap_or(0), out);
            write_bytes(3, text.unwrap_or("").as_bytes(), out);
        }
        Shape::RawExtension | Shape::FieldsV1 | Shape::Json => raw(value, 1, out),
        Shape::Unknown => unknown(value, out),
        Shape::WrappedStrings => value.items().iter().for_each(|v| write_bytes(1, v.str_or_empty().as_bytes(), out)),
        Shape::SchemaOrBool(ty) => {
            write_int(1, i64::from(matches!(value, Value::Map(_) | Value::Bool(true))), out);
            if let Value::Map(map) = value {
                write_message(2, out, |out| structure(map, ty, out));
            }
        }
        Shape::SchemaOrArray(ty) | Shape::SchemaOrStrings(ty) => {
            if let Value::Map(map) = value {
                write_message(1, out, |out| structure(map, ty, out));
            }
            let strings = matches!(shape, Shape::SchemaOrStrings(_));
            for item in value.items() {
                if strings {
                    write_bytes(2, item.str_or_empty().as_bytes(), out);
                } else {
                    write_message(2, out, |out| encode(item, ty, out));
                }
            }
        }
        _ => {}
    }
}

fn time(
    value: &Value,
    parse: impl Fn(&str) -> Result<Timestamp, crate::time::TimeError>,
    micro: bool,
    out: &mut Vec<u8>,
) {
    let text = value.as_str().unwrap_or("");
    if matches!(text, "" | ZERO_TEXT | ZERO_MICRO_TEXT) {
        return;
    }
    let Ok(time) = parse(text) else { return };
    write_int(1, time.seconds, out);
    write_int(2, if micro { i64::from(time.nanos) } else { 0 }, out);
}

/// Appends embedded JSON as it is; trees that code put there are written out.
fn raw(value: &Value, tag: u32, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Raw(text) => write_bytes(tag, text.as_bytes(), out),
        tree => write_bytes(tag, crate::codec::json::to_string(tree).as_bytes(), out),
    }
}

fn unknown(value: &Value, out: &mut Vec<u8>) {
    write_message(1, out, |out| {
        write_bytes(1, b"", out);
        write_bytes(2, b"", out);
    });
    raw(value, 2, out);
    write_bytes(3, b"", out);
    write_bytes(4, if value.is_null() { b"" } else { b"application/json" }, out);
}
