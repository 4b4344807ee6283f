//! A child process with a log file; killed with SIGKILL when dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// The path of one of the workspace's binaries, built by `cargo build --workspace` into the folder that this test
/// runs from.
///
/// # Errors
/// When the binary has not been built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("the test's own path")?;
    let path = test.ancestors().nth(2).context("the folder of the build")?.join(name);
    anyhow::ensure!(path.exists(), "{} is not built; run `cargo build --workspace` first", path.display());
    Ok(path)
}

/// A running child process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its output appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be run.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> anyhow::Result<Self> {
        let output = File::options().create(true).append(true).open(log).context("open the log")?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process at once, as a crash does, and waits for it.
    pub fn kill(&mut self) {
        // A process that has ended already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The last lines of the log, when the process has ended by itself.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        Some(format!("{status}: {}", lines[lines.len().saturating_sub(15)..].join("\n")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal, named as `kill` names it (`-STOP`).
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: u32, signal: &str) -> anyhow::Result<()> {
    let status = Command::new("kill").arg(signal).arg(pid.to_string()).status()?;
    anyhow::ensure!(status.success(), "kill {signal} {pid}");
    Ok(())
}

/// The memory that a process holds, in MiB.
///
/// # Errors
/// When there is no such process.
pub fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
