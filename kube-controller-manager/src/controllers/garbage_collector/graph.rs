//! Pure: the graph of owners and dependents, kept from metadata events.
//!
//! An owner that is only known from references is virtual until its own event arrives or it is found to be absent.
//! Upstream: pkg/controller/garbagecollector/{graph.go,graph_builder.go}.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub(super) const ORPHAN: &str = "orphan";
pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) api_version: String,
    pub(super) kind: String,
    /// Empty for cluster-scoped objects.
    pub(super) namespace: String,
    pub(super) name: String,
}

/// One object.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) identity: Identity,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) dependents: BTreeSet<String>,
    pub(super) is_virtual: bool,
    pub(super) is_deleting: bool,
    pub(super) finalizers: Vec<String>,
}

impl Node {
    pub(super) fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|known| known == finalizer)
    }

    /// In foreground deletion: waits for its dependents.
    pub(super) fn is_deleting_dependents(&self) -> bool {
        self.is_deleting && self.has(FOREGROUND)
    }

    fn is_orphaning(&self) -> bool {
        self.is_deleting && self.has(ORPHAN)
    }

    fn blocks(&self, owner: &str) -> bool {
        self.owners.iter().any(|reference| reference.uid == owner && reference.block_owner_deletion == Some(true))
    }
}

/// UIDs to look at after a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) delete: Vec<String>,
    pub(super) orphan: Vec<String>,
}

/// The graph.
#[derive(Default)]
pub(super) struct Graph {
    nodes: HashMap<String, Node>,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Dependents that keep their owner from going, with whether each waits for its own dependents.
    pub(super) fn blocking_dependents(&self, uid: &str) -> Vec<(String, bool)> {
        let Some(node) = self.nodes.get(uid) else { return Vec::new() };
        let known = node.dependents.iter().filter_map(|dependent| Some((dependent, self.nodes.get(dependent)?)));
        known
            .filter(|(_, node)| node.blocks(uid))
            .map(|(dependent, node)| (dependent.clone(), node.is_deleting_dependents()))
            .collect()
    }

    /// Dependents of an object.
    pub(super) fn dependents(&self, uid: &str) -> Vec<(String, Node)> {
        let Some(node) = self.nodes.get(uid) else { return Vec::new() };
        node.dependents
            .iter()
            .filter_map(|dependent| Some((dependent.clone(), self.nodes.get(dependent)?.clone())))
            .collect()
    }

    /// An object was seen.
    pub(super) fn observe(&mut self, identity: Identity, meta: &ObjectMeta) -> Work {
        let uid = meta.uid.clone().unwrap_or_default();
        let fresh = Node {
            identity,
            owners: meta.owner_references.clone().unwrap_or_default(),
            dependents: BTreeSet::new(),
            is_virtual: false,
            is_deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
        };
        let mut work = Work::default();
        let old = self.nodes.remove(&uid);
        let mut node = fresh;
        let (was_orphaning, was_foreground, old_owners) = match old {
            Some(old) => {
                node.dependents = old.dependents.clone();
                (old.is_orphaning(), old.is_deleting_dependents(), old.owners)
            }
            None => (false, false, Vec::new()),
        };
        self.move_references(&uid, &node, &old_owners, &mut work);
        if node.is_orphaning() && !was_orphaning {
            work.orphan.push(uid.clone());
        }
        if node.is_deleting_dependents() && !was_foreground {
            work.delete.extend(node.dependents.iter().cloned());
            work.delete.push(uid.clone());
        }
        self.nodes.insert(uid, node);
        work
    }

    fn move_references(&mut self, uid: &str, node: &Node, old: &[OwnerReference], work: &mut Work) {
        for owner in &node.owners {
            if owner.uid == uid {
                continue;
            }
            if !self.nodes.contains_key(&owner.uid) {
                work.delete.push(owner.uid.clone());
                self.nodes.insert(owner.uid.clone(), virtual_node(owner, &node.identity.namespace));
            }
            if let Some(known) = self.nodes.get_mut(&owner.uid) {
                known.dependents.insert(uid.to_owned());
                // The owner went into foreground deletion before this dependent was known.
                if known.is_deleting_dependents() {
                    work.delete.push(uid.to_owned());
                }
            }
        }
        for gone in old {
            let kept = node.owners.iter().find(|owner| owner.uid == gone.uid);
            let unblocked = gone.block_owner_deletion == Some(true)
                && kept.is_none_or(|kept| kept.block_owner_deletion != Some(true));
            if kept.is_none() {
                self.drop_reference(&gone.uid, uid);
            }
            if unblocked && self.nodes.get(&gone.uid).is_some_and(Node::is_deleting_dependents) {
                work.delete.push(gone.uid.clone());
            }
        }
    }

