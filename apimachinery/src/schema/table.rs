//! The static table of types, included as build.rs wrote it, and the look-ups in it.

use super::{Field, FieldMeta, Form, ListType, MapType, OpenApi, Ref, Shape, Slot, Type, TypeExtra, TypeRef, Wire};
use std::borrow::Cow;

const POINTER: u8 = 1;
const OMITEMPTY: u8 = 2;
const OMITZERO: u8 = 4;
const REQUIRED: u8 = 8;

const fn f(name: &'static str, shape: Shape, flags: u8, tag: u32, meta: &'static FieldMeta) -> Field {
    Field {
        json_name: Ref::Static(name),
        shape,
        pointer: flags & POINTER != 0,
        omitempty: flags & OMITEMPTY != 0,
        omitzero: flags & OMITZERO != 0,
        required: flags & REQUIRED != 0,
        tag,
        meta: Ref::Static(meta),
    }
}

/// The fields of a type, their order by name, and its wire table.
type Members = (&'static [Field], &'static [u16], &'static [Wire]);

const fn t(
    names: [&'static str; 4],
    form: Form,
    members: Members,
    list_item: Option<TypeRef>,
    extra: &'static TypeExtra,
) -> Type {
    Type {
        name: Ref::Static(names[0]),
        group: Ref::Static(names[1]),
        version: Ref::Static(names[2]),
        kind: Ref::Static(names[3]),
        form,
        fields: Ref::Static(members.0),
        by_name: Ref::Static(members.1),
        wire: Ref::Static(members.2),
        list_item,
        extra: Ref::Static(extra),
    }
}

const fn r(ty: &'static Type) -> TypeRef {
    Ref::Static(ty)
}

const fn s(ty: &'static Type) -> Shape {
    Shape::Struct(Ref::Static(ty))
}

const fn l(element: &'static Shape) -> Shape {
    Shape::List(Ref::Static(element))
}

const fn m(element: &'static Shape) -> Shape {
    Shape::Map(Ref::Static(element))
}

const fn n(element: &'static Shape) -> Shape {
    Shape::Nullable(Ref::Static(element))
}

const fn w(tag: u32, index: u16) -> Wire {
    Wire { tag, slot: Slot::Field(index) }
}

const fn i(tag: u32, base: u16, ty: &'static Type) -> Wire {
    Wire { tag, slot: Slot::Inline { base, ty: Ref::Static(ty) } }
}

const X: TypeExtra = TypeExtra {
    proto: false,
    openapi: OpenApi::Absent,
    enum_values: &[],
    closed_enum: false,
    map_type: None,
    unions: "",
    schema: "",
    unstructured: false,
    preserve_unknown: false,
    embedded_resource: false,
};

const M: FieldMeta = FieldMeta {
    default: Cow::Borrowed(""),
    format: "",
    items_format: "",
    values_format: "",
    list_type: ListType::Unset,
    list_map_keys: Cow::Borrowed(&[]),
    map_type: None,
    patch_strategy: "",
    patch_merge_key: "",
    embedded: "",
    named: None,
    key_named: None,
    alias: None,
};

include!(concat!(env!("OUT_DIR"), "/types.rs"));

/// All types, sorted by name.
pub fn types() -> &'static [Type] {
    &TYPES
}

/// The type with this OpenAPI model name.
pub fn type_by_name(name: &str) -> Option<&'static Type> {
    TYPES.binary_search_by(|t| (*t.name).cmp(name)).ok().map(|at| &TYPES[at])
}

/// The type registered for this `group/version` (or `version`) and kind.
pub fn kind(api_version: &str, kind: &str) -> Option<&'static Type> {
    let key = (api_version, kind);
    KINDS.binary_search_by(|(av, k, _)| (*av, *k).cmp(&key)).ok().map(|at| &TYPES[KINDS[at].2])
}

/// Everything registered: group/version, kind, type; sorted.
pub fn kinds() -> impl Iterator<Item = (&'static str, &'static str, &'static Type)> {
    KINDS.iter().map(|(av, k, at)| (*av, *k, &TYPES[*at]))
}

/// The (group/version, kind) pairs under which a type is registered, sorted.
pub fn kinds_of(ty: &Type) -> impl Iterator<Item = (&'static str, &'static str)> {
    kinds().filter(move |(_, _, t)| std::ptr::eq(*t, ty)).map(|(av, k, _)| (av, k))
}
