//! Integration tests: real daemons, a real etcd, free ports.

#![expect(clippy::unwrap_used, reason = "tests")]

mod at_rest;
mod bad_input;
mod crash;
mod crud;
mod flow_control;
mod patch;
mod policies;
#[path = "../../apimachinery/tests/random/mod.rs"]
mod random;
mod rbac;
mod store;
mod watch;
