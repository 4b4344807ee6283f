//! Certificate files: one PEM with certificate and key per issue, and a link to the current one.
//!
//! upstream: staging/src/k8s.io/client-go/util/certificate/certificate_store.go

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::request::Issued;

/// Files `PREFIX-DATE.pem` and the link `PREFIX-current.pem`.
pub struct Store {
    folder: PathBuf,
    prefix: &'static str,
}

impl Store {
    /// In `folder`, with names that start with `prefix`.
    pub fn new(folder: &Path, prefix: &'static str) -> Self {
        Self { folder: folder.to_path_buf(), prefix }
    }

    /// The link to the current file.
    pub fn current(&self) -> PathBuf {
        self.folder.join(format!("{}-current.pem", self.prefix))
    }

    /// Writes a new file and then moves the link, so that the link always points to a whole file.
    ///
    /// # Errors
    /// A file could not be written.
    pub fn put(&self, issued: &Issued) -> io::Result<PathBuf> {
        let stamp = component_base::clock::now().strftime("%Y-%m-%d-%H-%M-%S").to_string();
        let file = self.folder.join(format!("{}-{stamp}.pem", self.prefix));
        let mut text = issued.cert.clone();
        text.extend_from_slice(&issued.key);
        component_base::pki::write_file(&file, &text, 0o600)?;
        let new = self.folder.join(format!("{}-updated.pem", self.prefix));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::os::unix::fs::symlink(&file, &new)?;
        fs::rename(&new, self.current())?;
        Ok(self.current())
    }
}
