//! Serde bridges: any `Serialize` type can become a [`Value`], and any `Deserialize` type can be read from one, so typed
//! structs (k8s-openapi) can be used where they are nicer. Goes by serde_json's value, which has the same data model.

use serde::de::{self, DeserializeOwned, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Key, Map, Value};

/// Why a value did not fit a typed struct.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BridgeError(#[from] serde_json::Error);

/// Reads a typed struct from a value.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, BridgeError> {
    Ok(T::deserialize(value)?)
}

/// Makes a value of a typed struct. Numbers that fit i64 become [`Value::Int`].
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, BridgeError> {
    Ok(from_json(serde_json::to_value(value)?))
}

fn from_json(json: serde_json::Value) -> Value {
    use serde_json::Value as J;
    match json {
        J::Null => Value::Null,
        J::Bool(b) => Value::Bool(b),
        J::Number(n) => n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(0.0)), Value::Int),
        J::String(s) => Value::from(s),
        J::Array(l) => Value::List(l.into_iter().map(from_json).collect()),
        J::Object(m) => Value::Map(m.into_iter().map(|(k, v)| (Key::from(k), from_json(v))).collect()),
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Value {
        from_json(json)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(b) => serializer.serialize_bool(*b),
            Value::Int(n) => serializer.serialize_i64(*n),
            Value::Float(f) => serializer.serialize_f64(*f),
            Value::Str(s) => serializer.serialize_str(s),
            Value::List(l) => {
                let mut seq = serializer.serialize_seq(Some(l.len()))?;
                l.iter().try_for_each(|v| seq.serialize_element(v))?;
                seq.end()
            }
            Value::Map(m) => m.serialize(serializer),
            Value::Raw(r) => raw_tree(r).map_err(serde::ser::Error::custom)?.serialize(serializer),
        }
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        self.iter().try_for_each(|(k, v)| map.serialize_entry(k, v))?;
        map.end()
    }
}

fn raw_tree(raw: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(raw)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        Value::deserialize(d)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }
    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(Value::Int(n))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(i64::try_from(n).map_or(Value::Float(n as f64), Value::Int))
    }
    fn visit_f64<E>(self, f: f64) -> Result<Value, E> {
        Ok(Value::Float(f))
    }
    fn visit_str<E>(self, s: &str) -> Result<Value, E> {
        Ok(Value::from(s))
    }
    fn visit_string<E>(self, s: String) -> Result<Value, E> {
        Ok(Value::from(s))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            entries.push((Key::from(key), value));
        }
        Ok(Value::Map(Map::from_entries(entries)))
    }
}

/// Errors of the deserializer below are serde_json's, which renders custom messages as they are.
type Error = serde_json::Error;

impl<'de> Deserializer<'de> for &'de Value {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Int(n) => visitor.visit_i64(*n),
            Value::Float(f) => visitor.visit_f64(*f),
            Value::Str(s) => visitor.visit_borrowed_str(s),
            Value::List(l) => {
                let mut seq = de::value::SeqDeserializer::<_, Error>::new(l.iter());
                let out = visitor.visit_seq(&mut seq)?;
                seq.end()?;
                Ok(out)
            }
            Value::Map(m) => {
                let mut map = de::value::MapDeserializer::<_, Error>::new(m.iter());
                let out = visitor.visit_map(&mut map)?;
                map.end()?;
                Ok(out)
            }
            Value::Raw(r) => serde_json::Deserializer::from_str(r).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Value::Str(s) => visitor.visit_enum((**s).into_deserializer()),
            Value::Map(m) => visitor
                .visit_enum(de::value::MapAccessDeserializer::new(de::value::MapDeserializer::<_, Error>::new(
                    m.iter(),
                ))),
            _ => self.deserialize_any(visitor).and_then(|_| {
                Err(de::Error::custom(format_args!("{name}: expected one of {variants:?}, found {}", self.type_name())))
            }),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Value {
    type Deserializer = &'de Value;
    fn into_deserializer(self) -> &'de Value {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        name: String,
        count: Option<i32>,
        ratio: f64,
        tags: std::collections::BTreeMap<String, Vec<bool>>,
    }

    #[test]
    fn there_and_back() {
        let v = value!({"name": "x", "count": 3, "ratio": 0.5, "tags": {"a": [true, false]}});
        let typed: Sample = from_value(&v).unwrap();
        assert_eq!(typed.count, Some(3));
        assert_eq!(to_value(&typed).unwrap(), v);
    }
}
