//! What every handler can reach: the registry with its stores, and the admission chain.

use std::sync::Arc;

use crate::authorization::Authorizer;
use crate::registry::Registry;
use crate::registry::admit::AdmissionChain;

/// The server's shared state; made once at start.
pub struct AppState {
    /// All resources with their storage.
    pub registry: Arc<Registry>,
    /// All admission plugins.
    pub admission: Arc<dyn AdmissionChain>,
    /// May they: for permissions that a request needs besides its own.
    pub authorizer: Arc<Authorizer>,
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppState")
    }
}
