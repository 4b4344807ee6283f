//! What the schema says about merging a field.

use super::super::PatchError;
use super::{MERGE, REPLACE, unexpected};
use crate::quote::quote;
use crate::schema::{Field, Form, Shape, Type};

/// The place in the schema that a map of the tree belongs to.
#[derive(Clone, Copy)]
pub(super) enum Schema<'a> {
    Type(&'a Type),
    Shape(&'a Shape),
}

/// How a field merges.
#[derive(Clone, Copy, Default)]
pub(super) struct PatchMeta<'a> {
    /// The strategy besides retainKeys: `merge`, `replace` or "".
    pub(super) strategy: &'a str,
    pub(super) retain_keys: bool,
    /// The member that tells elements apart; "" for none.
    pub(super) merge_key: &'a str,
}

impl PatchMeta<'_> {
    pub(super) fn merges(&self) -> bool {
        self.strategy == MERGE
    }

    pub(super) fn replaces(&self) -> bool {
        self.strategy == REPLACE
    }
}

impl<'a> Schema<'a> {
    /// The kind of type, in Go's words.
    pub(super) fn name(self) -> &'static str {
        match self.resolve() {
            Schema::Type(_) => "struct",
            Schema::Shape(shape) => kind_name(shape),
        }
    }

    fn resolve(self) -> Schema<'a> {
        match self {
            Schema::Type(Type { form: Form::Named(shape), .. }) => Schema::Shape(shape).resolve(),
            Schema::Shape(Shape::Nullable(inner)) => Schema::Shape(inner).resolve(),
            Schema::Shape(Shape::Struct(ty)) => match &ty.form {
                Form::Named(shape) => Schema::Shape(shape).resolve(),
                Form::Struct => Schema::Type(ty),
            },
            other => other,
        }
    }

    fn field(self, key: &str) -> Result<&'a Field, PatchError> {
        let missing = |name: &str| {
            let key = quote(key);
            unexpected(format!("unable to find api field in struct {name} for the json field {key}"))
        };
        match self.resolve() {
            Schema::Type(ty) => ty
                .field(key)
                .or_else(|| ty.fields.iter().find(|f| f.json_name.eq_ignore_ascii_case(key)))
                .ok_or_else(|| missing(ty.go_name())),
            Schema::Shape(shape) if kind_name(shape) == "struct" => Err(missing(struct_name(shape))),
            Schema::Shape(shape) => Err(unexpected(format!(
                "merging an object in json but data type is not struct, instead is: {}",
                kind_name(shape)
            ))),
        }
    }

    /// The schema of the map under `key`, and how it merges.
    pub(super) fn map(self, key: &str) -> Result<(Schema<'a>, PatchMeta<'a>), PatchError> {
        let field = self.field(key)?;
        Ok((Schema::Shape(&field.shape), meta(field)?))
    }

    /// The schema of the elements of the list under `key`, and how it merges.
    pub(super) fn list(self, key: &str) -> Result<(Schema<'a>, PatchMeta<'a>), PatchError> {
        let field = self.field(key)?;
        let Schema::Shape(Shape::List(element)) = Schema::Shape(&field.shape).resolve() else {
            return Err(unexpected(format!("expected slice or array type, but got: {}", self.name())));
        };
        if matches!(**element, Shape::List(_)) {
            return Err(unexpected("unexpected slice of slice"));
        }
        Ok((Schema::Shape(element), meta(field)?))
    }
}

fn meta(field: &Field) -> Result<PatchMeta<'_>, PatchError> {
    let strategies: Vec<&str> = field.patch_strategy.split(',').collect();
    let merge_key = field.patch_merge_key;
    let of = |strategy, retain_keys| Ok(PatchMeta { strategy, retain_keys, merge_key });
    match strategies[..] {
        ["retainKeys"] => of("", true),
        [one] => of(one, false),
        ["retainKeys", other] | [other, "retainKeys"] => of(other, true),
        _ => Err(unexpected(format!("unexpected patch strategy: [{}]", strategies.join(" ")))),
    }
}

fn kind_name(shape: &Shape) -> &'static str {
    match shape {
        Shape::Bool => "bool",
        Shape::Int32 => "int32",
        Shape::Int64 => "int64",
        Shape::Uint32 => "uint32",
        Shape::Uint64 => "uint64",
        Shape::Float32 => "float32",
        Shape::Float64 => "float64",
        Shape::String => "string",
        Shape::Bytes | Shape::List(_) | Shape::WrappedStrings => "slice",
        Shape::Any => "interface",
        Shape::Map(_) => "map",
        _ => "struct",
    }
}

fn struct_name(shape: &Shape) -> &'static str {
    match shape {
        Shape::RawExtension => "RawExtension",
        Shape::Quantity => "Quantity",
        Shape::IntOrString => "IntOrString",
        Shape::Time => "Time",
        Shape::MicroTime => "MicroTime",
        Shape::FieldsV1 => "FieldsV1",
        Shape::Json => "JSON",
        Shape::Unknown => "Unknown",
        Shape::SchemaOrArray(_) => "JSONSchemaPropsOrArray",
        Shape::SchemaOrBool(_) => "JSONSchemaPropsOrBool",
        Shape::SchemaOrStrings(_) => "JSONSchemaPropsOrStringArray",
        _ => "Duration",
    }
}
