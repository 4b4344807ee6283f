//! Codecs, all driven by [`crate::schema`]: JSON, YAML, protobuf, and protobuf straight to JSON.

pub mod base64;
pub mod json;
pub mod protobuf;
mod special;
pub mod transcode;
pub mod yaml;
