//! The audit log file: one writer, a bounded queue, rotation by size.
//!
//! upstream: staging/src/k8s.io/apiserver/plugin/pkg/audit/log/backend.go (lumberjack)

use std::path::{Path, PathBuf};

use component_base::task;
use jiff::Timestamp;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;

/// Lines waiting to be written before requests have to wait.
const QUEUE: usize = 1024;

/// Limits of the log file, from the `--audit-log-*` flags.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Bytes at which the file is rotated; 0 means never.
    pub max_bytes: u64,
    /// Rotated files kept; 0 keeps all.
    pub max_backups: usize,
}

/// Handle of the writer.
#[derive(Clone, Debug)]
pub struct Log {
    lines: mpsc::Sender<String>,
}

impl Log {
    /// Opens the file (`-` is standard output) and starts the writer.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub async fn open(path: &str, rotation: Rotation) -> std::io::Result<Self> {
        let (lines, queue) = mpsc::channel(QUEUE);
        if path == "-" {
            task::spawn("audit-log", write_stdout(queue));
        } else {
            let writer = Writer::open(Path::new(path), rotation).await?;
            task::spawn("audit-log", writer.run(queue));
        }
        Ok(Self { lines })
    }

    /// Queues a line; waits while the queue is full.
    pub async fn write(&self, line: String) {
        if self.lines.send(line).await.is_err() {
            tracing::error!("audit log writer has ended, an event is lost");
        }
    }
}

async fn write_stdout(mut queue: mpsc::Receiver<String>) {
    let mut out = tokio::io::stdout();
    while let Some(line) = queue.recv().await {
        if let Err(error) = out.write_all(line.as_bytes()).await {
            tracing::error!(%error, "cannot write an audit event");
        }
    }
}

struct Writer {
    path: PathBuf,
    rotation: Rotation,
    file: BufWriter<File>,
    written: u64,
}

impl Writer {
    async fn open(path: &Path, rotation: Rotation) -> std::io::Result<Self> {
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent).await?;
        }
        let (file, written) = append(path).await?;
        Ok(Self { path: path.to_owned(), rotation, file, written })
    }

    async fn run(mut self, mut queue: mpsc::Receiver<String>) {
        while let Some(line) = queue.recv().await {
            let mut result = self.write(&line).await;
            while result.is_ok()
                && let Ok(line) = queue.try_recv()
            {
                result = self.write(&line).await;
            }
            if let Err(error) = result.and(self.file.flush().await) {
                tracing::error!(%error, file = %self.path.display(), "cannot write an audit event");
            }
        }
    }

    async fn write(&mut self, line: &str) -> std::io::Result<()> {
        let size = line.len() as u64;
        if self.rotation.max_bytes > 0 && self.written + size > self.rotation.max_bytes {
            self.rotate().await?;
        }
        self.written += size;
        self.file.write_all(line.as_bytes()).await
    }

    async fn rotate(&mut self) -> std::io::Result<()> {
        self.file.flush().await?;
        let stamp = Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S%.3f").to_string();
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let extension = self.path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        tokio::fs::rename(&self.path, self.path.with_file_name(format!("{stem}-{stamp}{extension}"))).await?;
        (self.file, self.written) = append(&self.path).await?;
        self.prune(&format!("{stem}-")).await
    }

    async fn prune(&self, prefix: &str) -> std::io::Result<()> {
        if self.rotation.max_backups == 0 {
            return Ok(());
        }
        let mut backups = Vec::new();
        let mut entries = tokio::fs::read_dir(self.path.parent().unwrap_or(Path::new("."))).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                backups.push(entry.path());
            }
        }
        backups.sort();
        let excess = backups.len().saturating_sub(self.rotation.max_backups);
        for old in &backups[..excess] {
            tokio::fs::remove_file(old).await?;
        }
        Ok(())
    }
}

async fn append(path: &Path) -> std::io::Result<(BufWriter<File>, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).await?;
    let written = file.metadata().await?.len();
    Ok((BufWriter::new(file), written))
}
