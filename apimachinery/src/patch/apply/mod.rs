//! Server-side apply: who manages which fields of an object, on every write; and the merge of what a manager applies. Pure:
//! the time is an argument. Corresponds to upstream's apimachinery/pkg/util/managedfields and structured-merge-diff.
//!
//! Objects come and go in normal form; inside they are trees in the form of their JSON, because an empty struct that JSON
//! shows is a field that somebody can own.

mod conflict;
mod encoding;
mod last_applied;
mod managers;
mod pair;
mod scale;
mod schema;
mod set;
mod unowned;
mod updater;
mod walk;

pub use encoding::FieldsError;
pub use scale::ScaleFields;
pub use set::{FieldPath, FieldSet, Filter, PathElement, Step};
pub use unowned::{UnownedError, merge_unowned};
pub use updater::Convert;

use crate::codec::json::{self, DecodeOptions};
use crate::schema::Type;
use crate::status::{ApiError, Reason};
use crate::value::Value;
use managers::{ManagerId, Managers, Operation};
use schema::Node;
use updater::{Conflict, Updater};

/// The manager that owns what was there before the first apply.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The manager whose applies keep the annotation of client-side apply up to date.
const KUBECTL: &str = "kubectl";
const FIELD_MANAGER_MAX: usize = 128;

/// What a write is about.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    /// The type of the object in the request's version.
    pub ty: &'a Type,
    /// The request's version, `apps/v1`.
    pub api_version: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// The subresource, or "".
    pub subresource: &'a str,
    /// What the request may own.
    pub filter: Option<&'a Filter>,
    /// Now: RFC 3339, in UTC, whole seconds.
    pub now: &'a str,
    /// For groups whose versions differ.
    pub convert: Option<Convert<'a>>,
}

/// The name of the manager of a request: what it says, or what its user agent begins with.
pub fn manager_or_user_agent(manager: &str, user_agent: &str) -> String {
    if !manager.is_empty() {
        return manager.to_owned();
    }
    let mut out = String::new();
    for c in user_agent.split('/').next().unwrap_or("").chars().filter(|c| crate::quote::is_printable(*c)) {
        if out.len() + c.len_utf8() > FIELD_MANAGER_MAX {
            break;
        }
        out.push(c);
    }
    out
}

/// Writes the managed fields of `new`, which is to replace `live` (null if it is new). What goes wrong leaves it without any.
///
/// Upstream does this after decoding and defaulting, and before admission and the strategy's preparation: what those set has no
/// manager.
pub fn update(write: &Write<'_>, live: &Value, new: &mut Value, manager: &str) {
    let mut managers = managers_of_request(write, live, new);
    let sent = new.path_mut(&["metadata"]).and_then(|m| m.remove("managedFields"));
    let untracked = managers.is_empty() && !live.path(&["metadata", "uid"]).str_or_empty().is_empty();
    if untracked {
        drop(sent);
        return;
    }
    let (live_tree, new_tree) = (write.tree(live), write.tree(new));
    let fits =
        walk::validate(&live_tree, write.node(), true).and_then(|()| walk::validate(&new_tree, write.node(), true));
    if fits.is_ok() {
        write.track_update(&live_tree, &new_tree, &mut managers, manager);
        put_managers(new, &managers);
    }
}

/// The managers that a request starts from: those it sends, unless it sends none that can be read.
fn managers_of_request(write: &Write<'_>, live: &Value, new: &Value) -> Managers {
    let of_live = || managers::decode(live.path(&["metadata", "managedFields"])).unwrap_or_default();
    if !write.subresource.is_empty() {
        return of_live();
    }
    let sent = new.path(&["metadata", "managedFields"]);
    let resets = match sent {
        Value::List(entries) => {
            entries.is_empty()
                || (entries.len() == 1 && entries[0].as_map().is_none_or(|m| m.iter().all(|(_, v)| v.is_zero())))
        }
        _ => false,
    };
    if resets {
        return Managers::new();
    }
    match managers::decode(sent) {
        Ok(managers) if !managers.is_empty() => managers,
        _ => of_live(),
    }
}

