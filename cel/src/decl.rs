//! What expressions know of an object's schema: types of fields, and how large values may become.
//! Upstream: apiserver/pkg/cel/{types.go,common/schemas.go}

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use apimachinery::schema::{ListType, MapType};
use apimachinery::structural::{Additional, SchemaType, Structural};

use crate::escaping::escape;
use crate::types::Type;

/// The largest request, in bytes: what bounds values that nothing else bounds.
pub const MAX_REQUEST: i64 = 3 * 1024 * 1024;

/// A declared type.
#[derive(Clone, Debug)]
pub struct Decl {
    /// Its form.
    pub shape: Shape,
    /// How the checker sees it.
    pub ty: Type,
    /// How many members or bytes it has at most.
    pub max_elements: i64,
    /// How many bytes of JSON it takes at least.
    pub min_size: i64,
    /// Lists: how members are told apart.
    pub list_type: ListType,
    /// Lists of type map: the keys.
    pub list_keys: Vec<String>,
    /// Maps: true if they are one value.
    pub atomic: bool,
}

/// The form of a declared type.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Shape {
    Dyn,
    Bool,
    Int,
    Double,
    String,
    Bytes,
    Duration,
    Date,
    Timestamp,
    List(Arc<Decl>),
    Map(Arc<Decl>),
    /// Fields by the identifiers that name them.
    Object(BTreeMap<Box<str>, Field>),
}

/// A field of an object.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in JSON.
    pub name: Box<str>,
    /// Its type.
    pub decl: Arc<Decl>,
}

impl Decl {
    /// Of a shape whose type is known.
    pub fn new(shape: Shape, ty: Type, max_elements: i64, min_size: i64) -> Self {
        let list_type = ListType::Unset;
        Self { shape, ty, max_elements, min_size, list_type, list_keys: Vec::new(), atomic: false }
    }

    /// Anything.
    pub fn dynamic() -> Self {
        Self::new(Shape::Dyn, Type::Dyn, 0, 1)
    }

    /// A string that nothing bounds.
    pub fn string() -> Self {
        Self::new(Shape::String, Type::String, MAX_REQUEST - 2, 2)
    }

    /// A boolean.
    pub fn bool() -> Self {
        Self::new(Shape::Bool, Type::Bool, 0, 4)
    }

    /// A whole number.
    pub fn int() -> Self {
        Self::new(Shape::Int, Type::Int, 0, 1)
    }

    /// A list with at most `max` members, or as many as fit into a request.
    pub fn list(of: Decl, max: Option<i64>) -> Self {
        let max = max.map_or_else(|| (MAX_REQUEST - 2) / (of.min_size + 1), |m| m.max(0));
        let ty = Type::list(of.ty.clone());
        Self::new(Shape::List(Arc::new(of)), ty, max, 2)
    }

    /// A map of strings with at most `max` entries, or as many as fit into a request.
    pub fn map(of: Decl, max: Option<i64>) -> Self {
        let max = max.map_or_else(|| (MAX_REQUEST - 2) / (of.min_size + 6), |m| m.max(0));
        let ty = Type::map(Type::String, of.ty.clone());
        Self::new(Shape::Map(Arc::new(of)), ty, max, 2)
    }

    /// An object named `name` with these fields (JSON names).
    pub fn object(name: &str, fields: impl IntoIterator<Item = (Box<str>, Decl)>) -> Self {
        let fields = fields
            .into_iter()
            .filter_map(|(json, decl)| Some((escape(&json)?.into(), Field { name: json, decl: Arc::new(decl) })));
        Self::new(Shape::Object(fields.collect()), Type::object(name), 0, 2)
    }

