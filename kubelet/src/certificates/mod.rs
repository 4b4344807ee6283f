//! Certificates of this node: asked for with a CertificateSigningRequest, kept in the certificate folder, renewed in time.
//!
//! upstream: pkg/kubelet/certificate, staging/src/k8s.io/client-go/util/certificate

mod client;
mod request;
mod serving;
mod store;

pub use client::{ClientIdentity, client_identity, renew_forever};
pub use serving::serve_from_requests;

use std::time::Duration;

use jiff::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Begin and end of the first certificate of a PEM text.
pub fn validity(pem: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let der = component_base::tls::parse_certs(pem).ok()?.into_iter().next()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let validity = certificate.validity();
    let begin = Timestamp::from_second(validity.not_before.timestamp()).ok()?;
    let end = Timestamp::from_second(validity.not_after.timestamp()).ok()?;
    Some((begin, end))
}

/// How long to wait before a certificate is renewed: until 70 to 90 percent of its life are over.
fn renewal_wait(begin: Timestamp, end: Timestamp, now: Timestamp, share: f64) -> Duration {
    let life = end.duration_since(begin).as_secs_f64();
    let due = life * (0.7 + 0.2 * share) - now.duration_since(begin).as_secs_f64();
    Duration::try_from_secs_f64(due).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renews_before_the_end() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        assert_eq!(renewal_wait(at(0), at(1000), at(0), 0.0).as_secs(), 700);
        assert_eq!(renewal_wait(at(0), at(1000), at(100), 1.0).as_secs(), 800);
        assert_eq!(renewal_wait(at(0), at(1000), at(950), 0.5), Duration::ZERO);
    }
}
