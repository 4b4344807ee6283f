//! TLS of the secure port: serving certificate with hot reload, client certificates asked for but not judged.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/server/{dynamiccertificates, options/serving.go}

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key file cannot be read or is malformed.
    #[error("failed to load the key pair {}, {}", cert.display(), key.display())]
    KeyPair {
        /// Certificate file.
        cert: PathBuf,
        /// Key file.
        key: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The self-signed certificate could not be made or written.
    #[error("error creating self-signed certificates in {}", dir.display())]
    SelfSigned {
        /// Where it should go.
        dir: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The protocol versions do not fit the crypto provider.
    #[error("configuring TLS")]
    Config(#[from] rustls::Error),
}

/// A serving certificate that is read again when its files change.
#[derive(Debug)]
pub struct ServingCertificate {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
}

impl ServingCertificate {
    /// Reads the pair.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let pair = load(cert, key)?;
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), current: ArcSwap::from_pointee(pair) })
    }

    /// Reads the pair again; a bad pair leaves the old one in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = load(&self.cert, &self.key)?;
        if fresh.cert != self.current.load().cert {
            self.current.store(Arc::new(fresh));
            tracing::info!(file = %self.cert.display(), "loaded a new serving certificate");
        }
        Ok(())
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// The server's TLS configuration: HTTP/2 and HTTP/1.1 by ALPN, TLS 1.2 and newer.
pub fn config(certificate: Arc<ServingCertificate>, http2: bool) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(AskForCertificate::new()))
        .with_cert_resolver(certificate);
    config.alpn_protocols = if http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    Ok(config)
}

/// Makes `apiserver.crt` and `apiserver.key` in the folder unless both are there; returns their paths.
pub fn self_signed(dir: &Path, public_address: IpAddr, names: &[String]) -> Result<(PathBuf, PathBuf), TlsError> {
    let (cert, key) = (dir.join("apiserver.crt"), dir.join("apiserver.key"));
    if cert.exists() && key.exists() {
        return Ok((cert, key));
    }
    write_self_signed(dir, &cert, &key, public_address, names)
        .map_err(|source| TlsError::SelfSigned { dir: dir.to_owned(), source })?;
    Ok((cert, key))
}

fn write_self_signed(dir: &Path, cert: &Path, key: &Path, public_address: IpAddr, names: &[String]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut subjects: Vec<String> = vec![public_address.to_string(), "localhost".to_owned(), "127.0.0.1".to_owned()];
    subjects.extend(names.iter().cloned());
    subjects.sort();
    subjects.dedup();
    let signed = rcgen::generate_simple_self_signed(subjects)?;
    std::fs::create_dir_all(dir)?;
    std::fs::write(cert, signed.cert.pem())?;
    write_private(key, signed.signing_key.serialize_pem().as_bytes())?;
    Ok(())
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(bytes)
}

fn load(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let read = || -> Result<CertifiedKey, Box<dyn std::error::Error + Send + Sync>> {
        let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(key)?;
        let pair = CertifiedKey::from_der(chain, key, &provider::default_provider())?;
        pair.keys_match()?;
        Ok(pair)
    };
    read().map_err(|source| TlsError::KeyPair { cert: cert.to_owned(), key: key.to_owned(), source })
}

/// Asks for a client certificate and checks only that the client holds its key.
#[derive(Debug)]
struct AskForCertificate {
    provider: CryptoProvider,
}

impl AskForCertificate {
    fn new() -> Self {
        Self { provider: provider::default_provider() }
    }
}

impl ClientCertVerifier for AskForCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<ClientCertVerified, rustls::Error> {
        // judged in authentication::x509, where a bad certificate is a 401
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
