//! ValidatingAdmissionPolicy: policies that say no, or say something in audit events.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/validating

use std::collections::BTreeMap;

use apimachinery::codec::json;
use apimachinery::status::{ApiError, Cause, Reason};
use apimachinery::value;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::bindings::{Bound, Misconfigured, Policies, ignores_failure, name_of};
use super::expressions::Scope;
use crate::admission::webhook::rules;
use crate::admission::{Attributes, Context, Operation, Plugin, forbidden};

/// Makes the plugin.
pub fn validating(context: &Context) -> Box<dyn Plugin> {
    Box::new(Validating(Policies::new(context, "validatingadmissionpolicies", "validatingadmissionpolicybindings")))
}

struct Validating(Policies);

/// Why a request is refused.
struct Refusal {
    message: String,
    reason: String,
}

impl Refusal {
    fn of(message: String) -> Self {
        Self { message, reason: "Invalid".to_owned() }
    }

    /// As the client is told.
    fn by(self, title: &str) -> Self {
        Self { message: format!("{title} denied request: {}", self.message), ..self }
    }
}

#[async_trait]
impl Plugin for Validating {
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
        let (policies, bindings) = self.0.all();
        let bound = self.0.in_force((&policies, &bindings), a, object).await?;
        if bound.is_empty() {
            return Ok(());
        }
        let scope = Scope::of(a, object, &self.0.objects, &self.0.authorizer).await;
        let (mut denials, mut annotations) = (Vec::new(), Annotations::new());
        for bound in &bound {
            denials.extend(enforce(bound, &scope, a, &mut annotations));
        }
        for (key, values) in annotations {
            a.warnings.annotate(key, values.join(", "));
        }
        denials.first().map_or(Ok(()), |refusal| Err(denial(a, object, refusal)))
    }
}

/// Annotations of the audit event by key; bindings of a policy may give several values.
type Annotations = BTreeMap<String, Vec<String>>;

/// Runs one policy; what of its refusals the binding makes a denial.
fn enforce(bound: &Bound<'_>, scope: &Scope, a: &Attributes<'_>, annotations: &mut Annotations) -> Vec<Refusal> {
    let (policy, ignores) = (name_of(bound.policy), ignores_failure(bound.policy));
    let title = format!("ValidatingAdmissionPolicy '{policy}' with binding '{}'", name_of(bound.binding));
    let params = match &bound.params {
        Ok(params) => params,
        Err(_) if ignores => return Vec::new(),
        Err(error) => {
            let title = match error {
                Misconfigured::Policy(_) => &format!("ValidatingAdmissionPolicy '{policy}'"),
                Misconfigured::Binding(_) => &title,
            };
            return vec![Refusal::of(error.to_string()).by(title)];
        }
    };
    let actions = bound.binding.path(&["spec", "validationActions"]).items();
    let acts = |name: &str| actions.iter().any(|action| action.as_str() == Some(name));
    let mut denials = Vec::new();
    for params in params {
        let outcome = run(bound.policy, scope, params, ignores);
        for (index, refusal) in outcome.refusals {
            if acts("Warn") {
                a.warnings.add(format!("Validation failed for {title}: {}", refusal.message));
            }
            if acts("Audit") {
                a.warnings.annotate(FAILURE_ANNOTATION, failure_annotation(bound, index, &refusal.message));
            }
            if acts("Deny") {
                denials.push(refusal.by(&title));
            }
        }
        for (key, value) in outcome.annotations {
            let values = annotations.entry(format!("{policy}/{key}")).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
        denials.extend(outcome.annotation_errors.into_iter().map(|why| Refusal::of(why).by(&title)));
    }
    denials
}

const FAILURE_ANNOTATION: &str = "validation.policy.admission.k8s.io/validation_failure";
/// How long the value of an annotation may be, in bytes.
const MAX_ANNOTATION: usize = 10 * 1024;

/// What an audit event says of a refusal: a list, since there may be several one day.
fn failure_annotation(bound: &Bound<'_>, index: usize, message: &str) -> String {
    let failure = value!({
        "message": message,
        "policy": name_of(bound.policy),
        "binding": name_of(bound.binding),
        "expressionIndex": i64::try_from(index).unwrap_or(i64::MAX),
        "validationActions": bound.binding.path(&["spec", "validationActions"]).clone(),
    });
    json::to_string(&Value::List(vec![failure]))
}

#[derive(Default)]
struct Outcome {
    /// What the validations refuse, with their places among them.
    refusals: Vec<(usize, Refusal)>,
    /// Annotations of the audit event.
    annotations: Vec<(String, String)>,
    /// What is wrong with annotations; refused whatever the binding says.
    annotation_errors: Vec<String>,
}

fn shortened(mut text: String) -> String {
    let mut end = text.len().min(MAX_ANNOTATION);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

fn run(policy: &Value, scope: &Scope, params: &Value, ignores: bool) -> Outcome {
    let spec = policy.get("spec");
    let variables = Scope::variables(policy);
    match scope.all_hold(spec.get("matchConditions").items(), params, &variables) {
        Ok(true) => {}
        Ok(false) => return Outcome::default(),
        Err(_) if ignores => return Outcome::default(),
        Err(why) => return Outcome { refusals: vec![(0, Refusal::of(why))], ..Outcome::default() },
    }
    let mut out = Outcome::default();
    for (index, validation) in spec.get("validations").items().iter().enumerate() {
        let text = |key: &str| validation.get(key).str_or_empty();
        match scope.holds(text("expression"), params, &variables) {
            Ok(true) => {}
            Err(_) if ignores => {}
            Err(why) => out.refusals.push((index, Refusal::of(why))),
            Ok(false) => {
                let own = Some(text("messageExpression")).filter(|e| !e.is_empty());
                let message = own.and_then(|e| scope.text(e, params, &variables));
                let message = message.unwrap_or_else(|| match text("message").trim() {
                    "" => format!("failed expression: {}", text("expression").trim()),
                    message => message.to_owned(),
                });
                let reason = validation.get("reason").as_str().unwrap_or("Invalid").to_owned();
                out.refusals.push((index, Refusal { message, reason }));
            }
        }
    }
    for annotation in spec.get("auditAnnotations").items() {
        let text = |key: &str| annotation.get(key).str_or_empty();
        match scope.annotation(text("valueExpression"), params, &variables) {
            Ok(None) => {}
            Ok(Some(value)) => out.annotations.push((text("key").to_owned(), shortened(value))),
            Err(_) if ignores => {}
            Err(why) => out.annotation_errors.push(why),
        }
    }
    out
}

fn denial(a: &Attributes<'_>, object: &Value, refusal: &Refusal) -> ApiError {
    let message = refusal.message.as_str();
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
