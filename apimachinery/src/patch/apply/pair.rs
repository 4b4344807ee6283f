//! Walks over two values of a type: what differs, and what comes of merging one into the other.

use super::schema::{Kind, ListAtom, MapAtom, Node, element_of};
use super::set::{FieldPath, FieldSet, PathElement, equal};
use super::walk;
use crate::value::{Map, Value};

/// How two values differ. No path is in more than one of the sets.
#[derive(Clone, Debug, Default)]
pub(super) struct Comparison {
    pub(super) removed: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) added: FieldSet,
}

/// How `new` differs from `old`.
pub(super) fn compare(old: &Value, new: &Value, node: Node<'_>) -> Comparison {
    let mut out = Comparison::default();
    Comparing { path: Vec::new(), out: &mut out }.values(Some(old), Some(new), node);
    out
}

struct Comparing<'o> {
    path: FieldPath,
    out: &'o mut Comparison,
}

fn is_empty_list(value: Option<&Value>) -> bool {
    value.and_then(Value::as_list).is_none_or(<[Value]>::is_empty)
}

fn is_empty_map(value: Option<&Value>) -> bool {
    value.and_then(Value::as_map).is_none_or(Map::is_empty)
}

/// True if the pair is owned as a whole: an atomic, or empty on both sides, which keeps null and empty apart.
fn is_leaf(kind: &Kind<'_>, old: Option<&Value>, new: Option<&Value>) -> bool {
    match kind {
        Kind::Scalar(_) => true,
        Kind::List(list) => !list.associative || (is_empty_list(old) && is_empty_list(new)),
        Kind::Map(map) => map.atomic || (is_empty_map(old) && is_empty_map(new)),
    }
}

/// What to take the pair for: where the sides differ, both in turn.
fn kinds<'a>(old: Option<&Value>, new: Option<&Value>, node: Node<'a>) -> (Option<Kind<'a>>, Kind<'a>) {
    let atom = node.resolve();
    let (left, right) = (atom.deduce(old).kind(), atom.deduce(new).kind());
    match (old, new) {
        (_, None) => (None, left),
        (None, _) => (None, right),
        _ if left.same(&right) => (None, right),
        _ => (Some(left), right),
    }
}

impl Comparing<'_> {
    fn values(&mut self, old: Option<&Value>, new: Option<&Value>, node: Node<'_>) {
        let (first, second) = kinds(old, new, node);
        if let Some(kind) = first {
            self.kind(old, new, kind);
        }
        let leaf = self.kind(old, new, second);
        if !leaf {
            match (old, new) {
                (None, _) => self.out.added.insert(&self.path),
                (_, None) => self.out.removed.insert(&self.path),
                _ => {}
            }
        }
    }

    /// Compares; true if the pair is a leaf.
    fn kind(&mut self, old: Option<&Value>, new: Option<&Value>, kind: Kind<'_>) -> bool {
        if is_leaf(&kind, old, new) {
            self.leaf(old, new);
            return true;
        }
        match kind {
            Kind::List(list) => self.items(old, new, &list),
            Kind::Map(map) => self.entries(old, new, &map),
            Kind::Scalar(_) => {}
        }
        false
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let set = match (old, new) {
            (None, _) => &mut self.out.added,
            (_, None) => &mut self.out.removed,
            (Some(old), Some(new)) if !equal(old, new) => &mut self.out.modified,
            _ => return,
        };
        set.insert(&self.path);
    }

    fn entries(&mut self, old: Option<&Value>, new: Option<&Value>, map: &MapAtom<'_>) {
        for key in keys_of(old, new) {
            let Some(node) = map.member(key) else { continue };
            self.path.push(PathElement::field(key));
            self.values(entry(old, key), entry(new, key), node);
            self.path.pop();
        }
    }

    fn items(&mut self, old: Option<&Value>, new: Option<&Value>, list: &ListAtom<'_>) {
        let items = |v: Option<&'_ Value>| -> Vec<(PathElement, Vec<Value>)> {
            let found = walk::index(v.map_or(&[][..], Value::items), list);
            found.into_iter().map(|(e, vs)| (e, vs.into_iter().cloned().collect())).collect()
        };
        let (left, right) = (items(old), items(new));
        let find = |list: &[(PathElement, Vec<Value>)]| {
            list.iter().map(|(e, vs)| (e.clone(), vs.clone())).collect::<std::collections::BTreeMap<_, _>>()
        };
        let (by_left, by_right) = (find(&left), find(&right));
        let only_right = right.iter().filter(|(e, _)| !by_left.contains_key(e));
        for (element, _) in left.iter().chain(only_right) {
            let l = by_left.get(element).map_or(&[][..], Vec::as_slice);
            let r = by_right.get(element).map_or(&[][..], Vec::as_slice);
            self.path.push(element.clone());
            self.item(l, r, list.element);
            self.path.pop();
        }
    }

    /// Compares what an element is on both sides; duplicates are owned as a whole.
    fn item(&mut self, old: &[Value], new: &[Value], node: Node<'_>) {
        match (old, new) {
            ([] | [_], [] | [_]) => self.values(old.first(), new.first(), node),
            ([_, _, ..], [_, _, ..]) => {
                if old.len() != new.len() || !old.iter().zip(new).all(|(a, b)| equal(a, b)) {
                    self.out.modified.insert(&self.path);
                }
            }
            ([_, _, ..], _) => {
                if let Some(one) = new.first() {
                    self.values(None, Some(one), node);
                }
                self.out.removed.insert(&self.path);
            }
            _ => {
                if let Some(one) = old.first() {
                    self.values(Some(one), None, node);
                }
                self.out.added.insert(&self.path);
            }
        }
    }
}

