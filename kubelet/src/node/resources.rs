//! What the node has, and what of it pods may use. Pure, except for reading what the machine has.
//!
//! upstream: pkg/kubelet/cm/node_container_manager_linux.go: GetNodeAllocatableReservation, nodestatus/setters.go: MachineInfo

use std::collections::BTreeMap;

use apimachinery::quantity::{Format, Quantity};

use crate::options::Configuration;
use crate::sys::{FilesystemSpace, Machine};

type Amounts = BTreeMap<String, String>;

/// Capacity and allocatable as the API writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeResources {
    /// What is there.
    pub capacity: Amounts,
    /// What pods may use.
    pub allocatable: Amounts,
}

/// What is kept from pods.
#[derive(Clone, Debug, Default)]
pub struct Reservations {
    reserved: Vec<Amounts>,
    eviction_hard: Amounts,
    pods: i64,
}

impl Reservations {
    /// From the configuration, on a machine with `cpus`.
    pub fn new(config: &Configuration, cpus: usize) -> Self {
        let per_core = i64::from(config.pods_per_core).saturating_mul(i64::try_from(cpus).unwrap_or(i64::MAX));
        let max = i64::from(config.max_pods);
        Self {
            reserved: vec![config.kube_reserved.clone(), config.system_reserved.clone()],
            eviction_hard: config.eviction_hard.clone().unwrap_or_default(),
            pods: if per_core > 0 { per_core.min(max) } else { max },
        }
    }

    fn of(&self, name: &str) -> i64 {
        let amounts =
            self.reserved.iter().filter_map(|list| list.get(name)).filter_map(|text| Quantity::parse(text).ok());
        if name == "cpu" {
            amounts.map(|amount| amount.milli_value()).sum()
        } else {
            amounts.map(|amount| amount.value()).sum()
        }
    }

    /// A threshold in bytes; a percentage is one of `capacity`.
    fn eviction(&self, signal: &str, capacity: i64) -> i64 {
        threshold(self.eviction_hard.get(signal).map(String::as_str).unwrap_or_default(), capacity)
    }
}

/// Reads `100Mi` or `10%` of `capacity`.
pub fn threshold(text: &str, capacity: i64) -> i64 {
    match text.strip_suffix('%') {
        // In single precision, as upstream: the last digits are compared by people.
        Some(percent) => percent.parse::<f32>().map_or(0, |percent| scaled(capacity, f64::from(percent / 100.0))),
        None => Quantity::parse(text).map_or(0, |amount| amount.value()),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a share of a disk needs no exact bytes"
)]
fn scaled(capacity: i64, factor: f64) -> i64 {
    (capacity as f64 * factor) as i64
}

/// Computes both lists.
pub fn node_resources(
    machine: &Machine,
    disk: &FilesystemSpace,
    hugepages: &Amounts,
    kept: &Reservations,
) -> NodeResources {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let mut out = NodeResources::default();
    let mut put = |name: &str, capacity: Quantity, allocatable: Quantity| {
        out.capacity.insert(name.to_owned(), capacity.to_string());
        out.allocatable.insert(name.to_owned(), allocatable.to_string());
    };
    let cpus = i64::try_from(machine.cpus).unwrap_or(1);
    let cpu_left = (cpus * 1000 - kept.of("cpu")).max(0);
    put("cpu", Quantity::new(cpus, Format::DecimalSi), Quantity::from_milli(cpu_left, Format::DecimalSi));
    let memory = signed(machine.memory_bytes);
    let memory_left = (memory - kept.of("memory") - kept.eviction("memory.available", memory)).max(0);
    put("memory", Quantity::new(memory, Format::BinarySi), Quantity::new(memory_left, Format::BinarySi));
    let size = signed(disk.capacity_bytes);
    let size_left = (size - kept.of("ephemeral-storage") - kept.eviction("nodefs.available", size)).max(0);
    put("ephemeral-storage", Quantity::new(size, Format::BinarySi), Quantity::new(size_left, Format::DecimalSi));
    put("pods", Quantity::new(kept.pods, Format::DecimalSi), Quantity::new(kept.pods, Format::DecimalSi));
    for (name, amount) in hugepages {
        if let Ok(amount) = Quantity::parse(amount) {
            put(name, amount.clone(), amount);
        }
    }
    out
}

/// Huge pages by size, as the kernel has them.
pub fn hugepages() -> Amounts {
    let entries = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let mut out = Amounts::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let size = name
            .strip_prefix("hugepages-")
            .and_then(|size| size.strip_suffix("kB"))
            .and_then(|size| size.parse::<i64>().ok());
        let count = std::fs::read_to_string(entry.path().join("nr_hugepages")).ok();
        let count = count.and_then(|count| count.trim().parse::<i64>().ok()).unwrap_or(0);
        if let Some(kibibytes) = size {
            let one = Quantity::new(kibibytes * 1024, Format::BinarySi);
            let all = Quantity::new(kibibytes * 1024 * count, Format::BinarySi);
            out.insert(format!("hugepages-{one}"), all.to_string());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtracts_reservations_and_thresholds() {
        let machine = Machine { cpus: 2, memory_bytes: 4 << 30, ..Machine::default() };
        let disk = FilesystemSpace { capacity_bytes: 100 << 30, ..FilesystemSpace::default() };
        let mut config = Configuration::default();
        config.complete();
        config.kube_reserved = [("cpu".to_owned(), "100m".to_owned()), ("memory".to_owned(), "1Gi".to_owned())].into();
        let got = node_resources(&machine, &disk, &Amounts::new(), &Reservations::new(&config, 2));
        assert_eq!(got.capacity["cpu"], "2");
        assert_eq!(got.allocatable["cpu"], "1900m");
        assert_eq!(got.capacity["memory"], "4Gi");
        assert_eq!(got.allocatable["memory"], "2972Mi");
        assert_eq!(got.allocatable["ephemeral-storage"], "96636764k");
        assert_eq!(got.allocatable["pods"], "110");
    }
}
