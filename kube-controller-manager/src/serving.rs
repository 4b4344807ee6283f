//! The HTTPS server of the daemon, as its flags say.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use component_base::client::ClientConfig;
use component_base::serving::{AuthCacheTtl, Delegated, DelegatedOptions, HealthChecks, Router, bind, serve};
use component_base::tls::{CertSource, KeyPairFiles, ServerTls, server_config};
use component_base::{Flags, Shutdown};

use crate::app::AppError;

/// Starts to serve; Ok without doing anything if `--secure-port=0`.
pub(crate) async fn start(flags: &Flags, health: Arc<HealthChecks>, stop: &Shutdown) -> Result<(), AppError> {
    let port = u16::try_from(flags.int("secure-port")).unwrap_or(0);
    if port == 0 {
        return Ok(());
    }
    let address = flags.ip("bind-address").unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let tls = ServerTls::new(certificate(flags)?, Vec::new()).map_err(AppError::Tls)?;
    tls.follow_files(stop.child());
    let only_tls13 = flags.str("tls-min-version") == "VersionTLS13";
    let config = server_config(tls, true, !flags.bool("disable-http2-serving"), only_tls13);

    let delegated = Arc::new(delegated(flags)?);
    let lookup =
        review_client(flags.str("authentication-kubeconfig"))?.filter(|_| !flags.bool("authentication-skip-lookup"));
    let (follower, end) = (Arc::clone(&delegated), stop.child());
    component_base::task::spawn("client-ca", async move { follower.follow_client_ca(lookup, end).await });

    let router = Router::new(health).delegate(delegated);
    router.show_config("kubecontrollermanager.config.k8s.io", configz(flags));
    let address = SocketAddr::new(address, port);
    let listener = bind(address).await.map_err(|source| AppError::Bind { address, source })?;
    tracing::info!(address = %address, "Serving securely");
    component_base::task::spawn("serving", serve(listener, Some(config), router, stop.child()));
    Ok(())
}

fn certificate(flags: &Flags) -> Result<CertSource, AppError> {
    let (cert, key) = (flags.str("tls-cert-file"), flags.str("tls-private-key-file"));
    if !cert.is_empty() && !key.is_empty() {
        return Ok(CertSource::Files(KeyPairFiles { cert: cert.into(), key: key.into() }));
    }
    let names = ["127.0.0.1".to_owned()];
    CertSource::self_signed(flags.str("cert-dir"), "kube-controller-manager", "localhost", &names)
        .map_err(AppError::Tls)
}

fn review_client(kubeconfig: &str) -> Result<Option<kube::Client>, AppError> {
    if kubeconfig.is_empty() {
        return Ok(None);
    }
    let config = ClientConfig::from_kubeconfig(kubeconfig, "").map_err(AppError::Client)?;
    Ok(Some(config.daemon("kube-controller-manager").connect().map_err(AppError::Client)?))
}

fn delegated(flags: &Flags) -> Result<Delegated, AppError> {
    let options = DelegatedOptions {
        token_reviews: review_client(flags.str("authentication-kubeconfig"))?,
        access_reviews: review_client(flags.str("authorization-kubeconfig"))?,
        client_ca_file: flags.str("client-ca-file").to_owned(),
        anonymous: true,
        always_allow_paths: flags.list("authorization-always-allow-paths").to_vec(),
        ttl: AuthCacheTtl {
            token: flags.duration("authentication-token-webhook-cache-ttl"),
            authorized: flags.duration("authorization-webhook-cache-authorized-ttl"),
            unauthorized: flags.duration("authorization-webhook-cache-unauthorized-ttl"),
        },
    };
    Delegated::new(options).map_err(AppError::Tls)
}

/// The values of the flags under their own names: what runs, in readable form.
fn configz(flags: &Flags) -> serde_json::Value {
    let shown = [
        "controllers",
        "leader-elect",
        "kube-api-qps",
        "kube-api-burst",
        "cluster-name",
        "use-service-account-credentials",
    ];
    shown
        .iter()
        .map(|name| ((*name).to_owned(), serde_json::Value::from(flags.text(name))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
