//! Client certificates: the chain is checked against a CA bundle, the subject becomes the user.
//!
//! The TLS layer only asks for a certificate and checks that the client holds its key; whom we trust is
//! decided here, so a certificate of a foreign CA is a 401 and no TLS alert.
//! upstream: staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use component_base::error::{PathError, read_file};
use component_base::tls::{CertPool, CertUser, TlsError};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;

use super::user::{CREDENTIAL_ID, UserInfo};

/// Why a CA bundle could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] PathError),
    /// The file is empty.
    #[error("missing content for CA bundle \"client-ca-bundle::{}\"", .0.display())]
    Empty(PathBuf),
    /// No usable certificate in it.
    #[error("error loading CA bundle for \"client-ca-bundle::{}\"", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: TlsError,
    },
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
    pool: CertPool,
}

impl CaBundle {
    /// Reads the bundle.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn read(path: &Path) -> Result<Self, CaError> {
        Ok(Self { path: path.to_owned(), loaded: ArcSwap::from_pointee(load(path)?) })
    }

    /// Reads the file again; true if it changed.
    ///
    /// # Errors
    /// The file went bad; the last good state stays in use.
    pub fn reload(&self) -> Result<bool, CaError> {
        let fresh = load(&self.path)?;
        let changed = fresh.pem != self.loaded.load().pem;
        if changed {
            self.loaded.store(Arc::new(fresh));
        }
        Ok(changed)
    }

    /// The bundle's text.
    pub fn pem(&self) -> Vec<u8> {
        self.loaded.load().pem.clone()
    }

    /// Checks that the chain leads to one of the CAs and may be used by a client.
    ///
    /// # Errors
    /// The reason, for the log.
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let verified = self.loaded.load().pool.verify(chain, Timestamp::now());
        verified.map_err(|error| format!("verifying certificate failed: {error}"))
    }
}

fn load(path: &Path) -> Result<Loaded, CaError> {
    let pem = read_file(path)?;
    if pem.is_empty() {
        return Err(CaError::Empty(path.to_owned()));
    }
    let pool = CertPool::from_pem(&pem).map_err(|source| CaError::Pem { path: path.to_owned(), source })?;
    Ok(Loaded { pem, pool })
}

/// The subject's common name, empty if it has none or does not parse.
pub fn common_name(certificate: &CertificateDer<'_>) -> String {
    CertUser::from_der(certificate).map(|user| user.name).unwrap_or_default()
}

/// The user a verified certificate stands for; `None` without a common name.
pub fn user(certificate: &CertificateDer<'_>) -> Option<UserInfo> {
    let user = CertUser::from_der(certificate).ok().filter(|user| !user.name.is_empty())?;
    let extra = [(CREDENTIAL_ID.to_owned(), vec![user.credential_id])].into();
    Some(UserInfo { name: user.name, uid: user.uid, groups: user.groups, extra })
}
