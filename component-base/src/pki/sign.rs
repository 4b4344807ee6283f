//! A certificate authority that signs requests: subjects stay as they were asked for, with all their organizations.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

use super::{CertRequest, PkiError, PrivateKey, Subject, der, names, pem};
use crate::tls;

/// Key usages of certificates.k8s.io that are bits of keyUsage.
const KEY_USAGES: [(&str, u8); 10] = [
    ("signing", 0),
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("decipher only", 8),
];

/// Key usages of certificates.k8s.io that are purposes of extKeyUsage.
const PURPOSES: [(&str, &[u64]); 13] = [
    ("any", &[2, 5, 29, 37, 0]),
    ("server auth", &[1, 3, 6, 1, 5, 5, 7, 3, 1]),
    ("client auth", &[1, 3, 6, 1, 5, 5, 7, 3, 2]),
    ("code signing", &[1, 3, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[1, 3, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[1, 3, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[1, 3, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[1, 3, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[1, 3, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
    ("netscape sgc", &[2, 16, 840, 1, 113_730, 4, 1]),
];

/// A CA certificate and its key.
#[derive(Debug, Clone)]
pub struct Authority {
    subject: Vec<u8>,
    key_id: Vec<u8>,
    not_after: Timestamp,
    key: PrivateKey,
}

impl Authority {
    /// From PEM.
    ///
    /// # Errors
    /// When the certificate or the key cannot be used.
    pub fn from_pem(cert: &[u8], key: &[u8]) -> Result<Self, PkiError> {
        let chain = tls::parse_certs(cert).map_err(PkiError::Parse)?;
        let first = chain.first().ok_or(PkiError::PublicKey)?;
        let (_, parsed) = X509Certificate::from_der(first).map_err(|error| PkiError::Request(error.to_string()))?;
        let known = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        let key_id = known.unwrap_or_else(|| Sha256::digest(parsed.public_key().raw)[..20].to_vec());
        let not_after = Timestamp::from_second(parsed.validity().not_after.timestamp())
            .map_err(|error| PkiError::Request(error.to_string()))?;
        Ok(Self { subject: parsed.subject().as_raw().to_vec(), key_id, not_after, key: PrivateKey::from_pem(key)? })
    }

    /// From files.
    ///
    /// # Errors
    /// When they cannot be read or used.
    pub fn from_files(cert: &str, key: &str) -> Result<Self, PkiError> {
        let read = |path: &str| std::fs::read(path).map_err(|source| PkiError::Read { path: path.to_owned(), source });
        Self::from_pem(&read(cert)?, &read(key)?)
    }

    /// When the CA certificate ends.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Signs a request for the given usages (in the words of certificates.k8s.io); PEM. The end is cut to the CA's.
    ///
    /// # Errors
    /// Unknown usages, a CA that has ended, or a key that cannot sign.
    pub fn sign(
        &self,
        request: &CertRequest,
        usages: &[String],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<u8>, PkiError> {
        if from >= self.not_after {
            return Err(PkiError::Expired(self.not_after));
        }
        let until = until.min(self.not_after);
        let serial: [u8; 16] = rand::random();
        let (algorithm, _) = self.key.sign(&[])?;
        let body = der::sequence(&[
            der::tagged(0xa0, &der::integer(&[2])),
            der::integer(&serial),
            algorithm,
            self.subject.clone(),
            der::sequence(&[der::time(from), der::time(until)]),
            request.subject.clone(),
            request.public_key.clone(),
            der::tagged(0xa3, &der::sequence(&self.extensions(request, usages)?)),
        ]);
        let (algorithm, signature) = self.key.sign(&body)?;
        Ok(pem("CERTIFICATE", &der::sequence(&[body, algorithm, der::bits(&signature)])))
    }

    /// Makes a certificate for a key of our own.
    ///
    /// # Errors
    /// As [`Authority::sign`].
    pub fn issue(
        &self,
        key: &PrivateKey,
        subject: &Subject,
        usages: &[String],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<u8>, PkiError> {
        let request =
            CertRequest { subject: subject.to_der(), public_key: key.public_key_der()?, ..CertRequest::default() };
        self.sign(&request, usages, from, until)
    }

    fn extensions(&self, request: &CertRequest, usages: &[String]) -> Result<Vec<Vec<u8>>, PkiError> {
        let mut bits = Vec::new();
        let mut purposes = Vec::new();
        for usage in usages {
            if let Some((_, bit)) = KEY_USAGES.iter().find(|(name, _)| name == usage) {
                bits.push(*bit);
            } else if let Some((_, arcs)) = PURPOSES.iter().find(|(name, _)| name == usage) {
                purposes.push(der::oid(arcs));
            } else {
                return Err(PkiError::Usage(usage.clone()));
            }
        }
        let mut extensions = Vec::new();
        if !bits.is_empty() {
            extensions.push(names::extension(&[2, 5, 29, 15], true, &der::named_bits(&bits)));
        }
        if !purposes.is_empty() {
            extensions.push(names::extension(&[2, 5, 29, 37], false, &der::sequence(&purposes)));
        }
        extensions.push(names::extension(&[2, 5, 29, 19], true, &der::sequence(&[])));
        let key_id = der::sequence(&[der::tagged(0x80, &self.key_id)]);
        extensions.push(names::extension(&[2, 5, 29, 35], false, &key_id));
        let has_subject = request.subject.len() > 2;
        extensions.extend(names::alternates_extension(request, !has_subject));
        Ok(extensions)
    }
}
