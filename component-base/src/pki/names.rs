//! Subjects and alternative names in DER.

use std::net::IpAddr;

use super::{CertRequest, der};

/// A subject: common name and organizations, which are a client's name and groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Common name.
    pub common_name: String,
    /// Organizations, in order.
    pub organizations: Vec<String>,
}

impl Subject {
    pub(super) fn to_der(&self) -> Vec<u8> {
        let attribute = |arcs: &[u64], text: &str| der::set(&der::sequence(&[der::oid(arcs), der::utf8(text)]));
        let mut parts: Vec<Vec<u8>> = self.organizations.iter().map(|name| attribute(&[2, 5, 4, 10], name)).collect();
        if !self.common_name.is_empty() {
            parts.push(attribute(&[2, 5, 4, 3], &self.common_name));
        }
        der::sequence(&parts)
    }
}

/// The extension subjectAltName; None if there are no names.
pub(super) fn alternates_extension(request: &CertRequest, critical: bool) -> Option<Vec<u8>> {
    let text =
        |tag: u8, names: &[String]| names.iter().map(|name| der::tagged(tag, name.as_bytes())).collect::<Vec<_>>();
    let mut all = text(0x82, &request.dns_names);
    all.extend(text(0x81, &request.emails));
    all.extend(request.addresses.iter().map(|address| match address {
        IpAddr::V4(address) => der::tagged(0x87, &address.octets()),
        IpAddr::V6(address) => der::tagged(0x87, &address.octets()),
    }));
    all.extend(text(0x86, &request.uris));
    (!all.is_empty()).then(|| extension(&[2, 5, 29, 17], critical, &der::sequence(&all)))
}

/// One extension of a certificate.
pub(super) fn extension(arcs: &[u64], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut items = vec![der::oid(arcs)];
    if critical {
        items.push(der::boolean_true());
    }
    items.push(der::octets(value));
    der::sequence(&items)
}
