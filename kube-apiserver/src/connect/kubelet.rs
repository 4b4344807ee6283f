//! Where a node's kubelet is and how to talk to it: its addresses by preference, its port, TLS with our client
//! certificate.
//!
//! upstream: pkg/kubelet/client/kubelet_client.go

use std::sync::Arc;

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use component_base::tls::{TlsError, TrustAnyServer, TrustRoots, parse_certs, parse_key};
use rustls::ClientConfig;

use super::upstream::Target;
use crate::options::Options;
use crate::state::AppState;

/// How kubelets are reached.
#[derive(Debug)]
pub struct Kubelets {
    tls: Arc<ClientConfig>,
    preferred: Vec<String>,
    port: u16,
}

/// Why the client side of TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum KubeletTlsError {
    /// A file cannot be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A certificate or key is malformed.
    #[error("parsing the kubelet client's certificates")]
    Parse(#[from] TlsError),
    /// Certificate and key do not fit.
    #[error("using the kubelet client's certificate")]
    Config(#[from] rustls::Error),
}

impl Kubelets {
    /// As the `--kubelet-*` flags say. Without a certificate authority any kubelet is believed, as upstream does.
    ///
    /// # Errors
    /// A file is unreadable or malformed.
    pub fn new(options: &Options) -> Result<Self, KubeletTlsError> {
        let read = |flag: &str| -> Result<Option<Vec<u8>>, KubeletTlsError> {
            let Some(path) = options.path(flag) else { return Ok(None) };
            let shown = path.display().to_string();
            std::fs::read(path).map(Some).map_err(|source| KubeletTlsError::Read { path: shown, source })
        };
        let builder = ClientConfig::builder().dangerous();
        let builder = match read("kubelet-certificate-authority")? {
            Some(pem) => builder.with_custom_certificate_verifier(Arc::new(TrustRoots::new(parse_certs(&pem)?)?)),
            None => builder.with_custom_certificate_verifier(Arc::new(TrustAnyServer::default())),
        };
        let tls = match (read("kubelet-client-certificate")?, read("kubelet-client-key")?) {
            (Some(cert), Some(key)) => builder.with_client_auth_cert(parse_certs(&cert)?, parse_key(&key)?)?,
            _ => builder.with_no_client_auth(),
        };
        Ok(Self {
            tls: Arc::new(tls),
            preferred: options.flags.list("kubelet-preferred-address-types").to_vec(),
            port: u16::try_from(options.flags.int("kubelet-port")).unwrap_or(10250),
        })
    }

    /// The kubelet of a node.
    pub fn target(&self, node: &Value) -> Target {
        let addresses = node.path(&["status", "addresses"]).items();
        let mut hosts: Vec<String> = Vec::new();
        for kind in &self.preferred {
            let of_kind = addresses.iter().filter(|a| a.get("type").str_or_empty() == kind);
            hosts.extend(of_kind.map(|a| a.get("address").str_or_empty().to_owned()).filter(|a| !a.is_empty()));
        }
        if hosts.is_empty() {
            hosts.push(node.path(&["metadata", "name"]).str_or_empty().to_owned());
        }
        hosts.dedup();
        let port = node.path(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).as_i64().unwrap_or(0);
        let port = u16::try_from(port).ok().filter(|p| *p != 0).unwrap_or(self.port);
        Target { hosts, port, tls: Some(self.tls.clone()), name: None }
    }
}

/// The kubelet of the node that a pod is on.
///
/// # Errors
/// 404 if the node does not exist; upstream names pods in it.
pub async fn of_node(state: &AppState, node: &str) -> Result<Target, ApiError> {
    let store = state.registry.store("", "nodes").ok_or_else(|| ApiError::not_found("", "nodes", node))?;
    let found = match store.cached("", node) {
        Some(found) => found,
        None => store
            .get("", node)
            .await
            .map_err(|error| if error.is_not_found() { ApiError::not_found("", "pods", node) } else { error })?,
    };
    Ok(state.kubelets.target(&found))
}
