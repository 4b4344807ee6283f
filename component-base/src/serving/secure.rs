//! The HTTPS server of a daemon as its flags say: the address, certificates (also by server name), and who may ask.
//!
//! Upstream: apiserver/pkg/server/options (SecureServingOptions, DelegatingAuthenticationOptions and
//! DelegatingAuthorizationOptions).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::ServerConfig;

use super::delegated::{AuthCacheTtl, Delegated, DelegatedOptions, LookupError};
use super::front_proxy::FrontProxy;
use super::{HealthChecks, Router, bind, serve};
use crate::client::{ClientConfig, ClientError};
use crate::error::Chain;
use crate::flags::Flags;
use crate::shutdown::Shutdown;
use crate::tls::{CertPool, CertSource, KeyPairFiles, ServerTls, TlsError, server_config};

/// The flags that act here.
pub const FLAGS: &[&str] = &[
    "authentication-kubeconfig",
    "authentication-skip-lookup",
    "authentication-token-webhook-cache-ttl",
    "authentication-tolerate-lookup-failure",
    "authorization-always-allow-paths",
    "authorization-kubeconfig",
    "authorization-webhook-cache-authorized-ttl",
    "authorization-webhook-cache-unauthorized-ttl",
    "bind-address",
    "cert-dir",
    "client-ca-file",
    "disable-http2-serving",
    "requestheader-allowed-names",
    "requestheader-client-ca-file",
    "requestheader-extra-headers-prefix",
    "requestheader-group-headers",
    "requestheader-uid-headers",
    "requestheader-username-headers",
    "secure-port",
    "tls-cert-file",
    "tls-min-version",
    "tls-private-key-file",
    "tls-sni-cert-key",
];

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// A certificate, key or CA that cannot be used.
    #[error("cannot set up TLS for serving")]
    Tls(#[from] TlsError),
    /// A kubeconfig that cannot be used.
    #[error("cannot use the kubeconfig for delegated {0}")]
    Delegated(&'static str, #[source] ClientError),
    /// The cluster does not say whom to trust, and that is not to be tolerated.
    #[error("unable to load configmap based request-header-client-ca-file")]
    Lookup(#[source] LookupError),
    /// A value of `--tls-sni-cert-key`.
    #[error("invalid argument {0:?} for \"--tls-sni-cert-key\" flag: {1}")]
    NamedCertificate(String, &'static str),
    /// The address cannot be had.
    #[error("failed to create listener: failed to listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// A server that is set up but does not listen yet.
pub struct SecureServing {
    address: SocketAddr,
    tls: Arc<ServerConfig>,
    auth: Arc<Delegated>,
}

impl SecureServing {
    /// Sets up what the flags ask for, and follows the files they name until shutdown; none if `--secure-port` is 0.
    ///
    /// # Errors
    /// When files or kubeconfigs cannot be used, or the cluster does not say whom to trust.
    pub async fn from_flags(flags: &Flags, stop: &Shutdown) -> Result<Option<Self>, ServingError> {
        let port = u16::try_from(flags.int("secure-port")).unwrap_or(0);
        if port == 0 {
            return Ok(None);
        }
        let address = SocketAddr::new(flags.ip("bind-address").unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port);
        let certificates = ServerTls::new(certificate(flags)?, named_certificates(flags)?)?;
        certificates.follow_files(stop.child());
        let only_tls13 = flags.str("tls-min-version") == "VersionTLS13";
        let tls = server_config(certificates, true, !flags.bool("disable-http2-serving"), only_tls13);
        Ok(Some(Self { address, tls, auth: delegated(flags, stop).await? }))
    }

    /// A router whose paths are open to those who may.
    #[must_use]
    pub fn router(&self, health: Arc<HealthChecks>) -> Router {
        Router::new(health).delegate(Arc::clone(&self.auth))
    }

    /// Listens, and answers in the background until shutdown.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn start(self, router: Router, stop: Shutdown) -> Result<(), ServingError> {
        let address = self.address;
        let listener = bind(address).await.map_err(|source| ServingError::Listen { address, source })?;
        tracing::info!(address = %address, "Serving securely");
        crate::task::spawn("serving", serve(listener, Some(self.tls), router, stop));
        Ok(())
    }
}

fn certificate(flags: &Flags) -> Result<CertSource, TlsError> {
    let (cert, key) = (flags.str("tls-cert-file"), flags.str("tls-private-key-file"));
    if !cert.is_empty() && !key.is_empty() {
        return Ok(CertSource::Files(KeyPairFiles { cert: cert.into(), key: key.into() }));
    }
    let names = ["127.0.0.1".to_owned()];
    CertSource::self_signed(flags.str("cert-dir"), flags.daemon(), "localhost", &names)
}

/// The certificates of `--tls-sni-cert-key`, each with the server names it is for.
///
/// # Errors
/// When a value is malformed.
pub fn named_certificates(flags: &Flags) -> Result<Vec<(CertSource, Vec<String>)>, ServingError> {
    flags.list("tls-sni-cert-key").iter().map(|text| named_certificate(text)).collect()
}

/// `CERT,KEY` or `CERT,KEY:NAME,…`; without names those in the certificate count.
fn named_certificate(text: &str) -> Result<(CertSource, Vec<String>), ServingError> {
    let invalid = |what| ServingError::NamedCertificate(text.to_owned(), what);
    let (files, names) = match text.split_once(':') {
        Some((_, names)) if names.trim().is_empty() => return Err(invalid("empty names list is not allowed")),
        Some((files, names)) => (files, names.split(',').map(|name| name.trim().to_owned()).collect()),
        None => (text, Vec::new()),
    };
    match files.split(',').map(str::trim).collect::<Vec<_>>()[..] {
        [cert, key] => Ok((CertSource::Files(KeyPairFiles { cert: cert.into(), key: key.into() }), names)),
        _ => Err(invalid("expected comma separated certificate and key file paths")),
    }
}

async fn delegated(flags: &Flags, stop: &Shutdown) -> Result<Arc<Delegated>, ServingError> {
    let token_reviews = review_client(flags, "authentication-kubeconfig", "authentication")?;
    let lookup = token_reviews.clone().filter(|_| !flags.bool("authentication-skip-lookup"));
    let options = DelegatedOptions {
        token_reviews,
        access_reviews: review_client(flags, "authorization-kubeconfig", "authorization")?,
        client_ca_file: flags.str("client-ca-file").to_owned(),
        front_proxy: front_proxy(flags)?,
        anonymous: true,
        always_allow_paths: flags.list("authorization-always-allow-paths").to_vec(),
        ttl: AuthCacheTtl {
            token: flags.duration("authentication-token-webhook-cache-ttl"),
            authorized: flags.duration("authorization-webhook-cache-authorized-ttl"),
            unauthorized: flags.duration("authorization-webhook-cache-unauthorized-ttl"),
        },
    };
    let needs_lookup = options.front_proxy.is_none() && lookup.is_some();
    let auth = Arc::new(Delegated::new(options)?);
    let looked_up = auth.refresh_authorities(lookup.as_ref()).await;
    let (found, following, stop) = (looked_up.is_ok(), Arc::clone(&auth), stop.child());
    match looked_up {
        Err(error) if needs_lookup && !flags.bool("authentication-tolerate-lookup-failure") => {
            return Err(ServingError::Lookup(error));
        }
        Err(error) => tracing::warn!(
            err = %Chain(&error),
            "Cannot look up authentication configuration in the cluster; until that works clients may count as anonymous"
        ),
        Ok(()) => {}
    }
    crate::task::spawn("client-ca", async move { following.follow_authorities(lookup, found, stop).await });
    Ok(auth)
}

fn review_client(flags: &Flags, flag: &str, what: &'static str) -> Result<Option<kube::Client>, ServingError> {
    let path = flags.str(flag);
    if path.is_empty() {
        return Ok(None);
    }
    let config = ClientConfig::from_kubeconfig(path, "").and_then(|config| config.daemon(flags.daemon()).connect());
    config.map(Some).map_err(|source| ServingError::Delegated(what, source))
}

fn front_proxy(flags: &Flags) -> Result<Option<FrontProxy>, TlsError> {
    let file = flags.str("requestheader-client-ca-file");
    if file.is_empty() {
        return Ok(None);
    }
    Ok(Some(FrontProxy::from_lists(CertPool::from_file(file)?, |flag| flags.list(flag).to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The flags of a server whose cluster does not answer.
    fn without_cluster(dir: &std::path::Path, tolerate: &str) -> Flags {
        let table = "flag\tshort\ttype\tdefault\thidden\tdeprecated
authentication-kubeconfig\t\tstring\t\t\t
authentication-skip-lookup\t\tbool\tfalse\t\t
authentication-token-webhook-cache-ttl\t\tduration\t10s\t\t
authentication-tolerate-lookup-failure\t\tbool\tfalse\t\t
authorization-always-allow-paths\t\tstringSlice\t[/healthz]\t\t
authorization-kubeconfig\t\tstring\t\t\t
authorization-webhook-cache-authorized-ttl\t\tduration\t10s\t\t
authorization-webhook-cache-unauthorized-ttl\t\tduration\t10s\t\t
bind-address\t\tip\t127.0.0.1\t\t
cert-dir\t\tstring\t\t\t
client-ca-file\t\tstring\t\t\t
disable-http2-serving\t\tbool\tfalse\t\t
requestheader-client-ca-file\t\tstring\t\t\t
secure-port\t\tint\t10259\t\t
tls-cert-file\t\tstring\t\t\t
tls-min-version\t\tstring\t\t\t
tls-private-key-file\t\tstring\t\t\t
tls-sni-cert-key\t\tnamedCertKey\t[]\t\t
";
        let kubeconfig = dir.join("kubeconfig");
        let text = "apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {}}]
current-context: c
";
        std::fs::write(&kubeconfig, text).unwrap();
        let args = [
            "sample".to_owned(),
            format!("--authentication-kubeconfig={}", kubeconfig.display()),
            format!("--authentication-tolerate-lookup-failure={tolerate}"),
        ];
        match Flags::parse("sample", table, args.map(Into::into)).unwrap() {
            crate::flags::Request::Run(flags) => *flags,
            crate::flags::Request::Print(_) => unreachable!("neither help nor the version is asked for"),
        }
    }

    #[tokio::test]
    async fn a_cluster_that_cannot_be_asked_is_tolerated_only_if_so_told() {
        crate::tls::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let stop = Shutdown::new();
        let started = SecureServing::from_flags(&without_cluster(dir.path(), "true"), &stop).await;
        assert!(started.unwrap().is_some());
        let refused = SecureServing::from_flags(&without_cluster(dir.path(), "false"), &stop).await.err().unwrap();
        assert!(matches!(refused, ServingError::Lookup(LookupError::Request(_))), "{refused:?}");
        stop.trigger();
    }

    #[test]
    fn named_certificates() {
        let parsed = |text: &str| {
            named_certificate(text).map(|(source, names)| match source {
                CertSource::Files(files) => (files.cert.display().to_string(), files.key.display().to_string(), names),
                CertSource::Pem { .. } => unreachable!("flags name files"),
            })
        };
        assert_eq!(parsed("a.crt,a.key").unwrap(), ("a.crt".to_owned(), "a.key".to_owned(), vec![]));
        let (_, key, names) = parsed("a.crt, a.key :*.a.com, b.com").unwrap();
        assert_eq!((key.as_str(), names), ("a.key", vec!["*.a.com".to_owned(), "b.com".to_owned()]));
        assert!(parsed("a.crt").is_err() && parsed("a.crt,a.key:").is_err() && parsed("a,b,c").is_err());
    }
}
