//! Starts everything in order and runs until told to stop. upstream: cmd/kube-proxy/app/{server,server_linux}.go

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use component_base::client::{ClientConfig, ClientError};
use component_base::daemon::{self, Configuration as _, StartError};
use component_base::events::{EventType, Recorder};
use component_base::informer::{Event, Informers, ObjectKey, Options, Reader};
use component_base::serving::{self, HealthChecks, Router};
use component_base::{Chain, Flags, Shutdown};
use http::StatusCode;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tracing::{error, info, warn};

use crate::backend::{self, BackendError, LocalTraffic, Mode, NodePortAddresses, Settings, node_addresses};
use crate::config::Config;
use crate::conntrack;
use crate::health::{self, ProxyHealth, ServiceHealth};
use crate::metrics;
use crate::model::Family;
use crate::node;
use crate::options;
use crate::plan::NodeView;
use crate::sync::{Periods, Shared, SyncLoop};
use crate::tracker::Tracker;

/// The proxy cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The start, before anything runs.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The API server cannot be addressed.
    #[error(transparent)]
    Client(ClientError),
    /// Neither a kubeconfig nor a pod to run in.
    #[error(
        "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
    )]
    NotInCluster,
    /// No packet filter works for the primary family.
    #[error("no support for primary IP family {0:?}")]
    Unsupported(&'static str, #[source] BackendError),
    /// The node has no pod networks though local traffic is to be recognized by them.
    #[error("timeout waiting for PodCIDR allocation on node {0:?}")]
    PodCidrs(String),
    /// Rules could not be removed.
    #[error("encountered an error while tearing down rules")]
    CleanUp(#[source] BackendError),
    /// A server cannot start and --bind-address-hard-fail is set.
    #[error("failed to start the {0} server on {1}")]
    Serve(&'static str, SocketAddr, #[source] std::io::Error),
}

/// Runs the proxy.
///
/// # Errors
/// See [`RunError`].
pub fn run(flags: &Flags) -> Result<(), RunError> {
    let Some(config) = daemon::configured(flags, options::configuration(flags))? else { return Ok(()) };
    let runtime = daemon::runtime()?;
    if flags.bool("cleanup") {
        return runtime.block_on(clean_up());
    }
    runtime.block_on(run_until_stopped(flags, config))
}

async fn clean_up() -> Result<(), RunError> {
    let iptables = backend::clean_up(Mode::Iptables).await;
    let nftables = backend::clean_up(Mode::Nftables).await;
    iptables.and(nftables).map_err(RunError::CleanUp)
}

fn mode(config: &Config) -> Mode {
    if config.mode == "nftables" { Mode::Nftables } else { Mode::Iptables }
}

async fn run_until_stopped(flags: &Flags, config: Config) -> Result<(), RunError> {
    let stop = daemon::stop_on_signals()?;
    info!(version = component_base::version::GIT_VERSION, mode = config.mode, "Starting kube-proxy");
    adjust_oom_score(config.oom_score_adj.unwrap_or(0));
    let client = connect(flags, &config)?;
    let name = node::node_name(&config.hostname_override);
    let informers = Informers::new(client.clone(), stop.clone());
    let nodes: Reader<Node> = informers.reader_with(Options::fields(format!("metadata.name={name}")));
    let by_pod_cidr = config.detect_local_mode == "NodeCIDR";
    let this = tokio::select! {
        this = async { nodes.synced().await; node::wait_for_node(&nodes, &name, by_pod_cidr).await } => this,
        () = stop.wait() => return Ok(()),
    };
    let pod_cidrs = this.as_deref().map(node::pod_cidrs).unwrap_or_default();
    if by_pod_cidr && pod_cidrs.is_empty() {
        return Err(RunError::PodCidrs(name));
    }
    let (primary, ips) = node::detect_ips(this.as_deref(), &config.bind_address);
    conntrack::apply_sysctls(&config.conntrack);
    let families = supported_families(mode(&config), primary).await?;
    let host = Host { name, zone: this.as_deref().map(node::zone).unwrap_or_default(), ips, pod_cidrs };
    let settings: Vec<Settings> = families.iter().map(|family| settings(&config, *family, &host)).collect();
    if settings.iter().any(|s| s.localhost_node_ports) {
        conntrack::ensure_sysctl("net/ipv4/conf/all/route_localnet", 1);
    }
    if flags.bool("init-only") {
        info!("System initialized and --init-only specified");
        return Ok(());
    }
    remove_other_mode(mode(&config)).await;
    let (sync_period, least) = config.periods();
    let health = Arc::new(ProxyHealth::new(sync_period * 2));
    if let Some(node) = &this {
        health.set_node_eligible(node::is_eligible(node));
    }
    serve(&config, &health, &stop).await?;
    let shared: Vec<Arc<Shared>> = settings.iter().map(|s| host.shared(s, &health)).collect();
    watch(&informers, &nodes, &shared, &health);
    birth_cry(client, &host.name);
    tokio::select! {
        () = informers.synced() => {}
        () = stop.wait() => return Ok(()),
    }
    let loops: Vec<_> = settings
        .into_iter()
        .zip(&shared)
        .enumerate()
        .map(|(index, (settings, shared))| {
            let services = (index == 0)
                .then(|| ServiceHealth::new(Arc::clone(&health), health_addresses(&settings), stop.clone()));
            let periods = Periods { sync: sync_period, least };
            let looping = SyncLoop {
                shared: Arc::clone(shared),
                backend: backend::open(mode(&config), settings),
                services,
                periods,
            };
            looping.run(stop.clone())
        })
        .collect();
    futures::future::join_all(loops).await;
    Ok(())
}

fn connect(flags: &Flags, config: &Config) -> Result<kube::Client, RunError> {
    let connection = &config.client_connection;
    let client = ClientConfig::load(&connection.kubeconfig, flags.str("master")).map_err(|error| match error {
        ClientError::NotConfigured => RunError::NotInCluster,
        other => RunError::Client(other),
    })?;
    let burst = u32::try_from(connection.burst).unwrap_or(0);
    client.daemon("kube-proxy").limits(connection.qps, burst).connect().map_err(RunError::Client)
}

fn adjust_oom_score(score: i32) {
    if let Err(err) = std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
        warn!(score, %err, "Failed to apply OOMScore");
    }
}

/// The families with working packet filters, the primary one first.
async fn supported_families(mode: Mode, primary: Family) -> Result<Vec<Family>, RunError> {
    backend::is_supported(mode, primary).await.map_err(|e| RunError::Unsupported(primary.as_str(), e))?;
    let mut families = vec![primary];
    let other = primary.other();
    let kernel = other == Family::V4 || ipv6_is_on();
    if kernel && backend::is_supported(mode, other).await.is_ok() {
        families.push(other);
        info!(primary = primary.as_str(), "kube-proxy running in dual-stack mode");
    } else {
        info!(family = primary.as_str(), "kube-proxy running in single-stack mode");
    }
    Ok(families)
}

fn ipv6_is_on() -> bool {
    Path::new("/proc/net/if_inet6").exists() && conntrack::sysctl("net/ipv6/conf/all/disable_ipv6") != Some(1)
}

struct Host {
    name: String,
    zone: String,
    ips: BTreeMap<Family, IpAddr>,
    pod_cidrs: Vec<IpNet>,
}

impl Host {
    fn shared(&self, settings: &Settings, health: &Arc<ProxyHealth>) -> Arc<Shared> {
        let view = NodeView { name: self.name.clone(), ip: settings.node_ip, zone: self.zone.clone() };
        Arc::new(Shared::new(Tracker::new(settings.family, &self.name), view, Arc::clone(health)))
    }
}

fn settings(config: &Config, family: Family, host: &Host) -> Settings {
    let (masquerade_all, bit) = match mode(config) {
        Mode::Iptables => (config.iptables.masquerade_all, config.iptables.masquerade_bit),
        Mode::Nftables => (config.nftables.masquerade_all, config.nftables.masquerade_bit),
    };
    let node_ports = node_port_addresses(config, family, host);
    let localhost = mode(config) == Mode::Iptables && config.iptables.localhost_node_ports.unwrap_or(true);
    Settings {
        family,
        masquerade_all,
        masquerade_bit: bit.and_then(|bit| u32::try_from(bit).ok()).unwrap_or(14),
        local: local_traffic(config, family, host),
        localhost_node_ports: localhost && family == Family::V4 && node_ports.has_ipv4_loopback(),
        node_ports,
        node_ip: host.ips[&family],
        conntrack_liberal: conntrack::sysctl("net/netfilter/nf_conntrack_tcp_be_liberal").is_some_and(|v| v != 0),
    }
}

fn node_port_addresses(config: &Config, family: Family, host: &Host) -> NodePortAddresses {
    let given = config.node_port_addresses.as_deref().unwrap_or_default();
    let networks: Vec<IpNet> = if given == ["primary"] {
        host.ips.values().filter(|ip| !ip.is_loopback()).map(|ip| IpNet::from(*ip)).collect()
    } else {
        given.iter().filter_map(|net| net.parse().ok()).collect()
    };
    NodePortAddresses::new(family, &networks)
}

fn local_traffic(config: &Config, family: Family, host: &Host) -> LocalTraffic {
    let first = |nets: Vec<IpNet>| nets.into_iter().find(|n| Family::of(n.addr()) == family);
    let by_cidr = |nets| first(nets).map_or(LocalTraffic::Unknown, |net| LocalTraffic::Cidr(net.trunc()));
    match config.detect_local_mode.as_str() {
        "NodeCIDR" => by_cidr(host.pod_cidrs.clone()),
        "BridgeInterface" => LocalTraffic::Bridge(config.detect_local.bridge_interface.clone()),
        "InterfaceNamePrefix" => LocalTraffic::InterfacePrefix(config.detect_local.interface_name_prefix.clone()),
        _ => by_cidr(config.cluster_cidrs()),
    }
}

/// Rules of a predecessor that ran in the other mode would compete with ours.
async fn remove_other_mode(mode: Mode) {
    let other = if mode == Mode::Iptables { Mode::Nftables } else { Mode::Iptables };
    if let Err(err) = backend::clean_up(other).await {
        warn!(err = %Chain(&err), mode = other.as_str(), "Cannot remove the rules of the other proxy mode");
    }
}

fn health_addresses(settings: &Settings) -> Vec<IpAddr> {
    if settings.node_ports.is_all() {
        let any = if settings.family == Family::V4 { "0.0.0.0" } else { "::" };
        return any.parse().into_iter().collect();
    }
    settings.node_ports.select(&node_addresses())
}

async fn serve(config: &Config, health: &Arc<ProxyHealth>, stop: &Shutdown) -> Result<(), RunError> {
    let mode = mode(config).as_str();
    let metrics_router = Router::new(HealthChecks::new())
        .route("/proxyMode", move |_, _| async move { serving::text(StatusCode::OK, mode) })
        .route("/healthz", |_, _| async { serving::text(StatusCode::OK, "ok") });
    metrics_router.show_config("kubeproxy.config.k8s.io", config.to_value());
    let servers = [
        ("healthz", &config.healthz_bind_address, health::router(health)),
        ("metrics", &config.metrics_bind_address, metrics_router),
    ];
    for (what, address, router) in servers {
        let Ok(address) = address.parse::<SocketAddr>() else { continue };
        match serving::bind(address).await {
            Ok(listener) => {
                info!(server = what, %address, "Serving");
                component_base::task::spawn("server", serving::serve(listener, None, router, stop.clone()));
            }
            Err(source) if config.bind_address_hard_fail => return Err(RunError::Serve(what, address, source)),
            Err(err) => {
                error!(server = what, %address, %err, "Server cannot listen, trying again every five seconds");
                component_base::task::spawn("server", serve_later(address, router, stop.clone()));
            }
        }
    }
    Ok(())
}

async fn serve_later(address: SocketAddr, router: Router, stop: Shutdown) {
    loop {
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(std::time::Duration::from_secs(5)) => {}
        }
        if let Ok(listener) = serving::bind(address).await {
            info!(%address, "Serving");
            return serving::serve(listener, None, router, stop).await;
        }
    }
}

