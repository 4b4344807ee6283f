//! Facts about the machine: they are read once at start, and again only when the node's status is written.
//!
//! upstream: pkg/kubelet/cadvisor, vendor/github.com/google/cadvisor/machine

use std::fs;

/// What does not change while the kubelet runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Number of CPUs.
    pub cpus: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Swap in bytes.
    pub swap_bytes: u64,
    /// Facts for the node's status.
    pub facts: SystemFacts,
}

/// Identity of the machine and of its system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemFacts {
    /// From /etc/machine-id.
    pub machine_id: String,
    /// From the firmware.
    pub system_uuid: String,
    /// New with every boot.
    pub boot_id: String,
    /// As `uname -r` prints it.
    pub kernel_version: String,
    /// Name of the distribution.
    pub os_image: String,
    /// `amd64`, `arm64` …
    pub architecture: String,
}

impl Machine {
    /// Reads them. What cannot be read is empty.
    pub fn read() -> Self {
        let meminfo = read("/proc/meminfo");
        Self {
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: kibibytes(&meminfo, "MemTotal:"),
            swap_bytes: kibibytes(&meminfo, "SwapTotal:"),
            facts: SystemFacts::read(),
        }
    }
}

impl SystemFacts {
    fn read() -> Self {
        let uname = rustix::system::uname();
        let machine_id = ["/etc/machine-id", "/var/lib/dbus/machine-id"].map(read);
        let machine_id = machine_id.into_iter().find(|id| !id.is_empty()).unwrap_or_default();
        let system_uuid = Some(read("/sys/class/dmi/id/product_uuid")).filter(|uuid| !uuid.is_empty());
        Self {
            system_uuid: system_uuid.unwrap_or_else(|| machine_id.clone()),
            machine_id,
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            kernel_version: uname.release().to_string_lossy().into_owned(),
            os_image: os_image(),
            architecture: go_architecture(&uname.machine().to_string_lossy()).to_owned(),
        }
    }
}

/// Memory that is in use and cannot be reclaimed easily, in bytes: the signal for memory pressure.
pub fn memory_available_bytes() -> u64 {
    kibibytes(&read("/proc/meminfo"), "MemAvailable:")
}

/// Processes that exist, and the most that may.
pub fn process_counts() -> (u64, u64) {
    let maximum = read("/proc/sys/kernel/pid_max").parse().unwrap_or(0);
    // The fourth field is "runnable/all".
    let load = read("/proc/loadavg");
    let all =
        load.split_whitespace().nth(3).and_then(|field| field.split_once('/')).and_then(|(_, all)| all.parse().ok());
    (all.unwrap_or(0), maximum)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn kibibytes(meminfo: &str, field: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn os_image() -> String {
    let text = read("/etc/os-release");
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux");
    name.trim_matches('"').to_owned()
}

fn go_architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" => "386",
        "armv7l" | "armv6l" => "arm",
        other => other,
    }
}

/// Major and minor version of the kernel; zeros where it cannot be read, so that nothing is taken for new enough.
pub fn kernel_version() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// True when the kernel confines processes with AppArmor.
pub fn apparmor_is_enabled() -> bool {
    let text = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
    text.starts_with('Y') && std::path::Path::new("/sys/kernel/security/apparmor").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_meminfo() {
        assert_eq!(kibibytes("MemTotal:       16 kB\nMemFree: 1 kB\n", "MemTotal:"), 16 * 1024);
        assert_eq!(kibibytes("", "MemTotal:"), 0);
    }

    #[test]
    fn this_machine_has_cpus_and_memory() {
        let machine = Machine::read();
        assert!(machine.cpus > 0 && machine.memory_bytes > 0 && !machine.facts.kernel_version.is_empty());
    }
}
