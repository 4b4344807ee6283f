//! Short names for what is read from a pod all the time; absent reads as Go's zero value.

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec, PodStatus};

/// Annotation: hash (and UID) of a static pod's source.
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// Annotation: where a pod came from: `api`, `file` or `http`.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// Annotation: when the kubelet first saw the pod.
pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";
/// Annotation: a mirror pod carries the hash of its static pod here.
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

static EMPTY_SPEC: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
static EMPTY_STATUS: std::sync::LazyLock<PodStatus> = std::sync::LazyLock::new(PodStatus::default);

/// What kind of container a container of a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerKind {
    /// Runs before the others.
    Init,
    /// An ordinary one.
    App,
    /// Added to a running pod for debugging.
    Ephemeral,
}

/// Readers on a pod.
pub trait PodView {
    /// UID, empty when absent.
    fn uid(&self) -> &str;
    /// Name.
    fn name(&self) -> &str;
    /// Namespace.
    fn namespace(&self) -> &str;
    /// The spec, or an empty one.
    fn spec(&self) -> &PodSpec;
    /// The status, or an empty one.
    fn status(&self) -> &PodStatus;
    /// One annotation, empty when absent.
    fn annotation(&self, key: &str) -> &str;
    /// `name_namespace(uid)`, the form that messages use.
    fn display(&self) -> String;
    /// The pod came from a file or a URL.
    fn is_static(&self) -> bool;
    /// The pod stands in the API for a static pod.
    fn is_mirror(&self) -> bool;
    /// The pod lives in the node's network namespace.
    fn host_network(&self) -> bool;
    /// Init containers in order.
    fn init_containers(&self) -> &[Container];
    /// All containers in the order init, app, ephemeral.
    fn all_containers(&self) -> Vec<(ContainerKind, Container)>;
    /// The definition of the container called `name`.
    fn container(&self, name: &str) -> Option<(ContainerKind, Container)>;
}

impl PodView for Pod {
    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn spec(&self) -> &PodSpec {
        self.spec.as_ref().unwrap_or(&EMPTY_SPEC)
    }

    fn status(&self) -> &PodStatus {
        self.status.as_ref().unwrap_or(&EMPTY_STATUS)
    }

    fn annotation(&self, key: &str) -> &str {
        self.metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str).unwrap_or_default()
    }

    fn display(&self) -> String {
        format!("{}_{}({})", self.name(), self.namespace(), self.uid())
    }

    fn is_static(&self) -> bool {
        let source = self.annotation(CONFIG_SOURCE);
        !source.is_empty() && source != "api"
    }

    fn is_mirror(&self) -> bool {
        !self.annotation(CONFIG_MIRROR).is_empty()
    }

    fn host_network(&self) -> bool {
        self.spec().host_network.unwrap_or(false)
    }

    fn init_containers(&self) -> &[Container] {
        self.spec().init_containers.as_deref().unwrap_or_default()
    }

    fn all_containers(&self) -> Vec<(ContainerKind, Container)> {
        let init = self.init_containers().iter().map(|container| (ContainerKind::Init, container.clone()));
        let app = self.spec().containers.iter().map(|container| (ContainerKind::App, container.clone()));
        let ephemeral = self.spec().ephemeral_containers.iter().flatten();
        let ephemeral = ephemeral.map(|container| (ContainerKind::Ephemeral, plain(container)));
        init.chain(app).chain(ephemeral).collect()
    }

    fn container(&self, name: &str) -> Option<(ContainerKind, Container)> {
        self.all_containers().into_iter().find(|(_, container)| container.name == name)
    }
}

/// An ephemeral container without its target, which is what the runtime sees of it.
pub fn plain(ephemeral: &EphemeralContainer) -> Container {
    let from = ephemeral.clone();
    Container {
        args: from.args,
        command: from.command,
        env: from.env,
        env_from: from.env_from,
        image: from.image,
        image_pull_policy: from.image_pull_policy,
        lifecycle: from.lifecycle,
        liveness_probe: from.liveness_probe,
        name: from.name,
        ports: from.ports,
        readiness_probe: from.readiness_probe,
        resize_policy: from.resize_policy,
        resources: from.resources,
        restart_policy: from.restart_policy,
        restart_policy_rules: from.restart_policy_rules,
        security_context: from.security_context,
        startup_probe: from.startup_probe,
        stdin: from.stdin,
        stdin_once: from.stdin_once,
        termination_message_path: from.termination_message_path,
        termination_message_policy: from.termination_message_policy,
        tty: from.tty,
        volume_devices: from.volume_devices,
        volume_mounts: from.volume_mounts,
        working_dir: from.working_dir,
    }
}

/// A sidecar: an init container that is kept running beside the app containers.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}
