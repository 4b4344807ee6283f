//! Rows of the core group, pods and controllers excepted.

use std::collections::BTreeSet;

use apimachinery::value::{Cursor, Value};
use jiff::Timestamp;

use super::{Entry, NONE, UNSET, age, condition, join, labels, name, number, or, since, some_of, text};

pub(super) const FUNCTIONS: &[Entry] = &[
    ("", "ComponentStatus", component_status),
    ("", "ConfigMap", config_map),
    ("", "Endpoints", endpoints),
    ("", "Event", event),
    ("events.k8s.io", "Event", event),
    ("", "Namespace", |o, now| vec![name(o), text(o.field("status").field("phase").str()), age(o, now)]),
    ("", "Node", node),
    ("", "PersistentVolume", persistent_volume),
    ("", "PersistentVolumeClaim", persistent_volume_claim),
    ("", "ResourceQuota", resource_quota),
    ("", "Secret", |o, now| vec![name(o), text(o.field("type").str()), count(o.field("data")), age(o, now)]),
    ("", "Service", service),
    ("", "ServiceAccount", |o, now| vec![name(o), age(o, now)]),
];

fn count(list: Cursor<'_>) -> Value {
    number(i64::try_from(list.len()).unwrap_or(i64::MAX))
}

fn component_status(object: Cursor<'_>, _now: Timestamp) -> Vec<Value> {
    let healthy = object.field("conditions").list().find(|c| c.field("type").str() == "Healthy");
    let status = match healthy.map(|c| c.field("status").str()) {
        None => "Unknown",
        Some("True") => "Healthy",
        Some(_) => "Unhealthy",
    };
    let part = |field| text(healthy.map_or("", |c| c.field(field).str()));
    vec![name(object), text(status), part("message"), part("error")]
}

fn config_map(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let entries = object.field("data").len() + object.field("binaryData").len();
    vec![name(object), number(i64::try_from(entries).unwrap_or(i64::MAX)), age(object, now)]
}

fn endpoints(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in object.field("subsets").list() {
        let addresses = || subset.field("addresses").list().map(|a| a.field("ip").str());
        if subset.field("ports").is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in subset.field("ports").list() {
            let port = port.field("port").i64();
            all.extend(
                addresses().map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }),
            );
        }
    }
    let empty = if object.field("subsets").is_empty() { NONE } else { "" };
    vec![name(object), text(some_of(&all, 3, empty)), age(object, now)]
}

fn event(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let time = |field| object.field(field).opt_str().map(|time| since(time, now));
    let unknown = || "<unknown>".to_owned();
    let first = time("firstTimestamp").or_else(|| time("eventTime")).unwrap_or_else(unknown);
    let mut last = time("lastTimestamp").unwrap_or_else(|| first.clone());
    let mut times = object.field("count").i64().max(1);
    let series = object.field("series");
    if series.exists() {
        last = since(series.field("lastObservedTime").str(), now);
        times = series.field("count").i64();
    }
    let involved = object.field("involvedObject");
    let kind = involved.field("kind").str().to_lowercase();
    let target = match involved.field("name").str() {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    vec![
        text(last),
        text(object.field("type").str()),
        text(object.field("reason").str()),
        text(target),
        text(involved.field("fieldPath").str()),
        text(event_source(object)),
        text(object.field("message").str().trim()),
        text(first),
        number(times),
        name(object),
    ]
}

fn event_source(object: Cursor<'_>) -> String {
    let source = object.field("source");
    let first = |one: Cursor<'_>, other: &'static str| {
        if one.is_empty() { object.field(other).str().to_owned() } else { one.str().to_owned() }
    };
    let component = first(source.field("component"), "reportingComponent");
    let instance = first(source.field("host"), "reportingInstance");
    if instance.is_empty() { component } else { format!("{component}, {instance}") }
}

fn node(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let mut status = match condition(object, "Ready").map(|c| c.field("status").str()) {
        None => "Unknown",
        Some("True") => "Ready",
        Some(_) => "NotReady",
    }
    .to_owned();
    if object.field("spec").field("unschedulable").bool() {
        status.push_str(",SchedulingDisabled");
    }
    let info = object.field("status").field("nodeInfo");
    let mut kernel = info.field("kernelVersion").opt_str().unwrap_or("<unknown>").to_owned();
    if let Some(architecture) = info.field("architecture").opt_str() {
        kernel = format!("{kernel} ({architecture})");
    }
    let address = |kind: &str| {
        let mut all = object.field("status").field("addresses").list();
        all.find(|a| a.field("type").str() == kind).map_or(NONE, |a| a.field("address").str())
    };
    vec![
        name(object),
        text(status),
        text(node_roles(object)),
        age(object, now),
        text(info.field("kubeletVersion").str()),
        text(address("InternalIP")),
        text(address("ExternalIP")),
        or(info.field("osImage"), "<unknown>"),
        text(kernel),
        or(info.field("containerRuntimeVersion"), "<unknown>"),
    ]
}

fn node_roles(object: Cursor<'_>) -> String {
    let mut roles = BTreeSet::new();
    for (key, value) in object.field("metadata").field("labels").map() {
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some("") => {}
            Some(role) => {
                roles.insert(role);
            }
            None if key == "kubernetes.io/role" && !value.is_empty() => {
                roles.insert(value.str());
            }
            None => {}
        }
    }
    if roles.is_empty() { NONE.to_owned() } else { roles.into_iter().collect::<Vec<_>>().join(",") }
}

