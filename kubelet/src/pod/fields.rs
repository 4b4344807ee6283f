//! Values of a pod's own fields and resources, for the environment and for downward API files.
//!
//! upstream: pkg/fieldpath/fieldpath.go, pkg/api/v1/resource/helpers.go, pkg/kubelet/kubelet_pods.go

use std::collections::BTreeMap;

use apimachinery::quantity::Quantity;
use apimachinery::quote;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use super::view::PodView;

/// A field that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FieldError {
    /// The path names no field of this kind.
    #[error("unsupported fieldPath: {0}")]
    Unsupported(String),
    /// The path has a subscript but the field is no map.
    #[error("fieldPath {0:?} does not support subscript")]
    Subscript(String),
    /// The resource names none that can be shown.
    #[error("unsupported container resource : {0}")]
    Resource(String),
    /// The container that the selector names is not in the pod.
    #[error("container {0} not found")]
    Container(String),
}

/// Where a pod runs, as far as its fields tell.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Addresses of the pod, the primary one first.
    pub pod_ips: Vec<String>,
    /// Addresses of the node, the primary one first.
    pub host_ips: Vec<String>,
    /// What pods may use of this node: the limit of a container that has none.
    pub allocatable: BTreeMap<String, String>,
}

/// The value of `path`, such as `metadata.name`, `metadata.labels['x']` or `status.podIP`.
///
/// # Errors
/// The path is not supported.
pub fn field_value(pod: &Pod, path: &str, around: &Surroundings) -> Result<String, FieldError> {
    if let Some((field, rest)) = path.split_once("['") {
        let key = rest.strip_suffix("']").unwrap_or(rest);
        return match field {
            "metadata.labels" => Ok(map_value(pod.metadata.labels.as_ref(), key)),
            "metadata.annotations" => Ok(map_value(pod.metadata.annotations.as_ref(), key)),
            _ => Err(FieldError::Subscript(field.to_owned())),
        };
    }
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => pod.name().to_owned(),
        "metadata.namespace" => pod.namespace().to_owned(),
        "metadata.uid" => pod.uid().to_owned(),
        "metadata.labels" => format_map(pod.metadata.labels.as_ref()),
        "metadata.annotations" => format_map(pod.metadata.annotations.as_ref()),
        "spec.nodeName" => pod.spec().node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => pod.spec().service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => first(&around.host_ips),
        "status.hostIPs" => around.host_ips.join(","),
        "status.podIP" => first(&around.pod_ips),
        "status.podIPs" => around.pod_ips.join(","),
        _ => return Err(FieldError::Unsupported(path.to_owned())),
    })
}

fn map_value(map: Option<&BTreeMap<String, String>>, key: &str) -> String {
    map.and_then(|map| map.get(key)).cloned().unwrap_or_default()
}

/// `key="value"` lines, sorted, values quoted as Go's %q.
fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quote::quote(value))).collect();
    lines.join("\n")
}

/// The value of a container's resource, in units of the selector's divisor, rounded up.
///
/// # Errors
/// The resource cannot be shown or the container is not in the pod.
pub fn resource_value(
    pod: &Pod,
    container: Option<&Container>,
    selector: &ResourceFieldSelector,
    around: &Surroundings,
) -> Result<String, FieldError> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let named = named.map(|name| {
        pod.container(name).map(|(_, container)| container).ok_or_else(|| FieldError::Container(name.to_owned()))
    });
    let container = match named {
        Some(found) => found?,
        None => container.cloned().unwrap_or_default(),
    };
    let (kind, name) =
        selector.resource.split_once('.').ok_or_else(|| FieldError::Resource(selector.resource.clone()))?;
    let resources = container.resources.unwrap_or_default();
    let known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    let amount = match kind {
        "requests" if known => resources.requests.as_ref().and_then(|all| all.get(name)).map(|amount| amount.0.clone()),
        "limits" if known => {
            let own = resources.limits.as_ref().and_then(|all| all.get(name)).map(|amount| amount.0.clone());
            own.or_else(|| around.allocatable.get(name).cloned())
        }
        _ => return Err(FieldError::Resource(selector.resource.clone())),
    };
    let amount = amount.and_then(|text| Quantity::parse(&text).ok());
    let divisor = selector.divisor.as_ref().and_then(|divisor| Quantity::parse(&divisor.0).ok());
    let in_thousandths = name == "cpu";
    let read = |quantity: &Quantity| if in_thousandths { quantity.milli_value() } else { quantity.value() };
    let unit = if in_thousandths { 1000 } else { 1 };
    let divisor = divisor.as_ref().map(read).filter(|divisor| *divisor > 0).unwrap_or(unit);
    let amount = amount.as_ref().map_or(0, read);
    Ok(amount.div_euclid(divisor).saturating_add(i64::from(amount.rem_euclid(divisor) != 0)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_str(
            r#"{"metadata":{"name":"p","namespace":"n","uid":"u","labels":{"b":"2","a":"x\"y"}},
                "spec":{"nodeName":"node","containers":[{"name":"c","resources":{"limits":{"cpu":"1500m"},"requests":{"memory":"1Gi"}}}]}}"#,
        )
        .expect("valid")
    }

    #[test]
    fn reads_fields() {
        let around = Surroundings { pod_ips: vec!["10.0.0.1".into(), "fd00::1".into()], ..Surroundings::default() };
        for (path, want) in [
            ("metadata.name", "p"),
            ("metadata.labels['b']", "2"),
            ("metadata.labels", "a=\"x\\\"y\"\nb=\"2\""),
            ("metadata.annotations['none']", ""),
            ("status.podIP", "10.0.0.1"),
            ("status.podIPs", "10.0.0.1,fd00::1"),
            ("spec.nodeName", "node"),
        ] {
            assert_eq!(field_value(&pod(), path, &around).expect(path), want, "{path}");
        }
        assert!(field_value(&pod(), "spec.containers", &around).is_err());
    }

    #[test]
    fn reads_resources_rounded_up_and_falls_back_to_the_node() {
        let around =
            Surroundings { allocatable: [("memory".to_owned(), "4Gi".to_owned())].into(), ..Surroundings::default() };
        let pod = pod();
        let container = pod.spec().containers.first();
        for (resource, divisor, want) in [
            ("limits.cpu", "0", "2"),
            ("limits.cpu", "1m", "1500"),
            ("requests.memory", "1Mi", "1024"),
            ("limits.memory", "1Gi", "4"),
            ("requests.cpu", "1", "0"),
        ] {
            let selector = ResourceFieldSelector {
                resource: resource.to_owned(),
                divisor: Some(k8s_openapi::apimachinery::pkg::api::resource::Quantity(divisor.to_owned())),
                container_name: None,
            };
            assert_eq!(resource_value(&pod, container, &selector, &around).expect(resource), want, "{resource}");
        }
    }
}
