//! Reads a tree into a typed configuration as Go's decoder does: names are compared with their case, null leaves a field
//! at its default, unknown fields are collected with their paths, and type errors are told in Go's words.
//!
//! Serde tells a decoder each struct's name and fields; a struct's serde name is the Go type's (`v1beta1.Foo`).
//! Upstream: sigs.k8s.io/json.

use std::cell::RefCell;
use std::fmt::{self, Display};

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value};

/// A value that does not fit its field.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl de::Error for DecodeError {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// The value that a tree makes, and the strict errors: `unknown field "a.b[0].c"`.
///
/// # Errors
/// A field of a wrong type.
pub fn decode<T: DeserializeOwned>(tree: &Value) -> Result<(T, Vec<String>), DecodeError> {
    let notes = RefCell::new(Vec::new());
    let root = Place { value: tree, path: String::new(), fields: String::new(), owner: "", notes: &notes };
    let value = T::deserialize(root)?;
    Ok((value, notes.into_inner()))
}

/// A value of the tree and how it was reached.
struct Place<'a> {
    value: &'a Value,
    /// `profiles[0].plugins`, for strict errors.
    path: String,
    /// `profiles.plugins`: the same without indexes and keys, for type errors.
    fields: String,
    /// The struct that the last field belongs to.
    owner: &'static str,
    notes: &'a RefCell<Vec<String>>,
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl<'a> Place<'a> {
    fn mismatch(&self, wanted: &str) -> DecodeError {
        let found = match self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(number) if is_number(wanted) => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        let field = if self.fields.is_empty() {
            "value".to_owned()
        } else {
            let owner = self.owner.rsplit('.').next().unwrap_or_default();
            format!("struct field {owner}.{}", self.fields)
        };
        DecodeError(format!("json: cannot unmarshal {found} into Go {field} of type {wanted}"))
    }

    fn entry(&self, key: &str, value: &'a Value) -> Self {
        Self { value, path: joined(&self.path, key), fields: self.fields.clone(), ..*self }
    }

    fn field(&self, owner: &'static str, key: &str, value: &'a Value) -> Self {
        Self { value, path: joined(&self.path, key), fields: joined(&self.fields, key), owner, ..*self }
    }

    fn item(&self, index: usize, value: &'a Value) -> Self {
        Self { value, path: format!("{}[{index}]", self.path), fields: self.fields.clone(), ..*self }
    }

    fn object(&self, wanted: &str) -> Result<Option<&'a Map<String, Value>>, DecodeError> {
        match self.value {
            Value::Null => Ok(None),
            Value::Object(map) => Ok(Some(map)),
            _ => Err(self.mismatch(wanted)),
        }
    }
}

fn is_number(go_type: &str) -> bool {
    go_type.starts_with("int") || go_type.starts_with("uint") || go_type.starts_with("float")
}

/// The Go name of a Rust type, as far as collections of plain types and structs go.
fn go_type(rust: &str) -> String {
    let inner = |prefix: &str| rust.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>'));
    if let Some(item) = inner("alloc::vec::Vec<") {
        return format!("[]{}", go_type(item));
    }
    if let Some((key, value)) = inner("alloc::collections::btree::map::BTreeMap<").and_then(|kv| kv.split_once(", ")) {
        return format!("map[{}]{}", go_type(key), go_type(value));
    }
    match rust.rsplit("::").next().unwrap_or(rust) {
        "String" => "string".to_owned(),
        "i64" => "int64".to_owned(),
        "i32" => "int32".to_owned(),
        "f64" => "float64".to_owned(),
        other => other.to_owned(),
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $rust:ty, $go:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            let number = match self.value {
                Value::Null => Some(0),
                Value::Number(number) => whole(number),
                _ => None,
            };
            let number = number.and_then(|number| <$rust>::try_from(number).ok());
            visitor.$visit(number.ok_or_else(|| self.mismatch($go))?)
        }
    )*};
}

/// The number if it is a whole one; YAML's `1.0` is.
#[expect(clippy::cast_possible_truncation, reason = "only whole numbers that a float holds exactly")]
fn whole(number: &serde_json::Number) -> Option<i128> {
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9.0e15).map(|f| f as i128);
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)).or_else(float)
}

