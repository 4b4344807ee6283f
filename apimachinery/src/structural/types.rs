//! A schema as a type of the table's form, so that merging (server-side apply) works on custom resources as on all others.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Additional, SchemaType, Structural};
use crate::codec::json::to_string;
use crate::schema::{Field, FieldMeta, Form, Ref, Shape, Type, TypeExtra, TypeRef, type_by_name};

/// The type of a custom resource's objects.
pub fn to_type(schema: &Structural, group: &str, version: &str, kind: &str) -> TypeRef {
    let schema = &with_inherited(schema.clone(), false);
    let mut fields = members(schema);
    for name in ["apiVersion", "kind"] {
        fields.retain(|f| *f.json_name != *name);
        fields.push(field(name, Shape::String, FieldMeta::default()));
    }
    if let Some(metadata) = type_by_name("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta") {
        fields.retain(|f| *f.json_name != *"metadata");
        fields.push(field("metadata", Shape::Struct(Ref::Static(metadata)), FieldMeta::default()));
    }
    structure(fields, schema, [kind, group, version, kind])
}

/// For merging, unknown fields are kept also in what is below a part that keeps them.
/// upstream: kube-openapi/pkg/schemaconv/openapi.go
fn with_inherited(mut schema: Structural, above: bool) -> Structural {
    schema.preserve_unknown |= above;
    let here = schema.preserve_unknown;
    for property in schema.properties.values_mut() {
        *property = with_inherited(std::mem::take(property), here);
    }
    if let Some(items) = &mut schema.items {
        **items = with_inherited(std::mem::take(items), here);
    }
    if let Additional::Schema(values) = &mut schema.additional {
        **values = with_inherited(std::mem::take(values), here);
    }
    schema
}

fn field(name: &str, shape: Shape, meta: FieldMeta) -> Field {
    Field {
        json_name: name.into(),
        shape,
        pointer: true,
        omitempty: true,
        omitzero: false,
        required: false,
        tag: 0,
        meta: Ref::Dynamic(Arc::new(meta)),
    }
}

/// A struct type named by name, group, version and kind.
fn structure(mut fields: Vec<Field>, schema: &Structural, names: [&str; 4]) -> TypeRef {
    fields.sort_by_cached_key(|f| f.json_name.to_string());
    let by_name: Vec<u16> = (0..fields.len()).map_while(|i| u16::try_from(i).ok()).collect();
    let [name, group, version, kind] = names;
    Ref::Dynamic(Arc::new(Type {
        name: name.into(),
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        form: Form::Struct,
        fields: fields.into(),
        by_name: by_name.into(),
        wire: Vec::new().into(),
        list_item: None,
        extra: Ref::Dynamic(Arc::new(TypeExtra {
            unstructured: true,
            preserve_unknown: schema.preserve_unknown,
            embedded_resource: schema.embedded_resource,
            map_type: schema.map_type,
            ..TypeExtra::default()
        })),
    }))
}

fn members(schema: &Structural) -> Vec<Field> {
    schema.properties.iter().map(|(name, property)| field(name, shape(property), meta(property))).collect()
}

fn meta(schema: &Structural) -> FieldMeta {
    FieldMeta {
        default: Cow::Owned(schema.default.as_ref().map(to_string).unwrap_or_default()),
        format: match schema.format.as_str() {
            "" => "",
            "byte" => "byte",
            "int32" => "int32",
            "int64" => "int64",
            "double" => "double",
            "float" => "float",
            // Merging only asks whether there is one.
            _ => "other",
        },
        list_type: schema.list_type,
        list_map_keys: Cow::Owned(schema.list_map_keys.iter().map(|k| Cow::Owned(k.clone())).collect()),
        map_type: schema.map_type,
        ..FieldMeta::default()
    }
}

fn shape(schema: &Structural) -> Shape {
    if schema.int_or_string {
        return Shape::IntOrString;
    }
    match schema.ty {
        SchemaType::Unset => Shape::Any,
        SchemaType::String => Shape::String,
        SchemaType::Integer => Shape::Int64,
        SchemaType::Number => Shape::Float64,
        SchemaType::Boolean => Shape::Bool,
        SchemaType::Array => {
            let items = schema.items.as_deref().map_or(Shape::Any, shape);
            Shape::List(Ref::Dynamic(Arc::new(items)))
        }
        SchemaType::Object => match &schema.additional {
            Additional::Schema(inner) => Shape::Map(Ref::Dynamic(Arc::new(shape(inner)))),
            Additional::Allowed(true) if schema.properties.is_empty() => Shape::Map(Ref::Dynamic(Arc::new(Shape::Any))),
            _ => Shape::Struct(structure(members(schema), schema, ["", "", "", ""])),
        },
    }
}
