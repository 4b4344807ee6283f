//! The client certificate with which the kubelet is `system:node:NAME`.
//!
//! upstream: pkg/kubelet/certificate/bootstrap/bootstrap.go, kubelet.go: NewKubeletClientCertificateManager

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use component_base::client::{ClientConfig, ClientError};
use component_base::{Chain, Shutdown, clock};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use serde_json::json;

use super::request::{Issued, Request, RequestError, issue};
use super::store::Store;
use super::{renewal_wait, validity};

const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const PREFIX: &str = "kubelet-client";
const RETRY: Duration = Duration::from_secs(10);

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A kubeconfig cannot be used.
    #[error("invalid kubeconfig")]
    Client(#[from] ClientError),
    /// The kubeconfig for the first certificate cannot be used.
    #[error("unable to load bootstrap kubeconfig")]
    Bootstrap(#[source] ClientError),
    /// No certificate was issued.
    #[error("unable to bootstrap")]
    Request(#[from] RequestError),
    /// A file could not be written.
    #[error("write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Who the kubelet is to the API.
pub struct ClientIdentity {
    /// How to reach the API.
    pub config: ClientConfig,
}

/// Finds the identity: the kubeconfig if it holds, else one made with the bootstrap kubeconfig. `None` when neither was
/// given: the kubelet then runs without an API.
///
/// # Errors
/// See [`IdentityError`].
pub async fn client_identity(
    kubeconfig: &str,
    bootstrap: &str,
    cert_dir: &Path,
    node: &str,
) -> Result<Option<ClientIdentity>, IdentityError> {
    if !kubeconfig.is_empty() && (bootstrap.is_empty() || holds(kubeconfig)) {
        return Ok(Some(ClientIdentity { config: ClientConfig::from_kubeconfig(kubeconfig, "")? }));
    }
    if bootstrap.is_empty() {
        return Ok(None);
    }
    let store = Store::new(cert_dir, PREFIX);
    let current = store.current();
    let reuse = holds_certificate(&current);
    if reuse {
        write_kubeconfig(bootstrap, kubeconfig, &current)?;
    }
    if !reuse || !is_accepted(kubeconfig, node).await? {
        let to = ClientConfig::from_kubeconfig(bootstrap, "").map_err(IdentityError::Bootstrap)?;
        let client = to.daemon("kubelet").connect().map_err(IdentityError::Bootstrap)?;
        let issued = bootstrap_certificate(client, node).await?;
        put(&store, &issued)?;
        write_kubeconfig(bootstrap, kubeconfig, &current)?;
    }
    Ok(Some(ClientIdentity { config: ClientConfig::from_kubeconfig(kubeconfig, "")? }))
}

/// A certificate in the folder may be from another cluster, made before this one: the API then does not know it. That the
/// API does not answer at all says nothing.
async fn is_accepted(kubeconfig: &str, node: &str) -> Result<bool, IdentityError> {
    let client = ClientConfig::from_kubeconfig(kubeconfig, "")?.daemon("kubelet").connect()?;
    match Api::<Node>::all(client).get_opt(node).await {
        Err(kube::Error::Api(answer)) if answer.code == 401 => {
            tracing::warn!("the stored client certificate is not accepted, a new one is requested");
            Ok(false)
        }
        _ => Ok(true),
    }
}

/// The API may not be there yet when a node boots: that is no reason to give up.
async fn bootstrap_certificate(client: Client, node: &str) -> Result<Issued, RequestError> {
    loop {
        match issue(client.clone(), &request(node)).await {
            Err(RequestError::Api(error)) => {
                tracing::warn!(error = %Chain(&*error), "certificate was not requested, will be tried again");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            other => return other,
        }
    }
}

fn request(node: &str) -> Request<'_> {
    Request { node, signer: SIGNER, usage: "client auth", ips: &[], names: &[] }
}

fn put(store: &Store, issued: &Issued) -> Result<PathBuf, IdentityError> {
    store.put(issued).map_err(|source| IdentityError::Write { path: store.current(), source })
}

/// A kubeconfig holds when it can be read and its certificate, if it has a file of one, has not ended.
fn holds(kubeconfig: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(kubeconfig) else {
        return false;
    };
    let Ok(value) = component_base::config::parse_yaml(&text) else {
        return false;
    };
    let user = &value["users"][0]["user"];
    match user["client-certificate"].as_str() {
        Some(file) => holds_certificate(Path::new(file)),
        None => ClientConfig::from_kubeconfig(kubeconfig, "").is_ok(),
    }
}

fn holds_certificate(file: &Path) -> bool {
    let pem = std::fs::read(file).unwrap_or_default();
    validity(&pem).is_some_and(|(_, end)| clock::now() < end)
}

/// The bootstrap kubeconfig's cluster with the node's own certificate.
fn write_kubeconfig(bootstrap: &str, target: &str, certificate: &Path) -> Result<(), IdentityError> {
    let wrap = |source: io::Error| IdentityError::Write { path: target.into(), source };
    let text = std::fs::read_to_string(bootstrap).map_err(wrap)?;
    let value = component_base::config::parse_yaml(&text).map_err(|error| wrap(io::Error::other(error.to_string())))?;
    let context = value["current-context"].as_str().unwrap_or_default();
    let named = |list: &str, name: &str| {
        value[list].as_array().into_iter().flatten().find(|entry| entry["name"] == name).cloned().unwrap_or_default()
    };
    let cluster_name = named("contexts", context)["context"]["cluster"].as_str().unwrap_or_default().to_owned();
    let mut cluster = named("clusters", &cluster_name)["cluster"].clone();
    // A path is relative to its own file, and the new file may be elsewhere.
    if let Some(ca) = cluster["certificate-authority"].as_str().filter(|ca| !ca.starts_with('/')) {
        let folder = Path::new(bootstrap).parent().unwrap_or(Path::new("/"));
        let absolute = std::path::absolute(folder.join(ca)).map_err(wrap)?;
        cluster["certificate-authority"] = json!(absolute);
    }
    let made = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "default-cluster", "cluster": cluster }],
        "contexts": [{ "name": "default-context", "context": {
            "cluster": "default-cluster", "user": "default-auth", "namespace": "default" } }],
        "current-context": "default-context",
        "users": [{ "name": "default-auth", "user": {
            "client-certificate": certificate, "client-key": certificate } }],
    });
    let bytes = serde_json::to_vec_pretty(&made).unwrap_or_default();
    component_base::pki::write_file(Path::new(target), &bytes, 0o600).map_err(wrap)
}

