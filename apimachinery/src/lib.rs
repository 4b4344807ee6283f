//! Kubernetes API machinery: the API as tables, values, codecs, patches. It never does IO, reads no clock and logs nothing.

pub mod codec;
pub mod dump;
pub mod field;
pub mod gofmt;
pub mod hash;
pub mod jsonpath;
pub mod meta;
pub mod names;
pub mod object_meta;
pub mod openapi;
pub mod patch;
pub mod quantity;
pub mod quote;
pub mod resources;
pub mod schema;
pub mod selector;
pub mod status;
pub mod structural;
pub mod time;
pub mod value;

pub use schema::{Type, TypeRef};
pub use value::{Cursor, Key, Map, Value};
