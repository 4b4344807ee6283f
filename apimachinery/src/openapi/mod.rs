//! The OpenAPI documents that kube-apiserver publishes, made from the tables: v3 by group and version, v2 as one. Texts are our own and
//! short; everything else is as upstream's. Pure functions: whoever serves them keeps what they return.

mod custom;
pub mod gnostic;
pub mod gnostic_v3;
mod operations;
mod parameters;
mod schemas;
pub mod v2;
pub mod v3;

pub use custom::{CustomResource, document as custom_document};
pub use operations::{Method, Operation, PathItem, Reply, paths};
pub use schemas::{SCHEMA_PREFIX, reference_name, schema};

/// `info` of every document.
pub const TITLE: &str = "Kubernetes";
/// `info.version`: upstream's major and minor.
pub const VERSION: &str = "1.36";
