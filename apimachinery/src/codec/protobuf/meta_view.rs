//! The metadata of an encoded object: what caches, selectors and pagination need, read from the bytes.

use super::decode::{bytes_field, time_parts};
use super::wire::{BYTES, Reader, VARINT, WireError, write_bytes, write_message, write_tag, write_varint};
use crate::time::Timestamp;

/// Tag of `metadata` in every object.
const METADATA: u32 = 1;
/// Tags of ObjectMeta; a test compares them with the table.
const NAME: u32 = 1;
const GENERATE_NAME: u32 = 2;
const NAMESPACE: u32 = 3;
const UID: u32 = 5;
const RESOURCE_VERSION: u32 = 6;
const GENERATION: u32 = 7;
const CREATION_TIMESTAMP: u32 = 8;
const DELETION_TIMESTAMP: u32 = 9;
const LABELS: u32 = 11;
const ANNOTATIONS: u32 = 12;
const FINALIZERS: u32 = 14;

/// The metadata of an encoded object. Strings that are not UTF-8 read as "".
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaView<'a> {
    /// The ObjectMeta message.
    pub raw: &'a [u8],
    /// metadata.name
    pub name: &'a str,
    /// metadata.generateName
    pub generate_name: &'a str,
    /// metadata.namespace
    pub namespace: &'a str,
    /// metadata.uid
    pub uid: &'a str,
    /// metadata.resourceVersion; "" in storage
    pub resource_version: &'a str,
    /// metadata.generation
    pub generation: i64,
    /// metadata.creationTimestamp
    pub creation_timestamp: Option<Timestamp>,
    /// metadata.deletionTimestamp
    pub deletion_timestamp: Option<Timestamp>,
}

/// Reads the metadata of an object's message.
pub fn object_meta(raw: &[u8]) -> Result<MetaView<'_>, WireError> {
    let meta = bytes_field(raw, METADATA)?.unwrap_or_default();
    let mut view = MetaView { raw: meta, ..MetaView::default() };
    let mut r = Reader::new(meta);
    while !r.done() {
        let (tag, wire) = r.tag()?;
        match (tag, wire) {
            (GENERATION, VARINT) => view.generation = r.varint()?.cast_signed(),
            (CREATION_TIMESTAMP, BYTES) => view.creation_timestamp = time(r.delimited()?)?,
            (DELETION_TIMESTAMP, BYTES) => view.deletion_timestamp = time(r.delimited()?)?,
            (NAME | GENERATE_NAME | NAMESPACE | UID | RESOURCE_VERSION, BYTES) => {
                let text = std::str::from_utf8(r.delimited()?).unwrap_or("");
                match tag {
                    NAME => view.name = text,
                    GENERATE_NAME => view.generate_name = text,
                    NAMESPACE => view.namespace = text,
                    UID => view.uid = text,
                    _ => view.resource_version = text,
                }
            }
            _ => r.skip(wire)?,
        }
    }
    Ok(view)
}

fn time(bytes: &[u8]) -> Result<Option<Timestamp>, WireError> {
    Ok(time_parts(bytes)?.0.map(|seconds| Timestamp { seconds, nanos: 0 }))
}

/// Entries of a map of strings, or of a list (as keys with ""), on the wire.
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    bytes: &'a [u8],
    at: usize,
    tag: u32,
    map: bool,
}

impl<'a> Iterator for Strings<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let mut r = Reader { bytes: self.bytes, at: self.at };
        while !r.done() {
            let (tag, wire) = r.tag().ok()?;
            if (tag, wire) != (self.tag, BYTES) {
                r.skip(wire).ok()?;
                continue;
            }
            let entry = r.delimited().ok()?;
            self.at = r.at;
            let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).unwrap_or("");
            if !self.map {
                return Some((text(entry), ""));
            }
            let part = |tag| bytes_field(entry, tag).ok().flatten().unwrap_or_default();
            return Some((text(part(1)), text(part(2))));
        }
        None
    }
}

