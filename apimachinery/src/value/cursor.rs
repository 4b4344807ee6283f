//! A place in a [`Value`]: what validation code walks. It carries its field path, so that errors have upstream's paths without
//! anyone passing them along; absent reads as the zero value, as in Go.

use super::{NULL, Value};
use crate::field::Path;

/// Deep enough for every static type; recursive types re-root with [`Cursor::with_base`].
const MAX_SEGMENTS: usize = 20;
const FIELD: u32 = u32::MAX;
const KEY: u32 = u32::MAX - 1;

/// A value and the way to it. Copying is cheap; the path is built when asked for.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    value: &'a Value,
    base: Option<&'a Path>,
    depth: u8,
    names: [&'a str; MAX_SEGMENTS],
    kinds: [u32; MAX_SEGMENTS],
}

impl<'a> Cursor<'a> {
    /// A cursor at the root of `value`, with an empty path.
    pub fn root(value: &'a Value) -> Cursor<'a> {
        Cursor { value, base: None, depth: 0, names: [""; MAX_SEGMENTS], kinds: [0; MAX_SEGMENTS] }
    }

    /// A cursor at `value`, whose path starts with `base`.
    pub fn with_base(value: &'a Value, base: &'a Path) -> Cursor<'a> {
        Cursor { base: Some(base), ..Cursor::root(value) }
    }

    fn step(mut self, value: &'a Value, name: &'a str, kind: u32) -> Cursor<'a> {
        self.value = value;
        if let Some(slot) = self.names.get_mut(usize::from(self.depth)) {
            *slot = name;
            self.kinds[usize::from(self.depth)] = kind;
            self.depth += 1;
        }
        self
    }

    /// The member of a struct, shown as `.name`.
    pub fn field(self, name: &'a str) -> Cursor<'a> {
        self.step(self.value.get(name), name, FIELD)
    }

    /// The members along `names`, each shown as `.name`.
    pub fn fields(self, names: &[&'a str]) -> Cursor<'a> {
        names.iter().fold(self, |c, name| c.field(name))
    }

    /// The element of a list, shown as `[index]`.
    pub fn index(self, index: usize) -> Cursor<'a> {
        self.step(self.value.index(index), "", u32::try_from(index).unwrap_or(0).min(KEY - 1))
    }

    /// The entry of a map, shown as `[key]`.
    pub fn key(self, key: &'a str) -> Cursor<'a> {
        self.step(self.value.get(key), key, KEY)
    }

    /// The elements of a list; none for anything else.
    pub fn list(self) -> impl ExactSizeIterator<Item = Cursor<'a>> + DoubleEndedIterator + Clone {
        (0..self.value.items().len()).map(move |i| self.index(i))
    }

    /// The entries of a map, in key order; none for anything else.
    pub fn map(self) -> impl Iterator<Item = (&'a str, Cursor<'a>)> + Clone {
        self.value.as_map().into_iter().flat_map(|m| m.keys()).map(move |k| (k, self.key(k)))
    }

    /// The value itself; null if absent.
    pub fn value(self) -> &'a Value {
        self.value
    }

    /// The string, or "".
    pub fn str(self) -> &'a str {
        self.value.as_str().unwrap_or("")
    }

    /// The string, if present.
    pub fn opt_str(self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// The whole number, or 0.
    pub fn i64(self) -> i64 {
        self.value.as_i64().unwrap_or(0)
    }

    /// The whole number, if present.
    pub fn opt_i64(self) -> Option<i64> {
        self.value.as_i64()
    }

    /// The boolean, or false.
    pub fn bool(self) -> bool {
        self.value.as_bool().unwrap_or(false)
    }

    /// The boolean, if present.
    pub fn opt_bool(self) -> Option<bool> {
        self.value.as_bool()
    }

    /// Number of elements or entries; 0 for scalars.
    pub fn len(self) -> usize {
        match self.value {
            Value::List(l) => l.len(),
            Value::Map(m) => m.len(),
            _ => 0,
        }
    }

    /// True unless absent (or null).
    pub fn exists(self) -> bool {
        !self.value.is_null()
    }

    /// True for the zero value: absent, "", 0, false, no elements.
    pub fn is_empty(self) -> bool {
        self.value.is_zero()
    }

    /// The path of this place.
    pub fn path(self) -> Path {
        let mut path = self.base.cloned();
        for (name, kind) in self.names.iter().zip(self.kinds).take(usize::from(self.depth)) {
            path = Some(match (path, kind) {
                (None, FIELD | KEY) => Path::root(name),
                (None, index) => Path::root(&format!("[{index}]")),
                (Some(p), FIELD) => p.child(name),
                (Some(p), KEY) => p.key(name),
                (Some(p), index) => p.index(index as usize),
            });
        }
        path.unwrap_or_else(|| Path::root(""))
    }

    /// The same place with another value: for paths that are not where the value is.
    pub fn at(self, value: &'a Value) -> Cursor<'a> {
        Cursor { value, ..self }
    }
}

impl std::fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {:?}", self.path(), self.value)
    }
}

impl Default for Cursor<'_> {
    fn default() -> Self {
        Cursor::root(&NULL)
    }
}
