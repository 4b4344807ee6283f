//! What runs for one pod, read from the runtime in one pass: the `observed` half of every plan.
//!
//! Everything that must survive a restart of the kubelet is read back from here; no other memory is needed to go on.
//!
//! upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go: GetPodStatus, kuberuntime_container.go: toKubeContainerStatus

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use jiff::Timestamp;

use super::labels::{self, ContainerNotes};
use super::types::{
    ContainerState, ContainerStatus, LinuxContainerResources, NamespaceMode, PodSandboxState, PodSandboxStatus,
};
use super::{Runtime, RuntimeResult};

/// Longest termination message that is read from a file, in bytes.
const MESSAGE_BYTES_MAX: u64 = 4 * 1024;
/// Longest termination message that is taken from the log, in bytes.
const LOG_MESSAGE_BYTES_MAX: u64 = 2 * 1024;
/// Most lines of the log that become a termination message.
const LOG_MESSAGE_LINES_MAX: usize = 80;

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerPhase {
    /// Made, never started.
    Created,
    /// Its process runs.
    Running,
    /// Its process ended.
    Exited,
    /// The runtime cannot tell.
    Unknown,
}

impl std::fmt::Display for ContainerPhase {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Unknown => "unknown",
        })
    }
}

/// The user that a container's first process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinuxUser {
    /// User id.
    pub uid: i64,
    /// Group id.
    pub gid: i64,
    /// Further groups.
    pub groups: Vec<i64>,
}

/// What a container really has, as far as the runtime tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourcesObserved {
    /// Thousandths of a CPU.
    pub cpu_request: Option<i64>,
    /// Thousandths of a CPU.
    pub cpu_limit: Option<i64>,
    /// Bytes.
    pub memory_limit: Option<i64>,
}

/// One container as the runtime has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerObserved {
    /// Id at the runtime, without its scheme.
    pub id: String,
    /// Name in the pod.
    pub name: String,
    /// Image name as the runtime tells it.
    pub image: String,
    /// Image id.
    pub image_id: String,
    /// State of the process.
    pub phase: ContainerPhase,
    /// When the container was made.
    pub created_at: Timestamp,
    /// When its process started; the epoch when it never did.
    pub started_at: Timestamp,
    /// When its process ended; the epoch when it did not.
    pub finished_at: Timestamp,
    /// Exit code, 0 while it runs.
    pub exit_code: i32,
    /// The runtime's reason, such as `Completed`, `Error` or `OOMKilled`.
    pub reason: String,
    /// The runtime's message and the termination message.
    pub message: String,
    /// What the kubelet noted when it made the container.
    pub notes: ContainerNotes,
    /// The user of the first process, where the runtime tells it.
    pub user: Option<LinuxUser>,
    /// What it has of processor and memory, where the runtime tells it.
    pub resources: Option<ResourcesObserved>,
    /// Path of the log file on the node.
    pub log_path: String,
    /// Sandbox that the container is in.
    pub sandbox_id: String,
}

/// One sandbox as the runtime has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxObserved {
    /// Id at the runtime.
    pub id: String,
    /// Which try this sandbox is, from 0.
    pub attempt: u32,
    /// Whether it runs.
    pub ready: bool,
    /// When it was made, in nanoseconds.
    pub created_at_ns: i64,
    /// Its addresses, the primary one first.
    pub ips: Vec<String>,
    /// Whether it lives in the node's network namespace.
    pub host_network: bool,
    /// Whether the runtime told anything about the network.
    pub has_network_status: bool,
}

/// All sandboxes and containers of one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedPod {
    /// UID of the pod.
    pub uid: String,
    /// Name of the pod.
    pub name: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Sandboxes, the newest first.
    pub sandboxes: Vec<SandboxObserved>,
    /// Containers, the newest first.
    pub containers: Vec<ContainerObserved>,
}

impl ObservedPod {
    /// The newest container of that name.
    pub fn container(&self, name: &str) -> Option<&ContainerObserved> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// Containers whose process may run.
    pub fn alive(&self) -> impl Iterator<Item = &ContainerObserved> {
        self.containers
            .iter()
            .filter(|container| matches!(container.phase, ContainerPhase::Running | ContainerPhase::Unknown))
    }

    /// Addresses of the newest sandbox, if it runs.
    pub fn ips(&self) -> &[String] {
        self.sandboxes.first().filter(|sandbox| sandbox.ready).map(|sandbox| sandbox.ips.as_slice()).unwrap_or_default()
    }

    /// True while something of the pod may still run.
    pub fn is_running(&self) -> bool {
        self.alive().next().is_some() || self.sandboxes.iter().any(|sandbox| sandbox.ready)
    }
}

