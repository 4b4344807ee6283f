//! Structs as messages show them: the JSON of upstream's internal types, whose fields have the names of Go, in the order of
//! their declaration, and are never left out.

use apimachinery::field::BadValue;
use apimachinery::quote::{json_string, json_value};
use apimachinery::schema::{self, Field, Shape, Type};
use apimachinery::value::{Cursor, Value};

/// Names of Go that are not the name in JSON with a capital.
const NAMES: [(&str, &str); 9] = [
    ("apiGroup", "APIGroup"),
    ("apiVersion", "APIVersion"),
    ("dnsConfig", "DNSConfig"),
    ("dnsPolicy", "DNSPolicy"),
    ("gmsaCredentialSpec", "GMSACredentialSpec"),
    ("gmsaCredentialSpecName", "GMSACredentialSpecName"),
    ("httpGet", "HTTPGet"),
    ("seLinuxOptions", "SELinuxOptions"),
    ("tty", "TTY"),
];

/// A struct of the type with this OpenAPI name.
pub fn shown_struct(place: Cursor<'_>, type_name: &str) -> BadValue {
    match schema::types().iter().find(|ty| *ty.name == *type_name) {
        Some(ty) if place.exists() => BadValue::json(of_struct(place.value(), ty)),
        _ => crate::registry::validation::shown(place.value()),
    }
}

fn of_struct(value: &Value, ty: &Type) -> String {
    if ty.name.starts_with("io.k8s.apimachinery.") {
        return json_value(value);
    }
    let fields: Vec<String> = ty
        .fields
        .iter()
        .map(|field| {
            format!("{}:{}", json_string(&go_name(&field.json_name)), of_field(value.get(&field.json_name), field))
        })
        .collect();
    format!("{{{}}}", fields.join(","))
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
        (Shape::List(inner), Value::List(list)) => {
            format!("[{}]", list.iter().map(|item| of_shape(item, inner)).collect::<Vec<_>>().join(","))
        }
        (Shape::Map(inner), Value::Map(map)) => {
            let entries = map.iter().map(|(key, value)| format!("{}:{}", json_string(key), of_shape(value, inner)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        _ => json_value(value),
    }
}

fn go_name(json_name: &str) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(known, _)| *known == json_name) {
        return (*name).to_owned();
    }
    let mut chars = json_name.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs() {
        let claim: Value = serde_json::from_str(r#"{"name": "a", "resourceClaimName": "x"}"#).expect("JSON");
        let shown = shown_struct(Cursor::root(&claim), "io.k8s.api.core.v1.PodResourceClaim");
        let expected = r#"{"Name":"a","ResourceClaimName":"x","ResourceClaimTemplateName":null}"#;
        assert_eq!(shown, BadValue::json(expected));
    }
}
