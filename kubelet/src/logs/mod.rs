//! Container logs as the runtime writes them: reading, following and rotating.
//!
//! upstream: staging/src/k8s.io/cri-client/pkg/logs/logs.go, pkg/kubelet/logs/container_log_manager.go

mod line;
mod read;
mod rotate;
mod tail;

pub use read::{LogOptions, LogReader, StreamChoice};
pub use rotate::{RotationPolicy, Rotator};
pub use tail::last_lines;
