//! Types as OpenAPI v3 schemas. The v2 document has the same ones in a simpler form.

use crate::codec::json::decode_untyped;
use crate::meta::split_api_version;
use crate::schema::{Field, Form, ListType, MapType, Shape, Type, kinds_of};
use crate::value::{Map, Value};

/// Where references of v3 documents point.
pub const SCHEMA_PREFIX: &str = "#/components/schemas/";

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const APIEXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

/// Fields that upstream leaves without a description, so that their reference stands alone.
const BARE: &[(&str, &str)] = &[
    ("io.k8s.api.networking.v1.IngressRule", "http"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "additionalItems"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "additionalProperties"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "example"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "externalDocs"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "items"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "not"),
];

/// The id of the type that a shape refers to; none if it is written in place.
pub fn reference_name(shape: &Shape) -> Option<String> {
    let meta = |name: &str| Some(format!("{META}{name}"));
    let beside = |ty: &Type, name: &str| Some(format!("{}.{name}", ty.name.rsplit_once('.').map_or("", |(p, _)| p)));
    match shape {
        Shape::Struct(ty) => Some(ty.name.to_string()),
        Shape::Time => meta("Time"),
        Shape::MicroTime => meta("MicroTime"),
        Shape::Duration => meta("Duration"),
        Shape::FieldsV1 => meta("FieldsV1"),
        Shape::Quantity => Some("io.k8s.apimachinery.pkg.api.resource.Quantity".to_owned()),
        Shape::IntOrString => Some("io.k8s.apimachinery.pkg.util.intstr.IntOrString".to_owned()),
        Shape::RawExtension => Some("io.k8s.apimachinery.pkg.runtime.RawExtension".to_owned()),
        Shape::Unknown => Some("io.k8s.apimachinery.pkg.runtime.Unknown".to_owned()),
        Shape::Json => Some(format!("{APIEXTENSIONS}JSON")),
        Shape::SchemaOrBool(ty) => beside(ty, "JSONSchemaPropsOrBool"),
        Shape::SchemaOrArray(ty) => beside(ty, "JSONSchemaPropsOrArray"),
        Shape::SchemaOrStrings(ty) => beside(ty, "JSONSchemaPropsOrStringArray"),
        Shape::Nullable(inner) => reference_name(inner),
        _ => None,
    }
}

/// Types that a type refers to.
pub(super) fn references(ty: &Type, found: &mut dyn FnMut(String)) {
    fn walk(shape: &Shape, found: &mut dyn FnMut(String)) {
        match shape {
            Shape::List(inner) | Shape::Map(inner) => walk(inner, found),
            shape => {
                if let Some(name) = reference_name(shape) {
                    found(name);
                }
            }
        }
    }
    if ty.is_struct() {
        ty.fields.iter().for_each(|f| walk(&f.shape, found));
    }
}

fn parsed(json: &str) -> Value {
    decode_untyped(json.as_bytes()).unwrap_or_default()
}

fn scalar(ty: &str, format: &str) -> Map {
    let mut map = Map::new();
    map.insert("type", ty);
    if !format.is_empty() {
        map.insert("format", format);
    }
    map
}

/// A scalar, list or map in place, or a reference.
fn shape_schema(shape: &Shape, field: &Field, format: &str) -> Map {
    if let Some(name) = reference_name(shape) {
        let mut map = Map::new();
        map.insert("$ref", format!("{SCHEMA_PREFIX}{name}"));
        return map;
    }
    let mut map = match shape {
        Shape::Bool => scalar("boolean", ""),
        Shape::Int32 | Shape::Int64 | Shape::Uint32 | Shape::Uint64 => scalar("integer", format),
        Shape::Float32 | Shape::Float64 => scalar("number", format),
        Shape::String => scalar("string", format),
        Shape::Bytes => scalar("string", "byte"),
        Shape::List(inner) => {
            let mut map = scalar("array", "");
            map.insert("items", shape_schema(inner, field, field.items_format));
            map
        }
        Shape::WrappedStrings => {
            let mut map = scalar("array", "");
            map.insert("items", scalar("string", ""));
            map
        }
        Shape::Map(inner) => {
            let mut map = scalar("object", "");
            map.insert("additionalProperties", shape_schema(inner, field, field.values_format));
            map
        }
        _ => scalar("object", ""),
    };
    if let (Shape::String, Some(named)) = (shape, field.named.filter(|t| t.extra.closed_enum)) {
        let mut values = named.extra.enum_values.to_vec();
        values.sort_unstable();
        map.insert("enum", values);
    }
    map
}