fn watch(informers: &Informers, nodes: &Reader<Node>, shared: &[Arc<Shared>], health: &Arc<ProxyHealth>) {
    let services: Reader<Service> = informers.reader_with(Options {
        label_selector: "!service.kubernetes.io/service-proxy-name".into(),
        field_selector: "spec.clusterIP!=None".into(),
        ..Options::default()
    });
    let slices: Reader<EndpointSlice> = informers.reader_with(Options::labels("!service.kubernetes.io/headless"));
    let to = shared.to_vec();
    services.on_event(move |event| {
        metrics::get().service_changes.with_label_values::<&str>(&[]).inc();
        let key = ObjectKey::of(&**event.object());
        for family in &to {
            if family.tracker.lock().set_service(&key, event.new_state().map(|s| &**s)) {
                family.queue();
            }
        }
    });
    let to = shared.to_vec();
    slices.on_event(move |event| {
        metrics::get().endpoint_changes.with_label_values::<&str>(&[]).inc();
        let gone = matches!(event, Event::Deleted(_));
        for family in &to {
            if family.tracker.lock().set_slice(event.object(), gone) {
                family.queue();
            }
        }
    });
    let (to, health) = (shared.to_vec(), Arc::clone(health));
    nodes.on_event(move |event| {
        let node = event.new_state();
        health.set_node_eligible(node.is_some_and(|n| node::is_eligible(n)));
        if let Some(node) = node {
            to.iter().for_each(|family| family.set_zone(node::zone(node)));
        }
    });
}

fn birth_cry(client: kube::Client, node: &str) {
    let reference = ObjectReference {
        kind: Some("Node".into()),
        name: Some(node.to_owned()),
        uid: Some(node.to_owned()),
        ..ObjectReference::default()
    };
    let recorder = Recorder::events_v1(client, "kube-proxy", &format!("kube-proxy-{node}"));
    recorder.eventf(reference, None, EventType::Normal, "Starting", "StartKubeProxy", "");
}
