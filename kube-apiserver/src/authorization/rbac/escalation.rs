//! Nobody grants by RBAC what they do not hold themselves, unless allowed to `escalate` or `bind`.
//!
//! upstream: pkg/registry/rbac/{escalation_check.go, validation/rule.go}

use std::collections::BTreeSet;

use super::rule::{PolicyRule, compact, uncovered};
use super::{Policy, RoleRef, aggregate};
use crate::authentication::user::{MASTERS, UserInfo};
use apimachinery::quote::{quote, quote_slice};

use crate::authorization::attributes::Attributes;
use crate::authorization::{Authorizer, Decision};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Members of `system:masters` may always grant anything.
pub fn always_allowed(user: &UserInfo) -> bool {
    user.in_group(MASTERS)
}

/// True if the user may `escalate` the role of that resource, namespace and name.
pub async fn may_escalate(
    authorizer: &Authorizer,
    user: &UserInfo,
    resource: &str,
    namespace: &str,
    name: &str,
) -> bool {
    allowed(authorizer, user, "escalate", resource, namespace, name).await
}

/// True if the user may `bind` the referenced role in the namespace.
pub async fn may_bind(authorizer: &Authorizer, user: &UserInfo, role: &RoleRef, namespace: &str) -> bool {
    let resource = match role.kind.as_str() {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        _ => return false,
    };
    allowed(authorizer, user, "bind", resource, namespace, &role.name).await
}

/// Checks that the user holds every one of the rules in the namespace; the error is upstream's sentence.
pub fn confirm_no_escalation(
    policy: &Policy,
    user: &UserInfo,
    namespace: &str,
    rules: &[PolicyRule],
) -> Result<(), String> {
    let (owned, errors) = policy.rules_for(user, namespace);
    let missing = uncovered(&owned, rules);
    if missing.is_empty() {
        return Ok(());
    }
    let lines: BTreeSet<String> = compact(&missing).iter().map(ToString::to_string).collect();
    let lines: Vec<String> = lines.into_iter().collect();
    let mut message = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(&user.name),
        quote_slice(&user.groups),
        lines.join("\n")
    );
    if !errors.is_empty() {
        message.push_str(&format!("; resolution errors: [{}]", aggregate(&errors)));
    }
    Err(message)
}

/// The rules that stand for every permission there is.
pub fn full_authority() -> Vec<PolicyRule> {
    let all = || vec!["*".to_owned()];
    vec![
        PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() },
        PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() },
    ]
}

async fn allowed(
    authorizer: &Authorizer,
    user: &UserInfo,
    verb: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> bool {
    let ask = Attributes {
        user: user.clone(),
        verb: verb.to_owned(),
        resource_request: true,
        group: GROUP.to_owned(),
        version: "*".to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    matches!(authorizer.authorize(&ask).await, Decision::Allow(_))
}
