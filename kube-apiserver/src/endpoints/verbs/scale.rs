//! The scale subresource: a view of replicas, selector and status of a workload.
//!
//! upstream: pkg/registry/apps/deployment/storage/storage.go: ScaleREST and its likes

use apimachinery::field::{Errors, Path};
use apimachinery::selector::label;
use apimachinery::status::ApiError;
use apimachinery::value;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::super::dispatch::Scope;
use super::admission::Admission;
use super::managed_fields::ScaleOwners;
use crate::registry::store::{Guard, Updater};
use crate::registry::strategy::RequestContext;
use crate::storage::StorageError;

/// Group and version of the kind.
pub const API_VERSION: &str = "autoscaling/v1";
/// The kind.
pub const KIND: &str = "Scale";

/// The scale of a workload.
pub fn of(object: &Value) -> Value {
    let meta = object.get("metadata");
    let mut shown = Value::map();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if !meta.get(field).is_null() {
            shown.set(field, meta.get(field).clone());
        }
    }
    let mut scale = value!({"apiVersion": API_VERSION, "kind": KIND, "metadata": shown});
    let replicas = object.path(&["spec", "replicas"]).as_i64().unwrap_or(0);
    if replicas != 0 {
        scale.set_path(&["spec", "replicas"], replicas.into());
    }
    let status = object.path(&["status", "replicas"]).as_i64().unwrap_or(0);
    if status != 0 {
        scale.set_path(&["status", "replicas"], status.into());
    }
    let selector = selector_text(object.path(&["spec", "selector"]));
    if !selector.is_empty() {
        scale.set_path(&["status", "selector"], selector.into());
    }
    scale
}

/// The selector as text. ReplicationControllers have plain labels.
fn selector_text(selector: &Value) -> String {
    let plain = selector.entries().all(|(_, v)| v.as_str().is_some());
    if plain && !selector.is_null() {
        let pairs = selector.entries().map(|(k, v)| (k.to_owned(), v.str_or_empty().to_owned()));
        return label::Selector::from_set(pairs).to_string();
    }
    label::Selector::from_value(selector).map(|s| s.to_string()).unwrap_or_default()
}

/// Makes the wanted scale from the present one.
#[async_trait]
pub trait ScaleUpdater: Send {
    /// The wanted scale, with its managed fields.
    ///
    /// # Errors
    /// What the client gets.
    async fn scaled(&mut self, old: &Value, owners: &ScaleOwners<'_>) -> Result<Value, ApiError>;
}

/// Sets the replicas of the workload; returns the workload.
///
/// # Errors
/// What the client gets.
pub async fn update(
    scope: &Scope,
    cx: &RequestContext,
    scaler: &mut dyn ScaleUpdater,
    admission: &Admission<'_>,
) -> Result<Value, ApiError> {
    // the workload itself is written as by an update of its main resource
    let cx = RequestContext { subresource: String::new(), ..cx.clone() };
    let mut updater = Scaling { scope, cx: &cx, scaler };
    let guard = ScaleGuard { admission };
    let done = scope.store.update(&scope.state, &cx, &scope.info.name, &mut updater, &guard, false).await?;
    Ok(done.0)
}

struct Scaling<'a> {
    scope: &'a Scope,
    cx: &'a RequestContext,
    scaler: &'a mut dyn ScaleUpdater,
}

#[async_trait]
impl Updater for Scaling<'_> {
    async fn updated(&mut self, old: &Value) -> Result<Value, ApiError> {
        if old.is_null() {
            return Err(self.scope.about().not_found());
        }
        let mut present = of(old);
        let owners = ScaleOwners::new(self.scope, self.cx, old);
        owners.show(&mut present);
        let wanted = self.scaler.scaled(&present, &owners).await?;
        validate(self.scope, &wanted)?;
        let mut object = old.clone();
        let replicas = wanted.path(&["spec", "replicas"]).as_i64().unwrap_or(0);
        object.set_path(&["spec", "replicas"], replicas.into());
        let meta = object.field_mut("metadata");
        match wanted.path(&["metadata", "resourceVersion"]) {
            Value::Null => drop(meta.remove("resourceVersion")),
            version => meta.set("resourceVersion", version.clone()),
        }
        if let Some(uid) = wanted.path(&["metadata", "uid"]).as_str().filter(|u| !u.is_empty()) {
            let has = meta.get("uid").str_or_empty();
            if has != uid {
                let message = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {has}");
                let store = &self.scope.store;
                let key = format!("{}{}", store.cache.prefix(), store.key(&self.cx.namespace, &self.cx.name));
                return Err(self.scope.about().error(StorageError::Precondition { key, message }));
            }
        }
        match owners.of_object(&wanted) {
            Value::Null => drop(object.remove_path(&["metadata", "managedFields"])),
            fields => object.set_path(&["metadata", "managedFields"], fields),
        }
        Ok(object)
    }
}

fn validate(scope: &Scope, wanted: &Value) -> Result<(), ApiError> {
    let replicas = wanted.path(&["spec", "replicas"]).as_i64().unwrap_or(0);
    if replicas >= 0 {
        return Ok(());
    }
    let mut errs = Errors::new();
    errs.invalid(Path::root("spec").child("replicas"), replicas, "must be greater than or equal to 0");
    Err(ApiError::invalid("autoscaling", KIND, &scope.info.name, &errs))
}

/// Admission sees scales, not workloads.
struct ScaleGuard<'a> {
    admission: &'a Admission<'a>,
}

#[async_trait]
impl Guard for ScaleGuard<'_> {
    async fn on_update(&self, object: &Value, old: &Value) -> Result<(), ApiError> {
        self.admission.on_update(&of(object), &of(old)).await
    }
}
