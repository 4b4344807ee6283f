//! `pods/eviction`: deletes a pod if its disruption budget allows it.
//!
//! upstream: pkg/registry/core/pod/storage/eviction.go

use apimachinery::field::{Errors, Path};
use apimachinery::patch::apply;
use apimachinery::schema;
use apimachinery::selector::label::Selector;
use apimachinery::status::{ApiError, Cause};
use apimachinery::value::Value;
use async_trait::async_trait;
use jiff::Timestamp;

use super::binding::success;
use super::pod::{self, set_condition};
use crate::endpoints::options;
use crate::registry::store::{Preconditions, Unguarded};
use crate::registry::{Creater, DeleteOptions, RequestContext, Subresource};
use crate::state::AppState;

/// Lost races before the eviction gives up.
const ATTEMPTS: usize = 5;
/// More unconfirmed evictions than this are refused.
const MAX_DISRUPTED: usize = 2000;
/// apiVersion and kind of budgets.
const BUDGET: (&str, &str) = ("policy/v1", "PodDisruptionBudget");
const VIOLATES: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Eviction;

impl Subresource for Eviction {
    fn creater(&self) -> Option<&dyn Creater> {
        Some(self)
    }
}

#[async_trait]
impl Creater for Eviction {
    async fn create(&self, state: &AppState, cx: &RequestContext, obj: Value) -> Result<Value, ApiError> {
        if obj.path(&["metadata", "name"]).str_or_empty() != cx.name {
            return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
        }
        let mut options = options(&obj, cx)?;
        let pinned = options.resource_version.is_some();
        for _ in 0..ATTEMPTS {
            let found = pod::get(state, &cx.namespace, &cx.name).await?;
            if !ignores_budgets(&found) {
                break;
            }
            let mut own = options.clone();
            if enforces_revision(&found) && !pinned {
                own.resource_version = Some(revision(&found));
            }
            match delete(state, cx, own).await {
                Ok(()) => return Ok(success()),
                Err(error) if error.is_conflict() && !pinned => {}
                Err(error) => return Err(error),
            }
        }
        let found = pod::get(state, &cx.namespace, &cx.name).await?;
        let budget = self.allowed(state, cx, &found, &options).await?;
        if budget.pins_revision && !pinned {
            options.resource_version = Some(revision(&found));
        }
        match delete(state, cx, options).await {
            Ok(()) => Ok(success()),
            Err(error) if error.is_conflict() && budget.pins_revision && !pinned => Err(still_processed(&budget.name)),
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug, Default)]
struct Allowance {
    name: String,
    /// The pod was not ready and counts for nothing: delete it only as it was seen.
    pins_revision: bool,
}

impl Eviction {
    async fn allowed(
        self,
        state: &AppState,
        cx: &RequestContext,
        found: &Value,
        options: &DeleteOptions,
    ) -> Result<Allowance, ApiError> {
        let budgets = budgets(state, cx, found);
        let budget = match budgets.as_slice() {
            [] => return Ok(Allowance::default()),
            [one] => one,
            _ => {
                let text =
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(ApiError::new(500, apimachinery::status::Reason::default(), text));
            }
        };
        let name = budget.path(&["metadata", "name"]).str_or_empty().to_owned();
        if !is_ready(found) && unhealthy_may_go(budget) {
            return Ok(Allowance { name, pins_revision: true });
        }
        let store = state
            .registry
            .store("policy", "poddisruptionbudgets")
            .ok_or_else(|| ApiError::not_found("policy", "poddisruptionbudgets", &name))?;
        let cx = RequestContext {
            name: name.clone(),
            dry_run: options.dry_run,
            subresource: "status".to_owned(),
            ..cx.clone()
        };
        let evicted = found.path(&["metadata", "name"]).str_or_empty().to_owned();
        let change = |budget: &mut Value| {
            let old = budget.clone();
            decrement(budget, &evicted)?;
            claim(&cx, &old, budget);
            Ok(())
        };
        store.modify(&cx, &name, &Preconditions::default(), change).await?;
        Ok(Allowance { name, pins_revision: false })
    }
}

/// The server itself owns what it takes off a budget.
fn claim(cx: &RequestContext, old: &Value, budget: &mut Value) {
    let Some(ty) = schema::kind(BUDGET.0, BUDGET.1) else { return };
    let now = cx.now_text();
    let write = apply::Write {
        ty,
        api_version: BUDGET.0,
        kind: BUDGET.1,
        subresource: "status",
        filter: None,
        now: &now,
        convert: None,
    };
    apply::update(&write, old, budget, "kube-apiserver");
}

fn options(eviction: &Value, cx: &RequestContext) -> Result<DeleteOptions, ApiError> {
    const DANGEROUS: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";
    let given = eviction.get("deleteOptions");
    let given = if given.is_null() { Value::map() } else { given.clone() };
    if given.get(DANGEROUS).as_bool() == Some(true) {
        let mut errs = Errors::new();
        let path = Path::root("deleteOptions").child(DANGEROUS);
        errs.invalid(path, true, "can not be set for pod eviction, try after removing the option");
        return Err(ApiError::invalid("policy", "Eviction", &cx.name, &errs));
    }
    let dry_run: Vec<&str> = given.get("dryRun").items().iter().map(Value::str_or_empty).collect();
    if cx.dry_run && !dry_run.is_empty() && dry_run != ["All"] {
        let text = format!("Non-matching dry-run options in request and content: [All] and [{}]", dry_run.join(" "));
        return Err(ApiError::new(500, apimachinery::status::Reason::default(), text));
    }
    let mut options = options::delete_unchecked(given);
    options.dry_run |= cx.dry_run;
    Ok(options)
}

/// Finished, pending and dying pods do not count for any budget.
fn ignores_budgets(pod: &Value) -> bool {
    let phase = pod.path(&["status", "phase"]).str_or_empty();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || !pod.path(&["metadata", "deletionTimestamp"]).is_null()
}

fn enforces_revision(pod: &Value) -> bool {
    let phase = pod.path(&["status", "phase"]).str_or_empty();
    !matches!(phase, "Succeeded" | "Failed") && pod.path(&["metadata", "deletionTimestamp"]).is_null()
}

fn revision(pod: &Value) -> String {
    pod.path(&["metadata", "resourceVersion"]).str_or_empty().to_owned()
}

/// Marks the pod as disrupted, then deletes it.
async fn delete(state: &AppState, cx: &RequestContext, mut options: DeleteOptions) -> Result<(), ApiError> {
    let store = state.registry.store("", "pods").ok_or_else(|| ApiError::not_found("", "pods", &cx.name))?;
    let cx = RequestContext { dry_run: options.dry_run, subresource: String::new(), ..cx.clone() };
    if !options.dry_run {
        let preconditions =
            Preconditions { uid: options.uid.clone(), resource_version: options.resource_version.clone() };
        let marked = store
            .modify(&cx, &cx.name, &preconditions, |pod| {
                set_condition(pod, "DisruptionTarget", "True", "EvictionByEvictionAPI", "Eviction API: evicting");
                Ok(())
            })
            .await?;
        if options.resource_version.is_some() {
            options.resource_version = Some(revision(&marked));
        }
    }
    store.delete(state, &cx, &options, &Unguarded).await.map(|_| ())
}

fn budgets(state: &AppState, cx: &RequestContext, pod: &Value) -> Vec<Value> {
    let Some(store) = state.registry.store("policy", "poddisruptionbudgets") else { return Vec::new() };
    let labels = pod.path(&["metadata", "labels"]);
    let mut all = store.cached_list(&cx.namespace);
    all.retain(|budget| {
        let selector = budget.path(&["spec", "selector"]);
        !selector.is_null()
            && Selector::from_value(selector).is_ok_and(|parsed| parsed.matches(|key| labels.get(key).as_str()))
    });
    all
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.path(&["status", "conditions"]).items();
    conditions.iter().any(|c| c.get("type").str_or_empty() == "Ready" && c.get("status").str_or_empty() == "True")
}

fn unhealthy_may_go(budget: &Value) -> bool {
    if budget.path(&["spec", "unhealthyPodEvictionPolicy"]).str_or_empty() == "AlwaysAllow" {
        return true;
    }
    let number = |field: &str| budget.path(&["status", field]).as_i64().unwrap_or(0);
    number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0
}

fn decrement(budget: &mut Value, pod: &str) -> Result<(), ApiError> {
    let name = budget.path(&["metadata", "name"]).str_or_empty().to_owned();
    let number = |b: &Value, field: &str| b.path(&["status", field]).as_i64().unwrap_or(0);
    let generation = budget.path(&["metadata", "generation"]).as_i64().unwrap_or(0);
    if number(budget, "observedGeneration") < generation {
        return Err(still_processed(&name));
    }
    let allowed = number(budget, "disruptionsAllowed");
    let forbidden = |why: &str| Err(ApiError::forbidden("policy", "poddisruptionbudget", &name, why));
    if allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    if budget.path(&["status", "disruptedPods"]).entries().count() > MAX_DISRUPTED {
        return forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if allowed == 0 {
        return Err(exhausted(budget, &name));
    }
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let status = budget.field_mut("status");
    status.set("disruptionsAllowed", allowed - 1);
    status.field_mut("disruptedPods").set(pod, now);
    if allowed == 1 {
        set_condition(budget, "DisruptionAllowed", "False", "InsufficientPods", "");
        let observed = budget.path(&["status", "observedGeneration"]).clone();
        let conditions = budget.field_mut("status").field_mut("conditions").list_mut();
        let own = conditions.iter_mut().find(|c| c.get("type").str_or_empty() == "DisruptionAllowed");
        if let (Some(condition), false) = (own, observed.is_null()) {
            condition.set("observedGeneration", observed);
        }
    }
    Ok(())
}

fn exhausted(budget: &Value, name: &str) -> ApiError {
    let number = |field: &str| budget.path(&["status", field]).as_i64().unwrap_or(0);
    let conditions = budget.path(&["status", "conditions"]).items();
    let condition = conditions.iter().find(|c| {
        c.get("type").str_or_empty() == "DisruptionAllowed"
            && c.get("status").str_or_empty() == "False"
            && !c.get("message").str_or_empty().is_empty()
    });
    let text = |c: &Value, key: &str| c.get(key).str_or_empty().to_owned();
    let message = match condition {
        Some(c) if text(c, "reason") == "SyncFailed" => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
            text(c, "message")
        ),
        _ if number("currentHealthy") <= number("desiredHealthy") => format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            number("desiredHealthy"),
            number("currentHealthy")
        ),
        Some(c) => format!(
            "The disruption budget {name} does not allow evicting pods currently ({}): {}",
            text(c, "reason"),
            text(c, "message")
        ),
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    };
    violates(message, 0)
}

fn still_processed(name: &str) -> ApiError {
    violates(format!("The disruption budget {name} is still being processed by the server."), 10)
}

fn violates(message: String, retry_after_seconds: i32) -> ApiError {
    let mut error = ApiError::too_many_requests(VIOLATES, retry_after_seconds);
    let cause = Cause { type_: "DisruptionBudget".to_owned(), message, field: String::new() };
    error.details_mut().causes.push(cause);
    error
}
