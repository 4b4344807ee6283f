//! Putting the server together: storage, identity, permissions, admission, endpoints, listener.
//!
//! upstream: cmd/kube-apiserver/app/server.go

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use component_base::error::read_file;
use component_base::serving::{HeaderNames, named_certificates};
use component_base::tls::{CertSource, KeyPairFiles, ServerTls, server_config};
use component_base::{Chain as ErrorChain, Shutdown, daemon, task};
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::admission;
use crate::authentication::Authenticators;
use crate::authentication::bootstrap_token::BootstrapTokens;
use crate::authentication::request_header::RequestHeader;
use crate::authentication::service_account::discovery::IssuerDocuments;
use crate::authentication::service_account::keys::{PublicKey, SigningKey, read_public_keys};
use crate::authentication::service_account::{Lookup, TokenIssuer, TokenVerifier};
use crate::authentication::token_file::TokenFile;
use crate::authentication::x509::CaBundle;
use crate::authorization::feeds::{NodeKind, NodeSink, RbacKind, RbacSink};
use crate::authorization::node::NodeAuthorizer;
use crate::authorization::rbac::Policy;
use crate::authorization::{Authorizer, Mode};
use crate::body::Body;
use crate::bootstrap::cluster_authentication::Published;
use crate::bootstrap::records::Records;
use crate::bootstrap::{Bootstrap, data};
use crate::connect::kubelet::Kubelets;
use crate::filters::audit::Auditor;
use crate::filters::audit::log::{Log, Rotation};
use crate::filters::audit::policy::Policy as AuditPolicy;
use crate::filters::cors::Cors;
use crate::filters::flow_control::FlowControl;
use crate::filters::{Endpoints, Filters};
use crate::health::Health;
use crate::loopback::Loopback;
use crate::objects::RegistryObjects;
use crate::openapi::OpenApi;
use crate::options::Options;
use crate::paths::Paths;
use crate::registry::Registry;
use crate::request::Authorized;
use crate::server::{self, Limits};
use crate::service_ip::{Allocators, ClusterIps, NodePorts, repair};
use crate::state::AppState;
use crate::storage::etcd::EtcdOptions;
use crate::storage::{Etcd, compaction};
use crate::{endpoints, follow};

