//! certificatesigningrequest-signing-controller: signs approved requests for the signers of Kubernetes.

use std::time::Duration;

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::pki::{Authority, CertRequest};
use component_base::{ObjectKey, Reader};
use jiff::SignedDuration;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use kube::api::{Api, PostParams};

use super::rules;
use crate::api;
use crate::context::{Context, Shared};
use crate::controllers::StartError;
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};

/// Certificates start a little in the past, for clocks that differ.
const BACKDATE: Duration = Duration::from_secs(300);
/// Shorter ones keep their whole duration in spite of that.
const SHORT: Duration = Duration::from_secs(8 * 3600);

/// A signer and the flags that name its own files.
const SIGNERS: [(&str, &str); 4] = [
    (rules::KUBELET_SERVING, "kubelet-serving"),
    (rules::KUBELET_CLIENT, "kubelet-client"),
    (rules::CLIENT, "kube-apiserver-client"),
    (rules::LEGACY, "legacy-unknown"),
];

/// Files of one signer.
struct Signer {
    name: &'static str,
    cert: String,
    key: String,
}

pub(in crate::controllers) fn start(shared: &Shared) -> Result<bool, StartError> {
    let signers = signers(&shared.flags)?;
    if signers.is_empty() {
        return Ok(false);
    }
    let context = shared.context("certificate-controller", "certificate-controller")?;
    for signer in &signers {
        let loaded = Authority::from_files(&signer.cert, &signer.key);
        loaded.map_err(|error| {
            StartError::Setup(format!("cannot load the signer {}: {}", signer.name, component_base::Chain(&error)))
        })?;
    }
    let controller = Signing {
        requests: context.informers.reader(),
        signers,
        limit: shared.flags.duration("cluster-signing-duration"),
        context: context.clone(),
    };
    runner::start(controller, &context, 5);
    Ok(true)
}

fn signers(flags: &component_base::Flags) -> Result<Vec<Signer>, StartError> {
    let specific = |flag: &str, end: &str| flags.str(&format!("cluster-signing-{flag}-{end}-file")).to_owned();
    let any_specific =
        SIGNERS.iter().any(|(_, flag)| !specific(flag, "cert").is_empty() || !specific(flag, "key").is_empty());
    let common = (flags.str("cluster-signing-cert-file"), flags.str("cluster-signing-key-file"));
    if any_specific && (!common.0.is_empty() || !common.1.is_empty()) {
        return Err(StartError::Setup("cannot specify default and per controller certs at the same time".to_owned()));
    }
    let pair = |flag: &str| {
        if any_specific {
            (specific(flag, "cert"), specific(flag, "key"))
        } else {
            (common.0.to_owned(), common.1.to_owned())
        }
    };
    let all = SIGNERS.iter().map(|(name, flag)| {
        let (cert, key) = pair(flag);
        Signer { name, cert, key }
    });
    Ok(all.filter(|signer| !signer.cert.is_empty() && !signer.key.is_empty()).collect())
}

struct Signing {
    context: Context,
    requests: Reader<CertificateSigningRequest>,
    signers: Vec<Signer>,
    limit: Duration,
}

#[async_trait]
impl Controller for Signing {
    const NAME: &'static str = "certificatesigningrequest-signing-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.requests, queue);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(known) = self.requests.get_key(key) else { return Ok(Next::OnChange) };
        if super::is_issued(&known) || !super::has(&known, "Approved") || super::has(&known, "Failed") {
            return Ok(Next::OnChange);
        }
        let Some(signer) = self.signers.iter().find(|signer| signer.name == known.spec.signer_name) else {
            return Ok(Next::OnChange);
        };
        let invalid = |error: &dyn std::error::Error| {
            ReconcileError::Invalid(format!("unable to sign csr {:?}: {}", known.name(), component_base::Chain(error)))
        };
        let request = CertRequest::from_pem(&known.spec.request.0).map_err(|error| invalid(&error))?;
        let usages = known.spec.usages.clone().unwrap_or_default();
        let now = self.context.clock.now();
        let mut answer = (*known).clone();
        let status = answer.status.get_or_insert_default();
        match rules::check(signer.name, &request, &usages) {
            Err(message) => status.conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
                type_: "Failed".to_owned(),
                status: "True".to_owned(),
                reason: Some("SignerValidationFailure".to_owned()),
                message: Some(message),
                last_update_time: Some(api::time(now)),
                ..CertificateSigningRequestCondition::default()
            }),
            Ok(()) => {
                // Read anew for every signature: the files may have been rotated.
                let authority = Authority::from_files(&signer.cert, &signer.key).map_err(|error| invalid(&error))?;
                let duration = rules::duration(known.spec.expiration_seconds, self.limit);
                let kept = if duration < SHORT { duration } else { duration - BACKDATE };
                let from = now - SignedDuration::try_from(BACKDATE).unwrap_or_default();
                let until = now + SignedDuration::try_from(kept).unwrap_or_default();
                let certificate = authority.sign(&request, &usages, from, until).map_err(|error| invalid(&error))?;
                status.certificate = Some(ByteString(certificate));
            }
        }
        let client: Api<CertificateSigningRequest> = Api::all(self.context.client.clone());
        client
            .replace_status(&key.name, &PostParams::default(), &answer)
            .await
            .doing(|| "cannot update the status".to_owned())?;
        Ok(Next::OnChange)
    }
}
