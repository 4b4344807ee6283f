//! Sets of field paths: who owns what. Corresponds to structured-merge-diff's fieldpath.

use std::cmp::Ordering;
use std::fmt;

use super::schema::Node;
use crate::quote::{go_value, quote};
use crate::value::Value;

/// One step of a path.
#[derive(Clone, Debug)]
pub enum PathElement {
    /// A member of a map or struct.
    Field(Box<str>),
    /// The element of a list whose members have these values; sorted by name.
    Key(Vec<(Box<str>, Value)>),
    /// The element of a set.
    Value(Value),
    /// The element of a list at this place.
    Index(i64),
}

impl PathElement {
    /// The member `name`.
    pub fn field(name: &str) -> PathElement {
        PathElement::Field(name.into())
    }

    fn rank(&self) -> u8 {
        match self {
            PathElement::Field(_) => 0,
            PathElement::Key(_) => 1,
            PathElement::Value(_) => 2,
            PathElement::Index(_) => 3,
        }
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &PathElement) -> Ordering {
        match (self, other) {
            (PathElement::Field(a), PathElement::Field(b)) => a.cmp(b),
            (PathElement::Key(a), PathElement::Key(b)) => {
                let fields = a.iter().zip(b).map(|((n, v), (m, w))| n.cmp(m).then_with(|| compare(v, w)));
                fields.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
            }
            (PathElement::Value(a), PathElement::Value(b)) => compare(a, b),
            (PathElement::Index(a), PathElement::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &PathElement) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &PathElement) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PathElement {}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{name}"),
            PathElement::Key(fields) => {
                let shown: Vec<String> = fields.iter().map(|(n, v)| format!("{n}={}", value_text(v))).collect();
                write!(f, "[{}]", shown.join(","))
            }
            PathElement::Value(value) => write!(f, "[={}]", value_text(value)),
            PathElement::Index(i) => write!(f, "[{i}]"),
        }
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Str(s) => quote(s),
        Value::List(l) => format!("[{}]", l.iter().map(value_text).collect::<Vec<_>>().join(",")),
        Value::Map(m) => m.iter().map(|(k, v)| format!("{k}={}", value_text(v))).collect(),
        other => go_value(other),
    }
}

/// A total order of values: numbers, strings, booleans, lists, maps, null.
fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |v: &Value| match v {
        Value::Int(_) | Value::Float(_) => 0,
        Value::Str(_) | Value::Raw(_) => 1,
        Value::Bool(_) => 2,
        Value::List(_) => 3,
        Value::Map(_) => 4,
        Value::Null => 5,
    };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::Str(a) | Value::Raw(a), Value::Str(b) | Value::Raw(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::List(a), Value::List(b)) => a
            .iter()
            .zip(b)
            .map(|(v, w)| compare(v, w))
            .fold(Ordering::Equal, Ordering::then)
            .then(a.len().cmp(&b.len())),
        (Value::Map(a), Value::Map(b)) => {
            let entries = a.iter().zip(b.iter()).map(|((k, v), (l, w))| k.cmp(l).then_with(|| compare(v, w)));
            entries.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

/// True if both values are the same; whole numbers and floats compare by value.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(v, w)| equal(v, w)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((k, v), (l, w))| k == l && equal(v, w))
        }
        (Value::Int(_), Value::Float(_)) | (Value::Float(_), Value::Int(_)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// The way to a field.
pub type FieldPath = Vec<PathElement>;

/// A path in its written form.
pub(super) fn path_text(path: &[PathElement]) -> String {
    path.iter().map(ToString::to_string).collect()
}

/// A set of paths. That a path is in it says nothing about the paths below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldSet {
    /// Members, sorted.
    pub(super) members: Vec<PathElement>,
    /// Sets below an element, sorted; none is empty.
    pub(super) children: Vec<(PathElement, FieldSet)>,
}

/// Walks two sorted lists side by side.
fn zip<'a, T>(
    a: &'a [T],
    b: &'a [T],
    key: impl Fn(&T) -> &PathElement,
    mut visit: impl FnMut(Option<&'a T>, Option<&'a T>),
) {
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let order = match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) => key(x).cmp(key(y)),
            (Some(_), None) => Ordering::Less,
            _ => Ordering::Greater,
        };
        visit(a.get(i).filter(|_| order.is_le()), b.get(j).filter(|_| order.is_ge()));
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
    }
}

fn members(a: &FieldSet, b: &FieldSet, keep: fn(bool, bool) -> bool) -> Vec<PathElement> {
    let mut out = Vec::new();
    zip(
        &a.members,
        &b.members,
        |e| e,
        |x, y| {
            if keep(x.is_some(), y.is_some()) {
                out.extend(x.or(y).cloned());
            }
        },
    );
    out
}

fn children(
    a: &FieldSet,
    b: &FieldSet,
    combine: impl Fn(Option<&FieldSet>, Option<&FieldSet>) -> Option<FieldSet>,
) -> Vec<(PathElement, FieldSet)> {
    let mut out = Vec::new();
    zip(
        &a.children,
        &b.children,
        |c| &c.0,
        |x, y| {
            let combined = combine(x.map(|c| &c.1), y.map(|c| &c.1)).filter(|s| !s.is_empty());
            out.extend(x.or(y).map(|c| c.0.clone()).zip(combined));
        },
    );
    out
}

impl FieldSet {
    /// A set of these paths.
    pub fn of(paths: &[&[&str]]) -> FieldSet {
        let mut set = FieldSet::default();
        for path in paths {
            set.insert(&path.iter().map(|p| PathElement::field(p)).collect::<Vec<_>>());
        }
        set
    }

