//! Building the parts of a kubelet and running them to the end.
//!
//! upstream: cmd/kubelet/app/server.go

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use component_base::{Chain, Flags, Shutdown, task};
use jiff::SignedDuration;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::collect::Collector;
use crate::events::Events;
use crate::images::Images;
use crate::objects::Objects;
use crate::options::{FLAGS, Options};
use crate::paths::Paths;
use crate::pod::backoff::Backoff;
use crate::pod::cgroup::PodCgroups;
use crate::pod::dns::DnsSettings;
use crate::pod::machinery::{Machinery, NodeState, PodSettings};
use crate::pod::resources::CpuSettings;
use crate::pod::security::SecuritySettings;
use crate::pod::workers::Workers;
use crate::probes::Probes;
use crate::runtime::{CriRuntime, Runtime};
use crate::sources::SourceName;
use crate::sources::file::FileSource;
use crate::sources::mirror::Mirror;
use crate::status::Statuses;
use crate::sync_loop::{RelistHealth, SyncLoop};
use crate::sys::{CgroupDriver, CgroupVersion, Kernel, Linux, Machine};
use crate::volumes::{Tokens, Volumes};

/// Threads of the kubelet: its work is waiting for others.
const WORKER_THREADS: usize = 2;

/// Reads the command line and runs until a signal.
pub fn main() -> ExitCode {
    let flags = Flags::from_env("kubelet", FLAGS);
    if let Err(error) = component_base::logs::init(&flags) {
        eprintln!("Error: {error}");
        return ExitCode::FAILURE;
    }
    component_base::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(flags)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %Chain(&*error), "command failed");
            ExitCode::FAILURE
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn run(flags: Flags) -> Result<(), BoxError> {
    let options = Options::load(flags)?;
    let stop = Shutdown::on_signals()?;
    let node = options.node_name();
    tracing::info!(node, version = component_base::version::GIT_VERSION, "starting kubelet");
    for field in options.config.without_effect() {
        tracing::warn!(field, "field of the configuration is accepted but has no effect in this build");
    }
    let runtime = connect_runtime(&options).await?;
    let kernel = prepare_kernel(&options, runtime.as_ref()).await?;
    let events = Events::new(None, &node);
    let parts = Parts { options: &options, node: &node, runtime, kernel, client: None, events };
    let workers = Workers::new(Arc::new(parts.machinery().await?));
    wire(&workers);
    let (sender, sets) = mpsc::channel(16);
    let sources = start_sources(&options, &node, &sender);
    let health = Arc::new(RelistHealth::default());
    let collector = Collector::new(Arc::clone(workers.machinery()));
    watch_network(&workers);
    SyncLoop::new(workers, sources, health, collector).run(sets, stop).await;
    Ok(())
}

/// Waits until the runtime answers.
async fn connect_runtime(options: &Options) -> Result<Arc<dyn Runtime>, BoxError> {
    let config = &options.config;
    let runtime = CriRuntime::new(
        &config.container_runtime_endpoint,
        &config.image_service_endpoint,
        config.runtime_request_timeout.0,
    )?;
    let mut waited = Duration::ZERO;
    loop {
        match runtime.version().await {
            Ok(version) => {
                tracing::info!(
                    runtime = version.runtime_name,
                    version = version.runtime_version,
                    api = version.runtime_api_version,
                    "container runtime is there"
                );
                return Ok(Arc::new(runtime));
            }
            Err(error) if waited < Duration::from_secs(60) => {
                tracing::warn!(endpoint = config.container_runtime_endpoint, %error, "container runtime does not answer yet");
                tokio::time::sleep(Duration::from_secs(2)).await;
                waited += Duration::from_secs(2);
            }
            Err(error) => return Err(format!("validate service connection: {error}").into()),
        }
    }
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
        if config.fail_cgroup_v1 {
            return Err(
                "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is unsupported \
                        and will be removed in a future release"
                    .into(),
            );
        }
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
        let crash_max = config.crash_loop_back_off.max_container_restart_period.signed();
        Ok(Machinery {
            runtime_name: self.runtime.version().await?.runtime_name,
            volumes: Volumes::new(paths.clone(), Arc::clone(&kernel), Arc::clone(&objects), tokens),
            images: Images::new(Arc::clone(&runtime), events.clone(), config.parallel_pulls()),
            probes: Probes::new(Arc::clone(&runtime), Arc::clone(&statuses), events.clone()),
            mirror: Mirror::new(self.client.clone(), self.node),
            cgroups: PodCgroups::new(&config.cgroup_root, config.cgroups_per_qos),
            crash_loops: Mutex::new(Backoff::new(SignedDuration::from_secs(10).min(crash_max), crash_max)),
            node: NodeState::default(),
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

/// Pods without a network of their own wait until the runtime says that it has one.
fn watch_network(workers: &Workers) {
    let workers = workers.clone();
    task::spawn("runtime-state", async move {
        let cx = Arc::clone(workers.machinery());
        loop {
            let error = match cx.runtime.status().await {
                Ok(status) => network_error(&status.conditions),
                Err(error) => error.to_string(),
            };
            let before = std::mem::replace(&mut *cx.node.network_error.lock(), error.clone());
            if !before.is_empty() && error.is_empty() {
                workers.wake_all();
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
}

fn network_error(conditions: &[crate::runtime::types::RuntimeCondition]) -> String {
    match conditions.iter().find(|condition| condition.r#type == "NetworkReady") {
        Some(condition) if !condition.status => format!(
            "container runtime network not ready: NetworkReady=false reason:{} message:{}",
            condition.reason, condition.message
        ),
        _ => String::new(),
    }
}
