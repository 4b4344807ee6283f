//! Group ownership of volumes for pods with an `fsGroup`.
//!
//! upstream: pkg/volume/volume_linux.go

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

use super::VolumeError;

/// Hands everything below `root` to the group. Links are changed themselves and never followed.
///
/// # Errors
/// An owner or a mode could not be changed.
pub fn apply(root: &Path, group: Option<i64>, read_only: bool) -> Result<(), VolumeError> {
    let Some(group) = group.and_then(|group| u32::try_from(group).ok()) else {
        return Ok(());
    };
    visit(root, group, read_only)
}

fn visit(path: &Path, group: u32, read_only: bool) -> Result<(), VolumeError> {
    let meta = fs::symlink_metadata(path).map_err(VolumeError::io("look at", path))?;
    lchown(path, None, Some(group)).map_err(VolumeError::io("change the group of", path))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mut mode = meta.permissions().mode() & 0o7777 | if read_only { 0o440 } else { 0o660 };
    if meta.is_dir() {
        mode |= 0o2110;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(VolumeError::io("change the mode of", path))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path).map_err(VolumeError::io("read", path))?.flatten() {
            visit(&entry.path(), group, read_only)?;
        }
    }
    Ok(())
}
