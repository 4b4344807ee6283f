//! The three plugins about certificate signing requests: who approves, who signs, and for which subjects.
//!
//! upstream: plugin/pkg/admission/certificates and pkg/certauthorization

use std::sync::Arc;

use apimachinery::quote::quote;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::FromDer;

use super::{Attributes, Context, Operation, Plugin, forbidden, is_resource};
use crate::authorization::{Attributes as Ask, Authorizer, Decision};

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// CertificateApproval: `approve` on the signer.
pub fn approval(context: &Context) -> Box<dyn Plugin> {
    Box::new(SignerPermission { authorizer: context.authorizer.clone(), approves: true })
}

/// CertificateSigning: `sign` on the signer, to write a certificate into the status.
pub fn signing(context: &Context) -> Box<dyn Plugin> {
    Box::new(SignerPermission { authorizer: context.authorizer.clone(), approves: false })
}

/// CertificateSubjectRestriction: no client certificate for `system:masters`.
pub fn subject_restriction(_: &Context) -> Box<dyn Plugin> {
    Box::new(SubjectRestriction)
}

struct SignerPermission {
    authorizer: Arc<Authorizer>,
    approves: bool,
}

#[async_trait]
impl Plugin for SignerPermission {
    fn name(&self) -> &'static str {
        if self.approves { "CertificateApproval" } else { "CertificateSigning" }
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        let (subresource, verb) = if self.approves { ("approval", "approve") } else { ("status", "sign") };
        if a.subresource != subresource || !is_resource(a, GROUP, "certificatesigningrequests") {
            return Ok(());
        }
        if !self.approves && !signs(object, a.old) {
            return Ok(());
        }
        let signer = a.old.path(&["spec", "signerName"]).str_or_empty();
        if self.allowed(a, verb, signer).await {
            return Ok(());
        }
        Err(forbidden(a, object, format!("user not permitted to {verb} requests with signerName {}", quote(signer))))
    }
}

impl SignerPermission {
    /// Allowed for this signer by name, or for all of its domain.
    async fn allowed(&self, a: &Attributes<'_>, verb: &str, signer: &str) -> bool {
        let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
        for name in [signer.to_owned(), format!("{domain}/*")] {
            let ask = Ask {
                user: (**a.user).clone(),
                verb: verb.to_owned(),
                resource_request: true,
                group: GROUP.to_owned(),
                version: "*".to_owned(),
                resource: "signers".to_owned(),
                name,
                ..Ask::default()
            };
            if matches!(self.authorizer.authorize(&ask).await, Decision::Allow(_)) {
                return true;
            }
        }
        false
    }
}

/// True if the update writes a certificate or adds or changes the Failed condition.
fn signs(new: &Value, old: &Value) -> bool {
    let certificate = |v: &Value| v.path(&["status", "certificate"]).str_or_empty().to_owned();
    let failed = |v: &Value| {
        let conditions = v.path(&["status", "conditions"]).items();
        conditions.iter().find(|c| c.get("type").str_or_empty() == "Failed").cloned()
    };
    certificate(new) != certificate(old) || failed(new) != failed(old)
}

struct SubjectRestriction;

#[async_trait]
impl Plugin for SubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        let ours = a.subresource.is_empty() && is_resource(a, GROUP, "certificatesigningrequests");
        if !ours || object.path(&["spec", "signerName"]).str_or_empty() != CLIENT_SIGNER {
            return Ok(());
        }
        let request = STANDARD.decode(object.path(&["spec", "request"]).str_or_empty()).unwrap_or_default();
        let organizations =
            organizations(&request).map_err(|why| forbidden(a, object, format!("failed to parse CSR: {why}")))?;
        if organizations.iter().any(|o| o == "system:masters") {
            let why = format!("use of {CLIENT_SIGNER} signer with system:masters group is not allowed");
            return Err(forbidden(a, object, why));
        }
        Ok(())
    }
}

fn organizations(pem: &[u8]) -> Result<Vec<String>, String> {
    let (_, block) =
        x509_parser::pem::parse_x509_pem(pem).map_err(|_| "PEM block type must be CERTIFICATE REQUEST".to_owned())?;
    let (_, csr) = x509_parser::certification_request::X509CertificationRequest::from_der(&block.contents)
        .map_err(|error| error.to_string())?;
    let subject = &csr.certification_request_info.subject;
    Ok(subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect())
}
