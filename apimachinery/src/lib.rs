//! Kubernetes API machinery: the API as tables, values, codecs, patches.

pub mod field;
pub mod quote;
pub mod status;
