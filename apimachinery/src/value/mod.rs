//! The tree that every API object is held in while code works on it. Knows nothing about types: what a key means is told by
//! [`crate::schema`]. Never does IO.
//!
//! Normal form of a value decoded with a schema: an absent key is the zero value of Go. Zero scalars and empty structs that
//! are not pointers, nil lists and maps, and null are left out; pointers keep an explicit zero (`replicas: 0`).

mod cursor;
mod map;
mod serde;

use std::fmt;

pub use cursor::Cursor;
pub use map::{Key, Map};
pub use serde::{BridgeError, from_value, to_value};

/// One JSON-like value.
#[derive(Clone, Default, PartialEq)]
pub enum Value {
    /// JSON null, and what an absent key reads as.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number. Fields of type `uint64` hold the same 64 bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string; bytes are base64 text, times RFC 3339 text, quantities canonical text.
    Str(Box<str>),
    /// A list.
    List(Vec<Value>),
    /// A map or struct, sorted by key.
    Map(Map),
    /// Embedded JSON kept as it came (RawExtension, FieldsV1, JSON): the text is valid JSON and is what goes on the wire.
    /// Only schema-guided decoding makes it; [`Value::expand_raw`] turns it into a tree.
    Raw(Box<str>),
}

/// What absent keys read as.
pub static NULL: Value = Value::Null;

impl Value {
    /// An empty map.
    pub fn map() -> Value {
        Value::Map(Map::new())
    }

    /// A string value.
    pub fn str(text: impl Into<Box<str>>) -> Value {
        Value::Str(text.into())
    }

    /// True for null, which is also what an absent key reads as.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// True for null, false, 0, "", and lists and maps without members.
    pub fn is_zero(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(b) => !b,
            Value::Int(n) => *n == 0,
            Value::Float(f) => *f == 0.0,
            Value::Str(s) => s.is_empty(),
            Value::List(l) => l.is_empty(),
            Value::Map(m) => m.is_empty(),
            Value::Raw(r) => r.is_empty(),
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(s) = self { Some(s) } else { None }
    }