fn put_managers(object: &mut Value, managers: &Managers) {
    match managers::encode(managers) {
        Some(entries) => object.set_path(&["metadata", "managedFields"], entries),
        None => {
            object.remove_path(&["metadata", "managedFields"]);
        }
    }
}

/// Merges `config`, a tree as it was sent, into `live` (null if it is new), and writes the managed fields. The result is in
/// normal form, without defaults.
///
/// # Errors
/// 409 if somebody else owns what is applied and `force` is false; 400 if the configuration is of another type; else as
/// upstream.
pub fn apply(write: &Write<'_>, live: &Value, config: &Value, manager: &str, force: bool) -> Result<Value, ApiError> {
    write.check_config(config)?;
    let mut managers = managers::decode(live.path(&["metadata", "managedFields"]))
        .map_err(|e| plain(format!("failed to decode managed fields: {e}")))?;
    let live_tree = write.tree(live);
    if managers.is_empty() {
        walk::validate(&live_tree, write.node(), true).map_err(|e| {
            plain(format!(
                "failed to create manager for existing fields: failed to convert new object ({}) to smd typed: {e}",
                write.describe(&live_tree)
            ))
        })?;
        let nothing = write.tree(&Value::Null);
        write.track_update(&nothing, &live_tree, &mut managers, BEFORE_FIRST_APPLY);
    }
    walk::validate(config, write.node(), false)
        .map_err(|e| plain(format!("failed to create typed patch object ({}): {e}", write.describe(config))))?;
    walk::validate(&live_tree, write.node(), true)
        .map_err(|e| plain(format!("failed to create typed live object ({}): {e}", write.describe(&live_tree))))?;
    let merged = write.merge(&live_tree, config, &mut managers, manager, force)?;
    let mut object = match merged {
        Some(tree) => write.normal(&tree, config)?,
        None => {
            let mut object = write.normal(&live_tree, config)?;
            object.remove_path(&["metadata", "managedFields"]);
            object
        }
    };
    if manager == KUBECTL {
        last_applied::refresh(&mut object, config);
    }
    put_managers(&mut object, &managers);
    Ok(object)
}

/// An error that upstream answers with a bare 500.
fn plain(message: String) -> ApiError {
    ApiError::new(500, Reason::Unknown, message)
}

