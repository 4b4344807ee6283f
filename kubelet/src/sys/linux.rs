//! [`Kernel`] on Linux.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Pid, Signal, kill_process};

use super::cgroups::Cgroups;
use super::{CgroupDriver, CgroupName, CgroupVersion, FilesystemSpace, Kernel};
use crate::pod::resources::PodLimits;

/// How often the processes of a group are killed before it is given up for now.
const KILL_ATTEMPTS_MAX: usize = 5;

/// The real kernel.
#[derive(Clone, Debug)]
pub struct Linux {
    cgroups: Cgroups,
}

impl Linux {
    /// Looks at the node.
    pub fn new(driver: CgroupDriver) -> Self {
        Self { cgroups: Cgroups::detect(driver) }
    }
}

impl Kernel for Linux {
    fn mount_tmpfs(&self, target: &Path, size_bytes: Option<u64>) -> io::Result<()> {
        let options = size_bytes.map(|size| format!("size={size}")).unwrap_or_default();
        let data = std::ffi::CString::new(options)?;
        Ok(rustix::mount::mount("tmpfs", target, "tmpfs", MountFlags::empty(), data.as_c_str())?)
    }

    fn bind_beneath(&self, volume: &Path, relative: &Path, target: &Path) -> io::Result<()> {
        let root = rustix::fs::open(volume, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let found = rustix::fs::openat2(
            &root,
            relative,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        )?;
        // The descriptor names what was checked, so nobody can put a link in its place before the mount.
        let source = format!("/proc/self/fd/{}", found.as_raw_fd());
        Ok(rustix::mount::mount_bind(source, target)?)
    }

    fn read_beneath(&self, root: &Path, relative: &Path, bytes_max: u64) -> io::Result<String> {
        let root = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        // A pipe in its place must not hold the kubelet up.
        let found = rustix::fs::openat2(
            &root,
            relative,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        )?;
        let file = fs::File::from(found);
        let meta = file.metadata()?;
        if !meta.is_file() || meta.len() > bytes_max {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let mut text = String::new();
        file.take(bytes_max).read_to_string(&mut text)?;
        Ok(text)
    }

    fn unmount(&self, target: &Path) -> io::Result<()> {
        match rustix::mount::unmount(target, UnmountFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
            Err(rustix::io::Errno::BUSY) => Ok(rustix::mount::unmount(target, UnmountFlags::DETACH)?),
            Err(error) => Err(error.into()),
        }
    }

    fn mounts_below(&self, root: &Path) -> io::Result<Vec<PathBuf>> {
        let table = fs::read_to_string("/proc/self/mountinfo")?;
        let mut found: Vec<PathBuf> = table
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .map(|path| PathBuf::from(unescape(path)))
            .filter(|path| path.starts_with(root))
            .collect();
        found.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        Ok(found)
    }

    fn filesystem_space(&self, path: &Path) -> io::Result<FilesystemSpace> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(FilesystemSpace {
            capacity_bytes: stat.f_blocks * stat.f_frsize,
            available_bytes: stat.f_bavail * stat.f_frsize,
            inodes: stat.f_files,
            inodes_free: stat.f_ffree,
        })
    }

    fn cgroup_version(&self) -> CgroupVersion {
        self.cgroups.version()
    }

    fn cgroup_parent(&self, name: &CgroupName) -> String {
        name.runtime_parent(self.cgroups.driver())
    }

    fn cgroup_exists(&self, name: &CgroupName) -> bool {
        self.cgroups.exists(name)
    }

    fn ensure_cgroup(&self, name: &CgroupName, limits: &PodLimits) -> io::Result<()> {
        self.cgroups.ensure(name, limits)
    }

    fn cgroup_limits(&self, name: &CgroupName) -> io::Result<PodLimits> {
        self.cgroups.limits(name)
    }

    fn cgroup_memory_usage(&self, name: &CgroupName) -> Option<i64> {
        self.cgroups.memory_usage(name)
    }

    fn remove_cgroup(&self, name: &CgroupName) -> io::Result<()> {
        for _attempt in 0..KILL_ATTEMPTS_MAX {
            let pids = self.cgroups.pids(name);
            if pids.is_empty() {
                break;
            }
            for pid in pids.into_iter().filter_map(Pid::from_raw) {
                let _gone_already = kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.cgroups.remove(name)
    }

    fn cgroup_is_used(&self, name: &CgroupName) -> bool {
        !self.cgroups.pids(name).is_empty()
    }

    fn cgroup_children(&self, name: &CgroupName) -> Vec<String> {
        self.cgroups.children(name)
    }

    fn set_own_oom_score(&self, score: i32) -> io::Result<()> {
        fs::write("/proc/self/oom_score_adj", score.to_string())
    }
}

/// The mount table writes blanks and the like as `\040`.
fn unescape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescapes_mount_points() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape("/plain"), "/plain");
    }

    #[test]
    fn the_root_is_mounted() {
        let linux = Linux::new(CgroupDriver::Cgroupfs);
        assert!(!linux.mounts_below(Path::new("/")).expect("readable").is_empty());
        assert!(linux.filesystem_space(Path::new("/")).expect("there").capacity_bytes > 0);
    }
}
