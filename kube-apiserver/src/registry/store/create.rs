//! Create: name, system metadata, strategy, validation, admission, transaction.
//!
//! upstream: registry/generic/registry/store.go: Create; registry/rest/create.go: BeforeCreate

use apimachinery::field::Errors;
use apimachinery::status::ApiError;
use apimachinery::value::{Cursor, Value};
use apimachinery::{names, object_meta};
use bytes::Bytes;
use rand::Rng;

use super::{Guard, Store};
use crate::registry::admit::Admitted;
use crate::registry::validation::finalizer_names;

use crate::registry::strategy::RequestContext;
use crate::state::AppState;
use crate::storage::StorageError;

/// What the validation of a kind says of the metadata of a changed object, beside what is checked for all kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recheck {
    /// The change once more.
    Change,
    /// The metadata as that of a new object.
    Object,
    /// Nothing, or at a place of its own.
    Nothing,
}

/// Attempts with a new random name each.
const NAME_ATTEMPTS: usize = 8;
/// Characters of generated names: no vowels, nothing that looks alike.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
/// A generated name, without its suffix, is cut to this length.
const MAX_BASE: usize = 63 - SUFFIX;

/// A name made of a prefix and five random characters.
pub fn generate_name(prefix: &str) -> String {
    let mut end = prefix.len().min(MAX_BASE);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let mut rng = rand::rng();
    let suffix: String = (0..SUFFIX).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect();
    format!("{}{suffix}", &prefix[..end])
}

impl Store {
    /// Stores a new object, given in the hub version, and returns it as stored.
    ///
    /// # Errors
    /// Whatever the client did wrong; if etcd cannot be reached.
    pub async fn create(
        &self,
        state: &AppState,
        cx: &RequestContext,
        object: Value,
        guard: &dyn Guard,
    ) -> Result<Value, ApiError> {
        let meta = object.get("metadata");
        let generates =
            meta.get("name").str_or_empty().is_empty() && !meta.get("generateName").str_or_empty().is_empty();
        if !generates {
            return self.create_once(state, cx, object, guard).await;
        }
        let mut last = None;
        for _ in 0..NAME_ATTEMPTS {
            match self.create_once(state, cx, object.clone(), guard).await {
                Err(e) if e.is_already_exists() => last = Some(e),
                done => return done,
            }
        }
        Err(last.expect("at least one attempt failed"))
    }

    async fn create_once(
        &self,
        state: &AppState,
        cx: &RequestContext,
        mut object: Value,
        guard: &dyn Guard,
    ) -> Result<Value, ApiError> {
        self.init_metadata(cx, &mut object);
        let hooks = self.strategy.hooks();
        if let Some(hooks) = hooks {
            hooks.before_create(state, cx, &mut object).await?;
        }
        let stored = match self.before_create(cx, &mut object) {
            Ok(()) => match guard.on_create(&object).await {
                Ok(()) => self.insert(cx, Admitted::new(object.clone())).await,
                Err(e) => Err(e),
            },
            Err(e) => Err(e),
        };
        if let Some(hooks) = hooks {
            hooks.after_create(state, cx, stored.as_ref().unwrap_or(&object), stored.is_ok()).await;
        }
        stored
    }

    /// uid, creationTimestamp and a generated name.
    pub(super) fn init_metadata(&self, cx: &RequestContext, object: &mut Value) {
        let meta = object.field_mut("metadata");
        meta.set("creationTimestamp", cx.now_text());
        meta.set("uid", uuid::Uuid::new_v4().to_string());
        let generate_name_from = meta.get("generateName").str_or_empty();
        if meta.get("name").str_or_empty().is_empty() && !generate_name_from.is_empty() {
            let name = generate_name(generate_name_from);
            meta.set("name", name);
        }
    }

    /// Strategy and validation of a new object.
    pub(super) fn before_create(&self, cx: &RequestContext, object: &mut Value) -> Result<(), ApiError> {
        ensure_namespace(&cx.namespace, self.resource.namespaced, object)?;
        self.strategy.prepare_create(cx, object);
        let mut errs = Errors::new();
        let root = Cursor::root(object);
        let meta = root.field("metadata");
        if !self.strategy.checks_metadata(cx) {
            object_meta::validate(meta, self.resource.namespaced, self.strategy.name_rule().rule(), &mut errs);
            self.check_finalizer_names(meta, &mut errs);
        }
        self.strategy.validate_create(cx, root, &mut errs);
        if errs.is_empty() {
            object_meta::validate(meta, self.resource.namespaced, names::path_segment_name, &mut errs);
        }
        cx.emptied.show_in(&mut errs);
        self.refuse(object, &errs)?;
        for warning in self.strategy.warnings_create(cx, root) {
            cx.warnings.add(warning);
        }
        self.strategy.canonicalize(object);
        Ok(())
    }

