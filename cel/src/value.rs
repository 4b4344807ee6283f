//! What expressions compute with. Objects are looked into where they are, never copied.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use apimachinery::quantity::Quantity;
use apimachinery::schema::ListType;
use apimachinery::value::{Map as Tree, Value};

use crate::decl::{Decl, Shape};
use crate::functions::authorizer::Access;
use crate::functions::{net::Cidr, semver::Semver, time, urls::Url};

/// A text, borrowed or shared.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    /// Of an object.
    Borrowed(&'a str),
    /// Made by the expression.
    Shared(Arc<str>),
}

impl Text<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Text::Borrowed(s) => s,
            Text::Shared(s) => s,
        }
    }
}

/// A value.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names are those of the language")]
pub enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(Text<'a>),
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i128),
    /// Nanoseconds since 1970.
    Timestamp(i128),
    List(List<'a>),
    Map(Mapping<'a>),
    Optional(Option<Arc<Val<'a>>>),
    Type(Arc<str>),
    Url(Arc<Url>),
    Ip(IpAddr),
    Cidr(Cidr),
    Quantity(Arc<Quantity>),
    Semver(Arc<Semver>),
    /// A named format: index into the names.
    Format(usize),
    Access(Arc<Access>),
    Struct(Arc<Struct<'a>>),
    /// The variables of a policy, computed when first asked for.
    Variables,
}

/// A list of an object, or one that was made.
#[derive(Clone)]
pub enum List<'a> {
    /// A part of an object.
    Tree(&'a [Value], Option<&'a Decl>),
    /// Made by the expression.
    Made(Arc<Vec<Val<'a>>>),
}

/// A map of an object, or one that was made.
#[derive(Clone)]
pub enum Mapping<'a> {
    /// A part of an object.
    Tree(&'a Tree, Option<&'a Decl>),
    /// Made by the expression.
    Made(Arc<Vec<(Val<'a>, Val<'a>)>>),
}

/// An object made by an expression.
#[derive(Clone)]
pub struct Struct<'a> {
    /// Its type.
    pub name: Arc<str>,
    /// Its fields.
    pub fields: Vec<(Arc<str>, Val<'a>)>,
}

impl<'a> Val<'a> {
    /// A text.
    pub fn str(text: impl Into<Arc<str>>) -> Val<'a> {
        Val::Str(Text::Shared(text.into()))
    }

    /// A list.
    pub fn list(items: Vec<Val<'a>>) -> Val<'a> {
        Val::List(List::Made(Arc::new(items)))
    }

    /// `optional.of(value)`
    pub fn some(value: Val<'a>) -> Val<'a> {
        Val::Optional(Some(Arc::new(value)))
    }

    /// A part of an object, seen as its schema says; without one, as it is.
    pub fn of(value: &'a Value, decl: Option<&'a Decl>) -> Val<'a> {
        match value {
            Value::Null => Val::Null,
            Value::Bool(b) => Val::Bool(*b),
            Value::Int(n) => match decl.map(|d| &d.shape) {
                Some(Shape::Double) => Val::Double(*n as f64),
                _ => Val::Int(*n),
            },
            Value::Float(f) => Val::Double(*f),
            Value::Raw(s) => Val::Str(Text::Borrowed(s)),
            Value::Str(s) => {
                let parsed = match decl.map(|d| &d.shape) {
                    Some(Shape::Bytes) => time::decode_base64(s).map(|b| Val::Bytes(b.into())),
                    Some(Shape::Duration) => time::parse_duration(s).map(Val::Duration),
                    Some(Shape::Date) => time::parse_timestamp(&format!("{s}T00:00:00Z")).map(Val::Timestamp),
                    Some(Shape::Timestamp) => time::parse_timestamp(s).map(Val::Timestamp),
                    _ => None,
                };
                parsed.unwrap_or(Val::Str(Text::Borrowed(s)))
            }
            Value::List(items) => Val::List(List::Tree(items, decl)),
            Value::Map(map) => Val::Map(Mapping::Tree(map, decl)),
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Val::Str(text) = self { Some(text.as_str()) } else { None }
    }

    /// The truth, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Val::Bool(b) = self { Some(*b) } else { None }
    }

    /// The name of its type.
    pub fn type_name(&self) -> &str {
        match self {
            Val::Null => "null_type",
            Val::Bool(_) => "bool",
            Val::Int(_) => "int",
            Val::Uint(_) => "uint",
            Val::Double(_) => "double",
            Val::Str(_) => "string",
            Val::Bytes(_) => "bytes",
            Val::Duration(_) => "google.protobuf.Duration",
            Val::Timestamp(_) => "google.protobuf.Timestamp",
            Val::List(_) => "list",
            Val::Map(Mapping::Tree(_, Some(Decl { shape: Shape::Object(_), .. }))) => "object",
            Val::Map(_) | Val::Variables => "map",
            Val::Optional(_) => "optional_type",
            Val::Type(_) => "type",
            Val::Url(_) => "kubernetes.URL",
            Val::Ip(_) => "net.IP",
            Val::Cidr(_) => "net.CIDR",
            Val::Quantity(_) => "kubernetes.Quantity",
            Val::Semver(_) => "kubernetes.Semver",
            Val::Format(_) => "kubernetes.NamedFormat",
            Val::Access(access) => access.type_name(),
            Val::Struct(s) => &s.name,
        }
    }

    /// How many members or characters it has; 1 for anything without.
    pub fn size(&self) -> u64 {
        match self {
            Val::Str(text) => text.as_str().chars().count() as u64,
            Val::Bytes(bytes) => bytes.len() as u64,
            Val::List(list) => list.len() as u64,
            Val::Map(map) => map.len() as u64,
            Val::Optional(Some(inner)) => inner.size(),
            Val::Ip(IpAddr::V4(_)) => 4,
            Val::Ip(IpAddr::V6(_)) => 16,
            Val::Cidr(cidr) => {
                if cidr.address.is_ipv4() {
                    4
                } else {
                    16
                }
            }
            _ => 1,
        }
    }

    /// Whether it is the zero of its type.
    pub fn is_zero(&self) -> bool {
        match self {
            Val::Null => true,
            Val::Bool(b) => !b,
            Val::Int(n) => *n == 0,
            Val::Uint(n) => *n == 0,
            Val::Double(f) => *f == 0.0,
            Val::Duration(n) => *n == 0,
            Val::Str(_) | Val::Bytes(_) | Val::List(_) | Val::Map(_) => self.size() == 0,
            Val::Optional(inner) => inner.is_none(),
            _ => false,
        }
    }

    /// `==`; numbers of different types are compared by value.
    pub fn same(&self, other: &Val<'_>) -> bool {
        match (self, other) {
            (Val::Null, Val::Null) => true,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::Str(a), Val::Str(b)) => a.as_str() == b.as_str(),
            (Val::Bytes(a), Val::Bytes(b)) => a == b,
            (Val::Duration(a), Val::Duration(b)) | (Val::Timestamp(a), Val::Timestamp(b)) => a == b,
            (Val::List(a), Val::List(b)) => a.same(b),
            (Val::Map(a), Val::Map(b)) => a.same(b),
            (Val::Optional(a), Val::Optional(b)) => match (a, b) {
                (None, None) => true,
                (Some(a), Some(b)) => a.same(b),
                _ => false,
            },
            (Val::Type(a), Val::Type(b)) => a == b,
            (Val::Url(a), Val::Url(b)) => a == b,
            (Val::Ip(a), Val::Ip(b)) => a == b,
            (Val::Cidr(a), Val::Cidr(b)) => a == b,
            (Val::Quantity(a), Val::Quantity(b)) => a.cmp(b) == Ordering::Equal,
            (Val::Semver(a), Val::Semver(b)) => a.cmp(b) == Ordering::Equal,
            (Val::Format(a), Val::Format(b)) => a == b,
            (Val::Access(a), Val::Access(b)) => a == b,
            (Val::Struct(a), Val::Struct(b)) => {
                let found = |name: &str| b.fields.iter().find(|(n, _)| **n == *name).map(|(_, v)| v);
                a.name == b.name
                    && a.fields.len() == b.fields.len()
                    && a.fields.iter().all(|(n, v)| found(n).is_some_and(|other| v.same(other)))
            }
            _ => self.order_numbers(other) == Some(Ordering::Equal),
        }
    }

    /// The order of two numbers.
    pub fn order_numbers(&self, other: &Val<'_>) -> Option<Ordering> {
        let whole = |v: &Val<'_>| match v {
            Val::Int(n) => Some(i128::from(*n)),
            Val::Uint(n) => Some(i128::from(*n)),
            _ => None,
        };
        let float = |v: &Val<'_>| match v {
            Val::Int(n) => Some(*n as f64),
            Val::Uint(n) => Some(*n as f64),
            Val::Double(f) => Some(*f),
            _ => None,
        };
        match (whole(self), whole(other)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => float(self)?.partial_cmp(&float(other)?),
        }
    }

    /// The order of two values of a type that has one.
    pub fn order(&self, other: &Val<'_>) -> Option<Ordering> {
        match (self, other) {
            (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
            (Val::Str(a), Val::Str(b)) => Some(a.as_str().cmp(b.as_str())),
            (Val::Bytes(a), Val::Bytes(b)) => Some(a.cmp(b)),
            (Val::Duration(a), Val::Duration(b)) | (Val::Timestamp(a), Val::Timestamp(b)) => Some(a.cmp(b)),
            _ => self.order_numbers(other),
        }
    }

    /// As JSON-like data; `Err` with what has no such form.
    ///
    /// # Errors
    /// The name of a type that has no such form.
    pub fn to_tree(&self) -> Result<Value, String> {
        Ok(match self {
            Val::Null => Value::Null,
            Val::Bool(b) => Value::Bool(*b),
            Val::Int(n) => Value::Int(*n),
            Val::Uint(n) => Value::Int(i64::try_from(*n).map_err(|_| "integer overflow".to_owned())?),
            Val::Double(f) => Value::Float(*f),
            Val::Str(text) => Value::str(text.as_str()),
            Val::Bytes(bytes) => Value::str(time::encode_base64(bytes)),
            Val::Duration(n) => Value::str(time::format_duration(*n)),
            Val::Timestamp(n) => Value::str(time::format_timestamp(*n)),
            Val::List(List::Tree(items, _)) => Value::List(items.to_vec()),
            Val::Map(Mapping::Tree(map, _)) => Value::Map((*map).clone()),
            Val::List(list) => Value::List(list.iter().map(|v| v.to_tree()).collect::<Result<_, _>>()?),
            Val::Map(map) => {
                let mut out = Value::map();
                for (key, value) in map.iter() {
                    out.set(key.as_str().ok_or("map key is no string")?, value.to_tree()?);
                }
                out
            }
            Val::Struct(made) => {
                let mut out = Value::map();
                for (key, value) in &made.fields {
                    out.set(key, value.to_tree()?);
                }
                out
            }
            Val::Quantity(quantity) => Value::str(quantity.to_string()),
            other => return Err(format!("unsupported type {}", other.type_name())),
        })
    }
}

