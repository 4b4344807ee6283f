//! Health: of the proxy itself (/healthz and /livez on 10256), and of services with local endpoints for load balancers.
//! upstream: pkg/proxy/healthcheck

mod proxy;
mod services;

pub use proxy::{ProxyHealth, router};
pub use services::ServiceHealth;
