//! Integration tests: real daemons, a real etcd, free ports.

#![expect(clippy::unwrap_used, reason = "tests")]

mod at_rest;
mod crash;
mod crud;
mod patch;
mod rbac;
mod store;
mod watch;
