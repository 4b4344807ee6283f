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

/// Where a workload has what its scale shows.
pub struct Places {
    /// Wanted replicas.
    pub spec: Vec<String>,
    status: Vec<String>,
    /// The selector as text (custom resources); others have one to be made into text.
    selector: Option<Vec<String>>,
    custom: bool,
}

impl Places {
    /// Of the version asked for.
    pub fn of(scope: &Scope) -> Self {
        let own = |path: &[&str]| path.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        match scope.store.resource.custom.as_ref().and_then(|custom| custom.scale(&scope.served.api_version)) {
            Some(scale) => Self {
                spec: scale.spec.clone(),
                status: scale.status.clone(),
                selector: Some(scale.selector.clone()),
                custom: true,
            },
            None => Self {
                spec: own(&["spec", "replicas"]),
                status: own(&["status", "replicas"]),
                selector: None,
                custom: false,
            },
        }
    }

    fn spec_text(&self) -> String {
        format!(".{}", self.spec.join("."))
    }
}

fn at<'v>(object: &'v Value, path: &[String]) -> &'v Value {
    path.iter().fold(object, |value, key| value.get(key))
}

/// The scale that a GET shows.
///
/// # Errors
/// 500 for a custom resource that has no replicas.
pub fn shown(scope: &Scope, object: &Value) -> Result<Value, ApiError> {
    let places = Places::of(scope);
    if places.custom && at(object, &places.spec).is_null() {
        return Err(ApiError::internal(format!("the spec replicas field {:?} does not exist", places.spec_text())));
    }
    Ok(of(object, &places))
}

/// The scale of a workload.
pub fn of(object: &Value, places: &Places) -> Value {
    let meta = object.get("metadata");
    let mut shown = Value::map();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if !meta.get(field).is_null() {
            shown.set(field, meta.get(field).clone());
        }
    }
    let mut scale = value!({"apiVersion": API_VERSION, "kind": KIND, "metadata": shown});
    let replicas = at(object, &places.spec).as_i64().unwrap_or(0);
    if replicas != 0 {
        scale.set_path(&["spec", "replicas"], replicas.into());
    }
    let status = at(object, &places.status).as_i64().unwrap_or(0);
    if status != 0 {
        scale.set_path(&["status", "replicas"], status.into());
    }
    let selector = match &places.selector {
        Some(path) if path.is_empty() => String::new(),
        Some(path) => at(object, path).str_or_empty().to_owned(),
        None => selector_text(object.path(&["spec", "selector"])),
    };
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
    let places = Places::of(scope);
    let mut updater = Scaling { scope, cx: &cx, scaler, places: &places };
    let guard = ScaleGuard { admission, places: &places };
    let done = scope.store.update(&scope.state, &cx, &scope.info.name, &mut updater, &guard, false).await?;
    Ok(done.0)
}

struct Scaling<'a> {
    scope: &'a Scope,
    cx: &'a RequestContext,
    scaler: &'a mut dyn ScaleUpdater,
    places: &'a Places,
}

#[async_trait]
impl Updater for Scaling<'_> {
    async fn updated(&mut self, old: &Value) -> Result<Value, ApiError> {
        if old.is_null() {
            return Err(self.scope.about().not_found());
        }
        let mut present = of(old, self.places);
        let owners = ScaleOwners::new(self.scope, self.cx, old);
        owners.show(&mut present);
        let wanted = self.scaler.scaled(&present, &owners).await?;
        validate(self.scope, &wanted, self.places)?;
        let mut object = old.clone();
        let replicas = wanted.path(&["spec", "replicas"]).as_i64().unwrap_or(0);
        let path: Vec<&str> = self.places.spec.iter().map(String::as_str).collect();
        object.set_path(&path, replicas.into());
        let meta = object.field_mut("metadata");
        match wanted.path(&["metadata", "resourceVersion"]) {
            // custom resources have no updates without a version: the present one stands
            Value::Null if self.places.custom => {}
            Value::Null => drop(meta.remove("resourceVersion")),
            version => meta.set("resourceVersion", version.clone()),
        }
        if let Some(uid) = wanted.path(&["metadata", "uid"]).as_str().filter(|u| !u.is_empty()) {
            let has = meta.get("uid").str_or_empty();
            if has != uid {
                let message = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {has}");
                // what a PUT names is a precondition of the storage, what a patch makes is not
                if !self.places.custom && self.scope.info.verb == "patch" {
                    let resource = &self.scope.store.resource;
                    let plural = format!("{}/scale", resource.plural);
                    return Err(ApiError::conflict(&resource.group, &plural, &self.cx.name, message));
                }
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

fn validate(scope: &Scope, wanted: &Value, places: &Places) -> Result<(), ApiError> {
    let replicas = wanted.path(&["spec", "replicas"]).as_i64().unwrap_or(0);
    if replicas >= 0 {
        return Ok(());
    }
    let mut errs = Errors::new();
    if places.custom {
        errs.invalid(Path::root(&places.spec_text()), replicas, "should be a non-negative integer");
        let resource = &scope.store.resource;
        return Err(ApiError::invalid(&resource.group, &resource.kind, &scope.info.name, &errs));
    }
    errs.invalid(Path::root("spec").child("replicas"), replicas, "must be greater than or equal to 0");
    Err(ApiError::invalid("autoscaling", KIND, &scope.info.name, &errs))
}

/// Admission sees scales, not workloads.
struct ScaleGuard<'a> {
    admission: &'a Admission<'a>,
    places: &'a Places,
}

#[async_trait]
impl Guard for ScaleGuard<'_> {
    async fn on_update(&self, object: &Value, old: &Value) -> Result<(), ApiError> {
        self.admission.on_update(&of(object, self.places), &of(old, self.places)).await
    }
}
