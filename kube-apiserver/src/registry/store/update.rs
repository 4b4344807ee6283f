//! Update: optimistic lock, strategy, validation, admission, transaction; also create-on-update.
//!
//! upstream: registry/generic/registry/store.go: Update; registry/rest/update.go: BeforeUpdate

use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::status::ApiError;
use apimachinery::value::{Cursor, Value};
use apimachinery::{names, object_meta};
use async_trait::async_trait;

use super::create::{Recheck, ensure_namespace};
use super::{Change, Guard, Preconditions, Stop, Store};
use crate::registry::admit::Admitted;
use crate::registry::strategy::RequestContext;
use crate::state::AppState;

/// Makes the new object from the old one: a PUT's body, or a patch applied.
#[async_trait]
pub trait Updater: Send {
    /// UID that the old object must have.
    fn uid(&self) -> Option<String> {
        None
    }

    /// The new object in the hub version; `old` is null if there is none. Includes managed fields and mutating admission.
    ///
    /// # Errors
    /// What the client gets.
    async fn updated(&mut self, old: &Value) -> Result<Value, ApiError>;
}

struct Updating<'a> {
    store: &'a Store,
    state: &'a AppState,
    cx: &'a RequestContext,
    name: &'a str,
    updater: &'a mut dyn Updater,
    guard: &'a dyn Guard,
    force_create: bool,
    created: bool,
    /// What the hooks saw last: new object and old object.
    hooked: Option<(Value, Value)>,
}

#[async_trait]
impl Change for Updating<'_> {
    async fn change(&mut self, old: &Value) -> Result<Value, Stop> {
        let store = self.store;
        let creating = old.is_null();
        let may_create = store.strategy.allow_create_on_update() || store.resource.create_on_update;
        if creating && !may_create && !self.force_create {
            return Err(store.about(self.cx, self.name).not_found().into());
        }
        let mut object = self.updater.updated(old).await?;
        self.created = creating;
        if creating {
            store.init_metadata(self.cx, &mut object);
            object.remove_path(&["metadata", "resourceVersion"]);
            if let Some(hooks) = store.strategy.hooks() {
                hooks.before_create(self.state, self.cx, &mut object).await?;
                self.hooked = Some((object.clone(), Value::Null));
            }
            store.before_create(self.cx, &mut object)?;
            self.guard.on_create(&object).await?;
            return Ok(Admitted::new(object).into_inner());
        }
        store.check_revision(self.cx, self.name, &mut object, old)?;
        if let Some(hooks) = store.strategy.hooks() {
            hooks.before_update(self.state, self.cx, &mut object, old).await?;
            self.hooked = Some((object.clone(), old.clone()));
        }
        store.before_update(self.cx, &mut object, old)?;
        keep_times_of_unchanged(&mut object, old);
        self.guard.on_update(&object, old).await?;
        if finalized(&object, old) {
            return Err(Stop::Finalized(Box::new(object)));
        }
        Ok(Admitted::new(object).into_inner())
    }
}

impl Store {
    /// Changes an object; true if it was created.
    ///
    /// # Errors
    /// Whatever the client did wrong; if etcd cannot be reached.
    pub async fn update(
        &self,
        state: &AppState,
        cx: &RequestContext,
        name: &str,
        updater: &mut dyn Updater,
        guard: &dyn Guard,
        force_create: bool,
    ) -> Result<(Value, bool), ApiError> {
        let key = self.key(&cx.namespace, name);
        let about = self.about(cx, name);
        let preconditions = Preconditions { uid: updater.uid(), resource_version: None };
        let mut change =
            Updating { store: self, state, cx, name, updater, guard, force_create, created: false, hooked: None };
        let written = self.guaranteed_update(cx, about, &key, &preconditions, &mut change).await;
        let (created, hooked) = (change.created, change.hooked.take());
        let stored = !matches!(written, Err(Stop::Error(_)));
        if let (Some(hooks), Some((object, old))) = (self.strategy.hooks(), hooked) {
            if old.is_null() {
                hooks.after_create(state, cx, &object, stored).await;
            } else {
                hooks.after_update(state, cx, &object, &old, stored).await;
            }
        }
        match written {
            Ok(object) => Ok((object, created)),
            Err(Stop::Finalized(object)) => {
                self.delete_finalized(state, cx, name, &preconditions).await?;
                Ok((*object, false))
            }
            Err(Stop::Error(e)) => Err(e),
            Err(Stop::DeleteNow | Stop::AlreadyDeleting) => Err(about.stale()),
        }
    }

