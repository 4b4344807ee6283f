//! Deletion of what contains other objects, namespaces and definitions of custom resources: first they are marked and
//! their controller empties them, then they go.
//!
//! upstream: pkg/registry/core/namespace/storage/storage.go and
//! apiextensions-apiserver/pkg/registry/customresourcedefinition/etcd.go: Delete

use apimachinery::status::ApiError;
use apimachinery::value;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::delete::Deletion;
use super::{Change, Preconditions, Stop, Store};
use crate::registry::strategy::DeleteOptions;

/// Holds a definition until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

impl Store {
    pub(super) fn deletes_in_two_steps(&self) -> bool {
        self.resource.is_namespaces() || &*self.resource.plural == "customresourcedefinitions"
    }

    pub(super) async fn delete_in_two_steps(&self, deletion: Deletion<'_>) -> Result<(Value, bool), ApiError> {
        let Deletion { cx, options, .. } = deletion;
        let about = self.about(cx, &cx.name);
        let existing = self.get_raw(about, "", &cx.name).await?;
        let namespace = self.object(&existing.raw)?;
        let mut preconditions =
            Preconditions { uid: options.uid.clone(), resource_version: options.resource_version.clone() };
        if let Some(why) = preconditions.unmet(&namespace) {
            return Err(ApiError::conflict(&cx.group, &self.resource.plural, &cx.name, why));
        }
        let meta = namespace.get("metadata");
        preconditions.uid = preconditions.uid.or_else(|| meta.get("uid").as_str().map(str::to_owned));
        if meta.get("deletionTimestamp").is_null() {
            let mut change = Terminating { store: self, deletion };
            let marked = self.guaranteed_update(cx, about, &cx.name, &preconditions, &mut change).await;
            return match marked {
                Ok(object) => Ok((object, false)),
                Err(Stop::Error(e)) => Err(e),
                Err(_) => Err(about.stale()),
            };
        }
        if !namespace.path(&["spec", "finalizers"]).items().is_empty() {
            return Ok((namespace, false));
        }
        let options = DeleteOptions { uid: preconditions.uid, ..options.clone() };
        self.delete_generic(Deletion { options: &options, ..deletion }, None).await
    }
}

struct Terminating<'a> {
    store: &'a Store,
    deletion: Deletion<'a>,
}

#[async_trait]
impl Change for Terminating<'_> {
    async fn change(&mut self, old: &Value) -> Result<Value, Stop> {
        let Deletion { cx, options, guard, .. } = self.deletion;
        if old.is_null() {
            return Err(self.store.about(cx, &cx.name).not_found().into());
        }
        guard.on_delete(old).await?;
        let mut namespace = old.clone();
        let meta = namespace.field_mut("metadata");
        if meta.get("deletionTimestamp").is_null() {
            meta.set("deletionTimestamp", cx.now_text());
        }
        if self.store.resource.is_namespaces() {
            namespace.set_path(&["status", "phase"], "Terminating".into());
            self.store.set_propagation_finalizers(&mut namespace, options);
        } else {
            mark_definition(&mut namespace, &cx.now_text());
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