/// Why the server could not start. The text says which part.
#[derive(Debug, thiserror::Error)]
#[error("{part}")]
pub struct StartError {
    part: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(part: impl Into<String>) -> impl FnOnce(E) -> StartError {
    move |source| StartError { part: part.into(), source: Some(source.into()) }
}

/// An error that says enough by itself, as upstream's.
fn alone(error: impl std::error::Error) -> StartError {
    StartError { part: ErrorChain(&error).to_string(), source: None }
}

/// Stack of each worker, of which only what is used takes memory. Bodies that nest as deep as is allowed are walked by
/// recursion, and YAML takes the most: unoptimized builds overflow two mebibytes there.
const STACK: usize = 32 * 1024 * 1024;

/// Runs the server on a runtime of its own until a signal ends it.
pub fn run_blocking(options: Options) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build() {
        Ok(runtime) => runtime,
        Err(error) => return daemon::command_failed(&error),
    };
    let outcome = runtime.block_on(async {
        let shutdown = Shutdown::on_signals().map_err(failed("installing signal handlers"))?;
        run(options, shutdown).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => daemon::command_failed(&ErrorChain(&error)),
    }
}

/// Runs the server until shutdown.
///
/// # Errors
/// A part could not be set up.
pub async fn run(options: Options, shutdown: Shutdown) -> Result<(), StartError> {
    let options = Arc::new(options);
    let listener = TcpListener::bind(SocketAddr::new(options.bind_address, options.secure_port))
        .await
        .map_err(failed(format!("failed to listen on {}:{}", options.bind_address, options.secure_port)))?;
    let address = listener.local_addr().map_err(failed("asking for the address of the listener"))?;
    let port = address.port();
    let acceptor = tls(&options, shutdown.clone())?;

    let etcd = Etcd::connect(&etcd_options(&options)?).await.map_err(failed("connecting to etcd"))?;
    let registry = Registry::start(
        etcd.clone(),
        |info, version| options.enabled.serves(info, version),
        options.duration("event-ttl").as_secs(),
    );
    crate::metrics::storage::show(&registry);
    let objects = Arc::new(RegistryObjects::new(registry.clone()));
    let (policy, node, authorizer) = authorizer(&options);
    let rbac_synced = feed(&registry, &policy, &node);
    let (authenticators, issuer, documents) = identity(&options, objects.clone())?;
    let authenticators = Arc::new(authenticators);
    let chain = admission_chain(&options, objects.clone(), authorizer.clone())?;
    let health = Arc::new(Health::new(probe(etcd.clone()), options.duration("etcd-healthcheck-timeout")));
    let allocators = Arc::new(Allocators {
        ips: ClusterIps::new(objects.clone(), options.service_ranges.clone()),
        ports: NodePorts::new(etcd.clone(), options.node_ports),
    });
    let state = Arc::new(AppState {
        registry: registry.clone(),
        admission: Arc::new(chain),
        authorizer: authorizer.clone(),
        authenticators: authenticators.clone(),
        issuer,
        allocators: allocators.clone(),
        kubelets: Arc::new(Kubelets::new(&options).map_err(failed("setting up the kubelet client"))?),
        options: options.clone(),
    });
    let loopback = Loopback::new(state.clone());
    objects.connect(loopback.clone());
    let paths = Paths {
        enabled: Arc::new(options.enabled.clone()),
        registry: registry.clone(),
        health: health.clone(),
        issuer: documents,
        started: jiff::Timestamp::now(),
        openapi: OpenApi::new(options.enabled.clone(), registry.clone()),
        public_address: public_address(&options, port),
    };
    let flow_control = Arc::new(flow_control(&options, &registry));
    let served = Served { state, paths };
    let filters = filters(&options, authenticators.clone(), authorizer, flow_control.clone(), served).await?;
    background(&options, &etcd, &authenticators, &shutdown);
    let limits =
        Limits { max_streams: u32::try_from(options.flags.int("http2-max-streams-per-connection")).unwrap_or(0) };
    let serving = server::serve(listener, acceptor, Arc::new(filters), limits, shutdown.clone());
    let bootstrap = Bootstrap {
        api: loopback.clone(),
        records: Arc::new(Records::new(etcd)),
        health: health.clone(),
        options: options.clone(),
        port,
        authentication: Arc::new(published(&options)),
        shutdown: shutdown.clone(),
    };
    task::spawn("start", async move {
        registry.feed().wait_ready().await;
        rbac_synced.await;
        health.informers_synced();
        follow_registry(&registry, &loopback, &flow_control);
        bootstrap.start();
        repair::run(objects, allocators, shutdown).await;
    });
    tracing::info!(%address, port, "Serving securely");
    println_port(&options, port);
    serving.await;
    Ok(())
}

/// Starts what acts on objects as they come and go.
fn follow_registry(registry: &Arc<Registry>, api: &Loopback, flow_control: &FlowControl) {
    task::spawn("definitions", crate::extensions::controller::run(registry.clone(), api.clone()));
    if let FlowControl::Fair(fair) = flow_control {
        task::spawn("flow-control", Arc::clone(fair).follow(registry.clone()));
    }
    task::spawn("flow-schemas", crate::bootstrap::flow_control::follow(registry.clone(), api.clone()));
}

/// With `--secure-port=0` tests and scripts need to be told the port that was taken.
fn println_port(options: &Options, port: u16) {
    if options.secure_port == 0 {
        tracing::info!(port, "took a free port");
    }
}

/// What stands behind the filters: resources, and paths that are no resources.
struct Served {
    state: Arc<AppState>,
    paths: Paths,
}

impl Endpoints for Served {
    async fn serve(&self, request: Authorized, http: Request<Body>) -> Response<Body> {
        if request.info.is_resource_request {
            endpoints::serve(self.state.clone(), request, http).await
        } else {
            self.paths.answer(http).await
        }
    }
}

fn etcd_options(options: &Options) -> Result<EtcdOptions, StartError> {
    let (cert, key) = (options.flags.str("etcd-certfile"), options.flags.str("etcd-keyfile"));
    if cert.is_empty() != key.is_empty() {
        let part = format!("KeyFile and CertFile must both be present[key: {key}, cert: {cert}]");
        return Err(StartError { part, source: None });
    }
    let read = |flag: &str| match options.path(flag) {
        Some(path) => read_file(&path).map(Some).map_err(alone),
        None => Ok(None),
    };
    let identity_pem = read("etcd-certfile")?.zip(read("etcd-keyfile")?);
    Ok(EtcdOptions {
        servers: options.flags.list("etcd-servers").to_vec(),
        prefix: options.flags.str("etcd-prefix").to_owned(),
        ca_pem: read("etcd-cafile")?,
        identity_pem,
    })
}

fn probe(etcd: Etcd) -> crate::health::EtcdProbe {
    Box::new(move || {
        let etcd = etcd.clone();
        Box::pin(async move { etcd.current_revision().await.map(|_| ()).map_err(|e| ErrorChain(&e).to_string()) })
    })
}

fn tls(options: &Options, shutdown: Shutdown) -> Result<TlsAcceptor, StartError> {
    let source = match (options.path("tls-cert-file"), options.path("tls-private-key-file")) {
        (Some(cert), Some(key)) => CertSource::Files(KeyPairFiles { cert, key }),
        _ => {
            let mut names = vec![
                "kubernetes.default.svc".to_owned(),
                "kubernetes.default".to_owned(),
                "kubernetes".to_owned(),
                "localhost".to_owned(),
            ];
            names.push(options.kubernetes_service_ip().to_string());
            let host = options.advertise_address.to_string();
            CertSource::self_signed(options.flags.str("cert-dir"), "apiserver", &host, &names)
                .map_err(failed("error creating self-signed certificates"))?
        }
    };
    let named = named_certificates(&options.flags).map_err(failed("reading the command line"))?;
    let certificates = ServerTls::new(source, named).map_err(failed("loading the serving certificate"))?;
    certificates.follow_files(shutdown);
    let http2 = !options.flags.bool("disable-http2-serving");
    let only_13 = options.flags.str("tls-min-version") == "VersionTLS13";
    Ok(TlsAcceptor::from(server_config(certificates, true, http2, only_13)))
}

type Identity = (Authenticators, Option<Arc<TokenIssuer>>, Option<IssuerDocuments>);

fn identity(options: &Options, store: Arc<dyn Lookup>) -> Result<Identity, StartError> {
    let flags = &options.flags;
    let bundle = |flag: &str| -> Result<Option<CaBundle>, StartError> {
        options.path(flag).map(|p| CaBundle::read(&p)).transpose().map_err(alone)
    };
    let list = |flag: &str| flags.list(flag).to_vec();
    let request_header = bundle("requestheader-client-ca-file")?.map(|ca| RequestHeader {
        ca,
        allowed_names: list("requestheader-allowed-names"),
        names: HeaderNames::from_lists(list),
    });
    let token_file = options.path("token-auth-file").map(|p| TokenFile::read(&p)).transpose();
    let (signer, keys) = token_keys(options)?;
    let issuer = options.issuers.first().cloned().unwrap_or_default();
    let jwks = match flags.str("service-account-jwks-uri") {
        "" => format!("https://{}/openid/v1/jwks", public_address(options, options.secure_port)),
        uri => uri.to_owned(),
    };
    let documents = IssuerDocuments::new(&issuer, &jwks, &keys);
    let verifier = TokenVerifier::new(
        keys,
        options.issuers.clone(),
        options.api_audiences.clone(),
        flags.bool("service-account-lookup"),
        store.clone(),
    );
    let authenticators = Authenticators {
        request_header,
        client_ca: bundle("client-ca-file")?,
        token_file: token_file.map_err(alone)?,
        service_accounts: Some(Arc::new(verifier)),
        bootstrap_tokens: flags.bool("enable-bootstrap-token-auth").then_some(BootstrapTokens { store }),
        anonymous: flags.bool("anonymous-auth")
            && options.authorization_modes.first().map(String::as_str) != Some("AlwaysAllow"),
    };
    let issuer = signer.map(|key| Arc::new(TokenIssuer { key, issuer }));
    Ok((authenticators, issuer, documents))
}

/// The key that signs, and all keys that verify (each once).
fn token_keys(options: &Options) -> Result<(Option<SigningKey>, Vec<PublicKey>), StartError> {
    let signer = options
        .path("service-account-signing-key-file")
        .map(|path| SigningKey::read(&path))
        .transpose()
        .map_err(failed("failed to parse service-account-issuer-key-file"))?;
    let mut files = options.flags.list("service-account-key-file").to_vec();
    if files.is_empty() {
        files.extend(options.path("service-account-signing-key-file").map(|p| p.display().to_string()));
    }
    let mut keys: Vec<PublicKey> = Vec::new();
    for file in &files {
        let read = read_public_keys(Path::new(file)).map_err(alone)?;
        keys.extend(read.into_iter().filter(|key| keys.iter().all(|known| known.id != key.id)).collect::<Vec<_>>());
    }
    Ok((signer, keys))
}

fn authorizer(options: &Options) -> (Arc<Policy>, Arc<NodeAuthorizer>, Arc<Authorizer>) {
    let policy = Arc::new(Policy::default());
    let node = Arc::new(NodeAuthorizer::new(data::node_rules()));
    let modes = options
        .authorization_modes
        .iter()
        .map(|mode| match mode.as_str() {
            "RBAC" => Mode::Rbac(policy.clone()),
            "Node" => Mode::Node(node.clone()),
            "AlwaysDeny" => Mode::AlwaysDeny,
            _ => Mode::AlwaysAllow,
        })
        .collect();
    (policy, node, Arc::new(Authorizer::new(modes)))
}

/// Starts the feeds of the authorizers; the future ends when RBAC has seen everything.
fn feed(
    registry: &Arc<Registry>,
    policy: &Arc<Policy>,
    node: &Arc<NodeAuthorizer>,
) -> impl Future<Output = ()> + use<> {
    let (synced, mut ready) = mpsc::unbounded_channel();
    let mut wanted = 0;
    for (kind, plural) in RbacKind::ALL {
        if let Some(store) = registry.store("rbac.authorization.k8s.io", plural) {
            wanted += 1;
            let sink = RbacSink { kind, policy: policy.clone(), synced: synced.clone() };
            task::spawn("rbac-feed", follow::run(store, sink));
        }
    }
    for (kind, group, plural) in NodeKind::ALL {
        if let Some(store) = registry.store(group, plural) {
            task::spawn("node-feed", follow::run(store, NodeSink { kind, node: node.clone() }));
        }
    }
    async move {
        for _ in 0..wanted {
            ready.recv().await;
        }
    }
}

fn admission_chain(
    options: &Options,
    objects: Arc<RegistryObjects>,
    authorizer: Arc<Authorizer>,
) -> Result<admission::Chain, StartError> {
    let context = admission::Context {
        objects,
        authorizer,
        not_ready_toleration_seconds: options.flags.int("default-not-ready-toleration-seconds"),
        unreachable_toleration_seconds: options.flags.int("default-unreachable-toleration-seconds"),
    };
    let enable = options.flags.list("enable-admission-plugins");
    let disable = options.flags.list("disable-admission-plugins");
    let chain = admission::Chain::new(enable, disable, &context).map_err(failed("setting up admission plugins"))?;
    tracing::info!(plugins = chain.names().join(","), "admission plugins");
    Ok(chain)
}

fn flow_control(options: &Options, registry: &Arc<Registry>) -> FlowControl {
    let flags = &options.flags;
    let limit = |flag: &str| usize::try_from(flags.int(flag)).unwrap_or(0);
    let (reading, mutating) = (limit("max-requests-inflight"), limit("max-mutating-requests-inflight"));
    if flags.bool("enable-priority-and-fairness") && reading + mutating > 0 {
        FlowControl::fair(reading, mutating, options.duration("request-timeout"), registry.clone())
    } else {
        FlowControl::plain(reading, mutating)
    }
}

async fn filters(
    options: &Options,
    authenticators: Arc<Authenticators>,
    authorizer: Arc<Authorizer>,
    flow_control: Arc<FlowControl>,
    endpoints: Served,
) -> Result<Filters<Served>, StartError> {
    let flags = &options.flags;
    crate::metrics::register();
    flow_control.show();
    Ok(Filters {
        authenticators,
        authorizer,
        last_modes: Default::default(),
        auditor: auditor(options).await?,
        cors: Cors::new(flags.list("cors-allowed-origins")).map_err(failed("setting up CORS"))?,
        flow_control,
        hsts: options.hsts(),
        request_timeout: options.duration("request-timeout"),
        goaway_chance: flags.float("goaway-chance"),
        endpoints,
    })
}

async fn auditor(options: &Options) -> Result<Option<Arc<Auditor>>, StartError> {
    let (Some(policy), Some(log)) = (options.path("audit-policy-file"), options.path("audit-log-path")) else {
        return Ok(None);
    };
    let policy = AuditPolicy::read(&policy).map_err(failed("loading audit policy file"))?;
    let flags = &options.flags;
    let rotation = Rotation {
        max_bytes: u64::try_from(flags.int("audit-log-maxsize")).unwrap_or(0) * 1024 * 1024,
        max_backups: usize::try_from(flags.int("audit-log-maxbackup")).unwrap_or(0),
    };
    let log = Log::open(&log.display().to_string(), rotation).await.map_err(failed("opening the audit log"))?;
    Ok(Some(Arc::new(Auditor { policy, log })))
}

/// Compaction of etcd, and hot reload of the CA bundles.
fn background(options: &Options, etcd: &Etcd, authenticators: &Arc<Authenticators>, shutdown: &Shutdown) {
    let interval = options.duration("etcd-compaction-interval");
    if !interval.is_zero() {
        task::spawn("compaction", compaction::run(etcd.clone(), interval));
    }
    task::spawn("compaction-follow", compaction::follow(etcd.clone()));
    let (authenticators, shutdown) = (authenticators.clone(), shutdown.clone());
    task::spawn("ca-reload", async move {
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(Duration::from_secs(30)) => {}
            }
            let bundles = authenticators.client_ca.iter().chain(authenticators.request_header.iter().map(|r| &r.ca));
            for bundle in bundles {
                match bundle.reload() {
                    Ok(true) => tracing::info!("reloaded a CA bundle"),
                    Ok(false) => {}
                    Err(error) => tracing::error!(error = %ErrorChain(&error), "cannot reload a CA bundle"),
                }
            }
        }
    });
}

fn published(options: &Options) -> Published {
    let list = |flag: &str| options.flags.list(flag).to_vec();
    let mut lists = vec![
        ("requestheader-username-headers", list("requestheader-username-headers")),
        ("requestheader-group-headers", list("requestheader-group-headers")),
        ("requestheader-extra-headers-prefix", list("requestheader-extra-headers-prefix")),
        ("requestheader-allowed-names", list("requestheader-allowed-names")),
    ];
    let uid = list("requestheader-uid-headers");
    if !uid.is_empty() {
        lists.push(("requestheader-uid-headers", uid));
    }
    Published {
        client_ca: options.path("client-ca-file"),
        request_header_ca: options.path("requestheader-client-ca-file"),
        lists,
    }
}

/// `host:port` that clients are told.
fn public_address(options: &Options, port: u16) -> String {
    match options.flags.str("external-hostname") {
        "" => SocketAddr::new(options.advertise_address, port).to_string(),
        host => format!("{host}:{port}"),
    }
}
