//! `emptyDir`: a folder that lives as long as the pod, on disk or in memory. The base of most other volumes.
//!
//! upstream: pkg/volume/emptydir/empty_dir.go

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use apimachinery::quantity::Quantity;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Volume;

use super::{Mounted, Request, VolumeError, VolumePlugin, ownership};
use crate::pod::resources::pod_amount;

/// The plugin.
pub struct EmptyDirVolume;

const NAME: &str = "kubernetes.io/empty-dir";

#[async_trait]
impl VolumePlugin for EmptyDirVolume {
    fn handles(&self, volume: &Volume) -> bool {
        volume.empty_dir.is_some()
    }

    async fn set_up(&self, request: &Request<'_>) -> Result<Mounted, VolumeError> {
        let path = request.path(NAME);
        let source = request.volume.empty_dir.clone().unwrap_or_default();
        let notes = request.paths.volume_notes(crate::pod::view::PodView::uid(request.pod), NAME, &request.volume.name);
        let ready = notes.join("ready");
        if source.medium.as_deref().is_some_and(|medium| medium.starts_with("HugePages")) {
            return Err(VolumeError::Unsupported("emptyDir on huge pages"));
        }
        let in_memory = source.medium.as_deref() == Some("Memory");
        if in_memory {
            let own = source.size_limit.and_then(|limit| Quantity::parse(&limit.0).ok()).map(|limit| limit.value());
            let (pods, complete) = pod_amount(request.pod, true, "memory");
            let limit = [own, complete.then_some(pods / 1000)].into_iter().flatten().filter(|limit| *limit > 0).min();
            make_memory_folder(request, &path, limit.and_then(|limit| u64::try_from(limit).ok()))?;
        } else {
            make_folder(&path)?;
        }
        // Ownership is set once: later the content belongs to the pod.
        if !ready.exists() {
            ownership::apply(&path, request.fs_group(), false)?;
            fs::create_dir_all(&notes).map_err(VolumeError::io("create", &notes))?;
            fs::write(&ready, "").map_err(VolumeError::io("write", &ready))?;
        }
        Ok(Mounted { path, read_only: false })
    }
}

/// A folder that everybody may write to.
pub fn make_folder(path: &Path) -> Result<(), VolumeError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(VolumeError::io("create", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).map_err(VolumeError::io("change the mode of", path))
}

/// The same in memory, for what must never reach a disk.
pub fn make_memory_folder(request: &Request<'_>, path: &Path, size_bytes: Option<u64>) -> Result<(), VolumeError> {
    make_folder(path)?;
    let mounted = request.kernel.mounts_below(path).map_err(VolumeError::io("list mounts below", path))?;
    if mounted.iter().any(|mount| mount == path) {
        return Ok(());
    }
    request.kernel.mount_tmpfs(path, size_bytes).map_err(VolumeError::io("mount tmpfs on", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).map_err(VolumeError::io("change the mode of", path))
}