    /// The whole number, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        if let Value::Int(n) = self { Some(*n) } else { None }
    }

    /// The number as a float, if it is a number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(n) => Some(*n as f64),
            Value::Float(f) => Some(*f),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(b) = self { Some(*b) } else { None }
    }

    /// The members, if it is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Value::List(l) = self { Some(l) } else { None }
    }

    /// The members, if it is a list.
    pub fn as_list_mut(&mut self) -> Option<&mut Vec<Value>> {
        if let Value::List(l) = self { Some(l) } else { None }
    }

    /// The entries, if it is a map.
    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(m) = self { Some(m) } else { None }
    }

    /// The entries, if it is a map.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        if let Value::Map(m) = self { Some(m) } else { None }
    }

    /// The string, or "" for anything else.
    pub fn str_or_empty(&self) -> &str {
        self.as_str().unwrap_or("")
    }

    /// The members of a list, or none for anything else.
    pub fn items(&self) -> &[Value] {
        self.as_list().unwrap_or(&[])
    }

    /// The entries of a map in key order, or none for anything else.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.as_map().into_iter().flat_map(|m| m.iter())
    }

    /// The entry under `key`; null if absent or if this is no map.
    pub fn get(&self, key: &str) -> &Value {
        self.as_map().and_then(|m| m.get(key)).unwrap_or(&NULL)
    }

    /// The entry under `key`, if there is one.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.as_map_mut().and_then(|m| m.get_mut(key))
    }

    /// True if this is a map with an entry under `key`.
    pub fn has(&self, key: &str) -> bool {
        self.as_map().is_some_and(|m| m.get(key).is_some())
    }

    #[expect(clippy::should_implement_trait, reason = "indexing that never panics is something else")]
    /// The member number `index`; null if absent or if this is no list.
    pub fn index(&self, index: usize) -> &Value {
        self.items().get(index).unwrap_or(&NULL)
    }

    /// The value reached by following `keys` through maps; null where the way ends.
    pub fn path(&self, keys: &[&str]) -> &Value {
        keys.iter().fold(self, |v, k| v.get(k))
    }

    /// The value reached by following `keys` through maps.
    pub fn path_mut(&mut self, keys: &[&str]) -> Option<&mut Value> {
        keys.iter().try_fold(self, |v, k| v.get_mut(k))
    }

    /// Puts `value` at the end of `keys`, making maps on the way (a non-map on the way is replaced).
    pub fn set_path(&mut self, keys: &[&str], value: Value) {
        *keys.iter().fold(self, |v, k| v.field_mut(k)) = value;
    }

    /// Removes and returns what is at the end of `keys`.
    pub fn remove_path(&mut self, keys: &[&str]) -> Option<Value> {
        let (last, parents) = keys.split_last()?;
        self.path_mut(parents)?.as_map_mut()?.remove(last)
    }

    /// The entry under `key`, made null if absent; anything but a map becomes an empty map first.
    pub fn field_mut(&mut self, key: &str) -> &mut Value {
        self.map_mut().entry(key)
    }

    /// This as a map; anything else becomes an empty map first.
    pub fn map_mut(&mut self) -> &mut Map {
        if !matches!(self, Value::Map(_)) {
            *self = Value::map();
        }
        match self {
            Value::Map(m) => m,
            _ => unreachable!("made a map above"),
        }
    }

    /// This as a list; anything else becomes an empty list first.
    pub fn list_mut(&mut self) -> &mut Vec<Value> {
        if !matches!(self, Value::List(_)) {
            *self = Value::List(Vec::new());
        }
        match self {
            Value::List(l) => l,
            _ => unreachable!("made a list above"),
        }
    }

    /// Sets the entry under `key` of a map.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        *self.field_mut(key) = value.into();
    }

    /// Removes the entry under `key`, if this is a map and has it.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.as_map_mut().and_then(|m| m.remove(key))
    }

    /// Moves the value out and leaves null.
    pub fn take(&mut self) -> Value {
        std::mem::take(self)
    }

    /// The embedded JSON as text, if this is [`Value::Raw`].
    pub fn as_raw(&self) -> Option<&str> {
        if let Value::Raw(r) = self { Some(r) } else { None }
    }

    /// Turns every [`Value::Raw`] inside into a tree.
    pub fn expand_raw(&mut self) {
        match self {
            Value::Raw(text) => *self = crate::codec::json::decode_untyped(text.as_bytes()).unwrap_or_default(),
            Value::List(items) => items.iter_mut().for_each(Value::expand_raw),
            Value::Map(map) => map.iter_mut().for_each(|(_, v)| v.expand_raw()),
            _ => {}
        }
    }

    /// The name of the JSON type, as error messages say it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::Float(_) => "number",
            Value::Str(_) => "string",
            Value::List(_) => "array",
            Value::Map(_) => "object",
            Value::Raw(_) => "raw",
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(n) => write!(f, "{n}"),
            Value::Float(n) => write!(f, "{n:?}"),
            Value::Str(s) => write!(f, "{s:?}"),
            Value::List(l) => f.debug_list().entries(l).finish(),
            Value::Map(m) => f.debug_map().entries(m.iter()).finish(),
            Value::Raw(r) => write!(f, "raw({r})"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Str(text.into_boxed_str())
    }
}

