//! The core group.

pub mod data;
pub mod endpoints;
pub mod namespaces;
pub mod pods;
pub mod services;
pub mod simple;
