//! The `process_*` metrics, read from /proc when they are asked for.

use super::{counter, gauge};

const TICKS: f64 = 100.0;

/// The fields of /proc/self/stat after the command.
fn stat() -> Option<Vec<f64>> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command may hold spaces: fields are counted after the closing parenthesis.
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(rest.split(' ').map(|field| field.parse().unwrap_or(0.0)).collect())
}

pub(super) fn start_seconds() -> f64 {
    let since_boot = stat().and_then(|fields| fields.get(19).copied()).unwrap_or(0.0) / TICKS;
    let boot = std::fs::read_to_string("/proc/stat")
        .ok()
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok());
    boot.unwrap_or(0.0) + since_boot
}

/// The soft limit of a row of /proc/self/limits.
fn limit(row: &str) -> f64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let found = limits.lines().find_map(|line| line.strip_prefix(row)?.split_whitespace().next()?.parse().ok());
    // unlimited
    found.unwrap_or(u64::MAX as f64)
}

/// Bytes received and sent over all interfaces.
fn network() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let rows = text.lines().filter_map(|line| line.split_once(':')).map(|(_, rest)| {
        let numbers: Vec<f64> = rest.split_whitespace().map(|n| n.parse().unwrap_or(0.0)).collect();
        (numbers.first().copied().unwrap_or(0.0), numbers.get(8).copied().unwrap_or(0.0))
    });
    rows.fold((0.0, 0.0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
}

pub(super) fn refresh() {
    let Some(fields) = stat() else { return };
    let at = |index: usize| fields.get(index).copied().unwrap_or(0.0);
    let count = |name: &str, help: &str, value: f64| {
        let none: &[&str] = &[];
        let counter = counter(name, help, none).with_label_values(none);
        counter.inc_by((value - counter.get()).max(0.0));
    };
    let set = |name: &str, help: &str, value: f64| {
        let none: &[&str] = &[];
        gauge(name, help, none).with_label_values(none).set(value);
    };
    count("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", (at(11) + at(12)) / TICKS);
    let (received, sent) = network();
    count("process_network_receive_bytes_total", "Bytes received over the network.", received);
    count("process_network_transmit_bytes_total", "Bytes sent over the network.", sent);
    set("process_start_time_seconds", "When the process started, in seconds since 1970.", start_seconds());
    set("process_max_fds", "Maximum number of open file descriptors.", limit("Max open files"));
    set("process_virtual_memory_max_bytes", "Maximum of virtual memory in bytes.", limit("Max address space"));
    set("process_virtual_memory_bytes", "Virtual memory size in bytes.", at(20));
    set("process_resident_memory_bytes", "Resident memory size in bytes.", at(21) * 4096.0);
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    set("process_open_fds", "Number of open file descriptors.", descriptors as f64);
}
