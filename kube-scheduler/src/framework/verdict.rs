//! What a plugin can say about a pod. upstream: kube-scheduler/framework/interface.go (Code, Status)

use std::borrow::Cow;
use std::fmt;

/// Reasons shown to the user, one per problem.
pub type Reasons = Vec<Cow<'static, str>>;

/// A failure inside a plugin: not a statement about the pod.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PluginError(pub String);

/// Why a pod cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The plugin failed; the pod is retried after its backoff.
    Error(PluginError),
    /// The pod waits for something that is on its way.
    Pending(Reasons),
    /// Not now; evicting other pods may help.
    Unschedulable(Reasons),
    /// Not now, and evicting other pods cannot help.
    Unresolvable(Reasons),
}

/// `Ok` or the rejection.
pub type Verdict = Result<(), Rejection>;

impl Rejection {
    /// Unschedulable with one reason.
    pub fn unschedulable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Unschedulable(vec![reason.into()])
    }

    /// Unresolvable with one reason.
    pub fn unresolvable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Unresolvable(vec![reason.into()])
    }

    /// A plugin failure.
    pub fn error(error: impl fmt::Display) -> Self {
        Self::Error(PluginError(error.to_string()))
    }

    /// The reasons, or the error's text.
    pub fn reasons(&self) -> Reasons {
        match self {
            Self::Error(error) => vec![error.0.clone().into()],
            Self::Pending(reasons) | Self::Unschedulable(reasons) | Self::Unresolvable(reasons) => reasons.clone(),
        }
    }

    /// The reasons joined, as upstream's Status.Message.
    pub fn message(&self) -> String {
        self.reasons().join(", ")
    }

    /// True unless it is a plugin failure.
    pub fn is_rejection(&self) -> bool {
        !matches!(self, Self::Error(_))
    }

    /// upstream's code name, used as a metric label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Error(_) => "Error",
            Self::Pending(_) => "Pending",
            Self::Unschedulable(_) => "Unschedulable",
            Self::Unresolvable(_) => "UnschedulableAndUnresolvable",
        }
    }
}
