//! Integration tests: real daemons, a real etcd, free ports.

#![expect(clippy::unwrap_used, reason = "tests")]

mod crash;
mod crud;
mod patch;
mod rbac;
mod watch;
