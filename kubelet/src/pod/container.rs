//! The configuration of one container for the runtime.
//!
//! upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go: generateContainerConfig

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::env::Environment;
use super::expansion::expand;
use super::resources::{CpuSettings, container_resources};
use super::security::{ImageUser, SecurityError, SecuritySettings, container_context};
use super::view::PodView;
use crate::paths::log_file;
use crate::runtime::labels::{container_annotations, container_labels};
use crate::runtime::types::{
    ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxContainerConfig, Mount, NamespaceMode, Signal,
};

/// What the definition does not tell.
pub struct ContainerInputs<'a> {
    /// Reference of the image at the runtime.
    pub image_ref: String,
    /// The image's user.
    pub image_user: &'a ImageUser,
    /// How often the container was restarted.
    pub restart_count: i32,
    /// Its environment.
    pub environment: &'a Environment,
    /// Its mounts.
    pub mounts: Vec<Mount>,
    /// What the node decides about security.
    pub security: &'a SecuritySettings,
    /// What the node decides about CPU and memory.
    pub cpu: CpuSettings,
    /// Id of the container whose processes an ephemeral container wants to see.
    pub target_id: Option<String>,
}

/// Builds the configuration.
///
/// # Errors
/// The security context cannot be had.
pub fn container_config(
    pod: &Pod,
    container: &Container,
    inputs: ContainerInputs<'_>,
) -> Result<ContainerConfig, SecurityError> {
    let mut security = container_context(pod, container, inputs.image_user, inputs.security)?;
    if let (Some(target), Some(namespaces)) = (inputs.target_id, security.namespace_options.as_mut())
        && namespaces.pid() == NamespaceMode::Container
    {
        namespaces.set_pid(NamespaceMode::Target);
        namespaces.target_id = target;
    }
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        words.iter().flatten().map(|word| expand(word, &|name| inputs.environment.get(name).cloned())).collect()
    };
    let environment = inputs.environment.iter();
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: container.name.clone(),
            attempt: u32::try_from(inputs.restart_count).unwrap_or(0),
        }),
        image: Some(ImageSpec {
            image: inputs.image_ref,
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..ImageSpec::default()
        }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: environment
            .map(|(key, value)| KeyValue { key: key.clone(), value: value.clone().into_bytes() })
            .collect(),
        mounts: inputs.mounts,
        labels: container_labels(pod, &container.name),
        annotations: container_annotations(pod, container, inputs.restart_count),
        log_path: log_file(&container.name, inputs.restart_count),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        linux: Some(LinuxContainerConfig {
            resources: Some(container_resources(pod, container, inputs.cpu)),
            security_context: Some(security),
        }),
        stop_signal: stop_signal(container).into(),
        ..ContainerConfig::default()
    })
}

fn stop_signal(container: &Container) -> Signal {
    let name = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref());
    let name = name.map(|name| name.replace("RTMIN+", "RTMINPLUS").replace("RTMAX-", "RTMAXMINUS"));
    name.and_then(|name| Signal::from_str_name(&name)).unwrap_or(Signal::RuntimeDefault)
}

/// Makes the file that the container writes its termination message to; answers the mount, or `None` without a path.
///
/// # Errors
/// The file could not be made.
pub fn termination_mount(pod: &Pod, container: &Container, folder: &Path) -> io::Result<Option<Mount>> {
    let Some(path) = container.termination_message_path.as_deref().filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    fs::create_dir_all(folder)?;
    // Each run has its own file; the pod's UID is in the folder's path.
    let name = uuid::Uuid::new_v4().simple().to_string();
    let file = folder.join(name.get(..8).unwrap_or(pod.uid()));
    fs::write(&file, "")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666))?;
    Ok(Some(Mount {
        container_path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        host_path: file.display().to_string(),
        ..Mount::default()
    }))
}

/// The restart count that logs on disk tell, for a runtime that forgot its containers.
pub fn restart_count_of_logs(folder: &Path) -> i32 {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let counts = names.filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.split('.').next()?.parse::<i32>().ok()
    });
    counts.max().map_or(0, |count| count + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_logs() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert_eq!(restart_count_of_logs(folder.path()), 0);
        for name in ["0.log", "3.log", "3.log.20260101-000000.gz", "x"] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        assert_eq!(restart_count_of_logs(folder.path()), 4);
        assert_eq!(restart_count_of_logs(Path::new("/nonexistent")), 0);
    }

    #[test]
    fn stop_signals() {
        let container: Container =
            serde_json::from_str(r#"{"name":"c","lifecycle":{"stopSignal":"SIGRTMIN+3"}}"#).expect("valid");
        assert_eq!(stop_signal(&container), Signal::Sigrtminplus3);
        assert_eq!(stop_signal(&Container::default()), Signal::RuntimeDefault);
    }
}
