//! MutatingAdmissionWebhook and ValidatingAdmissionWebhook: others are asked over HTTPS.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/{mutating,validating}

mod call;
pub(crate) mod rules;

use std::sync::Arc;

use apimachinery::patch::json_patch::JsonPatch;
use apimachinery::quote::quote;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;
use futures::future::join_all;

pub(crate) use self::call::request_of;
use self::call::{Answer, call};
use super::policy::expressions::Scope;
use super::rounds::Rounds;
use super::{Attributes, Context, Operation, Plugin, forbidden, made, text_of};
use crate::authorization::Authorizer;
use crate::objects::{Kind, Objects};

const MUTATING: Kind = Kind::new("admissionregistration.k8s.io", "mutatingwebhookconfigurations");
const VALIDATING: Kind = Kind::new("admissionregistration.k8s.io", "validatingwebhookconfigurations");

/// Makes the mutating plugin.
pub fn mutating(context: &Context) -> Box<dyn Plugin> {
    Box::new(Webhooks { objects: context.objects.clone(), authorizer: context.authorizer.clone(), mutates: true })
}

/// Makes the validating plugin.
pub fn validating(context: &Context) -> Box<dyn Plugin> {
    Box::new(Webhooks { objects: context.objects.clone(), authorizer: context.authorizer.clone(), mutates: false })
}

struct Webhooks {
    objects: Arc<dyn Objects>,
    authorizer: Arc<Authorizer>,
    mutates: bool,
}

#[async_trait]
impl Plugin for Webhooks {
    fn name(&self) -> &'static str {
        if self.mutates { "MutatingAdmissionWebhook" } else { "ValidatingAdmissionWebhook" }
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn admit_round(&self, a: &Attributes<'_>, object: &mut Value, rounds: &mut Rounds) -> Result<(), ApiError> {
        if !self.mutates || rules::is_exempt(a) {
            return Ok(());
        }
        let hooks = self.hooks(MUTATING, a);
        if hooks.is_empty() {
            return Ok(());
        }
        rounds.begin(self.name(), object);
        for (key, hook) in hooks {
            if rounds.skips(self.name(), &key) {
                continue;
            }
            if let Some(changed) = self.mutate(&hook, a, object).await? {
                let again = hook.get("reinvocationPolicy").as_str() == Some("IfNeeded");
                rounds.called(self.name(), key, changed, again);
            }
        }
        rounds.end(self.name(), object);
        Ok(())
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        if self.mutates || rules::is_exempt(a) {
            return Ok(());
        }
        let hooks = self.hooks(VALIDATING, a);
        let asked = hooks.iter().map(|(_, hook)| async move {
            match self.ask(hook, a, object).await? {
                Some(answer) => allow(hook, a, &answer),
                None => Ok(()),
            }
        });
        join_all(asked).await.into_iter().collect()
    }
}

impl Webhooks {
    /// Webhooks with rules for this write, in the order of their configurations' names, each with a name of its own.
    fn hooks(&self, kind: Kind, a: &Attributes<'_>) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        for configuration in self.objects.shared(kind).iter() {
            let name = configuration.path(&["metadata", "name"]).str_or_empty();
            for (i, hook) in configuration.get("webhooks").items().iter().enumerate() {
                if rules::match_rules(hook, a) {
                    found.push((format!("{name}/{i}"), hook.clone()));
                }
            }
        }
        found
    }

    /// The answer, or `None` if the webhook is not concerned or its failure may be ignored.
    async fn ask(&self, hook: &Value, a: &Attributes<'_>, object: &Value) -> Result<Option<Answer>, ApiError> {
        if !rules::match_selectors(hook, a, object, &self.objects).await? {
            return Ok(None);
        }
        let ignores = hook.get("failurePolicy").as_str() == Some("Ignore");
        let name = hook.get("name").str_or_empty();
        let conditions = hook.get("matchConditions").items();
        if !conditions.is_empty() {
            let scope = Scope::of(a, object, &self.objects, &self.authorizer).await;
            match scope.all_hold(conditions, &Value::Null, &[]) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(_) if ignores => return Ok(None),
                Err(why) => return Err(forbidden(a, object, why)),
            }
        }
        if a.dry_run && !matches!(hook.get("sideEffects").str_or_empty(), "None" | "NoneOnDryRun") {
            return Err(ApiError::bad_request(format!("admission webhook {} does not support dry run", quote(name))));
        }
        match call(&self.objects, hook, a, object).await {
            Ok(answer) => Ok(Some(answer)),
            Err(why) if ignores => {
                tracing::warn!(webhook = name, why, "failed calling a webhook, failing open");
                Ok(None)
            }
            Err(why) => Err(ApiError::internal(format!("failed calling webhook {}: {why}", quote(name)))),
        }
    }

    /// Asks and applies the patch; whether that changed the object, if the webhook was asked.
    async fn mutate(&self, hook: &Value, a: &Attributes<'_>, object: &mut Value) -> Result<Option<bool>, ApiError> {
        let Some(answer) = self.ask(hook, a, object).await? else { return Ok(None) };
        allow(hook, a, &answer)?;
        if answer.patch.is_empty() {
            return Ok(Some(false));
        }
        if object.is_null() {
            let name = quote(hook.get("name").str_or_empty());
            return Err(ApiError::internal(format!(
                "admission webhook {name} attempted to modify the object, which is not supported for this operation"
            )));
        }
        let patched = patched(a, object, &answer.patch).map_err(ApiError::internal)?;
        let changed = patched != *object;
        *object = patched;
        Ok(Some(changed))
    }
}

fn patched(a: &Attributes<'_>, object: &Value, patch: &[u8]) -> Result<Value, String> {
    let patch = JsonPatch::decode(patch, false).map_err(|error| error.to_string())?;
    let text = patch.apply(&text_of(a, object)).map_err(|error| error.to_string())?;
    made(a, &text)
}

/// Passes warnings on; a refusal becomes the client's error.
fn allow(hook: &Value, a: &Attributes<'_>, answer: &Answer) -> Result<(), ApiError> {
    for warning in &answer.warnings {
        a.warnings.add(warning.clone());
    }
    if answer.allowed {
        return Ok(());
    }
    let denied = format!("admission webhook {} denied the request", quote(hook.get("name").str_or_empty()));
    let text = |key: &str| answer.status.get(key).str_or_empty();
    let message = match (text("message"), text("reason")) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    let mut status = if answer.status.is_null() { Value::map() } else { answer.status.clone() };
    status.set("kind", "Status");
    status.set("message", message);
    status.set("status", "Failure");
    if status.get("code").as_i64().is_none_or(|code| code < 400) {
        status.set("code", 400);
    }
    Err(ApiError::from_status_value(&status).unwrap_or_else(|| ApiError::bad_request(denied)))
}
