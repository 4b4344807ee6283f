//! Protobuf messages straight to JSON text, without a tree: how objects are served. A message is scanned once for the places of its fields, which are then
//! written in declaration order. Nothing is allocated per field. The output is byte for byte what decoding and encoding gives.

mod emit;
mod list;
mod spans;

use super::json::write_string;
use super::protobuf::{WireError, wire::BYTES, wire::Reader};
use crate::schema::{Form, Type, type_by_name};
use emit::Emitter;

pub use list::{ListMeta, list_end, list_start};

/// What stands at the root of an object and is not in its message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// apiVersion; "" leaves it out, as in items of lists.
    pub api_version: &'a str,
    /// kind; "" leaves it out.
    pub kind: &'a str,
    /// metadata.resourceVersion to be written instead of the message's.
    pub resource_version: Option<&'a str>,
}

/// Appends an object's message as compact JSON, without a final newline.
pub fn json_from_protobuf(
    raw: &[u8],
    ty: &Type,
    api_version: &str,
    kind: &str,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    json_with_head(raw, ty, Head { api_version, kind, resource_version: None }, out)
}

/// Appends an object's message as compact JSON, without a final newline. On error `out` is as it was.
pub fn json_with_head(raw: &[u8], ty: &Type, head: Head<'_>, out: &mut Vec<u8>) -> Result<(), WireError> {
    let start = out.len();
    let mut emitter = Emitter::new(raw, head);
    let result = match &ty.form {
        Form::Struct => emitter.root(ty, out),
        Form::Named(_) => Err(emit::Stop::Wire(WireError::Value(format!("{} is no object", &*ty.name)))),
    };
    match result {
        Ok(()) => Ok(()),
        Err(emit::Stop::Wire(error)) => {
            out.truncate(start);
            Err(error)
        }
        Err(emit::Stop::Repeated) => {
            out.truncate(start);
            by_way_of_a_tree(raw, ty, head, out)
        }
    }
}

/// Messages in which a singular message occurs twice have to be merged; nothing writes such ones, so this need not be fast.
fn by_way_of_a_tree(raw: &[u8], ty: &Type, head: Head<'_>, out: &mut Vec<u8>) -> Result<(), WireError> {
    let mut value = super::protobuf::decode(raw, ty)?;
    for (key, text) in [("apiVersion", head.api_version), ("kind", head.kind)] {
        if !text.is_empty() {
            value.set(key, text);
        }
    }
    if let Some(version) = head.resource_version {
        value.set_path(&["metadata", "resourceVersion"], version.into());
    }
    super::json::encode(&value, ty, out);
    Ok(())
}

/// Appends the PartialObjectMetadata of an object's message as compact JSON. `head` names the partial object: usually `meta.k8s.io/v1`, `PartialObjectMetadata`.
pub fn partial_metadata_json(raw: &[u8], head: Head<'_>, out: &mut Vec<u8>) -> Result<(), WireError> {
    let ty = type_by_name("io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata").expect("it is in the table");
    let mut r = Reader::new(raw);
    let mut metadata: &[u8] = &[];
    while !r.done() {
        let start = r.at;
        let (tag, wire) = r.tag()?;
        r.skip(wire)?;
        if (tag, wire) == (1, BYTES) {
            metadata = &raw[start..r.at];
        }
    }
    json_with_head(metadata, ty, head, out)
}

/// Appends `,"key":"text"` if there is text; `first` leaves out the comma.
fn member(key: &str, text: &str, first: bool, out: &mut Vec<u8>) {
    if !first {
        out.push(b',');
    }
    write_string(key, out);
    out.push(b':');
    write_string(text, out);
}
