//! `nodes/proxy`, `pods/proxy` and `services/proxy`: HTTP through the API server.
//!
//! upstream: pkg/registry/core/{node,pod,service}: ResourceLocation

use std::net::IpAddr;
use std::sync::Arc;

use apimachinery::quote::quote;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;
use component_base::tls::TrustAnyServer;
use http::{Request, Response};
use rand::Rng;
use rustls::ClientConfig;

use super::upstream::Target;
use super::{kubelet, pod, upstream};
use crate::body::Body;
use crate::endpoints::responses;
use crate::registry::Subresource;
use crate::request::{Authorized, RequestInfo};
use crate::state::AppState;

/// What is behind the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// A node: its kubelet, or another port.
    Node,
    /// A pod.
    Pod,
    /// One endpoint of a service.
    Service,
}

#[async_trait]
impl Subresource for Proxy {
    async fn connect(&self, state: &Arc<AppState>, cx: Authorized, req: Request<Body>) -> Response<Body> {
        let headers = req.headers().clone();
        match self.serve(state, &cx.info, req).await {
            Ok(response) => response,
            Err(error) => responses::error(&error, &headers),
        }
    }
}

impl Proxy {
    async fn serve(self, state: &AppState, info: &RequestInfo, req: Request<Body>) -> Result<Response<Body>, ApiError> {
        let target = match self {
            Self::Node => node(state, &info.name).await?,
            Self::Pod => pod_target(state, &info.namespace, &info.name).await?,
            Self::Service => service(state, &info.namespace, &info.name).await?,
        };
        let path = rest(req.uri().path());
        let path = match req.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        upstream::forward(&target, &path, req)
            .await
            .map_err(|error| ApiError::service_unavailable(format!("error trying to reach service: {error}")))
    }
}

/// What follows `…/proxy` in the path, still encoded.
fn rest(path: &str) -> String {
    match path.split_once("/proxy") {
        Some((_, "")) | None => "/".to_owned(),
        Some((_, rest)) => rest.to_owned(),
    }
}

async fn node(state: &AppState, id: &str) -> Result<Target, ApiError> {
    let (scheme, name, port) =
        split(id).ok_or_else(|| ApiError::bad_request(format!("invalid node request {}", quote(id))))?;
    let store = state.registry.store("", "nodes").ok_or_else(|| ApiError::not_found("", "nodes", name))?;
    store.get("", name).await?;
    let kubelet = kubelet::of_node(state, name).await?;
    if port.is_empty() || port == kubelet.port.to_string() {
        return Ok(kubelet);
    }
    if kubelet.hosts.iter().any(|host| host.parse::<IpAddr>().is_ok_and(|ip| !is_global(ip))) {
        return Err(ApiError::bad_request("address not allowed"));
    }
    Ok(Target { hosts: kubelet.hosts, port: number(port)?, tls: tls(scheme), name: None })
}

async fn pod_target(state: &AppState, namespace: &str, id: &str) -> Result<Target, ApiError> {
    let (scheme, name, port) =
        split(id).ok_or_else(|| ApiError::bad_request(format!("invalid pod request {}", quote(id))))?;
    let found = pod::get(state, namespace, name).await?;
    let first_port = || {
        let containers = found.path(&["spec", "containers"]).items();
        containers.iter().find_map(|c| c.get("ports").index(0).get("containerPort").as_i64())
    };
    let port = match port {
        "" => first_port().and_then(|p| u16::try_from(p).ok()).unwrap_or(if scheme == "https" { 443 } else { 80 }),
        port => number(port)?,
    };
    let ip = found.path(&["status", "podIP"]).str_or_empty();
    if !ip.parse().is_ok_and(is_global) {
        return Err(ApiError::bad_request("address not allowed"));
    }
    Ok(Target { hosts: vec![ip.to_owned()], port, tls: tls(scheme), name: None })
}

