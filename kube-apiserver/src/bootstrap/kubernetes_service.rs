//! The service `default/kubernetes` and its endpoints: the addresses of all live API servers.
//!
//! Every server keeps a record of itself under `/masterleases` with a lease of its own; the endpoints are the
//! union of the records.
//! upstream: pkg/controlplane/controller/kubernetesservice and reconcilers/lease.go

use std::time::Duration;

use apimachinery::status::ApiError;
use apimachinery::value::Value;

use super::{Bootstrap, created};
use crate::loopback::{Loopback, Options as Call};
use crate::objects::{Kind, SERVICES};
use crate::options::Options;

/// Pause between two rounds.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// A server that did not report for this long is gone, in seconds.
const RECORD_TTL: u64 = 15;
const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";
const ENDPOINTS: Kind = Kind::new("", "endpoints");
const SLICES: Kind = Kind::new("discovery.k8s.io", "endpointslices");

/// Makes the service if missing, reports this server, and sets the endpoints.
///
/// # Errors
/// What storage says.
pub async fn reconcile(cx: &Bootstrap) -> Result<(), ApiError> {
    if cx.api.cached(SERVICES, NAMESPACE, NAME).is_none() {
        created(cx.api.create(SERVICES, NAMESPACE, &service(&cx.options, cx.port), Call::default()).await)?;
    }
    if publishes_nothing(cx) {
        return Ok(());
    }
    cx.records.report(&cx.options.advertise_address.to_string(), RECORD_TTL).await?;
    let addresses = cx.records.all().await?;
    if addresses.is_empty() {
        return Err(ApiError::internal(
            "no API server IP addresses were listed in storage, refusing to erase all endpoints for the kubernetes Service",
        ));
    }
    set_endpoints(&cx.api, &addresses, cx.port).await
}

/// Takes this server out of the endpoints: it is about to stop.
pub async fn withdraw(cx: &Bootstrap) {
    if publishes_nothing(cx) {
        return;
    }
    let withdrawn = async {
        cx.records.remove(&cx.options.advertise_address.to_string()).await?;
        let addresses = cx.records.all().await?;
        set_endpoints(&cx.api, &addresses, cx.port).await
    };
    if let Err(error) = withdrawn.await {
        tracing::warn!(error = error.message(), "could not withdraw from the endpoints of the service kubernetes");
    }
}

fn publishes_nothing(cx: &Bootstrap) -> bool {
    cx.options.flags.str("endpoint-reconciler-type") == "none"
}

async fn set_endpoints(api: &Loopback, addresses: &[String], port: u16) -> Result<(), ApiError> {
    put(api, ENDPOINTS, endpoints(addresses, port), &["subsets"]).await?;
    if addresses.is_empty() {
        return Ok(());
    }
    put(api, SLICES, slice(addresses, port), &["endpoints", "ports"]).await
}

/// Creates the object, or updates these fields of it if they differ.
async fn put(api: &Loopback, kind: Kind, wanted: Value, fields: &[&str]) -> Result<(), ApiError> {
    let Some(mut existing) = api.cached(kind, NAMESPACE, NAME) else {
        return created(api.create(kind, NAMESPACE, &wanted, Call::default()).await);
    };
    if fields.iter().all(|f| existing.get(f) == wanted.get(f)) {
        return Ok(());
    }
    for field in fields {
        existing.set(field, wanted.get(field).clone());
    }
    api.update(kind, NAMESPACE, NAME, "", &existing, Call::default()).await.map(|_| ())
}

fn service(options: &Options, port: u16) -> Value {
    let node_port = options.flags.int("kubernetes-service-node-port");
    let mut service_port: Value = [
        ("name", Value::from("https")),
        ("protocol", "TCP".into()),
        ("port", 443i64.into()),
        ("targetPort", i64::from(port).into()),
    ]
    .into();
    if node_port > 0 {
        service_port.set("nodePort", node_port);
    }
    let spec: Value = [
        ("ports", Value::List(vec![service_port])),
        ("clusterIP", options.kubernetes_service_ip().to_string().into()),
        ("ipFamilyPolicy", "SingleStack".into()),
        ("sessionAffinity", "None".into()),
        ("type", if node_port > 0 { "NodePort" } else { "ClusterIP" }.into()),
    ]
    .into();
    let labels: Value = [("provider", "kubernetes"), ("component", "apiserver")].into();
    object("v1", "Service", labels, [("spec", spec)])
}

fn endpoints(addresses: &[String], port: u16) -> Value {
    let labels: Value = [("endpointslice.kubernetes.io/skip-mirror", "true")].into();
    if addresses.is_empty() {
        return object("v1", "Endpoints", labels, []);
    }
    let list = addresses.iter().map(|a| Value::from([("ip", a.as_str())])).collect();
    let port: Value =
        [("name", Value::from("https")), ("port", i64::from(port).into()), ("protocol", "TCP".into())].into();
    let subset: Value = [("addresses", Value::List(list)), ("ports", Value::List(vec![port]))].into();
    object("v1", "Endpoints", labels, [("subsets", Value::List(vec![subset]))])
}

fn slice(addresses: &[String], port: u16) -> Value {
    let labels: Value = [("kubernetes.io/service-name", NAME)].into();
    let list = addresses
        .iter()
        .map(|a| {
            let conditions: Value = [("ready", true)].into();
            Value::from([("addresses", Value::List(vec![a.as_str().into()])), ("conditions", conditions)])
        })
        .collect();
    let port: Value =
        [("name", Value::from("https")), ("protocol", "TCP".into()), ("port", i64::from(port).into())].into();
    let family = if addresses.iter().any(|a| a.contains(':')) { "IPv6" } else { "IPv4" };
    object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        labels,
        [("addressType", family.into()), ("endpoints", Value::List(list)), ("ports", Value::List(vec![port]))],
    )
}

fn object<const N: usize>(api_version: &str, kind: &str, labels: Value, parts: [(&'static str, Value); N]) -> Value {
    let meta: Value = [("name", Value::from(NAME)), ("namespace", NAMESPACE.into()), ("labels", labels)].into();
    let mut out: Value = [("apiVersion", Value::from(api_version)), ("kind", kind.into()), ("metadata", meta)].into();
    for (key, value) in parts {
        out.set(key, value);
    }
    out
}
