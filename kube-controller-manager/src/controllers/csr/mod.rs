//! The controllers of CertificateSigningRequests: approving, signing, cleaning (upstream: pkg/controller/certificates).

mod approve;
mod clean;
mod rules;
mod sign;

pub(super) use approve::start as start_approving;
pub(super) use clean::start as start_cleaning;
pub(super) use sign::start as start_signing;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

/// Whether a condition of the request is True.
fn has(request: &CertificateSigningRequest, kind: &str) -> bool {
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == kind && condition.status == "True")
}

fn is_issued(request: &CertificateSigningRequest) -> bool {
    request
        .status
        .as_ref()
        .and_then(|status| status.certificate.as_ref())
        .is_some_and(|certificate| !certificate.0.is_empty())
}
