//! Delete: preconditions, grace periods, finalizers, propagation; and deletion of collections.
//!
//! upstream: registry/generic/registry/store.go: Delete, DeleteCollection; registry/rest/delete.go: BeforeDelete

use apimachinery::status::ApiError;
use apimachinery::value;
use apimachinery::value::Value;
use async_trait::async_trait;
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};

use super::{Change, Existing, Guard, List, ListOptions, MAX_ROUNDS, Preconditions, Stop, Store, with_revision};
use crate::registry::strategy::{DefaultPropagation, DeleteOptions, RequestContext};
use crate::state::AppState;
use crate::storage::etcd::Written;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// Deletions of a collection that run at once.
const COLLECTION_WORKERS: usize = 32;

/// What `before_delete` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grace {
    /// No graceful deletion: delete at once.
    None,
    /// The object was marked, to be deleted by its owner in so many seconds.
    Marked(i64),
    /// It was marked before; there is nothing to shorten.
    Pending,
}

/// One deletion: of the object of the request that `cx` describes.
#[derive(Clone, Copy)]
pub(super) struct Deletion<'a> {
    pub(super) state: &'a AppState,
    pub(super) cx: &'a RequestContext,
    pub(super) options: &'a DeleteOptions,
    pub(super) guard: &'a dyn Guard,
}

impl Store {
    /// Deletes the object that the context names. Returns what the client gets (the object, or a Status) and whether it is gone.
    ///
    /// # Errors
    /// 404, 409 by preconditions, what admission says; if etcd cannot be reached.
    pub async fn delete(
        &self,
        state: &AppState,
        cx: &RequestContext,
        options: &DeleteOptions,
        guard: &dyn Guard,
    ) -> Result<(Value, bool), ApiError> {
        self.delete_known(Deletion { state, cx, options, guard }, None).await
    }

    /// The same for an object that was just listed, which saves reading it. 409 if that is no longer what is there.
    async fn delete_known(&self, deletion: Deletion<'_>, known: Option<Existing>) -> Result<(Value, bool), ApiError> {
        let Deletion { state, cx, options, .. } = deletion;
        if let Some(hooks) = self.strategy.hooks()
            && let Some(answer) = hooks.delete(state, cx, options).await
        {
            return answer.map(|object| (object, false));
        }
        if self.deletes_in_two_steps() {
            return self.delete_in_two_steps(deletion).await;
        }
        self.warn_of_orphans(cx, options);
        self.delete_generic(deletion, known).await
    }

    /// Jobs are the one kind whose pods stay by default without anyone wanting it.
    fn warn_of_orphans(&self, cx: &RequestContext, options: &DeleteOptions) {
        let says = options.orphan_dependents.is_some() || options.propagation_policy.is_some();
        if &*self.resource.plural == "jobs" && &*self.resource.group == "batch" && !says {
            cx.warnings.add(
                "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
                 them or set propagationPolicy=Orphan to suppress this warning",
            );
        }
    }

    pub(super) async fn delete_generic(
        &self,
        deletion: Deletion<'_>,
        known: Option<Existing>,
    ) -> Result<(Value, bool), ApiError> {
        let Deletion { state, cx, options, guard } = deletion;
        let about = self.about(cx, &cx.name);
        let key = self.key(&cx.namespace, &cx.name);
        let listed = known.is_some();
        let existing = match known {
            Some(existing) => existing,
            None => self.fetch(&key).await.map_err(|e| about.error(e))?.ok_or_else(|| about.not_found())?,
        };
        let mut object = self.object(&existing.raw)?;
        let mut target = Target { object: object.clone(), revision: existing.revision, only_this: listed };
        let mut preconditions =
            Preconditions { uid: options.uid.clone(), resource_version: options.resource_version.clone() };
        let grace = self.before_delete(cx, &mut object, options)?;
        if grace == Grace::Pending {
            return Ok((self.deleted(cx, object), false));
        }
        let holds = !finalizers(&object).is_empty() || self.propagation_finalizers(&object, options).is_some();
        let mut ignore_not_found = None;
        let mut out = None;
        if grace != Grace::None || holds {
            match self.mark(deletion, &key, &preconditions).await? {
                Marked::Waiting(object) => return Ok((*object, false)),
                Marked::AlreadyDeleting => {
                    let object = self.after_delete(state, cx, object).await;
                    return Ok((self.deleted(cx, object), false));
                }
                Marked::DeleteNow(None) => {}
                Marked::DeleteNow(Some(object)) => {
                    if preconditions.resource_version.is_some() {
                        preconditions.resource_version =
                            object.path(&["metadata", "resourceVersion"]).as_str().map(str::to_owned);
                    }
                    if let Ok(revision) = object.path(&["metadata", "resourceVersion"]).str_or_empty().parse() {
                        target = Target { object: (*object).clone(), revision, only_this: false };
                    }
                    ignore_not_found = Some(object.clone());
                    out = Some(object);
                }
            }
        }
        if cx.dry_run
            && let Some(out) = out
        {
            return Ok((*out, true));
        }
        match self.remove(cx, &cx.name, &preconditions, Some(guard), Some(target)).await {
            Ok(object) => {
                let object = self.after_delete(state, cx, object).await;
                Ok((self.deleted(cx, object), true))
            }
            Err(e) if e.is_not_found() && ignore_not_found.is_some() => {
                let object = self.after_delete(state, cx, *ignore_not_found.expect("checked above")).await;
                Ok((self.deleted(cx, object), true))
            }
            Err(e) => Err(e),
        }
    }

