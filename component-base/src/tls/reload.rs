//! Serving certificates that follow their files, by SNI, and the server configuration around them.
//!
//! Upstream: apiserver/pkg/server/dynamiccertificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{RequestClientCert, TlsError};
use crate::error::Chain;
use crate::shutdown::Shutdown;

const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// A certificate chain and its key on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPairFiles {
    /// PEM chain, leaf first.
    pub cert: PathBuf,
    /// PEM key.
    pub key: PathBuf,
}

impl KeyPairFiles {
    fn load(&self) -> Result<CertifiedKey, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Read { path: path.display().to_string(), source })
        };
        certified(&read(&self.cert)?, &read(&self.key)?)
    }

    fn stamp(&self) -> Option<(SystemTime, SystemTime)> {
        let at = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        Some((at(&self.cert)?, at(&self.key)?))
    }
}

fn certified(cert: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    super::install_provider();
    let chain = super::parse_certs(cert)?;
    let key = super::parse_key(key)?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(TlsError::Rustls)
}

/// Where a serving certificate comes from.
#[derive(Debug, Clone)]
pub enum CertSource {
    /// Files, reloaded when they change.
    Files(KeyPairFiles),
    /// PEM text.
    Pem {
        /// Chain, leaf first.
        cert: Vec<u8>,
        /// Key.
        key: Vec<u8>,
    },
}

impl CertSource {
    fn load(&self) -> Result<CertifiedKey, TlsError> {
        match self {
            Self::Files(files) => files.load(),
            Self::Pem { cert, key } => certified(cert, key),
        }
    }

    /// The pair `<dir>/<name>.crt` and `.key`, made self-signed if it does not exist; in memory only if `dir` is empty.
    ///
    /// # Errors
    /// When it can be neither read nor written.
    pub fn self_signed(dir: &str, name: &str, host: &str, alternates: &[String]) -> Result<Self, TlsError> {
        let files = KeyPairFiles {
            cert: Path::new(dir).join(format!("{name}.crt")),
            key: Path::new(dir).join(format!("{name}.key")),
        };
        if !dir.is_empty() && files.cert.exists() && files.key.exists() {
            return Ok(Self::Files(files));
        }
        let (cert, key) = crate::pki::self_signed_serving(host, alternates)?;
        if dir.is_empty() {
            return Ok(Self::Pem { cert, key });
        }
        let write = |path: &Path, bytes: &[u8], mode: u32| {
            crate::pki::write_file(path, bytes, mode)
                .map_err(|source| TlsError::Read { path: path.display().to_string(), source })
        };
        write(&files.cert, &cert, 0o644)?;
        write(&files.key, &key, 0o600)?;
        Ok(Self::Files(files))
    }
}

#[derive(Debug)]
struct Entry {
    source: CertSource,
    names: Vec<String>,
    current: ArcSwap<CertifiedKey>,
}

/// Serving certificates: a default one and others by server name. Clones share them.
#[derive(Debug, Clone)]
pub struct ServerTls {
    default: Arc<Entry>,
    named: Arc<Vec<Entry>>,
}

impl ServerTls {
    /// A default certificate and others, each with the server names it answers to (those in the certificate if empty;
    /// `*.` matches one label).
    ///
    /// # Errors
    /// When a certificate or key cannot be loaded.
    pub fn new(default: CertSource, named: Vec<(CertSource, Vec<String>)>) -> Result<Self, TlsError> {
        let entry = |(source, names): (CertSource, Vec<String>)| -> Result<Entry, TlsError> {
            let current = source.load()?;
            let names = if names.is_empty() { names_of(&current) } else { names };
            Ok(Entry { source, names, current: ArcSwap::from_pointee(current) })
        };
        let named = named.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { default: Arc::new(entry((default, Vec::new()))?), named: Arc::new(named) })
    }

    /// Puts another default certificate in place (a rotated one that is not followed on disk).
    ///
    /// # Errors
    /// When it cannot be parsed; the old one stays.
    pub fn set_default(&self, cert: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.default.current.store(Arc::new(certified(cert, key)?));
        Ok(())
    }

    /// Follows the files until shutdown. A pair that cannot be loaded is logged and the old one stays.
    pub fn follow_files(&self, stop: Shutdown) {
        let tls = self.clone();
        crate::task::spawn("certificates", async move {
            let mut stamps: Vec<_> = tls.entries().map(Entry::stamp).collect();
            loop {
                tokio::select! {
                    () = stop.wait() => return,
                    () = tokio::time::sleep(RELOAD_INTERVAL) => {}
                }
                for (entry, stamp) in tls.entries().zip(&mut stamps) {
                    entry.refresh(stamp);
                }
            }
        });
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        std::iter::once(&*self.default).chain(self.named.iter())
    }
}

impl Entry {
    fn stamp(&self) -> Option<(SystemTime, SystemTime)> {
        if let CertSource::Files(files) = &self.source { files.stamp() } else { None }
    }

    fn refresh(&self, known: &mut Option<(SystemTime, SystemTime)>) {
        let stamp = self.stamp();
        if stamp.is_none() || stamp == *known {
            return;
        }
        match self.source.load() {
            Ok(fresh) => {
                self.current.store(Arc::new(fresh));
                *known = stamp;
                tracing::info!(names = ?self.names, "Reloaded the serving certificate");
            }
            Err(error) => tracing::error!(err = %Chain(&error), "Failed to reload the serving certificate"),
        }
    }
}

fn names_of(key: &CertifiedKey) -> Vec<String> {
    let leaf = key.cert.first().and_then(|leaf| super::CertUser::from_der(leaf).ok());
    leaf.map(|user| user.dns_names).unwrap_or_default()
}

fn name_matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(rest) => name.split_once('.').is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(rest)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

impl ResolvesServerCert for ServerTls {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wanted = hello.server_name();
        let named = wanted.and_then(|name| {
            self.named.iter().find(|entry| entry.names.iter().any(|pattern| name_matches(pattern, name)))
        });
        Some(named.unwrap_or(&self.default).current.load_full())
    }
}

/// A server configuration: HTTP/2 and HTTP/1.1 by ALPN, client certificates asked for but not verified if `client_certs`,
/// TLS 1.3 alone if `only_tls13`.
#[must_use]
pub fn server_config(tls: ServerTls, client_certs: bool, http2: bool, only_tls13: bool) -> Arc<ServerConfig> {
    super::install_provider();
    let versions: &[&rustls::SupportedProtocolVersion] =
        if only_tls13 { &[&rustls::version::TLS13] } else { &[&rustls::version::TLS13, &rustls::version::TLS12] };
    let builder = ServerConfig::builder_with_protocol_versions(versions);
    let builder = if client_certs {
        builder.with_client_cert_verifier(Arc::new(RequestClientCert::default()))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(Arc::new(tls));
    if http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Arc::new(config)
}
