//! Role-based access control: roles and bindings as an index, and the decision over it.
//!
//! The index is fed from outside (a watch of the four RBAC resources) and answers from memory; it
//! never reads the store.
//! upstream: plugin/pkg/auth/authorizer/rbac and pkg/registry/rbac/validation/rule.go

pub mod escalation;
pub mod rule;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use serde::Deserialize;

pub use rule::PolicyRule;

use crate::authentication::user::{UserInfo, service_account_username};
use apimachinery::quote::quote;

use crate::authorization::Decision;
use crate::authorization::attributes::Attributes;

/// Who a binding is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// Name of the subject.
    pub name: String,
    /// Namespace of a service account.
    pub namespace: String,
}

/// The role a binding grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RoleRef {
    /// `ClusterRole` or `Role`.
    pub kind: String,
    /// Role name.
    pub name: String,
}

/// A ClusterRoleBinding or RoleBinding, without its metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Binding {
    /// Who gets the role.
    pub subjects: Vec<Subject>,
    /// What they get.
    pub role_ref: RoleRef,
}

/// The four RBAC resources in memory.
#[derive(Debug, Default)]
pub struct Policy {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    cluster_roles: HashMap<String, Arc<Vec<PolicyRule>>>,
    roles: HashMap<(String, String), Arc<Vec<PolicyRule>>>,
    cluster_bindings: BTreeMap<String, Binding>,
    bindings: HashMap<String, BTreeMap<String, Binding>>,
}

impl Policy {
    /// Sets (or with `None` removes) a ClusterRole's rules.
    pub fn set_cluster_role(&self, name: &str, rules: Option<Vec<PolicyRule>>) {
        let mut state = self.state.write();
        match rules {
            Some(rules) => state.cluster_roles.insert(name.to_owned(), Arc::new(rules)),
            None => state.cluster_roles.remove(name),
        };
    }

    /// Sets or removes a Role's rules.
    pub fn set_role(&self, namespace: &str, name: &str, rules: Option<Vec<PolicyRule>>) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut state = self.state.write();
        match rules {
            Some(rules) => state.roles.insert(key, Arc::new(rules)),
            None => state.roles.remove(&key),
        };
    }

    /// Sets or removes a ClusterRoleBinding.
    pub fn set_cluster_binding(&self, name: &str, binding: Option<Binding>) {
        let mut state = self.state.write();
        match binding {
            Some(binding) => state.cluster_bindings.insert(name.to_owned(), binding),
            None => state.cluster_bindings.remove(name),
        };
    }

    /// Sets or removes a RoleBinding.
    pub fn set_binding(&self, namespace: &str, name: &str, binding: Option<Binding>) {
        let mut state = self.state.write();
        let Some(binding) = binding else {
            if let Some(named) = state.bindings.get_mut(namespace) {
                named.remove(name);
                if named.is_empty() {
                    state.bindings.remove(namespace);
                }
            }
            return;
        };
        state.bindings.entry(namespace.to_owned()).or_default().insert(name.to_owned(), binding);
    }

    /// Whether some rule of the user allows the request.
    pub fn authorize(&self, a: &Attributes) -> Decision {
        let mut allowed = None;
        let mut errors = Vec::new();
        self.visit(&a.user, &a.namespace, |grant| match grant {
            Ok(grant) => {
                if grant.rules.iter().any(|rule| rule.allows(a)) {
                    allowed = Some(format!("RBAC: allowed by {}", grant.describe()));
                }
                allowed.is_none()
            }
            Err(error) => {
                errors.push(error);
                true
            }
        });
        match allowed {
            Some(reason) => Decision::Allow(reason),
            None if errors.is_empty() => Decision::NoOpinion(String::new()),
            None => Decision::NoOpinion(format!("RBAC: {}", aggregate(&errors))),
        }
    }

    /// Every rule the user has in the namespace (or cluster-wide only, if empty), and what could not be resolved.
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> (Vec<PolicyRule>, Vec<String>) {
        let mut rules = Vec::new();
        let mut errors = Vec::new();
        self.visit(user, namespace, |grant| {
            match grant {
                Ok(grant) => rules.extend(grant.rules.iter().cloned()),
                Err(error) => errors.push(error),
            }
            true
        });
        (rules, errors)
    }

    /// The rules a role reference stands for, or upstream's not-found text.
    pub fn role_rules(&self, role: &RoleRef, namespace: &str) -> Result<Arc<Vec<PolicyRule>>, String> {
        self.state.read().role_rules(role, namespace)
    }

    fn visit(&self, user: &UserInfo, namespace: &str, mut visitor: impl FnMut(Result<Grant<'_>, String>) -> bool) {
        let state = self.state.read();
        let cluster = state.cluster_bindings.iter().map(|(name, b)| (name, b, ""));
        let local = state.bindings.get(namespace).into_iter().flatten().map(|(name, b)| (name, b, namespace));
        for (name, binding, scope) in cluster.chain(local) {
            let Some(subject) = binding.subjects.iter().find(|s| s.is(user, scope)) else {
                continue;
            };
            let grant = state.role_rules(&binding.role_ref, scope).map(|rules| Grant {
                rules,
                name,
                binding,
                subject,
                namespace: scope,
            });
            if !visitor(grant) {
                return;
            }
        }
    }
}

