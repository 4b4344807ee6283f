//! Start and end of a daemon: flags, logs, the configuration it was given or is to write out, the runtime, the exit status.
//!
//! Upstream: the app packages under cmd and component-base/cli.

use std::process::ExitCode;

use tokio::runtime::Runtime;

use crate::config::ConfigError;
use crate::error::Chain;
use crate::flags::Flags;
use crate::shutdown::Shutdown;

/// A daemon's configuration, after defaulting.
pub trait Configuration {
    /// What is wrong with it, each in a sentence; empty if nothing.
    fn problems(&self) -> Vec<String>;
    /// The whole of it with apiVersion and kind, as `/configz` and `--write-config-to` show it.
    fn to_value(&self) -> serde_json::Value;
}

/// A daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration file cannot be used.
    #[error("failed to load the configuration")]
    Config(#[from] ConfigError),
    /// The configuration is invalid.
    #[error("invalid configuration: {}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The effective configuration cannot be written.
    #[error("cannot write the configuration to {0:?}")]
    Write(String, #[source] std::io::Error),
    /// The runtime or the signal handlers.
    #[error("cannot start the async runtime")]
    Runtime(#[source] std::io::Error),
}

/// Parses the command line, sets up logging and runs; the process' exit status. Call it alone in `main`.
pub fn main<E: std::error::Error>(daemon: &str, table: &str, run: impl FnOnce(&Flags) -> Result<(), E>) -> ExitCode {
    crate::tls::install_provider();
    let flags = Flags::from_env(daemon, table);
    if let Err(error) = crate::logs::init(&flags) {
        // There is no log to write it to.
        #[expect(clippy::print_stderr, reason = "logging could not be set up")]
        {
            eprintln!("Error: {}", Chain(&error));
        }
        return ExitCode::FAILURE;
    }
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(err = %Chain(&error), "Command failed");
            ExitCode::FAILURE
        }
    }
}

/// A configuration that a daemon can run with; none if it was only to be written out (`--write-config-to`).
///
/// # Errors
/// When it cannot be loaded or written, or is invalid.
pub fn configured<C: Configuration>(flags: &Flags, loaded: Result<C, ConfigError>) -> Result<Option<C>, StartError> {
    let config = loaded?;
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(StartError::Invalid(problems));
    }
    let path = flags.str("write-config-to");
    if path.is_empty() {
        return Ok(Some(config));
    }
    let text = serde_json::to_string_pretty(&config.to_value()).unwrap_or_default();
    std::fs::write(path, text + "\n").map_err(|error| StartError::Write(path.to_owned(), error))?;
    Ok(None)
}

/// The runtime of a daemon: two workers, since a daemon waits more than it computes.
///
/// # Errors
/// When threads cannot be made.
pub fn runtime() -> Result<Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(StartError::Runtime)
}

/// Ends with the process' signals.
///
/// # Errors
/// When handlers cannot be installed.
pub fn stop_on_signals() -> Result<Shutdown, StartError> {
    Shutdown::on_signals().map_err(StartError::Runtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sample(Vec<String>);

    impl Configuration for Sample {
        fn problems(&self) -> Vec<String> {
            self.0.clone()
        }

        fn to_value(&self) -> serde_json::Value {
            serde_json::json!({ "kind": "Sample" })
        }
    }

    #[test]
    fn configurations_are_checked_and_written() {
        let table = "write-config-to\t\tstring\t\t\t\n";
        let flags = Flags::defaults("sample", table);
        assert!(configured(&flags, Ok(Sample(Vec::new()))).unwrap().is_some());
        let refused = configured(&flags, Ok(Sample(vec!["a".to_owned(), "b".to_owned()]))).err().unwrap();
        assert_eq!(refused.to_string(), "invalid configuration: a; b");
    }
}