/// Renews the certificate in `cert_dir` before it ends, and calls `renewed` so that connections use the new one.
pub async fn renew_forever(
    client: Client,
    cert_dir: PathBuf,
    node: String,
    renewed: Box<dyn Fn() + Send + Sync>,
    stop: Shutdown,
) {
    let store = Store::new(&cert_dir, PREFIX);
    loop {
        let pem = std::fs::read(store.current()).unwrap_or_default();
        let Some((begin, end)) = validity(&pem) else {
            return;
        };
        let wait = renewal_wait(begin, end, clock::now(), rand::random());
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(wait) => {}
        }
        match issue(client.clone(), &request(&node)).await {
            Ok(issued) => match put(&store, &issued) {
                Ok(path) => {
                    tracing::info!(path = %path.display(), "client certificate renewed");
                    renewed();
                }
                Err(error) => tracing::error!(error = %Chain(&error), "renewed certificate was not written"),
            },
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "client certificate was not renewed, will be tried again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_kubeconfig_points_to_the_certificate() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (bootstrap, target) = (folder.path().join("b"), folder.path().join("t"));
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: x, user: u}}]\n\
                    clusters: [{name: x, cluster: {server: 'https://127.0.0.1:1', certificate-authority: ca.crt}}]\nusers: [{name: u, user: {token: t}}]\n";
        std::fs::write(&bootstrap, text).expect("written");
        let (from, to) = (bootstrap.display().to_string(), target.display().to_string());
        write_kubeconfig(&from, &to, Path::new("/pki/kubelet-client-current.pem")).expect("written");
        let made = std::fs::read_to_string(&target).expect("readable");
        assert!(made.contains("/pki/kubelet-client-current.pem") && made.contains("https://127.0.0.1:1"));
        assert!(made.contains(&folder.path().join("ca.crt").display().to_string()));
        assert!(!holds(&to), "a certificate that is not there does not hold");
    }
}
