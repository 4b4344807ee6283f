//! What a runtime and its handlers can do beyond the minimum, as far as they tell.
//!
//! A runtime that is too old to tell can do none of it: what a pod asks for must be refused then, and never be dropped.
//!
//! upstream: pkg/kubelet/kubelet_getters.go: HandlerSupportsUserNamespaces, pkg/kubelet/runtime.go

use super::types::StatusResponse;

/// The abilities of the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// By handler; empty for a runtime that does not tell its handlers.
    pub handlers: Vec<Handler>,
    /// Supplementary groups can be taken from the pod alone.
    pub supplemental_groups_policy: bool,
}

/// The abilities of one handler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handler {
    /// As in `RuntimeClass`; empty for the default.
    pub name: String,
    /// Mounts can be made read-only with everything below them.
    pub recursive_read_only_mounts: bool,
    /// Pods can have their own user namespace.
    pub user_namespaces: bool,
}

impl Abilities {
    /// Reads the runtime's answer.
    pub fn of(answer: &StatusResponse) -> Self {
        let handlers = answer.runtime_handlers.iter().map(|handler| {
            let features = handler.features.unwrap_or_default();
            Handler {
                name: handler.name.clone(),
                recursive_read_only_mounts: features.recursive_read_only_mounts,
                user_namespaces: features.user_namespaces,
            }
        });
        Self {
            handlers: handlers.collect(),
            supplemental_groups_policy: answer.features.is_some_and(|features| features.supplemental_groups_policy),
        }
    }

    /// What the handler called `name` can do.
    pub fn handler(&self, name: &str) -> Option<&Handler> {
        self.handlers.iter().find(|handler| handler.name == name)
    }
}
