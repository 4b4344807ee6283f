//! Where things are on the node: one place that knows the layout of the root folder and of the logs.
//!
//! The layout is a contract: upstream's kubelet finds what ours left, and log collectors read the names.
//!
//! upstream: pkg/kubelet/kubelet_getters.go, pkg/kubelet/kuberuntime/helpers.go, legacy.go

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use crate::pod::view::PodView;

/// Roots of the kubelet's folders.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
    pod_logs: PathBuf,
    container_logs: PathBuf,
}

impl Paths {
    /// `root` is `--root-dir`, `pod_logs` is `podLogsDir`.
    pub fn new(root: impl Into<PathBuf>, pod_logs: impl Into<PathBuf>) -> Self {
        let pod_logs = pod_logs.into();
        let container_logs = pod_logs.parent().unwrap_or(Path::new("/var/log")).join("containers");
        Self { root: root.into(), pod_logs, container_logs }
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of all pods.
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    /// Folder of one pod.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    /// Folder of a volume of a pod; `plugin` is a name such as `kubernetes.io/secret`.
    pub fn volume(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.pod(uid).join("volumes").join(plugin.replace('/', "~")).join(name)
    }

    /// Where a plugin keeps notes about a volume of a pod.
    pub fn volume_notes(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.pod(uid).join("plugins").join(plugin.replace('/', "~")).join(name)
    }

    /// Mount point of a sub path of a volume in a container.
    pub fn sub_path(&self, uid: &str, volume: &str, container: &str, index: usize) -> PathBuf {
        self.pod(uid).join("volume-subpaths").join(volume).join(container).join(index.to_string())
    }

    /// Folder of the termination messages of a container.
    pub fn container(&self, uid: &str, container: &str) -> PathBuf {
        self.pod(uid).join("containers").join(container)
    }

    /// The hosts file of a pod.
    pub fn etc_hosts(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    /// Folder of local seccomp profiles.
    pub fn seccomp(&self) -> PathBuf {
        self.root.join("seccomp")
    }

    /// Folder of all pods' logs.
    pub fn pod_logs(&self) -> &Path {
        &self.pod_logs
    }

    /// Folder of links to logs by container.
    pub fn container_logs(&self) -> &Path {
        &self.container_logs
    }

    /// Folder of a pod's logs.
    pub fn logs_of(&self, pod: &Pod) -> PathBuf {
        self.pod_logs.join(format!("{}_{}_{}", pod.namespace(), pod.name(), pod.uid()))
    }

    /// The link by which log collectors find a container's log.
    pub fn log_link(&self, pod: &Pod, container: &str, id: &str) -> PathBuf {
        self.container_logs.join(format!("{}_{}_{container}-{id}.log", pod.name(), pod.namespace()))
    }
}

/// Path of a container's log below its pod's folder.
pub fn log_file(container: &str, restart_count: i32) -> String {
    format!("{container}/{restart_count}.log")
}
