//! MutatingAdmissionPolicy: policies that change objects, by configurations that are merged into them or by JSON patches.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/mutating

use apimachinery::codec::json;
use apimachinery::patch::PatchError;
use apimachinery::patch::apply::{self, Write};
use apimachinery::patch::json_patch::JsonPatch;
use apimachinery::quote::quote;
use apimachinery::schema;
use apimachinery::status::{ApiError, Cause};
use apimachinery::value::Value;
use async_trait::async_trait;
use cel::{Val, Variable};

use super::bindings::{Bound, Misconfigured, Policies, ignores_failure, name_of};
use super::expressions::Scope;
use crate::admission::rounds::Rounds;
use crate::admission::webhook::rules;
use crate::admission::{Attributes, Context, Operation, Plugin, forbidden, made, text_of, with_defaults};

const NAME: &str = "MutatingAdmissionPolicy";

/// Makes the plugin.
pub fn mutating(context: &Context) -> Box<dyn Plugin> {
    Box::new(Mutating(Policies::new(context, "mutatingadmissionpolicies", "mutatingadmissionpolicybindings")))
}

struct Mutating(Policies);

/// What went wrong with a policy.
struct Failure {
    message: String,
    /// Expressions fail the request as invalid.
    is_invalid: bool,
}

/// Why one mutation does not change the object.
enum Unchanged {
    /// It failed.
    Failed(String),
    /// The request ends whatever the policy says of failures.
    Fatal(ApiError),
}

impl From<String> for Unchanged {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

#[async_trait]
impl Plugin for Mutating {
    fn name(&self) -> &'static str {
        NAME
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Delete
    }

    async fn admit_round(&self, a: &Attributes<'_>, object: &mut Value, rounds: &mut Rounds) -> Result<(), ApiError> {
        if rules::is_exempt(a) {
            return Ok(());
        }
        let (policies, bindings) = self.0.all();
        let bound = self.0.in_force((&policies, &bindings), a, object).await?;
        if bound.is_empty() {
            return Ok(());
        }
        rounds.begin(NAME, object);
        let mut scope = Scope::of(a, object, &self.0.objects, &self.0.authorizer).await;
        let mut failures = misconfigured(&bound);
        for bound in &bound {
            for params in bound.params.as_deref().unwrap_or_default() {
                failures.extend(run(bound, params, &mut scope, a, object, rounds)?);
            }
        }
        rounds.end(NAME, object);
        if failures.is_empty() { Ok(()) } else { Err(denial(a, object, &failures)) }
    }
}

/// What cannot be run; of a policy that is wrong itself once, however many bindings it has.
fn misconfigured(bound: &[Bound<'_>]) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    for bound in bound.iter().filter(|bound| !ignores_failure(bound.policy)) {
        let Err(error) = &bound.params else { continue };
        let message = match error {
            Misconfigured::Policy(_) => format!("policy {} denied request: {error}", quote(name_of(bound.policy))),
            Misconfigured::Binding(_) => denied(bound, &error.to_string()),
        };
        if !failures.iter().any(|known| known.message == message) {
            failures.push(Failure { message, is_invalid: false });
        }
    }
    failures
}

fn denied(bound: &Bound<'_>, why: &str) -> String {
    let (policy, binding) = (name_of(bound.policy), name_of(bound.binding));
    format!("policy '{policy}' with binding '{binding}' denied request: {why}")
}

/// Runs the mutations of one policy; what goes wrong in them, unless the policy ignores that.
fn run(
    bound: &Bound<'_>,
    params: &Value,
    scope: &mut Scope,
    a: &Attributes<'_>,
    object: &mut Value,
    rounds: &mut Rounds,
) -> Result<Vec<Failure>, ApiError> {
    let spec = bound.policy.get("spec");
    let ignores = ignores_failure(bound.policy);
    let failure = |why: &str| Failure { message: denied(bound, why), is_invalid: true };
    let variables = Scope::variables(bound.policy);
    match scope.all_hold(spec.get("matchConditions").items(), params, &variables) {
        Ok(true) => {}
        Err(why) if !ignores => return Ok(vec![failure(&why)]),
        _ => return Ok(Vec::new()),
    }
    let meta = params.get("metadata");
    let place = format!("{}/{}", meta.get("namespace").str_or_empty(), meta.get("name").str_or_empty());
    let key = format!("{}/{}/{place}", name_of(bound.policy), name_of(bound.binding));
    if rounds.skips(NAME, &key) {
        return Ok(Vec::new());
    }
    let mut failures = Vec::new();
    let mut changed = false;
    let mutations = if object.is_null() { &[] } else { spec.get("mutations").items() };
    for mutation in mutations {
        match mutated(mutation, scope, params, &variables, a, object) {
            Ok(new) => {
                changed |= new != *object;
                *object = new;
                scope.see(a, object);
            }
            Err(Unchanged::Fatal(error)) => return Err(error),
            Err(Unchanged::Failed(_)) if ignores => {}
            Err(Unchanged::Failed(why)) => failures.push(failure(&why)),
        }
    }
    let again = spec.get("reinvocationPolicy").as_str() == Some("IfNeeded");
    rounds.called(NAME, key, changed, again);
    Ok(failures)
}

