//! ResourceQuota: counts what objects cost and refuses what would exceed a quota of the namespace.
//!
//! The usage is written into the quotas' status before the object is stored; a conflicting write makes the
//! plugin look again. Giving back what deleted objects used is the controller's work.
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota

mod usage;

use std::collections::BTreeSet;
use std::sync::Arc;

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::pod_resources::{Amounts, add, amounts};
use super::{Attributes, Context, Operation, Plugin, forbidden, is_main, is_resource};
use crate::objects::{Objects, RESOURCE_QUOTAS};

/// How often conflicting writes are met.
const TRIES: usize = 10;

/// Makes the plugin.
pub fn new(context: &Context) -> Box<dyn Plugin> {
    Box::new(ResourceQuota { objects: context.objects.clone() })
}

struct ResourceQuota {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        if a.namespace.is_empty() || is_resource(a, "", "namespaces") || !counts(a) {
            return Ok(());
        }
        let mut quotas = self.objects.list(RESOURCE_QUOTAS, a.namespace);
        if quotas.is_empty() {
            return Ok(());
        }
        let cost = cost(a, object);
        for _ in 0..TRIES {
            let charged = charge(a, object, &quotas, &cost)?;
            if charged.is_empty() || a.dry_run {
                return Ok(());
            }
            if self.store(a, charged).await? {
                return Ok(());
            }
            quotas = self.fresh(a.namespace, &quotas).await;
        }
        Err(ApiError::internal(format!("unable to update the quotas of namespace {}", a.namespace)))
    }
}

impl ResourceQuota {
    /// Writes the new usage; false if somebody else was faster.
    async fn store(&self, a: &Attributes<'_>, charged: Vec<Value>) -> Result<bool, ApiError> {
        for quota in charged {
            let name = quota.path(&["metadata", "name"]).str_or_empty().to_owned();
            match self.objects.update(RESOURCE_QUOTAS, a.namespace, &name, "status", quota).await {
                Ok(_) => {}
                Err(error) if error.is_conflict() || error.is_not_found() => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    async fn fresh(&self, namespace: &str, quotas: &[Value]) -> Vec<Value> {
        let mut out = Vec::new();
        for quota in quotas {
            let name = quota.path(&["metadata", "name"]).str_or_empty();
            out.extend(self.objects.get(RESOURCE_QUOTAS, namespace, name).await.ok());
        }
        out
    }
}

/// True if quotas may count this write.
fn counts(a: &Attributes<'_>) -> bool {
    match a.operation {
        Operation::Create => a.subresource.is_empty(),
        Operation::Update => {
            is_main(a, "", "services")
                || is_main(a, "", "persistentvolumeclaims")
                || (is_resource(a, "", "pods") && a.subresource == "resize")
        }
        _ => false,
    }
}

/// What the write adds to what is used.
fn cost(a: &Attributes<'_>, object: &Value) -> Amounts {
    let mut cost = usage::of(a, object);
    if a.operation == Operation::Update {
        for (name, before) in usage::of(a, a.old) {
            if let Some(amount) = cost.get_mut(&name) {
                amount.sub(&before);
            }
        }
        cost.retain(|_, amount| !amount.is_negative());
    }
    cost
}

/// The quotas with the cost added, those it changes only.
fn charge(a: &Attributes<'_>, object: &Value, quotas: &[Value], cost: &Amounts) -> Result<Vec<Value>, ApiError> {
    let mut out = Vec::new();
    if cost.values().all(apimachinery::quantity::Quantity::is_zero) {
        return Ok(out);
    }
    for quota in quotas {
        let hard = amounts(quota.path(&["status", "hard"]));
        let counted: BTreeSet<String> = hard.keys().cloned().collect();
        if !usage::in_scope(a, quota, object) || !concerns(a, &counted, cost) {
            continue;
        }
        let name = quota.path(&["metadata", "name"]).str_or_empty();
        if is_main(a, "", "pods")
            && let Some(missing) = usage::missing(&counted, object)
        {
            return Err(forbidden(a, object, format!("failed quota: {name}: {missing}")));
        }
        let used = amounts(quota.path(&["status", "used"]));
        let requested: Amounts = cost.iter().filter(|(key, _)| hard.contains_key(*key)).map(clone).collect();
        let unknown: Vec<&str> = requested.keys().filter(|key| !used.contains_key(*key)).map(String::as_str).collect();
        if !unknown.is_empty() {
            let why = format!("status unknown for quota: {name}, resources: {}", unknown.join(","));
            return Err(forbidden(a, object, why));
        }
        let mut sum = used.clone();
        add(&mut sum, &requested);
        let exceeded: BTreeSet<&String> = requested.keys().filter(|key| sum.get(*key) > hard.get(*key)).collect();
        if !exceeded.is_empty() {
            let of = |all: &Amounts| {
                let some = all.iter().filter(|(key, _)| exceeded.contains(key));
                some.map(|(key, amount)| format!("{key}={amount}")).collect::<Vec<_>>().join(",")
            };
            let (requested, used, hard) = (of(&requested), of(&used), of(&hard));
            let why = format!("exceeded quota: {name}, requested: {requested}, used: {used}, limited: {hard}");
            return Err(forbidden(a, object, why));
        }
        if sum != used {
            let mut quota = quota.clone();
            for (key, amount) in sum {
                quota.set_path(&["status", "used", &key], amount.to_string().into());
            }
            out.push(quota);
        }
    }
    Ok(out)
}

/// True if the quota counts anything of the write; pods concern quotas of compute resources they do not set, too.
fn concerns(a: &Attributes<'_>, counted: &BTreeSet<String>, cost: &Amounts) -> bool {
    let compute = |name: &String| {
        let name = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
        matches!(name, "cpu" | "memory" | "ephemeral-storage")
    };
    counted.iter().any(|name| cost.contains_key(name) || (is_resource(a, "", "pods") && compute(name)))
}

fn clone((name, amount): (&String, &apimachinery::quantity::Quantity)) -> (String, apimachinery::quantity::Quantity) {
    (name.clone(), amount.clone())
}
