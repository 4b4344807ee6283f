//! The audit policy: which requests are logged, at which level, at which stages.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/audit/policy/{reader,checker}.go

use std::path::Path;

use serde::Deserialize;

use crate::request::{RequestInfo, UserInfo};

/// How much is logged about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    /// Nothing.
    #[default]
    None,
    /// Who, what, when, and the answer's code.
    Metadata,
    /// The request's object too.
    Request,
    /// And the answer's object.
    RequestResponse,
}

/// When an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Stage {
    /// Before the request is handled.
    RequestReceived,
    /// The headers of a stream went out.
    ResponseStarted,
    /// The answer went out.
    ResponseComplete,
    /// The handler panicked.
    Panic,
}

impl Level {
    /// Name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

impl Stage {
    /// Name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// Why a policy file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("failed to read file path {path:?}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is no audit policy.
    #[error("failed to decode audit policy file {path}: {message}")]
    Decode {
        /// The file.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// Loaded, but without any rule.
    #[error("loaded illegal policy with 0 rules from file {0}")]
    NoRules(String),
}

/// A policy file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Policy {
    api_version: String,
    kind: String,
    rules: Vec<Rule>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    level: Level,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

/// What the policy says about one request.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// How much is logged.
    pub level: Level,
    /// Stages that are not.
    pub omit: Vec<Stage>,
    /// managedFields are left out of logged objects.
    pub omit_managed_fields: bool,
}

impl Policy {
    /// Reads a YAML or JSON policy.
    ///
    /// # Errors
    /// The file is unreadable, not a policy, or empty.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let shown = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| PolicyError::Read { path: shown.clone(), source })?;
        let decode = |message: String| PolicyError::Decode { path: shown.clone(), message };
        let value = apimachinery::codec::yaml::decode_untyped(&bytes).map_err(|e| decode(e.to_string()))?;
        let policy: Self = apimachinery::value::from_value(&value).map_err(|e| decode(e.to_string()))?;
        if policy.kind != "Policy" || !policy.api_version.starts_with("audit.k8s.io/") {
            return Err(decode(format!("unknown group version field {} in policy", policy.api_version)));
        }
        if policy.rules.is_empty() {
            return Err(PolicyError::NoRules(shown));
        }
        Ok(policy)
    }

    /// The first rule that matches decides.
    pub fn evaluate(&self, user: &UserInfo, info: &RequestInfo) -> Verdict {
        let Some(rule) = self.rules.iter().find(|r| r.matches(user, info)) else {
            return Verdict { omit: self.omit_stages.clone(), ..Verdict::default() };
        };
        let mut omit = self.omit_stages.clone();
        omit.extend(&rule.omit_stages);
        Verdict {
            level: rule.level,
            omit,
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
        }
    }
}

impl Rule {
    fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        let who = (self.users.is_empty() || self.users.contains(&user.name))
            && (self.user_groups.is_empty() || self.user_groups.iter().any(|g| user.in_group(g)));
        who && (self.verbs.is_empty() || self.verbs.contains(&info.verb)) && self.matches_target(info)
    }

    fn matches_target(&self, info: &RequestInfo) -> bool {
        if !self.resources.is_empty() || !self.namespaces.is_empty() {
            return info.is_resource_request
                && (self.namespaces.is_empty() || self.namespaces.contains(&info.namespace))
                && (self.resources.is_empty() || self.resources.iter().any(|r| r.matches(info)));
        }
        if !self.non_resource_urls.is_empty() {
            return !info.is_resource_request && self.non_resource_urls.iter().any(|u| url_matches(u, &info.path));
        }
        true
    }
}

impl GroupResources {
    fn matches(&self, info: &RequestInfo) -> bool {
        if self.group != info.api_group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.resource_names.is_empty() && !self.resource_names.contains(&info.name) {
            return false;
        }
        let combined = info.resource_with_subresource();
        self.resources.iter().any(|wanted| {
            wanted == "*"
                || *wanted == combined
                || wanted.strip_prefix("*/").is_some_and(|sub| sub == info.subresource && !sub.is_empty())
                || wanted.strip_suffix("/*").is_some_and(|resource| resource == info.resource)
        })
    }
}

fn url_matches(pattern: &str, path: &str) -> bool {
    pattern == "*" || pattern == path || pattern.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}
