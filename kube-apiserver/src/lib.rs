//! The Kubernetes API server.

pub mod admission;
pub mod authentication;
pub mod authorization;
pub mod body;
pub mod bootstrap;
pub mod connect;
pub mod discovery;
pub mod endpoints;
pub mod extensions;
pub mod filters;
pub mod follow;
pub mod health;
pub mod loopback;
pub mod metrics;
pub mod objects;
pub mod openapi;
pub mod options;
pub mod paths;
pub mod registry;
pub mod request;
pub mod server;
pub mod service_ip;
pub mod start;
pub mod state;
pub mod statusz;
pub mod storage;

pub use state::AppState;
