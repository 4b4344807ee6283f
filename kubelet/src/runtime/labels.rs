//! Names of the labels and annotations by which a kubelet finds its own containers again, and the container hash.
//!
//! They are a contract with upstream's kubelet: each can take over the other's containers.
//!
//! upstream: pkg/kubelet/kuberuntime/labels.go, pkg/kubelet/container/helpers.go: HashContainer

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

/// Label: name of the pod.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// Label: namespace of the pod.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Label: UID of the pod.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Label: name of the container in the pod.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Annotation: hash of the container's definition, in hexadecimal.
pub const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
/// Annotation: how often the container was restarted.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Annotation: path of the termination message in the container.
pub const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Annotation: where the termination message comes from.
pub const TERMINATION_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Annotation: the preStop handler as JSON.
pub const PRE_STOP_HANDLER: &str = "io.kubernetes.container.preStopHandler";
/// Annotation: the container's ports as JSON.
pub const CONTAINER_PORTS: &str = "io.kubernetes.container.ports";
/// Annotation: grace period of the pod's deletion in seconds.
pub const POD_DELETION_GRACE_PERIOD: &str = "io.kubernetes.pod.deletionGracePeriod";
/// Annotation: grace period of the pod's termination in seconds.
pub const POD_TERMINATION_GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";

type Strings = BTreeMap<String, String>;

/// The labels of a pod's sandbox: the pod's own and those that identify it.
pub fn sandbox_labels(pod: &Pod) -> Strings {
    let mut labels = pod.metadata.labels.clone().unwrap_or_default();
    labels.extend(identity(pod));
    labels
}

/// The labels of a container.
pub fn container_labels(pod: &Pod, container: &str) -> Strings {
    let mut labels = identity(pod);
    labels.insert(CONTAINER_NAME.to_owned(), container.to_owned());
    labels
}

fn identity(pod: &Pod) -> Strings {
    let meta = &pod.metadata;
    [(POD_NAME, &meta.name), (POD_NAMESPACE, &meta.namespace), (POD_UID, &meta.uid)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.clone().unwrap_or_default()))
        .collect()
}

/// The annotations of a container.
pub fn container_annotations(pod: &Pod, container: &Container, restart_count: i32) -> Strings {
    let mut out = Strings::new();
    let mut put = |key: &str, value: String| {
        out.insert(key.to_owned(), value);
    };
    put(CONTAINER_HASH, format!("{:x}", container_hash(&container.name, container.image.as_deref().unwrap_or(""))));
    put(RESTART_COUNT, restart_count.to_string());
    put(TERMINATION_MESSAGE_PATH, container.termination_message_path.clone().unwrap_or_default());
    put(TERMINATION_MESSAGE_POLICY, container.termination_message_policy.clone().unwrap_or_default());
    if let Some(seconds) = pod.metadata.deletion_grace_period_seconds {
        put(POD_DELETION_GRACE_PERIOD, seconds.to_string());
    }
    if let Some(seconds) = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds) {
        put(POD_TERMINATION_GRACE_PERIOD, seconds.to_string());
    }
    if let Some(handler) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref())
        && let Ok(json) = serde_json::to_string(handler)
    {
        put(PRE_STOP_HANDLER, json);
    }
    if let Some(ports) = container.ports.as_ref().filter(|ports| !ports.is_empty())
        && let Ok(json) = serde_json::to_string(ports)
    {
        put(CONTAINER_PORTS, json);
    }
    out
}

/// Hash of the parts of a container whose change means a restart: its name and its image.
///
/// Upstream hashes a printed form of the JSON text's bytes with FNV-1a, and so do we, to the letter.
pub fn container_hash(name: &str, image: &str) -> u64 {
    let picked: BTreeMap<&str, &str> = [("image", image), ("name", name)].into();
    let json = serde_json::to_string(&picked).unwrap_or_default();
    let json = json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    let bytes: Vec<String> = json.bytes().map(|byte| byte.to_string()).collect();
    let printed = format!("([]uint8)[{}]", bytes.join(" "));
    u64::from(apimachinery::hash::fnv32a(printed.as_bytes()))
}

/// What a kubelet wrote on a container when it made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerNotes {
    /// See [`container_hash`].
    pub hash: u64,
    /// How often the container was restarted.
    pub restart_count: i32,
    /// Path of the termination message in the container, empty when there is none.
    pub termination_message_path: String,
    /// `File` or `FallbackToLogsOnError`.
    pub termination_message_policy: String,
    /// Grace period of the pod's deletion, in seconds.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Grace period of the pod's termination, in seconds.
    pub termination_grace_period_seconds: Option<i64>,
    /// The preStop handler.
    pub pre_stop: Option<LifecycleHandler>,
}

impl ContainerNotes {
    /// Reads the annotations; what is absent or malformed reads as zero, since a foreign container has none of them.
    pub fn read(annotations: &Strings) -> Self {
        let text = |key: &str| annotations.get(key).map(String::as_str).unwrap_or_default();
        Self {
            hash: u64::from_str_radix(text(CONTAINER_HASH), 16).unwrap_or(0),
            restart_count: text(RESTART_COUNT).parse().unwrap_or(0),
            termination_message_path: text(TERMINATION_MESSAGE_PATH).to_owned(),
            termination_message_policy: text(TERMINATION_MESSAGE_POLICY).to_owned(),
            deletion_grace_period_seconds: text(POD_DELETION_GRACE_PERIOD).parse().ok(),
            termination_grace_period_seconds: text(POD_TERMINATION_GRACE_PERIOD).parse().ok(),
            pre_stop: serde_json::from_str(text(PRE_STOP_HANDLER)).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_upstream_does() {
        assert_eq!(container_hash("test_container", "foo/image:v1"), 0x8e45_cbd0);
        assert_eq!(container_hash("foo", "bar"), 0x11a6_d6d6);
    }

    #[test]
    fn notes_survive_a_round_trip() {
        let pod: Pod = serde_json::from_str(
            r#"{"metadata":{"name":"p","namespace":"n","uid":"u","deletionGracePeriodSeconds":3},
                "spec":{"containers":[],"terminationGracePeriodSeconds":30}}"#,
        )
        .expect("valid");
        let container: Container = serde_json::from_str(
            r#"{"name":"c","image":"i","terminationMessagePath":"/dev/log","terminationMessagePolicy":"File",
                "lifecycle":{"preStop":{"sleep":{"seconds":2}}},"ports":[{"containerPort":80}]}"#,
        )
        .expect("valid");
        let notes = ContainerNotes::read(&container_annotations(&pod, &container, 4));
        assert_eq!(notes.restart_count, 4);
        assert_eq!(notes.hash, container_hash("c", "i"));
        assert_eq!(notes.deletion_grace_period_seconds, Some(3));
        assert_eq!(notes.termination_grace_period_seconds, Some(30));
        assert_eq!(notes.pre_stop.and_then(|handler| handler.sleep).map(|sleep| sleep.seconds), Some(2));
    }
}
