//! A [`Value`] into JSON text as Go writes it.

use super::text::{compact_raw, write_float, write_float32, write_string};
use crate::schema::{Field, Form, Shape, Type};
use crate::time::{ZERO_MICRO_TEXT, ZERO_TEXT};
use crate::value::{Map, Value};

/// Appends a value of a type, compact, without a final newline. Fields come in declaration order; what the value leaves out is put back as Go writes it.
pub fn encode(value: &Value, ty: &Type, out: &mut Vec<u8>) {
    if ty.extra.preserve_unknown || ty.extra.unstructured {
        return encode_untyped(value, out);
    }
    match (&ty.form, value) {
        (Form::Struct, Value::Map(map)) => structure(map, ty, out),
        (Form::Struct, Value::Null) => structure(&Map::new(), ty, out),
        (Form::Named(shape), value) => element(value, shape, out),
        (Form::Struct, value) => encode_untyped(value, out),
    }
}

/// Appends a value without a schema, keys sorted.
pub fn encode_untyped(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Int(n) => integer(*n, out),
        Value::Float(f) => write_float(*f, out),
        Value::Str(s) => write_string(s, out),
        Value::List(items) => list(items, out, encode_untyped),
        Value::Map(map) => entries(map, out, encode_untyped),
        Value::Raw(raw) => compact_raw(raw.as_bytes(), out),
    }
}

/// A value without a schema as text.
pub fn to_string(value: &Value) -> String {
    let mut out = Vec::new();
    encode_untyped(value, &mut out);
    String::from_utf8(out).expect("strings are UTF-8 and the rest is ASCII")
}