impl<'de> Deserializer<'de> for Place<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.value.clone().deserialize_any(visitor).map_err(de::Error::custom)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Null => visitor.visit_bool(false),
            Value::Bool(value) => visitor.visit_bool(*value),
            _ => Err(self.mismatch("bool")),
        }
    }

    numbers! {
        deserialize_i8 visit_i8 i8, "int8";
        deserialize_i16 visit_i16 i16, "int16";
        deserialize_i32 visit_i32 i32, "int32";
        deserialize_i64 visit_i64 i64, "int64";
        deserialize_u8 visit_u8 u8, "uint8";
        deserialize_u16 visit_u16 u16, "uint16";
        deserialize_u32 visit_u32 u32, "uint32";
        deserialize_u64 visit_u64 u64, "uint64";
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Null => visitor.visit_f64(0.0),
            Value::Number(number) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            _ => Err(self.mismatch("float32")),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Null => visitor.visit_f64(0.0),
            Value::Number(number) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            _ => Err(self.mismatch("float64")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Null => visitor.visit_str(""),
            Value::String(text) => visitor.visit_str(text),
            _ => Err(self.mismatch("string")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let items = match self.value {
            Value::Null => &[][..],
            Value::Array(items) => items,
            _ => return Err(self.mismatch(&go_type(std::any::type_name::<V::Value>()))),
        };
        visitor.visit_seq(Items { items: items.iter().enumerate(), of: &self })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let entries = self.object(&go_type(std::any::type_name::<V::Value>()))?;
        let entries = entries.into_iter().flatten().map(|(key, value)| (key.as_str(), self.entry(key, value)));
        visitor.visit_map(Entries { entries, next: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let entries = self.object(name)?;
        let known = entries.into_iter().flatten().filter_map(|(key, value)| {
            if fields.contains(&key.as_str()) {
                return (!value.is_null()).then(|| (key.as_str(), self.field(name, key, value)));
            }
            self.notes.borrow_mut().push(format!("unknown field {:?}", joined(&self.path, key)));
            None
        });
        visitor.visit_map(Entries { entries: known, next: None })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::String(text) => {
                visitor.visit_enum(IntoDeserializer::<DecodeError>::into_deserializer(text.as_str()))
            }
            _ => Err(self.mismatch("string")),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Items<'a, 'p, I> {
    items: I,
    of: &'p Place<'a>,
}

impl<'de, 'a, I: Iterator<Item = (usize, &'a Value)>> SeqAccess<'de> for Items<'a, '_, I> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        let Some((index, value)) = self.items.next() else { return Ok(None) };
        seed.deserialize(self.of.item(index, value)).map(Some)
    }
}

struct Entries<'a, I> {
    entries: I,
    next: Option<Place<'a>>,
}

impl<'de, 'a, I: Iterator<Item = (&'a str, Place<'a>)>> MapAccess<'de> for Entries<'a, I> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some((key, place)) = self.entries.next() else { return Ok(None) };
        self.next = Some(place);
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        let place = self.next.take().expect("serde asks for a value only after its key");
        seed.deserialize(place)
    }
}

impl fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "camelCase", rename = "v1.Outer", default)]
    struct Outer {
        count: i32,
        flag: Option<bool>,
        names: Vec<String>,
        inner: Inner,
        list: Vec<Inner>,
        map: BTreeMap<String, Inner>,
        texts: BTreeMap<String, String>,
        any: Value,
        share: f64,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename = "v1.Inner", default)]
    struct Inner {
        on: bool,
    }

    #[test]
    fn unknown_fields_have_paths() {
        let tree = json!({
            "Count": 1, "count": 2.0, "flag": null, "inner": {"off": 1, "on": true}, "list": [{}, {"x": 1}],
            "map": {"k": {"y": 1}}, "any": {"z": 1}, "names": null
        });
        let (outer, unknown) = decode::<Outer>(&tree).expect("fits");
        assert_eq!((outer.count, outer.flag, outer.inner.on), (2, None, true));
        let paths = ["Count", "inner.off", "list[1].x", "map.k.y"].map(|path| format!("unknown field {path:?}"));
        assert_eq!(unknown, paths);
    }

    #[test]
    fn types_are_told_as_go_does() {
        for (tree, message) in [
            (json!({"count": "a"}), "string into Go struct field Outer.count of type int32"),
            (json!({"count": 1.5}), "number 1.5 into Go struct field Outer.count of type int32"),
            (json!({"count": 99_999_999_999i64}), "number 99999999999 into Go struct field Outer.count of type int32"),
            (json!({"flag": 1}), "number into Go struct field Outer.flag of type bool"),
            (json!({"names": "a"}), "string into Go struct field Outer.names of type []string"),
            (json!({"names": [1]}), "number into Go struct field Outer.names of type string"),
            (json!({"inner": "a"}), "string into Go struct field Outer.inner of type v1.Inner"),
            (json!({"inner": {"on": "a"}}), "string into Go struct field Inner.inner.on of type bool"),
            (json!({"texts": {"k": 5}}), "number into Go struct field Outer.texts of type string"),
            (json!({"texts": []}), "array into Go struct field Outer.texts of type map[string]string"),
            (json!({"share": "a"}), "string into Go struct field Outer.share of type float64"),
            (json!([]), "array into Go value of type v1.Outer"),
        ] {
            let error = decode::<Outer>(&tree).expect_err(message).to_string();
            assert_eq!(error, format!("json: cannot unmarshal {message}"), "{tree}");
        }
    }
}
