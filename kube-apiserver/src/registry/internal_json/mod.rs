//! Structs as messages show them: the JSON of upstream's internal types, whose fields have the names of Go, in the order of
//! their declaration, and are never left out; and what two such structs differ in.

mod diff;
mod layout;

use apimachinery::field::{BadValue, Errors};
use apimachinery::quote::{json_string, json_value};
use apimachinery::schema::{self, Field, Shape, Type};
use apimachinery::value::{Cursor, Value};

use layout::{HOST_FIELDS, POD_SPEC};

/// The type of label selectors.
pub const LABEL_SELECTOR: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector";
/// The metadata that objects embed.
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// A struct of the type with this OpenAPI name.
pub fn shown_struct(place: Cursor<'_>, type_name: &str) -> BadValue {
    match schema::type_by_name(type_name) {
        Some(ty) if place.exists() => BadValue::json(of_struct(place.value(), ty)),
        _ => crate::registry::validation::shown(place.value()),
    }
}

/// As [`shown_struct`], of a struct that is no pointer: it is shown even if nothing in it is set.
pub fn shown_plain_struct(place: Cursor<'_>, type_name: &str) -> BadValue {
    match schema::type_by_name(type_name) {
        Some(ty) => BadValue::json(of_struct(place.value(), ty)),
        None => crate::registry::validation::shown(place.value()),
    }
}

/// A list of structs of the type with this OpenAPI name.
pub fn shown_structs(place: Cursor<'_>, type_name: &str) -> BadValue {
    match schema::type_by_name(type_name) {
        Some(ty) if place.exists() => {
            let items = place.list().map(|item| of_struct(item.value(), ty));
            BadValue::json(format!("[{}]", items.collect::<Vec<_>>().join(",")))
        }
        _ => crate::registry::validation::shown(place.value()),
    }
}

/// Complains about a change of a struct of the type with this OpenAPI name.
pub fn immutable_struct(new: Cursor<'_>, old: Cursor<'_>, type_name: &str, errs: &mut Errors) {
    if new.value() != old.value() {
        errs.invalid(new, shown_struct(new, type_name), apimachinery::object_meta::IMMUTABLE);
    }
}

/// Complains about a change of the spec, which is no pointer.
pub fn immutable_spec(obj: Cursor<'_>, old: Cursor<'_>, type_name: &str, errs: &mut Errors) {
    let spec = obj.field("spec");
    if spec.value() != old.field("spec").value() {
        errs.invalid(spec, shown_plain_struct(spec, type_name), apimachinery::object_meta::IMMUTABLE);
    }
}

/// A label selector, whose fields messages show in the order of their declaration.
pub fn shown_selector(place: Cursor<'_>) -> BadValue {
    shown_struct(place, LABEL_SELECTOR)
}

/// What two structs of a type differ in, as a unified diff of their JSON.
/// upstream: apimachinery/pkg/util/diff
pub fn difference(old: &Value, new: &Value, type_name: &str) -> String {
    let Some(ty) = schema::type_by_name(type_name) else { return String::new() };
    let text = |value| indented(&of_struct(value, ty));
    diff::unified(&text(old), &text(new))
}

/// As [`difference`], of lists of structs.
pub fn list_difference(old: &Value, new: &Value, type_name: &str) -> String {
    let Some(ty) = schema::type_by_name(type_name) else { return String::new() };
    let text = |value: &Value| match value {
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| of_struct(item, ty)).collect();
            indented(&format!("[{}]", items.join(",")))
        }
        _ => "null".to_owned(),
    };
    diff::unified(&text(old), &text(new))
}

fn of_struct(value: &Value, ty: &Type) -> String {
    format!("{{{}}}", members(value, ty).join(","))
}

/// The members of a struct, each with its name.
fn members(value: &Value, ty: &Type) -> Vec<String> {
    if ty.name.starts_with("io.k8s.apimachinery.") {
        return tagged_members(value, ty, |_| true);
    }
    let moved;
    let value = if *ty.name == *POD_SPEC {
        moved = with_host_fields(value);
        &moved
    } else {
        value
    };
    let is_object = !ty.kind.is_empty();
    let mut out = Vec::new();
    if is_object {
        out.extend(tagged_members(value, ty, |name| matches!(name, "kind" | "apiVersion")));
    }
    for field in layout::fields(ty) {
        let name = &*field.json_name;
        match &field.shape {
            _ if is_object && matches!(name, "kind" | "apiVersion") => {}
            Shape::Struct(meta) if *meta.name == *OBJECT_META => out.extend(members(value.get(name), meta)),
            _ => out.push(format!("{}:{}", json_string(&ty.go_field_name(name)), of_field(value.get(name), field))),
        }
    }
    out
}

/// The members of a struct that has the names of JSON in upstream's internal types too.
fn tagged_members(value: &Value, ty: &Type, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let shown = |field: &&Field| {
        let absent = value.get(&field.json_name).is_zero();
        wanted(&field.json_name) && !(absent && (field.omitempty || field.omitzero))
    };
    let member =
        |field: &Field| format!("{}:{}", json_string(&field.json_name), of_field(value.get(&field.json_name), field));
    ty.fields.iter().filter(shown).map(member).collect()
}

