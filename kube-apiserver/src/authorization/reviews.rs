//! The review resources of authorization.k8s.io: questions to the authorizers over the API.
//!
//! Nothing is stored; the answer is the request with its status filled in.
//! upstream: pkg/registry/authorization, pkg/apis/authorization/validation

use apimachinery::codec::json;
use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::schema;
use apimachinery::status::ApiError;
use apimachinery::value;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::{Attributes, Decision, rbac};
use crate::authentication::user::UserInfo;
use crate::registry::{Creater, RequestContext, Subresource};
use crate::state::AppState;

const GROUP: &str = "authorization.k8s.io";

/// One of the four resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    /// `subjectaccessreviews`
    Subject,
    /// `localsubjectaccessreviews`
    Local,
    /// `selfsubjectaccessreviews`
    SelfSubject,
    /// `selfsubjectrulesreviews`
    SelfRules,
}

impl Subresource for Review {
    fn creater(&self) -> Option<&dyn Creater> {
        Some(self)
    }
}

#[async_trait]
impl Creater for Review {
    async fn create(&self, state: &AppState, cx: &RequestContext, obj: Value) -> Result<Value, ApiError> {
        if *self == Self::SelfRules {
            return rules_review(state, cx, &obj);
        }
        let errors = self.errors(&obj);
        if !errors.is_empty() {
            // upstream names neither the kind nor the object here
            return Err(ApiError::invalid(GROUP, "", "", &errors));
        }
        let ask = attributes(obj.get("spec"), self.user(cx, obj.get("spec")));
        let status = status(state.authorizer.authorize(&ask).await);
        let mut out = obj;
        out.set("status", status);
        Ok(out)
    }
}

impl Review {
    fn user(self, cx: &RequestContext, spec: &Value) -> UserInfo {
        if self == Self::SelfSubject {
            return (*cx.user).clone();
        }
        let list = |v: &Value| v.items().iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
        UserInfo {
            name: spec.get("user").str_or_empty().to_owned(),
            uid: spec.get("uid").str_or_empty().to_owned(),
            groups: list(spec.get("groups")),
            extra: spec.get("extra").entries().map(|(k, v)| (k.to_owned(), list(v))).collect(),
        }
    }

    fn errors(self, review: &Value) -> Errors {
        let mut errs = Errors::new();
        let spec = review.get("spec");
        let path = Path::root("spec");
        let (resource, other) = (spec.has("resourceAttributes"), spec.has("nonResourceAttributes"));
        if resource && other {
            let value = non_resource_text(spec.get("nonResourceAttributes"));
            errs.invalid(
                path.child("nonResourceAttributes"),
                value,
                "cannot be specified in combination with resourceAttributes",
            );
        }
        if !resource && !other {
            let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errs.invalid(path.child("resourceAttributes"), BadValue::null(), detail);
        }
        if self != Self::SelfSubject
            && spec.get("user").str_or_empty().is_empty()
            && spec.get("groups").items().is_empty()
        {
            errs.invalid(path.child("user"), "", "at least one of user or group must be specified");
        }
        let attributes = spec.get("resourceAttributes");
        for selector in ["fieldSelector", "labelSelector"] {
            selector_errors(attributes.get(selector), &path.child("resourceAttributes").child(selector), &mut errs);
        }
        self.metadata_errors(review, &mut errs);
        errs
    }

    fn metadata_errors(self, review: &Value, errs: &mut Errors) {
        let mut metadata = review.get("metadata").clone();
        metadata.remove("managedFields");
        if self == Self::Local {
            metadata.remove("namespace");
        }
        if metadata.entries().next().is_some() {
            let detail = if self == Self::Local { "must be empty except for namespace" } else { "must be empty" };
            let ty = schema::kind("meta.k8s.io/v1", "PartialObjectMetadata").expect("the type is in the table");
            let mut text = Vec::new();
            json::encode(&value!({"metadata": review.get("metadata").clone()}), ty, &mut text);
            let text = text.strip_prefix(b"{\"metadata\":").and_then(|t| t.strip_suffix(b"}")).unwrap_or(&text);
            errs.invalid(Path::root("metadata"), BadValue::json(String::from_utf8_lossy(text)), detail);
        }
        if self != Self::Local {
            return;
        }
        let spec = review.get("spec");
        let namespace = review.path(&["metadata", "namespace"]).str_or_empty();
        let asked = spec.path(&["resourceAttributes", "namespace"]).str_or_empty();
        if spec.has("resourceAttributes") && asked != namespace {
            errs.invalid(
                Path::root("spec").child("resourceAttributes").child("namespace"),
                asked,
                "must match metadata.namespace",
            );
        }
        if spec.has("nonResourceAttributes") {
            let value = non_resource_text(spec.get("nonResourceAttributes"));
            errs.invalid(
                Path::root("spec").child("nonResourceAttributes"),
                value,
                "disallowed on this kind of request",
            );
        }
    }
}

fn non_resource_text(attributes: &Value) -> BadValue {
    let text = |key: &str| serde_json::Value::from(attributes.get(key).str_or_empty());
    BadValue::json(format!("{{\"Path\":{},\"Verb\":{}}}", text("path"), text("verb")))
}

