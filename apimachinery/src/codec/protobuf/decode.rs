//! A message into a [`Value`] in normal form.

use super::wire::{BYTES, FIXED64, MAX_DEPTH, Reader, Res, VARINT, WireError};
use crate::codec::json::normal;
use crate::codec::{base64, special};
use crate::schema::{Field, Form, Shape, Slot, Type};
use crate::time::{Duration, Timestamp, ZERO_TEXT};
use crate::value::{Key, Map, Value};

/// Decodes a message of a type. The root has no apiVersion and kind: they are in the envelope.
pub fn decode(bytes: &[u8], ty: &Type) -> Result<Value, WireError> {
    match &ty.form {
        Form::Struct => structure(bytes, ty, 0),
        Form::Named(shape) => message(bytes, shape, 0),
    }
}

/// Members found so far, by index of the field.
struct Members {
    found: Vec<(u16, Value)>,
    seen: u128,
}

impl Members {
    fn slot(&mut self, index: u16, make: impl FnOnce() -> Value) -> &mut Value {
        let at = match self.found.iter().rposition(|(i, _)| *i == index) {
            Some(at) => at,
            None => {
                self.found.push((index, make()));
                self.found.len() - 1
            }
        };
        &mut self.found[at].1
    }

    /// Stores a singular field: messages merge, the last scalar wins.
    fn store(&mut self, index: u16, field: &Field, value: Value) {
        let bit = 1u128.checked_shl(u32::from(index)).unwrap_or(0);
        let again = self.seen & bit != 0 || bit == 0;
        self.seen |= bit;
        if again && let Some(at) = self.found.iter().rposition(|(i, _)| *i == index) {
            if let (Value::Map(old), Value::Map(new)) = (&mut self.found[at].1, &value) {
                merge(old, new.clone());
                return;
            }
            self.found.remove(at);
        }
        if let Some(value) = normal(field, value) {
            self.found.push((index, value));
        }
    }
}