    /// How the validation of the kind looks at the metadata of a changed object.
    pub(super) fn recheck(&self, cx: &RequestContext) -> Recheck {
        let main = cx.subresource.is_empty();
        match (&*self.resource.group, &*self.resource.plural) {
            _ if self.strategy.checks_metadata(cx) => Recheck::Nothing,
            ("storage.k8s.io", "volumeattachments") => Recheck::Nothing,
            // these look at the new metadata, then at the change of it, in their own place
            ("rbac.authorization.k8s.io", _) if main => Recheck::Nothing,
            ("storage.k8s.io", "storageclasses" | "csistoragecapacities") if main => Recheck::Nothing,
            ("networking.k8s.io", "ipaddresses") | ("node.k8s.io", "runtimeclasses") => Recheck::Nothing,
            ("resource.k8s.io", "resourceclaims" | "resourceclaimtemplates" | "deviceclasses") if main => {
                Recheck::Nothing
            }
            ("admissionregistration.k8s.io" | "flowcontrol.apiserver.k8s.io", _) if !main => Recheck::Nothing,
            ("admissionregistration.k8s.io" | "flowcontrol.apiserver.k8s.io" | "discovery.k8s.io", _)
            | ("storage.k8s.io", "csinodes") => Recheck::Object,
            _ => Recheck::Change,
        }
    }

    /// See [`finalizer_names`]; these groups do not ask for it.
    pub(super) fn check_finalizer_names(&self, meta: Cursor<'_>, errs: &mut Errors) {
        let exempt = matches!(
            &*self.resource.group,
            "admissionregistration.k8s.io"
                | "apiextensions.k8s.io"
                | "apiregistration.k8s.io"
                | "coordination.k8s.io"
                | "node.k8s.io"
        );
        if self.resource.info.is_some() && !exempt {
            finalizer_names(meta, errs);
        }
    }

    /// 422 if there are errors.
    pub(super) fn refuse(&self, object: &Value, errs: &Errors) -> Result<(), ApiError> {
        if errs.is_empty() {
            return Ok(());
        }
        let name = object.path(&["metadata", "name"]).str_or_empty();
        Err(ApiError::invalid(&self.resource.group, &self.resource.kind, name, errs))
    }

    async fn insert(&self, cx: &RequestContext, object: Admitted<Value>) -> Result<Value, ApiError> {
        let mut object = object.into_inner();
        if !cx.dry_run {
            // a rehearsal does not come as far as storage, which is what looks at it, if it is a number
            let revision = object.remove_path(&["metadata", "resourceVersion"]).unwrap_or_default();
            if revision.str_or_empty().parse::<u64>().is_ok_and(|revision| revision != 0) {
                return Err(ApiError::new(
                    500,
                    "".into(),
                    "resourceVersion should not be set on objects to be created",
                ));
            }
        }
        let name = object.path(&["metadata", "name"]).str_or_empty().to_owned();
        let key = self.key(&cx.namespace, &name);
        let written = if cx.dry_run {
            match self.fetch(&key).await {
                Ok(None) => Ok(None),
                Ok(Some(_)) => Err(StorageError::Exists { key: key.clone() }),
                Err(e) => Err(e),
            }
        } else {
            self.write_new(cx, &key, &object).await.map(Some)
        };
        match written {
            Ok(Some(raw)) => self.object(&raw),
            Ok(None) => Ok(self.rehearsed(object)),
            Err(StorageError::Exists { .. }) => Err(self.exists(cx, &key, &object).await),
            Err(e) => Err(self.about(cx, &name).error(e)),
        }
    }

    /// Writes the key; returns the object as it was written, which knows no empty lists.
    async fn write_new(&self, cx: &RequestContext, key: &str, object: &Value) -> Result<Bytes, StorageError> {
        let lease = self.lease(cx).await?;
        let data = self.stored.encode(object);
        let full_key = self.full_key(key);
        let revision = match self.etcd.create(&full_key, data.clone(), lease).await {
            Err(StorageError::LeaseGone) => {
                self.leases.forget(lease).await;
                self.etcd.create(&full_key, data.clone(), self.lease(cx).await?).await?
            }
            written => written?,
        };
        self.as_written(&full_key, &data, revision)
    }

    /// 409, with a hint if the object that is in the way is going.
    async fn exists(&self, cx: &RequestContext, key: &str, object: &Value) -> ApiError {
        let meta = object.get("metadata");
        let name = meta.get("name").str_or_empty();
        let mut error = if meta.get("generateName").str_or_empty().is_empty() {
            ApiError::already_exists(&cx.group, &self.resource.plural, name)
        } else {
            ApiError::generate_name_conflict(&cx.group, &self.resource.plural, name, 1)
        };
        if let Ok(Some(existing)) = self.fetch(key).await
            && let Ok(existing) = self.object(&existing.raw)
            && !existing.path(&["metadata", "deletionTimestamp"]).is_null()
        {
            let message = format!("object is being deleted: {}", error.message());
            *error.message_mut() = message;
        }
        error
    }
}

/// Sets the namespace of the request on the object, or refuses another one.
///
/// # Errors
/// 400 if the object names another namespace.
pub fn ensure_namespace(requested: &str, namespaced: bool, object: &mut Value) -> Result<(), ApiError> {
    let requested = if namespaced { requested } else { "" };
    let has = object.path(&["metadata", "namespace"]).str_or_empty();
    if has == requested {
        return Ok(());
    }
    if has.is_empty() {
        object.set_path(&["metadata", "namespace"], requested.into());
        return Ok(());
    }
    if requested.is_empty() {
        object.remove_path(&["metadata", "namespace"]);
        return Ok(());
    }
    Err(ApiError::bad_request("the namespace of the provided object does not match the namespace sent on the request"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names() {
        let name = generate_name("web-");
        assert!(name.starts_with("web-") && name.len() == 9);
        assert!(name[4..].bytes().all(|b| ALPHABET.contains(&b)));
        assert_eq!(generate_name(&"x".repeat(100)).len(), 63);
    }
}
