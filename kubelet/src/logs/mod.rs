//! Container logs as the runtime writes them: reading, following and rotating.
//!
//! upstream: staging/src/k8s.io/cri-client/pkg/logs/logs.go, pkg/kubelet/logs/container_log_manager.go

mod line;
mod tail;

pub use line::{LogLine, Stream, parse_line};
pub use tail::{last_lines, tail_offset};