    /// Deletes an object whose last finalizer is gone; that it is gone already is fine.
    pub(super) async fn delete_finalized(
        &self,
        state: &AppState,
        cx: &RequestContext,
        name: &str,
        preconditions: &Preconditions,
    ) -> Result<(), ApiError> {
        match self.remove(cx, name, preconditions, None, None).await {
            Ok(object) => drop(self.after_delete(state, cx, object).await),
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    async fn after_delete(&self, state: &AppState, cx: &RequestContext, object: Value) -> Value {
        if !cx.dry_run
            && let Some(hooks) = self.strategy.hooks()
        {
            hooks.after_delete(state, cx, &object).await;
        }
        object
    }

    /// What the client gets for a deleted object.
    fn deleted(&self, cx: &RequestContext, object: Value) -> Value {
        if self.resource.returns_deleted {
            return object;
        }
        let meta = object.get("metadata");
        let mut details = value!({
            "name": meta.get("name").str_or_empty(),
            "kind": &*self.resource.plural,
            "uid": meta.get("uid").str_or_empty(),
        });
        if !cx.group.is_empty() {
            details.set("group", cx.group.as_str());
        }
        value!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success", "details": details})
    }

    /// upstream: registry/rest/delete.go: BeforeDelete
    fn before_delete(
        &self,
        cx: &RequestContext,
        object: &mut Value,
        options: &DeleteOptions,
    ) -> Result<Grace, ApiError> {
        self.check_preconditions(object, options)?;
        let requested = options.grace_period_seconds.map(|s| if s < 0 { 1 } else { s });
        let options = DeleteOptions { grace_period_seconds: requested, ..options.clone() };
        let Some(default) = self.strategy.grace_period(object, &options) else { return Ok(Grace::None) };
        let meta = object.field_mut("metadata");
        if let Some(deletion) = timestamp(meta.get("deletionTimestamp")) {
            let current = meta.get("deletionGracePeriodSeconds").as_i64().unwrap_or(0);
            if current == 0 {
                return Ok(Grace::None);
            }
            let current = if current < 0 { 1 } else { current };
            let Some(mut period) = requested.filter(|r| *r < current) else { return Ok(Grace::Pending) };
            let mut at = deletion - SignedDuration::from_secs(current) + SignedDuration::from_secs(period);
            if at < cx.now {
                at = cx.now;
                if period != 0 {
                    period = 1;
                }
            }
            meta.set("deletionTimestamp", time_text(at));
            meta.set("deletionGracePeriodSeconds", period);
            return Ok(Grace::Marked(period));
        }
        let period = default;
        meta.set("deletionTimestamp", time_text(cx.now + SignedDuration::from_secs(period)));
        meta.set("deletionGracePeriodSeconds", period);
        let generation = meta.get("generation").as_i64().unwrap_or(0);
        if generation > 0 {
            meta.set("generation", generation + 1);
        }
        Ok(Grace::Marked(period))
    }

    fn check_preconditions(&self, object: &Value, options: &DeleteOptions) -> Result<(), ApiError> {
        let meta = object.get("metadata");
        let conflict = |what: String| {
            let name = meta.get("name").str_or_empty();
            Err(ApiError::conflict(&self.resource.group, &self.resource.kind, name, what))
        };
        let (uid, rv) = (meta.get("uid").str_or_empty(), meta.get("resourceVersion").str_or_empty());
        if let Some(wanted) = &options.uid
            && wanted != uid
        {
            return conflict(format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
            ));
        }
        if let Some(wanted) = &options.resource_version
            && wanted != rv
        {
            return conflict(format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({rv}). The object might have been modified"
            ));
        }
        Ok(())
    }

