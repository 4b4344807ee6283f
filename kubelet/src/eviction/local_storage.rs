//! Pods that write more to the node's disk than their own limits allow.
//!
//! What a pod uses is the sum of its containers' writable layers and logs and of its emptyDir volumes on disk. The judgement is
//! pure; measuring walks folders and is done on a thread that may block.
//!
//! upstream: pkg/kubelet/eviction/eviction_manager.go: localStorageEviction

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use apimachinery::quantity::{Format, Quantity};
use k8s_openapi::api::core::v1::Pod;

use crate::paths::Paths;
use crate::pod::resources::{pod_amount, whole};
use crate::pod::view::PodView;

/// The resource's name in the API.
const STORAGE: &str = "ephemeral-storage";
/// Most files that are counted below one folder; a folder with more is counted in part.
const FILES_MAX: usize = 1_000_000;

/// Bytes on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of each emptyDir volume.
    pub empty_dirs: BTreeMap<String, u64>,
    /// Of each container: its writable layer and its logs.
    pub containers: BTreeMap<String, u64>,
}

impl Usage {
    fn total(&self) -> u64 {
        self.empty_dirs.values().chain(self.containers.values()).sum()
    }
}

/// A limit that is exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// For the event and the pod's status.
    pub message: String,
    /// The signal's name in the metric.
    pub signal: &'static str,
}

/// True when the pod has a limit that could be exceeded.
pub fn has_limit(pod: &Pod) -> bool {
    let volumes = pod.spec().volumes.iter().flatten();
    let sized = volumes.into_iter().any(|volume| volume.empty_dir.as_ref().is_some_and(|dir| dir.size_limit.is_some()));
    sized || pod_amount(pod, true, STORAGE).0 > 0
}

/// The first limit that is exceeded: of a volume, of the pod, of a container.
pub fn exceeded(pod: &Pod, usage: &Usage) -> Option<Exceeded> {
    volume_exceeded(pod, usage).or_else(|| pod_exceeded(pod, usage)).or_else(|| container_exceeded(pod, usage))
}

fn above(used: u64, limit: i64) -> bool {
    limit > 0 && i64::try_from(used).unwrap_or(i64::MAX) > limit
}

fn volume_exceeded(pod: &Pod, usage: &Usage) -> Option<Exceeded> {
    pod.spec().volumes.iter().flatten().find_map(|volume| {
        let text = &volume.empty_dir.as_ref()?.size_limit.as_ref()?.0;
        let limit = Quantity::parse(text).ok()?;
        let used = *usage.empty_dirs.get(&volume.name)?;
        let message = format!("Usage of EmptyDir volume {:?} exceeds the limit {:?}. ", volume.name, limit.to_string());
        above(used, limit.value()).then_some(Exceeded { message, signal: "emptydirfs.limit" })
    })
}

fn pod_exceeded(pod: &Pod, usage: &Usage) -> Option<Exceeded> {
    let (milli, _) = pod_amount(pod, true, STORAGE);
    let shown = Quantity::from_milli(milli, Format::BinarySi);
    let message = format!("Pod ephemeral local storage usage exceeds the total limit of containers {shown}. ");
    above(usage.total(), milli / 1000).then_some(Exceeded { message, signal: "ephemeralpodfs.limit" })
}

fn container_exceeded(pod: &Pod, usage: &Usage) -> Option<Exceeded> {
    pod.spec().containers.iter().find_map(|container| {
        let limit = whole(container.resources.as_ref(), true, STORAGE)?;
        let used = *usage.containers.get(&container.name)?;
        let shown = Quantity::new(limit, Format::BinarySi).to_string();
        let message = format!("Container {} exceeded its local ephemeral storage limit {shown:?}. ", container.name);
        above(used, limit).then_some(Exceeded { message, signal: "ephemeralcontainerfs.limit" })
    })
}

/// Measures what the folders of a pod hold; `writable` are its containers' writable layers as the runtime measured them.
pub fn measure(pod: &Pod, paths: &Paths, writable: BTreeMap<String, u64>) -> Usage {
    let mut usage = Usage { containers: writable, ..Usage::default() };
    for volume in pod.spec().volumes.iter().flatten() {
        let on_disk = volume.empty_dir.as_ref().is_some_and(|dir| dir.medium.as_deref().unwrap_or_default().is_empty());
        if on_disk {
            let path = paths.volume(pod.uid(), "kubernetes.io/empty-dir", &volume.name);
            usage.empty_dirs.insert(volume.name.clone(), disk_usage(&path));
        }
    }
    let logs = paths.logs_of(pod);
    for container in &pod.spec().containers {
        *usage.containers.entry(container.name.clone()).or_default() += disk_usage(&logs.join(&container.name));
    }
    usage
}

/// Bytes that the files below `root` take on its file system. What vanishes meanwhile counts nothing.
fn disk_usage(root: &Path) -> u64 {
    let Ok(top) = root.symlink_metadata() else { return 0 };
    let (mut bytes, mut files, mut linked) = (0, 0, BTreeSet::new());
    let mut folders: Vec<PathBuf> = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            files += 1;
            if files > FILES_MAX {
                return bytes;
            }
            // A file with several names is there once, and another file system is not the pod's disk.
            if meta.dev() != top.dev() || (meta.nlink() > 1 && !meta.is_dir() && !linked.insert(meta.ino())) {
                continue;
            }
            bytes += meta.blocks() * 512;
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_owner_is_named() {
        let pod: Pod = serde_json::from_str(
            r#"{"spec":{"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Mi"}}],
                "containers":[{"name":"c","resources":{"limits":{"ephemeral-storage":"2Mi"}}}]}}"#,
        )
        .expect("valid");
        let usage = |volume: u64, container: u64| Usage {
            empty_dirs: [("v".to_owned(), volume)].into(),
            containers: [("c".to_owned(), container)].into(),
        };
        let message = |usage: Usage| exceeded(&pod, &usage).map(|one| one.message).unwrap_or_default();
        assert!(has_limit(&pod));
        assert_eq!(message(usage(1 << 20, 1 << 20)), "");
        assert_eq!(message(usage((1 << 20) + 1, 0)), "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ");
        assert_eq!(
            message(usage(1 << 20, (1 << 20) + 1)),
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "
        );
    }

    #[test]
    fn files_with_several_names_count_once() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("a"), vec![1; 100_000]).expect("written");
        let once = disk_usage(folder.path());
        std::fs::hard_link(folder.path().join("a"), folder.path().join("b")).expect("linked");
        assert!(once >= 100_000);
        assert_eq!(disk_usage(folder.path()), once);
    }
}
