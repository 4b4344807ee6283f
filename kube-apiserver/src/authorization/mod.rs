//! May this user do this: the authorizers, asked in the order of `--authorization-mode`.
//!
//! The first that allows or denies wins; if all have no opinion, the answer is no.
//! upstream: staging/src/k8s.io/apiserver/pkg/authorization/union and pkg/kubeapiserver/authorizer

pub mod attributes;
pub mod feeds;
pub mod node;
pub mod rbac;
pub mod reviews;

use std::sync::Arc;

pub use attributes::Attributes;

use crate::authentication::user::MASTERS;

/// What an authorizer thinks, with its reason (which may be empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow(String),
    /// No, and nobody else is asked.
    Deny(String),
    /// Ask the next one.
    NoOpinion(String),
}

/// One entry of `--authorization-mode`.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Everything is allowed.
    AlwaysAllow,
    /// Everything is forbidden.
    AlwaysDeny,
    /// Kubelets, by what their pods use.
    Node(Arc<node::NodeAuthorizer>),
    /// Roles and bindings.
    Rbac(Arc<rbac::Policy>),
}

/// The ordered authorizers; members of `system:masters` never get this far.
#[derive(Clone, Debug, Default)]
pub struct Authorizer {
    modes: Vec<Mode>,
}

impl Authorizer {
    /// Authorizers in the order they are asked.
    pub fn new(modes: Vec<Mode>) -> Self {
        Self { modes }
    }

    /// The joint decision; `NoOpinion` means forbidden and carries all reasons.
    pub async fn authorize(&self, a: &Attributes) -> Decision {
        if a.user.in_group(MASTERS) {
            return Decision::Allow(String::new());
        }
        let mut reasons = Vec::new();
        for mode in &self.modes {
            let decision = match mode {
                Mode::AlwaysAllow => Decision::Allow(String::new()),
                Mode::AlwaysDeny => Decision::NoOpinion("Everything is forbidden.".to_owned()),
                Mode::Node(node) => node.authorize(a),
                Mode::Rbac(policy) => policy.authorize(a),
            };
            match decision {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }

    /// The RBAC policy, if that mode is on: escalation checks and rules reviews need it.
    pub fn rbac(&self) -> Option<&Arc<rbac::Policy>> {
        self.modes.iter().find_map(|mode| match mode {
            Mode::Rbac(policy) => Some(policy),
            _ => None,
        })
    }

    /// True if the node authorizer is on.
    pub fn has_node_mode(&self) -> bool {
        self.modes.iter().any(|mode| matches!(mode, Mode::Node(_)))
    }
}