impl From<Box<str>> for Value {
    fn from(text: Box<str>) -> Value {
        Value::Str(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        Value::Str(text.as_str().into())
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Value {
        Value::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Value {
        Value::Int(n)
    }
}

impl From<i32> for Value {
    fn from(n: i32) -> Value {
        Value::Int(i64::from(n))
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Value {
        Value::Int(i64::from(n))
    }
}

impl From<u16> for Value {
    fn from(n: u16) -> Value {
        Value::Int(i64::from(n))
    }
}

impl From<f64> for Value {
    fn from(f: f64) -> Value {
        Value::Float(f)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Value {
        Value::List(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Value {
        Value::Map(map)
    }
}

impl<K: Into<Key>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Value {
    fn from(entries: [(K, V); N]) -> Value {
        Value::Map(entries.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

/// An empty vector, for the macro below.
#[doc(hidden)]
pub fn empty<T>() -> Vec<T> {
    Vec::new()
}

/// Builds a [`Value`] as `serde_json::json!` does, by way of a fixed syntax: `value!({"a": 1, "b": [true, null, x]})`.
/// Keys and values are expressions that convert into [`Key`] and [`Value`].
#[macro_export]
macro_rules! value {
    (null) => { $crate::value::Value::Null };
    ([]) => { $crate::value::Value::List(::std::vec::Vec::new()) };
    ([ $($tt:tt)+ ]) => {{
        let mut list = $crate::value::empty();
        $crate::value!(@list list [] $($tt)+);
        $crate::value::Value::List(list)
    }};
    ({}) => { $crate::value::Value::map() };
    ({ $($tt:tt)+ }) => {{
        let mut entries = $crate::value::empty();
        $crate::value!(@map entries $($tt)+);
        $crate::value::Value::Map(entries.into_iter().collect())
    }};
    (@map $m:ident $(,)?) => {};
    (@map $m:ident $k:tt : null $(, $($rest:tt)*)?) => {
        $m.push(($crate::value::Key::from($k), $crate::value::Value::Null)); $crate::value!(@map $m $($($rest)*)?);
    };
    (@map $m:ident $k:tt : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $m.push(($crate::value::Key::from($k), $crate::value!([ $($inner)* ]))); $crate::value!(@map $m $($($rest)*)?);
    };
    (@map $m:ident $k:tt : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $m.push(($crate::value::Key::from($k), $crate::value!({ $($inner)* }))); $crate::value!(@map $m $($($rest)*)?);
    };
    (@map $m:ident $k:tt : $v:expr $(, $($rest:tt)*)?) => {
        $m.push(($crate::value::Key::from($k), $crate::value::Value::from($v))); $crate::value!(@map $m $($($rest)*)?);
    };
    (@list $l:ident [] $(,)?) => {};
    (@list $l:ident [] null $(, $($rest:tt)*)?) => {
        $l.push($crate::value::Value::Null); $crate::value!(@list $l [] $($($rest)*)?);
    };
    (@list $l:ident [] [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $l.push($crate::value!([ $($inner)* ])); $crate::value!(@list $l [] $($($rest)*)?);
    };
    (@list $l:ident [] { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $l.push($crate::value!({ $($inner)* })); $crate::value!(@list $l [] $($($rest)*)?);
    };
    (@list $l:ident [] $v:expr $(, $($rest:tt)*)?) => {
        $l.push($crate::value::Value::from($v)); $crate::value!(@list $l [] $($($rest)*)?);
    };
    ($v:expr) => { $crate::value::Value::from($v) };
}

#[cfg(test)]
mod tests {

    #[test]
    fn paths() {
        let mut v = value!({"spec": {"nodeName": "n1", "list": [1, {"a": null}, []]}, "x": true});
        assert_eq!(v.path(&["spec", "nodeName"]).as_str(), Some("n1"));
        assert!(v.path(&["spec", "nope", "deeper"]).is_null());
        v.set_path(&["status", "phase"], "Running".into());
        assert_eq!(v.get("status"), &value!({"phase": "Running"}));
        assert_eq!(v.remove_path(&["spec", "list"]).map(|l| l.items().len()), Some(3));
        assert_eq!(v.as_map().map(|m| m.keys().collect::<Vec<_>>()), Some(vec!["spec", "status", "x"]));
    }
}