fn integer(n: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn list(items: &[Value], out: &mut Vec<u8>, mut write: impl FnMut(&Value, &mut Vec<u8>)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

fn entries(map: &Map, out: &mut Vec<u8>, mut write: impl FnMut(&Value, &mut Vec<u8>)) {
    out.push(b'{');
    for (i, (key, value)) in map.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

fn structure(map: &Map, ty: &Type, out: &mut Vec<u8>) {
    let start = out.len();
    for field in ty.fields.iter() {
        let value = map.get(&field.json_name).unwrap_or(&crate::value::NULL);
        if dropped(field, value) {
            continue;
        }
        out.push(b',');
        write_string(&field.json_name, out);
        out.push(b':');
        if value.is_null() {
            zero(field, out);
        } else {
            element(value, &field.shape, out);
        }
    }
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// True if Go leaves the field out.
fn dropped(field: &Field, value: &Value) -> bool {
    if field.omitzero && !field.pointer {
        return value.is_null() || matches!(value, Value::Map(m) if m.is_empty()) || is_zero_time(value);
    }
    if !field.omitempty {
        return false;
    }
    if field.pointer {
        return value.is_null();
    }
    match value {
        Value::Null => !always_written(&field.shape),
        Value::List(l) => l.is_empty() && matches!(field.shape, Shape::List(_) | Shape::WrappedStrings),
        Value::Map(m) => m.is_empty() && matches!(field.shape, Shape::Map(_)),
        Value::Str(s) => s.is_empty() && matches!(field.shape, Shape::String | Shape::Bytes),
        Value::Bool(b) => !b && matches!(field.shape, Shape::Bool),
        Value::Int(n) => *n == 0 && !matches!(field.shape, Shape::IntOrString),
        Value::Float(f) => *f == 0.0,
        Value::Raw(_) => false,
    }
}

fn is_zero_time(value: &Value) -> bool {
    matches!(value, Value::Str(s) if **s == *ZERO_TEXT)
}

/// Shapes that omitempty never drops: in Go they are structs.
pub(crate) fn always_written(shape: &Shape) -> bool {
    !matches!(
        shape,
        Shape::Bool
            | Shape::Int32
            | Shape::Int64
            | Shape::Uint32
            | Shape::Uint64
            | Shape::Float32
            | Shape::Float64
            | Shape::String
            | Shape::Bytes
            | Shape::Any
            | Shape::List(_)
            | Shape::Map(_)
            | Shape::WrappedStrings
    )
}

/// Appends what Go writes for the zero value of a field.
pub fn zero(field: &Field, out: &mut Vec<u8>) {
    if field.pointer {
        out.extend_from_slice(b"null");
    } else {
        zero_shape(&field.shape, out);
    }
}

/// Appends what Go writes for the zero value of a shape that is no pointer.
pub(crate) fn zero_shape(shape: &Shape, out: &mut Vec<u8>) {
    out.extend_from_slice(match shape {
        Shape::String => b"\"\"",
        Shape::Bool | Shape::SchemaOrBool(_) => b"false",
        Shape::Int32 | Shape::Int64 | Shape::Uint32 | Shape::Uint64 => b"0",
        Shape::Float32 | Shape::Float64 | Shape::IntOrString | Shape::TimeOrMetaDuration => b"0",
        Shape::Duration => b"\"0s\"",
        Shape::Quantity => b"\"0\"",
        Shape::Struct(ty) => return structure(&Map::new(), ty, out),
        _ => b"null",
    });
}

/// Appends a present value.
fn element(value: &Value, shape: &Shape, out: &mut Vec<u8>) {
    match (shape, value) {
        (Shape::Struct(ty), Value::Map(map)) if !ty.extra.unstructured => structure(map, ty, out),
        (Shape::List(inner), Value::List(items)) => list(items, out, |v, out| element(v, inner, out)),
        (Shape::Map(inner), Value::Map(map)) => entries(map, out, |v, out| element(v, inner, out)),
        (Shape::Nullable(_), Value::Null) => out.extend_from_slice(b"null"),
        (Shape::Nullable(inner), value) => element(value, inner, out),
        (Shape::SchemaOrBool(ty) | Shape::SchemaOrArray(ty) | Shape::SchemaOrStrings(ty), Value::Map(map)) => {
            structure(map, ty, out)
        }
        (Shape::SchemaOrArray(_) | Shape::SchemaOrStrings(_), Value::List(l)) if l.is_empty() => {
            out.extend_from_slice(b"null")
        }
        (Shape::SchemaOrArray(ty), Value::List(items)) => list(items, out, |v, out| encode(v, ty, out)),
        (Shape::Uint64, Value::Int(n)) => {
            out.extend_from_slice(itoa::Buffer::new().format(n.cast_unsigned()).as_bytes())
        }
        (Shape::Float32, Value::Float(f)) => write_float32(*f, out),
        (Shape::Time | Shape::MicroTime, Value::Str(s)) => time(s, out),
        (Shape::Any | Shape::RawExtension | Shape::Unknown | Shape::FieldsV1 | Shape::Json, value) => {
            encode_untyped(value, out)
        }
        (shape, Value::Null) => zero_shape(shape, out),
        (_, value) => encode_untyped(value, out),
    }
}

fn time(text: &str, out: &mut Vec<u8>) {
    match text {
        ZERO_TEXT | ZERO_MICRO_TEXT => out.extend_from_slice(b"null"),
        // The zero second with a fraction is a time, but the fraction is not shown.
        _ if text.starts_with("0001-01-01T00:00:00.1Z") => write_string(ZERO_TEXT, out),
        _ => write_string(text, out),
    }
}

/// Indents compact JSON by two spaces per level, as Go does. The text must be valid JSON.
pub fn indent(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped, mut opened) = (0usize, false, false, false);
    let newline = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    for &c in json {
        if in_string {
            out.push(c);
            match c {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        if matches!(c, b' ' | b'\t' | b'\r' | b'\n') {
            continue;
        }
        let closes = matches!(c, b'}' | b']');
        if opened && !closes {
            depth += 1;
            newline(&mut out, depth);
        } else if closes && !opened {
            depth = depth.saturating_sub(1);
            newline(&mut out, depth);
        }
        opened = matches!(c, b'{' | b'[');
        out.push(c);
        match c {
            b'"' => in_string = true,
            b',' => newline(&mut out, depth),
            b':' => out.push(b' '),
            _ => {}
        }
    }
    out
}