fn selector_errors(selector: &Value, path: &Path, errs: &mut Errors) {
    if selector.is_null() {
        return;
    }
    let raw = selector.get("rawSelector").str_or_empty();
    let requirements = selector.get("requirements").items();
    if !raw.is_empty() && !requirements.is_empty() {
        errs.invalid(path.child("rawSelector"), raw, "may not specified at the same time as requirements");
    }
    if raw.is_empty() && requirements.is_empty() {
        let detail = format!("when {path} is specified, requirements or rawSelector is required");
        errs.required(path.child("requirements"), detail);
    }
    for (index, requirement) in requirements.iter().enumerate() {
        requirement_errors(requirement, &path.child("requirements").index(index), errs);
    }
}

/// upstream: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/validation
fn requirement_errors(requirement: &Value, path: &Path, errs: &mut Errors) {
    let values = requirement.get("values").items();
    match requirement.get("operator").str_or_empty() {
        "In" | "NotIn" if values.is_empty() => {
            errs.required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errs.forbidden(path.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        _ => {}
    }
    if requirement.get("key").str_or_empty().is_empty() {
        errs.required(path.child("key"), "must be specified");
    }
}

fn attributes(spec: &Value, user: UserInfo) -> Attributes {
    let text = |v: &Value| v.str_or_empty().to_owned();
    if spec.has("resourceAttributes") {
        let r = spec.get("resourceAttributes");
        return Attributes {
            user,
            verb: text(r.get("verb")),
            resource_request: true,
            group: text(r.get("group")),
            version: text(r.get("version")),
            resource: text(r.get("resource")),
            subresource: text(r.get("subresource")),
            namespace: text(r.get("namespace")),
            name: text(r.get("name")),
            path: String::new(),
            field_selector: selector_text(r.get("fieldSelector")),
            label_selector: selector_text(r.get("labelSelector")),
        };
    }
    let other = spec.get("nonResourceAttributes");
    Attributes { user, verb: text(other.get("verb")), path: text(other.get("path")), ..Attributes::default() }
}

/// Requirements as the text of a selector; those that have no such form are left out, which asks for more.
fn selector_text(selector: &Value) -> String {
    let raw = selector.get("rawSelector").str_or_empty();
    if !raw.is_empty() {
        return raw.to_owned();
    }
    let parts: Vec<String> = selector
        .get("requirements")
        .items()
        .iter()
        .filter_map(|r| {
            let key = r.get("key").str_or_empty();
            match (r.get("operator").str_or_empty(), r.get("values").items()) {
                ("In", [one]) => Some(format!("{key}={}", one.str_or_empty())),
                ("NotIn", [one]) => Some(format!("{key}!={}", one.str_or_empty())),
                _ => None,
            }
        })
        .collect();
    parts.join(",")
}

fn status(decision: Decision) -> Value {
    let (allowed, denied, reason) = match decision {
        Decision::Allow(reason) => (true, false, reason),
        Decision::Deny(reason) => (false, true, reason),
        Decision::NoOpinion(reason) => (false, false, reason),
    };
    let mut out: Value = [("allowed", Value::from(allowed))].into();
    if denied {
        out.set("denied", true);
    }
    if !reason.is_empty() {
        out.set("reason", reason);
    }
    out
}

fn rules_review(state: &AppState, cx: &RequestContext, obj: &Value) -> Result<Value, ApiError> {
    let namespace = obj.path(&["spec", "namespace"]).str_or_empty();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let (rules, mut errors) = match state.authorizer.rbac() {
        Some(policy) => policy.rules_for(&cx.user, namespace),
        None => (Vec::new(), Vec::new()),
    };
    let mut incomplete = false;
    if state.authorizer.has_node_mode() && cx.user.node_name().is_some() {
        incomplete = true;
        errors.insert(0, "node authorizer does not support user rule resolution".to_owned());
    }
    let list = |items: &[String]| Value::List(items.iter().map(|s| s.as_str().into()).collect());
    let mut resource_rules = Vec::new();
    let mut non_resource_rules = Vec::new();
    for rule in &rules {
        if !rule.resources.is_empty() {
            let mut out: Value = [
                ("verbs", list(&rule.verbs)),
                ("apiGroups", list(&rule.api_groups)),
                ("resources", list(&rule.resources)),
            ]
            .into();
            if !rule.resource_names.is_empty() {
                out.set("resourceNames", list(&rule.resource_names));
            }
            resource_rules.push(out);
        }
        if !rule.non_resource_urls.is_empty() {
            non_resource_rules
                .push([("verbs", list(&rule.verbs)), ("nonResourceURLs", list(&rule.non_resource_urls))].into());
        }
    }
    let mut status: Value = [
        ("resourceRules", Value::List(resource_rules)),
        ("nonResourceRules", Value::List(non_resource_rules)),
        ("incomplete", incomplete.into()),
    ]
    .into();
    if !errors.is_empty() {
        status.set("evaluationError", rbac::aggregate(&errors));
    }
    Ok([
        ("apiVersion", Value::from("authorization.k8s.io/v1")),
        ("kind", "SelfSubjectRulesReview".into()),
        ("metadata", Value::map()),
        ("spec", Value::map()),
        ("status", status),
    ]
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complains_in_upstreams_order() {
        let review: Value = {
            let resource: Value = [("verb", "get"), ("resource", "pods")].into();
            let other: Value = [("path", "/x"), ("verb", "get")].into();
            let spec: Value = [("resourceAttributes", resource), ("nonResourceAttributes", other)].into();
            [("spec", spec)].into()
        };
        let text: Vec<String> = Review::Subject.errors(&review).iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                r#"spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":"get"}: cannot be specified in combination with resourceAttributes"#,
                r#"spec.user: Invalid value: "": at least one of user or group must be specified"#,
            ]
        );
    }
}
