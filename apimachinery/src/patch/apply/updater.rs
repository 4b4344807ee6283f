//! Who owns what after a write, and what an apply makes of the object. Works on trees in the form of their JSON. Corresponds to
//! structured-merge-diff's merge.Updater.

use super::managers::{ManagerId, Managers, Operation, Owned};
use super::pair::{self, Comparison};
use super::schema::Node;
use super::set::{FieldPath, FieldSet, Filter, equal};
use super::walk;
use crate::schema::TypeRef;
use crate::value::Value;

/// Turns a tree of the request's version into one of another version of the same group. Nothing if there is no such version.
pub type Convert<'a> = &'a dyn Fn(&Value, &str) -> Option<(Value, TypeRef)>;

/// What a write is about.
pub(super) struct Updater<'a> {
    pub(super) node: Node<'a>,
    pub(super) api_version: &'a str,
    pub(super) filter: Option<&'a Filter>,
    pub(super) convert: Option<Convert<'a>>,
}

/// A field that somebody else owns.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    pub(super) manager: ManagerId,
    pub(super) path: FieldPath,
}

impl Updater<'_> {
    fn filtered(&self, set: FieldSet) -> FieldSet {
        match self.filter {
            Some(filter) => filter.apply(&set),
            None => set,
        }
    }

    fn compare(&self, old: &Value, new: &Value, node: Node<'_>) -> Comparison {
        let found = pair::compare(old, new, node);
        Comparison {
            removed: self.filtered(found.removed),
            modified: self.filtered(found.modified),
            added: self.filtered(found.added),
        }
    }

    /// The comparison in the version that a manager's paths are of; nothing if there is no such version any more.
    fn compare_in(&self, version: &str, old: &Value, new: &Value, own: &Comparison) -> Option<Comparison> {
        if version == self.api_version {
            return Some(own.clone());
        }
        let convert = self.convert?;
        let ((old, ty), (new, _)) = (convert(old, version)?, convert(new, version)?);
        Some(self.compare(&old, &new, Node::Type(&ty)))
    }

    /// Sets of atomic fields that were granular when they were written.
    fn reconcile(&self, live: &Value, managers: &mut Managers) {
        managers.retain(|_, owned| {
            let changed = if owned.api_version == self.api_version {
                walk::reconcile(&owned.set, self.node)
            } else {
                let Some((_, ty)) = self.convert.and_then(|c| c(live, &owned.api_version)) else { return false };
                walk::reconcile(&owned.set, Node::Type(&ty))
            };
            owned.set = changed.unwrap_or_else(|| std::mem::take(&mut owned.set));
            true
        });
    }

    /// Takes from all managers but `writer` what the change takes away from them.
    fn take_from_others(
        &self,
        old: &Value,
        new: &Value,
        managers: &mut Managers,
        writer: &str,
        force: bool,
    ) -> Result<Comparison, Vec<Conflict>> {
        let own = self.compare(old, new, self.node);
        let mut conflicts = Vec::new();
        let mut gone = Vec::new();
        for (key, owned) in managers.iter().filter(|(key, _)| *key != writer) {
            let Some(found) = self.compare_in(&owned.api_version, old, new, &own) else {
                gone.push((key.clone(), None));
                continue;
            };
            let taken = owned.set.intersection(&found.modified.union(&found.added));
            taken.for_each(|path| conflicts.push(Conflict { manager: owned.id.clone(), path: path.to_vec() }));
            gone.push((key.clone(), Some(taken.union(&found.removed))));
        }
        if !force && !conflicts.is_empty() {
            return Err(conflicts);
        }
        for (key, taken) in gone {
            match (managers.get_mut(&key), taken) {
                (Some(owned), Some(taken)) => owned.set = owned.set.difference(&taken),
                _ => {
                    managers.remove(&key);
                }
            }
        }
        managers.retain(|_, owned| !owned.set.is_empty());
        Ok(own)
    }

    /// Gives `writer` what it changed from `old` to `new`.
    pub(super) fn update(&self, old: &Value, new: &Value, managers: &mut Managers, writer: &ManagerId) {
        self.reconcile(old, managers);
        let key = writer.key();
        let found = match self.take_from_others(old, new, managers, &key, true) {
            Ok(found) => found,
            Err(_) => return,
        };
        let before = managers.remove(&key);
        let set = before.as_ref().map(|o| o.set.clone()).unwrap_or_default();
        let set = set.difference(&found.removed).union(&found.modified).union(&found.added);
        let set = self.filtered(set);
        if !set.is_empty() {
            let time = before.map(|o| o.time).unwrap_or_default();
            managers.insert(key, Owned { id: writer.clone(), api_version: self.api_version.to_owned(), set, time });
        }
    }

    /// Merges `config` into `live` on behalf of `applier`. The new object, or nothing if it is the live one.
    pub(super) fn apply(
        &self,
        live: &Value,
        config: &Value,
        managers: &mut Managers,
        applier: &ManagerId,
        force: bool,
    ) -> Result<Option<Value>, Vec<Conflict>> {
        self.reconcile(live, managers);
        let merged = pair::merge(Some(live), Some(config), self.node).unwrap_or_default();
        let key = applier.key();
        let last = managers.remove(&key);
        let set = self.filtered(walk::field_set(config, self.node));
        let time = last.as_ref().map(|o| o.time.clone()).unwrap_or_default();
        let owned = Owned { id: applier.clone(), api_version: self.api_version.to_owned(), set, time };
        managers.insert(key.clone(), owned);
        let new = self.prune(merged, managers, last.as_ref());
        self.take_from_others(live, &new, managers, &key, force)?;
        Ok(if equal(live, &new) { None } else { Some(new) })
    }

    /// Takes away what the applier applied last time and now does not, if no other manager owns it.
    fn prune(&self, merged: Value, managers: &Managers, last: Option<&Owned>) -> Value {
        let Some(last) = last.filter(|l| !l.set.is_empty()) else { return merged };
        if last.api_version != self.api_version {
            // The paths are of another version: without a way back nothing is taken away, which upstream does too if it cannot convert.
            return merged;
        }
        let named = |set: &FieldSet| set.with_named_fields(self.node);
        let last_set = named(&last.set);
        let pruned = walk::remove(&merged, &last_set, self.node);
        let merged_set = named(&walk::field_set(&merged, self.node));
        let pruned_set = named(&walk::field_set(&pruned, self.node));
        let others = managers.values().filter(|o| o.api_version == self.api_version);
        let owned = others.fold(FieldSet::default(), |all, o| all.union(&o.set));
        let pruned = walk::remove(&merged, &merged_set.difference(&pruned_set.union(&named(&owned))), self.node);
        let pruned_set = named(&walk::field_set(&pruned, self.node));
        walk::remove(&merged, &merged_set.difference(&pruned_set).intersection(&last_set), self.node)
    }
}

/// What nobody owns because it is always the server's or the object's identity.
pub(super) fn strip(managers: &mut Managers, key: &str) {
    let strip = FieldSet::of(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ]);
    if let Some(owned) = managers.get_mut(key) {
        owned.set = owned.set.difference(&strip);
        if owned.set.is_empty() {
            managers.remove(key);
        }
    }
}

/// The manager under which an update is computed before it is known whether anything changed.
pub(super) fn current_operation(api_version: &str) -> ManagerId {
    ManagerId::new("current-operation", Operation::Update, api_version, "")
}
