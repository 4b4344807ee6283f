//! Streams between the terminal and a container, or a local port and a pod.
//! Corresponds to client-go/tools/remotecommand and portforward.

mod portforward;
mod remote;
mod terminal;

pub use portforward::{ForwardedPort, forward};
pub use remote::{Session, captured, interact};
