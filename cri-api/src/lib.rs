//! The Container Runtime Interface, version v1: message types, and the channel over which a kubelet calls a runtime.
//!
//! The messages come out of `proto/api.proto` at build time. This crate holds no policy: what to call and when is the
//! kubelet's business (`kubelet/src/runtime`), which is also the only place that names this crate.
//!
//! upstream: staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto, staging/src/k8s.io/cri-client/pkg

mod channel;

/// Messages and clients of `runtime.v1`.
#[expect(missing_docs, reason = "generated from proto/api.proto")]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}

pub use channel::{ChannelError, Clients, connect};
pub use tonic::{Code, Status};
