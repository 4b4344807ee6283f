//! Start and end of the daemon: flags, logs, client, serving, leader election, controllers.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use component_base::client::{ClientConfig, ClientError, ServiceAccountClients};
use component_base::daemon;
use component_base::events::Recorder;
use component_base::lease::{LeaderElector, LeaseConfig};
use component_base::serving::{HealthChecks, SECURE_SERVING_FLAGS, ServingError};
use component_base::{Flags, Informers, Shutdown};
use tracing::{error, info};

use crate::context::{Identities, Shared};
use crate::controllers::{self, StartError};

const DAEMON: &str = "kube-controller-manager";

/// Flags that do something in this build, besides those of serving.
const ACTING_FLAGS: &[&str] = &[
    "cluster-signing-cert-file",
    "cluster-signing-duration",
    "cluster-signing-key-file",
    "cluster-signing-kube-apiserver-client-cert-file",
    "cluster-signing-kube-apiserver-client-key-file",
    "cluster-signing-kubelet-client-cert-file",
    "cluster-signing-kubelet-client-key-file",
    "cluster-signing-kubelet-serving-cert-file",
    "cluster-signing-kubelet-serving-key-file",
    "cluster-signing-legacy-unknown-cert-file",
    "cluster-signing-legacy-unknown-key-file",
    "concurrent-cron-job-syncs",
    "concurrent-daemonset-syncs",
    "concurrent-deployment-syncs",
    "concurrent-endpoint-syncs",
    "concurrent-gc-syncs",
    "concurrent-job-syncs",
    "concurrent-namespace-syncs",
    "concurrent-rc-syncs",
    "concurrent-replicaset-syncs",
    "concurrent-resource-quota-syncs",
    "concurrent-service-endpoint-syncs",
    "concurrent-serviceaccount-token-syncs",
    "concurrent-statefulset-syncs",
    "concurrent-ttl-after-finished-syncs",
    "controllers",
    "enable-garbage-collector",
    "feature-gates",
    "kube-api-burst",
    "kube-api-qps",
    "kubeconfig",
    "leader-elect",
    "leader-elect-lease-duration",
    "leader-elect-renew-deadline",
    "leader-elect-resource-name",
    "leader-elect-resource-namespace",
    "leader-elect-retry-period",
    "logging-format",
    "master",
    "max-endpoints-per-slice",
    "node-eviction-rate",
    "node-monitor-grace-period",
    "node-monitor-period",
    "node-startup-grace-period",
    "resource-quota-sync-period",
    "root-ca-file",
    "service-account-private-key-file",
    "terminated-pod-gc-threshold",
    "use-service-account-credentials",
    "large-cluster-size-threshold",
    "secondary-node-eviction-rate",
    "unhealthy-zone-threshold",
    "v",
    "vmodule",
];

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    /// The start, before anything runs.
    #[error(transparent)]
    Start(#[from] daemon::StartError),
    /// Feature gates.
    #[error(transparent)]
    Gates(#[from] component_base::flags::GateError),
    /// Names in `--controllers`.
    #[error("{0:?} is not in the list of known controllers")]
    UnknownController(String),
    /// The API client.
    #[error(transparent)]
    Client(ClientError),
    /// The HTTPS server.
    #[error("cannot serve")]
    Serving(#[source] ServingError),
    /// A controller.
    #[error("failed to start {0}")]
    Controller(&'static str, #[source] StartError),
    /// The lease went to somebody else.
    #[error("leaderelection lost")]
    LeaseLost,
}

/// Runs the daemon until a signal; the process' exit status.
#[must_use]
pub fn main() -> ExitCode {
    daemon::main(DAEMON, include_str!("flags.tsv"), |flags| daemon::runtime()?.block_on(run(flags.clone())))
}

async fn run(flags: Flags) -> Result<(), AppError> {
    let gates = flags.feature_gates()?;
    if let Some(name) = controllers::unknown_names(flags.list("controllers")).first() {
        return Err(AppError::UnknownController(name.clone()));
    }
    info!(version = component_base::version::GIT_VERSION, "Starting");
    flags.acts(&[ACTING_FLAGS, SECURE_SERVING_FLAGS].concat());
    let stop = daemon::stop_on_signals()?;
    let config = ClientConfig::load(flags.str("kubeconfig"), flags.str("master"))
        .map_err(AppError::Client)?
        .daemon(DAEMON)
        .limits(flags.float("kube-api-qps") as f32, u32::try_from(flags.int("kube-api-burst")).unwrap_or(0));
    let health = HealthChecks::new();
    crate::serving::start(&flags, Arc::clone(&health), &stop).await.map_err(AppError::Serving)?;

    if !flags.bool("leader-elect") {
        let shared = Arc::new(shared(flags, gates, &config, health, stop.clone())?);
        lead(&shared)?;
        stop.wait().await;
        return Ok(());
    }
    let client =
        config.clone().daemon("kube-controller-manager/leader-election").connect().map_err(AppError::Client)?;
    let recorder = Recorder::core(client.clone(), DAEMON, "");
    let mut elector = LeaderElector::new(client, LeaseConfig::from_flags(&flags), recorder);
    if !elector.acquire(&stop).await {
        return Ok(());
    }
    let shared = Arc::new(shared(flags, gates, &config, health, stop.clone())?);
    lead(&shared)?;
    elector.hold(&stop).await;
    if stop.is_triggered() { Ok(()) } else { Err(AppError::LeaseLost) }
}

fn shared(
    flags: Flags,
    gates: component_base::flags::FeatureGates,
    config: &ClientConfig,
    health: Arc<HealthChecks>,
    stop: Shutdown,
) -> Result<Shared, AppError> {
    let transport = config.transport().map_err(AppError::Client)?;
    // Informers and token requests are not to wait behind each other's rate limit.
    let root = config.clone().limits(0.0, 0).connect_over(transport.clone()).map_err(AppError::Client)?;
    let identities = if flags.bool("use-service-account-credentials") {
        let clients = ServiceAccountClients::new(root.clone(), config, "kube-system").map_err(AppError::Client)?;
        Identities::ServiceAccounts(Box::new(clients))
    } else {
        Identities::Own(Box::new(config.clone()), transport)
    };
    let informers = Informers::new(root, stop.child());
    Ok(Shared { flags: Arc::new(flags), gates: Arc::new(gates), informers, identities, health, stop })
}

fn lead(shared: &Shared) -> Result<(), AppError> {
    controllers::start_all(shared).map_err(|(name, error)| AppError::Controller(name, error))?;
    let (informers, stop) = (shared.informers.clone(), shared.stop.clone());
    component_base::task::spawn("sync-watchdog", async move {
        tokio::select! {
            () = stop.wait() => {}
            synced = informers.synced_within(Duration::from_secs(60)) => {
                if !synced { error!("Informers are not synced after a minute"); }
            }
        }
    });
    Ok(())
}
