//! Starting one container: image, configuration, creation, start, postStart hook.
//!
//! upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go: startContainer

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, Secret};

use super::container::{ContainerInputs, container_config, restart_count_of_logs, termination_mount};
use super::env::{Files, environment};
use super::fields::Surroundings;
use super::hooks;
use super::hosts::HostNames;
use super::kill::{Killing, kill_container};
use super::machinery::Machinery;
use super::mounts::{MountInputs, mounts};
use super::plan::KillReason;
use super::resize::Amounts;
use super::status::StartFailure;
use super::view::PodView;
use crate::images::Wanted;
use crate::runtime::types::{ContainerConfig, PodSandboxConfig};
use crate::runtime::{ContainerObserved, ContainerPhase, ObservedPod};
use crate::volumes::MountedVolumes;

/// What all containers of a pod are started with.
pub struct Start<'a> {
    /// Parts of the kubelet.
    pub cx: &'a Machinery,
    /// The pod.
    pub pod: &'a Pod,
    /// What ran before.
    pub observed: &'a ObservedPod,
    /// Sandbox to start in.
    pub sandbox_id: &'a str,
    /// Its configuration.
    pub sandbox: &'a PodSandboxConfig,
    /// Volumes that are ready.
    pub mounted: &'a MountedVolumes,
    /// Addresses and the node's resources.
    pub around: &'a Surroundings,
    /// Host names.
    pub names: &'a HostNames,
    /// Secrets for pulling.
    pub secrets: &'a [Arc<Secret>],
}

fn failure(reason: &str, message: impl ToString) -> StartFailure {
    StartFailure { reason: reason.to_owned(), message: message.to_string() }
}

