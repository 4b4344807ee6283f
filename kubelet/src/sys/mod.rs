//! The seam to the kernel: mounts, control groups, file systems and facts about the machine.
//!
//! Nothing above this folder makes a system call that changes the node. Two kinds of control groups are supported: v1
//! with its hierarchies and the unified v2; which one it is shows at `/sys/fs/cgroup`.
//!
//! upstream: pkg/kubelet/cm, staging/src/k8s.io/mount-utils, vendor/github.com/google/cadvisor/machine

mod cgroups;
mod linux;
mod machine;

use std::io;
use std::path::{Path, PathBuf};

pub use cgroups::{CgroupDriver, CgroupName, CgroupVersion};
pub use linux::Linux;
pub use machine::{Machine, apparmor_is_enabled, kernel_version, memory_available_bytes, process_counts};

use crate::pod::resources::PodLimits;

/// Usage of the file system that holds a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilesystemSpace {
    /// Size in bytes.
    pub capacity_bytes: u64,
    /// Bytes that an ordinary user may still take.
    pub available_bytes: u64,
    /// Number of inodes.
    pub inodes: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
}

/// What the kubelet asks of the kernel. One implementation is real; tests have their own.
pub trait Kernel: Send + Sync + 'static {
    /// Mounts a fresh memory file system, limited to `size_bytes` where given.
    ///
    /// # Errors
    /// The mount failed.
    fn mount_tmpfs(&self, target: &Path, size_bytes: Option<u64>) -> io::Result<()>;

    /// Binds `relative` inside of `volume` to `target`, which exists. Never leaves the volume, whatever links are in it.
    ///
    /// # Errors
    /// The path does not exist, leads out of the volume, or the mount failed.
    fn bind_beneath(&self, volume: &Path, relative: &Path, target: &Path) -> io::Result<()>;

    /// Reads the text of the file `relative` inside of `root`, whatever links are in it.
    ///
    /// # Errors
    /// It does not exist, leads out of `root`, or is longer than `bytes_max`.
    fn read_beneath(&self, root: &Path, relative: &Path, bytes_max: u64) -> io::Result<String>;

    /// Unmounts `target`. It is no error that nothing is mounted there.
    ///
    /// # Errors
    /// The kernel refused.
    fn unmount(&self, target: &Path) -> io::Result<()>;

    /// All mount points at or below `root`, the deepest first.
    ///
    /// # Errors
    /// The table cannot be read.
    fn mounts_below(&self, root: &Path) -> io::Result<Vec<PathBuf>>;

    /// Space on the file system that holds `path`.
    ///
    /// # Errors
    /// The path does not exist.
    fn filesystem_space(&self, path: &Path) -> io::Result<FilesystemSpace>;

    /// Which control groups this node has.
    fn cgroup_version(&self) -> CgroupVersion;

    /// The path of a group in the form that the runtime is told.
    fn cgroup_parent(&self, name: &CgroupName) -> String;

    /// True when the group exists in every hierarchy that matters.
    fn cgroup_exists(&self, name: &CgroupName) -> bool;

    /// Creates the group, with its parents, and sets its limits.
    ///
    /// # Errors
    /// A folder or a limit could not be written.
    fn ensure_cgroup(&self, name: &CgroupName, limits: &PodLimits) -> io::Result<()>;

    /// The limits that the group has.
    ///
    /// # Errors
    /// The group does not exist or cannot be read.
    fn cgroup_limits(&self, name: &CgroupName) -> io::Result<PodLimits>;

    /// Bytes of memory that the group uses; `None` where the kernel does not tell.
    fn cgroup_memory_usage(&self, name: &CgroupName) -> Option<i64>;

    /// Kills what still runs in the group and removes it. Idempotent.
    ///
    /// # Errors
    /// Something in it does not die.
    fn remove_cgroup(&self, name: &CgroupName) -> io::Result<()>;

    /// True when processes are in the group or below it.
    fn cgroup_is_used(&self, name: &CgroupName) -> bool;

    /// Names of the direct children of a group, as they are on disk.
    fn cgroup_children(&self, name: &CgroupName) -> Vec<String>;

    /// Sets the kubelet's own score for the killer of processes.
    ///
    /// # Errors
    /// The capability to lower it is missing.
    fn set_own_oom_score(&self, score: i32) -> io::Result<()>;
}
