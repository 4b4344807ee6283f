//! The schema as merging sees it: what a value may be, and how it is divided among owners. Corresponds to kube-openapi's
//! schemaconv and structured-merge-diff's schema.

use std::borrow::Cow;

use super::set::PathElement;
use crate::codec::json::decode_untyped;
use crate::schema::{Field, Form, ListType, MapType, Shape, Type};
use crate::value::Value;

/// A place in the schema.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    /// A type, as the root of an object.
    Type(&'a Type),
    /// The value of a field.
    Field(&'a Field),
    /// An element of a list or map.
    Shape(&'a Shape),
    /// Anything, owned as a whole.
    Atomic,
    /// Anything; maps are owned entry by entry.
    Deduced,
}

/// What a scalar may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Numeric,
    String,
    Boolean,
    Untyped,
}

/// How a list is divided.
#[derive(Clone, Copy)]
pub(super) struct ListAtom<'a> {
    pub(super) associative: bool,
    pub(super) keys: Keys<'a>,
    pub(super) element: Node<'a>,
}

/// The members that tell elements of a list apart; none for sets.
#[derive(Clone, Copy)]
pub(super) enum Keys<'a> {
    None,
    One(&'a str),
    Many(&'a [Cow<'static, str>]),
}

impl<'a> Keys<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = &'a str> {
        let (one, many) = match self {
            Keys::None => (None, &[][..]),
            Keys::One(key) => (Some(key), &[][..]),
            Keys::Many(keys) => (None, keys),
        };
        one.into_iter().chain(many.iter().map(AsRef::as_ref))
    }
}

/// How a map is divided.
#[derive(Clone, Copy)]
pub(super) struct MapAtom<'a> {
    pub(super) atomic: bool,
    /// The struct, if it is one.
    pub(super) ty: Option<&'a Type>,
    /// What entries that are no fields are; nothing if there must be none.
    pub(super) element: Option<Node<'a>>,
}

impl<'a> MapAtom<'a> {
    /// The declared field.
    pub(super) fn field(&self, name: &str) -> Option<Node<'a>> {
        self.ty?.field(name).map(Node::Field)
    }

    /// The declared field, or what any entry is.
    pub(super) fn member(&self, name: &str) -> Option<Node<'a>> {
        self.field(name).or(self.element)
    }
}

/// What a value may be.
#[derive(Clone, Copy, Default)]
pub(super) struct Atom<'a> {
    pub(super) scalar: Option<Scalar>,
    pub(super) list: Option<ListAtom<'a>>,
    pub(super) map: Option<MapAtom<'a>>,
}

impl<'a> Atom<'a> {
    fn scalar(scalar: Scalar) -> Atom<'a> {
        Atom { scalar: Some(scalar), ..Atom::default() }
    }

    fn map(map: MapAtom<'a>) -> Atom<'a> {
        Atom { map: Some(map), ..Atom::default() }
    }

    fn anything(map_element: Node<'a>, atomic: bool) -> Atom<'a> {
        Atom {
            scalar: Some(Scalar::Untyped),
            list: Some(ListAtom { associative: false, keys: Keys::None, element: Node::Atomic }),
            map: Some(MapAtom { atomic, ty: None, element: Some(map_element) }),
        }
    }

    /// Only what `value` is, if that is allowed.
    pub(super) fn deduce(self, value: Option<&Value>) -> Atom<'a> {
        match value {
            Some(Value::Int(_) | Value::Float(_) | Value::Str(_) | Value::Bool(_)) if self.scalar.is_some() => {
                Atom { scalar: self.scalar, ..Atom::default() }
            }
            Some(Value::List(_)) if self.list.is_some() => Atom { list: self.list, ..Atom::default() },
            Some(Value::Map(_)) if self.map.is_some() => Atom { map: self.map, ..Atom::default() },
            _ => self,
        }
    }

    /// Which of the three is looked at: maps before scalars before lists.
    pub(super) fn kind(&self) -> Kind<'a> {
        match (self.map, self.scalar, self.list) {
            (Some(map), _, _) => Kind::Map(map),
            (None, Some(scalar), _) => Kind::Scalar(scalar),
            (None, None, Some(list)) => Kind::List(list),
            (None, None, None) => Kind::Scalar(Scalar::Untyped),
        }
    }
}

/// What a value is taken for.
#[derive(Clone, Copy)]
pub(super) enum Kind<'a> {
    Map(MapAtom<'a>),
    Scalar(Scalar),
    List(ListAtom<'a>),
}

impl Kind<'_> {
    pub(super) fn same(&self, other: &Kind<'_>) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl<'a> Node<'a> {
    pub(super) fn resolve(self) -> Atom<'a> {
        match self {
            Node::Atomic => Atom::anything(Node::Atomic, true),
            Node::Deduced => Atom::anything(Node::Deduced, false),
            Node::Type(ty) => type_atom(ty, None),
            Node::Field(field) => shape_atom(&field.shape, Some(field)),
            Node::Shape(shape) => shape_atom(shape, None),
        }
    }
}

