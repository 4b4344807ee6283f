//! Finds addresses and ports that the allocators and the services disagree about, and sets them right.
//!
//! upstream: pkg/registry/core/service/{ipallocator,portallocator}/controller

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use component_base::Shutdown;

use super::{Allocators, owned_ips, owned_ports};
use crate::objects::{Kind, Objects, SERVICES};

const INTERVAL: Duration = Duration::from_secs(180);
/// An unused port or address is freed after it was seen unused this many times.
const LEAK_ROUNDS: u32 = 3;
const ADDRESSES: Kind = Kind::new("networking.k8s.io", "ipaddresses");

/// Runs until shutdown.
pub async fn run(objects: Arc<dyn Objects>, allocators: Arc<Allocators>, shutdown: Shutdown) {
    let mut unused_ports: HashMap<u16, u32> = HashMap::new();
    let mut unused_ips: HashMap<String, u32> = HashMap::new();
    loop {
        ports(&*objects, &allocators, &mut unused_ports).await;
        addresses(&*objects, &allocators, &mut unused_ips).await;
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn ports(objects: &dyn Objects, allocators: &Allocators, unused: &mut HashMap<u16, u32>) {
    let used: Vec<u16> = objects.list(SERVICES, "").iter().flat_map(owned_ports).collect();
    let marked = match allocators.ports.used().await {
        Ok(marked) => marked,
        Err(error) => {
            tracing::warn!(error = %error, "node ports cannot be checked");
            return;
        }
    };
    unused.retain(|port, _| marked.contains(port) && !used.contains(port));
    for port in marked.iter().filter(|p| !used.contains(p)) {
        *unused.entry(*port).or_insert(0) += 1;
    }
    let leaked = |port: u16| unused.get(&port).is_some_and(|rounds| *rounds >= LEAK_ROUNDS);
    if let Err(error) = allocators.ports.repair(&used, |port| !leaked(port)).await {
        tracing::warn!(error = %error, "node ports cannot be repaired");
    }
}

async fn addresses(objects: &dyn Objects, allocators: &Allocators, unused: &mut HashMap<String, u32>) {
    let mut used = HashMap::new();
    for service in objects.list(SERVICES, "") {
        let text = |key: &str| service.path(&["metadata", key]).str_or_empty().to_owned();
        for ip in owned_ips(&service) {
            used.insert(ip, (text("namespace"), text("name")));
        }
    }
    for (ip, (namespace, name)) in &used {
        if objects.cached(ADDRESSES, "", ip).is_none()
            && ip.parse::<IpAddr>().is_ok()
            && let Err(error) = allocators.ips.allocate(ip, namespace, name, false).await
        {
            tracing::warn!(namespace, name, ip, error = %error, "a service's cluster IP cannot be recorded");
        }
    }
    let mut seen = HashMap::new();
    for address in objects.list(ADDRESSES, "") {
        let ip = address.path(&["metadata", "name"]).str_or_empty().to_owned();
        let parent = address.path(&["spec", "parentRef"]);
        if parent.get("resource").str_or_empty() != "services" || used.contains_key(&ip) {
            continue;
        }
        let rounds = unused.get(&ip).copied().unwrap_or(0) + 1;
        if rounds >= LEAK_ROUNDS {
            let (namespace, name) = (parent.get("namespace").str_or_empty(), parent.get("name").str_or_empty());
            allocators.ips.release(&ip, namespace, name).await;
        } else {
            seen.insert(ip, rounds);
        }
    }
    *unused = seen;
}
