//! Defaults of the core group: pods and what they are made of, services, volumes, namespaces, nodes.
//! upstream: pkg/apis/core/v1/defaults.go

use std::sync::LazyLock;

use apimachinery::quantity::Quantity;
use apimachinery::value::{Key, Map, Value};
use regex::Regex;

use super::{Entry, fill, set, set_empty, with};
use crate::registry::pod_resources::{aggregate, is_huge_page, is_overcommit_allowed, is_pod_level};

/// A field that older clients know, which is the first element of a list: where both are given and differ, it wins.
/// upstream: pkg/apis/core/v1/conversion.go, where it is part of the conversion
fn first_of_list(obj: &mut Value, single: &str, list: &str, element: fn(&str) -> Value) {
    let one = obj.get(single).str_or_empty().to_owned();
    if one.is_empty() {
        let first = obj.get(list).index(0);
        let text = first.as_str().or_else(|| first.get("ip").as_str()).unwrap_or_default().to_owned();
        if !text.is_empty() {
            obj.set(single, text);
        }
        return;
    }
    let wanted = element(&one);
    if *obj.get(list).index(0) != wanted {
        obj.set(list, Value::List(vec![wanted]));
    }
}

pub(super) const FUNCTIONS: &[Entry] = &[
    ("io.k8s.api.core.v1.ConfigMapVolumeSource", default_mode),
    ("io.k8s.api.core.v1.Container", container),
    ("io.k8s.api.core.v1.DownwardAPIVolumeSource", default_mode),
    ("io.k8s.api.core.v1.EndpointPort", protocol),
    ("io.k8s.api.core.v1.EphemeralContainer", container),
    ("io.k8s.api.core.v1.HTTPGetAction", http_get),
    ("io.k8s.api.core.v1.HostPathVolumeSource", |o| set(o, "type", "")),
    ("io.k8s.api.core.v1.LimitRangeItem", limit_range_item),
    ("io.k8s.api.core.v1.Namespace", namespace),
    ("io.k8s.api.core.v1.NamespaceStatus", |o| set(o, "phase", "Active")),
    ("io.k8s.api.core.v1.NodeSpec", |o| first_of_list(o, "podCIDR", "podCIDRs", |one| one.into())),
    ("io.k8s.api.core.v1.NodeStatus", node_status),
    ("io.k8s.api.core.v1.ObjectFieldSelector", |o| set(o, "apiVersion", "v1")),
    ("io.k8s.api.core.v1.PersistentVolume", persistent_volume),
    ("io.k8s.api.core.v1.PersistentVolumeClaim", |o| set(o.field_mut("status"), "phase", "Pending")),
    ("io.k8s.api.core.v1.ContainerStatus", |o| round_up(o, "allocatedResources")),
    ("io.k8s.api.core.v1.PersistentVolumeClaimStatus", |o| {
        round_up(o, "capacity");
        round_up(o, "allocatedResources");
    }),
    ("io.k8s.api.core.v1.ResourceQuotaStatus", |o| {
        round_up(o, "hard");
        round_up(o, "used");
    }),
    ("io.k8s.api.core.v1.PersistentVolumeClaimSpec", |o| set(o, "volumeMode", "Filesystem")),
    ("io.k8s.api.core.v1.PersistentVolumeSpec", |o| round_up(o, "capacity")),
    ("io.k8s.api.core.v1.Pod", pod),
    ("io.k8s.api.core.v1.PodSpec", pod_spec),
    ("io.k8s.api.core.v1.PodStatus", |o| {
        round_up(o, "allocatedResources");
        first_of_list(o, "podIP", "podIPs", |one| Value::from([(Key::Static("ip"), one)]));
    }),
    ("io.k8s.api.core.v1.Probe", probe),
    ("io.k8s.api.core.v1.ProjectedVolumeSource", default_mode),
    ("io.k8s.api.core.v1.ReplicationController", replication_controller),
    ("io.k8s.api.core.v1.ResourceQuotaSpec", |o| round_up(o, "hard")),
    ("io.k8s.api.core.v1.ResourceRequirements", resource_requirements),
    ("io.k8s.api.core.v1.Secret", |o| set(o, "type", "Opaque")),
    ("io.k8s.api.core.v1.SecretVolumeSource", default_mode),
    ("io.k8s.api.core.v1.Service", service),
    ("io.k8s.api.core.v1.ServiceAccountTokenProjection", |o| set(o, "expirationSeconds", 3600)),
    ("io.k8s.api.core.v1.Volume", volume),
    ("io.k8s.api.core.v1.VolumeResourceRequirements", resource_requirements),
];

/// 0644: what files of config maps, secrets and projections get.
const FILE_MODE: i64 = 0o644;

fn default_mode(source: &mut Value) {
    set(source, "defaultMode", FILE_MODE);
}

fn protocol(port: &mut Value) {
    set(port, "protocol", "TCP");
}

