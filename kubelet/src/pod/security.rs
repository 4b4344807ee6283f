//! Security context of sandboxes and containers.
//!
//! upstream: pkg/kubelet/kuberuntime/security_context.go, pkg/securitycontext/util.go

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, Container, Pod, PodSecurityContext, SELinuxOptions, SeccompProfile, SecurityContext,
};

use super::view::PodView;
use crate::runtime::types::{
    Capability, Int64Value, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption,
    SeLinuxOption, SecurityProfile, SupplementalGroupsPolicy, security_profile::ProfileType,
};

const MASKED_PATHS: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A security context that must not or cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// `runAsNonRoot` with `runAsUser: 0`.
    #[error("container's runAsUser breaks non-root policy (pod: {pod:?}, container: {container})")]
    RunsAsRoot {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// `runAsNonRoot`, and the image names its user by name.
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root \
         (pod: {pod:?}, container: {container})"
    )]
    UserByName {
        /// The image's user.
        user: String,
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// `runAsNonRoot`, and the image runs as root.
    #[error("container has runAsNonRoot and image will run as root (pod: {pod:?}, container: {container})")]
    ImageRunsAsRoot {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// A local profile without a name.
    #[error("localhostProfile must be set if seccompProfile type is Localhost.")]
    NoLocalProfile,
}

/// The user that an image wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// By number.
    pub uid: Option<i64>,
    /// By name.
    pub name: String,
}

/// What the node decides about security.
#[derive(Clone, Debug, Default)]
pub struct SecuritySettings {
    /// Containers without a profile run under the runtime's.
    pub seccomp_default: bool,
    /// Folder of local seccomp profiles.
    pub seccomp_root: String,
}

/// Namespaces of a pod's processes.
pub fn namespaces(pod: &Pod) -> NamespaceOption {
    let spec = pod.spec();
    let node_or_pod = |node: Option<bool>| if node == Some(true) { NamespaceMode::Node } else { NamespaceMode::Pod };
    let pid = if spec.host_pid == Some(true) {
        NamespaceMode::Node
    } else if spec.share_process_namespace == Some(true) {
        NamespaceMode::Pod
    } else {
        NamespaceMode::Container
    };
    NamespaceOption {
        network: node_or_pod(spec.host_network).into(),
        pid: pid.into(),
        ipc: node_or_pod(spec.host_ipc).into(),
        target_id: String::new(),
        userns_options: None,
    }
}

/// Context of the sandbox.
pub fn sandbox_context(pod: &Pod) -> LinuxSandboxSecurityContext {
    let context = pod.spec().security_context.clone().unwrap_or_default();
    let privileged = pod.all_containers().iter().any(|(_, container)| {
        container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true))
    });
    LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod)),
        selinux_options: context.se_linux_options.as_ref().map(selinux),
        run_as_user: context.run_as_user.map(|value| Int64Value { value }),
        run_as_group: context.run_as_group.map(|value| Int64Value { value }),
        supplemental_groups: groups(&context),
        supplemental_groups_policy: groups_policy(&context).into(),
        privileged,
        seccomp: Some(profile(ProfileType::RuntimeDefault, String::new())),
        ..LinuxSandboxSecurityContext::default()
    }
}

fn groups(context: &PodSecurityContext) -> Vec<i64> {
    context.fs_group.into_iter().chain(context.supplemental_groups.iter().flatten().copied()).collect()
}

fn groups_policy(context: &PodSecurityContext) -> SupplementalGroupsPolicy {
    match context.supplemental_groups_policy.as_deref() {
        Some("Strict") => SupplementalGroupsPolicy::Strict,
        _ => SupplementalGroupsPolicy::Merge,
    }
}

/// Context of one container.
///
/// # Errors
/// It contradicts `runAsNonRoot`, or a profile is incomplete.
pub fn container_context(
    pod: &Pod,
    container: &Container,
    image_user: &ImageUser,
    settings: &SecuritySettings,
) -> Result<LinuxContainerSecurityContext, SecurityError> {
    let of_pod = pod.spec().security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let run_as_user = own.run_as_user.or(of_pod.run_as_user);
    verify_non_root(pod, container, run_as_user, own.run_as_non_root.or(of_pod.run_as_non_root), image_user)?;
    let unmasked = own.proc_mount.as_deref() == Some("Unmasked");
    let paths = |paths: &[&str]| if unmasked { Vec::new() } else { paths.iter().map(|p| (*p).to_owned()).collect() };
    let (user, username) = match run_as_user {
        Some(user) => (Some(user), String::new()),
        None => (image_user.uid, image_user.name.clone()),
    };
    let apparmor = own.app_armor_profile.as_ref().or(of_pod.app_armor_profile.as_ref());
    Ok(LinuxContainerSecurityContext {
        capabilities: own.capabilities.as_ref().map(capabilities),
        privileged: own.privileged.unwrap_or(false),
        namespace_options: Some(namespaces(pod)),
        selinux_options: own.se_linux_options.as_ref().or(of_pod.se_linux_options.as_ref()).map(selinux),
        run_as_user: user.map(|value| Int64Value { value }),
        run_as_username: username,
        run_as_group: own.run_as_group.or(of_pod.run_as_group).map(|value| Int64Value { value }),
        readonly_rootfs: own.read_only_root_filesystem.unwrap_or(false),
        supplemental_groups: groups(&of_pod),
        supplemental_groups_policy: groups_policy(&of_pod).into(),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: paths(&MASKED_PATHS),
        readonly_paths: paths(&READONLY_PATHS),
        seccomp: Some(seccomp(&own, &of_pod, settings)?),
        apparmor: apparmor.map(apparmor_profile),
        ..LinuxContainerSecurityContext::default()
    })
}

