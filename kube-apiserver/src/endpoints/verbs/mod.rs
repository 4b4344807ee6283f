//! The verbs: each reads a request in upstream's order, has the store do it, and writes the answer.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/handlers

mod admission;
mod components;
mod create;
mod delete;
mod get;
mod list;
mod managed_fields;
mod metadata;
mod patch;
mod respond;
mod scale;
mod update;

pub use components::components;
pub use create::{create, create_subresource, create_virtual};
pub use delete::{delete, delete_collection};
pub use get::get;
pub use list::list;
pub use patch::patch;
pub use update::update;