/// `Always` for the tag `latest`, which is also what an image without tag and digest has.
fn pull_policy(image: &str) -> &'static str {
    if image_tag(image) == "latest" { "Always" } else { "IfNotPresent" }
}

/// The tag of an image reference; "latest" where neither a tag nor a digest is given, "" where only a digest is.
/// upstream: pkg/util/parsers/parsers.go, which drops what it cannot parse
fn image_tag(image: &str) -> &str {
    let Some(parts) = IMAGE.captures(image) else { return "" };
    match (parts.name("tag"), parts.name("digest")) {
        (Some(tag), _) => tag.as_str(),
        (None, Some(_)) => "",
        (None, None) => "latest",
    }
}

/// An image reference: a domain, path components, a tag, a digest.
/// upstream: github.com/distribution/reference
static IMAGE: LazyLock<Regex> = LazyLock::new(|| {
    let label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
    let domain = format!(r"(?:{label}(?:\.{label})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?");
    let component = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
    let digest = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
    let tag = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
    let whole = format!("^(?:{domain}/)?{component}(?:/{component})*(?::(?P<tag>{tag}))?(?:@(?P<digest>{digest}))?$");
    Regex::new(&whole).expect("a pattern of our own")
});

fn container(container: &mut Value) {
    let policy = pull_policy(container.get("image").str_or_empty());
    set(container, "imagePullPolicy", policy);
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
}

fn http_get(action: &mut Value) {
    set(action, "path", "/");
    set(action, "scheme", "HTTP");
}

fn probe(probe: &mut Value) {
    for (name, seconds) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        set(probe, name, seconds);
    }
}

fn volume(volume: &mut Value) {
    let has_source = volume.entries().any(|(name, value)| name != "name" && !value.is_null());
    if !has_source {
        volume.set("emptyDir", Value::map());
    }
    with(volume, "image", |image| {
        let policy = pull_policy(image.get("reference").str_or_empty());
        set(image, "pullPolicy", policy);
    });
}

fn pod_spec(spec: &mut Value) {
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "restartPolicy", "Always");
    set(spec, "securityContext", Value::map());
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "schedulerName", "default-scheduler");
    round_up(spec, "overhead");
    one_account(spec);
}

/// The account has a deprecated second name, which counts if the first is not given; objects bear both.
/// upstream: pkg/apis/core/v1/conversion.go, where it is part of the conversion
fn one_account(spec: &mut Value) {
    let given = [spec.get("serviceAccountName"), spec.get("serviceAccount")].map(|v| v.str_or_empty().to_owned());
    if let Some(name) = given.into_iter().find(|name| !name.is_empty()) {
        spec.set("serviceAccountName", name.as_str());
        spec.set("serviceAccount", name);
    }
}

fn host_ports(container: &mut Value) {
    each(container, "ports", |port| {
        let container_port = port.get("containerPort").clone();
        if !container_port.is_null() {
            set(port, "hostPort", container_port);
        }
    });
}

/// What pods get and templates do not.
fn pod(pod: &mut Value) {
    let spec = pod.field_mut("spec");
    for list in ["containers", "initContainers"] {
        each(spec, list, |container| {
            with(container, "resources", |resources| {
                if !resources.get("limits").is_null() {
                    fill(resources, "requests", "limits");
                }
            });
        });
    }
    if !spec.get("resources").is_null() {
        huge_page_limits(spec);
        pod_requests(spec);
    }
    set(spec, "enableServiceLinks", true);
    if spec.get("hostNetwork").as_bool() == Some(true) {
        for list in ["containers", "initContainers"] {
            each(spec, list, host_ports);
        }
    }
}

/// Pod-level limits for the huge pages that the containers limit.
fn huge_page_limits(spec: &mut Value) {
    let resources = spec.get("resources");
    if resources.get("limits").is_zero() && resources.get("requests").is_zero() {
        return;
    }
    let sums = aggregate(spec, "limits");
    let requests = resources.get("requests").as_map().cloned().unwrap_or_default();
    let mut limits = resources.get("limits").as_map().cloned().unwrap_or_default();
    for (name, sum) in &sums {
        if is_huge_page(name) && requests.get(name).is_none() && limits.get(name).is_none() {
            limits.insert(name, Value::str(sum.to_string()));
        }
    }
    set_map(spec, "limits", limits);
}

/// Pod-level requests: what the containers request together, else the pod-level limits.
fn pod_requests(spec: &mut Value) {
    let Some(limits) = spec.get("resources").get("limits").as_map().filter(|l| !l.is_empty()).cloned() else { return };
    let mut requests = spec.get("resources").get("requests").as_map().cloned().unwrap_or_default();
    for (name, sum) in &aggregate(spec, "requests") {
        if is_pod_level(name) && is_overcommit_allowed(name) && requests.get(name).is_none() {
            requests.insert(name, Value::str(sum.to_string()));
        }
    }
    for (name, limit) in limits.iter() {
        if is_pod_level(name) && requests.get(name).is_none() {
            requests.insert(name, limit.clone());
        }
    }
    set_map(spec, "requests", requests);
}

