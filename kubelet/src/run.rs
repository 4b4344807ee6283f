//! Building the parts of a kubelet and running them to the end.
//!
//! upstream: cmd/kubelet/app/server.go

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::quantity::Quantity;
use apimachinery::quote::quote;
use component_base::events::Recorder;
use component_base::flags::{self, FlagError};
use component_base::informer::Options as InformerOptions;
use component_base::serving;
use component_base::tls::{CertSource, KeyPairFiles, ServerTls};
use component_base::{Chain, Flags, Informers, Reader, Shutdown, daemon, task};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Node, NodeStatus, Pod, Service};
use k8s_openapi::api::node::v1::RuntimeClass;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::allocation::Allocations;
use crate::certificates::{ClientIdentity, client_identity, renew_forever, serve_from_requests};
use crate::collect::Collector;
use crate::events::Events;
use crate::eviction::Evictor;
use crate::images::Images;
use crate::images::collect::{CollectPolicy, ImageCollector};
use crate::logs::{RotationPolicy, Rotator};
use crate::metrics;
use crate::node::{self, NodeFacts, Reporter, Reservations, RuntimeState};
use crate::objects::Objects;
use crate::options::{Configuration, FLAGS, Options};
use crate::paths::Paths;
use crate::pod::admission::MachineRules;
use crate::pod::backoff::Backoff;
use crate::pod::cgroup::PodCgroups;
use crate::pod::classes::RuntimeClasses;
use crate::pod::dns::DnsSettings;
use crate::pod::machinery::{Machinery, NodeState, PodSettings};
use crate::pod::resources::CpuSettings;
use crate::pod::security::SecuritySettings;
use crate::pod::workers::Workers;
use crate::probes::Probes;
use crate::runtime::{CriRuntime, Runtime};
use crate::server;
use crate::sources::file::FileSource;
use crate::sources::mirror::Mirror;
use crate::sources::{self, SourceName};
use crate::status::{Publisher, RunningCheck, Statuses};
use crate::sync_loop::{RelistHealth, SyncLoop};
use crate::sys::{CgroupDriver, CgroupVersion, Kernel, Linux, Machine};
use crate::tiers::{self, NodeLimits};
use crate::volumes::{Tokens, Volumes};

/// How often the runtime is asked how it is.
const RUNTIME_STATE_INTERVAL: Duration = Duration::from_secs(5);
/// How often unused images are looked for.
const IMAGE_COLLECTION_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Threads of the kubelet: its work is waiting for others.
const WORKER_THREADS: usize = 2;

