//! `hack bench`: what a cluster costs, measured in one run on one machine, for our binaries and, with `--baseline`, for
//! others (upstream's) under the same flags.
//!
//! It starts every process itself, on the loopback of the network namespace that hack/bench.sh makes, and stops them by
//! process id. Nothing here asserts: performance is reported, tests check behaviour.

mod cluster;
mod load;
mod memory;
mod report;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;

use cluster::{Cluster, Component};
use load::Connections;
use report::Report;

/// Options of `hack bench`.
#[derive(clap::Args)]
pub struct Options {
    /// The folder with the six binaries.
    #[arg(long, default_value = "target/release")]
    binaries: PathBuf,
    /// A folder with other binaries of the same names; the same is measured for them, and the ratios are printed.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// How many pods are created.
    #[arg(long, default_value_t = 10_000)]
    pods: usize,
    /// How many small objects (ConfigMaps) are created in the scale part; 0 leaves it out.
    #[arg(long, default_value_t = 0)]
    config_maps: usize,
    /// How many watchers of pods are opened in the scale part; 0 leaves it out.
    #[arg(long, default_value_t = 0)]
    watchers: usize,
    /// Leaves out what needs a container runtime (kubelet and kube-proxy).
    #[arg(long)]
    control_plane_only: bool,
    /// The repository, for its scripts.
    #[arg(long, default_value = ".")]
    root: PathBuf,
}

/// Runs the benchmark and prints the report.
///
/// # Errors
/// When a daemon does not come up or an answer is not what was asked for.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let ours = measure(options, &options.binaries).await.context("our binaries")?;
    let baseline = match &options.baseline {
        Some(folder) => Some(measure(options, folder).await.context("the baseline's binaries")?),
        None => None,
    };
    print!("{}", ours.render(baseline.as_ref()));
    Ok(())
}

async fn measure(options: &Options, binaries: &Path) -> anyhow::Result<Report> {
    let mut report = Report::default();
    sizes(binaries, &mut report);
    let mut cluster = Cluster::prepare(binaries, &options.root)?;
    start_up(&mut cluster, options, &mut report).await?;
    idle(&cluster, &mut report).await;
    pods(&cluster, options, &mut report).await?;
    if options.config_maps > 0 {
        small_objects(&cluster, options.config_maps, &mut report).await?;
    }
    if options.watchers > 0 {
        watchers(&cluster, options.watchers, &mut report).await?;
    }
    Ok(report)
}

