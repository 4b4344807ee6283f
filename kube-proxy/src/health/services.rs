//! One small server per health check node port: tells load balancers how many endpoints of the service this node has.
//! upstream: pkg/proxy/healthcheck/service_health.go

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use component_base::serving::{self, HealthChecks, Router};
use component_base::{ObjectKey, Shutdown, clock};
use http::{HeaderValue, StatusCode};
use tracing::{error, info};

use super::ProxyHealth;

struct Listening {
    port: u16,
    endpoints: Arc<AtomicUsize>,
    stop: Shutdown,
}

/// The servers.
pub struct ServiceHealth {
    health: Arc<ProxyHealth>,
    addresses: Vec<IpAddr>,
    listening: BTreeMap<ObjectKey, Listening>,
    stop: Shutdown,
}

impl ServiceHealth {
    /// No servers yet; they will listen on these addresses (an unspecified one means all).
    pub fn new(health: Arc<ProxyHealth>, addresses: Vec<IpAddr>, stop: Shutdown) -> Self {
        Self { health, addresses, listening: BTreeMap::new(), stop }
    }

    /// Starts and stops servers so that there is one per service, and sets the numbers they tell.
    pub async fn sync(&mut self, ports: &BTreeMap<ObjectKey, u16>, endpoints: &BTreeMap<ObjectKey, usize>) {
        self.listening.retain(|key, listening| {
            let keep = ports.get(key) == Some(&listening.port);
            if !keep {
                info!(namespace = &*key.namespace, name = &*key.name, port = listening.port, "Closing healthcheck");
                listening.stop.trigger();
            }
            keep
        });
        for (key, port) in ports {
            if !self.listening.contains_key(key) {
                self.listen(key, *port).await;
            }
        }
        for (key, listening) in &self.listening {
            listening.endpoints.store(endpoints.get(key).copied().unwrap_or(0), Ordering::Relaxed);
        }
    }

    async fn listen(&mut self, key: &ObjectKey, port: u16) {
        let stop = self.stop.child();
        let endpoints = Arc::new(AtomicUsize::new(0));
        for ip in &self.addresses {
            let address = SocketAddr::new(*ip, port);
            match serving::bind(address).await {
                Ok(listener) => {
                    let router = self.router(key, &endpoints);
                    component_base::task::spawn("service-health", serving::serve(listener, None, router, stop.clone()));
                }
                Err(err) => {
                    error!(namespace = &*key.namespace, name = &*key.name, %address, %err, "Failed to start healthcheck");
                    stop.trigger();
                    return;
                }
            }
        }
        info!(namespace = &*key.namespace, name = &*key.name, port, "Opening healthcheck");
        self.listening.insert(key.clone(), Listening { port, endpoints, stop });
    }

    fn router(&self, key: &ObjectKey, endpoints: &Arc<AtomicUsize>) -> Router {
        let (health, endpoints, key) = (Arc::clone(&self.health), Arc::clone(endpoints), key.clone());
        let answer = move |_, _| {
            let count = endpoints.load(Ordering::Relaxed);
            let healthy = health.is_healthy(clock::now());
            let code = if count != 0 && healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let mut response = serving::full(code, "application/json", body(&key, count, healthy));
            let headers = response.headers_mut();
            headers.insert("X-Content-Type-Options", HeaderValue::from_static("nosniff"));
            headers.insert("X-Load-Balancing-Endpoint-Weight", HeaderValue::from(count));
            async move { response }
        };
        // Every path gets the same answer, also those that the router has answers of its own for.
        let own = ["/healthz", "/livez", "/readyz", "/metrics", "/version", "/configz", "/debug/flags/v"];
        own.into_iter()
            .fold(Router::new(HealthChecks::new()), |router, path| router.route(path, answer.clone()))
            .prefix("/", answer)
    }
}

fn body(key: &ObjectKey, count: usize, healthy: bool) -> String {
    format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": {:?},\n\t\t\"name\": {:?}\n\t}},\n\t\"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": {healthy}\n}}",
        &*key.namespace, &*key.name
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_body_is_upstreams() {
        assert_eq!(
            super::body(&component_base::ObjectKey::new("ns", "s"), 2, true),
            "{\n\t\"service\": {\n\t\t\"namespace\": \"ns\",\n\t\t\"name\": \"s\"\n\t},\n\t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}"
        );
    }
}
