//! Protobuf as Kubernetes uses it: messages by the tags of [`crate::schema`], the `k8s\0` envelope, watch frames, and reading or replacing single
//! fields without decoding the rest. Corresponds to the generated code of k8s.io/api and to runtime/serializer/protobuf.

mod decode;
mod encode;
mod envelope;
mod meta_view;
pub mod scan;
pub(crate) mod wire;

pub use decode::decode;
pub(crate) use decode::scalar_wire;
pub use encode::{encode, encode_object};
pub use envelope::{
    Envelope, MAGIC, list_end, list_item, list_item_len, list_start, partial_metadata, watch_frame, write_envelope,
};
pub use meta_view::{MetaView, Strings, object_meta, with_resource_version};
pub use wire::WireError;

/// What the transcoder shares with the decoder.
pub(crate) mod support {
    pub(crate) use super::decode::{bytes_field, each, go_field_name, time_parts, varint_field};
    pub(crate) use crate::codec::special::quantity_text;

    /// The error for a text that is no quantity.
    pub(crate) fn quantity_error(text: &str) -> String {
        quantity_text(text).err().unwrap_or_default()
    }
}
