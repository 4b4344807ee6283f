//! This node as the API sees it: registration, lease, status.
//!
//! upstream: pkg/kubelet/kubelet_node_status.go, pkg/kubelet/nodestatus

mod addresses;
mod conditions;
mod lease;
mod object;
mod place;
mod register;
mod report;
mod resources;

pub use addresses::addresses;
pub use conditions::Pressure;
pub use lease::keep as keep_lease;
pub use object::{NodeFacts, plain_version};
pub use place::NodePlace;
pub use register::register;
pub use report::{Reporter, RuntimeState};
pub use resources::Reservations;