fn merge(into: &mut Map, from: Map) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Map(old)), Value::Map(new)) => merge(old, new),
            (Some(Value::List(old)), Value::List(new)) => old.extend(new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

pub(super) fn structure(bytes: &[u8], ty: &Type, depth: usize) -> Res<Value> {
    let mut members = Members { found: Vec::new(), seen: 0 };
    fields(bytes, ty, ty, 0, &mut members, depth)?;
    let entries = members.found.into_iter();
    let entries = entries.map(|(i, v)| (Key::from(&ty.fields[usize::from(i)].json_name), v));
    Ok(Value::Map(Map::from_entries(entries.collect())))
}

/// Reads the fields of `inner`, which is `outer` or inlined in it at `base`.
fn fields(bytes: &[u8], outer: &Type, inner: &Type, base: u16, members: &mut Members, depth: usize) -> Res<()> {
    if depth > MAX_DEPTH {
        return Err(WireError::Depth);
    }
    let mut r = Reader::new(bytes);
    while !r.done() {
        let (tag, wire) = r.tag()?;
        match inner.slot(tag) {
            None => r.skip(wire)?,
            Some(Slot::Inline { base: within, ty }) => {
                let inside = check(wire, BYTES, ty.go_name()).and_then(|()| r.delimited())?;
                fields(inside, outer, ty, base + within, members, depth + 1)?;
            }
            Some(Slot::Field(index)) => {
                let index = base + index;
                field(&mut r, wire, &outer.fields[usize::from(index)], index, members, depth)?;
            }
        }
    }
    Ok(())
}

fn check(wire: u8, want: u8, name: &str) -> Res<()> {
    if wire == want { Ok(()) } else { Err(WireError::WrongWireType(wire, name.to_owned())) }
}

/// The name of a field in Go, as far as it can be told.
pub(crate) fn go_field_name(field: &Field) -> String {
    if let (Shape::Struct(ty), "metadata") = (&field.shape, &*field.json_name) {
        return ty.go_name().to_owned();
    }
    let mut chars = field.json_name.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

fn field(r: &mut Reader<'_>, wire: u8, field: &Field, index: u16, members: &mut Members, depth: usize) -> Res<()> {
    match &field.shape {
        Shape::List(element) => {
            let list = members.slot(index, || Value::List(Vec::new())).list_mut();
            if wire == BYTES && scalar_wire(element) != BYTES {
                let mut packed = Reader::new(r.delimited()?);
                while !packed.done() {
                    list.push(value(&mut packed, scalar_wire(element), element, field, depth)?);
                }
            } else {
                list.push(value(r, wire, element, field, depth)?);
            }
        }
        Shape::Map(element) => {
            check(wire, BYTES, &field.json_name)?;
            let (key, value) = map_entry(r.delimited()?, element, field, depth)?;
            members.slot(index, Value::map).map_mut().insert(key, value);
        }
        shape => {
            let value = value(r, wire, shape, field, depth)?;
            members.store(index, field, value);
        }
    }
    Ok(())
}

fn map_entry(bytes: &[u8], element: &Shape, field: &Field, depth: usize) -> Res<(Key, Value)> {
    let mut r = Reader::new(bytes);
    let (mut key, mut found) = (Key::Static(""), None);
    while !r.done() {
        let (tag, wire) = r.tag()?;
        match tag {
            1 => {
                check(wire, BYTES, &field.json_name)?;
                key = Key::from(String::from_utf8_lossy(r.delimited()?).into_owned());
            }
            2 => found = Some(value(&mut r, wire, element, field, depth)?),
            _ => r.skip(wire)?,
        }
    }
    let absent = || match element {
        Shape::Bytes => Value::from(""),
        element => crate::codec::json::element_of(element, Value::Null),
    };
    Ok((key, found.unwrap_or_else(absent)))
}

/// The wire type of an element.
pub(crate) fn scalar_wire(shape: &Shape) -> u8 {
    match shape {
        Shape::Bool | Shape::Int32 | Shape::Int64 | Shape::Uint32 | Shape::Uint64 => VARINT,
        Shape::Float64 => FIXED64,
        _ => BYTES,
    }
}

fn value(r: &mut Reader<'_>, wire: u8, shape: &Shape, field: &Field, depth: usize) -> Res<Value> {
    if wire != scalar_wire(shape) {
        return Err(WireError::WrongWireType(wire, go_field_name(field)));
    }
    Ok(match shape {
        Shape::Bool => Value::Bool(r.varint()? != 0),
        #[expect(clippy::cast_possible_truncation, reason = "the reader keeps the low 32 bits, as upstream's")]
        Shape::Int32 => Value::Int(i64::from(r.varint()? as i32)),
        #[expect(clippy::cast_possible_truncation, reason = "the reader keeps the low 32 bits, as upstream's")]
        Shape::Uint32 => Value::Int(i64::from(r.varint()? as u32)),
        Shape::Int64 | Shape::Uint64 => Value::Int(r.varint()?.cast_signed()),
        Shape::Float64 => Value::Float(f64::from_bits(r.fixed64()?)),
        Shape::String => Value::Str(String::from_utf8_lossy(r.delimited()?).into()),
        Shape::Bytes => Value::from(base64::encode(r.delimited()?)),
        shape => message(r.delimited()?, shape, depth + 1)?,
    })
}

/// A message of one of the shapes that are messages.
fn message(bytes: &[u8], shape: &Shape, depth: usize) -> Res<Value> {
    Ok(match shape {
        Shape::Struct(ty) => structure(bytes, ty, depth)?,
        Shape::Nullable(inner) => message(bytes, inner, depth)?,
        Shape::Time => {
            let (seconds, _) = time_parts(bytes)?;
            Value::from(
                seconds
                    .and_then(|s| special::time_text(Timestamp { seconds: s, nanos: 0 }))
                    .unwrap_or(ZERO_TEXT.into()),
            )
        }
        Shape::MicroTime => {
            let (seconds, nanos) = time_parts(bytes)?;
            let time = seconds.map(|seconds| Timestamp { seconds, nanos });
            Value::from(time.and_then(special::micro_text).unwrap_or(ZERO_TEXT.into()))
        }
        Shape::Duration => Value::from(Duration(varint_field(bytes, 1)?.cast_signed()).to_string()),
        Shape::Quantity => {
            let text = String::from_utf8_lossy(bytes_field(bytes, 1)?.unwrap_or_default());
            Value::Str(special::quantity_text(&text).map_err(WireError::Value)?)
        }
        Shape::IntOrString if varint_field(bytes, 1)? == 1 => {
            Value::Str(String::from_utf8_lossy(bytes_field(bytes, 3)?.unwrap_or_default()).into())
        }
        #[expect(clippy::cast_possible_truncation, reason = "the field is an int32")]
        Shape::IntOrString => Value::Int(i64::from(varint_field(bytes, 2)? as i32)),
        Shape::RawExtension | Shape::FieldsV1 | Shape::Json => raw(bytes_field(bytes, 1)?)?,
        Shape::Unknown => raw(bytes_field(bytes, 2)?)?,
        Shape::WrappedStrings => strings(bytes, 1)?,
        Shape::SchemaOrBool(ty) => match bytes_field(bytes, 2)? {
            Some(schema) => structure(schema, ty, depth)?,
            None => Value::Bool(varint_field(bytes, 1)? != 0),
        },
        Shape::SchemaOrArray(ty) => {
            let mut items = Vec::new();
            each(bytes, 2, |item| {
                items.push(structure(item, ty, depth)?);
                Ok(())
            })?;
            schema_or_list(bytes, ty, items, depth)?
        }
        Shape::SchemaOrStrings(ty) => {
            let Value::List(items) = strings(bytes, 2)? else { return Ok(Value::Null) };
            schema_or_list(bytes, ty, items, depth)?
        }
        _ => Value::Null,
    })
}

fn schema_or_list(bytes: &[u8], ty: &Type, items: Vec<Value>, depth: usize) -> Res<Value> {
    match bytes_field(bytes, 1)? {
        Some(schema) if items.is_empty() => structure(schema, ty, depth),
        _ => Ok(Value::List(items)),
    }
}

/// Embedded JSON; it must be JSON, since it is written into JSON as it is.
fn raw(bytes: Option<&[u8]>) -> Res<Value> {
    let Some(bytes) = bytes.filter(|b| !b.is_empty()) else { return Ok(Value::Null) };
    crate::codec::json::check_syntax(bytes).map_err(WireError::Value)?;
    Ok(Value::Raw(String::from_utf8_lossy(bytes).into()))
}

fn strings(bytes: &[u8], tag: u32) -> Res<Value> {
    let mut items = Vec::new();
    each(bytes, tag, |item| {
        items.push(Value::Str(String::from_utf8_lossy(item).into()));
        Ok(())
    })?;
    Ok(Value::List(items))
}

/// Calls `take` with every occurrence of a length-delimited field.
pub(crate) fn each<'a>(bytes: &'a [u8], tag: u32, mut take: impl FnMut(&'a [u8]) -> Res<()>) -> Res<()> {
    let mut r = Reader::new(bytes);
    while !r.done() {
        match r.tag()? {
            (found, BYTES) if found == tag => take(r.delimited()?)?,
            (_, wire) => r.skip(wire)?,
        }
    }
    Ok(())
}

pub(crate) fn bytes_field(bytes: &[u8], tag: u32) -> Res<Option<&[u8]>> {
    let mut last = None;
    each(bytes, tag, |found| {
        last = Some(found);
        Ok(())
    })?;
    Ok(last)
}

pub(crate) fn varint_field(bytes: &[u8], tag: u32) -> Res<u64> {
    let (mut r, mut last) = (Reader::new(bytes), 0);
    while !r.done() {
        match r.tag()? {
            (found, VARINT) if found == tag => last = r.varint()?,
            (_, wire) => r.skip(wire)?,
        }
    }
    Ok(last)
}

/// Seconds (none in an empty message, the zero time) and nanoseconds cut to microseconds.
pub(crate) fn time_parts(bytes: &[u8]) -> Res<(Option<i64>, u32)> {
    if bytes.is_empty() {
        return Ok((None, 0));
    }
    // Times beyond the years that text can say are cut off, so that no arithmetic on them can overflow.
    let seconds = varint_field(bytes, 1)?.cast_signed().clamp(-62_167_219_200, 253_402_300_799);
    let nanos = u32::try_from(varint_field(bytes, 2)?).unwrap_or(0).min(999_999_999);
    Ok((Some(seconds), nanos / 1000 * 1000))
}
