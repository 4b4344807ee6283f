//! Control groups on disk, version 1 and 2, with cgroupfs and systemd names.
//!
//! Folders are made directly in both cases; systemd adopts a slice that it finds. It is not asked over D-Bus.
//!
//! upstream: pkg/kubelet/cm/cgroup_manager_linux.go, cgroup_v1_manager_linux.go, cgroup_v2_manager_linux.go

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::pod::resources::PodLimits;

const ROOT: &str = "/sys/fs/cgroup";
/// Hierarchies of version 1 in which the kubelet makes its groups.
const V1_CONTROLLERS: [&str; 6] = ["cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb"];
const V2_CONTROLLERS: &str = "+cpu +cpuset +memory +pids +hugetlb";

/// Which generation the node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// One hierarchy per controller.
    V1,
    /// One hierarchy.
    V2,
}

/// How groups are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    /// As they are called.
    Cgroupfs,
    /// As slices.
    Systemd,
}

/// A group by its path from the root, such as `["kubepods", "burstable", "pod123"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CgroupName(pub Vec<String>);

impl CgroupName {
    /// Reads a path with slashes.
    pub fn parse(path: &str) -> Self {
        Self(path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    /// The child `name` of this group.
    pub fn child(&self, name: &str) -> Self {
        let mut parts = self.0.clone();
        parts.push(name.to_owned());
        Self(parts)
    }

    /// Path from the root of a hierarchy, with a leading slash.
    pub fn path(&self, driver: CgroupDriver) -> String {
        match driver {
            CgroupDriver::Cgroupfs => format!("/{}", self.0.join("/")),
            CgroupDriver::Systemd => {
                let mut path = String::new();
                let mut slice = String::new();
                for part in &self.0 {
                    if !slice.is_empty() {
                        slice.push('-');
                    }
                    slice.push_str(&part.replace('-', "_"));
                    path.push_str(&format!("/{slice}.slice"));
                }
                if path.is_empty() { "/".to_owned() } else { path }
            }
        }
    }

    /// What the runtime is told: the path, or the last slice alone.
    pub fn runtime_parent(&self, driver: CgroupDriver) -> String {
        let path = self.path(driver);
        match driver {
            CgroupDriver::Cgroupfs => path,
            CgroupDriver::Systemd => path.rsplit('/').next().unwrap_or_default().to_owned(),
        }
    }
}

/// The hierarchies of this node.
#[derive(Clone, Debug)]
pub struct Cgroups {
    version: CgroupVersion,
    driver: CgroupDriver,
    root: PathBuf,
}

impl Cgroups {
    /// Looks which version is mounted.
    pub fn detect(driver: CgroupDriver) -> Self {
        let root = PathBuf::from(ROOT);
        let unified = root.join("cgroup.controllers").exists();
        Self { version: if unified { CgroupVersion::V2 } else { CgroupVersion::V1 }, driver, root }
    }

    pub fn version(&self) -> CgroupVersion {
        self.version
    }

    pub fn driver(&self) -> CgroupDriver {
        self.driver
    }

    /// The folders of a group, one per hierarchy that is mounted.
    fn folders(&self, name: &CgroupName) -> Vec<PathBuf> {
        let path = name.path(self.driver);
        let path = path.trim_start_matches('/');
        match self.version {
            CgroupVersion::V2 => vec![self.root.join(path)],
            CgroupVersion::V1 => {
                let mounted = V1_CONTROLLERS.iter().map(|controller| self.root.join(controller));
                mounted.filter(|folder| folder.is_dir()).map(|folder| folder.join(path)).collect()
            }
        }
    }

    fn folder(&self, controller: &str, name: &CgroupName) -> PathBuf {
        let path = name.path(self.driver);
        let path = path.trim_start_matches('/');
        match self.version {
            CgroupVersion::V2 => self.root.join(path),
            CgroupVersion::V1 => self.root.join(controller).join(path),
        }
    }

    pub fn exists(&self, name: &CgroupName) -> bool {
        self.folders(name).iter().all(|folder| folder.is_dir())
    }

    pub fn ensure(&self, name: &CgroupName, limits: &PodLimits) -> io::Result<()> {
        for depth in 1..=name.0.len() {
            let ancestor = CgroupName(name.0[..depth].to_vec());
            for folder in self.folders(&ancestor) {
                if !folder.is_dir() {
                    fs::create_dir(&folder).or_else(exists_already)?;
                }
                self.prepare(&folder, depth < name.0.len())?;
            }
        }
        match self.version {
            CgroupVersion::V1 => self.write_v1(name, limits),
            CgroupVersion::V2 => self.write_v2(name, limits),
        }
    }

    /// A new group of version 1 has no CPUs; one of version 2 hands no controller on.
    fn prepare(&self, folder: &Path, has_children: bool) -> io::Result<()> {
        match self.version {
            CgroupVersion::V2 if has_children => enable_controllers(folder),
            CgroupVersion::V1 if folder.starts_with(self.root.join("cpuset")) => {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    inherit(folder, file)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn write_v1(&self, name: &CgroupName, limits: &PodLimits) -> io::Result<()> {
        let cpu = self.folder("cpu", name);
        write_if_there(&cpu.join("cpu.shares"), &limits.cpu_shares.to_string())?;
        if limits.cpu_period_us > 0 {
            write_if_there(&cpu.join("cpu.cfs_period_us"), &limits.cpu_period_us.to_string())?;
            write_if_there(&cpu.join("cpu.cfs_quota_us"), &limits.cpu_quota_us.unwrap_or(-1).to_string())?;
        }
        let memory = self.folder("memory", name).join("memory.limit_in_bytes");
        write_if_there(&memory, &limits.memory_bytes.unwrap_or(-1).to_string())
    }

    fn write_v2(&self, name: &CgroupName, limits: &PodLimits) -> io::Result<()> {
        let folder = self.folder("", name);
        write_if_there(&folder.join("cpu.weight"), &cpu_weight(limits.cpu_shares).to_string())?;
        if limits.cpu_period_us > 0 {
            let quota = limits.cpu_quota_us.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
            write_if_there(&folder.join("cpu.max"), &format!("{quota} {}", limits.cpu_period_us))?;
        }
        let memory = limits.memory_bytes.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
        write_if_there(&folder.join("memory.max"), &memory)
    }

    pub fn limits(&self, name: &CgroupName) -> io::Result<PodLimits> {
        match self.version {
            CgroupVersion::V1 => {
                let (cpu, memory) = (self.folder("cpu", name), self.folder("memory", name));
                let quota = read_number(&cpu.join("cpu.cfs_quota_us")).ok();
                Ok(PodLimits {
                    cpu_shares: u64::try_from(read_number(&cpu.join("cpu.shares"))?).unwrap_or(0),
                    cpu_quota_us: quota.filter(|quota| *quota > 0),
                    cpu_period_us: read_number(&cpu.join("cpu.cfs_period_us")).unwrap_or(0),
                    memory_bytes: below_v1_maximum(read_number(&memory.join("memory.limit_in_bytes"))?),
                })
            }
            CgroupVersion::V2 => {
                let folder = self.folder("", name);
                let max = fs::read_to_string(folder.join("cpu.max"))?;
                let mut max = max.split_whitespace();
                let quota = max.next().and_then(|quota| quota.parse().ok());
                Ok(PodLimits {
                    cpu_shares: cpu_shares_of(read_number(&folder.join("cpu.weight"))?),
                    cpu_quota_us: quota,
                    cpu_period_us: max.next().and_then(|period| period.parse().ok()).unwrap_or(0),
                    memory_bytes: read_number(&folder.join("memory.max")).ok(),
                })
            }
        }
    }

    pub fn memory_usage(&self, name: &CgroupName) -> Option<i64> {
        let file = match self.version {
            CgroupVersion::V1 => "memory.usage_in_bytes",
            CgroupVersion::V2 => "memory.current",
        };
        read_number(&self.folder("memory", name).join(file)).ok()
    }

    /// Pids in the group and below it.
    pub fn pids(&self, name: &CgroupName) -> Vec<i32> {
        let mut pids = Vec::new();
        for folder in self.folders(name) {
            collect_pids(&folder, &mut pids);
        }
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    pub fn remove(&self, name: &CgroupName) -> io::Result<()> {
        for folder in self.folders(name) {
            remove_tree(&folder)?;
        }
        Ok(())
    }

    pub fn children(&self, name: &CgroupName) -> Vec<String> {
        let folder = self.folder("memory", name);
        subfolders(&folder).iter().filter_map(|child| child.file_name()?.to_str().map(str::to_owned)).collect()
    }
}

/// upstream: pkg/kubelet/cm/cgroup_manager_linux.go: getCPUWeight
fn cpu_weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// The least number of shares that makes this weight.
fn cpu_shares_of(weight: i64) -> u64 {
    let weight = u64::try_from(weight.clamp(1, 10_000)).unwrap_or(1);
    2 + ((weight - 1) * 262_142).div_ceil(9999)
}

/// Without a limit version 1 shows the largest multiple of a page.
fn below_v1_maximum(bytes: i64) -> Option<i64> {
    (bytes < i64::MAX - (1 << 20)).then_some(bytes)
}

fn read_number(file: &Path) -> io::Result<i64> {
    fs::read_to_string(file)?.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

fn exists_already(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

fn write_if_there(file: &Path, value: &str) -> io::Result<()> {
    match fs::write(file, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn enable_controllers(folder: &Path) -> io::Result<()> {
    let file = folder.join("cgroup.subtree_control");
    for controller in V2_CONTROLLERS.split(' ') {
        // Not every kernel has every controller; what is missing shows when a limit is written.
        let _absent = fs::write(&file, controller);
    }
    Ok(())
}

fn inherit(folder: &Path, file: &str) -> io::Result<()> {
    let own = fs::read_to_string(folder.join(file)).unwrap_or_default();
    if !own.trim().is_empty() {
        return Ok(());
    }
    let parent = folder.parent().map(|parent| parent.join(file));
    let value = parent.and_then(|parent| fs::read_to_string(parent).ok()).unwrap_or_default();
    write_if_there(&folder.join(file), value.trim())
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

fn collect_pids(folder: &Path, pids: &mut Vec<i32>) {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for child in subfolders(folder) {
        collect_pids(&child, pids);
    }
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    for child in subfolders(folder) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_both_drivers() {
        let name = CgroupName::parse("/kubepods/burstable").child("pod12-34");
        assert_eq!(name.path(CgroupDriver::Cgroupfs), "/kubepods/burstable/pod12-34");
        assert_eq!(
            name.path(CgroupDriver::Systemd),
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice"
        );
        assert_eq!(name.runtime_parent(CgroupDriver::Systemd), "kubepods-burstable-pod12_34.slice");
    }

    #[test]
    fn weights_span_the_whole_range() {
        assert_eq!([2, 1024, 262_144].map(cpu_weight), [1, 39, 10_000]);
        for weight in [1, 39, 100, 10_000] {
            assert_eq!(cpu_weight(cpu_shares_of(weight)), u64::try_from(weight).expect("positive"));
        }
    }
}