    /// The finalizers that garbage collection needs, if they differ from what is there.
    pub(super) fn propagation_finalizers(&self, object: &Value, options: &DeleteOptions) -> Option<Vec<Value>> {
        let has = finalizers(object);
        let (orphan, foreground) = self.propagation(&has, options);
        let mut wanted: Vec<&str> = has.iter().copied().filter(|f| *f != ORPHAN && *f != FOREGROUND).collect();
        if orphan {
            wanted.push(ORPHAN);
        }
        if foreground {
            wanted.push(FOREGROUND);
        }
        let same = wanted.iter().all(|f| has.contains(f)) && has.iter().all(|f| wanted.contains(f));
        (!same).then(|| wanted.into_iter().map(Value::from).collect())
    }

    /// Sets the finalizers that garbage collection needs.
    pub(super) fn set_propagation_finalizers(&self, object: &mut Value, options: &DeleteOptions) {
        let Some(finalizers) = self.propagation_finalizers(object, options) else { return };
        let meta = object.field_mut("metadata");
        if finalizers.is_empty() {
            meta.remove("finalizers");
        } else {
            meta.set("finalizers", Value::List(finalizers));
        }
    }

    fn propagation(&self, has: &[&str], options: &DeleteOptions) -> (bool, bool) {
        let default = self.strategy.default_propagation();
        if default == DefaultPropagation::Unsupported {
            return (false, false);
        }
        if let Some(orphan) = options.orphan_dependents {
            return (orphan, false);
        }
        match options.propagation_policy.as_deref() {
            Some("Orphan") => return (true, false),
            Some("Background") => return (false, false),
            Some("Foreground") => return (false, true),
            _ => {}
        }
        match has.iter().find(|f| matches!(**f, ORPHAN | FOREGROUND)) {
            Some(&ORPHAN) => (true, false),
            Some(_) => (false, true),
            None => (default == DefaultPropagation::Orphan || self.resource.orphans_by_default, false),
        }
    }

    /// Marks an object as being deleted.
    async fn mark(&self, deletion: Deletion<'_>, key: &str, preconditions: &Preconditions) -> Result<Marked, ApiError> {
        let cx = deletion.cx;
        let mut change = Marking { store: self, deletion, pending: false, grace: 0 };
        let written = self.guaranteed_update(cx, self.about(cx, &cx.name), key, preconditions, &mut change).await;
        match written {
            Ok(object) if change.pending || change.grace > 0 => Ok(Marked::Waiting(Box::new(object))),
            Ok(object) => Ok(Marked::DeleteNow(Some(Box::new(object)))),
            Err(Stop::DeleteNow) => Ok(Marked::DeleteNow(None)),
            Err(Stop::AlreadyDeleting | Stop::Finalized(_)) => Ok(Marked::AlreadyDeleting),
            Err(Stop::Error(e)) => Err(e),
        }
    }

    /// Removes the key. `target` is what is believed to be there.
    async fn remove(
        &self,
        cx: &RequestContext,
        name: &str,
        preconditions: &Preconditions,
        guard: Option<&dyn Guard>,
        target: Option<Target>,
    ) -> Result<Value, ApiError> {
        let about = self.about(cx, name);
        let key = self.key(&cx.namespace, name);
        let full_key = self.full_key(&key);
        let mut target = match target {
            Some(target) => Some(target),
            None => self.target(self.fetch(&key).await.map_err(|e| about.error(e))?)?,
        };
        for _ in 0..MAX_ROUNDS {
            let Some(Target { object, revision, only_this }) = target else { return Err(about.not_found()) };
            preconditions.check(&full_key, &object).map_err(|e| about.error(e))?;
            if let Some(guard) = guard {
                guard.on_delete(&object).await?;
            }
            if cx.dry_run {
                return Ok(object);
            }
            match self.etcd.delete(&full_key, revision).await.map_err(|e| about.error(e))? {
                Written::Done(revision) => return Ok(with_revision(object, revision)),
                Written::Stale(_) if only_this => return Err(about.stale()),
                Written::Stale(now) => {
                    let now = now.map(|kv| self.existing(&kv)).transpose().map_err(|e| about.error(e))?;
                    target = self.target(now)?;
                }
            }
        }
        Err(about.stale())
    }

