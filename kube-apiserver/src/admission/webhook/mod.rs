//! MutatingAdmissionWebhook and ValidatingAdmissionWebhook: others are asked over HTTPS.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/{mutating,validating}

mod call;
pub(crate) mod rules;

use std::sync::Arc;

use apimachinery::codec::json;
use apimachinery::patch::json_patch::JsonPatch;
use apimachinery::quote::quote;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;
use futures::future::join_all;

pub(crate) use self::call::request_of;
use self::call::{Answer, call};
use super::policy::expressions::Scope;
use super::{Attributes, Context, Operation, Plugin, forbidden};
use crate::authorization::Authorizer;
use crate::objects::{Kind, Objects};
use crate::registry::defaulting;

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

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        if !self.mutates || rules::is_exempt(a) {
            return Ok(());
        }
        let hooks = self.hooks(MUTATING, a);
        let mut again: Vec<(usize, Value)> = Vec::new();
        for (index, hook) in hooks.iter().enumerate() {
            if self.mutate(hook, a, object).await? && hook.get("reinvocationPolicy").as_str() == Some("IfNeeded") {
                again.push((index, object.clone()));
            }
        }
        // a webhook that asked for it sees the object once more if later ones changed it
        for (index, seen) in again {
            if seen != *object
                && let Some(hook) = hooks.get(index)
            {
                self.mutate(hook, a, object).await?;
            }
        }
        Ok(())
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        if self.mutates || rules::is_exempt(a) {
            return Ok(());
        }
        let hooks = self.hooks(VALIDATING, a);
        let asked = hooks.iter().map(|hook| async move {
            match self.ask(hook, a, object).await? {
                Some(answer) => allow(hook, a, &answer),
                None => Ok(()),
            }
        });
        join_all(asked).await.into_iter().collect()
    }
}

impl Webhooks {
    /// Webhooks with rules for this write, in the order of their configurations' names.
    fn hooks(&self, kind: Kind, a: &Attributes<'_>) -> Vec<Value> {
        let configurations = self.objects.shared(kind);
        let all = configurations.iter().flat_map(|c| c.get("webhooks").items());
        all.filter(|hook| rules::match_rules(hook, a)).cloned().collect()
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

    /// Asks and applies the patch; true if the webhook was asked.
    async fn mutate(&self, hook: &Value, a: &Attributes<'_>, object: &mut Value) -> Result<bool, ApiError> {
        let Some(answer) = self.ask(hook, a, object).await? else { return Ok(false) };
        allow(hook, a, &answer)?;
        if !answer.patch.is_empty() {
            let failed = |why: String| ApiError::internal(why);
            if object.is_null() {
                let name = quote(hook.get("name").str_or_empty());
                return Err(failed(format!(
                    "admission webhook {name} attempted to modify the object, which is not supported for this operation"
                )));
            }
            *object = patched(a, object, &answer.patch).map_err(failed)?;
        }
        Ok(true)
    }
}

fn patched(a: &Attributes<'_>, object: &Value, patch: &[u8]) -> Result<Value, String> {
    let patch = JsonPatch::decode(patch, false).map_err(|error| error.to_string())?;
    let text = patch.apply(json::to_string(object).as_bytes()).map_err(|error| error.to_string())?;
    let mut out = if a.subresource.is_empty() {
        let decoded = json::decode(&text, &a.resource.hub.schema, &json::DecodeOptions::default());
        decoded.map_err(|error| error.to_string())?.value
    } else {
        json::decode_untyped(&text).map_err(|error| error.to_string())?
    };
    defaulting::apply_to_object(&mut out);
    if let (Some(custom), true) = (&a.resource.custom, a.subresource.is_empty()) {
        custom.show(&a.resource.hub.api_version, &mut out);
    }
    Ok(out)
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
