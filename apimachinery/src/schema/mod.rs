//! The API as a table: every type of every version with its fields, shapes, protobuf tags and merge rules. The static part is
//! made by build.rs from `data/types.txt`, so it costs nothing at start-up; custom resources add types of the same form.

mod go_names;
mod table;

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::value::Key;

pub use table::{kind, kinds, kinds_of, type_by_name, types};

/// A part of a table: out of the static one, or made at run time.
pub enum Ref<T: ?Sized + 'static> {
    /// Part of the static tables.
    Static(&'static T),
    /// Made at run time, from a custom resource definition.
    Dynamic(Arc<T>),
}

impl<T: ?Sized> Clone for Ref<T> {
    fn clone(&self) -> Self {
        match self {
            Ref::Static(t) => Ref::Static(t),
            Ref::Dynamic(t) => Ref::Dynamic(Arc::clone(t)),
        }
    }
}

impl<T: ?Sized> Deref for Ref<T> {
    type Target = T;
    fn deref(&self) -> &T {
        match self {
            Ref::Static(t) => t,
            Ref::Dynamic(t) => t,
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> From<Vec<T>> for Ref<[T]> {
    fn from(items: Vec<T>) -> Self {
        Ref::Dynamic(items.into())
    }
}

impl From<&str> for Ref<str> {
    fn from(text: &str) -> Self {
        Ref::Dynamic(text.into())
    }
}

impl From<Cow<'static, str>> for Ref<str> {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(s) => Ref::Static(s),
            Cow::Owned(s) => Ref::Dynamic(s.into()),
        }
    }
}

impl From<&Ref<str>> for Key {
    fn from(text: &Ref<str>) -> Key {
        match text {
            Ref::Static(s) => Key::Static(s),
            Ref::Dynamic(s) => Key::from(&**s),
        }
    }
}

/// A type, static or of a custom resource.
pub type TypeRef = Ref<Type>;
/// A text of the tables.
pub type Text = Ref<str>;
/// A list of the tables.
pub type Slice<T> = Ref<[T]>;

/// One type of the API.
pub struct Type {
    /// OpenAPI model name, `io.k8s.api.core.v1.Pod`.
    pub name: Text,
    /// API group of the defining package; "" for core.
    pub group: Text,
    /// Version of the defining package.
    pub version: Text,
    /// The kind, if it is a top-level kind; else "".
    pub kind: Text,
    /// What it is.
    pub form: Form,
    /// Members in declaration order, which is the order of JSON output; members of inlined types stand in their place.
    pub fields: Slice<Field>,
    /// Indexes into `fields`, sorted by JSON name.
    pub by_name: Slice<u16>,
    /// What is on the protobuf wire, sorted by tag.
    pub wire: Slice<Wire>,
    /// The item type of a List kind.
    pub list_item: Option<TypeRef>,
    /// Facts few types have.
    pub extra: Ref<TypeExtra>,
}

/// Facts that few types have.
#[derive(Debug, Default, Clone)]
pub struct TypeExtra {
    /// True if there is a protobuf form.
    pub proto: bool,
    /// Where the type is in the OpenAPI documents.
    pub openapi: OpenApi,
    /// Declared constants of a named string, in declaration order.
    pub enum_values: &'static [&'static str],
    /// True if the constants are published as enum.
    pub closed_enum: bool,
    /// `atomic` or `granular`, for structs and maps.
    pub map_type: Option<MapType>,
    /// Unions as JSON (the value of x-kubernetes-unions); "" for none.
    pub unions: &'static str,
    /// The published schema of a special type as JSON; "" for none.
    pub schema: &'static str,
    /// Written with sorted keys and without zero values put back (custom resources).
    pub unstructured: bool,
    /// Unknown fields are kept (custom resources).
    pub preserve_unknown: bool,
    /// The value is a whole object with apiVersion, kind and metadata of its own (custom resources).
    pub embedded_resource: bool,
}

/// What kind of thing a type is.
#[derive(Debug, Clone)]
pub enum Form {
    /// A struct with `fields`.
    Struct,
    /// Any other shape that has a name.
    Named(Shape),
}

/// Whether a type is in the OpenAPI documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OpenApi {
    /// Nothing known.
    #[default]
    Absent,
    /// Only in the generated definitions.
    Generated,
    /// In the documents that are served.
    Served,
}

/// The shape of a value. How the special ones look in JSON and on the wire is told where they are coded.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Shape {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Float32,
    Float64,
    String,
    /// Base64 text in the value.
    Bytes,
    /// Any JSON without a schema.
    Any,
    Struct(TypeRef),
    List(Ref<Shape>),
    Map(Ref<Shape>),
    /// An element that may be null (`[]*T`, `map[string]*T`).
    Nullable(Ref<Shape>),
    /// A list of strings that is a message of its own on the wire (ExtraValue, Verbs).
    WrappedStrings,
    Time,
    MicroTime,
    Duration,
    Quantity,
    IntOrString,
    RawExtension,
    Unknown,
    FieldsV1,
    Json,
    /// JSONSchemaPropsOrBool; the type is JSONSchemaProps.
    SchemaOrBool(TypeRef),
    /// JSONSchemaPropsOrArray.
    SchemaOrArray(TypeRef),
    /// JSONSchemaPropsOrStringArray.
    SchemaOrStrings(TypeRef),
    /// A duration string or whole nanoseconds.
    TimeOrMetaDuration,
}

