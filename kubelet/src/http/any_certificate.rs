//! TLS that accepts whatever certificate a container shows, which is what upstream does for probes and hooks.

use std::sync::Arc;

use component_base::tls::TrustAnyServer;
use rustls::ClientConfig;

/// A client configuration without verification of the server.
pub fn client_config() -> ClientConfig {
    ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAnyServer::default()))
        .with_no_client_auth()
}
