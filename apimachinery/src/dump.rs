//! An object of the API as Go prints it for hashing: types, names of fields, and values, with pointers followed and maps sorted.
//! Hashes of this text are parts of names and labels, so it must not differ from upstream's by a byte. The object is taken to
//! have come over protobuf, as it does to upstream's controllers: there are no empty lists and maps, only absent ones. A pod from
//! a file is the exception: it is printed as upstream's internal type, which is laid out a little differently, and as it was read.
//! Corresponds to k8s.io/utils/dump: ForHash; the internal types are those of pkg/apis/core.

use crate::quantity::Quantity;
use crate::schema::{self, Field, Form, Shape, Slot, Type};
use crate::value::Value;

/// The package of the types that upstream has twice, and what the internal one is called.
const CORE: (&str, &str) = ("io.k8s.api.core.v1.", "core");
/// Of internal types: a field that stands behind another one, unlike in the API.
const MOVED: [(&str, &str, &str); 6] = [
    ("PodSpec", "setHostnameAsFQDN", "subdomain"),
    ("PodSpec", "preemptionPolicy", "priority"),
    ("PodSpec", "overhead", "runtimeClassName"),
    ("PodSecurityContext", "fsGroupChangePolicy", "fsGroup"),
    ("VolumeSource", "quobyte", "rbd"),
    ("PodStatus", "qosClass", "startTime"),
];
/// Fields of the API's pod that begin the internal security context.
const OF_HOST: [&str; 5] = ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"];
/// Fields that internal types do not have, besides those.
const ABSENT: [(&str, &str); 2] = [("PodSpec", "serviceAccount"), ("PodStatus", "podIP")];
/// Fields that are no pointers there.
const PLAIN: [(&str, &str); 1] = [("ServiceAccountTokenProjection", "expirationSeconds")];

/// A quantity that nobody set.
const NO_QUANTITY: &str = "{i:(resource.int64Amount){value:(int64)0 scale:(resource.Scale)0} \
    d:(resource.infDecAmount){Dec:(*inf.Dec)<nil>} s:(string) Format:(resource.Format)}";

/// The text of an object of a struct type. Names of fields are upstream's for pod templates and all within.
pub fn for_hash(value: &Value, ty: &Type) -> String {
    let printer = Printer { internal: false };
    let mut out = format!("({})", printer.go_type(ty));
    printer.structure(value, ty, &mut out);
    out
}

/// The text of a pod with all defaults that came from a file: of a pointer to upstream's internal type.
pub fn internal_pod_for_hash(mut pod: Value) -> String {
    let ty = schema::type_by_name("io.k8s.api.core.v1.Pod").expect("it is in the table");
    for field in OF_HOST {
        let value = pod.get("spec").get(field).clone();
        if !value.is_null() {
            pod.set_path(&["spec", "securityContext", field], value);
        }
    }
    let printer = Printer { internal: true };
    let mut out = format!("(*{})", printer.go_type(ty));
    printer.structure(&pod, ty, &mut out);
    out
}

/// A member of a struct.
enum Member<'a> {
    Field(&'a Field),
    /// A struct whose fields are taken for those of the outer one.
    Inlined(&'a Type),
    /// Version and kind, which an internal object does not have.
    TypeMeta,
}

impl Member<'_> {
    fn is(&self, name: &str) -> bool {
        matches!(self, Self::Field(field) if field.json_name == name)
    }
}

/// The members in the order of the API's type.
fn members(ty: &Type) -> Vec<Member<'_>> {
    let (mut at, mut members) = (0, Vec::new());
    while let Some(field) = ty.fields.get(at) {
        if let Some(inlined) = inlined_at(ty, at) {
            members.push(Member::Inlined(inlined));
            at += inlined.fields.len().max(1);
        } else {
            members.push(Member::Field(field));
            at += 1;
        }
    }
    members
}

/// The members in the order of the internal type.
fn internal_members(ty: &Type) -> Vec<Member<'_>> {
    let mut members = members(ty);
    let name = ty.go_name();
    for (_, field, after) in MOVED.iter().filter(|moved| moved.0 == name) {
        let Some(from) = members.iter().position(|member| member.is(field)) else { continue };
        let moved = members.remove(from);
        let to = members.iter().position(|member| member.is(after)).map_or(members.len(), |at| at + 1);
        members.insert(to, moved);
    }
    members.retain(|member| !ABSENT.iter().any(|(of, field)| *of == name && member.is(field)));
    let of_host = |member: &Member<'_>| OF_HOST.iter().any(|field| member.is(field));
    match name {
        "Pod" => {
            members.retain(|member| !member.is("kind") && !member.is("apiVersion"));
            members.insert(0, Member::TypeMeta);
        }
        "PodSpec" => members.retain(|member| !of_host(member)),
        "PodSecurityContext" => {
            let spec = schema::type_by_name("io.k8s.api.core.v1.PodSpec").expect("it is in the table");
            let fields = OF_HOST.iter().filter_map(|name| spec.fields.iter().find(|field| field.json_name == *name));
            members.splice(0..0, fields.map(Member::Field)).for_each(drop);
        }
        _ => {}
    }
    members
}

/// The struct whose members begin at this index.
fn inlined_at(ty: &Type, at: usize) -> Option<&Type> {
    ty.wire.iter().find_map(|wire| match &wire.slot {
        Slot::Inline { base, ty } if usize::from(*base) == at => Some(&**ty),
        _ => None,
    })
}

fn field_name(ty: &Type, field: &Field) -> String {
    let json = &*field.json_name;
    if let (Shape::Struct(inner), "metadata") = (&field.shape, json) {
        return inner.go_name().to_owned();
    }
    ty.go_field_name(json)
}

