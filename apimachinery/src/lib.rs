//! Kubernetes API machinery: the API as tables, values, codecs, patches. It never does IO, reads no clock and logs nothing.

pub mod field;
pub mod quantity;
pub mod quote;
pub mod resources;
pub mod schema;
pub mod status;
pub mod value;

pub use schema::{Type, TypeRef};
pub use value::{Cursor, Key, Map, Value};
