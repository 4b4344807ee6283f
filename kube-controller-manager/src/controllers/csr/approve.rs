//! certificatesigningrequest-approving-controller: approves kubelets' client certificates if they may ask for them.

use async_trait::async_trait;
use component_base::pki::CertRequest;
use component_base::{ObjectKey, Reader};
use http::Request;
use http::header::CONTENT_TYPE;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use kube::api::{Api, PostParams};

use super::rules;
use crate::api;
use crate::context::{Context, Shared};
use crate::controllers::StartError;
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};

pub(in crate::controllers) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("certificate-controller", "certificate-controller")?;
    let controller = Approving { requests: context.informers.reader(), context: context.clone() };
    runner::start(controller, &context, 5);
    Ok(true)
}

struct Approving {
    context: Context,
    requests: Reader<CertificateSigningRequest>,
}

/// What the asker must be permitted to create, and what the approval says.
const SELF_NODE: (&str, &str) =
    ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.");
const NODE: (&str, &str) = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");

#[async_trait]
impl Controller for Approving {
    const NAME: &'static str = "certificatesigningrequest-approving-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.requests, queue);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(known) = self.requests.get_key(key) else { return Ok(Next::OnChange) };
        let decided = super::has(&known, "Approved") || super::has(&known, "Denied");
        if decided || super::is_issued(&known) || known.spec.signer_name != rules::KUBELET_CLIENT {
            return Ok(Next::OnChange);
        }
        let Ok(request) = CertRequest::from_pem(&known.spec.request.0) else { return Ok(Next::OnChange) };
        if rules::kubelet_client(&request, known.spec.usages.as_deref().unwrap_or_default()).is_err() {
            return Ok(Next::OnChange);
        }
        let is_self = known.spec.username.as_deref() == Some(request.common_name.as_str());
        let candidates: &[(&str, &str)] = if is_self { &[SELF_NODE, NODE] } else { &[NODE] };
        for (subresource, message) in candidates {
            if self.may_ask(&known, subresource).await? {
                return self.approve(&known, message).await;
            }
        }
        Err(ReconcileError::Invalid(format!(
            "recognized csr {:?} but subject access review was not approved",
            key.name
        )))
    }
}

impl Approving {
    async fn may_ask(&self, request: &CertificateSigningRequest, subresource: &str) -> Result<bool, ReconcileError> {
        let spec = SubjectAccessReviewSpec {
            user: request.spec.username.clone(),
            uid: request.spec.uid.clone(),
            groups: request.spec.groups.clone(),
            extra: request.spec.extra.clone(),
            resource_attributes: Some(ResourceAttributes {
                group: Some("certificates.k8s.io".to_owned()),
                resource: Some("certificatesigningrequests".to_owned()),
                subresource: Some(subresource.to_owned()),
                verb: Some("create".to_owned()),
                version: Some("*".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let client: Api<SubjectAccessReview> = Api::all(self.context.client.clone());
        let answer =
            client.create(&PostParams::default(), &review).await.doing(|| "cannot review access".to_owned())?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    async fn approve(&self, request: &CertificateSigningRequest, message: &str) -> Result<Next, ReconcileError> {
        let mut answer = request.clone();
        answer.status.get_or_insert_default().conditions.get_or_insert_default().push(
            CertificateSigningRequestCondition {
                type_: "Approved".to_owned(),
                status: "True".to_owned(),
                reason: Some("AutoApproved".to_owned()),
                message: Some(message.to_owned()),
                last_update_time: Some(api::time(self.context.clock.now())),
                ..CertificateSigningRequestCondition::default()
            },
        );
        let name = request.metadata.name.clone().unwrap_or_default();
        let body = serde_json::to_vec(&answer).map_err(|error| ReconcileError::Invalid(error.to_string()))?;
        let path = format!("/apis/certificates.k8s.io/v1/certificatesigningrequests/{name}/approval");
        let put = Request::put(path).header(CONTENT_TYPE, "application/json").body(body);
        let put = put.map_err(|error| ReconcileError::Invalid(error.to_string()))?;
        self.context.client.request_text(put).await.doing(|| "cannot approve the request".to_owned())?;
        Ok(Next::OnChange)
    }
}