    fn target(&self, existing: Option<Existing>) -> Result<Option<Target>, ApiError> {
        let Some(Existing { raw, revision }) = existing else { return Ok(None) };
        Ok(Some(Target { object: self.object(&raw)?, revision, only_this: false }))
    }

    /// Deletes all objects that a list finds; returns that list.
    ///
    /// # Errors
    /// The first error of a deletion; the others go on.
    pub async fn delete_collection(
        &self,
        state: &AppState,
        cx: &RequestContext,
        list: &ListOptions,
        options: &DeleteOptions,
        guard: &dyn Guard,
    ) -> Result<List, ApiError> {
        let found = self.list(self.about(cx, ""), &cx.namespace, list).await?;
        let targets = found.entries.clone();
        let mut results = futures::stream::iter(targets)
            .map(|entry| async move {
                let (namespace, name) = (entry.namespace().to_owned(), entry.name().to_owned());
                let cx = RequestContext { namespace, name, ..cx.clone() };
                let deletion = Deletion { state, cx: &cx, options, guard };
                let listed = Existing { raw: entry.raw.clone(), revision: entry.rv.cast_signed() };
                let mut deleted = self.delete_known(deletion, Some(listed)).await;
                if deleted.as_ref().is_err_and(ApiError::is_conflict) {
                    // it changed since it was listed: what holds now is looked at
                    deleted = self.delete_known(deletion, None).await;
                }
                match deleted {
                    Err(e) if !e.is_not_found() => Err(e),
                    _ => Ok(()),
                }
            })
            .buffer_unordered(COLLECTION_WORKERS);
        while let Some(result) = results.next().await {
            result?;
        }
        drop(results);
        Ok(found)
    }
}

/// What is to be removed.
struct Target {
    object: Value,
    revision: i64,
    /// If something else is there by now, that is not removed.
    only_this: bool,
}

enum Marked {
    /// Somebody else finishes the deletion.
    Waiting(Box<Value>),
    /// Nothing holds it; the object if it was written once more.
    DeleteNow(Option<Box<Value>>),
    /// It was marked before.
    AlreadyDeleting,
}

struct Marking<'a> {
    store: &'a Store,
    deletion: Deletion<'a>,
    pending: bool,
    grace: i64,
}

#[async_trait]
impl Change for Marking<'_> {
    async fn change(&mut self, old: &Value) -> Result<Value, Stop> {
        let Deletion { cx, options, guard, .. } = self.deletion;
        if old.is_null() {
            return Err(self.store.about(cx, &cx.name).not_found().into());
        }
        guard.on_delete(old).await?;
        let mut object = old.clone();
        let grace = self.store.before_delete(cx, &mut object, options)?;
        if grace == Grace::Pending {
            return Err(Stop::AlreadyDeleting);
        }
        self.store.set_propagation_finalizers(&mut object, options);
        self.pending = !finalizers(&object).is_empty();
        match grace {
            Grace::Marked(seconds) => self.grace = seconds,
            _ if self.pending => mark_as_deleting(&mut object, cx.now),
            _ => return Err(Stop::DeleteNow),
        }
        Ok(object)
    }
}

fn mark_as_deleting(object: &mut Value, now: Timestamp) {
    let meta = object.field_mut("metadata");
    let before = timestamp(meta.get("deletionTimestamp"));
    let generation = meta.get("generation").as_i64().unwrap_or(0);
    if before.is_none() && generation > 0 {
        meta.set("generation", generation + 1);
    }
    if before.is_none_or(|t| t > now) {
        meta.set("deletionTimestamp", time_text(now));
    }
    meta.set("deletionGracePeriodSeconds", 0);
}

fn finalizers(object: &Value) -> Vec<&str> {
    object.path(&["metadata", "finalizers"]).items().iter().filter_map(Value::as_str).collect()
}

fn timestamp(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn time_text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
