//! Certificate requests (PKCS#10): reading, with their signature checked, and writing.

use std::net::IpAddr;

use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509CertificationRequest};

use super::{PkiError, PrivateKey, Subject, der, names, pem};

/// A request whose signature was checked.
#[derive(Debug, Clone, Default)]
pub struct CertRequest {
    /// Subject as DER.
    pub(super) subject: Vec<u8>,
    /// Public key as DER.
    pub(super) public_key: Vec<u8>,
    /// Common name.
    pub common_name: String,
    /// Organizations.
    pub organizations: Vec<String>,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// URIs.
    pub uris: Vec<String>,
}

impl CertRequest {
    /// Reads the first request of a PEM text.
    ///
    /// # Errors
    /// When there is none, or it is malformed, or its signature is wrong.
    pub fn from_pem(text: &[u8]) -> Result<Self, PkiError> {
        let raw = CertificateSigningRequestDer::from_pem_slice(text)
            .map_err(|_| PkiError::Request("PEM block type must be CERTIFICATE REQUEST".into()))?;
        let malformed = |error: &dyn std::fmt::Display| PkiError::Request(error.to_string());
        let (_, parsed) = X509CertificationRequest::from_der(&raw).map_err(|error| malformed(&error))?;
        parsed.verify_signature().map_err(|error| malformed(&error))?;
        let info = &parsed.certification_request_info;
        let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            attribute.as_str().unwrap_or_default().to_owned()
        };
        let mut request = Self {
            subject: info.subject.as_raw().to_vec(),
            public_key: info.subject_pki.raw.to_vec(),
            common_name: info.subject.iter_common_name().last().map(text).unwrap_or_default(),
            organizations: info.subject.iter_organization().map(text).collect(),
            ..Self::default()
        };
        for extension in parsed.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(alternates) = extension {
                alternates.general_names.iter().for_each(|name| request.add_alternate(name));
            }
        }
        Ok(request)
    }

    fn add_alternate(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => self.emails.push((*name).to_owned()),
            GeneralName::URI(name) => self.uris.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                self.addresses.extend(v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)));
            }
            _ => {}
        }
    }

    /// Writes a request, signed by the key, as PEM.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn make(
        key: &PrivateKey,
        subject: &Subject,
        dns_names: &[String],
        addresses: &[IpAddr],
    ) -> Result<Vec<u8>, PkiError> {
        let wanted = Self { dns_names: dns_names.to_vec(), addresses: addresses.to_vec(), ..Self::default() };
        let attributes = match names::alternates_extension(&wanted, false) {
            None => Vec::new(),
            Some(extension) => {
                let extensions = der::sequence(&[extension]);
                der::sequence(&[der::oid(&[1, 2, 840, 113_549, 1, 9, 14]), der::set(&extensions)])
            }
        };
        let info = der::sequence(&[
            der::integer(&[0]),
            subject.to_der(),
            key.public_key_der()?,
            der::tagged(0xa0, &attributes),
        ]);
        let (algorithm, signature) = key.sign(&info)?;
        Ok(pem("CERTIFICATE REQUEST", &der::sequence(&[info, algorithm, der::bits(&signature)])))
    }
}
