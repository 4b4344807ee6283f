//! Client certificates: asked for in the handshake, verified afterwards, so that a bad one is a 401 and not a TLS alert.
//!
//! Upstream: apiserver/pkg/authentication/request/x509.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error, RootCertStore};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::TlsError;
use super::provider::{provider, signature_checks};

/// The UID attribute of a subject (gate AllowParsingUserUIDFromCertAuth).
const UID_OID: &str = "1.3.6.1.4.1.57683.2";

/// Asks clients for a certificate and accepts any, or none. Signatures are checked; the chain is not.
#[derive(Debug)]
pub struct RequestClientCert {
    provider: Arc<CryptoProvider>,
}

impl Default for RequestClientCert {
    fn default() -> Self {
        Self { provider: provider() }
    }
}

impl ClientCertVerifier for RequestClientCert {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    signature_checks!();
}

/// Why a client certificate is not accepted; texts as Go's crypto/x509.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// No root signed it.
    #[error("x509: certificate signed by unknown authority")]
    UnknownAuthority,
    /// Outside its time.
    #[error("x509: certificate has expired or is not yet valid")]
    Expired,
    /// Not meant for clients.
    #[error("x509: certificate specifies an incompatible key usage")]
    KeyUsage,
    /// Anything else.
    #[error("x509: {0}")]
    Other(String),
}

/// Authorities for client certificates.
#[derive(Debug, Clone)]
pub struct CertPool {
    roots: Vec<CertificateDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl CertPool {
    /// From a PEM file's content.
    ///
    /// # Errors
    /// When it holds no certificate.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        super::install_provider();
        let roots = super::parse_certs(pem)?;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let verifier = WebPkiClientVerifier::builder(Arc::new(store)).build().map_err(TlsError::Verifier)?;
        Ok(Self { roots, verifier })
    }

    /// From a PEM file.
    ///
    /// # Errors
    /// When it cannot be read or holds no certificate.
    pub fn from_file(path: &str) -> Result<Self, TlsError> {
        Self::from_pem(&std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })?)
    }

    /// Verifies a chain (the client's certificate first) for client authentication.
    ///
    /// # Errors
    /// The reason, in Go's words.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), VerifyError> {
        let (leaf, intermediates) = chain.split_first().ok_or_else(|| VerifyError::Other("no certificate".into()))?;
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        match self.verifier.verify_client_cert(leaf, intermediates, at) {
            Ok(_) => Ok(()),
            Err(_) if self.roots.iter().any(|root| root == leaf) => Ok(()),
            Err(Error::InvalidCertificate(error)) => Err(error.into()),
            Err(error) => Err(VerifyError::Other(error.to_string())),
        }
    }
}

impl From<CertificateError> for VerifyError {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::KeyUsage,
            other => Self::Other(other.to_string()),
        }
    }
}

/// The user that a client certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertUser {
    /// Common name: the user's name.
    pub name: String,
    /// UID attribute of the subject, empty if absent.
    pub uid: String,
    /// Organizations: the user's groups.
    pub groups: Vec<String>,
    /// `X509SHA256=` and the hash of the certificate: the extra value `authentication.kubernetes.io/credential-id`.
    pub credential_id: String,
    /// DNS names of the certificate (front proxies are checked by name).
    pub dns_names: Vec<String>,
}

impl CertUser {
    /// Reads the subject of a DER certificate.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, VerifyError> {
        let (_, cert) = X509Certificate::from_der(der).map_err(|error| VerifyError::Other(error.to_string()))?;
        let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            attribute.as_str().unwrap_or_default().to_owned()
        };
        let subject = cert.subject();
        let uid = subject.iter_attributes().find(|attribute| attribute.attr_type().to_id_string() == UID_OID).map(text);
        let dns_names = cert.subject_alternative_name().ok().flatten().map(|names| {
            let names = names.value.general_names.iter();
            names
                .filter_map(|name| if let GeneralName::DNSName(name) = name { Some((*name).to_owned()) } else { None })
                .collect()
        });
        Ok(Self {
            // Go keeps the last of several common names.
            name: subject.iter_common_name().last().map(text).unwrap_or_default(),
            uid: uid.unwrap_or_default(),
            groups: subject.iter_organization().map(text).collect(),
            credential_id: format!("X509SHA256={}", hex(&Sha256::digest(der))),
            dns_names: dns_names.unwrap_or_default(),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