fn verify_non_root(
    pod: &Pod,
    container: &Container,
    run_as_user: Option<i64>,
    non_root: Option<bool>,
    image_user: &ImageUser,
) -> Result<(), SecurityError> {
    if non_root != Some(true) {
        return Ok(());
    }
    let (pod, container) = (pod.display(), container.name.clone());
    match (run_as_user, image_user.uid) {
        (Some(0), _) => Err(SecurityError::RunsAsRoot { pod, container }),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => Err(SecurityError::ImageRunsAsRoot { pod, container }),
        (None, None) if !image_user.name.is_empty() => {
            Err(SecurityError::UserByName { user: image_user.name.clone(), pod, container })
        }
        (None, _) => Ok(()),
    }
}

fn profile(kind: ProfileType, localhost_ref: String) -> SecurityProfile {
    SecurityProfile { profile_type: kind.into(), localhost_ref }
}

fn seccomp(
    own: &SecurityContext,
    of_pod: &PodSecurityContext,
    settings: &SecuritySettings,
) -> Result<SecurityProfile, SecurityError> {
    let wanted: Option<&SeccompProfile> = own.seccomp_profile.as_ref().or(of_pod.seccomp_profile.as_ref());
    let Some(wanted) = wanted else {
        let kind = if settings.seccomp_default { ProfileType::RuntimeDefault } else { ProfileType::Unconfined };
        return Ok(profile(kind, String::new()));
    };
    match wanted.type_.as_str() {
        "RuntimeDefault" => Ok(profile(ProfileType::RuntimeDefault, String::new())),
        "Localhost" => match wanted.localhost_profile.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => Ok(profile(ProfileType::Localhost, format!("{}/{name}", settings.seccomp_root))),
            None => Err(SecurityError::NoLocalProfile),
        },
        _ => Ok(profile(ProfileType::Unconfined, String::new())),
    }
}

fn apparmor_profile(wanted: &AppArmorProfile) -> SecurityProfile {
    match wanted.type_.as_str() {
        "RuntimeDefault" => profile(ProfileType::RuntimeDefault, String::new()),
        "Localhost" => profile(ProfileType::Localhost, wanted.localhost_profile.clone().unwrap_or_default()),
        _ => profile(ProfileType::Unconfined, String::new()),
    }
}

fn capabilities(from: &Capabilities) -> Capability {
    Capability {
        add_capabilities: from.add.clone().unwrap_or_default(),
        drop_capabilities: from.drop.clone().unwrap_or_default(),
        add_ambient_capabilities: Vec::new(),
    }
}

fn selinux(from: &SELinuxOptions) -> SeLinuxOption {
    SeLinuxOption {
        user: from.user.clone().unwrap_or_default(),
        role: from.role.clone().unwrap_or_default(),
        r#type: from.type_.clone().unwrap_or_default(),
        level: from.level.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pod: &str, container: &str, image_user: ImageUser) -> Result<LinuxContainerSecurityContext, String> {
        let pod: Pod = serde_json::from_str(pod).expect("valid");
        let container: Container = serde_json::from_str(container).expect("valid");
        container_context(&pod, &container, &image_user, &SecuritySettings::default())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_containers_word_comes_before_the_pods() {
        let pod = r#"{"spec":{"containers":[],"securityContext":{"runAsUser":1,"runAsGroup":2,"fsGroup":3,"supplementalGroups":[4]}}}"#;
        let got = check(
            pod,
            r#"{"name":"c","securityContext":{"runAsUser":9,"allowPrivilegeEscalation":false}}"#,
            ImageUser::default(),
        )
        .expect("valid");
        assert_eq!(got.run_as_user.map(|user| user.value), Some(9));
        assert_eq!(got.run_as_group.map(|group| group.value), Some(2));
        assert_eq!(got.supplemental_groups, [3, 4]);
        assert!(got.no_new_privs);
        assert_eq!(got.masked_paths.len(), MASKED_PATHS.len());
    }

    #[test]
    fn non_root_is_verified() {
        let pod = r#"{"metadata":{"name":"p","namespace":"n","uid":"u"},"spec":{"containers":[],"securityContext":{"runAsNonRoot":true}}}"#;
        let root = ImageUser { uid: Some(0), name: String::new() };
        assert_eq!(
            check(pod, r#"{"name":"c"}"#, root).expect_err("root"),
            "container has runAsNonRoot and image will run as root (pod: \"p_n(u)\", container: c)"
        );
        assert!(check(pod, r#"{"name":"c"}"#, ImageUser { uid: None, name: "www".into() }).is_err());
        assert!(check(pod, r#"{"name":"c","securityContext":{"runAsUser":5}}"#, ImageUser::default()).is_ok());
    }
}
