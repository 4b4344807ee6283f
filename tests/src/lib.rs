//! The test harness: a control plane of real processes (Debian's etcd and the workspace's binaries) in a directory of
//! its own, on free ports, stopped by process id when it goes out of scope.
//!
//! Nothing here is shared between tests. Where etcd is not installed, [`ControlPlane::start`] says so and answers
//! `None`, and the test ends as skipped.

mod api;
mod control_plane;
mod process;
mod raw;
mod wait;

pub use api::{Answer, Api, Events};
pub use control_plane::{ControlPlane, Daemon, Settings};
pub use process::{Process, binary, resident_mib, signal};
pub use raw::{RawAnswer, RawClient, RawConnection};
pub use wait::eventually;