impl Start<'_> {
    /// Starts `container`. `target` names the container whose processes an ephemeral one wants to see.
    ///
    /// # Errors
    /// Why it does not run, for its status.
    pub async fn run(&self, container: &Container, target: Option<&str>) -> Result<(), StartFailure> {
        let (cx, pod, name) = (self.cx, self.pod, container.name.as_str());
        let wanted = Wanted { pod, container, sandbox: self.sandbox, secrets: self.secrets };
        let image_ref = cx.images.ensure(&wanted).await.inspect_err(|failure| {
            cx.events.container_warning(pod, name, "Failed", format!("Error: {}", failure.reason));
        })?;
        let failed = |reason: &'static str| {
            move |message: String| {
                cx.events.container_warning(pod, name, "Failed", format!("Error: {message}"));
                failure(reason, message)
            }
        };
        let config = self.config(container, image_ref, target).await.map_err(failed("CreateContainerConfigError"))?;
        let log_path = config.log_path.clone();
        let id = cx
            .runtime
            .create_container(self.sandbox_id, config, self.sandbox.clone())
            .await
            .map_err(|error| failed("CreateContainerError")(error.message))?;
        cx.events.container(pod, name, "Created", "Container created");
        if pod.spec().ephemeral_containers.iter().flatten().all(|ephemeral| ephemeral.name != name) {
            let given = Amounts::of(container.resources.as_ref(), pod.spec().resources.as_ref());
            cx.allocations.set_actuated(pod.uid(), name, given.into_requirements(container.resources.as_ref()));
        }
        cx.runtime.start_container(&id).await.map_err(|error| failed("RunContainerError")(error.message))?;
        cx.events.container(pod, name, "Started", "Container started");
        self.link_log(name, &id, &log_path);
        self.post_start(container, &id).await
    }

    async fn config(
        &self,
        container: &Container,
        image_ref: String,
        target: Option<&str>,
    ) -> Result<ContainerConfig, String> {
        let (cx, pod) = (self.cx, self.pod);
        let target_id = match target.filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => Some(self.target_id(name)?),
        };
        let files = Files { mounted: self.mounted, kernel: cx.kernel.as_ref() };
        let environment = environment(pod, container, &cx.objects, self.around, &files).await;
        let environment = environment.map_err(|error| error.to_string())?;
        let mut all = mounts(&MountInputs {
            pod,
            container,
            environment: &environment,
            mounted: self.mounted,
            pod_ips: &self.around.pod_ips,
            names: self.names,
            recursive_read_only: self.recursive_read_only(),
            paths: &cx.paths,
            volumes: &cx.volumes,
        })
        .inspect_err(|error| {
            let chain = component_base::Chain(error);
            tracing::warn!(namespace = pod.namespace(), name = pod.name(), container = container.name, error = %chain, "mounts failed");
        })
        .map_err(|error| error.to_string())?;
        let folder = cx.paths.container(pod.uid(), &container.name);
        all.extend(termination_mount(pod, container, &folder).map_err(|error| error.to_string())?);
        let image = container.image.as_deref().unwrap_or_default();
        let image_user = cx.images.user(image).await.map_err(|error| error.message)?;
        let log_folder = cx.paths.logs_of(pod).join(&container.name);
        let restart_count = match self.observed.container(&container.name) {
            Some(before) => before.notes.restart_count + 1,
            None => restart_count_of_logs(&log_folder),
        };
        std::fs::create_dir_all(&log_folder).map_err(|error| {
            format!("create container log directory for container {} failed: {error}", container.name)
        })?;
        let inputs = ContainerInputs {
            image_ref,
            image_user: &image_user,
            restart_count,
            environment: &environment,
            mounts: all,
            security: &cx.settings.security,
            cpu: cx.settings.cpu,
            target_id,
        };
        container_config(pod, container, inputs).map_err(|error| error.to_string())
    }

    /// Whether the pod's handler makes mounts read-only with everything below them.
    fn recursive_read_only(&self) -> bool {
        let handler = self.cx.classes.handler(self.pod).unwrap_or_default();
        self.cx.node.abilities.lock().handler(&handler).is_some_and(|handler| handler.recursive_read_only_mounts)
    }

    fn target_id(&self, name: &str) -> Result<String, String> {
        match self.observed.container(name) {
            Some(found) if found.phase == ContainerPhase::Running => Ok(found.id.clone()),
            Some(_) => Err(format!("target container {name:?} is not running")),
            None => Err(format!("unable to find target container {name}")),
        }
    }

    /// Log collectors look for links named by pod, namespace, container and id.
    fn link_log(&self, container: &str, id: &str, log_path: &str) {
        let target = self.cx.paths.logs_of(self.pod).join(log_path);
        let link = self.cx.paths.log_link(self.pod, container, id);
        if !target.exists() {
            return;
        }
        let made = std::fs::create_dir_all(self.cx.paths.container_logs())
            .and_then(|()| std::os::unix::fs::symlink(&target, &link));
        if let Err(error) = made {
            tracing::warn!(container, path = %link.display(), %error, "log was not linked");
        }
    }

    async fn post_start(&self, container: &Container, id: &str) -> Result<(), StartFailure> {
        let handler = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(handler) = handler else {
            return Ok(());
        };
        let (cx, pod, name) = (self.cx, self.pod, container.name.as_str());
        let pod_ip = self.around.pod_ips.first().map(String::as_str).unwrap_or_default();
        let Err(error) = hooks::run(cx.runtime.as_ref(), pod, container, id, pod_ip, handler).await else {
            return Ok(());
        };
        tracing::warn!(namespace = pod.namespace(), name = pod.name(), container = name, %error, "postStart hook failed");
        // The message stays out of the event: it may show what the hook printed.
        cx.events.container_warning(pod, name, "FailedPostStartHook", "PostStartHook failed");
        let found = just_started(container, id);
        let killing = Killing {
            pod,
            container: &found,
            message: "FailedPostStartHook",
            reason: KillReason::PostStartHook,
            grace_override: None,
        };
        if let Err(error) = kill_container(cx, &killing, pod_ip, None).await {
            tracing::warn!(container = name, error = %component_base::Chain(&error), "container with a failed hook was not killed");
        }
        Err(failure("PostStartHookError", error))
    }
}

fn just_started(container: &Container, id: &str) -> ContainerObserved {
    ContainerObserved {
        id: id.to_owned(),
        name: container.name.clone(),
        image: String::new(),
        image_id: String::new(),
        phase: ContainerPhase::Running,
        created_at: Timestamp::UNIX_EPOCH,
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::UNIX_EPOCH,
        exit_code: 0,
        reason: String::new(),
        message: String::new(),
        notes: Default::default(),
        user: None,
        resources: None,
        log_path: String::new(),
        sandbox_id: String::new(),
    }
}
