//! Trust and client certificate of a connection, read from disk anew at every dial, so that rotated files are taken up.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use rustls::pki_types::ServerName;

use super::ClientError;
use super::exec::{ExecCredentials, ExecError};
use crate::tls::{self, TlsError};

/// PEM text, or the file that holds it.
#[derive(Clone, Debug)]
pub enum Pem {
    /// The text itself.
    Inline(Vec<u8>),
    /// A file that is read at every use.
    File(PathBuf),
}

impl Pem {
    /// From a kubeconfig's pair of file and base64 data; the data wins.
    ///
    /// # Errors
    /// When the data is no base64.
    pub fn of(file: Option<String>, data: Option<String>) -> Result<Option<Self>, ClientError> {
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            let clean: String = data.chars().filter(|c| !c.is_whitespace()).collect();
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(clean)
                .map_err(|error| ClientError::Invalid(format!("certificate data is no base64: {error}")))?;
            return Ok(Some(Self::Inline(bytes)));
        }
        Ok(file.filter(|file| !file.is_empty()).map(|file| Self::File(file.into())))
    }

    pub(super) fn read(&self) -> Result<Vec<u8>, TlsError> {
        match self {
            Self::Inline(bytes) => Ok(bytes.clone()),
            Self::File(path) => {
                std::fs::read(path).map_err(|source| TlsError::Read { path: path.display().to_string(), source })
            }
        }
    }

    /// When the file last changed; None for inline text.
    pub(super) fn modified(&self) -> Option<SystemTime> {
        match self {
            Self::Inline(_) => None,
            Self::File(path) => std::fs::metadata(path).and_then(|meta| meta.modified()).ok(),
        }
    }
}

/// TLS settings of a client.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// Certificate authorities; the system's if None.
    pub ca: Option<Pem>,
    /// Trust any server certificate.
    pub insecure: bool,
    /// Name to verify and to send as SNI instead of the host.
    pub server_name: Option<String>,
    /// Client certificate chain.
    pub cert: Option<Pem>,
    /// Key of the client certificate.
    pub key: Option<Pem>,
    /// A program that may give a client certificate.
    pub exec: Option<Arc<ExecCredentials>>,
}

/// Changes when the client certificate does: the file's time, and the count of those that a program gave.
pub(super) type Stamp = (Option<SystemTime>, u64);

impl TlsOptions {
    /// Reads the files and makes a rustls configuration that offers the given protocols.
    ///
    /// # Errors
    /// When a file is missing or holds nothing usable.
    pub fn load(&self, alpn: &[&[u8]]) -> Result<rustls::ClientConfig, TlsError> {
        tls::install_provider();
        let builder = rustls::ClientConfig::builder();
        let builder = if self.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(tls::TrustAnyServer::default()))
        } else {
            let roots = match &self.ca {
                Some(ca) => tls::parse_certs(&ca.read()?)?,
                None => tls::system_roots(),
            };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(tls::TrustRoots::new(roots)?))
        };
        let mut config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let chain = tls::parse_certs(&cert.read()?)?;
                let key = tls::parse_key(&key.read()?)?;
                builder.with_client_auth_cert(chain, key).map_err(TlsError::Rustls)?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(TlsError::Pair),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }

    pub(super) fn name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = self.server_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(host);
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        ServerName::try_from(name).map_err(|_| TlsError::ServerName(host.to_owned()))
    }

    /// The settings with the client certificate that the program gives, if there is one that does.
    pub(super) async fn with_given_pair(&self) -> Result<Cow<'_, TlsOptions>, ExecError> {
        let Some(exec) = &self.exec else { return Ok(Cow::Borrowed(self)) };
        let Some((cert, key)) = exec.pair().await? else { return Ok(Cow::Borrowed(self)) };
        Ok(Cow::Owned(Self { cert: Some(cert), key: Some(key), ..self.clone() }))
    }

    pub(super) fn stamp(&self) -> Stamp {
        (self.cert.as_ref().and_then(Pem::modified), self.exec.as_ref().map_or(0, |exec| exec.generation()))
    }
}