impl<'a> Write<'a> {
    fn node(&self) -> Node<'a> {
        Node::Type(self.ty)
    }

    fn updater(&self) -> Updater<'a> {
        Updater { node: self.node(), api_version: self.api_version, filter: self.filter, convert: self.convert }
    }

    /// The object in the form of its JSON, without managed fields; for null that of an empty object.
    fn tree(&self, object: &Value) -> Value {
        let mut object = if object.is_null() { Value::map() } else { object.clone() };
        object.remove_path(&["metadata", "managedFields"]);
        object.set("apiVersion", self.api_version);
        object.set("kind", self.kind);
        let mut text = Vec::new();
        json::encode(&object, self.ty, &mut text);
        json::decode_untyped(&text).unwrap_or_default()
    }

    fn normal(&self, tree: &Value, config: &Value) -> Result<Value, ApiError> {
        if self.ty.extra.unstructured {
            // only the metadata has a form; whether the rest fits the schema is for the validation to say
            let bare: Value = [("metadata", tree.get("metadata").clone())].into();
            let mut object = tree.clone();
            object.set("metadata", self.decoded(&bare, config)?.get("metadata").clone());
            return Ok(object);
        }
        self.decoded(tree, config)
    }

    fn decoded(&self, tree: &Value, config: &Value) -> Result<Value, ApiError> {
        let mut text = Vec::new();
        json::encode_untyped(tree, &mut text);
        let decoded = json::decode(&text, self.ty, &DecodeOptions::default());
        decoded.map(|d| d.value).map_err(|e| {
            plain(format!(
                "failed to convert new object ({}) to proper version: unable to convert unstructured object to {}: {e}",
                self.describe(config),
                gvk_text(self.api_version, self.kind)
            ))
        })
    }

    /// `namespace/name; group/version, Kind=kind`.
    fn describe(&self, object: &Value) -> String {
        let meta = object.get("metadata");
        let (namespace, name) = (meta.get("namespace").str_or_empty(), meta.get("name").str_or_empty());
        format!("{namespace}/{name}; {}", gvk_text(self.api_version, self.kind))
    }

    fn check_config(&self, config: &Value) -> Result<(), ApiError> {
        let (api_version, kind) = (config.get("apiVersion").str_or_empty(), config.get("kind").str_or_empty());
        if (api_version, kind) != (self.api_version, self.kind) {
            return Err(ApiError::bad_request(format!("invalid object type: {}", gvk_text(api_version, kind))));
        }
        let managed = config.path(&["metadata", "managedFields"]);
        if matches!(managed, Value::List(_)) {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        Ok(())
    }

    fn id(&self, manager: &str, operation: Operation) -> ManagerId {
        let name = if manager.is_empty() { "unknown" } else { manager };
        ManagerId::new(name, operation, self.api_version, self.subresource)
    }

    fn track_update(&self, live: &Value, new: &Value, managers: &mut Managers, manager: &str) {
        let current = updater::current_operation(self.api_version);
        self.updater().update(live, new, managers, &current);
        updater::strip(managers, &current.key());
        if let Some(mut owned) = managers.remove(&current.key()) {
            let id = self.id(manager, Operation::Update);
            let key = id.key();
            if let Some(before) = managers.get(&key) {
                owned.set = owned.set.union(&before.set);
            }
            owned.id = id;
            self.now.clone_into(&mut owned.time);
            managers.insert(key, owned);
        }
        managers::cap(managers);
    }

    fn merge(
        &self,
        live: &Value,
        config: &Value,
        managers: &mut Managers,
        manager: &str,
        force: bool,
    ) -> Result<Option<Value>, ApiError> {
        let id = self.id(manager, Operation::Apply);
        let before = managers.clone();
        let mut merged = self.updater().apply(live, config, managers, &id, force);
        if let Err(conflicts) = &mut merged
            && manager == KUBECTL
            && let Some(allowed) = last_applied::allowed_conflicts(live, self.api_version, self.node())
        {
            conflicts.retain(|c| !allowed.has(&c.path));
            if conflicts.is_empty() {
                managers.clone_from(&before);
                merged = self.updater().apply(live, config, managers, &id, true);
            }
        }
        let merged = merged.map_err(|conflicts: Vec<Conflict>| conflict::error(&conflicts))?;
        updater::strip(managers, &id.key());
        if merged.is_some()
            && let Some(owned) = managers.get_mut(&id.key())
        {
            self.now.clone_into(&mut owned.time);
        }
        Ok(merged)
    }
}

/// `group/version, Kind=kind`; the core group is written as nothing, but its slash stays.
fn gvk_text(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    format!("{group}/{version}, Kind={kind}")
}

/// Takes back changed timestamps if nothing else changed from `old` to `new`, so that nothing is written.
pub fn keep_timestamps_if_unchanged(new: &mut Value, old: &Value) {
    let path = ["metadata", "managedFields"];
    let (before, after) = (old.path(&path).items(), new.path(&path).items());
    let time = |e: &Value| e.get("time").clone();
    let same_but_time = |a: &Value, b: &Value| {
        let (mut a, mut b) = (a.clone(), b.clone());
        a.remove("time");
        b.remove("time");
        a == b
    };
    let pairs = || before.iter().zip(after);
    if before.is_empty()
        || before.len() != after.len()
        || pairs().all(|(a, b)| time(a) == time(b))
        || !pairs().all(|(a, b)| same_but_time(a, b))
    {
        return;
    }
    let (mut bare_new, mut bare_old) = (new.clone(), old.clone());
    bare_new.remove_path(&path);
    bare_old.remove_path(&path);
    if bare_new == bare_old {
        new.set_path(&path, old.path(&path).clone());
    }
}

#[cfg(test)]
mod tests;