fn map_type_text(map_type: MapType) -> &'static str {
    match map_type {
        MapType::Atomic => "atomic",
        MapType::Granular => "granular",
    }
}

fn property(ty: &Type, field: &Field) -> Value {
    let mut map = shape_schema(&field.shape, field, field.format);
    let bare = BARE.contains(&(&*ty.name, &*field.json_name));
    if let (Some(reference), false) = (map.get("$ref").cloned(), bare) {
        map.remove("$ref");
        map.insert("allOf", vec![Value::from([("$ref", reference)])]);
    }
    if !field.default.is_empty() {
        map.insert("default", parsed(&field.default));
    }
    let list_type = match field.list_type {
        ListType::Unset => "",
        ListType::Atomic => "atomic",
        ListType::Set => "set",
        ListType::Map => "map",
    };
    for (key, text) in [
        ("x-kubernetes-list-type", list_type),
        ("x-kubernetes-map-type", field.map_type.map_or("", map_type_text)),
        ("x-kubernetes-patch-strategy", field.patch_strategy),
        ("x-kubernetes-patch-merge-key", field.patch_merge_key),
    ] {
        if !text.is_empty() {
            map.insert(key, text);
        }
    }
    if !field.list_map_keys.is_empty() {
        map.insert("x-kubernetes-list-map-keys", field.list_map_keys.iter().map(|k| k.to_string()).collect::<Vec<_>>());
    }
    Value::Map(map)
}

/// The v3 schema of a type. `document`: the group and version of the document it stands in; kinds that belong to every group name only that one
/// and the core group.
pub fn schema(ty: &Type, document: Option<(&str, &str)>) -> Value {
    let mut map = match &ty.form {
        Form::Struct if ty.extra.schema.is_empty() => scalar("object", ""),
        _ if ty.extra.schema.is_empty() => Map::new(),
        _ => match parsed(ty.extra.schema) {
            Value::Map(map) => map,
            _ => Map::new(),
        },
    };
    if ty.is_struct() && !ty.fields.is_empty() {
        let properties = ty.fields.iter().map(|f| ((&f.json_name).into(), property(ty, f)));
        map.insert("properties", properties.collect::<Map>());
        let required: Vec<String> = ty.fields.iter().filter(|f| f.required).map(|f| f.json_name.to_string()).collect();
        if !required.is_empty() {
            map.insert("required", required);
        }
    }
    if !ty.extra.unions.is_empty() {
        map.insert("x-kubernetes-unions", parsed(ty.extra.unions));
    }
    if let Some(map_type) = ty.extra.map_type {
        map.insert("x-kubernetes-map-type", map_type_text(map_type));
    }
    let kinds = registered(ty, document);
    if !kinds.is_empty() {
        map.insert("x-kubernetes-group-version-kind", kinds);
    }
    Value::Map(map)
}

/// Groups of configuration files, which kube-apiserver's scheme does not have.
fn is_served_group(group: &str) -> bool {
    const OTHERS: &[&str] = &[
        "abac.authorization.kubernetes.io",
        "apidiscovery.k8s.io",
        "audit.k8s.io",
        "client.authentication.k8s.io",
        "meta.k8s.io",
    ];
    let suffixes = [".config.k8s.io", ".metrics.k8s.io", ".admission.k8s.io", "kubelet.k8s.io"];
    !OTHERS.contains(&group)
        && !suffixes.iter().any(|s| group.ends_with(s))
        && !matches!(group, "config.k8s.io" | "metrics.k8s.io" | "apiserver.k8s.io")
}

fn registered(ty: &Type, document: Option<(&str, &str)>) -> Vec<Value> {
    let mut kinds: Vec<(&str, &str, &str)> = kinds_of(ty)
        .map(|(api_version, kind)| {
            let (group, version) = split_api_version(api_version);
            (group, version, kind)
        })
        .filter(|(group, _, _)| is_served_group(group))
        .collect();
    if let (true, Some(document)) = (kinds.len() > 5, document) {
        kinds.retain(|(group, version, _)| group.is_empty() || (*group, *version) == document);
    }
    kinds.sort_unstable();
    let entry = |(group, version, kind): (&str, &str, &str)| {
        Value::from([("group", group), ("kind", kind), ("version", version)])
    };
    kinds.into_iter().map(entry).collect()
}
