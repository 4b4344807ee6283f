//! Logs in klog's text form (`I1125 00:00:00.000000 PID file.rs:LINE] "msg" key="value"`) or JSON, with `-v` and `--vmodule`.
//!
//! tracing's `info!` is V(0), `debug!` is V(4), `trace!` is V(6); foreign crates are heard at V(9). The verbosity can be
//! changed at run time. Upstream: k8s.io/klog and component-base/logs.

mod layer;
mod write;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use parking_lot::RwLock;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::flags::Flags;

/// Why logging cannot be set up as asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// No such format.
    #[error("format: Invalid value: {0:?}: Unsupported log format")]
    Format(String),
    /// A malformed `--vmodule`.
    #[error("invalid argument {0:?} for \"--vmodule\" flag: {1}")]
    Vmodule(String, VmoduleError),
}

/// What is wrong with a part of `--vmodule`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VmoduleError {
    /// No `=`.
    #[error("{0:?} does not have the pattern=N format")]
    Pattern(String),
    /// No number after it.
    #[error("parsing verbosity in {0:?}: strconv.ParseUint: parsing {1:?}: invalid syntax")]
    Number(String, String),
}

pub(crate) struct Settings {
    verbosity: AtomicI32,
    json: AtomicBool,
    modules: RwLock<Vec<(String, i32)>>,
}

pub(crate) fn settings() -> &'static Settings {
    static SETTINGS: OnceLock<Settings> = OnceLock::new();
    SETTINGS.get_or_init(|| Settings {
        verbosity: AtomicI32::new(0),
        json: AtomicBool::new(false),
        modules: RwLock::default(),
    })
}

/// Sets up logging as the flags `v`, `vmodule` and `logging-format` say.
///
/// # Errors
/// See [`LogError`].
pub fn init(flags: &Flags) -> Result<(), LogError> {
    match flags.str("logging-format") {
        "" | "text" => {}
        "json" => settings().json.store(true, Ordering::Relaxed),
        other => return Err(LogError::Format(other.to_owned())),
    }
    set_vmodule(flags.str("vmodule"))?;
    settings().verbosity.store(i32::try_from(flags.int("v")).unwrap_or(i32::MAX), Ordering::Relaxed);
    init_plain();
    Ok(())
}

/// Sets up text logs at the current verbosity, for programs without flags. Does nothing if logs are set up already.
pub fn init_plain() {
    // An error means that a subscriber is installed already: tests do that.
    let _ = tracing_subscriber::registry().with(layer::KlogLayer).try_init();
}

/// The verbosity now.
#[must_use]
pub fn verbosity() -> i32 {
    settings().verbosity.load(Ordering::Relaxed)
}

/// Changes the verbosity at run time (`/debug/flags/v`, config reload).
pub fn set_verbosity(level: i32) {
    settings().verbosity.store(level, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Changes the verbosity of single files: `proxier=4,node_*=6`.
///
/// # Errors
/// When the text is malformed.
pub fn set_vmodule(text: &str) -> Result<(), LogError> {
    let mut modules = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        modules.push(module(part).map_err(|error| LogError::Vmodule(text.to_owned(), error))?);
    }
    *settings().modules.write() = modules;
    tracing::callsite::rebuild_interest_cache();
    Ok(())
}

fn module(part: &str) -> Result<(String, i32), VmoduleError> {
    let (pattern, level) = part.split_once('=').ok_or_else(|| VmoduleError::Pattern(part.to_owned()))?;
    let level = level.parse().map_err(|_| VmoduleError::Number(part.to_owned(), level.to_owned()))?;
    Ok((pattern.to_owned(), level))
}

impl Settings {
    /// Verbosity that counts for a source file.
    fn level_for(&self, file: &str) -> i32 {
        let base = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".rs");
        let modules = self.modules.read();
        let found = modules.iter().find(|(pattern, _)| glob(pattern, base));
        found.map_or_else(|| self.verbosity.load(Ordering::Relaxed), |(_, level)| *level)
    }

    fn highest(&self) -> i32 {
        let modules = self.modules.read();
        modules.iter().map(|(_, level)| *level).chain([self.verbosity.load(Ordering::Relaxed)]).max().unwrap_or(0)
    }
}

/// `*` and `?` patterns.
fn glob(pattern: &str, text: &str) -> bool {
    match (pattern.as_bytes().first(), text.as_bytes().first()) {
        (None, None) => true,
        (Some(b'*'), _) => glob(&pattern[1..], text) || (!text.is_empty() && glob(pattern, &text[1..])),
        (Some(b'?'), Some(_)) => glob(&pattern[1..], &text[1..]),
        (Some(left), Some(right)) if left == right => glob(&pattern[1..], &text[1..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(glob("node_*", "node_lifecycle"));
        assert!(glob("prox?er", "proxier"));
        assert!(!glob("proxier", "proxier2"));
    }
}
