//! Short forms of objects for tests.

use component_base::informer::ObjectKey;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use crate::model::Family;
use crate::plan::NodeView;
use crate::tracker::Tracker;

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn named(key: &str) -> (String, String) {
    let (namespace, name) = key.split_once('/').unwrap();
    (namespace.to_owned(), name.to_owned())
}

/// A service: `namespace/name`, cluster IP, the rest of the spec; `ingress` in the spec becomes the load balancer's address.
pub(crate) fn service(key: &str, cluster_ip: &str, spec: &str) -> Service {
    let (namespace, name) = named(key);
    let mut spec = yaml(spec);
    spec["clusterIP"] = cluster_ip.into();
    spec["clusterIPs"] = json!([cluster_ip]);
    let ingress = spec.as_object_mut().unwrap().remove("ingress");
    let status = ingress.map_or_else(|| json!({}), |ip| json!({"loadBalancer": {"ingress": [{"ip": ip}]}}));
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec, "status": status}))
        .unwrap()
}

/// A slice: `namespace/name`, its service, one port, endpoints.
pub(crate) fn slice(key: &str, service: &str, port: &str, number: u16, endpoints: &str) -> EndpointSlice {
    slice_of(key, service, &json!([{"name": port, "port": number}]), endpoints)
}

fn slice_of(key: &str, service: &str, ports: &Value, endpoints: &str) -> EndpointSlice {
    let (namespace, name) = named(key);
    let object = json!({
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": yaml(endpoints),
    });
    serde_json::from_value(object).unwrap()
}

/// A tracker of services, each (`namespace/name`, cluster IP, spec, endpoints); every port's endpoints listen on 8080.
pub(crate) fn tracker(services: &[(&str, &str, &str, &str)]) -> Tracker {
    let mut tracker = Tracker::new(Family::V4, "n1");
    for (key, ip, spec, endpoints) in services {
        let (namespace, name) = named(key);
        let service = service(key, ip, spec);
        let ports = service.spec.as_ref().unwrap().ports.as_ref().unwrap().iter();
        let ports: Vec<_> = ports
            .map(|p| json!({"name": p.name.clone().unwrap_or_default(), "port": 8080, "protocol": p.protocol.as_deref().unwrap_or("TCP")}))
            .collect();
        tracker.set_service(&ObjectKey::new(&namespace, &name), Some(&service));
        tracker.set_slice(&slice_of(&format!("{key}-x"), &name, &Value::from(ports), endpoints), false);
    }
    tracker
}

/// This node: n1 in zone z1.
pub(crate) fn node_view() -> NodeView {
    NodeView { name: "n1".into(), ip: "192.168.0.1".parse().unwrap(), zone: "z1".into() }
}
