//! ValidatingAdmissionPolicy: expressions of policies, where bindings put them in force.
//!
//! What is absent: parameters of custom kinds (such a policy refuses), audit annotations.
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/validating

pub mod expressions;

use std::sync::Arc;

use apimachinery::resources;
use apimachinery::selector::label::Selector;
use apimachinery::status::{ApiError, Cause, Reason};
use apimachinery::value::Value;
use async_trait::async_trait;

use self::expressions::Scope;
use super::webhook::rules;
use super::{Attributes, Context, Operation, Plugin, forbidden};
use crate::authorization::Authorizer;
use crate::objects::{Kind, Objects};

const POLICIES: Kind = Kind::new("admissionregistration.k8s.io", "validatingadmissionpolicies");
const BINDINGS: Kind = Kind::new("admissionregistration.k8s.io", "validatingadmissionpolicybindings");

/// Makes the plugin.
pub fn validating(context: &Context) -> Box<dyn Plugin> {
    Box::new(Policies { objects: context.objects.clone(), authorizer: context.authorizer.clone() })
}

struct Policies {
    objects: Arc<dyn Objects>,
    authorizer: Arc<Authorizer>,
}

/// Why a request is refused.
struct Refusal {
    message: String,
    reason: String,
}

impl Refusal {
    fn of(message: String) -> Self {
        Self { message, reason: "Invalid".to_owned() }
    }
}

#[async_trait]
impl Plugin for Policies {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        if rules::is_exempt(a) {
            return Ok(());
        }
        let policies = self.objects.shared(POLICIES);
        if policies.is_empty() {
            return Ok(());
        }
        let bindings = self.objects.shared(BINDINGS);
        let mut scope = None;
        for policy in policies.iter() {
            let name = policy.path(&["metadata", "name"]).str_or_empty();
            let bound = bindings.iter().filter(|b| b.path(&["spec", "policyName"]).as_str() == Some(name));
            let bound: Vec<&Value> = bound.collect();
            if bound.is_empty() || !self.matches(policy.path(&["spec", "matchConstraints"]), a, object).await? {
                continue;
            }
            for binding in bound {
                let resources = binding.path(&["spec", "matchResources"]);
                if !resources.is_null() && !self.matches(resources, a, object).await? {
                    continue;
                }
                if scope.is_none() {
                    scope = Some(Scope::of(a, object, &self.objects, &self.authorizer).await);
                }
                if let Some(scope) = &scope {
                    self.enforce(policy, binding, scope, a, object)?;
                }
            }
        }
        Ok(())
    }
}

impl Policies {
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

    fn enforce(
        &self,
        policy: &Value,
        binding: &Value,
        scope: &Scope,
        a: &Attributes<'_>,
        object: &Value,
    ) -> Result<(), ApiError> {
        let (policy_name, binding_name) =
            (policy.path(&["metadata", "name"]).str_or_empty(), binding.path(&["metadata", "name"]).str_or_empty());
        let ignores = policy.path(&["spec", "failurePolicy"]).as_str() == Some("Ignore");
        let title = format!("ValidatingAdmissionPolicy '{policy_name}' with binding '{binding_name}'");
        let denied =
            |refusal: Refusal| denial(a, object, &format!("{title} denied request: {}", refusal.message), &refusal);
        let params = match self.params(policy, binding, a) {
            Ok(params) => params,
            Err(_) if ignores => return Ok(()),
            Err(why) => return Err(denied(Refusal::of(format!("failed to configure binding: {why}")))),
        };
        let actions = binding.path(&["spec", "validationActions"]).items();
        let acts = |name: &str| actions.iter().any(|action| action.as_str() == Some(name));
        let mut first = None;
        for params in &params {
            for refusal in refusals(policy, scope, params, ignores) {
                if acts("Warn") {
                    a.warnings.add(format!("Validation failed for {title}: {}", refusal.message));
                }
                if acts("Deny") && first.is_none() {
                    first = Some(refusal);
                }
            }
        }
        first.map_or(Ok(()), |refusal| Err(denied(refusal)))
    }

    /// The parameters to run the policy with: one null if it takes none.
    fn params(&self, policy: &Value, binding: &Value, a: &Attributes<'_>) -> Result<Vec<Value>, String> {
        let kind = policy.path(&["spec", "paramKind"]);
        let reference = binding.path(&["spec", "paramRef"]);
        if kind.is_null() || reference.is_null() {
            return Ok(vec![Value::Null]);
        }
        let api_version = kind.get("apiVersion").str_or_empty();
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let Some(info) = resources::by_kind(group, kind.get("kind").str_or_empty()) else {
            return Err("parameters of custom kinds cannot be looked up by this server".to_owned());
        };
        let place = Kind::new(info.group, info.plural);
        let namespace = match (info.namespaced, reference.get("namespace").str_or_empty()) {
            (false, _) => "",
            (true, "") if a.namespace.is_empty() => {
                return Err(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned()
                );
            }
            (true, "") => a.namespace,
            (true, namespace) => namespace,
        };
        let name = reference.get("name").str_or_empty();
        let found: Vec<Value> = if name.is_empty() {
            let selector = Selector::from_value(reference.get("selector")).map_err(|e| e.to_string())?;
            let fits = |object: &Value| {
                let labels = object.path(&["metadata", "labels"]);
                selector.matches(|key| labels.get(key).as_str())
            };
            self.objects.list(place, namespace).into_iter().filter(fits).collect()
        } else {
            self.objects.cached(place, namespace, name).into_iter().collect()
        };
        if found.is_empty() && reference.get("parameterNotFoundAction").as_str() == Some("Deny") {
            return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
        }
        Ok(found)
    }
}

/// What the policy refuses, in the order of its validations.
fn refusals(policy: &Value, scope: &Scope, params: &Value, ignores: bool) -> Vec<Refusal> {
    let spec = policy.get("spec");
    let variables = Scope::variables(policy);
    match scope.all_hold(spec.get("matchConditions").items(), params, &variables) {
        Ok(true) => {}
        Ok(false) => return Vec::new(),
        Err(_) if ignores => return Vec::new(),
        Err(why) => return vec![Refusal::of(why)],
    }
    let mut out = Vec::new();
    for validation in spec.get("validations").items() {
        let text = |key: &str| validation.get(key).str_or_empty();
        let expression = text("expression").trim();
        match scope.holds(text("expression"), params, &variables) {
            Ok(true) => {}
            Err(_) if ignores => {}
            Err(why) => out.push(Refusal::of(why)),
            Ok(false) => {
                let own = Some(text("messageExpression")).filter(|e| !e.is_empty());
                let message = own.and_then(|e| scope.text(e, params, &variables));
                let message = message.unwrap_or_else(|| match text("message").trim() {
                    "" => format!("failed expression: {expression}"),
                    message => message.to_owned(),
                });
                let reason = validation.get("reason").as_str().unwrap_or("Invalid").to_owned();
                out.push(Refusal { message, reason });
            }
        }
    }
    out
}

fn denial(a: &Attributes<'_>, object: &Value, message: &str, refusal: &Refusal) -> ApiError {
    let mut status = forbidden(a, object, message).to_status_value();
    let code = match refusal.reason.as_str() {
        "Unauthorized" => 401,
        "Forbidden" => 403,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    };
    status.set("reason", refusal.reason.as_str());
    status.set("code", code);
    let fallback = || ApiError::new(422, Reason::Invalid, message);
    let mut error = ApiError::from_status_value(&status).unwrap_or_else(fallback);
    error.details_mut().causes =
        vec![Cause { type_: String::new(), message: message.to_owned(), field: String::new() }];
    error
}