    fn drop_reference(&mut self, owner: &str, dependent: &str) {
        let Some(node) = self.nodes.get_mut(owner) else { return };
        node.dependents.remove(dependent);
        if node.is_virtual && node.dependents.is_empty() {
            self.nodes.remove(owner);
        }
    }

    /// An object is gone.
    pub(super) fn forget(&mut self, uid: &str) -> Work {
        let mut work = Work::default();
        let Some(node) = self.nodes.remove(uid) else { return work };
        for owner in &node.owners {
            self.drop_reference(&owner.uid, uid);
            if self.nodes.get(&owner.uid).is_some_and(Node::is_deleting_dependents) {
                work.delete.push(owner.uid.clone());
            }
        }
        work.delete.extend(node.dependents);
        work
    }
}

fn virtual_node(owner: &OwnerReference, namespace: &str) -> Node {
    Node {
        identity: Identity {
            api_version: owner.api_version.clone(),
            kind: owner.kind.clone(),
            namespace: namespace.to_owned(),
            name: owner.name.clone(),
        },
        owners: Vec::new(),
        dependents: BTreeSet::new(),
        is_virtual: true,
        is_deleting: false,
        finalizers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn identity(name: &str) -> Identity {
        Identity { api_version: "v1".into(), kind: "K".into(), namespace: "ns".into(), name: name.into() }
    }

    fn meta(uid: &str, owners: &[(&str, bool)], finalizers: &[&str], deleting: bool) -> ObjectMeta {
        let reference = |(uid, blocks): &(&str, bool)| OwnerReference {
            api_version: "v1".into(),
            kind: "K".into(),
            name: (*uid).into(),
            uid: (*uid).into(),
            controller: None,
            block_owner_deletion: Some(*blocks),
        };
        ObjectMeta {
            uid: Some(uid.into()),
            name: Some(uid.into()),
            owner_references: Some(owners.iter().map(reference).collect()),
            finalizers: Some(finalizers.iter().map(|text| (*text).to_owned()).collect()),
            deletion_timestamp: deleting.then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn an_owner_known_by_reference_alone_is_checked() {
        let mut graph = Graph::default();
        let work = graph.observe(identity("pod"), &meta("pod", &[("set", true)], &[], false));
        assert_eq!(work.delete, ["set"]);
        assert!(graph.get("set").expect("virtual").is_virtual);
        // Found absent: its dependents are next.
        assert_eq!(graph.forget("set").delete, ["pod"]);
    }

    #[test]
    fn dependents_of_a_deleted_owner_are_next() {
        let mut graph = Graph::default();
        graph.observe(identity("set"), &meta("set", &[], &[], false));
        graph.observe(identity("pod"), &meta("pod", &[("set", true)], &[], false));
        assert_eq!(graph.forget("set").delete, ["pod"]);
    }

    #[test]
    fn foreground_deletion_waits_for_blocking_dependents() {
        let mut graph = Graph::default();
        graph.observe(identity("set"), &meta("set", &[], &[], false));
        graph.observe(identity("a"), &meta("a", &[("set", true)], &[], false));
        graph.observe(identity("b"), &meta("b", &[("set", false)], &[], false));
        let work = graph.observe(identity("set"), &meta("set", &[], &[FOREGROUND], true));
        assert_eq!(work.delete, ["a", "b", "set"]);
        assert_eq!(graph.blocking_dependents("set"), [("a".to_owned(), false)]);
        // Its last blocking dependent goes, so the owner is looked at again.
        assert_eq!(graph.forget("a").delete, ["set"]);
        assert!(graph.blocking_dependents("set").is_empty());
        // Unblocking has the same effect.
        graph.observe(identity("c"), &meta("c", &[("set", true)], &[], false));
        let work = graph.observe(identity("c"), &meta("c", &[("set", false)], &[], false));
        assert!(work.delete.contains(&"set".to_owned()));
    }

    #[test]
    fn orphaning_is_noticed_once() {
        let mut graph = Graph::default();
        graph.observe(identity("set"), &meta("set", &[], &[], false));
        let deleting = meta("set", &[], &[ORPHAN], true);
        assert_eq!(graph.observe(identity("set"), &deleting).orphan, ["set"]);
        assert_eq!(graph.observe(identity("set"), &deleting), Work::default());
    }
}
