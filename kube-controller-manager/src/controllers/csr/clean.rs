//! certificatesigningrequest-cleaner-controller: deletes old requests, every hour.

use std::time::Duration;

use component_base::Chain;
use component_base::clock::since;
use component_base::informer::Object as _;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::Api;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::api;
use crate::context::Shared;
use crate::controllers::StartError;

const INTERVAL: Duration = Duration::from_secs(3600);
const DECIDED: Duration = Duration::from_secs(3600);
const PENDING: Duration = Duration::from_secs(24 * 3600);

pub(in crate::controllers) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("certificate-controller", "certificate-controller")?;
    let requests = context.informers.reader::<CertificateSigningRequest>();
    let client: Api<CertificateSigningRequest> = Api::all(context.client.clone());
    let round = async move {
        requests.synced().await;
        loop {
            let now = context.clock.now();
            for request in requests.list().iter().filter(|request| is_old(request, now)) {
                match client.delete(request.name(), &api::delete_exactly(&request.metadata)).await {
                    Err(error) if !api::has_code(&error, 404) => {
                        tracing::error!(name = request.name(), err = %Chain(&error), "Failed to delete an old request");
                    }
                    _ => {}
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let stop = shared.stop.clone();
    component_base::task::spawn("csr-cleaner", async move {
        tokio::select! {
            () = stop.wait() => {}
            () = round => {}
        }
    });
    Ok(true)
}

/// Decided an hour ago, waiting for a day, or for a certificate that has ended.
fn is_old(request: &CertificateSigningRequest, now: Timestamp) -> bool {
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_ref());
    let older = |at: Option<Timestamp>, age: Duration| at.is_some_and(|at| since(now, at) > age);
    let mut decided = conditions
        .into_iter()
        .flatten()
        .filter(|condition| matches!(condition.type_.as_str(), "Approved" | "Denied" | "Failed"));
    let old_decision =
        decided.clone().any(|condition| older(condition.last_update_time.as_ref().map(|time| time.0), DECIDED));
    let old_pending = decided.next().is_none() && older(Some(api::created(&request.metadata)), PENDING);
    old_decision || old_pending || (super::has(request, "Approved") && has_ended(request, now))
}

fn has_ended(request: &CertificateSigningRequest, now: Timestamp) -> bool {
    let pem = request.status.as_ref().and_then(|status| status.certificate.as_ref());
    let Some(chain) = pem.and_then(|pem| component_base::tls::parse_certs(&pem.0).ok()) else { return false };
    let parsed = chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
    parsed.is_some_and(|(_, cert)| cert.validity().not_after.timestamp() < now.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::certificates::v1::{CertificateSigningRequestCondition, CertificateSigningRequestStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    #[test]
    fn ages() {
        let at = |hours: i64| Timestamp::from_second(hours * 3600).expect("in range");
        let mut request = CertificateSigningRequest::default();
        request.metadata.creation_timestamp = Some(Time(at(0)));
        assert!(!is_old(&request, at(24)));
        assert!(is_old(&request, at(25)));
        let approved = CertificateSigningRequestCondition {
            type_: "Approved".into(),
            last_update_time: Some(Time(at(30))),
            ..CertificateSigningRequestCondition::default()
        };
        request.status = Some(CertificateSigningRequestStatus { conditions: Some(vec![approved]), certificate: None });
        assert!(!is_old(&request, at(31)));
        assert!(is_old(&request, at(32)));
    }
}
