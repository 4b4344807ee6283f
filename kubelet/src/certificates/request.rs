//! Asking the API for one certificate.
//!
//! upstream: staging/src/k8s.io/client-go/util/certificate/csr/csr.go

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

/// How long an answer is waited for.
const WAIT: Duration = Duration::from_secs(15 * 60);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A certificate that was not issued.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The key or the request could not be made.
    #[error("make a certificate request")]
    Make(#[from] rcgen::Error),
    /// The API refused or did not answer.
    #[error("send a certificate request")]
    Api(#[from] Box<kube::Error>),
    /// An approver said no.
    #[error("certificate signing request {name} was denied: {message}")]
    Denied {
        /// Name of the request.
        name: String,
        /// Why.
        message: String,
    },
    /// Nobody signed it.
    #[error("certificate signing request {0} was not signed in time")]
    Timeout(String),
}

/// What is asked for.
pub struct Request<'a> {
    /// The node.
    pub node: &'a str,
    /// Who shall sign.
    pub signer: &'a str,
    /// `client auth` or `server auth`.
    pub usage: &'a str,
    /// Addresses of a server.
    pub ips: &'a [IpAddr],
    /// Names of a server.
    pub names: &'a [String],
}

/// A certificate and its key, in PEM.
pub struct Issued {
    /// The chain.
    pub cert: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
}

/// Makes a key, asks for a certificate and waits for it.
///
/// # Errors
/// See [`RequestError`].
pub async fn issue(client: Client, request: &Request<'_>) -> Result<Issued, RequestError> {
    let key = KeyPair::generate()?;
    let pem = params(request)?.serialize_request(&key)?.pem()?;
    let requests: Api<CertificateSigningRequest> = Api::all(client);
    let object = CertificateSigningRequest {
        metadata: ObjectMeta { generate_name: Some("csr-".to_owned()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: request.signer.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), request.usage.to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    let made = requests.create(&PostParams::default(), &object).await.map_err(Box::new)?;
    let name = made.metadata.name.unwrap_or_default();
    tracing::info!(name, signer = request.signer, "certificate requested");
    let cert = tokio::time::timeout(WAIT, wait(&requests, &name)).await;
    let cert = cert.map_err(|_elapsed| RequestError::Timeout(name.clone()))??;
    Ok(Issued { cert, key: key.serialize_pem().into_bytes() })
}

fn params(request: &Request<'_>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "system:nodes");
    name.push(DnType::CommonName, format!("system:node:{}", request.node));
    params.distinguished_name = name;
    for dns in request.names {
        params.subject_alt_names.push(SanType::DnsName(dns.clone().try_into()?));
    }
    params.subject_alt_names.extend(request.ips.iter().map(|ip| SanType::IpAddress(*ip)));
    Ok(params)
}

async fn wait(requests: &Api<CertificateSigningRequest>, name: &str) -> Result<Vec<u8>, RequestError> {
    loop {
        match requests.get(name).await {
            Ok(request) => {
                let status = request.status.unwrap_or_default();
                let bad = status.conditions.iter().flatten().find(|c| matches!(c.type_.as_str(), "Denied" | "Failed"));
                if let Some(bad) = bad {
                    let message = bad.message.clone().unwrap_or_default();
                    return Err(RequestError::Denied { name: name.to_owned(), message });
                }
                if let Some(certificate) = status.certificate.filter(|certificate| !certificate.0.is_empty()) {
                    return Ok(certificate.0);
                }
            }
            Err(kube::Error::Api(answer)) if answer.code == 404 => {
                return Err(RequestError::Timeout(name.to_owned()));
            }
            Err(error) => tracing::debug!(name, %error, "certificate request was not read, will be tried again"),
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
