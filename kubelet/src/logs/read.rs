//! Reading a container's log: from where, what of it, and on as it grows.
//!
//! upstream: staging/src/k8s.io/cri-client/pkg/logs/logs.go: ReadLogs

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::line::{LogLine, Stream, parse_line};
use super::tail::tail_offset;
use crate::runtime::Runtime;
use crate::runtime::types::ContainerState;

/// A log that grows is looked at again after this time.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);
/// Bytes that are gathered before they are sent.
const CHUNK_BYTES: usize = 32 * 1024;
/// Longest line that is read at once.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Which stream is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamChoice {
    /// Both.
    All,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What of a log is wanted.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Go on as it grows, until the container ends.
    pub follow: bool,
    /// Begin each line with its time.
    pub timestamps: bool,
    /// Only so many lines from the end.
    pub tail_lines: Option<u64>,
    /// Only so many bytes.
    pub limit_bytes: Option<u64>,
    /// Only lines from this time on.
    pub since: Option<Timestamp>,
    /// Only this stream.
    pub stream: StreamChoice,
    /// Ends the reading.
    pub cancelled: CancellationToken,
}

/// An open log.
pub struct LogReader {
    path: PathBuf,
    file: BufReader<File>,
    inode: u64,
    container_id: String,
    runtime: Arc<dyn Runtime>,
    options: LogOptions,
    left: u64,
    line_starts: bool,
    pending: Vec<u8>,
}

enum Step {
    Line,
    End,
    Done,
}

impl LogReader {
    /// Opens the log at the place where reading begins.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(
        path: PathBuf,
        container_id: String,
        runtime: Arc<dyn Runtime>,
        options: LogOptions,
    ) -> io::Result<Self> {
        let mut file = File::open(&path)?;
        let start = match (options.tail_lines, options.stream) {
            (Some(lines), StreamChoice::All) => tail_offset(&mut file, lines)?,
            _ => 0,
        };
        file.seek(SeekFrom::Start(start))?;
        let inode = file.metadata()?.ino();
        let left = options.limit_bytes.unwrap_or(u64::MAX);
        let file = BufReader::new(file);
        Ok(Self { path, file, inode, container_id, runtime, options, left, line_starts: true, pending: Vec::new() })
    }

    /// Sends the log until its end, or until nobody listens.
    pub async fn run(mut self, chunks: Sender<Bytes>) {
        let mut gathered = BytesMut::new();
        loop {
            let step = match self.step(&mut gathered) {
                Ok(step) => step,
                Err(error) => {
                    tracing::debug!(path = %self.path.display(), %error, "log was not read");
                    Step::Done
                }
            };
            let flush = !matches!(step, Step::Line) || gathered.len() >= CHUNK_BYTES;
            if flush && !gathered.is_empty() && chunks.send(gathered.split().freeze()).await.is_err() {
                return;
            }
            match step {
                Step::Line => {}
                Step::Done => return,
                Step::End if !self.options.follow => return,
                Step::End => {
                    if !self.wait(&chunks).await {
                        return;
                    }
                }
            }
        }
    }

    /// Takes one line of the file.
    fn step(&mut self, out: &mut BytesMut) -> io::Result<Step> {
        let available = self.file.fill_buf()?;
        if available.is_empty() {
            return Ok(Step::End);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let take = end.map_or(available.len(), |end| end + 1);
        self.pending.extend_from_slice(available.get(..take).unwrap_or_default());
        self.file.consume(take);
        if end.is_none() && self.pending.len() < LINE_BYTES_MAX {
            return Ok(Step::Line);
        }
        let line = std::mem::take(&mut self.pending);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Some(parsed) = parse_line(line) {
            self.write(&parsed, out);
        }
        Ok(if self.left == 0 { Step::Done } else { Step::Line })
    }

    fn write(&mut self, line: &LogLine<'_>, out: &mut BytesMut) {
        let wanted = match self.options.stream {
            StreamChoice::All => true,
            StreamChoice::Stdout => line.stream == Stream::Stdout,
            StreamChoice::Stderr => line.stream == Stream::Stderr,
        };
        if !wanted || self.options.since.is_some_and(|since| is_before(&line.time, since)) {
            return;
        }
        let before = out.len();
        if self.options.timestamps && self.line_starts {
            out.extend_from_slice(line.time.as_bytes());
            out.extend_from_slice(b" ");
        }
        out.extend_from_slice(&line.text);
        if !line.partial {
            out.extend_from_slice(b"\n");
        }
        self.line_starts = !line.partial;
        let written = u64::try_from(out.len() - before).unwrap_or(u64::MAX);
        if written > self.left {
            let keep = before.saturating_add(usize::try_from(self.left).unwrap_or(usize::MAX));
            out.truncate(keep);
        }
        self.left = self.left.saturating_sub(written);
    }

    /// Waits for more; false when there will not be any.
    async fn wait(&mut self, chunks: &Sender<Bytes>) -> bool {
        let running = self.is_running().await;
        if self.has_more() || self.reopen_after_rotation() {
            return true;
        }
        if !running {
            return false;
        }
        tokio::select! {
            () = self.options.cancelled.cancelled() => false,
            () = chunks.closed() => false,
            () = tokio::time::sleep(FOLLOW_INTERVAL) => true,
        }
    }

    fn has_more(&mut self) -> bool {
        self.file.fill_buf().is_ok_and(|available| !available.is_empty())
    }

    async fn is_running(&self) -> bool {
        match self.runtime.container_status(&self.container_id).await {
            Ok(status) => {
                matches!(status.state(), ContainerState::ContainerRunning | ContainerState::ContainerCreated)
            }
            Err(error) => !error.is_not_found(),
        }
    }

    fn reopen_after_rotation(&mut self) -> bool {
        let Ok(file) = File::open(&self.path) else {
            return false;
        };
        let inode = file.metadata().map_or(self.inode, |meta| meta.ino());
        if inode == self.inode {
            return false;
        }
        self.inode = inode;
        self.file = BufReader::new(file);
        true
    }
}

fn is_before(time: &str, since: Timestamp) -> bool {
    time.parse::<Timestamp>().is_ok_and(|time| time < since)
}
