//! What services get from the cluster: cluster IPs and node ports.
//!
//! Hooks around the service's storage transaction: allocate before, give back after a failure or a change.
//! Pure decisions (families, which addresses, which ports) are in `families` and `normalize`; the allocators
//! keep their state in the store, so several API servers agree.
//! upstream: pkg/registry/core/service/storage/{alloc.go, storage.go}

pub mod cluster_ips;
pub mod families;
pub mod node_ports;
pub mod normalize;
pub mod repair;

use std::collections::HashMap;

use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use crate::registry::{Hooks, RequestContext};
use crate::state::AppState;
pub use cluster_ips::ClusterIps;
pub use families::Family;
pub use node_ports::NodePorts;

use node_ports::PortError;

/// Both allocators.
#[derive(Debug)]
pub struct Allocators {
    /// Cluster IPs.
    pub ips: ClusterIps,
    /// Node ports.
    pub ports: NodePorts,
}

/// The hooks of services.
pub static HOOKS: ServiceHooks = ServiceHooks;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct ServiceHooks;

/// What one write took and what it wants to give back once it is stored.
#[derive(Debug, Default)]
struct Changes {
    taken_ips: Vec<String>,
    taken_ports: Vec<i64>,
}

#[async_trait]
impl Hooks for ServiceHooks {
    async fn before_create(&self, state: &AppState, cx: &RequestContext, obj: &mut Value) -> Result<(), ApiError> {
        allocate(state, cx, obj, &Value::Null).await
    }

    async fn after_create(&self, state: &AppState, cx: &RequestContext, obj: &Value, stored: bool) {
        if !stored && !cx.dry_run {
            release(state, cx, &owned_ips(obj), &owned_ports(obj)).await;
        }
    }

    async fn before_update(
        &self,
        state: &AppState,
        cx: &RequestContext,
        obj: &mut Value,
        old: &Value,
    ) -> Result<(), ApiError> {
        if cx.subresource.is_empty() { allocate(state, cx, obj, old).await } else { Ok(()) }
    }

    async fn after_update(&self, state: &AppState, cx: &RequestContext, obj: &Value, old: &Value, stored: bool) {
        if cx.dry_run || !cx.subresource.is_empty() {
            return;
        }
        // stored: what the old object had alone is free; not stored: what the new one has alone
        let (keep, drop) = if stored { (obj, old) } else { (old, obj) };
        let kept_ips = owned_ips(keep);
        let ips: Vec<String> = owned_ips(drop).into_iter().filter(|ip| !kept_ips.contains(ip)).collect();
        let kept_ports = owned_ports(keep);
        let ports: Vec<u16> = owned_ports(drop).into_iter().filter(|p| !kept_ports.contains(p)).collect();
        release(state, cx, &ips, &ports).await;
    }

    async fn after_delete(&self, state: &AppState, cx: &RequestContext, obj: &Value) {
        if !cx.dry_run {
            release(state, cx, &owned_ips(obj), &owned_ports(obj)).await;
        }
    }
}

async fn allocate(state: &AppState, cx: &RequestContext, obj: &mut Value, old: &Value) -> Result<(), ApiError> {
    // the strategy does so, too, but may run later; addresses the client fixed must be seen here
    if old.is_null() {
        normalize::on_create(obj);
    } else {
        normalize::on_update(obj, old);
    }
    let configured = state.allocators.ips.families();
    families::complete(obj, old, &configured).map_err(|errors| invalid(obj, &errors))?;
    let mut changes = Changes::default();
    let result = take(state, cx, obj, old, &mut changes).await;
    if result.is_err() && !cx.dry_run {
        let ports: Vec<u16> = changes.taken_ports.iter().filter_map(|port| u16::try_from(*port).ok()).collect();
        release(state, cx, &changes.taken_ips, &ports).await;
    }
    result
}

async fn take(
    state: &AppState,
    cx: &RequestContext,
    obj: &mut Value,
    old: &Value,
    changes: &mut Changes,
) -> Result<(), ApiError> {
    take_ips(state, cx, obj, old, changes).await?;
    take_ports(state, cx, obj, old, changes).await
}

async fn take_ips(
    state: &AppState,
    cx: &RequestContext,
    obj: &mut Value,
    old: &Value,
    changes: &mut Changes,
) -> Result<(), ApiError> {
    let wanted = families::wanted(obj, old);
    if wanted.is_empty() {
        return Ok(());
    }
    let name = name_of(obj).to_owned();
    let mut ips: Vec<Value> = obj.path(&["spec", "clusterIPs"]).items().to_vec();
    // a place for each family
    let places = ips.len().max(wanted.iter().map(|(index, ..)| index + 1).max().unwrap_or(0));
    ips.resize(places, Value::from(""));
    let asked = Value::List(ips.clone());
    for (index, family, fixed) in wanted {
        let allocated = match &fixed {
            Some(ip) => state.allocators.ips.allocate(ip, &cx.namespace, &name, cx.dry_run).await.map(|()| ip.clone()),
            None => state.allocators.ips.allocate_next(family, &cx.namespace, &name, cx.dry_run).await,
        };
        let ip = allocated.map_err(|error| ip_error(obj, &asked, &name, fixed.as_deref(), &error))?;
        changes.taken_ips.push(ip.clone());
        ips[index] = ip.into();
    }
    let spec = obj.field_mut("spec");
    spec.set("clusterIP", ips[0].clone());
    spec.set("clusterIPs", Value::List(ips));
    Ok(())
}