/// One member of a struct.
#[derive(Clone)]
pub struct Field {
    /// Name in JSON.
    pub json_name: Text,
    /// What it holds.
    pub shape: Shape,
    /// A Go pointer: absent and zero differ.
    pub pointer: bool,
    /// Left out of JSON when false, 0, "", nil or without elements.
    pub omitempty: bool,
    /// Left out of JSON when it is the zero value.
    pub omitzero: bool,
    /// Required by the OpenAPI schema.
    pub required: bool,
    /// Tag on the protobuf wire; 0 if it has none.
    pub tag: u32,
    /// Facts for merging and publishing; also reachable as fields of this struct.
    pub meta: Ref<FieldMeta>,
}

impl Deref for Field {
    type Target = FieldMeta;
    fn deref(&self) -> &FieldMeta {
        &self.meta
    }
}

/// Facts about a field for merging and publishing.
#[derive(Debug, Default, Clone)]
pub struct FieldMeta {
    /// Published default as JSON text; "" for none. Not what defaulting code sets.
    pub default: Cow<'static, str>,
    /// OpenAPI format; "" for none.
    pub format: &'static str,
    /// OpenAPI format of list items.
    pub items_format: &'static str,
    /// OpenAPI format of map values.
    pub values_format: &'static str,
    /// How lists merge under server-side apply.
    pub list_type: ListType,
    /// Keys of a `map` list.
    pub list_map_keys: Cow<'static, [Cow<'static, str>]>,
    /// How a map or struct merges.
    pub map_type: Option<MapType>,
    /// Strategic merge strategy (`merge`, `replace`, `retainKeys`, comma-separated); "" for none.
    pub patch_strategy: &'static str,
    /// Strategic merge key; "" for none.
    pub patch_merge_key: &'static str,
    /// Go names of the embedded structs this field was inlined from, joined by dots; "" for none.
    pub embedded: &'static str,
    /// The named scalar type of the value or of its elements.
    pub named: Option<&'static Type>,
    /// The named string type of map keys.
    pub key_named: Option<&'static Type>,
    /// The named list or map type.
    pub alias: Option<&'static Type>,
}

/// How a list merges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ListType {
    /// Nothing is declared: atomic.
    #[default]
    Unset,
    /// Replaced as a whole.
    Atomic,
    /// A set of scalars.
    Set,
    /// Elements found by their keys.
    Map,
}

/// How a map or struct merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapType {
    /// Replaced as a whole.
    Atomic,
    /// Entry by entry.
    Granular,
}

/// What a tag of a message means.
#[derive(Clone)]
pub struct Wire {
    /// The tag.
    pub tag: u32,
    /// What it holds.
    pub slot: Slot,
}

/// What a tag of a message holds.
#[derive(Clone)]
pub enum Slot {
    /// The field with this index.
    Field(u16),
    /// A struct whose members are, in JSON, members of the outer one: its field i is the outer field `base + i`.
    Inline {
        /// Index of its first member.
        base: u16,
        /// The inlined type.
        ty: TypeRef,
    },
}

impl Type {
    /// The field with this JSON name and its index.
    pub fn field_index(&self, json_name: &str) -> Option<usize> {
        let found = self.by_name.binary_search_by(|&i| (*self.fields[usize::from(i)].json_name).cmp(json_name));
        found.ok().map(|at| usize::from(self.by_name[at]))
    }

    /// The field with this JSON name.
    pub fn field(&self, json_name: &str) -> Option<&Field> {
        self.field_index(json_name).map(|i| &self.fields[i])
    }

    /// What `tag` holds.
    pub fn slot(&self, tag: u32) -> Option<&Slot> {
        let guess = self.wire.get((tag as usize).wrapping_sub(1)).filter(|w| w.tag == tag);
        let found = guess.or_else(|| self.wire.binary_search_by_key(&tag, |w| w.tag).ok().map(|i| &self.wire[i]));
        found.map(|w| &w.slot)
    }

    /// The last segment of the name, which is the name in Go.
    pub fn go_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    /// `group/version`, or `version` for the core group, of the defining package.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", &*self.group, &*self.version) }
    }

    /// True if the type is a struct.
    pub fn is_struct(&self) -> bool {
        matches!(self.form, Form::Struct)
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", &*self.json_name, self.shape)
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        std::ptr::eq(self, other) || self.name == other.name
    }
}

impl PartialEq for Ref<str> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl PartialEq<str> for Ref<str> {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Ref<str> {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Display for Ref<str> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pod() {
        let pod = kind("v1", "Pod").expect("Pod is in the table");
        assert_eq!(pod.name, "io.k8s.api.core.v1.Pod");
        let names: Vec<&str> = pod.fields.iter().map(|f| &*f.json_name).collect();
        assert_eq!(names, ["kind", "apiVersion", "metadata", "spec", "status"]);
        let Some(Shape::Struct(spec)) = pod.field("spec").map(|f| f.shape.clone()) else { panic!("spec is a struct") };
        let containers = spec.field("containers").expect("it has containers");
        assert_eq!((containers.tag, containers.list_type, containers.patch_merge_key), (2, ListType::Map, "name"));
        assert!(matches!(spec.slot(5), Some(Slot::Field(_))));
        assert!(kind("v1", "Nope").is_none() && kind("apps/v1", "Deployment").is_some());
        assert!(kind("apps/v1", "ListOptions").is_some());
        let volume = type_by_name("io.k8s.api.core.v1.Volume").expect("Volume is in the table");
        assert!(volume.field("configMap").is_some() && matches!(volume.slot(2), Some(Slot::Inline { base: 1, .. })));
    }
}