/// Reads the command line and runs until a signal.
pub fn main() -> ExitCode {
    component_base::tls::install_provider();
    let flags = match Flags::parse("kubelet", FLAGS, std::env::args_os()) {
        Ok(flags::Request::Run(flags)) => flags,
        Ok(flags::Request::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return refuse_command_line(&error),
    };
    for warning in &flags.warnings {
        eprintln!("{warning}");
    }
    if let Err(error) = component_base::logs::init(&flags) {
        return daemon::logs_refused("kubelet", &error);
    }
    let result = Options::load(*flags).map_err(BoxError::from).and_then(|options| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build()?;
        runtime.block_on(run(options)).map_err(|error| format!("failed to run Kubelet: {}", Chain(&*error)).into())
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => daemon::command_failed(&Chain(&*error)),
    }
}

/// Upstream's kubelet parses its flags itself and tells what is wrong with them in its log.
fn refuse_command_line(error: &FlagError) -> ExitCode {
    component_base::logs::init_plain();
    match error {
        FlagError::Arguments { args, .. } => {
            daemon::command_failed(&format_args!("unknown command {}", args.first().map_or("", String::as_str)))
        }
        other => daemon::command_failed(&format_args!("failed to parse kubelet flag: {other}")),
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn run(options: Options) -> Result<(), BoxError> {
    let stop = Shutdown::on_signals()?;
    let node = options.node_name();
    tracing::info!(node, version = component_base::version::GIT_VERSION, "starting kubelet");
    for field in options.config.without_effect() {
        tracing::warn!(field, "field of the configuration is accepted but has no effect in this build");
    }
    let api = Api::connect(&options, &node, &stop).await?;
    check_access(&options.config, api.is_some())?;
    let runtime = connect_runtime(&options).await?;
    let kernel = prepare_kernel(&options, runtime.as_ref()).await?;
    let recorder = api.as_ref().map(|api| Recorder::core(api.client.clone(), "kubelet", &node));
    let client = api.as_ref().map(|api| api.client.clone());
    let events = Events::new(recorder, &node);
    let parts = Parts { options: &options, node: &node, runtime, kernel, client: client.clone(), events };
    let workers = Workers::new(Arc::new(parts.machinery().await?));
    wire(&workers);
    let (sender, sets) = mpsc::channel(16);
    let mut sources = start_sources(&options, &node, &sender);
    let health = Arc::new(RelistHealth::default());
    let state = Arc::new(RuntimeState::default());
    watch_runtime(&workers, Arc::clone(&state));
    start_housekeeping(&options, &workers, &stop)?;
    let reporter = reporter(&options, &node, &workers, &health, state).await?;
    let addresses = reporter.facts.addresses.clone();
    let evictor =
        Evictor::new(workers.clone(), Arc::clone(&reporter.pressure), options.config.local_storage_capacity_isolation);
    task::spawn("eviction", evictor.run(stop.clone()));
    metrics::NODE_NAME.with_label_values(&[node.as_str()]).set(1.0);
    // Addresses and resources of the node must be known before the first pod starts.
    let first = reporter.status(&[]).await;
    if let Some(api) = api.as_ref() {
        sources.push(SourceName::Api);
        api.start(&options, &node, &workers, sender.clone(), reporter, first, &stop);
    }
    serve(&options, &node, &workers, &health, client, addresses, &stop).await?;
    workers.machinery().events.node("Starting", "Starting kubelet.");
    let collector = Collector::new(Arc::clone(workers.machinery()));
    SyncLoop::new(workers, sources, health, collector).run(sets, stop).await;
    drop(sender);
    Ok(())
}

/// The kubelet's ways to the API.
struct Api {
    client: kube::Client,
    heartbeats: kube::Client,
}

impl Api {
    /// Connects as the node; `None` when the kubelet runs without an API.
    async fn connect(options: &Options, node: &str, stop: &Shutdown) -> Result<Option<Self>, BoxError> {
        let (config, flags) = (&options.config, &options.flags);
        let cert_dir = PathBuf::from(flags.str("cert-dir"));
        let (kubeconfig, bootstrap) = (flags.str("kubeconfig"), flags.str("bootstrap-kubeconfig"));
        let identity = tokio::select! {
            identity = client_identity(kubeconfig, bootstrap, &cert_dir, node) => identity?,
            () = stop.wait() => return Err("stopped while waiting for a client certificate".into()),
        };
        let Some(ClientIdentity { config: to }) = identity else {
            tracing::warn!("standalone mode, no API client");
            return Ok(None);
        };
        #[expect(clippy::cast_precision_loss, reason = "rates are small")]
        let to = to
            .daemon("kubelet")
            .limits(config.kube_api_qps as f32, u32::try_from(config.kube_api_burst).unwrap_or(100));
        let transport = to.transport()?;
        let client = to.connect_over(transport.clone())?;
        // Heartbeats have a connection and a limit of their own: nothing may hold them up.
        let own = to.transport()?;
        let heartbeats = to.clone().limits(-1.0, 0).connect_over(own.clone())?;
        if config.rotate_certificates {
            let renewed = Box::new(move || {
                transport.reset();
                own.reset();
            });
            task::spawn(
                "client-certificate",
                renew_forever(client.clone(), cert_dir, node.to_owned(), renewed, stop.clone()),
            );
        }
        Ok(Some(Self { client, heartbeats }))
    }

    #[expect(clippy::too_many_arguments, reason = "called once, with what was just built")]
    fn start(
        &self,
        options: &Options,
        node: &str,
        workers: &Workers,
        sets: mpsc::Sender<crate::sources::PodSet>,
        reporter: Reporter,
        status: NodeStatus,
        stop: &Shutdown,
    ) {
        let informers = Informers::new(self.client.clone(), stop.clone());
        let pods: Reader<Pod> = informers.reader_with(InformerOptions::fields(format!("spec.nodeName={node}")));
        task::spawn("api-source", sources::api::run(pods.clone(), sets));
        workers.machinery().mirror.set_pods(pods.clone());
        task::spawn("mirror-pods", sources::mirror::follow(pods.clone(), workers.clone()));
        follow_node(&informers, node, workers);
        let classes: Reader<RuntimeClass> = informers.reader();
        workers
            .machinery()
            .classes
            .set_source(Box::new(move |name| classes.is_synced().then(|| classes.get("", name))));
        let services: Reader<Service> = informers.reader();
        let source = services.clone();
        workers.machinery().objects.set_services(Box::new(move || source.is_synced().then(|| source.list())));
        let check = workers.clone();
        let could_run: RunningCheck = Box::new(move |uid| check.could_have_running_containers(uid));
        let publisher = Publisher::new(Arc::clone(&workers.machinery().statuses), self.client.clone(), pods, could_run);
        task::spawn("status-publisher", publisher.run());
        let (client, register_node) = (self.heartbeats.clone(), options.config.register_node);
        let seconds = options.config.node_lease_duration_seconds;
        let (node, stop) = (node.to_owned(), stop.clone());
        task::spawn("node-status", async move {
            if register_node {
                node::register(client.clone(), &reporter.facts, status).await;
            }
            task::spawn("node-lease", node::keep_lease(client.clone(), node, seconds, stop.clone()));
            reporter.run(client, stop).await;
        });
    }
}

/// Keeps to what the API says about the node.
fn follow_node(informers: &Informers, node: &str, workers: &Workers) {
    let field_selector = format!("metadata.name={node}");
    // Its status is long, and what this kubelet wrote itself.
    let transform: fn(&mut Node) = |node| node.status = None;
    let reader =
        informers.reader_with(InformerOptions { field_selector, transform: Some(transform), ..Default::default() });
    let cx = Arc::clone(workers.machinery());
    reader.on_event(move |event| event.new_state().into_iter().for_each(|node| cx.node.place.tell(node)));
    let (nodes, name) = (kube::Api::<Node>::all(informers.client().clone()), node.to_owned());
    workers.machinery().node.place.set_reader(Box::new(move || {
        let (nodes, name) = (nodes.clone(), name.clone());
        Box::pin(async move { nodes.get(&name).await.ok() })
    }));
}

/// What callers are let in by must be there: the API, or the authorities' file.
fn check_access(config: &Configuration, has_api: bool) -> Result<(), BoxError> {
    let authorities = &config.authentication.x509.client_ca_file;
    if !authorities.is_empty() {
        component_base::error::read_file(authorities)?;
    }
    if config.authentication.webhook.enabled && !has_api {
        return Err("no client provided, cannot use webhook authentication".into());
    }
    match config.authorization.mode.as_str() {
        "AlwaysAllow" => Ok(()),
        "Webhook" if has_api => Ok(()),
        "Webhook" => Err("no client provided, cannot use webhook authorization".into()),
        "" => Err("no authorization mode specified".into()),
        other => Err(format!("unknown authorization mode {other}").into()),
    }
}

/// Asks the runtime who it is. One that does not answer ends the kubelet, as upstream's: whoever runs it starts it again.
async fn connect_runtime(options: &Options) -> Result<Arc<dyn Runtime>, BoxError> {
    let config = &options.config;
    let endpoint = &config.container_runtime_endpoint;
    let runtime = CriRuntime::new(endpoint, &config.image_service_endpoint, config.runtime_request_timeout.0)?;
    let version = runtime.version().await.map_err(|error| {
        let endpoint = quote(endpoint);
        format!("validate service connection: validate CRI v1 runtime API for endpoint {endpoint}: {error}")
    })?;
    tracing::info!(
        runtime = version.runtime_name,
        version = version.runtime_version,
        api = version.runtime_api_version,
        "container runtime is there"
    );
    Ok(Arc::new(runtime))
}

async fn prepare_kernel(options: &Options, runtime: &dyn Runtime) -> Result<Arc<dyn Kernel>, BoxError> {
    let config = &options.config;
    let systemd = match runtime.systemd_cgroups().await {
        Ok(Some(systemd)) => systemd,
        Ok(None) => config.cgroup_driver == "systemd",
        Err(error) => return Err(error.into()),
    };
    let kernel = Linux::new(if systemd { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs });
    if kernel.cgroup_version() == CgroupVersion::V1 {
        tracing::warn!("cgroup v1 support is deprecated, please migrate to cgroup v2");
    }
    if config.fail_swap_on && Machine::read().swap_bytes > 0 {
        return Err(
            "running with swap on is not supported, please disable swap or set --fail-swap-on flag to false".into()
        );
    }
    if let Err(error) = kernel.set_own_oom_score(config.oom_score_adj) {
        tracing::warn!(score = config.oom_score_adj, %error, "own oom score was not set");
    }
    Ok(Arc::new(kernel))
}

struct Parts<'a> {
    options: &'a Options,
    node: &'a str,
    runtime: Arc<dyn Runtime>,
    kernel: Arc<dyn Kernel>,
    client: Option<kube::Client>,
    events: Events,
}

impl Parts<'_> {
    async fn machinery(&self) -> Result<Machinery, BoxError> {
        let config = &self.options.config;
        let paths = Paths::new(self.options.root_dir(), &config.pod_logs_dir);
        std::fs::create_dir_all(paths.pods())?;
        let (runtime, events) = (Arc::clone(&self.runtime), self.events.clone());
        let objects = Arc::new(Objects::new(self.client.clone()));
        let statuses = Arc::new(Statuses::default());
        let tokens = Tokens::new(self.client.clone());
        let kernel = Arc::clone(&self.kernel);
        let abilities = self.runtime.status().await.map(|(_, abilities)| abilities).unwrap_or_default();
        let crash_max = config.crash_loop_back_off.max_container_restart_period.signed();
        Ok(Machinery {
            runtime_name: self.runtime.version().await?.runtime_name,
            volumes: Volumes::new(paths.clone(), Arc::clone(&kernel), Arc::clone(&objects), tokens),
            images: Images::new(Arc::clone(&runtime), events.clone(), config.parallel_pulls()),
            probes: Probes::new(Arc::clone(&runtime), Arc::clone(&statuses), events.clone()),
            mirror: Mirror::new(self.client.clone(), self.node),
            classes: RuntimeClasses::default(),
            allocations: Allocations::open(self.options.root_dir().as_ref())?,
            cgroups: PodCgroups::new(&config.cgroup_root, config.cgroups_per_qos),
            crash_loops: Mutex::new(Backoff::new(SignedDuration::from_secs(10).min(crash_max), crash_max)),
            node: NodeState { abilities: Mutex::new(abilities), ..NodeState::default() },
            settings: self.pod_settings(&paths),
            runtime,
            kernel,
            objects,
            statuses,
            events,
            paths,
        })
    }

    fn pod_settings(&self, paths: &Paths) -> PodSettings {
        let config = &self.options.config;
        PodSettings {
            dns: DnsSettings {
                cluster_dns: config.cluster_dns.clone(),
                cluster_domain: config.cluster_domain.clone(),
                resolver_config: config.resolv_conf.clone(),
            },
            security: SecuritySettings {
                seccomp_default: config.seccomp_default,
                seccomp_root: paths.seccomp().display().to_string(),
            },
            cpu: CpuSettings {
                cfs_quota: config.cpu_cfs_quota,
                cfs_period_us: i64::try_from(config.cpu_cfs_quota_period.0.as_micros()).unwrap_or(100_000),
                memory_bytes: i64::try_from(Machine::read().memory_bytes).unwrap_or(i64::MAX),
            },
            machine: MachineRules {
                node: self.node.to_owned(),
                sysctls: config.allowed_unsafe_sysctls.clone(),
                kernel: crate::sys::kernel_version(),
                apparmor: crate::sys::apparmor_is_enabled(),
            },
        }
    }
}

/// Probes wake the pods that they judge.
fn wire(workers: &Workers) {
    let to_wake = workers.clone();
    workers.machinery().probes.set_wake(Box::new(move |uid| to_wake.wake(uid)));
}

fn start_sources(options: &Options, node: &str, sender: &mpsc::Sender<crate::sources::PodSet>) -> Vec<SourceName> {
    let config = &options.config;
    let mut sources = Vec::new();
    if !config.static_pod_path.is_empty() {
        let source = FileSource::new(PathBuf::from(&config.static_pod_path), node, config.file_check_frequency.0);
        task::spawn("file-source", source.run(sender.clone()));
        sources.push(SourceName::File);
    }
    sources
}

async fn reporter(
    options: &Options,
    node: &str,
    workers: &Workers,
    health: &Arc<RelistHealth>,
    state: Arc<RuntimeState>,
) -> Result<Reporter, BoxError> {
    let (config, flags) = (&options.config, &options.flags);
    let cx = Arc::clone(workers.machinery());
    let machine = Machine::read();
    let version = cx.runtime.version().await?;
    let runtime_version = format!("{}://{}", version.runtime_name, node::plain_version(&version.runtime_version));
    let addresses = node::addresses(flags.str("node-ip"), node);
    let kept = Reservations::new(config, machine.cpus);
    let mut facts = NodeFacts::new(node, config, addresses, machine, runtime_version);
    facts.labels = flags.map("node-labels");
    facts.external_cloud = flags.str("cloud-provider") == "external";
    Ok(Reporter {
        cx,
        facts,
        kept,
        thresholds: config.eviction_hard.clone().unwrap_or_default(),
        relist: Arc::clone(health),
        runtime: state,
        pressure: Arc::default(),
        seen: Mutex::default(),
        transition: config.eviction_pressure_transition_period.0,
        images_max: config.node_status_max_images,
        interval: config.node_status_update_frequency.0,
        report_interval: config.node_status_report_frequency.0,
    })
}

fn start_housekeeping(options: &Options, workers: &Workers, stop: &Shutdown) -> Result<(), BoxError> {
    let config = &options.config;
    let cx = Arc::clone(workers.machinery());
    if cx.cgroups.per_pod() {
        let limits = NodeLimits::new(config, &Machine::read());
        tiers::apply(workers, limits).map_err(|error| format!("failed to set up the cgroups of pods: {error}"))?;
        cx.events.node("NodeAllocatableEnforced", "Updated Node Allocatable limit across pods");
        task::spawn("tiers", tiers::keep(workers.clone(), limits, stop.clone()));
    }
    let bytes_max = Quantity::parse(&config.container_log_max_size)?.value();
    let policy = RotationPolicy {
        bytes_max: u64::try_from(bytes_max).unwrap_or(u64::MAX),
        files_max: usize::try_from(config.container_log_max_files).unwrap_or(5),
        interval: config.container_log_monitor_interval.0.max(Duration::from_secs(3)),
    };
    task::spawn("log-rotation", Rotator::new(Arc::clone(&cx.runtime), policy).run(stop.clone()));
    let policy = CollectPolicy {
        high_percent: u64::try_from(config.image_gc_high_threshold_percent).unwrap_or_default(),
        low_percent: u64::try_from(config.image_gc_low_threshold_percent).unwrap_or_default(),
        age_min: config.image_minimum_gc_age.signed(),
        age_max: config.image_maximum_gc_age.signed(),
    };
    let mut images = ImageCollector::new(Arc::clone(&cx.runtime), Arc::clone(&cx.kernel), cx.events.clone(), policy);
    task::spawn("image-collection", async move {
        loop {
            if let Err(error) = images.collect().await {
                tracing::debug!(%error, "images were not collected");
            }
            tokio::time::sleep(IMAGE_COLLECTION_INTERVAL).await;
        }
    });
    Ok(())
}

async fn serve(
    options: &Options,
    node: &str,
    workers: &Workers,
    health: &Arc<RelistHealth>,
    client: Option<kube::Client>,
    addresses: Vec<IpAddr>,
    stop: &Shutdown,
) -> Result<(), BoxError> {
    let config = &options.config;
    if config.healthz_port != 0 {
        let address = SocketAddr::new(config.healthz_bind_address.parse()?, u16::try_from(config.healthz_port)?);
        let listener = serving::bind(address).await.map_err(|error| format!("listen on {address}: {error}"))?;
        let router = serving::Router::new(server::health(Arc::clone(health)));
        task::spawn("healthz", serving::serve(listener, None, router, stop.clone()));
    }
    if !config.enable_server {
        return Ok(());
    }
    let context = server::Context {
        workers: workers.clone(),
        node: node.to_owned(),
        system_logs: config.enable_system_log_handler,
        debugging: config.enable_debugging_handlers,
    };
    let auth = Arc::new(delegated(config, client.as_ref())?);
    let router = server::router(context, server::health(Arc::clone(health)), Some(auth));
    router.show_config("kubeletconfig", serde_json::to_value(config)?);
    let tls = server_tls(options, node, client, &addresses, stop)?;
    let only_tls13 = config.tls_min_version == "VersionTLS13";
    let tls = component_base::tls::server_config(tls, true, true, only_tls13);
    let address = SocketAddr::new(config.address.parse()?, u16::try_from(config.port)?);
    let listener = serving::bind(address).await.map_err(|error| format!("listen on {address}: {error}"))?;
    tracing::info!(%address, "serving");
    task::spawn("server", serving::serve(listener, Some(tls), router, stop.clone()));
    Ok(())
}

fn delegated(config: &Configuration, client: Option<&kube::Client>) -> Result<serving::Delegated, BoxError> {
    let authorization = &config.authorization;
    let webhook = authorization.mode == "Webhook";
    if webhook && client.is_none() {
        return Err("no client provided, cannot use webhook authorization".into());
    }
    Ok(serving::Delegated::new(serving::DelegatedOptions {
        token_reviews: client.filter(|_| config.authentication.webhook.enabled).cloned(),
        access_reviews: client.filter(|_| webhook).cloned(),
        client_ca_file: config.authentication.x509.client_ca_file.clone(),
        anonymous: config.authentication.anonymous.enabled,
        ttl: serving::AuthCacheTtl {
            token: config.authentication.webhook.cache_ttl.0,
            authorized: authorization.webhook.cache_authorized_ttl.0,
            unauthorized: authorization.webhook.cache_unauthorized_ttl.0,
        },
        ..serving::DelegatedOptions::default()
    })?)
}

/// The serving certificate: given, asked for, or made here.
fn server_tls(
    options: &Options,
    node: &str,
    client: Option<kube::Client>,
    addresses: &[IpAddr],
    stop: &Shutdown,
) -> Result<ServerTls, BoxError> {
    let config = &options.config;
    let cert_dir = options.flags.str("cert-dir");
    let source = if config.tls_cert_file.is_empty() {
        let alternates: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let folder = if config.server_tls_bootstrap { "" } else { cert_dir };
        CertSource::self_signed(folder, "kubelet", node, &alternates)?
    } else {
        CertSource::Files(KeyPairFiles {
            cert: config.tls_cert_file.clone().into(),
            key: config.tls_private_key_file.clone().into(),
        })
    };
    let tls = ServerTls::new(source, Vec::new())?;
    tls.follow_files(stop.clone());
    if let Some(client) = client.filter(|_| config.server_tls_bootstrap) {
        let (cert_dir, node, ips) = (PathBuf::from(cert_dir), node.to_owned(), addresses.to_vec());
        task::spawn("serving-certificate", serve_from_requests(client, cert_dir, node, ips, tls.clone(), stop.clone()));
    }
    Ok(tls)
}

/// Pods without a network of their own wait until the runtime says that it has one.
fn watch_runtime(workers: &Workers, state: Arc<RuntimeState>) {
    let workers = workers.clone();
    task::spawn("runtime-state", async move {
        let cx = Arc::clone(workers.machinery());
        loop {
            let (runtime, network) = match cx.runtime.status().await {
                Ok((status, abilities)) => {
                    *cx.node.abilities.lock() = abilities;
                    (
                        condition_error(&status.conditions, "RuntimeReady", "container runtime not ready"),
                        condition_error(&status.conditions, "NetworkReady", "container runtime network not ready"),
                    )
                }
                Err(error) => {
                    (format!("container runtime status check may not have completed yet: {error}"), String::new())
                }
            };
            state.set(runtime);
            let before = std::mem::replace(&mut *cx.node.network_error.lock(), network.clone());
            if !before.is_empty() && network.is_empty() {
                workers.wake_all();
            }
            tokio::time::sleep(RUNTIME_STATE_INTERVAL).await;
        }
    });
}

fn condition_error(conditions: &[crate::runtime::types::RuntimeCondition], kind: &str, text: &str) -> String {
    match conditions.iter().find(|condition| condition.r#type == kind) {
        Some(condition) if !condition.status => {
            format!("{text}: {kind}=false reason:{} message:{}", condition.reason, condition.message)
        }
        _ => String::new(),
    }
}