fn ip_error(
    obj: &Value,
    asked: &Value,
    name: &str,
    fixed: Option<&str>,
    error: &cluster_ips::AllocateError,
) -> ApiError {
    let detail = match (fixed, error) {
        (None, cluster_ips::AllocateError::Full) => {
            let why = format!("failed to allocate a serviceIP for Service {name:?}: {error}");
            return ApiError::internal(why);
        }
        (None, _) => format!("failed to allocate IP: {error}"),
        (Some(ip), _) => format!("failed to allocate IP {ip}: {error}"),
    };
    let mut errs = Errors::new();
    let mut shown = Vec::new();
    apimachinery::codec::json::encode_untyped(asked, &mut shown);
    errs.invalid(Path::root("spec").child("clusterIPs"), BadValue::json(String::from_utf8_lossy(&shown)), detail);
    invalid(obj, &errs)
}

/// Node ports of one write: those it took, real or, on a dry run, made up.
/// upstream: pkg/registry/core/service/portallocator/operation.go
struct PortOperation<'a> {
    ports: &'a NodePorts,
    dry_run: bool,
    taken: &'a mut Vec<i64>,
}

impl PortOperation<'_> {
    async fn allocate(&mut self, port: i64) -> Result<(), PortError> {
        let number = u16::try_from(port).ok();
        if self.dry_run {
            // The range does not matter here.
            let used = match number {
                Some(number) => self.ports.has(number).await?,
                None => false,
            };
            if used || self.taken.contains(&port) {
                return Err(PortError::Allocated);
            }
        } else {
            self.ports.allocate(number.unwrap_or(0)).await?;
        }
        self.taken.push(port);
        Ok(())
    }

    async fn next(&mut self) -> Result<i64, PortError> {
        /// What a dry run answers, for want of anything better, is this plus one.
        const MADE_UP: i64 = 32_768;
        let port = if self.dry_run {
            self.taken.iter().max().map_or(MADE_UP, |port| (*port).max(0)) + 1
        } else {
            i64::from(self.ports.allocate_next().await?)
        };
        self.taken.push(port);
        Ok(port)
    }

    async fn next_or_error(&mut self) -> Result<i64, ApiError> {
        let failed = |error| ApiError::internal(format!("failed to allocate a nodePort: {error}"));
        self.next().await.map_err(failed)
    }
}

async fn take_ports(
    state: &AppState,
    cx: &RequestContext,
    obj: &mut Value,
    old: &Value,
    changes: &mut Changes,
) -> Result<(), ApiError> {
    let mut operation =
        PortOperation { ports: &state.allocators.ports, dry_run: cx.dry_run, taken: &mut changes.taken_ports };
    if uses_node_ports(obj) && old.is_null() {
        new_node_ports(obj, &mut operation).await?;
    } else if uses_node_ports(obj) {
        changed_node_ports(obj, old, &mut operation).await?;
    }
    take_health_check_port(obj, old, &mut operation).await
}

/// The port and node port of an entry of `spec.ports`.
fn port_pair(obj: &Value, index: usize) -> (i64, i64) {
    let entry = obj.path(&["spec", "ports"]).index(index);
    let number = |name: &str| entry.get(name).as_i64().unwrap_or(0);
    (number("port"), number("nodePort"))
}

fn set_node_port(obj: &mut Value, index: usize, port: i64) {
    if let Some(entries) = obj.field_mut("spec").get_mut("ports").and_then(Value::as_list_mut) {
        entries[index].set("nodePort", port);
    }
}

/// Entries that use one port for several protocols share the node port.
/// upstream: initNodePorts
async fn new_node_ports(obj: &mut Value, operation: &mut PortOperation<'_>) -> Result<(), ApiError> {
    let count = obj.path(&["spec", "ports"]).items().len();
    let mut by_port: HashMap<i64, i64> = HashMap::new();
    for index in 0..count {
        let (port, fixed) = port_pair(obj, index);
        if fixed == 0 && !allocates_node_ports(obj) {
            continue;
        }
        match by_port.get(&port).copied() {
            Some(known) if known == fixed => {}
            Some(known) if fixed == 0 => set_node_port(obj, index, known),
            Some(_) => operation.allocate(fixed).await.map_err(|error| port_error(obj, index, fixed, &error))?,
            None => {
                let requested = (0..count).map(|i| port_pair(obj, i)).find(|(p, node)| *p == port && *node != 0);
                let got = match requested {
                    Some((_, node)) => {
                        operation.allocate(node).await.map_err(|error| port_error(obj, index, node, &error))?;
                        node
                    }
                    None => operation.next_or_error().await?,
                };
                set_node_port(obj, index, got);
                by_port.insert(port, got);
            }
        }
    }
    Ok(())
}