fn set_map(spec: &mut Value, name: &str, entries: Map) {
    if !entries.is_empty() {
        spec.field_mut("resources").set(name, Value::Map(entries));
    }
}

fn each(object: &mut Value, list: &str, f: impl FnMut(&mut Value)) {
    if let Some(Value::List(items)) = object.get_mut(list) {
        items.iter_mut().for_each(f);
    }
}

fn resource_requirements(resources: &mut Value) {
    round_up(resources, "limits");
    round_up(resources, "requests");
}

/// Quantities of resources are not finer than a thousandth.
fn round_up(object: &mut Value, name: &str) {
    with(object, name, |list| {
        for quantity in list.map_mut().iter_mut().map(|(_, value)| value) {
            // Only the suffixes n and u can be finer, so that nothing else has to be parsed.
            let finer = quantity.as_str().is_some_and(|text| text.ends_with(['n', 'u']));
            if let Some(parsed) = finer.then(|| Quantity::parse(quantity.str_or_empty()).ok()).flatten() {
                *quantity = Value::str(Quantity::from_milli(parsed.milli_value(), parsed.format()).to_string());
            }
        }
    });
}

fn limit_range_item(item: &mut Value) {
    for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        round_up(item, list);
    }
    if item.get("type").as_str() == Some("Container") {
        fill(item, "default", "max");
        fill(item, "defaultRequest", "default");
        fill(item, "defaultRequest", "min");
    }
}

fn namespace(namespace: &mut Value) {
    let name = namespace.path(&["metadata", "name"]).clone();
    if !name.is_null() {
        namespace.field_mut("metadata").field_mut("labels").set("kubernetes.io/metadata.name", name);
    }
}

fn node_status(status: &mut Value) {
    if status.get("allocatable").is_null() && !status.get("capacity").is_null() {
        let capacity = status.get("capacity").clone();
        status.set("allocatable", capacity);
    }
    round_up(status, "capacity");
    round_up(status, "allocatable");
}

fn persistent_volume(volume: &mut Value) {
    set(volume.field_mut("status"), "phase", "Pending");
    let spec = volume.field_mut("spec");
    set(spec, "persistentVolumeReclaimPolicy", "Retain");
    set(spec, "volumeMode", "Filesystem");
}

fn replication_controller(controller: &mut Value) {
    let labels = controller.path(&["spec", "template", "metadata", "labels"]).clone();
    if !labels.is_null() {
        set_empty(controller.field_mut("spec"), "selector", labels.clone());
        set_empty(controller.field_mut("metadata"), "labels", labels);
    }
    set(controller.field_mut("spec"), "replicas", 1);
}

fn service(service: &mut Value) {
    let spec = service.field_mut("spec");
    session_affinity(spec);
    set(spec, "type", "ClusterIP");
    each(spec, "ports", |port| {
        protocol(port);
        let target = port.get("targetPort");
        if target.is_zero() {
            let number = port.get("port").as_i64().unwrap_or(0);
            port.set("targetPort", number);
        }
    });
    let kind = spec.get("type").str_or_empty().to_owned();
    let external = matches!(kind.as_str(), "NodePort" | "LoadBalancer")
        || (kind == "ClusterIP" && !spec.get("externalIPs").items().is_empty());
    if external {
        set(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        set(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", true);
        with(service, "status", |status| {
            with(status, "loadBalancer", |balancer| {
                each(balancer, "ingress", |ingress| {
                    if !ingress.get("ip").is_zero() {
                        set(ingress, "ipMode", "VIP");
                    }
                });
            });
        });
    }
}

fn session_affinity(spec: &mut Value) {
    /// Three hours, in seconds.
    const TIMEOUT: i64 = 10_800;
    set(spec, "sessionAffinity", "None");
    match spec.get("sessionAffinity").str_or_empty() {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" if spec.path(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"]).is_null() => {
            let mut config = Value::map();
            config.set_path(&["clientIP", "timeoutSeconds"], Value::from(TIMEOUT));
            spec.set("sessionAffinityConfig", config);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::image_tag;

    #[test]
    fn tags() {
        let cases = [
            ("nginx", "latest"),
            ("nginx:latest", "latest"),
            ("nginx:1", "1"),
            ("example.com:5000/a/b", "latest"),
            ("example.com:5000/a/b:v1", "v1"),
            ("nginx@sha256:0123456789abcdef0123456789abcdef", ""),
            ("nginx:v1@sha256:0123456789abcdef0123456789abcdef", "v1"),
            ("nginx@sha256:0123", ""),
            ("localhost/a_b.c-d:v1", "v1"),
            ("http://x", ""),
            ("Nginx", ""),
            ("a b", ""),
            ("", ""),
        ];
        for (image, tag) in cases {
            assert_eq!(image_tag(image), tag, "{image}");
        }
    }
}
