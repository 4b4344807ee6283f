//! What every handler can reach: the registry with its stores, admission, identity and permissions.

use std::sync::Arc;

use crate::authentication::Authenticators;
use crate::authentication::service_account::TokenIssuer;
use crate::authorization::Authorizer;
use crate::options::Options;
use crate::registry::Registry;
use crate::registry::admit::AdmissionChain;
use crate::service_ip::Allocators;

/// The server's shared state; made once at start.
pub struct AppState {
    /// All resources with their storage.
    pub registry: Arc<Registry>,
    /// All admission plugins.
    pub admission: Arc<dyn AdmissionChain>,
    /// May they: for permissions that a request needs besides its own.
    pub authorizer: Arc<Authorizer>,
    /// Whom does a token stand for.
    pub authenticators: Arc<Authenticators>,
    /// Issues service account tokens, if there is a key to sign them.
    pub issuer: Option<Arc<TokenIssuer>>,
    /// Cluster IPs and node ports.
    pub allocators: Arc<Allocators>,
    /// The command line.
    pub options: Arc<Options>,
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppState")
    }
}
