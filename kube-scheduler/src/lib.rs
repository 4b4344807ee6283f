//! kube-scheduler: assigns pods to nodes.
//!
//! [`run`] wires flags, configuration, informers and the server; [`cycle`] takes pods from the [`queue`], decides by the
//! [`plugins`] of a profile on a snapshot of the [`cache`], and binds. It never runs pods and never talks to etcd.

pub mod actions;
pub mod cache;
pub mod config;
pub mod cycle;
pub mod events;
pub mod explain;
pub mod framework;
pub mod listers;
pub mod metrics;
pub mod model;
pub mod options;
pub mod plugins;
pub mod queue;
mod run;
mod server;
#[cfg(test)]
mod testing;

pub use run::{RunError, run};
