//! Client certificates: the chain is checked against a CA bundle, the subject becomes the user.
//!
//! The TLS layer only asks for a certificate and checks that the client holds its key; whom we trust is
//! decided here, so a certificate of a foreign CA is a 401 and no TLS alert.
//! upstream: staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};

use super::user::{CREDENTIAL_ID, UserInfo};

/// Object identifier under which a subject carries the user's UID.
const UID_OID: &str = "1.3.6.1.4.1.57683.2";

/// Why a CA bundle could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The file cannot be read.
    #[error("unable to load bundle {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No usable certificate in it.
    #[error("data does not contain any valid certificates: {}", .0.display())]
    Empty(PathBuf),
}

/// A CA bundle that is read again when its file changes.
#[derive(Debug)]
pub struct CaBundle {
    path: PathBuf,
    loaded: ArcSwap<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    pem: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl CaBundle {
    /// Reads the bundle.
    pub fn read(path: &Path) -> Result<Self, CaError> {
        Ok(Self { path: path.to_owned(), loaded: ArcSwap::from_pointee(load(path)?) })
    }

    /// Reads the file again; a file that went bad keeps the last good state and is reported.
    pub fn reload(&self) -> Result<(), CaError> {
        let fresh = load(&self.path)?;
        if fresh.pem != self.loaded.load().pem {
            self.loaded.store(Arc::new(fresh));
        }
        Ok(())
    }

    /// The bundle's text.
    pub fn pem(&self) -> Vec<u8> {
        self.loaded.load().pem.clone()
    }

    /// Checks that the chain leads to one of the CAs and may be used by a client.
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err("no client certificate".to_owned());
        };
        self.loaded
            .load()
            .verifier
            .verify_client_cert(leaf, intermediates, UnixTime::now())
            .map(|_| ())
            .map_err(|error| format!("verifying certificate failed: {error}"))
    }
}

fn load(path: &Path) -> Result<Loaded, CaError> {
    let pem = std::fs::read(path).map_err(|source| CaError::Read { path: path.to_owned(), source })?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    let verifier =
        WebPkiClientVerifier::builder(Arc::new(roots)).build().map_err(|_| CaError::Empty(path.to_owned()))?;
    Ok(Loaded { pem, verifier })
}

/// The subject's common name, empty if it has none or does not parse.
pub fn common_name(certificate: &CertificateDer<'_>) -> String {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return String::new();
    };
    let name = parsed.subject().iter_common_name().last();
    name.and_then(|n| n.as_str().ok()).unwrap_or_default().to_owned()
}

/// The user a verified certificate stands for; `None` without a common name.
pub fn user(certificate: &CertificateDer<'_>) -> Option<UserInfo> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = common_name(certificate);
    if name.is_empty() {
        return None;
    }
    let groups = parsed.subject().iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    let uid = parsed
        .subject()
        .iter_attributes()
        .find(|a| a.attr_type().to_id_string() == UID_OID)
        .and_then(|a| a.as_str().ok())
        .unwrap_or_default()
        .to_owned();
    let digest: String = Sha256::digest(certificate).iter().map(|b| format!("{b:02x}")).collect();
    let extra = [(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={digest}")])].into();
    Some(UserInfo { name, uid, groups, extra })
}