fn entry<'v>(value: Option<&'v Value>, key: &str) -> Option<&'v Value> {
    value.and_then(Value::as_map).and_then(|m| m.get(key))
}

fn keys_of<'v>(old: Option<&'v Value>, new: Option<&'v Value>) -> std::collections::BTreeSet<&'v str> {
    [old, new].into_iter().flatten().filter_map(Value::as_map).flat_map(Map::keys).collect()
}

/// `old` with `new` merged in; nothing if neither says anything.
pub(super) fn merge(old: Option<&Value>, new: Option<&Value>, node: Node<'_>) -> Option<Value> {
    let (_, kind) = kinds(old, new, node);
    if is_leaf(&kind, old, new) {
        return new.or(old).cloned();
    }
    match kind {
        Kind::List(list) => merge_items(old, new, &list),
        Kind::Map(map) => {
            let mut out = Vec::new();
            for key in keys_of(old, new) {
                let Some(node) = map.member(key) else { continue };
                let merged = merge(entry(old, key), entry(new, key), node);
                out.extend(merged.map(|v| (key.into(), v)));
            }
            (!out.is_empty()).then(|| Value::Map(out.into_iter().collect()))
        }
        Kind::Scalar(_) => None,
    }
}

/// One side of a list that is merged: elements in order, and what each is (null if it is there twice).
struct Side<'v> {
    order: Vec<(PathElement, &'v Value)>,
    values: std::collections::BTreeMap<PathElement, Option<&'v Value>>,
}

impl<'v> Side<'v> {
    fn new(value: Option<&'v Value>, list: &ListAtom<'_>) -> Side<'v> {
        let mut side = Side { order: Vec::new(), values: std::collections::BTreeMap::new() };
        for item in value.map_or(&[][..], Value::items) {
            let Ok(element) = element_of(list, item) else { continue };
            side.values.entry(element.clone()).and_modify(|v| *v = None).or_insert(Some(item));
            side.order.push((element, item));
        }
        side
    }

    fn has(&self, element: &PathElement) -> bool {
        self.values.contains_key(element)
    }

    /// The value to merge with; a duplicate counts as null.
    fn get(&self, element: &PathElement) -> Option<&'v Value> {
        self.values.get(element).map(|v| v.unwrap_or(&crate::value::NULL))
    }
}

/// Elements of both lists: as many as possible in the order of both, else in that of `new`.
fn merge_items(old: Option<&Value>, new: Option<&Value>, list: &ListAtom<'_>) -> Option<Value> {
    let (left, right) = (Side::new(old, list), Side::new(new, list));
    let mut shared = right.order.iter().map(|(e, _)| e).filter(|e| left.has(e));
    let mut next_shared = shared.next();
    let mut merged = std::collections::BTreeSet::new();
    let mut out = Vec::new();
    let (mut l, mut r) = (0, 0);
    while l < left.order.len() || r < right.order.len() {
        if let (Some((le, _)), Some((re, _))) = (left.order.get(l), right.order.get(r)) {
            if le == re {
                merged.insert(le.clone());
                out.extend(merge(left.get(le), right.get(le), list.element));
                l += 1;
                r += 1;
                next_shared = shared.next();
                continue;
            }
            if right.has(le) && next_shared.is_some_and(|s| s != le) {
                l += 1;
                continue;
            }
        }
        if let Some((le, item)) = left.order.get(l) {
            if !right.has(le) {
                out.extend(merge(Some(item), None, list.element));
                l += 1;
                continue;
            }
            if merged.contains(le) {
                l += 1;
            }
        }
        if let Some((re, _)) = right.order.get(r) {
            merged.insert(re.clone());
            out.extend(merge(left.get(re), right.get(re), list.element));
            r += 1;
            if next_shared == Some(re) {
                next_shared = shared.next();
            }
        }
    }
    (!out.is_empty()).then_some(Value::List(out))
}