    /// The optimistic lock.
    fn check_revision(&self, cx: &RequestContext, name: &str, object: &mut Value, old: &Value) -> Result<(), ApiError> {
        let current = old.path(&["metadata", "resourceVersion"]).str_or_empty();
        let wanted = object.path(&["metadata", "resourceVersion"]).str_or_empty();
        let wanted = if wanted == "0" { "" } else { wanted };
        if wanted.is_empty() && self.strategy.allow_unconditional_update() && self.resource.unconditional_update {
            let current = current.to_owned();
            object.set_path(&["metadata", "resourceVersion"], current.into());
            return Ok(());
        }
        if wanted.is_empty() {
            let mut errs = Errors::new();
            let path = Path::root("metadata").child("resourceVersion");
            errs.invalid(path, BadValue::Literal("0".to_owned()), "must be specified for an update");
            return Err(ApiError::invalid(&cx.group, &self.resource.plural, name, &errs));
        }
        if wanted.parse::<u64>().is_err() {
            let why = format!("strconv.ParseUint: parsing {wanted:?}: invalid syntax");
            return Err(ApiError::new(500, "".into(), why));
        }
        if wanted == current { Ok(()) } else { Err(self.about(cx, name).stale()) }
    }

    /// Strategy and validation of a changed object.
    fn before_update(&self, cx: &RequestContext, object: &mut Value, old: &Value) -> Result<(), ApiError> {
        ensure_namespace(&cx.namespace, self.resource.namespaced, object)?;
        let (meta, old_meta) = (object.field_mut("metadata"), old.get("metadata"));
        copy(meta, old_meta, "generation");
        match cx.subresource.as_str() {
            "" => self.strategy.prepare_update(cx, object, old),
            "status" => self.strategy.prepare_status_update(cx, object, old),
            sub => self.strategy.prepare_subresource_update(sub, cx, object, old),
        }
        let meta = object.field_mut("metadata");
        if meta.get("uid").str_or_empty().is_empty() {
            copy(meta, old_meta, "uid");
        }
        if !old_meta.get("creationTimestamp").is_null() {
            copy(meta, old_meta, "creationTimestamp");
        }
        if !old_meta.get("deletionTimestamp").is_null() {
            copy(meta, old_meta, "deletionTimestamp");
        }
        if !old_meta.get("deletionGracePeriodSeconds").is_null() && meta.get("deletionGracePeriodSeconds").is_null() {
            copy(meta, old_meta, "deletionGracePeriodSeconds");
        }
        let mut errs = Errors::new();
        let (root, old_root) = (Cursor::root(object), Cursor::root(old));
        let meta = root.field("metadata");
        object_meta::validate(meta, self.resource.namespaced, names::path_segment_name, &mut errs);
        object_meta::validate_update(meta, old_root.field("metadata"), &mut errs);
        // once for all kinds, and once more by the validation of the kind, as upstream reports it
        match self.recheck(cx) {
            Recheck::Change => {
                object_meta::validate_update(meta, old_root.field("metadata"), &mut errs);
                self.check_finalizer_names(meta, &mut errs);
            }
            Recheck::Object => {
                object_meta::validate(meta, self.resource.namespaced, self.strategy.name_rule().rule(), &mut errs);
                self.check_finalizer_names(meta, &mut errs);
            }
            Recheck::Nothing => {}
        }
        match cx.subresource.as_str() {
            "" => self.strategy.validate_update(cx, root, old_root, &mut errs),
            "status" => self.strategy.validate_status_update(cx, root, old_root, &mut errs),
            sub => self.strategy.validate_subresource_update(sub, cx, root, old_root, &mut errs),
        }
        cx.emptied.show_in(&mut errs);
        self.refuse(object, &errs)?;
        if cx.subresource.is_empty() {
            for warning in self.strategy.warnings_update(cx, root, old_root) {
                cx.warnings.add(warning);
            }
        }
        self.strategy.canonicalize(object);
        Ok(())
    }
}

fn copy(to: &mut Value, from: &Value, field: &str) {
    match from.get(field) {
        Value::Null => drop(to.remove(field)),
        value => to.set(field, value.clone()),
    }
}

/// The last finalizer is gone and nothing else holds the object.
fn finalized(object: &Value, old: &Value) -> bool {
    let old = old.get("metadata");
    object.path(&["metadata", "finalizers"]).items().is_empty()
        && !old.get("deletionTimestamp").is_null()
        && old.get("deletionGracePeriodSeconds").as_i64().unwrap_or(0) == 0
        // only namespaces have these
        && object.path(&["spec", "finalizers"]).items().is_empty()
}

/// A change of nothing but the times in managedFields is no change.
/// upstream: endpoints/handlers/fieldmanager/equality.go: IgnoreManagedFieldsTimestampsTransformer
fn keep_times_of_unchanged(object: &mut Value, old: &Value) {
    let fields = object.path(&["metadata", "managedFields"]).items();
    let old_fields = old.path(&["metadata", "managedFields"]).items();
    if fields.is_empty() || fields.len() != old_fields.len() {
        return;
    }
    let same_but_time = fields.iter().zip(old_fields).all(|(a, b)| {
        ["manager", "operation", "apiVersion", "fieldsType", "fieldsV1", "subresource"]
            .iter()
            .all(|f| a.get(f) == b.get(f))
    });
    if !same_but_time {
        return;
    }
    let mut candidate = object.clone();
    candidate.set_path(&["metadata", "managedFields"], Value::List(old_fields.to_vec()));
    if candidate == *old {
        *object = candidate;
    }
}
