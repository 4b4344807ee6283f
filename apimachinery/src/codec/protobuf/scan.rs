//! Reading one field of a message without decoding the others.

use super::wire::{BYTES, FIXED64, Reader, VARINT};
use crate::schema::{Form, Shape, Slot, Type};

/// What was found on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanValue<'a> {
    /// A number or boolean.
    Varint(u64),
    /// A float.
    Fixed64(u64),
    /// A string, bytes or a message.
    Bytes(&'a [u8]),
}

impl<'a> ScanValue<'a> {
    /// The text of a string.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            ScanValue::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The number.
    pub fn as_i64(self) -> Option<i64> {
        match self {
            ScanValue::Varint(n) => Some(n.cast_signed()),
            _ => None,
        }
    }

    /// The boolean.
    pub fn as_bool(self) -> Option<bool> {
        match self {
            ScanValue::Varint(n) => Some(n != 0),
            _ => None,
        }
    }
}

/// The field at the end of `path` (JSON names) of a message; none if it is absent or the bytes are no message. Lists give their last element.
pub fn find<'a>(raw: &'a [u8], ty: &Type, path: &[&str]) -> Option<ScanValue<'a>> {
    let (name, rest) = path.split_first()?;
    let found = last(raw, ty, name)?;
    if rest.is_empty() {
        return Some(found);
    }
    let (ScanValue::Bytes(inside), Shape::Struct(inner)) = (found, &ty.field(name)?.shape) else { return None };
    find(inside, inner, rest)
}

/// Calls `take` with each element of the list, or entry of the map, at the end of `path`. Stops at the first byte that is no message.
pub fn each<'a>(raw: &'a [u8], ty: &Type, path: &[&str], take: &mut dyn FnMut(ScanValue<'a>)) {
    let Some((name, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        visit(raw, ty, name, take);
        return;
    }
    if let (Some(ScanValue::Bytes(inside)), Some(Shape::Struct(inner))) =
        (last(raw, ty, name), ty.field(name).map(|f| &f.shape))
    {
        each(inside, inner, rest, take);
    }
}

fn last<'a>(raw: &'a [u8], ty: &Type, name: &str) -> Option<ScanValue<'a>> {
    let mut found = None;
    visit(raw, ty, name, &mut |value| found = Some(value));
    found
}

/// Calls `take` with every occurrence of a field, also of one that is inlined.
fn visit<'a>(raw: &'a [u8], ty: &Type, name: &str, take: &mut dyn FnMut(ScanValue<'a>)) {
    let Some(index) = ty.field_index(name) else { return };
    debug_assert!(matches!(ty.form, Form::Struct));
    let Some(wanted) = tag_of(ty, index) else { return };
    let mut r = Reader::new(raw);
    while !r.done() {
        let Ok((tag, wire)) = r.tag() else { return };
        if tag != wanted {
            if r.skip(wire).is_err() {
                return;
            }
            continue;
        }
        let value = match wire {
            VARINT => r.varint().map(ScanValue::Varint),
            FIXED64 => r.fixed64().map(ScanValue::Fixed64),
            BYTES => r.delimited().map(ScanValue::Bytes),
            _ => return,
        };
        let Ok(value) = value else { return };
        match (ty.slot(tag), value) {
            (Some(Slot::Inline { ty, .. }), ScanValue::Bytes(inside)) => visit(inside, ty, name, take),
            _ => take(value),
        }
    }
}

/// The tag under which the field with this index is found in the message: its own, or that of the struct it is inlined from.
fn tag_of(ty: &Type, index: usize) -> Option<u32> {
    let found = ty.wire.iter().find(|w| match &w.slot {
        Slot::Field(i) => usize::from(*i) == index,
        Slot::Inline { base, ty } => (usize::from(*base)..usize::from(*base) + ty.fields.len()).contains(&index),
    });
    found.map(|w| w.tag)
}
