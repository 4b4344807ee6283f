//! Schemas of custom resources: parsed once from `openAPIV3Schema`, then used to prune, default, validate and merge their objects, which are values
//! without a static type. Pure functions. Corresponds to apiextensions-apiserver's pkg/apiserver/schema and validation. CEL rules are not here.

mod default;
mod formats;
mod lists;
mod metadata;
mod prune;
mod types;
mod validate;

use std::collections::BTreeMap;

use regex::Regex;

use crate::schema::{ListType, MapType};
use crate::value::Value;

pub use default::{default, prune_nulls};
pub use formats::knows_format;
pub use lists::validate_lists;
pub use metadata::{coerce, decode_metadata, validate_metadata};
pub use prune::prune;
pub use types::to_type;
pub use validate::{validate, validate_update};

/// The JSON type that a schema asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SchemaType {
    /// No type is given.
    #[default]
    Unset,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl SchemaType {
    /// As schemas spell it; "" if unset.
    pub fn as_str(self) -> &'static str {
        match self {
            SchemaType::Unset => "",
            SchemaType::Object => "object",
            SchemaType::Array => "array",
            SchemaType::String => "string",
            SchemaType::Integer => "integer",
            SchemaType::Number => "number",
            SchemaType::Boolean => "boolean",
        }
    }

    fn parse(text: &str) -> SchemaType {
        use SchemaType::{Array, Boolean, Integer, Number, Object, String, Unset};
        [Object, Array, String, Integer, Number, Boolean].into_iter().find(|t| t.as_str() == text).unwrap_or(Unset)
    }
}

/// What entries beyond the properties may be.
#[derive(Clone, Debug, Default)]
pub enum Additional {
    /// Nothing is said.
    #[default]
    Unset,
    /// Anything, or nothing.
    Allowed(bool),
    /// Values of this schema.
    Schema(Box<Structural>),
}

/// A pattern, which may turn out to be none.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As written.
    pub text: String,
    /// Compiled, or why it cannot be.
    pub regex: Result<Regex, String>,
}

/// A parsed schema.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names are those of JSON schema")]
pub struct Structural {
    pub ty: SchemaType,
    pub nullable: bool,
    pub int_or_string: bool,
    pub preserve_unknown: bool,
    pub embedded_resource: bool,
    pub properties: BTreeMap<Box<str>, Structural>,
    pub additional: Additional,
    pub items: Option<Box<Structural>>,
    pub default: Option<Value>,
    pub list_type: ListType,
    pub list_map_keys: Vec<String>,
    pub map_type: Option<MapType>,
    pub format: String,
    pub pattern: Option<Pattern>,
    pub max_length: Option<i64>,
    pub min_length: Option<i64>,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub multiple_of: Option<f64>,
    pub max_items: Option<i64>,
    pub min_items: Option<i64>,
    pub unique_items: bool,
    pub max_properties: Option<i64>,
    pub min_properties: Option<i64>,
    pub required: Vec<String>,
    pub enum_values: Vec<Value>,
    pub all_of: Vec<Structural>,
    pub any_of: Vec<Structural>,
    pub one_of: Vec<Structural>,
    pub not: Option<Box<Structural>>,
}

/// Embedded JSON as a tree.
fn tree(value: &Value) -> Value {
    let mut value = value.clone();
    value.expand_raw();
    value
}

impl Structural {
    /// Parses a JSONSchemaProps value (`openAPIV3Schema` of a definition). Whether it is structural is not checked.
    pub fn parse(schema: &Value) -> Structural {
        let text = |key: &str| schema.get(key).str_or_empty().to_owned();
        let flag = |key: &str| schema.get(key).as_bool().unwrap_or(false);
        let int = |key: &str| schema.get(key).as_i64();
        let float = |key: &str| schema.get(key).as_f64();
        let many = |key: &str| schema.get(key).items().iter().map(Structural::parse).collect::<Vec<_>>();
        let strings =
            |key: &str| schema.get(key).items().iter().map(|v| v.str_or_empty().to_owned()).collect::<Vec<_>>();
        let ty = SchemaType::parse(schema.get("type").str_or_empty());
        Structural {
            ty,
            nullable: flag("nullable"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded_resource: flag("x-kubernetes-embedded-resource"),
            properties: schema.get("properties").entries().map(|(k, v)| (k.into(), Structural::parse(v))).collect(),
            additional: match schema.get("additionalProperties") {
                Value::Bool(allowed) => Additional::Allowed(*allowed),
                value @ Value::Map(_) => Additional::Schema(Box::new(Structural::parse(value))),
                _ => Additional::Unset,
            },
            items: schema.get("items").as_map().map(|_| Box::new(Structural::parse(schema.get("items")))),
            default: Some(tree(schema.get("default"))).filter(|d| !d.is_null()),
            list_type: match schema.get("x-kubernetes-list-type").str_or_empty() {
                "atomic" => ListType::Atomic,
                "set" => ListType::Set,
                "map" => ListType::Map,
                _ => ListType::Unset,
            },
            list_map_keys: strings("x-kubernetes-list-map-keys"),
            map_type: match schema.get("x-kubernetes-map-type").str_or_empty() {
                "atomic" => Some(MapType::Atomic),
                "granular" => Some(MapType::Granular),
                _ => None,
            },
            format: formats::supported(ty, schema.get("format").str_or_empty()).to_owned(),
            pattern: Some(text("pattern"))
                .filter(|p| !p.is_empty())
                .map(|text| Pattern { regex: Regex::new(&text).map_err(|e| e.to_string()), text }),
            max_length: int("maxLength"),
            min_length: int("minLength"),
            maximum: float("maximum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            minimum: float("minimum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            multiple_of: float("multipleOf"),
            max_items: int("maxItems"),
            min_items: int("minItems"),
            unique_items: flag("uniqueItems"),
            max_properties: int("maxProperties"),
            min_properties: int("minProperties"),
            required: strings("required"),
            enum_values: schema.get("enum").items().iter().map(tree).collect(),
            all_of: many("allOf"),
            any_of: many("anyOf"),
            one_of: many("oneOf"),
            not: schema.get("not").as_map().map(|_| Box::new(Structural::parse(schema.get("not")))),
        }
    }

    /// The schema of a map's entry or a struct's field.
    pub fn member(&self, key: &str) -> Option<&Structural> {
        self.properties.get(key).or(match &self.additional {
            Additional::Schema(schema) => Some(schema),
            _ => None,
        })
    }

    /// The same schema for an object with apiVersion, kind and metadata of its own.
    fn as_resource(&self) -> Structural {
        Structural { embedded_resource: true, ..self.clone() }
    }
}

/// Members that belong to the object itself, not to its schema.
fn is_meta(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata")
}

/// `parent.key`, or `key` at the root.
fn joined(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}
