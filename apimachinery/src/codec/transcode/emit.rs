//! Writes the fields of scanned messages as JSON.

use smallvec::SmallVec;

use super::Head;
use super::spans::{Span, scan};
use crate::codec::base64;
use crate::codec::json::{self, always_written, compact_raw, write_float, write_string};
use crate::codec::protobuf::wire::{BYTES, MAX_DEPTH, Reader, WireError};
use crate::codec::protobuf::{scalar_wire, support};
use crate::schema::{Field, Shape, Type};
use crate::time::{Duration, Timestamp};

/// Why the writing stopped.
pub(super) enum Stop {
    /// The bytes are no message of the type.
    Wire(WireError),
    /// A singular message occurs twice: it takes a tree to merge them.
    Repeated,
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Stop {
        Stop::Wire(error)
    }
}

type Done = Result<(), Stop>;

/// The fields of most structs fit here without an allocation.
const FEW: usize = 4;

pub(super) struct Emitter<'a> {
    bytes: &'a [u8],
    head: Head<'a>,
    spans: Vec<Span>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(bytes: &'a [u8], head: Head<'a>) -> Emitter<'a> {
        Emitter { bytes, head, spans: Vec::with_capacity(128) }
    }

    pub(super) fn root(&mut self, ty: &Type, out: &mut Vec<u8>) -> Done {
        self.structure((0, self.bytes.len()), ty, 0, out)
    }

    /// Writes the message in `range`.
    fn structure(&mut self, range: (usize, usize), ty: &Type, depth: usize, out: &mut Vec<u8>) -> Done {
        if depth > MAX_DEPTH {
            return Err(WireError::Depth.into());
        }
        let at = self.spans.len();
        self.spans.resize(at + ty.fields.len(), Span::default());
        scan(self.bytes, range, (ty, ty), 0, &mut self.spans[at..], depth)?;
        let start = out.len();
        for (i, field) in ty.fields.iter().enumerate() {
            let span = self.spans[at + i];
            if span.first != 0 {
                self.field(span, field, depth, out)?;
            } else if field.tag == 0 && depth == 0 {
                self.head_field(field, out);
            } else if depth == 0 && &*field.json_name == "metadata" && self.head.resource_version.is_some() {
                key(field, out);
                self.metadata_alone(out);
            } else {
                absent(field, out);
            }
        }
        close(start, out);
        self.spans.truncate(at);
        Ok(())
    }

    /// apiVersion and kind, which are not in messages.
    fn head_field(&self, field: &Field, out: &mut Vec<u8>) {
        let text = match &*field.json_name {
            "kind" => self.head.kind,
            "apiVersion" => self.head.api_version,
            _ => return absent(field, out),
        };
        if !text.is_empty() {
            key(field, out);
            write_string(text, out);
        }
    }

    /// Metadata of which only the resource version is known.
    fn metadata_alone(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"resourceVersion\":");
        write_string(self.head.resource_version.unwrap_or(""), out);
        out.push(b'}');
    }

    fn field(&mut self, span: Span, field: &Field, depth: usize, out: &mut Vec<u8>) -> Done {
        let wire = (span.key & 7) as u8;
        let r = Reader { bytes: &self.bytes[..span.end as usize], at: span.first as usize };
        match &field.shape {
            Shape::List(element) => {
                key(field, out);
                self.list(r, span.key, element, depth, out)
            }
            Shape::Map(element) => {
                if wire != BYTES {
                    return Err(wrong(wire, field));
                }
                key(field, out);
                self.map(r, span.key, element, depth, out)
            }
            shape => {
                if wire != scalar_wire(shape) {
                    return Err(wrong(wire, field));
                }
                self.singular(r, field, shape, depth, out)
            }
        }
    }

    fn singular(&mut self, mut r: Reader<'a>, field: &Field, shape: &Shape, depth: usize, out: &mut Vec<u8>) -> Done {
        let start = out.len();
        key(field, out);
        if field.omitempty && !field.pointer && !always_written(shape) {
            let at = r.at;
            let empty = match shape {
                Shape::Float64 => r.fixed64()? << 1 == 0,
                Shape::Int32 | Shape::Uint32 => r.varint()? & 0xffff_ffff == 0,
                Shape::Bool | Shape::Int64 | Shape::Uint64 => r.varint()? == 0,
                _ => r.delimited()?.is_empty(),
            };
            if empty {
                out.truncate(start);
                return Ok(());
            }
            r.at = at;
        }
        if field.omitzero && !field.pointer && is_zero_time(r)? {
            out.truncate(start);
            return Ok(());
        }
        if depth == 0
            && &*field.json_name == "metadata"
            && let Some(version) = self.head.resource_version
            && let Shape::Struct(ty) = shape
        {
            return self.metadata(r, ty, version, out);
        }
        self.element(&mut r, shape, depth, out)
    }

    /// Metadata with another resource version: the message is written without it, and it is put in its place.
    fn metadata(&mut self, mut r: Reader<'a>, ty: &Type, version: &str, out: &mut Vec<u8>) -> Done {
        let inside = r.delimited()?;
        let at = self.spans.len();
        self.spans.resize(at + ty.fields.len(), Span::default());
        scan(self.bytes, (r.at - inside.len(), r.at), (ty, ty), 0, &mut self.spans[at..], 1)?;
        let start = out.len();
        for (i, field) in ty.fields.iter().enumerate() {
            let span = self.spans[at + i];
            if &*field.json_name == "resourceVersion" {
                if !version.is_empty() {
                    key(field, out);
                    write_string(version, out);
                }
            } else if span.first != 0 {
                self.field(span, field, 1, out)?;
            } else {
                absent(field, out);
            }
        }
        close(start, out);
        self.spans.truncate(at);
        Ok(())
    }

    fn list(&mut self, mut r: Reader<'a>, key: u32, element: &Shape, depth: usize, out: &mut Vec<u8>) -> Done {
        let wire = (key & 7) as u8;
        let packed = wire == BYTES && scalar_wire(element) != BYTES;
        if !packed && wire != scalar_wire(element) {
            return Err(WireError::WrongWireType(wire, "list".to_owned()).into());
        }
        out.push(b'[');
        let start = out.len();
        loop {
            if packed {
                let inside = r.delimited()?;
                let mut inner = Reader { bytes: &self.bytes[..r.at], at: r.at - inside.len() };
                while !inner.done() {
                    self.list_element(&mut inner, element, start, depth, out)?;
                }
            } else {
                self.list_element(&mut r, element, start, depth, out)?;
            }
            if !next(&mut r, key)? {
                break;
            }
        }
        out.push(b']');
        Ok(())
    }

    fn list_element(
        &mut self,
        r: &mut Reader<'a>,
        element: &Shape,
        start: usize,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Done {
        if out.len() > start {
            out.push(b',');
        }
        self.element(r, element, depth, out)
    }

    fn map(&mut self, mut r: Reader<'a>, key: u32, element: &Shape, depth: usize, out: &mut Vec<u8>) -> Done {
        // (key, offset of the value or 0, its end)
        let mut entries: SmallVec<[(&[u8], usize, usize); FEW]> = SmallVec::new();
        loop {
            let inside = r.delimited()?;
            entries.push(self.entry(r.at - inside.len(), r.at, element)?);
            if !next(&mut r, key)? {
                break;
            }
        }
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            entries.sort_by(|a, b| a.0.cmp(b.0));
            entries.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    *earlier = *later;
                }
                same
            });
        }
        for (i, (key, value, end)) in entries.into_iter().enumerate() {
            out.push(if i == 0 { b'{' } else { b',' });
            string(key, out);
            out.push(b':');
            if value == 0 {
                absent_value(element, out);
            } else {
                self.element(&mut Reader { bytes: &self.bytes[..end], at: value }, element, depth, out)?;
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// Key and place of the value of a map entry.
    fn entry(&self, from: usize, to: usize, element: &Shape) -> Result<(&'a [u8], usize, usize), Stop> {
        let mut r = Reader { bytes: &self.bytes[..to], at: from };
        let (mut key, mut value, mut end): (&[u8], _, _) = (&[], 0, 0);
        while !r.done() {
            let (tag, wire) = r.tag()?;
            match tag {
                1 if wire == BYTES => key = r.delimited()?,
                2 if wire == scalar_wire(element) => {
                    value = r.at;
                    r.skip(wire)?;
                    end = r.at;
                }
                1 | 2 => return Err(WireError::WrongWireType(wire, "map".to_owned()).into()),
                _ => r.skip(wire)?,
            }
        }
        Ok((key, value, end))
    }

    /// Writes one value.
    fn element(&mut self, r: &mut Reader<'a>, shape: &Shape, depth: usize, out: &mut Vec<u8>) -> Done {
        match shape {
            Shape::String => string(r.delimited()?, out),
            Shape::Bool => out.extend_from_slice(if r.varint()? != 0 { b"true" } else { b"false" }),
            #[expect(clippy::cast_possible_truncation, reason = "the reader keeps the low 32 bits, as upstream's")]
            Shape::Int32 => integer(i64::from(r.varint()? as i32), out),
            #[expect(clippy::cast_possible_truncation, reason = "the reader keeps the low 32 bits, as upstream's")]
            Shape::Uint32 => integer(i64::from(r.varint()? as u32), out),
            Shape::Int64 => integer(r.varint()?.cast_signed(), out),
            Shape::Uint64 => out.extend_from_slice(itoa::Buffer::new().format(r.varint()?).as_bytes()),
            Shape::Float64 => write_float(f64::from_bits(r.fixed64()?), out),
            Shape::Struct(ty) => {
                let inside = r.delimited()?;
                self.structure((r.at - inside.len(), r.at), ty, depth + 1, out)?;
            }
            Shape::Nullable(inner) => self.element(r, inner, depth, out)?,
            Shape::Bytes => {
                out.push(b'"');
                base64::encode_into(r.delimited()?, out);
                out.push(b'"');
            }
            shape => {
                let inside = r.delimited()?;
                self.special(inside, r.at, shape, depth, out)?;
            }
        }
        Ok(())
    }

    /// Writes one of the shapes whose JSON does not look like their message.
    fn special(&mut self, inside: &'a [u8], end: usize, shape: &Shape, depth: usize, out: &mut Vec<u8>) -> Done {
        match shape {
            Shape::Time | Shape::MicroTime => time(inside, matches!(shape, Shape::MicroTime), out)?,
            Shape::Quantity => match support::bytes_field(inside, 1)? {
                Some(text) if !text.is_empty() => quantity(text, out)?,
                _ => return Err(WireError::Value(support::quantity_error("")).into()),
            },
            Shape::Duration => {
                let text = Duration(support::varint_field(inside, 1)?.cast_signed()).to_string();
                write_string(&text, out);
            }
            Shape::IntOrString if support::varint_field(inside, 1)? == 1 => {
                string(support::bytes_field(inside, 3)?.unwrap_or_default(), out);
            }
            #[expect(clippy::cast_possible_truncation, reason = "the field is an int32")]
            Shape::IntOrString => integer(i64::from(support::varint_field(inside, 2)? as i32), out),
            Shape::RawExtension | Shape::FieldsV1 | Shape::Json => raw(support::bytes_field(inside, 1)?, out),
            Shape::Unknown => raw(support::bytes_field(inside, 2)?, out),
            Shape::WrappedStrings => strings(inside, 1, out)?,
            Shape::SchemaOrBool(ty) => match support::bytes_field(inside, 2)? {
                Some(schema) => self.structure(self.range(schema, inside, end), ty, depth + 1, out)?,
                None if support::varint_field(inside, 1)? != 0 => out.extend_from_slice(b"true"),
                None => out.extend_from_slice(b"false"),
            },
            Shape::SchemaOrArray(ty) => {
                let mut items: SmallVec<[&[u8]; FEW]> = SmallVec::new();
                support::each(inside, 2, |item| {
                    items.push(item);
                    Ok(())
                })?;
                if items.is_empty() {
                    return self.schema_or_null(inside, end, ty, depth, out);
                }
                for (i, item) in items.into_iter().enumerate() {
                    out.push(if i == 0 { b'[' } else { b',' });
                    self.structure(self.range(item, inside, end), ty, depth + 1, out)?;
                }
                out.push(b']');
            }
            Shape::SchemaOrStrings(ty) => {
                if support::bytes_field(inside, 2)?.is_none() {
                    return self.schema_or_null(inside, end, ty, depth, out);
                }
                strings(inside, 2, out)?;
            }
            _ => out.extend_from_slice(b"null"),
        }
        Ok(())
    }

    fn schema_or_null(&mut self, inside: &'a [u8], end: usize, ty: &Type, depth: usize, out: &mut Vec<u8>) -> Done {
        match support::bytes_field(inside, 1)? {
            Some(schema) => self.structure(self.range(schema, inside, end), ty, depth + 1, out),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        }
    }

    /// Where `part` of `inside`, which ends at `end`, is in the whole.
    fn range(&self, part: &[u8], inside: &[u8], end: usize) -> (usize, usize) {
        let from = end - inside.len() + (part.as_ptr().addr() - inside.as_ptr().addr());
        (from, from + part.len())
    }
}

fn wrong(wire: u8, field: &Field) -> Stop {
    WireError::WrongWireType(wire, support::go_field_name(field)).into()
}

/// Walks to the next occurrence of the key; false if there is none.
fn next(r: &mut Reader<'_>, key: u32) -> Result<bool, Stop> {
    while !r.done() {
        let (tag, wire) = r.tag()?;
        if tag << 3 | u32::from(wire) == key {
            return Ok(true);
        }
        r.skip(wire)?;
    }
    Ok(false)
}

/// Members were written with a comma each: the first becomes the opening brace.
fn close(start: usize, out: &mut Vec<u8>) {
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

fn key(field: &Field, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(field.json_name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A field that is not in the message.
fn absent(field: &Field, out: &mut Vec<u8>) {
    let left_out = field.omitempty && (field.pointer || !always_written(&field.shape));
    if left_out || (field.omitzero && !field.pointer) {
        return;
    }
    key(field, out);
    json::zero(field, out);
}

/// The value of a map entry that has none.
fn absent_value(element: &Shape, out: &mut Vec<u8>) {
    match element {
        Shape::Bytes => out.extend_from_slice(b"\"\""),
        element => json::zero_shape(element, out),
    }
}

fn integer(n: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn string(bytes: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => write_string(text, out),
        Err(_) => write_string(&String::from_utf8_lossy(bytes), out),
    }
}

fn strings(bytes: &[u8], tag: u32, out: &mut Vec<u8>) -> Done {
    out.push(b'[');
    let start = out.len();
    support::each(bytes, tag, |item| {
        if out.len() > start {
            out.push(b',');
        }
        string(item, out);
        Ok(())
    })?;
    out.push(b']');
    Ok(())
}

fn raw(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        Some(bytes) if !bytes.is_empty() => compact_raw(bytes, out),
        _ => out.extend_from_slice(b"null"),
    }
}

fn quantity(text: &[u8], out: &mut Vec<u8>) -> Done {
    let text = String::from_utf8_lossy(text);
    let canonical = support::quantity_text(&text).map_err(WireError::Value)?;
    write_string(&canonical, out);
    Ok(())
}

fn is_zero_time(mut r: Reader<'_>) -> Result<bool, Stop> {
    let (seconds, _) = support::time_parts(r.delimited()?)?;
    Ok(seconds.is_none_or(|s| s == Timestamp::ZERO.seconds))
}

fn time(bytes: &[u8], micro: bool, out: &mut Vec<u8>) -> Done {
    let (seconds, nanos) = support::time_parts(bytes)?;
    let time = seconds.map(|seconds| Timestamp { seconds, nanos: if micro { nanos } else { 0 } });
    match time.filter(|t| !t.is_zero()) {
        None => out.extend_from_slice(b"null"),
        Some(time) => {
            out.push(b'"');
            time.push_text(micro, out);
            out.push(b'"');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::json_with_head;
    use super::*;
    use crate::codec::protobuf::encode;
    use crate::schema::kind;
    use crate::value;

    #[test]
    fn resource_version_and_items() {
        let pod = kind("v1", "Pod").unwrap();
        let object = value!({"metadata": {"name": "x", "labels": {"a": "<"}}, "spec": {"hostNetwork": true}});
        let mut raw = Vec::new();
        encode(&object, pod, &mut raw);
        let mut out = Vec::new();
        let head = Head { api_version: "v1", kind: "Pod", resource_version: Some("7") };
        json_with_head(&raw, pod, head, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"7\",\"labels\":{\"a\":\"\\u003c\"}},\
             \"spec\":{\"containers\":null,\"hostNetwork\":true},\"status\":{}}"
        );
        let mut out = Vec::new();
        json_with_head(&raw, pod, Head::default(), &mut out).unwrap();
        assert!(out.starts_with(b"{\"metadata\":{\"name\":\"x\",\"labels\":"));
        let mut out = Vec::new();
        let head = Head { api_version: "meta.k8s.io/v1", kind: "PartialObjectMetadata", resource_version: Some("7") };
        super::super::partial_metadata_json(&raw, head, &mut out).unwrap();
        assert!(
            out.ends_with(b"\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"7\",\"labels\":{\"a\":\"\\u003c\"}}}")
        );
    }
}
