//! Texts of errors: an error with its causes, errors of the operating system in Go's words.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Displays an error and all its sources, separated by `: `.
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printed = self.0.to_string();
        f.write_str(&printed)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Some foreign errors repeat their source in their own text.
            if !printed.contains(&text) {
                write!(f, ": {text}")?;
                printed = text;
            }
            next = cause.source();
        }
        Ok(())
    }
}

/// The text that Go prints for an error of the operating system.
#[must_use]
pub fn go_error(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::AlreadyExists => "file exists".to_owned(),
        ErrorKind::IsADirectory => "is a directory".to_owned(),
        ErrorKind::NotADirectory => "not a directory".to_owned(),
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::AddrInUse => "address already in use".to_owned(),
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default().to_owned();
            let mut chars = text.chars();
            chars.next().map_or(String::new(), |c| c.to_lowercase().chain(chars).collect())
        }
    }
}

/// A file that cannot be read, as Go prints it: `open /nope: no such file or directory`.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {path}: {reason}")]
pub struct PathError {
    operation: &'static str,
    path: String,
    reason: String,
}

impl PathError {
    /// An operation on a path that failed.
    #[must_use]
    pub fn new(operation: &'static str, path: &Path, error: &io::Error) -> Self {
        Self { operation, path: path.display().to_string(), reason: go_error(error) }
    }

    /// A file that could not be read. A folder opens and only then refuses to be read.
    #[must_use]
    pub fn reading(path: &Path, error: &io::Error) -> Self {
        let operation = if error.kind() == ErrorKind::IsADirectory { "read" } else { "open" };
        Self::new(operation, path, error)
    }
}

/// Reads a file.
///
/// # Errors
/// In Go's words.
pub fn read_file(path: impl AsRef<Path>) -> Result<Vec<u8>, PathError> {
    let path = path.as_ref();
    std::fs::read(path).map_err(|error| PathError::reading(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_the_words_of_go() {
        let text = |path: &str| read_file(path).expect_err("unreadable").to_string();
        assert_eq!(text("/nope"), "open /nope: no such file or directory");
        assert_eq!(text("/proc"), "read /proc: is a directory");
        assert_eq!(text("/proc/version/x"), "open /proc/version/x: not a directory");
    }
}
