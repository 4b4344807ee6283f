//! Start and end of a daemon: flags, logs, the configuration it was given or is to write out, the runtime, the exit status.
//!
//! Upstream: the app packages under cmd and component-base/cli.

use std::process::ExitCode;

use apimachinery::field::aggregate;
use tokio::runtime::Runtime;

use crate::config::ConfigError;
use crate::error::Chain;
use crate::flags::Flags;
use crate::shutdown::Shutdown;

/// A daemon's configuration, after defaulting.
pub trait Configuration {
    /// What upstream writes before the text of a file that cannot be read (`failed complete: `).
    const UNREADABLE: &'static str = "";
    /// What upstream writes before the text of a file that is no such configuration.
    const UNDECODABLE: &'static str = "";
    /// What upstream writes before the problems of a configuration (`failed validate: `).
    const INVALID: &'static str = "";

    /// What is wrong with it, each in a sentence; empty if nothing.
    fn problems(&self) -> Vec<String>;
    /// The whole of it with apiVersion and kind, as `/configz` and `--write-config-to` show it.
    fn to_value(&self) -> serde_json::Value;
}

/// A daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration file cannot be used.
    #[error("{0}{1}")]
    Config(&'static str, ConfigError),
    /// The configuration is invalid.
    #[error("{prefix}{}", aggregate(problems.iter().cloned()))]
    Invalid {
        /// What upstream writes before it.
        prefix: &'static str,
        /// What is wrong, each in a sentence.
        problems: Vec<String>,
    },
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
        return logs_refused(daemon, &error);
    }
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => command_failed(&Chain(&error)),
    }
}

/// Tells why logging is not as asked; the process' exit status. The daemons whose configuration holds the logging settings
/// name them so.
pub fn logs_refused(daemon: &str, error: &crate::logs::LogError) -> ExitCode {
    crate::logs::init_plain();
    let place = if matches!(daemon, "kube-proxy" | "kubelet") { "initialize logging: logging." } else { "" };
    command_failed(&format_args!("{place}{error}"))
}

/// Logs what ends the daemon; the process' exit status.
pub fn command_failed(error: &dyn std::fmt::Display) -> ExitCode {
    tracing::error!(err = %error, "command failed");
    ExitCode::FAILURE
}

/// A configuration that a daemon can run with; none if it was only to be written out (`--write-config-to`).
///
/// # Errors
/// When it cannot be loaded or written, or is invalid.
pub fn configured<C: Configuration>(flags: &Flags, loaded: Result<C, ConfigError>) -> Result<Option<C>, StartError> {
    let config = loaded.map_err(|error| {
        let prefix = if matches!(error, ConfigError::Read(_)) { C::UNREADABLE } else { C::UNDECODABLE };
        StartError::Config(prefix, error)
    })?;
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(StartError::Invalid { prefix: C::INVALID, problems });
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
        assert_eq!(refused.to_string(), "[a, b]");
    }
}