/// upstream: updateNodePorts
async fn changed_node_ports(obj: &mut Value, old: &Value, operation: &mut PortOperation<'_>) -> Result<(), ApiError> {
    let owned: Vec<i64> = (0..old.path(&["spec", "ports"]).items().len())
        .map(|index| port_pair(old, index).1)
        .filter(|p| *p != 0)
        .collect();
    let mut seen: Vec<(String, i64)> = Vec::new();
    for index in 0..obj.path(&["spec", "ports"]).items().len() {
        let (_, fixed) = port_pair(obj, index);
        if fixed == 0 && !allocates_node_ports(obj) {
            continue;
        }
        let is_known = owned.contains(&fixed) || seen.iter().any(|(_, port)| *port == fixed && !owned.contains(port));
        let port = if fixed == 0 { operation.next_or_error().await? } else { fixed };
        if fixed == 0 {
            set_node_port(obj, index, port);
        } else if !is_known {
            operation.allocate(fixed).await.map_err(|error| port_error(obj, index, fixed, &error))?;
        }
        let protocol = obj.path(&["spec", "ports"]).index(index).get("protocol").str_or_empty().to_owned();
        if seen.contains(&(protocol.clone(), port)) {
            return Err(ApiError::new(500, "".into(), format!("duplicate nodePort: {{{protocol} {port}}}")));
        }
        seen.push((protocol, port));
    }
    Ok(())
}

async fn take_health_check_port(
    obj: &mut Value,
    old: &Value,
    operation: &mut PortOperation<'_>,
) -> Result<(), ApiError> {
    if !needs_health_check(obj) || needs_health_check(old) {
        return Ok(());
    }
    let fixed = obj.path(&["spec", "healthCheckNodePort"]).as_i64().unwrap_or(0);
    if fixed != 0 {
        return operation.allocate(fixed).await.map_err(|error| {
            ApiError::internal(format!("failed to allocate requested HealthCheck NodePort {fixed}: {error}"))
        });
    }
    let port = operation
        .next()
        .await
        .map_err(|error| ApiError::internal(format!("failed to allocate a HealthCheck NodePort 0: {error}")))?;
    obj.set_path(&["spec", "healthCheckNodePort"], port.into());
    Ok(())
}

async fn release(state: &AppState, cx: &RequestContext, ips: &[String], ports: &[u16]) {
    for ip in ips {
        state.allocators.ips.release(ip, &cx.namespace, &cx.name).await;
    }
    state.allocators.ports.release(ports).await;
}

fn port_error(obj: &Value, index: usize, port: i64, error: &PortError) -> ApiError {
    let mut errs = Errors::new();
    let path = Path::root("spec").child("ports").index(index).child("nodePort");
    errs.invalid(path, BadValue::Literal(port.to_string()), error.to_string());
    invalid(obj, &errs)
}

fn invalid(obj: &Value, errs: &Errors) -> ApiError {
    ApiError::invalid("", "Service", name_of(obj), errs)
}

fn name_of(obj: &Value) -> &str {
    obj.path(&["metadata", "name"]).str_or_empty()
}

/// Cluster IPs that a stored service holds.
pub fn owned_ips(service: &Value) -> Vec<String> {
    if service_type(service) == "ExternalName" {
        return Vec::new();
    }
    let ips = service.path(&["spec", "clusterIPs"]).items();
    ips.iter().filter_map(Value::as_str).filter(|ip| !matches!(*ip, "" | "None")).map(str::to_owned).collect()
}

/// Node ports that a stored service holds, the one for health checks included.
pub fn owned_ports(service: &Value) -> Vec<u16> {
    let mut out: Vec<u16> = Vec::new();
    let mut add = |port: Option<i64>| {
        if let Some(port) = port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0)
            && !out.contains(&port)
        {
            out.push(port);
        }
    };
    if uses_node_ports(service) {
        for entry in service.path(&["spec", "ports"]).items() {
            add(entry.get("nodePort").as_i64());
        }
    }
    if needs_health_check(service) {
        add(service.path(&["spec", "healthCheckNodePort"]).as_i64());
    }
    out
}

fn service_type(service: &Value) -> &str {
    service.path(&["spec", "type"]).str_or_empty()
}

fn uses_node_ports(service: &Value) -> bool {
    matches!(service_type(service), "NodePort" | "LoadBalancer")
}

fn allocates_node_ports(service: &Value) -> bool {
    match service_type(service) {
        "NodePort" => true,
        "LoadBalancer" => service.path(&["spec", "allocateLoadBalancerNodePorts"]).as_bool().unwrap_or(true),
        _ => false,
    }
}

fn needs_health_check(service: &Value) -> bool {
    service_type(service) == "LoadBalancer"
        && service.path(&["spec", "externalTrafficPolicy"]).str_or_empty() == "Local"
}