/// A folder that lacks a binary (a baseline without kube-proxy, say) has no sum to compare.
fn sizes(binaries: &Path, report: &mut Report) {
    let names = Component::OURS.map(Component::name).into_iter().chain(["kubectl"]);
    let sizes: Option<Vec<f64>> =
        names.map(|name| std::fs::metadata(binaries.join(name)).ok().map(|m| megabytes(m.len()))).collect();
    match sizes {
        Some(sizes) => report.add("six binaries", sizes.iter().sum(), "MB"),
        None => eprintln!("  six binaries: not all are in {}", binaries.display()),
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

async fn start_up(cluster: &mut Cluster, options: &Options, report: &mut Report) -> anyhow::Result<()> {
    cluster.start(Component::Etcd)?;
    cluster.etcd_is_up().await?;
    let begin = Instant::now();
    cluster.start(Component::Apiserver)?;
    cluster.is_ready().await?;
    report.add("etcd up to readyz", begin.elapsed().as_secs_f64(), "s");
    cluster.start(Component::ControllerManager)?;
    cluster.start(Component::Scheduler)?;
    if options.control_plane_only {
        return Ok(());
    }
    cluster.start_runtime().await?;
    cluster.start(Component::Kubelet)?;
    cluster.node_is_ready().await?;
    report.add("etcd up to node Ready", begin.elapsed().as_secs_f64(), "s");
    cluster.start(Component::Proxy)?;
    let begin = Instant::now();
    cluster.create_deployment(3).await?;
    cluster.first_pod_is_bound().await?;
    report.add("Deployment to first pod bound", begin.elapsed().as_secs_f64(), "s");
    cluster.pods_are_ready(3).await?;
    report.add("Deployment to 3 pods Ready", begin.elapsed().as_secs_f64(), "s");
    Ok(())
}

/// Memory once nothing happens any more.
async fn idle(cluster: &Cluster, report: &mut Report) {
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    let mut control_plane = 0.0;
    for component in Component::OURS {
        let Some(pid) = cluster.pid(component) else { continue };
        let resident = memory::resident_mib(pid);
        if matches!(component, Component::Apiserver | Component::ControllerManager | Component::Scheduler) {
            control_plane += resident;
        }
        report.add(&format!("{} idle", component.name()), resident, "MiB");
    }
    report.add("control plane idle", control_plane, "MiB");
}

/// Measures the wall time and the API server's processor time of one thing.
struct Meter {
    pid: u32,
    begin: Instant,
    cpu: f64,
}

impl Meter {
    fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let pid = cluster.pid(Component::Apiserver).context("the API server runs")?;
        Ok(Self { pid, begin: Instant::now(), cpu: memory::cpu_seconds(pid) })
    }

    fn report(&self, name: &str, report: &mut Report) {
        report.add(name, self.begin.elapsed().as_secs_f64(), "s");
        report.add(&format!("{name}: processor time"), memory::cpu_seconds(self.pid) - self.cpu, "s");
    }
}

async fn pods(cluster: &Cluster, options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let connections = Connections::open(cluster, 8).await?;
    let meter = Meter::start(cluster)?;
    connections.create_pods(options.pods).await?;
    report.add("creates with 8 connections", options.pods as f64 / meter.begin.elapsed().as_secs_f64(), "1/s");
    meter.report(&format!("creating {} pods", options.pods), report);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    for component in Component::OURS {
        let Some(pid) = cluster.pid(component) else { continue };
        report.add(&format!("{} with {} pods", component.name(), options.pods), memory::resident_mib(pid), "MiB");
    }
    lists(cluster, &connections, report).await?;
    let meter = Meter::start(cluster)?;
    let pages = connections.list_pages("/api/v1/pods", 500).await?;
    meter.report(&format!("LIST in {pages} pages of 500"), report);
    for (selector, label) in [
        ("labelSelector=group%3Dg7", "a label selector (1 %)"),
        ("labelSelector=app%20in%20(bench),group%20notin%20(g7)", "a set selector (99 %)"),
        ("fieldSelector=spec.nodeName%3Dnone", "a field selector (none)"),
    ] {
        let meter = Meter::start(cluster)?;
        connections.list(&format!("/api/v1/pods?{selector}"), "application/json", 1).await?;
        meter.report(&format!("LIST with {label}"), report);
    }
    let meter = Meter::start(cluster)?;
    connections.delete_collection("/api/v1/namespaces/bench/pods?gracePeriodSeconds=0").await?;
    meter.report("deletecollection of all pods", report);
    Ok(())
}

/// Whole lists, one and eight at a time.
async fn lists(cluster: &Cluster, connections: &Connections, report: &mut Report) -> anyhow::Result<()> {
    let apiserver = cluster.pid(Component::Apiserver).context("the API server runs")?;
    for (media, label) in [("application/json", "JSON"), ("application/vnd.kubernetes.protobuf", "protobuf")] {
        for parallel in [1, 8] {
            let before = memory::resident_mib(apiserver);
            let peak = memory::Peak::sample(apiserver);
            let meter = Meter::start(cluster)?;
            let bytes = connections.list("/api/v1/pods", media, parallel).await?;
            let name = format!("{parallel} × LIST of pods, {label}");
            meter.report(&name, report);
            report.add(&format!("{name}: added memory"), (peak.stop().await - before).max(0.0), "MiB");
            report.add(&format!("{name}: answer"), megabytes(bytes / parallel as u64), "MB");
        }
    }
    Ok(())
}

async fn small_objects(cluster: &Cluster, count: usize, report: &mut Report) -> anyhow::Result<()> {
    let connections = Connections::open(cluster, 8).await?;
    let meter = Meter::start(cluster)?;
    connections.create_config_maps(count).await?;
    report.add("creates of ConfigMaps", count as f64 / meter.begin.elapsed().as_secs_f64(), "1/s");
    meter.report(&format!("creating {count} ConfigMaps"), report);
    report.add(&format!("kube-apiserver with {count} ConfigMaps"), memory::resident_mib(meter.pid), "MiB");
    let peak = memory::Peak::sample(meter.pid);
    let meter = Meter::start(cluster)?;
    connections.list("/api/v1/configmaps", "application/json", 1).await?;
    meter.report(&format!("LIST of {count} ConfigMaps"), report);
    report.add(&format!("LIST of {count} ConfigMaps: peak memory"), peak.stop().await, "MiB");
    let meter = Meter::start(cluster)?;
    connections.list_pages("/api/v1/configmaps", 500).await?;
    meter.report(&format!("LIST of {count} ConfigMaps in pages of 500"), report);
    Ok(())
}

/// Many watchers of pods while 500 updates a second happen.
async fn watchers(cluster: &Cluster, count: usize, report: &mut Report) -> anyhow::Result<()> {
    const RATE: usize = 500;
    const SECONDS: usize = 5;
    let connections = Connections::open(cluster, 8).await?;
    let apiserver = cluster.pid(Component::Apiserver).context("the API server runs")?;
    let before = memory::resident_mib(apiserver);
    let meter = Meter::start(cluster)?;
    let watchers = connections.open_watchers(cluster, count, RATE * SECONDS).await?;
    meter.report(&format!("opening {count} watchers"), report);
    let meter = Meter::start(cluster)?;
    let delivery = connections.deliver(watchers, RATE, RATE * SECONDS).await?;
    let spent = memory::cpu_seconds(apiserver) - meter.cpu;
    report.add(&format!("{count} watchers: added memory"), (memory::resident_mib(apiserver) - before).max(0.0), "MiB");
    report.add(&format!("{count} watchers: events delivered"), delivery.events as f64, "");
    report.add(&format!("{count} watchers: delivery p50"), delivery.p50_ms, "ms");
    report.add(&format!("{count} watchers: delivery p99"), delivery.p99_ms, "ms");
    report.add(
        &format!("{count} watchers: processor time per event"),
        spent / delivery.events.max(1) as f64 * 1e6,
        "µs",
    );
    Ok(())
}
