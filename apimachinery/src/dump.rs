//! An object of the API as Go prints it for hashing: types, names of fields, and values, with pointers followed and maps sorted.
//! Hashes of this text are parts of names and labels, so it must not differ from upstream's by a byte. The object is taken to
//! have come over protobuf, as it does to upstream's controllers: there are no empty lists and maps, only absent ones.
//! Corresponds to k8s.io/utils/dump: ForHash.

use crate::quantity::Quantity;
use crate::schema::{Field, Form, Shape, Slot, Type};
use crate::value::Value;

/// The text of an object of a struct type. Names of fields are upstream's for pod templates and all within.
pub fn for_hash(value: &Value, ty: &Type) -> String {
    let mut out = format!("({})", go_type(ty));
    structure(value, ty, &mut out);
    out
}

/// The type as Go prints it: the last part of the package, and the name.
fn go_type(ty: &Type) -> String {
    let mut parts = ty.name.rsplit('.');
    let (name, package) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{package}.{name}")
}

fn structure(value: &Value, ty: &Type, out: &mut String) {
    out.push('{');
    let (mut at, mut first) = (0, true);
    while let Some(field) = ty.fields.get(at) {
        if !std::mem::take(&mut first) {
            out.push(' ');
        }
        if let Some(inlined) = inlined_at(ty, at) {
            out.push_str(&format!("{}:({})", inlined.go_name(), go_type(inlined)));
            structure(value, inlined, out);
            at += inlined.fields.len().max(1);
            continue;
        }
        out.push_str(&format!("{}:", field_name(ty, field)));
        member(value.get(&field.json_name), field, out);
        at += 1;
    }
    out.push('}');
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

/// A field's type and value.
fn member(value: &Value, field: &Field, out: &mut String) {
    let pointer = if field.pointer { "*" } else { "" };
    out.push_str(&format!("({pointer}{})", field_type(field)));
    let absent = match value {
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.is_empty() && matches!(field.shape, Shape::Map(_)),
        value => value.is_null() && (field.pointer || matches!(field.shape, Shape::List(_) | Shape::Map(_))),
    };
    if absent { out.push_str("<nil>") } else { plain(value, &field.shape, out) }
}

fn field_type(field: &Field) -> String {
    match (&field.alias, &field.shape) {
        (Some(alias), _) => go_type(alias),
        (None, shape) => shape_type(shape, field),
    }
}

fn shape_type(shape: &Shape, field: &Field) -> String {
    let named = || field.named.map(go_type);
    match shape {
        Shape::Struct(ty) => go_type(ty),
        Shape::List(element) => format!("[]{}", shape_type(element, field)),
        Shape::Map(element) => {
            let key = field.key_named.map_or_else(|| "string".to_owned(), go_type);
            format!("map[{key}]{}", shape_type(element, field))
        }
        Shape::Nullable(element) => format!("*{}", shape_type(element, field)),
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
fn plain(value: &Value, shape: &Shape, out: &mut String) {
    match shape {
        Shape::Struct(ty) if matches!(ty.form, Form::Struct) => structure(value, ty, out),
        Shape::List(element) => {
            sequence("[", value.items().iter(), out, |item, out| plain(item, element, out));
        }
        Shape::Map(element) => sequence("map[", value.entries(), out, |(key, item), out| {
            out.push_str(&format!("{key}:"));
            plain(item, element, out);
        }),
        // A zero is on the wire too.
        Shape::Quantity => out.push_str(&Quantity::go_fields(value.as_str().unwrap_or("0"))),
        Shape::IntOrString => out.push_str(&int_or_string(value)),
        // The only times of templates are those of their metadata, which nobody sets.
        Shape::Time => out.push_str("{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"),
        Shape::Bool => out.push_str(if value.as_bool().unwrap_or(false) { "true" } else { "false" }),
        Shape::Int32 | Shape::Int64 => out.push_str(&value.as_i64().unwrap_or(0).to_string()),
        _ => out.push_str(value.as_str().unwrap_or_default()),
    }
}

fn sequence<T>(open: &str, items: impl Iterator<Item = T>, out: &mut String, mut each: impl FnMut(T, &mut String)) {
    out.push_str(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(' ');
        }
        each(item, out);
    }
    out.push(']');
}

fn int_or_string(value: &Value) -> String {
    match value.as_str() {
        Some(text) => format!("{{Type:(intstr.Type)1 IntVal:(int32)0 StrVal:(string){text}}}"),
        None => format!("{{Type:(intstr.Type)0 IntVal:(int32){} StrVal:(string)}}", value.as_i64().unwrap_or(0)),
    }
}
