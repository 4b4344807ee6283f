//! Objects at rest: etcd, and the caches that reads and watches are served from.
//!
//! The only place that names etcd-client. Knows keys, bytes and revisions; never what an object means.
//! upstream: staging/src/k8s.io/apiserver/pkg/storage

pub mod cache;
pub mod compaction;
pub mod continue_token;
pub mod counts;
pub mod etcd;
pub mod feed;
pub mod lease;
mod requests;
pub mod tree;

pub use cache::{Cache, Decode, Entry, Event, EventKind, WatchEnd, Watcher};
pub use etcd::{Etcd, EtcdOptions, Kv, StorageError};
pub use feed::Feed;
pub use tree::Tree;
