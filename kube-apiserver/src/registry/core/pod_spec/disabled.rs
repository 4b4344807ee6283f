//! Fields behind feature gates that are off: they are dropped, unless the object that is changed has them already.
//! upstream: pkg/api/pod/util.go (dropDisabledFields)

use apimachinery::value::Value;

use crate::registry::resource::Resource;

/// Sources of projected volumes that are behind gates.
const PROJECTIONS: [&str; 2] = ["clusterTrustBundle", "podCertificate"];
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Where the pod spec of a built-in kind is.
fn spec_path(resource: &Resource) -> Option<&'static [&'static str]> {
    resource.info?;
    match (&*resource.group, &*resource.kind) {
        ("", "Pod") => Some(&["spec"]),
        ("", "PodTemplate") => Some(&["template", "spec"]),
        ("", "ReplicationController")
        | ("apps", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet")
        | ("batch", "Job") => Some(&["spec", "template", "spec"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => None,
    }
}

/// Drops the fields from the pod spec of an object, if it has one; `old` is null for a new object.
pub fn drop_disabled(resource: &Resource, obj: &mut Value, old: &Value) {
    let Some(path) = spec_path(resource) else { return };
    let old = old.path(path).clone();
    if let Some(spec) = obj.path_mut(path).filter(|spec| !spec.is_null()) {
        from_spec(spec, &old);
    }
}

fn from_spec(spec: &mut Value, old: &Value) {
    for kind in PROJECTIONS {
        if !projections(old).any(|source| !source.get(kind).is_null()) {
            drop_projection(spec, kind);
        }
    }
    if old.get("schedulingGroup").is_null() {
        spec.remove("schedulingGroup");
    }
    let has_signal = |container: &Value| !container.path(&["lifecycle", "stopSignal"]).is_null();
    if !CONTAINERS.iter().flat_map(|list| old.get(list).items()).any(has_signal) {
        for list in CONTAINERS {
            let Some(Value::List(containers)) = spec.get_mut(list) else { continue };
            containers.iter_mut().filter(|container| has_signal(container)).for_each(drop_signal);
        }
    }
}

fn projections(spec: &Value) -> impl Iterator<Item = &Value> {
    spec.get("volumes").items().iter().flat_map(|volume| volume.path(&["projected", "sources"]).items())
}

fn drop_projection(spec: &mut Value, kind: &str) {
    let Some(Value::List(volumes)) = spec.get_mut("volumes") else { return };
    for volume in volumes {
        if let Some(Value::List(sources)) = volume.path_mut(&["projected", "sources"]) {
            sources.iter_mut().for_each(|source| drop(source.remove(kind)));
        }
    }
}

fn drop_signal(container: &mut Value) {
    container.remove_path(&["lifecycle", "stopSignal"]);
    if container.get("lifecycle").is_zero() {
        container.remove("lifecycle");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn drops_what_is_new() {
        let given = r#"{"schedulingGroup": {"podGroupName": "g"}, "containers": [{"name": "c", "lifecycle": {"stopSignal": "SIGTERM"}}],
            "volumes": [{"name": "v", "projected": {"sources": [{"podCertificate": {"keyType": "k"}}, {"secret": {"name": "s"}}]}}]}"#;
        let dropped = r#"{"containers": [{"name": "c"}],
            "volumes": [{"name": "v", "projected": {"sources": [{}, {"secret": {"name": "s"}}]}}]}"#;
        let mut spec = value(given);
        from_spec(&mut spec, &Value::Null);
        assert_eq!(spec, value(dropped));
        let mut spec = value(given);
        from_spec(&mut spec, &value(given));
        assert_eq!(spec, value(given));
    }
}
