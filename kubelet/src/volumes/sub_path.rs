//! Sub paths of volumes: bound one by one, after a check that no link leads out of the volume.
//!
//! upstream: pkg/volume/util/subpath/subpath_linux.go

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use super::VolumeError;
use crate::paths::Paths;
use crate::pod::view::PodView;
use crate::sys::Kernel;

/// Which part of which volume a container mounts.
#[derive(Clone, Copy, Debug)]
pub struct SubPath<'a> {
    /// Name of the volume.
    pub volume: &'a str,
    /// Where the volume is.
    pub volume_path: &'a Path,
    /// The path in it.
    pub relative: &'a str,
    /// Which of the container's mounts it is.
    pub index: usize,
}

/// Makes the path in the volume if it is absent and binds it; answers the mount point.
pub fn bind(
    kernel: &dyn Kernel,
    paths: &Paths,
    pod: &Pod,
    container: &str,
    sub: &SubPath<'_>,
) -> Result<PathBuf, VolumeError> {
    let relative = Path::new(sub.relative);
    if relative.is_absolute() || relative.components().any(|part| part == Component::ParentDir) {
        return Err(VolumeError::BadPath(sub.relative.to_owned()));
    }
    let source = sub.volume_path.join(relative);
    if !source.exists() {
        make_beneath(sub.volume_path, relative)?;
    }
    let target = paths.sub_path(pod.uid(), sub.volume, container, sub.index);
    let mounted = kernel.mounts_below(&target).map_err(VolumeError::io("list mounts below", &target))?;
    if mounted.contains(&target) {
        // A live update replaced what was bound before; a container that starts anew must see the new content.
        kernel.unmount(&target).map_err(VolumeError::io("unmount", &target))?;
    }
    make_target(&source, &target)?;
    kernel.bind_beneath(sub.volume_path, relative, &target).map_err(VolumeError::io("bind a sub path to", &target))?;
    Ok(target)
}

/// Makes folders one by one and refuses to go through a link on the way.
fn make_beneath(root: &Path, relative: &Path) -> Result<(), VolumeError> {
    let mode = fs::metadata(root).map_err(VolumeError::io("look at", root))?.permissions().mode() & 0o7777;
    let mut path = root.to_path_buf();
    for part in relative.components() {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(VolumeError::BadPath(relative.display().to_string())),
            Err(_absent) => {
                fs::create_dir(&path).map_err(VolumeError::io("create", &path))?;
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                    .map_err(VolumeError::io("change the mode of", &path))?;
            }
        }
    }
    Ok(())
}

/// A folder is bound to a folder and a file to a file.
fn make_target(source: &Path, target: &Path) -> Result<(), VolumeError> {
    let is_dir = fs::metadata(source).map_err(VolumeError::io("look at", source))?.is_dir();
    if is_dir {
        return fs::create_dir_all(target).map_err(VolumeError::io("create", target));
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(VolumeError::io("create", parent))?;
    }
    if !target.exists() {
        fs::write(target, "").map_err(VolumeError::io("create", target))?;
    }
    Ok(())
}
