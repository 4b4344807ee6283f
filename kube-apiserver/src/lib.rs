//! The Kubernetes API server.

pub mod authentication;
pub mod authorization;
pub mod body;
pub mod discovery;
pub mod endpoints;
pub mod filters {
    //! What every request goes through (the chain itself comes with component-base).
    pub mod cors;
    pub mod flow_control;
    pub mod impersonation;
    pub mod request_info;
}
pub mod health;
pub mod registry;
pub mod request;
pub mod state;
pub mod storage;

pub use state::AppState;