impl fmt::Display for Val<'_> {
    /// As error messages show keys and indices.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Val::Null => f.write_str("null"),
            Val::Bool(b) => write!(f, "{b}"),
            Val::Int(n) => write!(f, "{n}"),
            Val::Uint(n) => write!(f, "{n}"),
            Val::Double(n) => write!(f, "{n}"),
            Val::Str(text) => f.write_str(text.as_str()),
            other => f.write_str(other.type_name()),
        }
    }
}

impl<'a> List<'a> {
    /// How many members.
    pub fn len(&self) -> usize {
        match self {
            List::Tree(items, _) => items.len(),
            List::Made(items) => items.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A member.
    pub fn get(&self, index: usize) -> Option<Val<'a>> {
        match self {
            List::Tree(items, decl) => Some(Val::of(items.get(index)?, item_decl(*decl))),
            List::Made(items) => items.get(index).cloned(),
        }
    }

    /// All members.
    pub fn iter(&self) -> impl Iterator<Item = Val<'a>> + '_ {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    fn same(&self, other: &List<'_>) -> bool {
        let kind = |list: ListType| matches!(list, ListType::Set | ListType::Map);
        let unordered = match self {
            List::Tree(_, Some(decl)) => kind(decl.list_type),
            _ => false,
        };
        self.len() == other.len()
            && if unordered {
                self.iter().all(|a| other.iter().any(|b| a.same(&b)))
            } else {
                self.iter().zip(other.iter()).all(|(a, b)| a.same(&b))
            }
    }

    /// This and another one after it; sets and map lists are merged.
    pub fn joined(&self, other: &List<'a>) -> List<'a> {
        let mut out: Vec<Val<'a>> = self.iter().collect();
        let decl = if let List::Tree(_, Some(decl)) = self { Some(*decl) } else { None };
        match decl.map(|d| d.list_type) {
            Some(ListType::Set) => {
                for item in other.iter() {
                    if !out.iter().any(|o| o.same(&item)) {
                        out.push(item);
                    }
                }
            }
            Some(ListType::Map) => {
                let keys = decl.map(|d| d.list_keys.as_slice()).unwrap_or_default();
                for item in other.iter() {
                    let same_key = |o: &Val<'a>| keys.iter().all(|k| same_field(o, &item, k));
                    match out.iter().position(same_key) {
                        Some(at) => out[at] = item,
                        None => out.push(item),
                    }
                }
            }
            _ => out.extend(other.iter()),
        }
        List::Made(Arc::new(out))
    }
}

fn same_field(a: &Val<'_>, b: &Val<'_>, key: &str) -> bool {
    let field = |v: &Val<'_>| if let Val::Map(Mapping::Tree(map, _)) = v { map.get(key).cloned() } else { None };
    field(a) == field(b)
}

fn item_decl(decl: Option<&Decl>) -> Option<&Decl> {
    match decl.map(|d| &d.shape) {
        Some(Shape::List(of) | Shape::Map(of)) => Some(of),
        _ => None,
    }
}

impl<'a> Mapping<'a> {
    /// How many entries.
    pub fn len(&self) -> usize {
        match self {
            Mapping::Tree(map, Some(Decl { shape: Shape::Object(_), .. })) => {
                map.iter().filter(|(k, _)| self.shows(k)).count()
            }
            Mapping::Tree(map, _) => map.len(),
            Mapping::Made(entries) => entries.len(),
        }
    }

    fn shows(&self, key: &str) -> bool {
        self.ident(key).is_some()
    }

    /// The identifier of a field, or the key of a map.
    fn ident<'k>(&self, key: &'k str) -> Option<Cow<'k, str>> {
        match self {
            Mapping::Tree(_, Some(decl @ Decl { shape: Shape::Object(_), .. })) => {
                let ident = crate::escaping::escape(key)?;
                decl.field(&ident).map(|_| Cow::Owned(ident))
            }
            _ => Some(Cow::Borrowed(key)),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry of a key; fields of objects by their identifiers.
    pub fn get(&self, key: &Val<'_>) -> Option<Val<'a>> {
        match self {
            Mapping::Made(entries) => entries.iter().find(|(k, _)| k.same(key)).map(|(_, v)| v.clone()),
            Mapping::Tree(map, decl) => {
                let key = key.as_str()?;
                match decl {
                    Some(decl @ Decl { shape: Shape::Object(_), .. }) => {
                        let field = decl.field(key)?;
                        Some(Val::of(map.get(&field.name)?, Some(&field.decl)))
                    }
                    _ => Some(Val::of(map.get(key)?, item_decl(*decl))),
                }
            }
        }
    }

    /// All entries.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (Val<'a>, Val<'a>)> + '_> {
        match self {
            Mapping::Made(entries) => Box::new(entries.iter().cloned()),
            Mapping::Tree(map, decl) => Box::new(map.iter().filter_map(move |(k, v)| {
                let ident = self.ident(k)?;
                let decl = match decl {
                    Some(d @ Decl { shape: Shape::Object(_), .. }) => d.field(&ident).map(|f| &*f.decl),
                    other => item_decl(*other),
                };
                let key = match ident {
                    Cow::Borrowed(_) => Val::Str(Text::Borrowed(k)),
                    Cow::Owned(ident) => Val::str(ident),
                };
                Some((key, Val::of(v, decl)))
            })),
        }
    }

    fn same(&self, other: &Mapping<'_>) -> bool {
        self.len() == other.len() && self.iter().all(|(k, v)| other.get(&k).is_some_and(|o| v.same(&o)))
    }
}
