//! [`Runtime`] over the CRI socket. Every call has a limit, so a runtime that hangs cannot hang the kubelet.
//!
//! upstream: staging/src/k8s.io/cri-client/pkg/remote_runtime.go, remote_image.go

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use cri_api::{ChannelError, Clients, Code, Status, connect};

use super::labels;
use super::types::*;
use super::{Abilities, ExecOutput, Runtime, RuntimeCode, RuntimeError, RuntimeResult, StreamRequest};

/// Pulling may legitimately take long; this only bounds a pull that makes no end at all.
const PULL_TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

/// The runtime behind one or two CRI sockets.
#[derive(Clone, Debug)]
pub struct CriRuntime {
    clients: Clients,
    timeout: Duration,
}

impl CriRuntime {
    /// Prepares the clients. `image_endpoint` defaults to the runtime's.
    ///
    /// # Errors
    /// An endpoint is malformed.
    pub fn new(endpoint: &str, image_endpoint: &str, timeout: Duration) -> Result<Self, ChannelError> {
        let mut clients = connect(endpoint)?;
        if !image_endpoint.is_empty() && image_endpoint != endpoint {
            clients.image = connect(image_endpoint)?.image;
        }
        Ok(Self { clients, timeout })
    }

    /// Runs one call with the default limit.
    async fn call<T>(&self, call: impl Future<Output = Result<tonic::Response<T>, Status>> + Send) -> RuntimeResult<T> {
        limited(self.timeout, call).await
    }
}

async fn limited<T>(
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>> + Send,
) -> RuntimeResult<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(error_of(&status)),
        Err(_elapsed) => {
            Err(RuntimeError { code: RuntimeCode::DeadlineExceeded, message: "context deadline exceeded".to_owned() })
        }
    }
}

fn error_of(status: &Status) -> RuntimeError {
    let code = match status.code() {
        Code::NotFound => RuntimeCode::NotFound,
        Code::DeadlineExceeded | Code::Cancelled => RuntimeCode::DeadlineExceeded,
        Code::Unavailable => RuntimeCode::Unavailable,
        Code::Unimplemented => RuntimeCode::Unimplemented,
        _ => RuntimeCode::Unknown,
    };
    RuntimeError { code, message: status.message().to_owned() }
}

fn absent(what: &str) -> RuntimeError {
    RuntimeError { code: RuntimeCode::Unknown, message: format!("the runtime's answer has no {what}") }
}

