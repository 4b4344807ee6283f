//! Memory and processor time of a process, read from /proc.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The resident set of a process in MiB; 0 once it has ended.
pub fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0);
    kib / 1024.0
}

/// User and system time that a process has used, in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    /// Ticks a second that the kernel counts in (USER_HZ), 100 on every Linux we run on.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is a name in parentheses that may hold spaces; the fields after it are counted.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS
}

/// The largest resident set seen while it is sampled.
pub struct Peak {
    end: Arc<AtomicBool>,
    sampler: tokio::task::JoinHandle<f64>,
}

impl Peak {
    /// Starts to look every 5 ms.
    pub fn sample(pid: u32) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ends = end.clone();
        let sampler = tokio::task::spawn_blocking(move || {
            let mut peak = 0.0_f64;
            while !ends.load(Ordering::Relaxed) {
                peak = peak.max(resident_mib(pid));
                std::thread::sleep(Duration::from_millis(5));
            }
            peak
        });
        Self { end, sampler }
    }

    /// Ends the sampling and answers the peak in MiB.
    pub async fn stop(self) -> f64 {
        self.end.store(true, Ordering::Relaxed);
        self.sampler.await.unwrap_or(0.0)
    }
}