/// The object that one mutation makes.
fn mutated(
    mutation: &Value,
    scope: &Scope,
    params: &Value,
    variables: &[Variable],
    a: &Attributes<'_>,
    object: &Value,
) -> Result<Value, Unchanged> {
    let text = |field: &str| mutation.get(field).get("expression").str_or_empty();
    match mutation.get("patchType").str_or_empty() {
        "ApplyConfiguration" => {
            let config = scope.value(text("applyConfiguration"), params, variables, configuration)??;
            applied(a, object, &config)
        }
        "JSONPatch" => {
            let patch = scope.value(text("jsonPatch"), params, variables, operations)??;
            patched(a, object, &patch)
        }
        other => Err(Unchanged::Failed(format!("unsupported patch type {other}"))),
    }
}

fn applied(a: &Attributes<'_>, object: &Value, config: &Value) -> Result<Value, Unchanged> {
    let (api_version, kind) = (object.get("apiVersion").str_or_empty(), object.get("kind").str_or_empty());
    let is_main = api_version == &*a.resource.hub.api_version && kind == &*a.resource.kind;
    let ty = if is_main { Some(&*a.resource.hub.schema) } else { schema::kind(api_version, kind) };
    let Some(ty) = ty else {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        return Err(Unchanged::Fatal(ApiError::service_unavailable(format!(
            "Resource kind {group}/{version}, Kind={kind} not found. There can be a delay between when \
             CustomResourceDefinitions are created and when they are available."
        ))));
    };
    let write = Write { ty, api_version, kind, subresource: "", filter: None, now: "", convert: None };
    let merged = apply::merge_unowned(&write, object, config);
    let mut merged = merged.map_err(|error| format!("error applying patch: {error}"))?;
    with_defaults(a, &mut merged);
    Ok(merged)
}

fn patched(a: &Attributes<'_>, object: &Value, patch: &Value) -> Result<Value, Unchanged> {
    let failed = |error: &dyn std::fmt::Display| Unchanged::Failed(format!("JSON Patch: {error}"));
    let patch = JsonPatch::decode(json::to_string(patch).as_bytes(), false).map_err(|error| failed(&error))?;
    match patch.apply(&text_of(a, object)) {
        Ok(text) => made(a, &text).map_err(|why| Unchanged::Fatal(ApiError::internal(why))),
        // an object that a test does not fit stays as it is
        Err(PatchError::TestFailed { .. }) => Ok(object.clone()),
        Err(error) => Err(failed(&error)),
    }
}

/// The configuration that an expression gives.
fn configuration(value: &Val<'_>) -> Result<Value, String> {
    if !matches!(value, Val::Struct(_)) {
        return Err(format!("unsupported return type from ApplyConfiguration expression: {}", value.type_name()));
    }
    check_names(value)?;
    value.to_tree()
}

/// The JSON patch that an expression gives.
fn operations(value: &Val<'_>) -> Result<Value, String> {
    let Val::List(list) = value else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let operation = |item: Val<'_>| {
        let Val::Struct(made) = &item else {
            let what = item.type_name();
            return Err(format!(
                "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch, got element of {what}"
            ));
        };
        made.fields.iter().filter(|(name, _)| &**name == "value").try_for_each(|(_, value)| check_names(value))?;
        item.to_tree().map_err(|why| {
            format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {why}")
        })
    };
    list.iter().map(operation).collect::<Result<Vec<_>, _>>().map(Value::List)
}

/// Objects inside an object are named after the way to them.
fn check_names(value: &Val<'_>) -> Result<(), String> {
    let mut wrong = Vec::new();
    if let Val::Struct(root) = value {
        names_below(value, &root.name, &mut wrong);
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("type mismatch: {}", wrong.join("\n"))) }
}

fn names_below(value: &Val<'_>, path: &str, wrong: &mut Vec<String>) {
    match value {
        Val::Struct(made) => {
            if &*made.name != path {
                wrong.push(format!(
                    "unexpected type name {:?}, expected {path:?}, which matches field name path from root Object type",
                    &*made.name
                ));
            }
            made.fields.iter().for_each(|(field, value)| names_below(value, &format!("{path}.{field}"), wrong));
        }
        Val::List(list) => list.iter().for_each(|item| names_below(&item, path, wrong)),
        Val::Map(map) => map.iter().for_each(|(_, value)| names_below(&value, path, wrong)),
        _ => {}
    }
}

fn denial(a: &Attributes<'_>, object: &Value, failures: &[Failure]) -> ApiError {
    let refused = forbidden(a, object, "admission request denied by policy");
    let mut status = refused.to_status_value();
    if let Some(first) = failures.first() {
        status.set("message", first.message.as_str());
        if first.is_invalid {
            status.set("reason", "Invalid");
        }
    }
    let mut error = ApiError::from_status_value(&status).unwrap_or(refused);
    let cause =
        |failure: &Failure| Cause { type_: String::new(), message: failure.message.clone(), field: String::new() };
    error.details_mut().causes = failures.iter().map(cause).collect();
    error
}