/// Reads everything that the runtime has for the pod `uid`.
///
/// # Errors
/// A call failed. Objects that vanish between two calls are not errors.
pub async fn observe(runtime: &dyn Runtime, uid: &str) -> RuntimeResult<ObservedPod> {
    let mut pod = ObservedPod { uid: uid.to_owned(), ..ObservedPod::default() };
    for sandbox in runtime.list_sandboxes(Some(uid)).await? {
        match runtime.sandbox_status(&sandbox.id).await {
            Ok(status) => {
                if let Some(meta) = &status.metadata {
                    pod.name.clone_from(&meta.name);
                    pod.namespace.clone_from(&meta.namespace);
                }
                pod.sandboxes.push(sandbox_observed(&status));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    for container in runtime.list_containers(Some(uid)).await? {
        match runtime.container_status(&container.id).await {
            Ok(status) => pod.containers.push(container_observed(&status, &container.pod_sandbox_id)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    pod.sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at_ns));
    pod.containers.sort_by_key(|container| std::cmp::Reverse(container.created_at));
    Ok(pod)
}

fn sandbox_observed(status: &PodSandboxStatus) -> SandboxObserved {
    let network = status.network.as_ref();
    let mut ips: Vec<String> =
        network.map(|network| network.ip.clone()).into_iter().filter(|ip| !ip.is_empty()).collect();
    if let Some(network) = network {
        ips.extend(network.additional_ips.iter().map(|more| more.ip.clone()));
    }
    let options = status.linux.as_ref().and_then(|linux| linux.namespaces.as_ref()).and_then(|n| n.options.as_ref());
    SandboxObserved {
        id: status.id.clone(),
        attempt: status.metadata.as_ref().map_or(0, |meta| meta.attempt),
        ready: status.state() == PodSandboxState::SandboxReady,
        created_at_ns: status.created_at,
        ips,
        host_network: options.is_some_and(|options| options.network() == NamespaceMode::Node),
        has_network_status: network.is_some(),
    }
}

fn container_observed(status: &ContainerStatus, sandbox_id: &str) -> ContainerObserved {
    let notes = ContainerNotes::read(&status.annotations);
    let phase = match status.state() {
        ContainerState::ContainerCreated => ContainerPhase::Created,
        ContainerState::ContainerRunning => ContainerPhase::Running,
        ContainerState::ContainerExited => ContainerPhase::Exited,
        ContainerState::ContainerUnknown => ContainerPhase::Unknown,
    };
    let exited = phase == ContainerPhase::Exited;
    let image_id = if status.image_id.is_empty() { &status.image_ref } else { &status.image_id };
    ContainerObserved {
        id: status.id.clone(),
        name: status.labels.get(labels::CONTAINER_NAME).cloned().unwrap_or_default(),
        image: status.image.as_ref().map(|image| image.image.clone()).unwrap_or_default(),
        image_id: image_id.clone(),
        phase,
        created_at: instant(status.created_at),
        started_at: instant(if phase == ContainerPhase::Created { 0 } else { status.started_at }),
        finished_at: instant(if exited { status.finished_at } else { 0 }),
        exit_code: if exited { status.exit_code } else { 0 },
        reason: if exited { status.reason.clone() } else { String::new() },
        message: if exited { exit_message(status, &notes) } else { String::new() },
        notes,
        user: status.user.as_ref().and_then(|user| user.linux.as_ref()).map(|user| LinuxUser {
            uid: user.uid,
            gid: user.gid,
            groups: user.supplemental_groups.clone(),
        }),
        resources: status.resources.as_ref().and_then(|all| all.linux.as_ref()).and_then(resources_observed),
        log_path: status.log_path.clone(),
        sandbox_id: sandbox_id.to_owned(),
    }
}

/// upstream: pkg/kubelet/kuberuntime/kuberuntime_container_linux.go: toKubeContainerResources
fn resources_observed(from: &LinuxContainerResources) -> Option<ResourcesObserved> {
    let positive = |amount: i64| Some(amount).filter(|amount| *amount > 0);
    let quota = (from.cpu_period > 0 && from.cpu_quota > 0).then(|| from.cpu_quota * 1000 / from.cpu_period);
    let out = ResourcesObserved {
        cpu_request: positive(from.cpu_shares)
            .filter(|shares| *shares >= 2)
            .map(|shares| (shares * 1000 + 1023) / 1024),
        cpu_limit: quota.and_then(positive),
        memory_limit: positive(from.memory_limit_in_bytes),
    };
    (out != ResourcesObserved::default()).then_some(out)
}

fn instant(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The runtime's message followed by what the application left in its termination message file or in its log.
fn exit_message(status: &ContainerStatus, notes: &ContainerNotes) -> String {
    let falls_back = notes.termination_message_policy == "FallbackToLogsOnError"
        && status.exit_code != 0
        && status.reason != "ContainerCannotRun";
    let mut written = termination_file(status, notes);
    if written.is_empty() && falls_back {
        written = crate::logs::last_lines(Path::new(&status.log_path), LOG_MESSAGE_LINES_MAX, LOG_MESSAGE_BYTES_MAX);
    }
    match (status.message.is_empty(), written.is_empty()) {
        (_, true) => status.message.clone(),
        (true, false) => written,
        (false, false) => format!("{}: {written}", status.message),
    }
}

fn termination_file(status: &ContainerStatus, notes: &ContainerNotes) -> String {
    if notes.termination_message_path.is_empty() {
        return String::new();
    }
    let Some(mount) = status.mounts.iter().find(|mount| mount.container_path == notes.termination_message_path) else {
        return String::new();
    };
    match read_tail(Path::new(&mount.host_path), MESSAGE_BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => format!("Error on reading termination log {}: {error}", mount.host_path),
    }
}

fn read_tail(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    if length > bytes_max {
        file.seek(SeekFrom::Start(length - bytes_max))?;
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
