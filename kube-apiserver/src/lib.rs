//! The Kubernetes API server.

pub mod authentication {
    //! Who asks.
    pub mod user;
}
pub mod body;
pub mod filters {
    //! What every request goes through.
    pub mod request_info;
}
pub mod registry;
pub mod request;
pub mod state;
pub mod storage;

pub use state::AppState;
