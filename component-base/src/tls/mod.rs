//! TLS for clients and servers on rustls with aws-lc-rs: parsing, trust, hot reload, users out of certificates.

mod accept;
mod client_auth;
mod provider;
mod reload;
mod trust;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub use accept::accept;
pub use client_auth::{CertPool, CertUser, RequestClientCert, VerifyError};
pub use reload::{CertSource, KeyPairFiles, ServerTls, server_config};
pub use trust::{TrustAnyServer, TrustRoots};

/// Why certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// No usable PEM.
    #[error("data does not contain any valid PEM block of the wanted kind")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// PEM without certificates.
    #[error("data does not contain any valid RSA or ECDSA certificates")]
    NoCertificates,
    /// A certificate without key or the reverse.
    #[error("a client certificate needs both a certificate and a key")]
    Pair,
    /// Refused by rustls.
    #[error("unusable certificate or key")]
    Rustls(#[source] rustls::Error),
    /// A host that is no server name.
    #[error("{0:?} is no valid server name")]
    ServerName(String),
    /// Key or certificate generation failed.
    #[error("cannot make a certificate")]
    Generate(#[source] rcgen::Error),
    /// A verifier cannot be built.
    #[error("cannot build a certificate verifier")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

/// Makes aws-lc-rs the process-wide provider. Call first thing in `main`; further calls do nothing.
pub fn install_provider() {
    // An error means that a provider is installed already, which is this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// All certificates of a PEM text.
///
/// # Errors
/// When there is none or one is malformed.
pub fn parse_certs(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certs = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(TlsError::Pem)?;
    if certs.is_empty() { Err(TlsError::NoCertificates) } else { Ok(certs) }
}

/// The first private key of a PEM text: PKCS#1, PKCS#8 or SEC1.
///
/// # Errors
/// When there is none.
pub fn parse_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(TlsError::Pem)
}

/// The system's certificate authorities; empty where there are none.
#[must_use]
pub fn system_roots() -> Vec<CertificateDer<'static>> {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::debug!(err = %error, "Cannot load a system certificate");
    }
    loaded.certs
}
