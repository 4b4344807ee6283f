//! kubectl: the command line client of Kubernetes.
//!
//! `cli` knows flags and commands, `config` the kubeconfig, `client` the server, `resource` the objects that a command
//! is about, `printers` and `describe` how they look; `commands` holds one file per command.

mod archive;
pub mod cli;
pub mod client;
pub mod codec;
pub mod commands;
pub mod config;
pub mod context;
pub mod describe;
pub mod failure;
pub mod files;
pub mod klog;
pub mod options;
pub mod pods;
pub mod printers;
pub mod resource;
mod run;
mod schema_text;
mod schema_text_v2;
pub mod streaming;
pub mod time;

pub use run::run;
