//! Starts everything in order and runs until told to stop or until leadership is lost.
//! upstream: cmd/kube-scheduler/app/server.go (Run)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use component_base::client::{ClientConfig, ClientError};
use component_base::daemon::{self, StartError};
use component_base::events::Recorder;
use component_base::flags::parse_duration;
use component_base::informer::Informers;
use component_base::lease::{LeaderElector, LeaseConfig};
use component_base::serving::{HealthChecks, ServingError};
use component_base::{Flags, Shutdown};
use tracing::{info, warn};

use crate::actions::{Actions, ApiActions};
use crate::config::{KubeSchedulerConfiguration, LeaderElection, ProfileError, build_profiles};
use crate::cycle::Scheduler;
use crate::events;
use crate::framework::{EventResource, Handle, Listers};
use crate::listers::InformerListers;
use crate::options;
use crate::queue::{QueueTimes, SchedulingQueue};
use crate::server;

/// The scheduler cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The start, before anything runs.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The API server cannot be addressed.
    #[error(transparent)]
    Client(ClientError),
    /// The profiles cannot be built.
    #[error("initializing profiles")]
    Profiles(#[source] ProfileError),
    /// The server cannot start.
    #[error("cannot serve")]
    Server(#[source] ServingError),
    /// Leadership was lost; the process must end so that another instance may lead.
    #[error("leaderelection lost")]
    LeadershipLost,
}

/// Runs the scheduler.
///
/// # Errors
/// See [`RunError`].
pub fn run(flags: &Flags) -> Result<(), RunError> {
    let Some(config) = daemon::configured(flags, options::configuration(flags))? else { return Ok(()) };
    daemon::runtime()?.block_on(run_until_stopped(flags, config))
}

async fn run_until_stopped(flags: &Flags, config: KubeSchedulerConfiguration) -> Result<(), RunError> {
    let stop = daemon::stop_on_signals()?;
    info!(version = component_base::version::GIT_VERSION, "Starting Kubernetes Scheduler");
    let connection = &config.client_connection;
    let client_config = ClientConfig::load(&connection.kubeconfig, flags.str("master")).map_err(RunError::Client)?;
    let burst = u32::try_from(connection.burst).unwrap_or(0);
    let client_config = client_config.daemon("kube-scheduler").limits(connection.qps, burst);
    let client = client_config.connect().map_err(RunError::Client)?;
    // Watches must not wait behind bindings in the rate limiter.
    let watching = client_config.limits(0.0, 0).connect().map_err(RunError::Client)?;
    let informers = Informers::new(watching.clone(), stop.clone());
    let listers = Arc::new(InformerListers::start(&informers));
    let scheduler = assemble(flags, &config, client, &listers)?;
    let health = HealthChecks::new();
    let synced = Arc::new(AtomicBool::new(false));
    let ready = Arc::clone(&synced);
    health.add_ready("sched-handler-sync", move || {
        if ready.load(Ordering::Relaxed) { Ok(()) } else { Err("waiting for handlers to sync".to_owned()) }
    });
    server::start(flags, &config, health, Arc::clone(&scheduler), &stop).await.map_err(RunError::Server)?;
    subscribe(&scheduler, &listers);
    let election = &config.leader_election;
    if !election.leader_elect {
        wait_synced(&informers, &synced, &stop).await;
        scheduler.run(stop).await;
        return Ok(());
    }
    let mut elector =
        LeaderElector::new(watching.clone(), lease(election), Recorder::events_v1(watching, "default-scheduler", ""));
    if !elector.acquire(&stop).await {
        return Ok(());
    }
    let leading = stop.child();
    let working = leading.clone();
    let held_until = stop.clone();
    let held = async {
        elector.hold(&held_until).await;
        leading.trigger();
    };
    let work = async {
        wait_synced(&informers, &synced, &working).await;
        scheduler.run(working.clone()).await;
    };
    tokio::join!(held, work);
    if stop.is_triggered() { Ok(()) } else { Err(RunError::LeadershipLost) }
}

async fn wait_synced(informers: &Informers, synced: &AtomicBool, stop: &Shutdown) {
    tokio::select! {
        () = informers.synced() => {}
        () = stop.wait() => return,
    }
    synced.store(true, Ordering::Relaxed);
    info!("Caches are synced");
}

fn lease(election: &LeaderElection) -> LeaseConfig {
    let duration = |text: &str, default: u64| {
        let nanos = parse_duration(text).ok().and_then(|nanos| u64::try_from(nanos).ok());
        nanos.filter(|n| *n > 0).map_or_else(
            || {
                warn!(
                    duration = text,
                    default_seconds = default,
                    "Leader election duration is unusable, the default is taken"
                );
                Duration::from_secs(default)
            },
            Duration::from_nanos,
        )
    };
    LeaseConfig {
        lease_duration: duration(&election.lease_duration, 15),
        renew_deadline: duration(&election.renew_deadline, 10),
        retry_period: duration(&election.retry_period, 2),
        ..LeaseConfig::new(&election.resource_namespace, &election.resource_name)
    }
}

fn assemble(
    flags: &Flags,
    config: &KubeSchedulerConfiguration,
    client: kube::Client,
    listers: &Arc<InformerListers>,
) -> Result<Arc<Scheduler>, RunError> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let actions = Arc::new(ApiActions::new(client, host.trim(), listers.pods.clone()));
    let shared: Arc<dyn Actions> = Arc::clone(&actions) as _;
    let cached: Arc<dyn Listers> = Arc::clone(listers) as _;
    let handle = Handle { listers: Arc::clone(&cached), actions: Some(Arc::clone(&shared)) };
    let profiles = Arc::new(build_profiles(config, &handle).map_err(RunError::Profiles)?);
    let seconds = |n: i64| Duration::from_secs(u64::try_from(n).unwrap_or(1));
    let times = QueueTimes {
        initial_backoff: seconds(config.pod_initial_backoff_seconds),
        max_backoff: seconds(config.pod_max_backoff_seconds),
        max_unschedulable: flags.duration("pod-max-in-unschedulable-pods-duration"),
    };
    let queue = SchedulingQueue::new(Arc::clone(&profiles), times);
    let scheduler = Arc::new(Scheduler::new(profiles, queue, shared, cached, config.percentage_of_nodes_to_score));
    let retry = Arc::downgrade(&scheduler);
    actions.on_failed_preemption(Box::new(move |key| {
        if let Some(scheduler) = retry.upgrade() {
            scheduler.force(key);
        }
    }));
    Ok(scheduler)
}

fn subscribe(scheduler: &Arc<Scheduler>, listers: &InformerListers) {
    events::subscribe(scheduler, &listers.nodes, &listers.pods);
    events::subscribe_other(scheduler, &listers.claims, EventResource::PersistentVolumeClaim);
    events::subscribe_other(scheduler, &listers.volumes, EventResource::PersistentVolume);
    events::subscribe_other(scheduler, &listers.classes, EventResource::StorageClass);
    events::subscribe_other(scheduler, &listers.csi_nodes, EventResource::CsiNode);
}