impl State {
    fn role_rules(&self, role: &RoleRef, namespace: &str) -> Result<Arc<Vec<PolicyRule>>, String> {
        let (found, kind) = match role.kind.as_str() {
            "ClusterRole" => (self.cluster_roles.get(&role.name), "clusterrole"),
            "Role" => (self.roles.get(&(namespace.to_owned(), role.name.clone())), "role"),
            other => return Err(format!("unsupported role reference kind: {}", quote(other))),
        };
        found.cloned().ok_or_else(|| format!("{kind}.rbac.authorization.k8s.io {} not found", quote(&role.name)))
    }
}

impl Subject {
    fn is(&self, user: &UserInfo, binding_namespace: &str) -> bool {
        match self.kind.as_str() {
            "User" => user.name == self.name,
            "Group" => user.in_group(&self.name),
            "ServiceAccount" => {
                let namespace = self.effective_namespace(binding_namespace);
                !namespace.is_empty() && user.name == service_account_username(namespace, &self.name)
            }
            _ => false,
        }
    }

    fn effective_namespace<'a>(&'a self, binding_namespace: &'a str) -> &'a str {
        if self.namespace.is_empty() { binding_namespace } else { &self.namespace }
    }
}

/// A role that a user holds by some binding.
struct Grant<'a> {
    rules: Arc<Vec<PolicyRule>>,
    name: &'a str,
    binding: &'a Binding,
    subject: &'a Subject,
    namespace: &'a str,
}

impl Grant<'_> {
    fn describe(&self) -> String {
        let (kind, name) = if self.namespace.is_empty() {
            ("ClusterRoleBinding", self.name.to_owned())
        } else {
            ("RoleBinding", format!("{}/{}", self.name, self.namespace))
        };
        let subject = if self.subject.kind == "ServiceAccount" {
            format!("{}/{}", self.subject.name, self.subject.effective_namespace(self.namespace))
        } else {
            self.subject.name.clone()
        };
        format!(
            "{kind} {} of {} {} to {} {}",
            quote(&name),
            self.binding.role_ref.kind,
            quote(&self.binding.role_ref.name),
            self.subject.kind,
            quote(&subject)
        )
    }
}

/// Joins errors as upstream's aggregate does: one alone, several in brackets without repeats.
pub fn aggregate(errors: &[String]) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for error in errors {
        if !seen.contains(&error.as_str()) {
            seen.push(error);
        }
    }
    match seen.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decides_by_bindings_and_says_why() {
        let policy = Policy::default();
        policy.set_cluster_role(
            "reader",
            Some(vec![PolicyRule {
                verbs: vec!["get".into()],
                api_groups: vec![String::new()],
                resources: vec!["pods".into()],
                ..PolicyRule::default()
            }]),
        );
        let binding = |role: &str| Binding {
            subjects: vec![Subject { kind: "ServiceAccount".into(), name: "sa".into(), ..Subject::default() }],
            role_ref: RoleRef { kind: "ClusterRole".into(), name: role.into() },
        };
        policy.set_binding("ns", "b", Some(binding("reader")));
        let mut ask = Attributes {
            user: UserInfo::new("system:serviceaccount:ns:sa", &[]),
            verb: "get".into(),
            resource_request: true,
            resource: "pods".into(),
            namespace: "ns".into(),
            ..Attributes::default()
        };
        assert_eq!(
            policy.authorize(&ask),
            Decision::Allow(
                r#"RBAC: allowed by RoleBinding "b/ns" of ClusterRole "reader" to ServiceAccount "sa/ns""#.into()
            )
        );
        ask.namespace = "other".into();
        assert_eq!(policy.authorize(&ask), Decision::NoOpinion(String::new()));
        policy.set_binding(
            "other",
            "b",
            Some(Binding {
                subjects: vec![Subject { kind: "ServiceAccount".into(), name: "sa".into(), namespace: "ns".into() }],
                ..binding("none")
            }),
        );
        assert_eq!(
            policy.authorize(&ask),
            Decision::NoOpinion(r#"RBAC: clusterrole.rbac.authorization.k8s.io "none" not found"#.into())
        );
    }
}
