//! What stands around messages: the envelope of stored and served objects, frames of watches, and lists put together of encoded items.

use super::decode::bytes_field;
use super::wire::{
    BYTES, Reader, WireError, varint_len, write_bytes, write_int, write_message, write_tag, write_varint,
};

/// The bytes every enveloped object starts with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// An object in its envelope (runtime.Unknown behind the magic number).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// apiVersion of the object.
    pub api_version: &'a str,
    /// Kind of the object.
    pub kind: &'a str,
    /// The message.
    pub raw: &'a [u8],
    /// Encoding of `raw`; "" for none.
    pub content_encoding: &'a str,
    /// Media type of `raw`; "" for protobuf.
    pub content_type: &'a str,
}

fn text(bytes: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(bytes).map_err(|_| WireError::Value("string field contains invalid UTF-8".to_owned()))
}

impl<'a> Envelope<'a> {
    /// Takes an envelope apart.
    pub fn parse(bytes: &'a [u8]) -> Result<Envelope<'a>, WireError> {
        if bytes.is_empty() {
            return Err(WireError::Empty);
        }
        let body = bytes.strip_prefix(MAGIC).ok_or(WireError::Magic)?;
        let mut envelope = Envelope { api_version: "", kind: "", raw: &[], content_encoding: "", content_type: "" };
        let mut r = Reader::new(body);
        while !r.done() {
            match r.tag()? {
                (1, BYTES) => {
                    let meta = r.delimited()?;
                    envelope.api_version = text(bytes_field(meta, 1)?.unwrap_or_default())?;
                    envelope.kind = text(bytes_field(meta, 2)?.unwrap_or_default())?;
                }
                (2, BYTES) => envelope.raw = r.delimited()?,
                (3, BYTES) => envelope.content_encoding = text(r.delimited()?)?,
                (4, BYTES) => envelope.content_type = text(r.delimited()?)?,
                (tag @ 1..=4, wire) => {
                    let name = ["TypeMeta", "Raw", "ContentEncoding", "ContentType"][tag as usize - 1];
                    return Err(WireError::WrongWireType(wire, name.to_owned()));
                }
                (_, wire) => r.skip(wire)?,
            }
        }
        Ok(envelope)
    }
}

/// The last two fields of an envelope, which are always written and empty.
pub(super) fn unknown_tail(out: &mut Vec<u8>) {
    write_bytes(3, b"", out);
    write_bytes(4, b"", out);
}

/// Appends a message in its envelope.
pub fn write_envelope(api_version: &str, kind: &str, raw: &[u8], out: &mut Vec<u8>) {
    out.reserve(raw.len() + api_version.len() + kind.len() + 24);
    envelope_head(api_version, kind, out);
    write_bytes(2, raw, out);
    unknown_tail(out);
}

fn envelope_head(api_version: &str, kind: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    write_message(1, out, |out| {
        write_bytes(1, api_version.as_bytes(), out);
        write_bytes(2, kind.as_bytes(), out);
    });
}

/// Appends a frame of a watch stream: length, and a WatchEvent around an enveloped object.
pub fn watch_frame(event_type: &str, enveloped: &[u8], out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write_bytes(1, event_type.as_bytes(), out);
    write_message(2, out, |out| write_bytes(1, enveloped, out));
    let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Bytes that one item takes in a list.
pub fn list_item_len(raw: &[u8]) -> usize {
    1 + varint_len(raw.len() as u64) + raw.len()
}

/// Appends the start of an enveloped list, whose items will take `items_len` bytes (the sum of [`list_item_len`]). Then come the items, then [`list_end`].
pub fn list_start(
    api_version: &str,
    kind: &str,
    meta: &super::super::transcode::ListMeta<'_>,
    items_len: usize,
    out: &mut Vec<u8>,
) {
    let mut head = Vec::new();
    write_message(1, &mut head, |out| {
        write_bytes(1, b"", out);
        write_bytes(2, meta.resource_version.as_bytes(), out);
        write_bytes(3, meta.continue_token.as_bytes(), out);
        if let Some(n) = meta.remaining_item_count {
            write_int(4, n, out);
        }
    });
    envelope_head(api_version, kind, out);
    write_tag(2, BYTES, out);
    write_varint((head.len() + items_len) as u64, out);
    out.extend_from_slice(&head);
}

/// Appends one item of a list.
pub fn list_item(raw: &[u8], out: &mut Vec<u8>) {
    write_bytes(2, raw, out);
}

/// Appends the end of an enveloped list.
pub fn list_end(out: &mut Vec<u8>) {
    unknown_tail(out);
}

/// The PartialObjectMetadata message of an object's message: its metadata alone.
pub fn partial_metadata(raw: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::new();
    write_bytes(1, bytes_field(raw, 1)?.unwrap_or_default(), &mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut out = Vec::new();
        write_envelope("apps/v1", "Deployment", &[10, 0], &mut out);
        assert_eq!(&out[out.len() - 4..], [0x1a, 0, 0x22, 0]);
        let parsed = Envelope::parse(&out).unwrap();
        assert_eq!((parsed.api_version, parsed.kind, parsed.raw), ("apps/v1", "Deployment", &[10u8, 0][..]));
        assert_eq!(Envelope::parse(b""), Err(WireError::Empty));
        assert_eq!(Envelope::parse(b"{}"), Err(WireError::Magic));
    }
}
