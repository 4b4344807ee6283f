//! kube-proxy: makes the addresses of services lead to their endpoints, on one node.
//!
//! [`tracker`] folds watch events, [`plan`] decides (pure), a [`backend`] renders and applies; [`sync`] drives them, one loop
//! per IP family. It never changes rules of others, and never answers for endpoints itself.

pub mod backend;
pub mod config;
pub mod conntrack;
pub mod health;
pub mod metrics;
pub mod model;
pub mod node;
pub mod options;
pub mod plan;
mod run;
pub mod sync;
#[cfg(test)]
mod testing;
pub mod tracker;
mod validation;

pub use run::{RunError, run};
