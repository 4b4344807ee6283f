//! Which of the runtime's handlers a pod runs with, and whether that handler can do what the pod asks for.
//!
//! upstream: pkg/kubelet/runtimeclass/runtimeclass_manager.go, pkg/kubelet/userns/userns_manager.go

use std::sync::{Arc, OnceLock};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::node::v1::RuntimeClass;

use super::hosts::{HostNames, kernel_hostname};
use super::view::PodView;
use crate::runtime::Abilities;

/// Longest name that the kernel keeps, in bytes.
const KERNEL_NAME_BYTES_MAX: usize = 64;

/// A pod that cannot be run the way it asks for.
#[derive(Debug, thiserror::Error)]
pub enum ClassError {
    /// There is no such class.
    #[error("runtimeclass.node.k8s.io {0:?} not found")]
    NotFound(String),
    /// The classes have not been read yet, or there is no API to read them from.
    #[error("failed to lookup RuntimeClass {0}: runtime classes have not been read")]
    Unknown(String),
    /// The pod wants its own user namespace, and the runtime has none to give.
    #[error("can't set `spec.hostUsers: false`, {0} does not support user namespaces")]
    NoUserNamespaces(String),
    /// The runtime could, but this kubelet hands out no ranges of ids.
    #[error("create user namespace: this kubelet does not allocate user namespaces")]
    NoIdRanges,
    /// The full name does not fit into the kernel.
    #[error(
        "failed to construct FQDN from pod hostname and cluster domain, FQDN {name} is too long ({max} characters is the \
         max, {length} characters requested)"
    )]
    NameTooLong {
        /// The full name.
        name: String,
        /// Most bytes.
        max: usize,
        /// Its length.
        length: usize,
    },
}

/// Answers one class; the outer `None` says that none were read yet.
pub type ClassSource = Box<dyn Fn(&str) -> Option<Option<Arc<RuntimeClass>>> + Send + Sync>;

/// The classes of the cluster.
#[derive(Default)]
pub struct RuntimeClasses(OnceLock<ClassSource>);

impl RuntimeClasses {
    /// Where classes come from. The first call counts.
    pub fn set_source(&self, source: ClassSource) {
        let _first_counts = self.0.set(source);
    }

    /// The handler for a pod, empty for the default.
    ///
    /// # Errors
    /// The class does not exist or is not known yet.
    pub fn handler(&self, pod: &Pod) -> Result<String, ClassError> {
        let Some(name) = pod.spec().runtime_class_name.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(String::new());
        };
        match self.0.get().and_then(|source| source(name)) {
            None => Err(ClassError::Unknown(name.to_owned())),
            Some(None) => Err(ClassError::NotFound(name.to_owned())),
            Some(Some(class)) => Ok(class.handler.clone()),
        }
    }
}

/// Refuses a user namespace where there is none, since a pod must never be root on the node unasked.
///
/// # Errors
/// The pod wants a user namespace.
pub fn check_users(pod: &Pod, handler: &str, abilities: &Abilities) -> Result<(), ClassError> {
    if pod.spec().host_users != Some(false) {
        return Ok(());
    }
    if abilities.handler(handler).is_some_and(|handler| handler.user_namespaces) {
        return Err(ClassError::NoIdRanges);
    }
    let who = if handler.is_empty() { "runtime".to_owned() } else { format!("RuntimeClass handler {handler:?}") };
    Err(ClassError::NoUserNamespaces(who))
}

/// Checks that the full name fits where the pod wants the kernel to know it.
///
/// upstream: pkg/kubelet/util/util.go: GetNodenameForKernel
///
/// # Errors
/// It is too long.
pub fn check_name(pod: &Pod, names: &HostNames) -> Result<(), ClassError> {
    let name = kernel_hostname(pod, names);
    if pod.host_network() || name.len() <= KERNEL_NAME_BYTES_MAX {
        return Ok(());
    }
    Err(ClassError::NameTooLong { length: name.len(), name, max: KERNEL_NAME_BYTES_MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &str) -> Pod {
        serde_json::from_str(&format!(r#"{{"spec":{spec}}}"#)).expect("valid")
    }

    #[test]
    fn the_class_names_the_handler() {
        let classes = RuntimeClasses::default();
        let wants = pod(r#"{"containers":[],"runtimeClassName":"sandboxed"}"#);
        assert!(classes.handler(&wants).is_err());
        classes.set_source(Box::new(|name| {
            let class = RuntimeClass { handler: "runsc".to_owned(), ..RuntimeClass::default() };
            Some((name == "sandboxed").then(|| Arc::new(class)))
        }));
        assert_eq!(classes.handler(&wants).expect("found"), "runsc");
        assert_eq!(classes.handler(&pod(r#"{"containers":[]}"#)).expect("the default"), "");
        let error = classes.handler(&pod(r#"{"containers":[],"runtimeClassName":"x"}"#)).expect_err("unknown");
        assert_eq!(error.to_string(), "runtimeclass.node.k8s.io \"x\" not found");
    }

    #[test]
    fn user_namespaces_are_never_dropped_silently() {
        let wants = pod(r#"{"containers":[],"hostUsers":false}"#);
        let error = check_users(&wants, "", &Abilities::default()).expect_err("refused");
        assert_eq!(error.to_string(), "can't set `spec.hostUsers: false`, runtime does not support user namespaces");
        assert!(check_users(&pod(r#"{"containers":[],"hostUsers":true}"#), "", &Abilities::default()).is_ok());
    }
}
