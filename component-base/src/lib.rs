//! What a daemon is made of: flags, configuration files, logs, TLS serving, the API client, informers, work queues,
//! leader election and events.
//!
//! It never knows a particular daemon, and it never talks to etcd or to a container runtime.

pub mod client;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod error;
pub mod events;
pub mod flags;
pub mod informer;
pub mod lease;
pub mod logs;
pub mod metrics;
pub mod pki;
pub mod placement;
pub mod queue;
pub mod serving;
pub mod shutdown;
pub mod task;
pub mod tls;
pub mod version;

pub use error::Chain;
pub use flags::Flags;

pub use informer::{Event, Informers, ObjectKey, Reader};
pub use queue::Queue;
pub use shutdown::Shutdown;
