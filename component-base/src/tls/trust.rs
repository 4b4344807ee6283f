//! How a client decides whether to trust a server, with the rules of Go where they differ from webpki's.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{Error, RootCertStore};

use super::TlsError;
use super::provider::{provider, signature_checks};

/// Trusts servers with a certificate that one of the roots signed, or that is itself one of the roots (Go accepts a
/// self-signed serving certificate as its own authority; webpki alone does not).
#[derive(Debug)]
pub struct TrustRoots {
    inner: Option<Arc<WebPkiServerVerifier>>,
    roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl TrustRoots {
    /// A verifier for these roots. With none, no server is trusted.
    ///
    /// # Errors
    /// When a verifier cannot be built of them.
    pub fn new(roots: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        let (usable, _) = store.add_parsable_certificates(roots.iter().cloned());
        let provider = provider();
        let inner = if usable == 0 {
            None
        } else {
            let built = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider)).build();
            Some(built.map_err(TlsError::Verifier)?)
        };
        Ok(Self { inner, roots, provider })
    }
}

impl ServerCertVerifier for TrustRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let result = match &self.inner {
            Some(inner) => inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            None => Err(rustls::CertificateError::UnknownIssuer.into()),
        };
        if result.is_err() && self.roots.iter().any(|root| root == end_entity) {
            let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
            rustls::client::verify_server_name(&parsed, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        result
    }

    signature_checks!();
}

/// Trusts every server: `insecure-skip-tls-verify`.
#[derive(Debug)]
pub struct TrustAnyServer {
    provider: Arc<CryptoProvider>,
}

impl Default for TrustAnyServer {
    fn default() -> Self {
        Self { provider: provider() }
    }
}

impl ServerCertVerifier for TrustAnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    signature_checks!();
}
