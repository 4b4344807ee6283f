//! Keys and certificates that the project itself makes.
//!
//! rcgen makes authorities and serving certificates; certificates with several organizations (groups) are written by
//! [`sign`], because rcgen keeps one value per attribute.

mod der;
mod keys;
mod names;
mod request;
mod sign;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use crate::tls::TlsError;

pub use keys::{PrivateKey, pem};
pub use names::Subject;
pub use request::CertRequest;
pub use sign::Authority;

/// Why a key, a request or a certificate cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// PEM without what was looked for.
    #[error("cannot parse PEM")]
    Parse(#[source] TlsError),
    /// A key of an unknown kind, or a failed signature.
    #[error("cannot use the key")]
    Key(#[source] rustls::Error),
    /// A key that does not give its public part or knows no common signature algorithm.
    #[error("unsupported key")]
    PublicKey,
    /// No key could be made.
    #[error("cannot generate a key")]
    Generate,
    /// A malformed request or certificate.
    #[error("{0}")]
    Request(String),
    /// A usage that certificates.k8s.io does not know.
    #[error("unrecognized usage value: {0:?}")]
    Usage(String),
    /// The authority has ended.
    #[error("the signer has expired: NotAfter={0}")]
    Expired(jiff::Timestamp),
}

const SELF_SIGNED_DAYS: i64 = 365;

/// A self-signed serving certificate (PEM) and its key (PEM) for a host and further names or addresses.
///
/// # Errors
/// When a name cannot be in a certificate or no key can be made.
pub fn self_signed_serving(host: &str, alternates: &[String]) -> Result<(Vec<u8>, Vec<u8>), TlsError> {
    let now = crate::clock::now();
    let ca_key = KeyPair::generate().map_err(TlsError::Generate)?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name = common_name(&format!("{host}-ca@{}", now.as_second()));
    ca.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::KeyCertSign];
    set_days(&mut ca, now, SELF_SIGNED_DAYS);
    let ca_cert = ca.clone().self_signed(&ca_key).map_err(TlsError::Generate)?;
    let issuer = rcgen::Issuer::new(ca, ca_key);

    let key = KeyPair::generate().map_err(TlsError::Generate)?;
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name = common_name(&format!("{host}@{}", now.as_second()));
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.subject_alt_names = std::iter::once(host)
        .chain(alternates.iter().map(String::as_str))
        .map(alternate_name)
        .collect::<Result<_, _>>()
        .map_err(TlsError::Generate)?;
    set_days(&mut leaf, now, SELF_SIGNED_DAYS);
    let cert = leaf.signed_by(&key, &issuer).map_err(TlsError::Generate)?;
    Ok((format!("{}{}", cert.pem(), ca_cert.pem()).into_bytes(), key.serialize_pem().into_bytes()))
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn alternate_name(name: &str) -> Result<SanType, rcgen::Error> {
    match name.parse() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(name.to_owned().try_into()?)),
    }
}

fn set_days(params: &mut CertificateParams, now: jiff::Timestamp, days: i64) {
    let date = |seconds: i64| {
        let zoned = jiff::Timestamp::from_second(seconds).unwrap_or(now).to_zoned(jiff::tz::TimeZone::UTC);
        rcgen::date_time_ymd(i32::from(zoned.year()), zoned.month().unsigned_abs(), zoned.day().unsigned_abs())
    };
    params.not_before = date(now.as_second() - 86_400);
    params.not_after = date(now.as_second() + days * 86_400);
}

/// Writes a file by way of a temporary one beside it, with the given mode; parent directories are made.
///
/// # Errors
/// Any I/O error.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&name)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&name, path)
}
