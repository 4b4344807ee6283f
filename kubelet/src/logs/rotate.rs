//! Rotation of container logs: `0.log` is renamed with the time, the runtime opens a new one, old ones are compressed.
//!
//! upstream: pkg/kubelet/logs/container_log_manager.go

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use component_base::{Shutdown, clock};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::runtime::Runtime;
use crate::runtime::types::ContainerState;

/// When logs are rotated.
#[derive(Clone, Copy, Debug)]
pub struct RotationPolicy {
    /// Size above which a log is rotated, in bytes.
    pub bytes_max: u64,
    /// Files of one container, the current one included; at least 2.
    pub files_max: usize,
    /// How often sizes are looked at.
    pub interval: Duration,
}

/// Rotates.
pub struct Rotator {
    runtime: Arc<dyn Runtime>,
    policy: RotationPolicy,
}

impl Rotator {
    /// Rotates logs of containers of `runtime`.
    pub fn new(runtime: Arc<dyn Runtime>, policy: RotationPolicy) -> Self {
        Self { runtime, policy }
    }

    /// Rotates until `stop`.
    pub async fn run(self, stop: Shutdown) {
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = tokio::time::sleep(self.policy.interval) => {}
            }
            let containers = self.runtime.list_containers(None).await.unwrap_or_default();
            for container in containers {
                if container.state() == ContainerState::ContainerRunning {
                    self.rotate_if_large(&container.id).await;
                }
            }
        }
    }

    async fn rotate_if_large(&self, id: &str) {
        let Ok(status) = self.runtime.container_status(id).await else {
            return;
        };
        let path = PathBuf::from(&status.log_path);
        match fs::metadata(&path) {
            Ok(meta) if meta.len() < self.policy.bytes_max => {}
            Ok(_) => {
                if let Err(error) = self.rotate(id, &path).await {
                    tracing::warn!(path = %path.display(), %error, "log was not rotated");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !status.log_path.is_empty() => {
                // A rotation was cut short after the rename: the runtime still writes to the old file.
                if let Err(error) = self.runtime.reopen_log(id).await {
                    tracing::debug!(path = %path.display(), %error, "log was not opened again");
                }
            }
            Err(_unreadable) => {}
        }
    }

    async fn rotate(&self, id: &str, path: &Path) -> io::Result<()> {
        let old = rotated(path)?;
        for stale in old.iter().filter(|path| path.extension().is_some_and(|extension| extension == "tmp")) {
            fs::remove_file(stale)?;
        }
        let kept: Vec<PathBuf> =
            old.into_iter().filter(|path| path.extension().is_none_or(|extension| extension != "tmp")).collect();
        // The current file and the one that is rotated now count as well.
        let keep = self.policy.files_max.saturating_sub(2);
        let excess = kept.len().saturating_sub(keep);
        for gone in kept.iter().take(excess) {
            fs::remove_file(gone)?;
        }
        for plain in kept.iter().skip(excess).filter(|path| path.extension().is_none_or(|extension| extension != "gz"))
        {
            compress(plain)?;
        }
        let stamp = clock::now().strftime("%Y%m%d-%H%M%S").to_string();
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{stamp}"));
        let name = PathBuf::from(name);
        fs::rename(path, &name)?;
        if let Err(error) = self.runtime.reopen_log(id).await {
            // Undone, or the container's output would go to a file that is compressed soon.
            fs::rename(&name, path)?;
            return Err(io::Error::other(error.to_string()));
        }
        Ok(())
    }
}

/// The rotated files of a log, the oldest first.
fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn compress(path: &Path) -> io::Result<()> {
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let temporary = with(".tmp");
    let mut encoder = GzEncoder::new(File::create(&temporary)?, Compression::default());
    io::copy(&mut BufReader::new(File::open(path)?), &mut encoder)?;
    encoder.finish()?;
    fs::rename(&temporary, with(".gz"))?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_rotated_files_and_compresses() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("0.log");
        for name in ["0.log", "0.log.20260102-000000", "0.log.20260101-000000", "1.log"] {
            fs::write(folder.path().join(name), "text").expect("written");
        }
        let names: Vec<String> = rotated(&path)
            .expect("readable")
            .iter()
            .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["0.log.20260101-000000", "0.log.20260102-000000"]);
        compress(&folder.path().join("0.log.20260101-000000")).expect("compressed");
        assert!(folder.path().join("0.log.20260101-000000.gz").exists());
        assert!(!folder.path().join("0.log.20260101-000000").exists());
    }
}
