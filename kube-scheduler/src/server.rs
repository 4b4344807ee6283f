//! The HTTPS server on 10259: health, metrics, configuration, and explained scheduling under /debug/scheduling.
//! upstream: cmd/kube-scheduler/app/server.go

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use component_base::client::{ClientConfig, ClientError};
use component_base::serving::{self, AuthCacheTtl, Delegated, DelegatedOptions, HealthChecks, Router};
use component_base::tls::{CertSource, KeyPairFiles, ServerTls, TlsError};
use component_base::{Flags, Shutdown};
use http::StatusCode;

use crate::config::KubeSchedulerConfiguration;
use crate::cycle::Scheduler;

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A certificate, key or CA that cannot be used.
    #[error("cannot set up TLS for serving")]
    Tls(#[source] TlsError),
    /// A kubeconfig for delegated authentication or authorization that cannot be used.
    #[error("cannot use the kubeconfig for delegated {0}")]
    Delegated(&'static str, #[source] ClientError),
    /// The port is taken.
    #[error("failed to create listener: failed to listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Starts serving; does nothing when `--secure-port` is 0.
///
/// # Errors
/// See [`ServerError`].
pub async fn start(
    flags: &Flags,
    config: &KubeSchedulerConfiguration,
    health: Arc<HealthChecks>,
    scheduler: Arc<Scheduler>,
    stop: &Shutdown,
) -> Result<(), ServerError> {
    let Ok(port) = u16::try_from(flags.int("secure-port")) else { return Ok(()) };
    if port == 0 {
        return Ok(());
    }
    let (auth, lookup) = delegated(flags)?;
    let auth = Arc::new(auth);
    let following = Arc::clone(&auth);
    let follow_stop = stop.clone();
    component_base::task::spawn("client-ca", async move { following.follow_client_ca(lookup, follow_stop).await });
    let router = Router::new(health).delegate(auth).prefix("/debug/scheduling", move |request, _| {
        let found = scheduler.explanations.find(pod_in_query(request.uri().query().unwrap_or_default()).as_deref());
        let attempts: Vec<_> = found.iter().map(|attempt| &**attempt).collect();
        let body = serde_json::json!({ "attempts": attempts });
        async move { serving::json(StatusCode::OK, &body) }
    });
    router.show_config("kubescheduler.config.k8s.io", shown(config));
    let address = SocketAddr::new(flags.ip("bind-address").unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port);
    let certs = ServerTls::new(certificate(flags)?, Vec::new()).map_err(ServerError::Tls)?;
    certs.follow_files(stop.clone());
    let tls = component_base::tls::server_config(
        certs,
        true,
        !flags.bool("disable-http2-serving"),
        flags.str("tls-min-version") == "VersionTLS13",
    );
    let listener = serving::bind(address).await.map_err(|source| ServerError::Listen { address, source })?;
    tracing::info!(address = %address, "Serving securely");
    component_base::task::spawn("server", serving::serve(listener, Some(tls), router, stop.clone()));
    Ok(())
}

fn shown(config: &KubeSchedulerConfiguration) -> serde_json::Value {
    let mut value = serde_json::to_value(config).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("apiVersion".into(), crate::config::API_VERSIONS[0].into());
        object.insert("kind".into(), crate::config::KIND.into());
    }
    value
}

fn pod_in_query(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("pod="))?;
    Some(value.replace("%2F", "/").replace("%2f", "/"))
}

fn certificate(flags: &Flags) -> Result<CertSource, ServerError> {
    let (cert, key) = (flags.str("tls-cert-file"), flags.str("tls-private-key-file"));
    if cert.is_empty() || key.is_empty() {
        let names = ["127.0.0.1".to_owned()];
        return CertSource::self_signed(flags.str("cert-dir"), "kube-scheduler", "localhost", &names)
            .map_err(ServerError::Tls);
    }
    Ok(CertSource::Files(KeyPairFiles { cert: PathBuf::from(cert), key: PathBuf::from(key) }))
}

fn delegated(flags: &Flags) -> Result<(Delegated, Option<kube::Client>), ServerError> {
    let client = |flag: &str, what| -> Result<Option<kube::Client>, ServerError> {
        let path = flags.str(flag);
        if path.is_empty() {
            return Ok(None);
        }
        let config = ClientConfig::from_kubeconfig(path, "").map_err(|e| ServerError::Delegated(what, e))?;
        config.daemon("kube-scheduler").connect().map(Some).map_err(|e| ServerError::Delegated(what, e))
    };
    let token_reviews = client("authentication-kubeconfig", "authentication")?;
    let lookup = token_reviews.clone().filter(|_| !flags.bool("authentication-skip-lookup"));
    let options = DelegatedOptions {
        token_reviews,
        access_reviews: client("authorization-kubeconfig", "authorization")?,
        client_ca_file: flags.str("client-ca-file").to_owned(),
        anonymous: true,
        always_allow_paths: flags.list("authorization-always-allow-paths").to_vec(),
        ttl: AuthCacheTtl {
            token: flags.duration("authentication-token-webhook-cache-ttl"),
            authorized: flags.duration("authorization-webhook-cache-authorized-ttl"),
            unauthorized: flags.duration("authorization-webhook-cache-unauthorized-ttl"),
        },
    };
    Ok((Delegated::new(options).map_err(ServerError::Tls)?, lookup))
}
