//! Conditions of the node.
//!
//! upstream: pkg/kubelet/nodestatus/setters.go

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::NodeCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::resources::threshold;
use crate::sys::FilesystemSpace;

/// What the node runs short of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Memory.
    pub memory: bool,
    /// Disk space or inodes.
    pub disk: bool,
    /// Process ids.
    pub pids: bool,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Memory that can be had, in bytes.
    pub memory_available_bytes: u64,
    /// Memory of the machine, in bytes.
    pub memory_bytes: u64,
    /// The file system of pods and logs.
    pub node_disk: FilesystemSpace,
    /// The file system of images.
    pub image_disk: FilesystemSpace,
    /// Processes that exist.
    pub processes: u64,
    /// Most processes that may exist.
    pub processes_max: u64,
}

impl Pressure {
    /// Compares what was measured with the hard eviction thresholds.
    pub fn of(thresholds: &BTreeMap<String, String>, measured: &Measured) -> Self {
        let below = |signal: &str, available: u64, capacity: u64| {
            let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            thresholds.get(signal).is_some_and(|text| signed(available) < threshold(text, signed(capacity)))
        };
        let disk = |name: &str, space: &FilesystemSpace| {
            below(&format!("{name}.available"), space.available_bytes, space.capacity_bytes)
                || below(&format!("{name}.inodesFree"), space.inodes_free, space.inodes)
        };
        Self {
            memory: below("memory.available", measured.memory_available_bytes, measured.memory_bytes),
            disk: disk("nodefs", &measured.node_disk) || disk("imagefs", &measured.image_disk),
            pids: below(
                "pid.available",
                measured.processes_max.saturating_sub(measured.processes),
                measured.processes_max,
            ),
        }
    }
}

/// The conditions, with the transition times of `old` where nothing changed. `problem` is why the node is not ready.
pub fn conditions(pressure: Pressure, problem: &str, old: &[NodeCondition], now: &Time) -> Vec<NodeCondition> {
    let pressed = |kind: &str, yes: bool, bad: (&str, &str), good: (&str, &str)| {
        let (reason, message) = if yes { bad } else { good };
        (kind.to_owned(), yes, reason.to_owned(), message.to_owned())
    };
    let all = [
        pressed(
            "MemoryPressure",
            pressure.memory,
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ),
        pressed(
            "DiskPressure",
            pressure.disk,
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ),
        pressed(
            "PIDPressure",
            pressure.pids,
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ),
        pressed(
            "Ready",
            problem.is_empty(),
            ("KubeletReady", "kubelet is posting ready status"),
            ("KubeletNotReady", problem),
        ),
    ];
    let foreign = old.iter().filter(|condition| !all.iter().any(|(kind, ..)| *kind == condition.type_)).cloned();
    let own = all.iter().map(|(kind, yes, reason, message)| {
        let status = if *yes { "True" } else { "False" };
        let before = old.iter().find(|condition| condition.type_ == *kind && condition.status == status);
        NodeCondition {
            type_: kind.clone(),
            status: status.to_owned(),
            reason: Some(reason.clone()),
            message: Some(message.clone()),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: before
                .and_then(|before| before.last_transition_time.clone())
                .or_else(|| Some(now.clone())),
        }
    });
    foreign.chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_follows_the_thresholds() {
        let thresholds = [("memory.available", "100Mi"), ("nodefs.available", "10%"), ("nodefs.inodesFree", "5%")]
            .map(|(signal, text)| (signal.to_owned(), text.to_owned()))
            .into();
        let disk = FilesystemSpace { capacity_bytes: 1000, available_bytes: 101, inodes: 100, inodes_free: 6 };
        let fine = Measured {
            memory_available_bytes: 200 << 20,
            memory_bytes: 1 << 30,
            node_disk: disk,
            ..Measured::default()
        };
        assert_eq!(Pressure::of(&thresholds, &fine), Pressure::default());
        let full = Measured { node_disk: FilesystemSpace { available_bytes: 99, ..disk }, ..fine };
        assert!(Pressure::of(&thresholds, &full).disk);
        let tight = Measured { memory_available_bytes: 50 << 20, ..fine };
        assert!(Pressure::of(&thresholds, &tight).memory);
    }
}