fn access_modes(modes: Cursor<'_>) -> Value {
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| modes.list().any(|m| m.str() == mode);
    text(short.into_iter().filter(|(mode, _)| has(mode)).map(|(_, short)| short).collect::<Vec<_>>().join(","))
}

/// The class of a volume or claim; the beta annotation goes first.
fn storage_class(object: Cursor<'_>) -> Value {
    let annotations = object.field("metadata").field("annotations");
    let annotated = annotations.field("volume.beta.kubernetes.io/storage-class").opt_str();
    text(annotated.unwrap_or_else(|| object.field("spec").field("storageClassName").str()))
}

fn phase(object: Cursor<'_>) -> Value {
    let deleted = object.field("metadata").field("deletionTimestamp").exists();
    text(if deleted { "Terminating" } else { object.field("status").field("phase").str() })
}

/// An absent quantity prints as zero.
fn storage(list: Cursor<'_>) -> Value {
    or(list.field("storage"), "0")
}

fn persistent_volume(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let spec = object.field("spec");
    let claim = spec.field("claimRef");
    let claim = if claim.exists() {
        format!("{}/{}", claim.field("namespace").str(), claim.field("name").str())
    } else {
        String::new()
    };
    vec![
        name(object),
        storage(spec.field("capacity")),
        access_modes(spec.field("accessModes")),
        text(spec.field("persistentVolumeReclaimPolicy").str()),
        phase(object),
        text(claim),
        storage_class(object),
        or(spec.field("volumeAttributesClassName"), UNSET),
        text(object.field("status").field("reason").str()),
        age(object, now),
        or(spec.field("volumeMode"), UNSET),
    ]
}

fn persistent_volume_claim(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (object.field("spec"), object.field("status"));
    let bound = !spec.field("volumeName").is_empty();
    vec![
        name(object),
        phase(object),
        text(spec.field("volumeName").str()),
        if bound { storage(status.field("capacity")) } else { text("") },
        if bound { access_modes(status.field("accessModes")) } else { text("") },
        storage_class(object),
        or(spec.field("volumeAttributesClassName"), UNSET),
        age(object, now),
        or(spec.field("volumeMode"), UNSET),
    ]
}

fn resource_quota(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let status = object.field("status");
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in status.field("hard").map() {
        let used = status.field("used").field(resource).opt_str().unwrap_or("0");
        let column = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
        column.push(format!("{resource}: {used}/{}", hard.str()));
    }
    vec![name(object), text(requests.join(", ")), text(limits.join(", ")), age(object, now)]
}

fn service(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let spec = object.field("spec");
    let ports: Vec<String> = spec.field("ports").list().map(service_port).collect();
    vec![
        name(object),
        text(spec.field("type").str()),
        or(spec.field("clusterIPs").index(0), NONE),
        text(external_ip(object)),
        text(if ports.is_empty() { NONE.to_owned() } else { ports.join(",") }),
        age(object, now),
        labels(spec.field("selector")),
    ]
}

fn service_port(port: Cursor<'_>) -> String {
    let (number, protocol) = (port.field("port").i64(), port.field("protocol").str());
    match port.field("nodePort").i64() {
        0 => format!("{number}/{protocol}"),
        node_port => format!("{number}:{node_port}/{protocol}"),
    }
}

fn external_ip(object: Cursor<'_>) -> String {
    let spec = object.field("spec");
    let external = join(spec.field("externalIPs"), ",");
    match spec.field("type").str() {
        "ClusterIP" | "NodePort" if external.is_empty() => NONE.to_owned(),
        "ClusterIP" | "NodePort" => external,
        "LoadBalancer" => {
            let balancer = load_balancer(object.field("status").field("loadBalancer"));
            let both: Vec<String> = [balancer, external].into_iter().filter(|s| !s.is_empty()).collect();
            if both.is_empty() { "<pending>".to_owned() } else { both.join(",") }
        }
        "ExternalName" => spec.field("externalName").str().to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// Addresses of a load balancer, sorted.
pub(super) fn load_balancer(status: Cursor<'_>) -> String {
    let address = |ingress: Cursor<'_>| {
        let both = [ingress.field("ip").str().to_owned(), ingress.field("hostname").str().to_owned()];
        both.into_iter().find(|address| !address.is_empty())
    };
    let addresses: BTreeSet<String> = status.field("ingress").list().filter_map(address).collect();
    addresses.into_iter().collect::<Vec<_>>().join(",")
}