    /// Variables by their names, as the type `name`; what expressions cannot see of their types is anything.
    pub fn variables<'t>(name: &str, types: impl IntoIterator<Item = (&'t str, &'t Type)>) -> Self {
        let fields = types.into_iter().map(|(name, ty)| {
            let decl = Self { ty: seen(ty), ..Self::dynamic() };
            (name.into(), Field { name: name.into(), decl: Arc::new(decl) })
        });
        Self::new(Shape::Object(fields.collect()), Type::object(name), 0, 2)
    }

    /// The declaration of a schema, whose objects are named after `name`; `None` if expressions cannot see it.
    pub fn of_schema(schema: &Structural, is_resource: bool, name: &str) -> Option<Self> {
        if schema.int_or_string {
            let max = schema.max_length.map_or(MAX_REQUEST - 2, |m| m.max(0) * 4);
            return Some(Self::new(Shape::Dyn, Type::Dyn, max, 1));
        }
        let embedded = |s: &Structural, name: &str| Self::of_schema(s, s.embedded_resource, name);
        let ty = if is_resource { SchemaType::Object } else { schema.ty };
        match ty {
            SchemaType::Array => {
                let of = embedded(schema.items.as_deref()?, &format!("{name}.@idx"))?;
                let mut out = Self::list(of, schema.max_items);
                out.list_type = schema.list_type;
                out.list_keys.clone_from(&schema.list_map_keys);
                Some(out)
            }
            SchemaType::Object => {
                if let Additional::Schema(inner) = &schema.additional {
                    let of = embedded(inner, &format!("{name}.@elem"))?;
                    let mut out = Self::map(of, schema.max_properties);
                    out.atomic = schema.map_type == Some(MapType::Atomic);
                    return Some(out);
                }
                Some(Self::of_object(schema, is_resource, name))
            }
            SchemaType::String => Some(Self::of_string(schema)),
            SchemaType::Boolean => Some(Self::bool()),
            SchemaType::Number => Some(Self::new(Shape::Double, Type::Double, 0, 1)),
            SchemaType::Integer => Some(Self::int()),
            SchemaType::Unset => None,
        }
    }

    fn of_object(schema: &Structural, is_resource: bool, name: &str) -> Self {
        let mut min_size = 2;
        let mut fields: Vec<(Box<str>, Decl)> = Vec::new();
        for (key, property) in &schema.properties {
            if is_resource && matches!(&**key, "apiVersion" | "kind" | "metadata") {
                continue;
            }
            let path = format!("{name}.{key}");
            let Some(decl) = Self::of_schema(property, property.embedded_resource, &path) else { continue };
            if schema.required.iter().any(|r| **r == **key) && property.default.is_none() {
                min_size += i64::try_from(key.len()).unwrap_or(0) + decl.min_size + 4;
            }
            fields.push((key.clone(), decl));
        }
        if is_resource {
            let meta = ["name", "generateName"].map(|n| (n.into(), Self::string()));
            fields.push(("metadata".into(), Self::object(&format!("{name}.metadata"), meta)));
            fields.extend(["apiVersion", "kind"].map(|n| (n.into(), Self::string())));
        }
        let mut out = Self::object(name, fields);
        out.min_size = min_size;
        out.atomic = schema.map_type == Some(MapType::Atomic);
        out
    }

    fn of_string(schema: &Structural) -> Self {
        let whole = MAX_REQUEST - 2;
        match schema.format.as_str() {
            "byte" => Self::new(Shape::Bytes, Type::Bytes, schema.max_length.map_or(whole, |m| m.max(0)), 2),
            "duration" => Self::new(Shape::Duration, Type::Duration, 32, 3),
            "date" => Self::new(Shape::Date, Type::Timestamp, 12, 12),
            "date-time" | "datetime" => Self::new(Shape::Timestamp, Type::Timestamp, 32, 21),
            _ => {
                let longest = || schema.enum_values.iter().filter_map(|v| v.as_str()).map(str::len).max();
                let max = match schema.max_length {
                    Some(max) => max.max(0) * 4,
                    None if !schema.enum_values.is_empty() => i64::try_from(longest().unwrap_or(0)).unwrap_or(whole),
                    None => whole,
                };
                Self::new(Shape::String, Type::String, max, 2)
            }
        }
    }

    /// The field that an identifier names; words of the language may also be written as they are.
    pub fn field(&self, ident: &str) -> Option<&Field> {
        let Shape::Object(fields) = &self.shape else { return None };
        fields.get(ident).or_else(|| {
            crate::escaping::RESERVED.contains(&ident).then(|| fields.get(format!("__{ident}__").as_str()))?
        })
    }

    /// Adds every object below to `index` by the name of its type.
    pub(crate) fn collect(self: &Arc<Self>, index: &mut HashMap<Arc<str>, Arc<Decl>>) {
        match &self.shape {
            Shape::List(of) | Shape::Map(of) => of.collect(index),
            Shape::Object(fields) => {
                if let Type::Struct(name) = &self.ty {
                    index.insert(name.clone(), self.clone());
                }
                fields.values().for_each(|f| f.decl.collect(index));
            }
            _ => {}
        }
    }
}

/// The type of a variable as expressions see it: scalars, and lists and maps of what is seen.
fn seen(ty: &Type) -> Type {
    match ty {
        Type::List(of) => Type::list(seen(of)),
        Type::Map(kv) => Type::map(seen(&kv.0), seen(&kv.1)),
        Type::Bool
        | Type::Bytes
        | Type::Double
        | Type::Duration
        | Type::Int
        | Type::Null
        | Type::String
        | Type::Timestamp
        | Type::Uint => ty.clone(),
        _ => Type::Dyn,
    }
}
