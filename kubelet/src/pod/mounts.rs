//! What a container mounts: volumes, their sub paths, and the pod's hosts file.
//!
//! upstream: pkg/kubelet/kubelet_pods.go: makeMounts

use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use super::env::Environment;
use super::expansion::expand;
use super::hosts::{HostNames, host_network_hosts, managed_hosts};
use super::view::PodView;
use crate::paths::Paths;
use crate::runtime::types::{Mount, MountPropagation};
use crate::volumes::{MountedVolumes, SubPath, VolumeError, Volumes};

/// Mounts that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The container mounts a volume that the pod does not have.
    #[error("cannot find volume {volume:?} to mount into container {container:?}")]
    NoVolume {
        /// The volume.
        volume: String,
        /// The container.
        container: String,
    },
    /// `subPathExpr` names a variable that the container does not have.
    #[error("missing value for {0:?}")]
    Expression(String),
    /// A sub path could not be bound.
    #[error("failed to prepare subPath for volumeMount {volume:?} of container {container:?}")]
    SubPath {
        /// The volume.
        volume: String,
        /// The container.
        container: String,
        /// Details that are not for the pod's owner, since they tell about the node.
        source: VolumeError,
    },
    /// `recursiveReadOnly` that cannot be had.
    #[error("volume {volume:?} requested recursive read-only mode, but {why}")]
    RecursiveReadOnly {
        /// The volume.
        volume: String,
        /// Why not.
        why: String,
    },
    /// The hosts file could not be written.
    #[error("write the hosts file")]
    Hosts(#[source] std::io::Error),
}

/// What mounts are made from.
pub struct MountInputs<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// Its environment, for `subPathExpr`.
    pub environment: &'a Environment,
    /// Volumes that are ready.
    pub mounted: &'a MountedVolumes,
    /// Addresses of the pod.
    pub pod_ips: &'a [String],
    /// Host names of the pod.
    pub names: &'a HostNames,
    /// The runtime makes mounts read-only with everything below them where it is told to.
    pub recursive_read_only: bool,
    /// Paths of the node.
    pub paths: &'a Paths,
    /// Volumes of the node.
    pub volumes: &'a Volumes,
}

/// Makes the mounts of a container, binding sub paths and writing the hosts file on the way.
///
/// # Errors
/// See [`MountError`].
pub fn mounts(inputs: &MountInputs<'_>) -> Result<Vec<Mount>, MountError> {
    let mut out = Vec::new();
    let (pod, container) = (inputs.pod, inputs.container);
    let mut wants_hosts = pod.host_network() || !inputs.pod_ips.is_empty();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        wants_hosts &= mount.mount_path != "/etc/hosts";
        out.push(volume_mount(inputs, index, mount)?);
    }
    if wants_hosts {
        let path = inputs.paths.etc_hosts(pod.uid());
        write_hosts(inputs, &path).map_err(MountError::Hosts)?;
        out.push(Mount {
            container_path: "/etc/hosts".to_owned(),
            host_path: path.display().to_string(),
            ..Mount::default()
        });
    }
    Ok(out)
}

fn volume_mount(inputs: &MountInputs<'_>, index: usize, mount: &VolumeMount) -> Result<Mount, MountError> {
    let container = inputs.container.name.clone();
    let volume = inputs
        .mounted
        .get(&mount.name)
        .ok_or_else(|| MountError::NoVolume { volume: mount.name.clone(), container: container.clone() })?;
    let relative = match mount.sub_path_expr.as_deref().filter(|text| !text.is_empty()) {
        Some(expression) => expand_expression(expression, inputs.environment)?,
        None => mount.sub_path.clone().unwrap_or_default(),
    };
    let host_path = if relative.is_empty() {
        volume.path.clone()
    } else {
        let sub = SubPath { volume: &mount.name, volume_path: &volume.path, relative: &relative, index };
        inputs.volumes.bind_sub_path(inputs.pod, &container, &sub).map_err(|source| MountError::SubPath {
            volume: mount.name.clone(),
            container,
            source,
        })?
    };
    let propagation = match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => MountPropagation::PropagationHostToContainer,
        Some("Bidirectional") => MountPropagation::PropagationBidirectional,
        _ => MountPropagation::PropagationPrivate,
    };
    let absolute = |path: &str| if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Mount {
        container_path: absolute(&mount.mount_path),
        host_path: host_path.display().to_string(),
        readonly: volume.read_only || mount.read_only == Some(true),
        recursive_read_only: recursive_read_only(mount, inputs.recursive_read_only)?,
        propagation: propagation.into(),
        ..Mount::default()
    })
}

/// upstream: pkg/kubelet/kubelet_pods.go: resolveRecursiveReadOnly
fn recursive_read_only(mount: &VolumeMount, supported: bool) -> Result<bool, MountError> {
    let mode = mount.recursive_read_only.as_deref().unwrap_or("Disabled");
    let refused = |why: String| Err(MountError::RecursiveReadOnly { volume: mount.name.clone(), why });
    let propagation = mount.mount_propagation.as_deref().unwrap_or("None");
    match mode {
        "Disabled" => Ok(false),
        _ if mount.read_only != Some(true) => refused("it is not read-only".to_owned()),
        _ if propagation != "None" => refused(format!("it is not compatible with propagation {propagation:?}")),
        "Enabled" if !supported => refused("it is not supported by the runtime".to_owned()),
        _ => Ok(supported),
    }
}

fn expand_expression(expression: &str, environment: &Environment) -> Result<String, MountError> {
    let missing = std::cell::RefCell::new(None);
    let expanded = expand(expression, &|name| {
        let value = environment.get(name).cloned();
        if value.is_none() {
            missing.borrow_mut().get_or_insert_with(|| name.to_owned());
        }
        value
    });
    match missing.into_inner() {
        Some(name) => Err(MountError::Expression(name)),
        None => Ok(expanded),
    }
}

fn write_hosts(inputs: &MountInputs<'_>, path: &Path) -> std::io::Result<()> {
    let aliases = inputs.pod.spec().host_aliases.as_deref().unwrap_or_default();
    let content = if inputs.pod.host_network() {
        host_network_hosts(&fs::read_to_string("/etc/hosts")?, aliases)
    } else {
        managed_hosts(inputs.pod_ips, inputs.names, aliases)
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Written in place: containers that run have this very file mounted.
    fs::write(path, content)
}
