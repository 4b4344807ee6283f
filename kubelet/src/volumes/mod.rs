//! Volumes: making what a pod mounts, keeping it current, and taking it down.
//!
//! Every plugin is idempotent: setting up a volume that is there refreshes its content and does nothing else. A kind of
//! volume that no plugin handles is an error that says so.
//!
//! upstream: pkg/volume, pkg/kubelet/volumemanager

mod atomic_writer;
mod config_map;
mod downward_api;
mod empty_dir;
mod host_path;
mod ownership;
mod projected;
mod secret;
mod sub_path;
mod tokens;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Pod, Volume};

pub use tokens::Tokens;

use crate::objects::{ObjectError, Objects};
use crate::paths::Paths;
use crate::pod::fields::{FieldError, Surroundings};
use crate::pod::view::PodView;
use crate::sys::Kernel;

/// A volume that could not be set up or taken down.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// One volume could not be set up.
    #[error("MountVolume.SetUp failed for volume {volume:?} : {source}")]
    SetUp {
        /// Name of the volume in the pod.
        volume: String,
        /// Why.
        source: Box<VolumeError>,
    },
    /// An object that the volume shows.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A field that the volume shows.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A file operation failed.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The object has no such key.
    #[error("{kind} references non-existent {what} key: {key}")]
    NoKey {
        /// `configmap` or empty.
        kind: &'static str,
        /// `config` or `secret`.
        what: &'static str,
        /// The key.
        key: String,
    },
    /// A path of the definition is not allowed.
    #[error("invalid path: {0}")]
    BadPath(String),
    /// What is at a host path is of another kind.
    #[error("hostPath type check failed: {path} is not a {wanted}")]
    HostPathKind {
        /// The path.
        path: String,
        /// What the definition asks for.
        wanted: &'static str,
    },
    /// A token could not be had.
    #[error("failed to fetch token: {0}")]
    Token(String),
    /// A part of the volume is of a kind that is not built.
    #[error("{0} is not supported by this kubelet")]
    Unsupported(&'static str),
    /// No plugin handles the volume.
    #[error("no volume plugin matched")]
    NoPlugin,
    /// Something of the pod is still mounted.
    #[error("volumes are still mounted below {0}")]
    StillMounted(PathBuf),
}

impl VolumeError {
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// A volume that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Where it is on the node.
    pub path: PathBuf,
    /// Containers must not write, whatever they ask for.
    pub read_only: bool,
}

/// The volumes of a pod that are ready, by name.
pub type MountedVolumes = BTreeMap<String, Mounted>;

/// What a plugin gets to know.
pub struct Request<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The volume.
    pub volume: &'a Volume,
    /// Addresses of pod and node, and what the node can give.
    pub around: &'a Surroundings,
    /// Paths of the node.
    pub paths: &'a Paths,
    /// The kernel.
    pub kernel: &'a dyn Kernel,
    /// ConfigMaps and Secrets.
    pub objects: &'a Objects,
    /// Tokens of service accounts.
    pub tokens: &'a Tokens,
}

impl Request<'_> {
    fn path(&self, plugin: &str) -> PathBuf {
        self.paths.volume(self.pod.uid(), plugin, &self.volume.name)
    }

    fn fs_group(&self) -> Option<i64> {
        self.pod.spec().security_context.as_ref().and_then(|context| context.fs_group)
    }
}

/// One kind of volume.
#[async_trait]
pub trait VolumePlugin: Send + Sync {
    /// True when the plugin handles this volume.
    fn handles(&self, volume: &Volume) -> bool;

    /// Makes the volume, or refreshes it.
    ///
    /// # Errors
    /// It is not usable now; trying again later may help.
    async fn set_up(&self, request: &Request<'_>) -> Result<Mounted, VolumeError>;
}

/// Every kind of volume that this kubelet handles.
fn plugins() -> Vec<Box<dyn VolumePlugin>> {
    vec![
        Box::new(config_map::ConfigMapVolume),
        Box::new(downward_api::DownwardApiVolume),
        Box::new(empty_dir::EmptyDirVolume),
        Box::new(host_path::HostPathVolume),
        Box::new(projected::ProjectedVolume),
        Box::new(secret::SecretVolume),
    ]
}

/// Sets up and takes down the volumes of pods.
pub struct Volumes {
    plugins: Vec<Box<dyn VolumePlugin>>,
    paths: Paths,
    kernel: Arc<dyn Kernel>,
    objects: Arc<Objects>,
    tokens: Tokens,
}

impl Volumes {
    /// Volumes on this node.
    pub fn new(paths: Paths, kernel: Arc<dyn Kernel>, objects: Arc<Objects>, tokens: Tokens) -> Self {
        Self { plugins: plugins(), paths, kernel, objects, tokens }
    }

    /// Makes every volume of `pod` that a container mounts, or refreshes it.
    ///
    /// # Errors
    /// The first volume that is not usable.
    pub async fn set_up(&self, pod: &Pod, around: &Surroundings) -> Result<MountedVolumes, VolumeError> {
        let mut mounted = MountedVolumes::new();
        for volume in pod.spec().volumes.iter().flatten().filter(|volume| is_mounted(pod, &volume.name)) {
            let request = Request {
                pod,
                volume,
                around,
                paths: &self.paths,
                kernel: self.kernel.as_ref(),
                objects: &self.objects,
                tokens: &self.tokens,
            };
            let plugin = self.plugins.iter().find(|plugin| plugin.handles(volume));
            let result = match plugin {
                Some(plugin) => plugin.set_up(&request).await,
                None => Err(VolumeError::NoPlugin),
            };
            let one = result
                .map_err(|source| VolumeError::SetUp { volume: volume.name.clone(), source: Box::new(source) })?;
            mounted.insert(volume.name.clone(), one);
        }
        Ok(mounted)
    }

    /// Unmounts and removes everything that the pod has on disk. Never follows a mount point.
    ///
    /// # Errors
    /// Something is still mounted or cannot be removed.
    pub fn tear_down(&self, uid: &str) -> Result<(), VolumeError> {
        self.tokens.forget_pod(uid);
        let folder = self.paths.pod(uid);
        if uid.is_empty() || !folder.exists() {
            return Ok(());
        }
        for mount in self.kernel.mounts_below(&folder).map_err(VolumeError::io("list mounts below", &folder))? {
            self.kernel.unmount(&mount).map_err(VolumeError::io("unmount", &mount))?;
        }
        let left = self.kernel.mounts_below(&folder).map_err(VolumeError::io("list mounts below", &folder))?;
        if !left.is_empty() {
            return Err(VolumeError::StillMounted(folder));
        }
        std::fs::remove_dir_all(&folder).map_err(VolumeError::io("remove", &folder))
    }

    /// Binds a sub path of a volume for a container; answers the mount point.
    ///
    /// # Errors
    /// The path leads out of the volume or cannot be made.
    pub fn bind_sub_path(
        &self,
        pod: &Pod,
        container: &str,
        mount: &sub_path::SubPath<'_>,
    ) -> Result<PathBuf, VolumeError> {
        sub_path::bind(self.kernel.as_ref(), &self.paths, pod, container, mount)
    }
}

pub use sub_path::SubPath;

fn is_mounted(pod: &Pod, volume: &str) -> bool {
    pod.all_containers().iter().any(|(_, container)| {
        container.volume_mounts.iter().flatten().any(|mount| mount.name == volume)
            || container.volume_devices.iter().flatten().any(|device| device.name == volume)
    })
}