struct Printer {
    /// Upstream's internal types instead of those of the API.
    internal: bool,
}

impl Printer {
    /// The type as Go prints it: the last part of the package, and the name.
    fn go_type(&self, ty: &Type) -> String {
        if self.internal && ty.name.starts_with(CORE.0) {
            return format!("{}.{}", CORE.1, ty.go_name());
        }
        let mut parts = ty.name.rsplit('.');
        let (name, package) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        format!("{package}.{name}")
    }

    fn structure(&self, value: &Value, ty: &Type, out: &mut String) {
        let members = if self.internal { internal_members(ty) } else { members(ty) };
        sequence(('{', '}'), members.into_iter(), out, |member, out| match member {
            Member::TypeMeta => out.push_str("TypeMeta:(v1.TypeMeta){Kind:(string) APIVersion:(string)}"),
            Member::Inlined(inlined) => {
                out.push_str(&format!("{}:({})", inlined.go_name(), self.go_type(inlined)));
                self.structure(value, inlined, out);
            }
            Member::Field(field) => {
                let json = &*field.json_name;
                out.push_str(&format!("{}:", field_name(ty, field)));
                let pointer = field.pointer && !(self.internal && PLAIN.contains(&(ty.go_name(), json)));
                self.member(value.get(json), field, pointer, out);
            }
        });
    }

    /// A field's type and value.
    fn member(&self, value: &Value, field: &Field, pointer: bool, out: &mut String) {
        out.push_str(&format!("({}{})", if pointer { "*" } else { "" }, self.field_type(field)));
        let absent = match value {
            Value::List(items) => items.is_empty() && !self.internal,
            Value::Map(map) => map.is_empty() && matches!(field.shape, Shape::Map(_)) && !self.internal,
            value => value.is_null() && (pointer || matches!(field.shape, Shape::List(_) | Shape::Map(_))),
        };
        if absent { out.push_str("<nil>") } else { self.plain(value, &field.shape, out) }
    }

    fn field_type(&self, field: &Field) -> String {
        match (&field.alias, &field.shape) {
            (Some(alias), _) => self.go_type(alias),
            (None, shape) => self.shape_type(shape, field),
        }
    }

    fn shape_type(&self, shape: &Shape, field: &Field) -> String {
        let named = || field.named.map(|ty| self.go_type(ty));
        match shape {
            Shape::Struct(ty) => self.go_type(ty),
            Shape::List(element) => format!("[]{}", self.shape_type(element, field)),
            Shape::Map(element) => {
                let key = field.key_named.map_or_else(|| "string".to_owned(), |ty| self.go_type(ty));
                format!("map[{key}]{}", self.shape_type(element, field))
            }
            Shape::Nullable(element) => format!("*{}", self.shape_type(element, field)),
            Shape::Bool => named().unwrap_or_else(|| "bool".to_owned()),
            Shape::Int32 => named().unwrap_or_else(|| "int32".to_owned()),
            Shape::Int64 => named().unwrap_or_else(|| "int64".to_owned()),
            Shape::String => named().unwrap_or_else(|| "string".to_owned()),
            Shape::Time => "v1.Time".to_owned(),
            Shape::Quantity => "resource.Quantity".to_owned(),
            Shape::IntOrString => "intstr.IntOrString".to_owned(),
            Shape::FieldsV1 => "v1.FieldsV1".to_owned(),
            _ => "[]uint8".to_owned(),
        }
    }

    /// A value whose type was told before.
    fn plain(&self, value: &Value, shape: &Shape, out: &mut String) {
        match shape {
            Shape::Struct(ty) if matches!(ty.form, Form::Struct) => self.structure(value, ty, out),
            Shape::List(element) => {
                sequence(('[', ']'), value.items().iter(), out, |item, out| self.plain(item, element, out));
            }
            Shape::Map(element) => {
                out.push_str("map");
                sequence(('[', ']'), value.entries(), out, |(key, item), out| {
                    out.push_str(&format!("{key}:"));
                    match (&**element, item.as_str()) {
                        (Shape::Quantity, Some(amount)) => out.push_str(&Quantity::go_fields(amount, self.internal)),
                        _ => self.plain(item, element, out),
                    }
                });
            }
            Shape::Quantity if self.internal && value.is_null() => out.push_str(NO_QUANTITY),
            // A zero is on the wire too.
            Shape::Quantity => out.push_str(&Quantity::go_fields(value.as_str().unwrap_or("0"), false)),
            Shape::IntOrString => out.push_str(&int_or_string(value)),
            // The only times of templates are those of their metadata, which nobody sets.
            Shape::Time => out.push_str("{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"),
            Shape::Bool => out.push_str(if value.as_bool().unwrap_or(false) { "true" } else { "false" }),
            Shape::Int32 | Shape::Int64 => out.push_str(&value.as_i64().unwrap_or(0).to_string()),
            _ => out.push_str(value.as_str().unwrap_or_default()),
        }
    }
}

/// Items between brackets, with blanks between them.
fn sequence<T>(
    (open, close): (char, char),
    items: impl Iterator<Item = T>,
    out: &mut String,
    mut each: impl FnMut(T, &mut String),
) {
    out.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(' ');
        }
        each(item, out);
    }
    out.push(close);
}

fn int_or_string(value: &Value) -> String {
    match value.as_str() {
        Some(text) => format!("{{Type:(intstr.Type)1 IntVal:(int32)0 StrVal:(string){text}}}"),
        None => format!("{{Type:(intstr.Type)0 IntVal:(int32){} StrVal:(string)}}", value.as_i64().unwrap_or(0)),
    }
}
