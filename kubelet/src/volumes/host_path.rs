//! `hostPath`: a path of the node itself. Nothing is ever removed there.
//!
//! upstream: pkg/volume/hostpath/host_path.go

use std::fs::{self, FileType};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Volume;

use super::{Mounted, Request, VolumeError, VolumePlugin};

/// The plugin.
pub struct HostPathVolume;

#[async_trait]
impl VolumePlugin for HostPathVolume {
    fn handles(&self, volume: &Volume) -> bool {
        volume.host_path.is_some()
    }

    async fn set_up(&self, request: &Request<'_>) -> Result<Mounted, VolumeError> {
        let source = request.volume.host_path.clone().unwrap_or_default();
        let path = PathBuf::from(&source.path);
        check(&path, source.type_.as_deref().unwrap_or_default())?;
        Ok(Mounted { path, read_only: false })
    }
}

fn check(path: &Path, kind: &str) -> Result<(), VolumeError> {
    match kind {
        "DirectoryOrCreate" if !path.exists() => {
            fs::create_dir_all(path).map_err(VolumeError::io("create", path))?;
            return set_mode(path, 0o755);
        }
        "FileOrCreate" if !path.exists() => {
            fs::write(path, "").map_err(VolumeError::io("create", path))?;
            return set_mode(path, 0o644);
        }
        _ => {}
    }
    let (wanted, fits): (&'static str, fn(&FileType) -> bool) = match kind {
        "Directory" | "DirectoryOrCreate" => ("directory", FileType::is_dir),
        "File" | "FileOrCreate" => ("file", FileType::is_file),
        "Socket" => ("socket file", FileType::is_socket),
        "CharDevice" => ("character device", FileType::is_char_device),
        "BlockDevice" => ("block device", FileType::is_block_device),
        _ => return Ok(()),
    };
    let found = fs::metadata(path).is_ok_and(|meta| fits(&meta.file_type()));
    if found { Ok(()) } else { Err(VolumeError::HostPathKind { path: path.display().to_string(), wanted }) }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), VolumeError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(VolumeError::io("change the mode of", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_and_creates() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("d/e");
        assert_eq!(
            check(&path, "Directory").expect_err("absent").to_string(),
            format!("hostPath type check failed: {} is not a directory", path.display())
        );
        check(&path, "DirectoryOrCreate").expect("created");
        check(&path, "Directory").expect("there");
        assert!(check(&path, "File").is_err());
        check(&path.join("f"), "FileOrCreate").expect("created");
        check(&path, "").expect("anything goes");
    }
}
