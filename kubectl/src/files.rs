//! Small file duties with Go's error texts: reading, writing with a private mode.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

pub use component_base::error::go_error;

/// Reads a file; the error is Go's `open PATH: …`.
pub fn read(path: &str) -> anyhow::Result<Vec<u8>> {
    Ok(component_base::error::read_file(path)?)
}

/// Replaces a file's content, readable by the owner alone.
pub fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)
}

/// Reads all of standard input.
pub fn stdin() -> anyhow::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut content = Vec::new();
    std::io::stdin().read_to_end(&mut content)?;
    Ok(content)
}