fn type_atom<'a>(ty: &'a Type, field: Option<&'a Field>) -> Atom<'a> {
    if let Form::Named(shape) = &ty.form {
        return shape_atom(shape, field);
    }
    let free = ty.extra.preserve_unknown || ty.fields.is_empty();
    let map_type = field.and_then(|f| f.map_type).or(ty.extra.map_type);
    Atom::map(MapAtom {
        atomic: map_type == Some(MapType::Atomic),
        ty: Some(ty),
        element: free.then_some(Node::Deduced),
    })
}

fn shape_atom<'a>(shape: &'a Shape, field: Option<&'a Field>) -> Atom<'a> {
    match shape {
        Shape::Bool => Atom::scalar(Scalar::Boolean),
        Shape::Int32 | Shape::Int64 | Shape::Uint32 | Shape::Uint64 | Shape::Float32 | Shape::Float64 => {
            Atom::scalar(Scalar::Numeric)
        }
        Shape::String if field.is_some_and(|f| !matches!(f.format, "" | "byte")) => Atom::scalar(Scalar::Untyped),
        Shape::String | Shape::Bytes | Shape::Duration => Atom::scalar(Scalar::String),
        Shape::Time | Shape::MicroTime | Shape::Quantity | Shape::TimeOrMetaDuration => Atom::scalar(Scalar::Untyped),
        Shape::RawExtension | Shape::Unknown => Atom::anything(Node::Atomic, true),
        Shape::FieldsV1 => Atom::map(MapAtom { atomic: false, ty: None, element: Some(Node::Deduced) }),
        Shape::Any
        | Shape::IntOrString
        | Shape::Json
        | Shape::SchemaOrBool(_)
        | Shape::SchemaOrArray(_)
        | Shape::SchemaOrStrings(_) => Atom::anything(Node::Deduced, false),
        Shape::Struct(ty) => type_atom(ty, field),
        Shape::Nullable(inner) => shape_atom(inner, field),
        Shape::Map(inner) => Atom::map(MapAtom {
            atomic: field.is_some_and(|f| f.map_type == Some(MapType::Atomic)),
            ty: None,
            element: Some(Node::Shape(inner)),
        }),
        Shape::List(inner) => Atom { list: Some(list_atom(Node::Shape(inner), field)), ..Atom::default() },
        Shape::WrappedStrings => {
            let element = Node::Shape(&Shape::String);
            Atom { list: Some(ListAtom { associative: false, keys: Keys::None, element }), ..Atom::default() }
        }
    }
}

fn list_atom<'a>(element: Node<'a>, field: Option<&'a Field>) -> ListAtom<'a> {
    let of = |associative, keys| ListAtom { associative, keys, element };
    let Some(field) = field else { return of(false, Keys::None) };
    match field.list_type {
        ListType::Atomic => of(false, Keys::None),
        ListType::Set => of(true, Keys::None),
        ListType::Map => of(true, Keys::Many(&field.list_map_keys)),
        ListType::Unset => match (field.patch_strategy, field.patch_merge_key) {
            ("merge" | "merge,retainKeys", "") => of(true, Keys::None),
            ("merge" | "merge,retainKeys", key) => of(true, Keys::One(key)),
            _ => of(false, Keys::None),
        },
    }
}

/// The path element of an element of an associative list.
///
/// # Errors
/// If the element cannot be told from others; in upstream's words.
pub(super) fn element_of(list: &ListAtom<'_>, item: &Value) -> Result<PathElement, String> {
    if !list.associative {
        return Err("invalid indexing of non-associative list".to_owned());
    }
    if matches!(list.keys, Keys::None) {
        return match item {
            Value::Map(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Value::List(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            scalar => Ok(PathElement::Value(scalar.clone())),
        };
    }
    let map = match item {
        Value::Map(map) => map,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let mut fields: Vec<(Box<str>, Value)> = Vec::new();
    for key in list.keys.iter() {
        let value = map.get(key).cloned().or_else(|| key_default(list, key));
        fields.extend(value.map(|v| (key.into(), v)));
    }
    if fields.is_empty() {
        let keys: Vec<&str> = list.keys.iter().collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields {} (and doesn't have default values for any key fields)",
            crate::quote::quote_slice(keys)
        ));
    }
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(PathElement::Key(fields))
}

/// The published default of a key.
fn key_default(list: &ListAtom<'_>, key: &str) -> Option<Value> {
    let field = list.element.resolve().map?.ty?.field(key)?;
    if field.default.is_empty() {
        return None;
    }
    decode_untyped(field.default.as_bytes()).ok().filter(|v| !v.is_null())
}
