//! Where the fields of a message are: one span per field, on a stack shared by all messages of an object.

use super::emit::Stop;
use crate::codec::protobuf::wire::{BYTES, MAX_DEPTH, Reader, WireError};
use crate::schema::{Shape, Slot, Type};

/// The place of a field: from the value of its first occurrence to the end of its last one. Empty (`first` = 0): not in the message.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    /// Offset just behind the tag of the first occurrence (list, map) or of the last (others). Never 0, because a tag is before it.
    pub(super) first: u32,
    /// End of the last occurrence.
    pub(super) end: u32,
    /// The tag's key as on the wire, to tell its other occurrences.
    pub(super) key: u32,
}

/// Notes the spans of `bytes[from..to]`, a message of `inner`, which is `outer` or inlined in it at `base`.
pub(super) fn scan(
    bytes: &[u8],
    range: (usize, usize),
    types: (&Type, &Type),
    base: usize,
    spans: &mut [Span],
    depth: usize,
) -> Result<(), Stop> {
    if depth > MAX_DEPTH {
        return Err(WireError::Depth.into());
    }
    let (outer, inner) = types;
    let mut r = Reader { bytes: &bytes[..range.1], at: range.0 };
    while !r.done() {
        let (tag, wire) = r.tag()?;
        let value = r.at;
        match inner.slot(tag) {
            None => r.skip(wire)?,
            Some(Slot::Inline { base: within, ty }) => {
                if wire != BYTES {
                    return Err(WireError::WrongWireType(wire, ty.go_name().to_owned()).into());
                }
                let inside = r.delimited()?;
                scan(bytes, (r.at - inside.len(), r.at), (outer, ty), base + usize::from(*within), spans, depth + 1)?;
            }
            Some(Slot::Field(index)) => {
                r.skip(wire)?;
                let index = base + usize::from(*index);
                note(&mut spans[index], &outer.fields[index].shape, value, r.at, tag << 3 | u32::from(wire))?;
            }
        }
    }
    Ok(())
}

fn note(span: &mut Span, shape: &Shape, value: usize, end: usize, key: u32) -> Result<(), Stop> {
    let (value, end) = (offset(value)?, offset(end)?);
    if span.first != 0 && matches!(shape, Shape::List(_) | Shape::Map(_)) {
        if span.key != key {
            return Err(Stop::Repeated);
        }
        span.end = end;
        return Ok(());
    }
    if span.first != 0 && !matches!(shape, Shape::String | Shape::Bool | Shape::Int32 | Shape::Int64) {
        return Err(Stop::Repeated);
    }
    *span = Span { first: value, end, key };
    Ok(())
}

fn offset(n: usize) -> Result<u32, Stop> {
    u32::try_from(n).map_err(|_| WireError::Value("message too large".to_owned()).into())
}