/// A pod's spec where the security context says what the pod says of the host.
fn with_host_fields(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if !spec.get("securityContext").is_null() {
        for name in HOST_FIELDS {
            if let Some(value) = spec.remove(name) {
                spec.field_mut("securityContext").set(name, value);
            }
        }
    }
    spec
}

fn of_field(value: &Value, field: &Field) -> String {
    if !value.is_null() {
        return of_shape(value, &field.shape);
    }
    if field.pointer {
        return "null".to_owned();
    }
    match &field.shape {
        Shape::Struct(ty) => of_struct(&Value::Null, ty),
        Shape::String => "\"\"".to_owned(),
        Shape::Quantity => "\"0\"".to_owned(),
        Shape::Bool => "false".to_owned(),
        Shape::Int32 | Shape::Int64 | Shape::Uint32 | Shape::Uint64 | Shape::IntOrString => "0".to_owned(),
        _ => "null".to_owned(),
    }
}

fn of_shape(value: &Value, shape: &Shape) -> String {
    match (shape, value) {
        (Shape::Struct(ty), _) => of_struct(value, ty),
        (Shape::Nullable(inner), _) => of_shape(value, inner),
        (Shape::List(inner), Value::List(list)) => {
            format!("[{}]", list.iter().map(|item| of_shape(item, inner)).collect::<Vec<_>>().join(","))
        }
        (Shape::Map(inner), Value::Map(map)) => {
            let mut entries: Vec<(&str, &Value)> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            let shown =
                entries.into_iter().map(|(key, value)| format!("{}:{}", json_string(key), of_shape(value, inner)));
            format!("{{{}}}", shown.collect::<Vec<_>>().join(","))
        }
        (_, Value::Raw(json)) => compact(json),
        _ => json_value(value),
    }
}

/// JSON that is kept as it came, without the space between its parts.
pub fn shown_raw(value: &Value) -> BadValue {
    BadValue::json(compact(&json_value(value)))
}

/// JSON text without the space between its parts.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if in_string || !c.is_ascii_whitespace() {
            out.push(c);
        }
        in_string ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    out
}

/// JSON text with one space of indentation for each level, as Go's json.MarshalIndent writes it.
fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut chars = json.chars().peekable();
    let mut in_string = false;
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth));
    };
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_string => {
                out.push(c);
                out.extend(chars.next());
            }
            '"' => {
                in_string = !in_string;
                out.push(c);
            }
            _ if in_string => out.push(c),
            '{' | '[' => {
                out.push(c);
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn structs() {
        let cases = [
            (
                "io.k8s.api.core.v1.PodResourceClaim",
                r#"{"name": "a", "resourceClaimName": "x"}"#,
                r#"{"Name":"a","ResourceClaimName":"x","ResourceClaimTemplateName":null}"#,
            ),
            (
                "io.k8s.api.core.v1.RBDVolumeSource",
                r#"{"monitors": ["m"], "image": "i"}"#,
                r#"{"CephMonitors":["m"],"RBDImage":"i","FSType":"","RBDPool":"","RadosUser":"","Keyring":"","SecretRef":null,"ReadOnly":false}"#,
            ),
            (
                "io.k8s.api.core.v1.PersistentVolumeClaimTemplate",
                r#"{"metadata": {"labels": {"b": "c", "a": "b"}}, "spec": {"selector": {"matchExpressions": [{"key": "k", "operator": "Exists"}], "matchLabels": {"x": "y"}}}}"#,
                r#"{"labels":{"a":"b","b":"c"},"Spec":{"AccessModes":null,"Selector":{"matchLabels":{"x":"y"},"matchExpressions":[{"key":"k","operator":"Exists"}]},"Resources":{"Limits":null,"Requests":null},"VolumeName":"","StorageClassName":null,"VolumeMode":null,"DataSource":null,"DataSourceRef":null,"VolumeAttributesClassName":null}}"#,
            ),
        ];
        for (ty, json, expected) in cases {
            let value = value(json);
            assert_eq!(shown_struct(Cursor::root(&value), ty), BadValue::json(expected));
        }
    }

    #[test]
    fn host_fields_are_in_the_security_context() {
        let spec = value(r#"{"hostNetwork": true, "securityContext": {"runAsUser": 1}}"#);
        let text = of_struct(&spec, schema::type_by_name(POD_SPEC).expect("a type"));
        let context = r#""SecurityContext":{"HostNetwork":true,"HostPID":false,"HostIPC":false,"ShareProcessNamespace":null,"HostUsers":null,"SELinuxOptions":null,"WindowsOptions":null,"RunAsUser":1,"#;
        assert!(text.contains(context), "{text}");
    }

    #[test]
    fn differences() {
        let (old, new) = (value(r#"{"key": "a", "effect": "e"}"#), value(r#"{"key": "b", "effect": "e"}"#));
        let expected = "@@ -1,5 +1,5 @@\n {\n- \"Key\": \"a\",\n+ \"Key\": \"b\",\n  \"Operator\": \"\",\n  \"Value\": \"\",\n  \"Effect\": \"e\",\n";
        assert_eq!(difference(&old, &new, "io.k8s.api.core.v1.Toleration"), expected);
    }

    #[test]
    fn indentation() {
        assert_eq!(
            indented(r#"{"a":[],"b":{"c":["x:,{"]}}"#),
            "{\n \"a\": [],\n \"b\": {\n  \"c\": [\n   \"x:,{\"\n  ]\n }\n}"
        );
    }
}
