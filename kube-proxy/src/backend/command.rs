//! Runs the tools of packet filters: arguments and standard input in, standard output out, with a deadline.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

/// No tool may take longer; iptables itself waits five seconds for its lock.
const DEADLINE: Duration = Duration::from_secs(120);

/// A tool failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("cannot run {tool}")]
    Start {
        /// The tool.
        tool: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It took too long.
    #[error("{0} did not end in time")]
    Deadline(String),
    /// It ended with an error.
    #[error("{tool} failed with {status}: {stderr}")]
    Failed {
        /// The tool.
        tool: String,
        /// Exit status.
        status: std::process::ExitStatus,
        /// What it said.
        stderr: String,
    },
}

impl CommandError {
    /// The exit code, when there is one.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Failed { status, .. } => status.code(),
            Self::Start { .. } | Self::Deadline(_) => None,
        }
    }
}

/// A tool, its arguments and its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command<'a> {
    /// The tool.
    pub tool: &'a str,
    /// Its arguments.
    pub args: Vec<&'a str>,
    /// Its standard input.
    pub input: &'a [u8],
}

impl<'a> Command<'a> {
    /// A tool without input.
    pub fn new(tool: &'a str, args: impl IntoIterator<Item = &'a str>) -> Self {
        Self { tool, args: args.into_iter().collect(), input: &[] }
    }

    /// Gives it input.
    #[must_use]
    pub fn input(mut self, input: &'a [u8]) -> Self {
        self.input = input;
        self
    }
}

/// Runs a tool; its standard output.
///
/// # Errors
/// See [`CommandError`].
pub async fn run_command(command: Command<'_>) -> Result<Vec<u8>, CommandError> {
    let tool = || command.tool.to_owned();
    let start = |source| CommandError::Start { tool: tool(), source };
    let mut child = tokio::process::Command::new(command.tool)
        .args(&command.args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let stdin = child.stdin.take();
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // A tool that ends without reading everything says why by its status.
            let _ = stdin.write_all(command.input).await;
        }
    };
    let whole = async { tokio::join!(feed, child.wait_with_output()).1 };
    let output = tokio::time::timeout(DEADLINE, whole).await;
    let output = output.map_err(|_elapsed| CommandError::Deadline(tool()))?.map_err(start)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(CommandError::Failed { tool: tool(), status: output.status, stderr })
}
