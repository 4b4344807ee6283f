//! The API client: a kubeconfig made into a `kube::Client` over our own HTTP/2 transport, so that a daemon holds one
//! connection instead of one per watch.
//!
//! Upstream: client-go/rest and client-go/tools/clientcmd.

mod endpoint;
mod exec;
mod identity;
mod kubeconfig;
mod limiter;
mod metrics;
mod transport;

use std::path::Path;
use std::sync::Arc;

use http::{HeaderValue, Uri};
use kube::client::{Body, ConfigExt as _};
use kube::config::{AuthInfo, Cluster, Kubeconfig};
use tower::ServiceBuilder;

use crate::error::PathError;

pub use endpoint::{Pem, TlsOptions};
pub use exec::{ExecCredentials, ExecError};
pub use identity::{ServiceAccountClients, TokenError, TokenSource, is_conflict, is_not_found};
pub use limiter::Limiter;
pub use transport::{Transport, TransportBody, TransportError};

const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig cannot be read.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The kubeconfig cannot be parsed.
    #[error("error loading config file {path:?}: {reason}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A context, cluster or user that is named but not defined.
    #[error("invalid configuration: {0}")]
    Invalid(String),
    /// Neither a kubeconfig nor a pod's service account.
    #[error(
        "invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
    )]
    NotConfigured,
    /// A server address that is no URL.
    #[error("invalid server address {0:?}")]
    Server(String),
    /// Credentials that cannot be used.
    #[error("cannot use the credentials")]
    Auth(#[source] Box<kube::Error>),
    /// A program for credentials that cannot be used.
    #[error("invalid configuration")]
    Exec(#[from] ExecError),
    /// A user agent that is no header value.
    #[error("invalid user agent")]
    UserAgent(#[source] http::header::InvalidHeaderValue),
    /// Certificates or keys that cannot be used.
    #[error("cannot set up TLS")]
    Tls(#[source] crate::tls::TlsError),
    /// An I/O error on a file.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}

/// Everything that is needed to talk to one API server as one user.
#[derive(Clone)]
pub struct ClientConfig {
    /// Base URL of the server.
    pub server: Uri,
    /// Namespace of the context, `default` if unset.
    pub default_namespace: String,
    /// Server trust and client certificate.
    pub tls: TlsOptions,
    /// Tokens, passwords, exec plugins, impersonation.
    pub auth: AuthInfo,
    /// User-Agent header.
    pub user_agent: String,
    /// Sustained requests per second; zero or less means no limit.
    pub qps: f32,
    /// Requests above the rate that may go at once.
    pub burst: u32,
}

impl ClientConfig {
    /// As client-go's BuildConfigFromFlags: a kubeconfig file if the path is set, with the server overridden by `master` if
    /// that is set; the bare `master` without a file; otherwise the pod's service account.
    ///
    /// # Errors
    /// When files are missing or wrong.
    pub fn load(path: &str, master: &str) -> Result<Self, ClientError> {
        match (path.is_empty(), master.is_empty()) {
            (true, true) => Self::in_cluster(),
            (true, false) => Self::for_server(master),
            (false, _) => Self::from_kubeconfig(path, master),
        }
    }

    /// The current context of a kubeconfig file; `master`, if not empty, replaces the server.
    ///
    /// # Errors
    /// When the file is missing or wrong.
    pub fn from_kubeconfig(path: impl AsRef<Path>, master: &str) -> Result<Self, ClientError> {
        let config = kubeconfig::read(path.as_ref())?;
        kubeconfig::check_usable(&config, master)?;
        Self::from_context(&config, None, master)
    }

    /// A context (the current one if None) of a loaded kubeconfig.
    ///
    /// # Errors
    /// When the context or what it names is missing.
    pub fn from_context(config: &Kubeconfig, context: Option<&str>, master: &str) -> Result<Self, ClientError> {
        let name = context.or(config.current_context.as_deref()).unwrap_or_default();
        let context = config.contexts.iter().find(|entry| entry.name == name).and_then(|entry| entry.context.as_ref());
        let Some(context) = context else {
            if !master.is_empty() {
                return Self::for_server(master);
            }
            if name.is_empty() {
                return Err(ClientError::NotConfigured);
            }
            return Err(ClientError::Invalid(format!("context {name:?} does not exist")));
        };
        let cluster =
            config.clusters.iter().find(|entry| entry.name == context.cluster).and_then(|entry| entry.cluster.clone());
        let cluster =
            cluster.ok_or_else(|| ClientError::Invalid(format!("cluster {:?} does not exist", context.cluster)))?;
        let auth = match context.user.as_deref().filter(|user| !user.is_empty()) {
            None => AuthInfo::default(),
            Some(user) => config
                .auth_infos
                .iter()
                .find(|entry| entry.name == user)
                .map(|entry| entry.auth_info.clone().unwrap_or_default())
                .ok_or_else(|| ClientError::Invalid(format!("auth info {user:?} does not exist")))?,
        };
        let mut made = Self::from_parts(cluster, auth, master)?;
        if let Some(namespace) = context.namespace.clone().filter(|namespace| !namespace.is_empty()) {
            made.default_namespace = namespace;
        }
        Ok(made)
    }

    /// From a cluster and a user of a kubeconfig.
    ///
    /// # Errors
    /// When the server's address is missing or no URL.
    pub fn from_parts(cluster: Cluster, auth: AuthInfo, master: &str) -> Result<Self, ClientError> {
        let server = if master.is_empty() { cluster.server.clone().unwrap_or_default() } else { master.to_owned() };
        let mut made = Self::for_server(&server)?;
        let exec = given_by_program(&cluster, &auth)?;
        made.tls = TlsOptions {
            ca: Pem::of(cluster.certificate_authority, cluster.certificate_authority_data)?,
            insecure: cluster.insecure_skip_tls_verify.unwrap_or(false),
            server_name: cluster.tls_server_name,
            cert: Pem::of(auth.client_certificate.clone(), auth.client_certificate_data.clone())?,
            key: Pem::of(auth.client_key.clone(), auth.client_key_data.as_ref().map(|key| expose(key).to_owned()))?,
            exec,
        };
        made.auth = AuthInfo {
            client_certificate: None,
            client_certificate_data: None,
            client_key: None,
            client_key_data: None,
            exec: None,
            ..auth
        };
        Ok(made)
    }

    /// A server without credentials.
    ///
    /// # Errors
    /// When the address is no URL.
    pub fn for_server(server: &str) -> Result<Self, ClientError> {
        let text = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        let parsed: Uri = text.trim_end_matches('/').parse().map_err(|_| ClientError::Server(server.to_owned()))?;
        if parsed.host().is_none_or(str::is_empty) {
            return Err(ClientError::Server(server.to_owned()));
        }
        Ok(Self {
            server: parsed,
            default_namespace: "default".to_owned(),
            tls: TlsOptions::default(),
            auth: AuthInfo::default(),
            user_agent: crate::version::user_agent("kubernetes-client"),
            qps: 0.0,
            burst: 0,
        })
    }

    /// The service account that is mounted into this pod.
    ///
    /// # Errors
    /// When this process does not run in a pod.
    pub fn in_cluster() -> Result<Self, ClientError> {
        let host = std::env::var("KUBERNETES_SERVICE_HOST").map_err(|_| ClientError::NotConfigured)?;
        let port = std::env::var("KUBERNETES_SERVICE_PORT").map_err(|_| ClientError::NotConfigured)?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let mut made = Self::for_server(&format!("https://{host}:{port}"))?;
        made.tls.ca = Some(Pem::File(format!("{SERVICE_ACCOUNT_DIR}/ca.crt").into()));
        made.auth.token_file = Some(format!("{SERVICE_ACCOUNT_DIR}/token"));
        if let Ok(namespace) = std::fs::read_to_string(format!("{SERVICE_ACCOUNT_DIR}/namespace")) {
            made.default_namespace = namespace.trim().to_owned();
        }
        Ok(made)
    }

    /// Sets the User-Agent to that of a daemon, such as `kube-scheduler` or `kube-controller-manager`.
    #[must_use]
    pub fn daemon(mut self, name: &str) -> Self {
        self.user_agent = crate::version::user_agent(name);
        self
    }

    /// Sets the rate limit; `qps` of zero or less means none.
    #[must_use]
    pub fn limits(mut self, qps: f32, burst: u32) -> Self {
        self.qps = qps;
        self.burst = burst;
        self
    }

    /// The same server without any credentials.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.auth = AuthInfo::default();
        self.tls.cert = None;
        self.tls.key = None;
        self.tls.exec = None;
        self
    }

    /// A transport of its own for this configuration: connections that clients may share.
    ///
    /// # Errors
    /// When certificates cannot be loaded.
    pub fn transport(&self) -> Result<Transport, ClientError> {
        // Loading once here reports a bad file at start instead of at the first request.
        self.tls.load(&[]).map_err(ClientError::Tls)?;
        Ok(Transport::new(self.server.clone(), self.tls.clone()))
    }

    /// A client with its own connection. Nothing is dialled before the first request.
    ///
    /// # Errors
    /// When certificates or credentials cannot be used.
    pub fn connect(&self) -> Result<kube::Client, ClientError> {
        self.connect_over(self.transport()?)
    }

    /// A client over a transport that others may use as well.
    ///
    /// # Errors
    /// When credentials cannot be used.
    pub fn connect_over(&self, transport: Transport) -> Result<kube::Client, ClientError> {
        let mut config = kube::Config::new(self.server.clone());
        config.auth_info = self.auth.clone();
        let auth = config.auth_layer().map_err(|error| ClientError::Auth(Box::new(error)))?;
        let impersonation = config.extra_headers_layer().map_err(|error| ClientError::Auth(Box::new(error)))?;
        let mut transport = self.limited(transport)?;
        if let Some(exec) = &self.tls.exec {
            transport = transport.with_tokens(Arc::clone(exec) as Arc<dyn TokenSource>);
        }
        let service = ServiceBuilder::new()
            .layer(impersonation)
            .option_layer(auth)
            .map_err(tower::BoxError::from)
            .service(transport);
        Ok(kube::Client::new(service, self.default_namespace.clone()))
    }

    /// A client over a shared transport whose token comes from `source`.
    ///
    /// # Errors
    /// When the user agent is no header value.
    pub fn connect_with_tokens(
        &self,
        transport: Transport,
        source: Arc<dyn TokenSource>,
    ) -> Result<kube::Client, ClientError> {
        let transport = self.limited(transport)?.with_tokens(source);
        Ok(kube::Client::new(transport, self.default_namespace.clone()))
    }

    fn limited(&self, transport: Transport) -> Result<Transport, ClientError> {
        let agent = HeaderValue::from_str(&self.user_agent).map_err(ClientError::UserAgent)?;
        let limiter = (self.qps > 0.0).then(|| Limiter::new(f64::from(self.qps), f64::from(self.burst.max(1))));
        Ok(transport.with_user_agent(agent).with_limiter(limiter))
    }
}

/// A `Body` with nothing in it, for raw requests.
#[must_use]
pub fn empty_body() -> Body {
    Body::empty()
}

/// The program that a user's credentials come from. Credentials that the kubeconfig itself has go first.
fn given_by_program(cluster: &Cluster, auth: &AuthInfo) -> Result<Option<Arc<ExecCredentials>>, ClientError> {
    let has = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let has_own = auth.token.is_some()
        || [&auth.token_file, &auth.username, &auth.client_certificate, &auth.client_certificate_data]
            .into_iter()
            .any(has);
    match &auth.exec {
        Some(exec) if !has_own => Ok(Some(Arc::new(ExecCredentials::new(exec.clone(), cluster)?))),
        _ => Ok(None),
    }
}

fn expose(secret: &secrecy::SecretString) -> &str {
    use secrecy::ExposeSecret as _;
    secret.expose_secret()
}
