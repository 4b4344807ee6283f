//! The core group.

pub mod claims;
pub mod data;
pub mod endpoints;
pub mod events;
pub mod limit_ranges;
pub mod namespaces;
pub mod nodes;
pub mod persistent_volumes;
pub mod pod_spec;
pub mod pod_status;
pub mod pod_updates;
pub mod pods;
pub mod quotas;
pub mod service_accounts;
pub mod services;