async fn service(state: &AppState, namespace: &str, id: &str) -> Result<Target, ApiError> {
    let (scheme, name, port) =
        split(id).ok_or_else(|| ApiError::bad_request(format!("invalid service request {}", quote(id))))?;
    // endpoints that are missing are told as a missing service, as upstream does
    let absent = || ApiError::not_found("", "services", name);
    let get = |plural: &'static str| async move {
        let store = state.registry.store("", plural).ok_or_else(absent)?;
        store.get(namespace, name).await.map_err(|error| if error.is_not_found() { absent() } else { error })
    };
    let object = get("services").await?;
    let mut port_name = port.to_owned();
    if let Ok(wanted) = port.parse::<i64>() {
        let ports = object.path(&["spec", "ports"]).items();
        let found = ports.iter().find(|p| p.get("port").as_i64() == Some(wanted));
        let found = found.ok_or_else(|| {
            ApiError::service_unavailable(format!("no service port {wanted} found for service {}", quote(name)))
        })?;
        port_name = found.get("name").str_or_empty().to_owned();
    }
    let endpoints = get("endpoints").await?;
    let none =
        |what: &str| ApiError::service_unavailable(format!("no endpoints available for service {}", quote(what)));
    if endpoints.get("subsets").items().is_empty() {
        return Err(none(name));
    }
    let (ip, port) = pick(&endpoints, &port_name).ok_or_else(|| none(id))?;
    Ok(Target { hosts: vec![ip], port, tls: tls(scheme), name: None })
}

/// A random ready address of the port.
fn pick(endpoints: &Value, port_name: &str) -> Option<(String, u16)> {
    let mut all = Vec::new();
    for subset in endpoints.get("subsets").items() {
        let ports = subset.get("ports").items();
        let port = ports.iter().find(|p| p.get("name").str_or_empty() == port_name);
        let Some(port) = port.and_then(|p| u16::try_from(p.get("port").as_i64()?).ok()) else { continue };
        let addresses = subset.get("addresses").items();
        all.extend(addresses.iter().map(|a| (a.get("ip").str_or_empty().to_owned(), port)));
    }
    if all.is_empty() {
        return None;
    }
    let index = rand::rng().random_range(0..all.len());
    Some(all.swap_remove(index))
}

/// `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`.
/// upstream: staging/src/k8s.io/apimachinery/pkg/util/net/port_split.go
fn split(id: &str) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = id.split(':').collect();
    match parts.as_slice() {
        [name] if !name.is_empty() => Some(("", name, "")),
        [name, port] if !name.is_empty() => Some(("", name, port)),
        [scheme @ ("" | "http" | "https"), name, port] if !name.is_empty() => Some((scheme, name, port)),
        _ => None,
    }
}

fn number(port: &str) -> Result<u16, ApiError> {
    port.parse().map_err(|_| ApiError::bad_request(format!("invalid port {}", quote(port))))
}

/// HTTPS backends are not verified: nobody has a certificate for a pod's address.
fn tls(scheme: &str) -> Option<Arc<ClientConfig>> {
    (scheme == "https").then(unverified_tls)
}

/// TLS that takes any certificate.
pub(super) fn unverified_tls() -> Arc<ClientConfig> {
    let builder = ClientConfig::builder().dangerous();
    let builder = builder.with_custom_certificate_verifier(Arc::new(TrustAnyServer::default()));
    Arc::new(builder.with_no_client_auth())
}

/// Not loopback, link-local, multicast or unspecified: Go's IsGlobalUnicast.
fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !(ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_unspecified() || ip.is_broadcast())
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() || ip.segments()[0] & 0xffc0 == 0xfe80)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_names() {
        assert_eq!(split("a"), Some(("", "a", "")));
        assert_eq!(split("a:80"), Some(("", "a", "80")));
        assert_eq!(split("https:a:80"), Some(("https", "a", "80")));
        assert_eq!(split("ftp:a:80"), None);
        assert_eq!(rest("/api/v1/namespaces/n/pods/p/proxy/x/y"), "/x/y");
        assert_eq!(rest("/api/v1/namespaces/n/pods/p/proxy"), "/");
    }
}