impl<'a> MetaView<'a> {
    fn strings(&self, tag: u32, map: bool) -> Strings<'a> {
        Strings { bytes: self.raw, at: 0, tag, map }
    }

    /// metadata.labels, in key order.
    pub fn labels(&self) -> Strings<'a> {
        self.strings(LABELS, true)
    }

    /// metadata.annotations, in key order.
    pub fn annotations(&self) -> Strings<'a> {
        self.strings(ANNOTATIONS, true)
    }

    /// metadata.finalizers
    pub fn finalizers(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.strings(FINALIZERS, false).map(|(text, _)| text)
    }

    /// One label.
    pub fn label(&self, key: &str) -> Option<&'a str> {
        self.labels().find(|(k, _)| *k == key).map(|(_, v)| v)
    }
}

/// The message with another metadata.resourceVersion. Everything else is copied.
pub fn with_resource_version(raw: &[u8], resource_version: &str) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(raw.len() + resource_version.len() + 8);
    let mut r = Reader::new(raw);
    let mut written = false;
    while !r.done() {
        let start = r.at;
        let (tag, wire) = r.tag()?;
        if (tag, wire) == (METADATA, BYTES) && !written {
            let meta = r.delimited()?;
            let spliced = splice(meta, resource_version)?;
            write_tag(METADATA, BYTES, &mut out);
            write_varint(spliced.len() as u64, &mut out);
            out.extend_from_slice(&spliced);
            written = true;
            continue;
        }
        r.skip(wire)?;
        out.extend_from_slice(&raw[start..r.at]);
    }
    if !written {
        write_message(METADATA, &mut out, |out| write_bytes(RESOURCE_VERSION, resource_version.as_bytes(), out));
    }
    Ok(out)
}

/// An ObjectMeta message with another resourceVersion, in the place of its tag.
fn splice(meta: &[u8], resource_version: &str) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(meta.len() + resource_version.len() + 8);
    let mut r = Reader::new(meta);
    let mut written = false;
    while !r.done() {
        let start = r.at;
        let (tag, wire) = r.tag()?;
        r.skip(wire)?;
        if tag >= RESOURCE_VERSION && !written {
            write_bytes(RESOURCE_VERSION, resource_version.as_bytes(), &mut out);
            written = true;
        }
        if tag != RESOURCE_VERSION {
            out.extend_from_slice(&meta[start..r.at]);
        }
    }
    if !written {
        write_bytes(RESOURCE_VERSION, resource_version.as_bytes(), &mut out);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::protobuf::{decode, encode};
    use crate::schema::{kind, type_by_name};
    use crate::value;

    #[test]
    fn tags() {
        let meta = type_by_name("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap();
        for (name, tag) in [
            ("name", NAME),
            ("generateName", GENERATE_NAME),
            ("namespace", NAMESPACE),
            ("uid", UID),
            ("resourceVersion", RESOURCE_VERSION),
            ("generation", GENERATION),
            ("creationTimestamp", CREATION_TIMESTAMP),
            ("deletionTimestamp", DELETION_TIMESTAMP),
            ("labels", LABELS),
            ("annotations", ANNOTATIONS),
            ("finalizers", FINALIZERS),
        ] {
            assert_eq!(meta.field(name).unwrap().tag, tag, "{name}");
        }
    }

    #[test]
    fn view_and_splice() {
        let pod = kind("v1", "Pod").unwrap();
        let mut object = value!({
            "metadata": {"name": "x", "namespace": "y", "labels": {"a": "1", "b": "2"}, "finalizers": ["f"],
                "creationTimestamp": "2020-01-02T03:04:05Z"},
            "spec": {"nodeName": "n"}
        });
        let mut raw = Vec::new();
        encode(&object, pod, &mut raw);
        let view = object_meta(&raw).unwrap();
        assert_eq!((view.name, view.namespace, view.resource_version), ("x", "y", ""));
        assert_eq!(view.labels().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(view.finalizers().collect::<Vec<_>>(), ["f"]);
        assert_eq!(view.creation_timestamp.unwrap().to_seconds_text(), "2020-01-02T03:04:05Z");
        let spliced = with_resource_version(&raw, "12345").unwrap();
        object.set_path(&["metadata", "resourceVersion"], "12345".into());
        assert_eq!(decode(&spliced, pod).unwrap(), object);
        let mut direct = Vec::new();
        encode(&object, pod, &mut direct);
        assert_eq!(direct, spliced);
        let node = super::super::scan::find(&raw, pod, &["spec", "nodeName"]).and_then(|v| v.as_str());
        assert_eq!(node, Some("n"));
    }
}