fn ignore_not_found<T>(result: RuntimeResult<T>) -> RuntimeResult<()> {
    match result {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn uid_selector(pod_uid: Option<&str>) -> BTreeMap<String, String> {
    pod_uid.map(|uid| (labels::POD_UID.to_owned(), uid.to_owned())).into_iter().collect()
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Runtime for CriRuntime {
    async fn version(&self) -> RuntimeResult<VersionResponse> {
        let request = VersionRequest { version: "0.1.0".to_owned() };
        self.call(self.clients.runtime.clone().version(request)).await
    }

    async fn status(&self) -> RuntimeResult<(RuntimeStatus, Abilities)> {
        let request = StatusRequest { verbose: false };
        let answer = self.call(self.clients.runtime.clone().status(request)).await?;
        let abilities = Abilities::of(&answer);
        Ok((answer.status.ok_or_else(|| absent("status"))?, abilities))
    }

    async fn update_pod_cidr(&self, cidr: &str) -> RuntimeResult<()> {
        let network_config = Some(NetworkConfig { pod_cidr: cidr.to_owned() });
        let request = UpdateRuntimeConfigRequest { runtime_config: Some(RuntimeConfig { network_config }) };
        self.call(self.clients.runtime.clone().update_runtime_config(request)).await.map(drop)
    }

    async fn systemd_cgroups(&self) -> RuntimeResult<Option<bool>> {
        match self.call(self.clients.runtime.clone().runtime_config(RuntimeConfigRequest {})).await {
            Ok(answer) => Ok(answer.linux.map(|linux| linux.cgroup_driver() == CgroupDriver::Systemd)),
            Err(error) if error.code == RuntimeCode::Unimplemented => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn run_sandbox(&self, config: PodSandboxConfig, handler: &str) -> RuntimeResult<String> {
        let request = RunPodSandboxRequest { config: Some(config), runtime_handler: handler.to_owned() };
        // Network set-up may be slow; upstream doubles the limit here.
        let answer = limited(self.timeout * 2, self.clients.runtime.clone().run_pod_sandbox(request)).await?;
        Ok(answer.pod_sandbox_id)
    }

    async fn stop_sandbox(&self, id: &str) -> RuntimeResult<()> {
        let request = StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        ignore_not_found(self.call(self.clients.runtime.clone().stop_pod_sandbox(request)).await)
    }

    async fn remove_sandbox(&self, id: &str) -> RuntimeResult<()> {
        let request = RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        ignore_not_found(self.call(self.clients.runtime.clone().remove_pod_sandbox(request)).await)
    }

    async fn sandbox_status(&self, id: &str) -> RuntimeResult<PodSandboxStatus> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        let answer = self.call(self.clients.runtime.clone().pod_sandbox_status(request)).await?;
        answer.status.ok_or_else(|| absent("sandbox status"))
    }

    async fn list_sandboxes(&self, pod_uid: Option<&str>) -> RuntimeResult<Vec<PodSandbox>> {
        let filter = PodSandboxFilter { label_selector: uid_selector(pod_uid), ..Default::default() };
        let request = ListPodSandboxRequest { filter: Some(filter) };
        Ok(self.call(self.clients.runtime.clone().list_pod_sandbox(request)).await?.items)
    }

    async fn create_container(
        &self,
        sandbox_id: &str,
        config: ContainerConfig,
        sandbox: PodSandboxConfig,
    ) -> RuntimeResult<String> {
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox),
        };
        Ok(self.call(self.clients.runtime.clone().create_container(request)).await?.container_id)
    }

    async fn start_container(&self, id: &str) -> RuntimeResult<()> {
        let request = StartContainerRequest { container_id: id.to_owned() };
        self.call(self.clients.runtime.clone().start_container(request)).await.map(drop)
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> RuntimeResult<()> {
        let request = StopContainerRequest { container_id: id.to_owned(), timeout: whole_seconds(grace) };
        ignore_not_found(limited(self.timeout + grace, self.clients.runtime.clone().stop_container(request)).await)
    }

    async fn remove_container(&self, id: &str) -> RuntimeResult<()> {
        let request = RemoveContainerRequest { container_id: id.to_owned() };
        ignore_not_found(self.call(self.clients.runtime.clone().remove_container(request)).await)
    }

    async fn list_containers(&self, pod_uid: Option<&str>) -> RuntimeResult<Vec<Container>> {
        let filter = ContainerFilter { label_selector: uid_selector(pod_uid), ..Default::default() };
        let request = ListContainersRequest { filter: Some(filter) };
        Ok(self.call(self.clients.runtime.clone().list_containers(request)).await?.containers)
    }

    async fn container_status(&self, id: &str) -> RuntimeResult<ContainerStatus> {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let answer = self.call(self.clients.runtime.clone().container_status(request)).await?;
        answer.status.ok_or_else(|| absent("container status"))
    }

    async fn update_container_resources(&self, id: &str, resources: LinuxContainerResources) -> RuntimeResult<()> {
        let request = UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(resources),
            annotations: BTreeMap::new(),
        };
        self.call(self.clients.runtime.clone().update_container_resources(request)).await.map(drop)
    }

    async fn update_sandbox_resources(&self, id: &str, resources: LinuxContainerResources) -> RuntimeResult<()> {
        let request = UpdatePodSandboxResourcesRequest {
            pod_sandbox_id: id.to_owned(),
            overhead: None,
            resources: Some(resources),
        };
        self.call(self.clients.runtime.clone().update_pod_sandbox_resources(request)).await.map(drop)
    }

    async fn reopen_log(&self, id: &str) -> RuntimeResult<()> {
        let request = ReopenContainerLogRequest { container_id: id.to_owned() };
        self.call(self.clients.runtime.clone().reopen_container_log(request)).await.map(drop)
    }

    async fn exec_sync(&self, id: &str, command: Vec<String>, timeout: Duration) -> RuntimeResult<ExecOutput> {
        let request = ExecSyncRequest { container_id: id.to_owned(), cmd: command, timeout: whole_seconds(timeout) };
        let mut client = self.clients.runtime.clone();
        let call = client.exec_sync(request);
        let answer = if timeout.is_zero() {
            // The command may run as long as it likes; the runtime ends the call when the container dies.
            call.await.map(tonic::Response::into_inner).map_err(|status| error_of(&status))?
        } else {
            limited(self.timeout + timeout, call).await?
        };
        Ok(ExecOutput { stdout: answer.stdout, stderr: answer.stderr, exit_code: answer.exit_code })
    }

    async fn exec(&self, request: StreamRequest) -> RuntimeResult<String> {
        let request = ExecRequest {
            container_id: request.container_id,
            cmd: request.command,
            tty: request.tty,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
        };
        Ok(self.call(self.clients.runtime.clone().exec(request)).await?.url)
    }

    async fn attach(&self, request: StreamRequest) -> RuntimeResult<String> {
        let request = AttachRequest {
            container_id: request.container_id,
            tty: request.tty,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
        };
        Ok(self.call(self.clients.runtime.clone().attach(request)).await?.url)
    }

    async fn port_forward(&self, sandbox_id: &str, ports: Vec<i32>) -> RuntimeResult<String> {
        let request = PortForwardRequest { pod_sandbox_id: sandbox_id.to_owned(), port: ports };
        Ok(self.call(self.clients.runtime.clone().port_forward(request)).await?.url)
    }

    async fn list_container_stats(&self) -> RuntimeResult<Vec<ContainerStats>> {
        let request = ListContainerStatsRequest { filter: None };
        Ok(self.call(self.clients.runtime.clone().list_container_stats(request)).await?.stats)
    }

    async fn list_sandbox_stats(&self) -> RuntimeResult<Vec<PodSandboxStats>> {
        let request = ListPodSandboxStatsRequest { filter: None };
        Ok(self.call(self.clients.runtime.clone().list_pod_sandbox_stats(request)).await?.stats)
    }

    async fn sandbox_image(&self) -> Option<String> {
        let request = StatusRequest { verbose: true };
        let answer = self.call(self.clients.runtime.clone().status(request)).await.ok()?;
        let config: serde_json::Value = serde_json::from_str(answer.info.get("config")?).ok()?;
        config["sandboxImage"].as_str().map(str::to_owned)
    }

    async fn list_images(&self) -> RuntimeResult<Vec<Image>> {
        let request = ListImagesRequest { filter: None };
        Ok(self.call(self.clients.image.clone().list_images(request)).await?.images)
    }

    async fn image_status(&self, image: ImageSpec) -> RuntimeResult<Option<Image>> {
        let request = ImageStatusRequest { image: Some(image), verbose: false };
        Ok(self.call(self.clients.image.clone().image_status(request)).await?.image)
    }

    async fn pull_image(
        &self,
        image: ImageSpec,
        auth: Option<AuthConfig>,
        sandbox: PodSandboxConfig,
    ) -> RuntimeResult<String> {
        let request = PullImageRequest { image: Some(image), auth, sandbox_config: Some(sandbox) };
        let answer = limited(PULL_TIMEOUT_MAX, self.clients.image.clone().pull_image(request)).await?;
        Ok(answer.image_ref)
    }

    async fn remove_image(&self, image: ImageSpec) -> RuntimeResult<()> {
        let request = RemoveImageRequest { image: Some(image) };
        ignore_not_found(self.call(self.clients.image.clone().remove_image(request)).await)
    }

    async fn image_filesystems(&self) -> RuntimeResult<Vec<FilesystemUsage>> {
        let answer = self.call(self.clients.image.clone().image_fs_info(ImageFsInfoRequest {})).await?;
        Ok(answer.image_filesystems)
    }
}
