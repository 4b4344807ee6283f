//! The core group.

pub mod data;
pub mod endpoints;
pub mod events;
pub mod namespaces;
pub mod pod_spec;
pub mod pod_updates;
pub mod pods;
pub mod services;
pub mod simple;