    /// Adds a path; the empty one is nobody's.
    pub fn insert(&mut self, path: &[PathElement]) {
        match path {
            [] => {}
            [last] => self.insert_member(last.clone()),
            [first, rest @ ..] => self.descend(first).insert(rest),
        }
    }

    pub(super) fn insert_member(&mut self, element: PathElement) {
        if let Err(at) = self.members.binary_search(&element) {
            self.members.insert(at, element);
        }
    }

    pub(super) fn descend(&mut self, element: &PathElement) -> &mut FieldSet {
        let at = match self.children.binary_search_by(|c| c.0.cmp(element)) {
            Ok(at) => at,
            Err(at) => {
                self.children.insert(at, (element.clone(), FieldSet::default()));
                at
            }
        };
        &mut self.children[at].1
    }

    /// The set below `element`.
    pub(super) fn child(&self, element: &PathElement) -> Option<&FieldSet> {
        self.children.binary_search_by(|c| c.0.cmp(element)).ok().map(|at| &self.children[at].1)
    }

    pub(super) fn has_member(&self, element: &PathElement) -> bool {
        self.members.binary_search(element).is_ok()
    }

    /// True if the path is in the set.
    pub fn has(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.has_member(last),
            [first, rest @ ..] => self.child(first).is_some_and(|c| c.has(rest)),
        }
    }

    /// True if no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.iter().all(|c| c.1.is_empty())
    }

    /// Paths in either set.
    #[must_use]
    pub fn union(&self, other: &FieldSet) -> FieldSet {
        let both = |a: Option<&FieldSet>, b: Option<&FieldSet>| match (a, b) {
            (Some(a), Some(b)) => Some(a.union(b)),
            (a, b) => a.or(b).cloned(),
        };
        FieldSet { members: members(self, other, |a, b| a || b), children: children(self, other, both) }
    }

    /// Paths in both sets.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let both = |a: Option<&FieldSet>, b: Option<&FieldSet>| a.zip(b).map(|(a, b)| a.intersection(b));
        FieldSet { members: members(self, other, |a, b| a && b), children: children(self, other, both) }
    }

    /// Paths that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        let rest = |a: Option<&FieldSet>, b: Option<&FieldSet>| match (a, b) {
            (Some(a), Some(b)) => Some(a.difference(b)),
            (a, _) => a.cloned(),
        };
        FieldSet { members: members(self, other, |a, b| a && !b), children: children(self, other, rest) }
    }

    /// Paths that are neither in `other` nor below a path in it.
    #[must_use]
    pub fn recursive_difference(&self, other: &FieldSet) -> FieldSet {
        let mut out = FieldSet { members: members(self, other, |a, b| a && !b), children: Vec::new() };
        for (element, set) in self.children.iter().filter(|c| !other.has_member(&c.0)) {
            let rest = other.child(element).map_or_else(|| set.clone(), |o| set.recursive_difference(o));
            if !rest.is_empty() {
                out.children.push((element.clone(), rest));
            }
        }
        out
    }

    /// The set with every struct field on the way to a member made a member.
    pub(super) fn with_named_fields(&self, node: Node<'_>) -> FieldSet {
        let atom = node.resolve();
        let mut out = FieldSet { members: self.members.clone(), children: Vec::new() };
        for (element, set) in &self.children {
            let below = match element {
                PathElement::Field(name) => {
                    let map = atom.map.as_ref();
                    if map.is_some_and(|m| m.field(name).is_some()) {
                        out.insert_member(element.clone());
                    }
                    map.and_then(|m| m.member(name))
                }
                PathElement::Key(_) => atom.list.as_ref().map(|l| l.element),
                _ => None,
            };
            let below = below.map_or_else(|| set.clone(), |node| set.with_named_fields(node));
            out.children.push((element.clone(), below));
        }
        out
    }

    /// Calls `visit` with every path: members first, then those below.
    pub fn for_each(&self, mut visit: impl FnMut(&[PathElement])) {
        self.walk(&mut Vec::new(), &mut visit);
    }

    fn walk(&self, path: &mut FieldPath, visit: &mut impl FnMut(&[PathElement])) {
        for member in &self.members {
            path.push(member.clone());
            visit(path);
            path.pop();
        }
        for (element, set) in &self.children {
            path.push(element.clone());
            set.walk(path, visit);
            path.pop();
        }
    }

    /// Those paths that `pattern` lets through.
    fn matching(&self, pattern: &[Step]) -> FieldSet {
        let Some((step, rest)) = pattern.split_first() else { return self.clone() };
        let fits = |e: &PathElement| match step {
            Step::Any => true,
            Step::Field(name) => matches!(e, PathElement::Field(f) if **f == **name),
        };
        let below = |c: &(PathElement, FieldSet)| (c.0.clone(), c.1.matching(rest));
        FieldSet {
            members: self.members.iter().filter(|e| fits(e)).cloned().collect(),
            children: self.children.iter().filter(|c| fits(&c.0)).map(below).filter(|c| !c.1.is_empty()).collect(),
        }
    }
}

/// One step of a pattern of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Whatever element.
    Any,
    /// The member of this name.
    Field(&'static str),
}

/// Which fields a request may own. What it may not, it does not change either (a strategy resets it).
#[derive(Clone, Debug)]
pub enum Filter {
    /// All but these and what is below them.
    Exclude(FieldSet),
    /// Only what begins with one of these patterns.
    Include(Vec<Vec<Step>>),
}

impl Filter {
    /// The part of `set` that may be owned.
    #[must_use]
    pub fn apply(&self, set: &FieldSet) -> FieldSet {
        match self {
            Filter::Exclude(fields) => set.recursive_difference(fields),
            Filter::Include(patterns) => {
                patterns.iter().fold(FieldSet::default(), |out, pattern| out.union(&set.matching(pattern)))
            }
        }
    }
}
