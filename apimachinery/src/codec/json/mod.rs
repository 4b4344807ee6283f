//! JSON as kube-apiserver reads and writes it. Reading is one pass guided by a type, case-sensitive, with Go's error texts and the
//! strict errors of field validation; writing keeps Go's order, zero values, escapes and number forms.
//! Corresponds to sigs.k8s.io/json and runtime/serializer/json.

mod conversion;
mod decode;
mod empty;
mod encode;
mod parser;
mod syntax;
mod text;

pub use conversion::mismatch;
pub use decode::{DecodeError, DecodeOptions, Decoded, decode, decode_strict_untyped, decode_untyped, type_meta};
pub(crate) use decode::{element_of, normal};
pub use empty::drop_empty;
pub(crate) use encode::{always_written, zero_shape};
pub use encode::{encode, encode_untyped, indent, to_string, zero};
pub use syntax::check as check_syntax;
pub use text::{compact_raw, write_float, write_float32, write_string};
