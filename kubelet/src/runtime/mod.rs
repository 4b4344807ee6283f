//! The seam to the container runtime: what the rest of the kubelet may ask of it.
//!
//! This folder is the only place that names the `cri-api` crate. Nothing here decides what should run; it only carries
//! requests out and describes what is there.
//!
//! upstream: pkg/kubelet/kuberuntime, staging/src/k8s.io/cri-client

mod abilities;
mod cri;
pub mod labels;
mod observed;
pub mod relist;

use std::time::Duration;

use async_trait::async_trait;
/// The messages that sandbox and container configurations are made of.
pub use cri_api::v1 as types;

pub use abilities::Abilities;
pub use cri::CriRuntime;
#[cfg(test)]
pub use observed::SandboxObserved;
pub use observed::{ContainerObserved, ContainerPhase, ObservedPod, ResourcesObserved, observe};
use types::{
    AuthConfig, Container, ContainerConfig, ContainerStats, ContainerStatus, FilesystemUsage, Image, ImageSpec,
    LinuxContainerResources, PodSandbox, PodSandboxConfig, PodSandboxStats, PodSandboxStatus, RuntimeStatus,
    VersionResponse,
};

/// A failed call to the runtime.
#[derive(Clone, Debug, thiserror::Error)]
#[error("rpc error: code = {code} desc = {message}")]
pub struct RuntimeError {
    /// What kind of failure it is; code branches on this and never on the message.
    pub code: RuntimeCode,
    /// The runtime's own words.
    pub message: String,
}

impl RuntimeError {
    /// True when the sandbox, container or image does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code == RuntimeCode::NotFound
    }
}

/// The gRPC codes that the kubelet tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeCode {
    /// The object does not exist.
    NotFound,
    /// The call took longer than its limit.
    DeadlineExceeded,
    /// Nobody answers on the socket.
    Unavailable,
    /// The runtime does not know this call.
    Unimplemented,
    /// Everything else.
    Unknown,
}

impl std::fmt::Display for RuntimeCode {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::NotFound => "NotFound",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::Unavailable => "Unavailable",
            Self::Unimplemented => "Unimplemented",
            Self::Unknown => "Unknown",
        })
    }
}

/// What a command in a container printed, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit code of the command.
    pub exit_code: i32,
}

/// A streaming session that the runtime shall prepare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRequest {
    /// Container id.
    pub container_id: String,
    /// The command; empty for attach.
    pub command: Vec<String>,
    /// Allocate a terminal.
    pub tty: bool,
    /// Stream standard input.
    pub stdin: bool,
    /// Stream standard output.
    pub stdout: bool,
    /// Stream standard error.
    pub stderr: bool,
}

/// Result of a runtime call.
pub type RuntimeResult<T> = Result<T, RuntimeError>;

/// Everything that the kubelet asks of a container runtime. One implementation speaks CRI; tests have their own.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Name and versions of the runtime.
    async fn version(&self) -> RuntimeResult<VersionResponse>;
    /// Readiness of the runtime and of its network.
    async fn status(&self) -> RuntimeResult<(RuntimeStatus, Abilities)>;
    /// Tells the runtime the pod CIDR of this node.
    async fn update_pod_cidr(&self, cidr: &str) -> RuntimeResult<()>;
    /// The cgroup driver of the runtime: true for systemd, `None` when the runtime cannot tell.
    async fn systemd_cgroups(&self) -> RuntimeResult<Option<bool>>;

    /// Creates and starts a sandbox; answers its id.
    async fn run_sandbox(&self, config: PodSandboxConfig, handler: &str) -> RuntimeResult<String>;
    /// Stops every process of a sandbox and takes its network down. Idempotent.
    async fn stop_sandbox(&self, id: &str) -> RuntimeResult<()>;
    /// Removes a sandbox and its containers. Idempotent.
    async fn remove_sandbox(&self, id: &str) -> RuntimeResult<()>;
    /// One sandbox in detail.
    async fn sandbox_status(&self, id: &str) -> RuntimeResult<PodSandboxStatus>;
    /// All sandboxes, or those of one pod.
    async fn list_sandboxes(&self, pod_uid: Option<&str>) -> RuntimeResult<Vec<PodSandbox>>;

    /// Creates a container in a sandbox; answers its id.
    async fn create_container(
        &self,
        sandbox_id: &str,
        config: ContainerConfig,
        sandbox: PodSandboxConfig,
    ) -> RuntimeResult<String>;
    /// Starts a created container.
    async fn start_container(&self, id: &str) -> RuntimeResult<()>;
    /// Stops a container: SIGTERM (or its stop signal), then SIGKILL after `grace`. Idempotent.
    async fn stop_container(&self, id: &str, grace: Duration) -> RuntimeResult<()>;
    /// Removes a container. Idempotent.
    async fn remove_container(&self, id: &str) -> RuntimeResult<()>;
    /// All containers, or those of one pod.
    async fn list_containers(&self, pod_uid: Option<&str>) -> RuntimeResult<Vec<Container>>;
    /// One container in detail.
    async fn container_status(&self, id: &str) -> RuntimeResult<ContainerStatus>;
    /// Gives a running container other resources.
    async fn update_container_resources(&self, id: &str, resources: LinuxContainerResources) -> RuntimeResult<()>;
    /// Tells the runtime what the pod as a whole has now.
    async fn update_sandbox_resources(&self, id: &str, resources: LinuxContainerResources) -> RuntimeResult<()>;
    /// Makes the runtime write to a fresh log file after a rotation.
    async fn reopen_log(&self, id: &str) -> RuntimeResult<()>;

    /// Runs a command and waits for it; `timeout` of zero means without a limit.
    async fn exec_sync(&self, id: &str, command: Vec<String>, timeout: Duration) -> RuntimeResult<ExecOutput>;
    /// Prepares an exec session; answers the URL to connect to.
    async fn exec(&self, request: StreamRequest) -> RuntimeResult<String>;
    /// Prepares an attach session; answers the URL to connect to.
    async fn attach(&self, request: StreamRequest) -> RuntimeResult<String>;
    /// Prepares a port forward session; answers the URL to connect to.
    async fn port_forward(&self, sandbox_id: &str, ports: Vec<i32>) -> RuntimeResult<String>;

    /// Usage of all containers.
    async fn list_container_stats(&self) -> RuntimeResult<Vec<ContainerStats>>;
    /// Usage of all sandboxes.
    async fn list_sandbox_stats(&self) -> RuntimeResult<Vec<PodSandboxStats>>;

    /// Name of the image that sandboxes are made of, where the runtime tells it.
    async fn sandbox_image(&self) -> Option<String>;
    /// All images.
    async fn list_images(&self) -> RuntimeResult<Vec<Image>>;
    /// One image, `None` when it is not on the node.
    async fn image_status(&self, image: ImageSpec) -> RuntimeResult<Option<Image>>;
    /// Pulls an image; answers its reference.
    async fn pull_image(
        &self,
        image: ImageSpec,
        auth: Option<AuthConfig>,
        sandbox: PodSandboxConfig,
    ) -> RuntimeResult<String>;
    /// Removes an image. Idempotent.
    async fn remove_image(&self, image: ImageSpec) -> RuntimeResult<()>;
    /// Usage of the file systems that hold images.
    async fn image_filesystems(&self) -> RuntimeResult<Vec<FilesystemUsage>>;
}
