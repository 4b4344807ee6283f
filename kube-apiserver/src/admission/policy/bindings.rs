//! Which policies are in force for a write, and with which parameters.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/{generic/policy_dispatcher.go,matching}

use std::sync::Arc;

use apimachinery::selector::label::Selector;
use apimachinery::status::ApiError;
use apimachinery::value::Value;

use crate::admission::webhook::rules;
use crate::admission::{Attributes, Context};
use crate::authorization::Authorizer;
use crate::objects::{Kind, Objects};

/// The name of a policy or binding.
pub(super) fn name_of(object: &Value) -> &str {
    object.path(&["metadata", "name"]).str_or_empty()
}

/// Whether what goes wrong with the policy is ignored.
pub(super) fn ignores_failure(policy: &Value) -> bool {
    policy.path(&["spec", "failurePolicy"]).as_str() == Some("Ignore")
}

/// Why a policy cannot be run at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misconfigured {
    /// What it takes its parameters from does not exist.
    #[error("failed to configure policy: {0}")]
    Policy(String),
    /// The binding gives it no parameters.
    #[error("failed to configure binding: {0}")]
    Binding(String),
}

/// A policy that is in force, by one of its bindings.
pub(super) struct Bound<'p> {
    pub policy: &'p Value,
    pub binding: &'p Value,
    /// The parameters to run it with, each once: one null if it takes none.
    pub params: Result<Vec<Value>, Misconfigured>,
}

/// What finds the policies of one kind.
pub(super) struct Policies {
    pub objects: Arc<dyn Objects>,
    pub authorizer: Arc<Authorizer>,
    policies: Kind,
    bindings: Kind,
}

impl Policies {
    pub fn new(context: &Context, policies: &'static str, bindings: &'static str) -> Self {
        const GROUP: &str = "admissionregistration.k8s.io";
        Self {
            objects: context.objects.clone(),
            authorizer: context.authorizer.clone(),
            policies: Kind::new(GROUP, policies),
            bindings: Kind::new(GROUP, bindings),
        }
    }

    /// All policies and all bindings.
    pub fn all(&self) -> (Arc<Vec<Value>>, Arc<Vec<Value>>) {
        let policies = self.objects.shared(self.policies);
        let bindings = if policies.is_empty() { Arc::default() } else { self.objects.shared(self.bindings) };
        (policies, bindings)
    }

    /// Those that are in force for a write, by name.
    ///
    /// # Errors
    /// If it cannot be told.
    pub async fn in_force<'p>(
        &self,
        (policies, bindings): (&'p [Value], &'p [Value]),
        a: &Attributes<'_>,
        object: &Value,
    ) -> Result<Vec<Bound<'p>>, ApiError> {
        let mut found = Vec::new();
        for policy in policies {
            let name = Some(name_of(policy));
            let bound: Vec<&Value> =
                bindings.iter().filter(|b| b.path(&["spec", "policyName"]).as_str() == name).collect();
            if bound.is_empty() || !self.matches(policy.path(&["spec", "matchConstraints"]), a, object).await? {
                continue;
            }
            for binding in bound {
                let resources = binding.path(&["spec", "matchResources"]);
                if resources.is_null() || self.matches(resources, a, object).await? {
                    found.push(Bound { policy, binding, params: self.params(policy, binding, a) });
                }
            }
        }
        Ok(found)
    }

    /// Whether rules and selectors take the request; no rules mean all.
    async fn matches(&self, constraints: &Value, a: &Attributes<'_>, object: &Value) -> Result<bool, ApiError> {
        let named = |rule: &Value| {
            let names = rule.get("resourceNames").items();
            names.is_empty() || names.iter().any(|n| n.as_str() == Some(a.name))
        };
        let any = |key: &str| {
            let rules = constraints.get(key).items();
            rules.iter().any(|rule| named(rule) && rules::match_rule(constraints, rule, a))
        };
        Ok(rules::match_selectors(constraints, a, object, &self.objects).await?
            && !any("excludeResourceRules")
            && (constraints.get("resourceRules").items().is_empty() || any("resourceRules")))
    }

    fn params(&self, policy: &Value, binding: &Value, a: &Attributes<'_>) -> Result<Vec<Value>, Misconfigured> {
        let kind = policy.path(&["spec", "paramKind"]);
        if kind.is_null() {
            return Ok(vec![Value::Null]);
        }
        let (api_version, kind) = (kind.get("apiVersion").str_or_empty(), kind.get("kind").str_or_empty());
        let Some(namespaced) = self.objects.is_namespaced(api_version, kind) else {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            return Err(Misconfigured::Policy(format!(
                "failed to find resource referenced by paramKind: '{group}/{version}, Kind={kind}'"
            )));
        };
        let reference = binding.path(&["spec", "paramRef"]);
        if reference.is_null() {
            return Ok(vec![Value::Null]);
        }
        let wrong = |why: &str| Misconfigured::Binding(why.to_owned());
        let namespace = match (namespaced, reference.get("namespace").str_or_empty()) {
            (false, "") => "",
            (false, _) => {
                return Err(wrong("paramRef.namespace must not be provided for a cluster-scoped `paramKind`"));
            }
            (true, "") if a.namespace.is_empty() => {
                return Err(wrong(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources",
                ));
            }
            (true, "") => a.namespace,
            (true, namespace) => namespace,
        };
        let name = reference.get("name").str_or_empty();
        let mut found = self.objects.of_kind(api_version, kind, namespace, name);
        if name.is_empty() {
            let selector = Selector::from_value(reference.get("selector"));
            let selector = selector.map_err(|error| Misconfigured::Binding(error.to_string()))?;
            found.retain(|object| {
                let labels = object.path(&["metadata", "labels"]);
                selector.matches(|key| labels.get(key).as_str())
            });
        }
        if found.is_empty() && reference.get("parameterNotFoundAction").as_str() == Some("Deny") {
            return Err(wrong("no params found for policy binding with `Deny` parameterNotFoundAction"));
        }
        Ok(found)
    }
}
