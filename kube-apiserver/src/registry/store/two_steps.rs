//! Deletion of what contains other objects, namespaces and definitions of custom resources: first they are marked and
//! their controller empties them, then they go.
//!
//! upstream: pkg/registry/core/namespace/storage/storage.go and
//! apiextensions-apiserver/pkg/registry/customresourcedefinition/etcd.go: Delete

use apimachinery::status::ApiError;
use apimachinery::value;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::{Change, Guard, Preconditions, Stop, Store};
use crate::registry::strategy::{DeleteOptions, RequestContext};
use crate::state::AppState;

/// Holds a definition until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

impl Store {
    pub(super) fn deletes_in_two_steps(&self) -> bool {
        self.resource.is_namespaces() || &*self.resource.plural == "customresourcedefinitions"
    }

    pub(super) async fn delete_in_two_steps(
        &self,
        state: &AppState,
        cx: &RequestContext,
        name: &str,
        options: &DeleteOptions,
        guard: &dyn Guard,
    ) -> Result<(Value, bool), ApiError> {
        let about = self.about(cx, name);
        let existing = self.get_raw(about, "", name).await?;
        let namespace = self.object(&existing.raw)?;
        let meta = namespace.get("metadata");
        for (wanted, field, what) in
            [(&options.uid, "uid", "UID"), (&options.resource_version, "resourceVersion", "ResourceVersion")]
        {
            let has = meta.get(field).str_or_empty();
            if let Some(wanted) = wanted
                && wanted != has
            {
                let why =
                    format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {has}");
                return Err(ApiError::conflict(&cx.group, &self.resource.plural, name, why));
            }
        }
        let uid = options.uid.clone().or_else(|| meta.get("uid").as_str().map(str::to_owned));
        if meta.get("deletionTimestamp").is_null() {
            let preconditions = Preconditions { uid, resource_version: options.resource_version.clone() };
            let mut change = Terminating { store: self, cx, options, guard };
            let marked = self.guaranteed_update(cx, about, name, &preconditions, &mut change).await;
            return match marked {
                Ok(object) => Ok((object, false)),
                Err(Stop::Error(e)) => Err(e),
                Err(_) => Err(about.stale()),
            };
        }
        if !namespace.path(&["spec", "finalizers"]).items().is_empty() {
            return Ok((namespace, false));
        }
        let options = DeleteOptions { uid, ..options.clone() };
        self.delete_generic(state, cx, name, &options, guard, None).await
    }
}

struct Terminating<'a> {
    store: &'a Store,
    cx: &'a RequestContext,
    options: &'a DeleteOptions,
    guard: &'a dyn Guard,
}

#[async_trait]
impl Change for Terminating<'_> {
    async fn change(&mut self, old: &Value) -> Result<Value, Stop> {
        if old.is_null() {
            return Err(self.store.about(self.cx, &self.cx.name).not_found().into());
        }
        self.guard.on_delete(old).await?;
        let mut namespace = old.clone();
        let meta = namespace.field_mut("metadata");
        if meta.get("deletionTimestamp").is_null() {
            meta.set("deletionTimestamp", self.cx.now_text());
        }
        if self.store.resource.is_namespaces() {
            namespace.set_path(&["status", "phase"], "Terminating".into());
            self.store.set_propagation_finalizers(&mut namespace, self.options);
        } else {
            mark_definition(&mut namespace, &self.cx.now_text());
        }
        Ok(namespace)
    }
}

fn mark_definition(definition: &mut Value, now: &str) {
    let finalizers = definition.field_mut("metadata").field_mut("finalizers").list_mut();
    if !finalizers.iter().any(|f| f.as_str() == Some(CLEANUP_FINALIZER)) {
        finalizers.push(CLEANUP_FINALIZER.into());
    }
    let condition = value!({
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    });
    let conditions = definition.field_mut("status").field_mut("conditions").list_mut();
    conditions.retain(|c| c.get("type").as_str() != Some("Terminating"));
    conditions.push(condition);
}
