//! Why a tree does not fit a type, in the words of upstream's conversion of maps to structs, which strategic merge patches
//! go through. It only explains: what it has no words for is told as the decoder tells it.
//! Corresponds to apimachinery/pkg/runtime/converter.go: fromUnstructured.

use crate::codec::base64;
use crate::schema::{Field, Form, Shape, Type};
use crate::value::Value;

/// The first mismatch in the order of declaration, if there is one.
pub fn mismatch(value: &Value, ty: &Type) -> Option<String> {
    match &ty.form {
        Form::Struct => structure(value, ty),
        Form::Named(_) => None,
    }
}

fn structure(value: &Value, ty: &Type) -> Option<String> {
    let Value::Map(map) = value else { return Some(format!("cannot restore struct from: {}", kind(value))) };
    ty.fields.iter().find_map(|field| within(map.get(&field.json_name)?, &field.shape, field))
}

fn within(value: &Value, shape: &Shape, field: &Field) -> Option<String> {
    match (shape, value) {
        (_, Value::Null) => None,
        (Shape::Struct(ty), value) => mismatch(value, ty),
        (Shape::Nullable(element), value) => within(value, element, field),
        (Shape::List(element), Value::List(items)) => items.iter().find_map(|item| within(item, element, field)),
        (Shape::Map(element), Value::Map(map)) => map.values().find_map(|item| within(item, element, field)),
        (Shape::WrappedStrings, Value::List(items)) => {
            items.iter().find_map(|item| within(item, &Shape::String, field))
        }
        (Shape::Bytes, Value::Str(text)) => {
            base64::decode(text.as_bytes()).err().map(|error| format!("error decoding from json: {error}"))
        }
        (Shape::List(_) | Shape::WrappedStrings | Shape::Bytes, other) => {
            Some(format!("cannot restore slice from {}", kind(other)))
        }
        (Shape::Map(_), other) => Some(format!("cannot restore map from {}", kind(other))),
        (Shape::Time | Shape::MicroTime | Shape::Duration, other) => {
            (!matches!(other, Value::Str(_))).then(|| unmarshal(other, "string"))
        }
        (Shape::IntOrString, Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Map(_)) => {
            Some(unmarshal(value, "int32"))
        }
        (shape, value) => scalar(value, shape, field),
    }
}

/// Go converts between numbers, and says other things of what it could convert in principle than of what it cannot.
fn scalar(value: &Value, shape: &Shape, field: &Field) -> Option<String> {
    let target = match shape {
        Shape::Bool => "bool",
        Shape::Int32 => "int32",
        Shape::Int64 => "int64",
        Shape::Uint32 => "uint32",
        Shape::Uint64 => "uint64",
        Shape::Float32 => "float32",
        Shape::Float64 => "float64",
        Shape::String => "string",
        _ => return None,
    };
    let is_float = matches!(shape, Shape::Float32 | Shape::Float64);
    let is_number = !matches!(shape, Shape::Bool | Shape::String);
    let convertible = match value {
        Value::Str(_) if matches!(shape, Shape::String) => return None,
        Value::Bool(_) if matches!(shape, Shape::Bool) => return None,
        Value::Int(_) if is_number => return None,
        Value::Float(number) if is_float || (is_number && number.trunc() == *number) => return None,
        // To Go a whole number is a character.
        Value::Int(_) => matches!(shape, Shape::String),
        Value::Float(_) => is_number,
        _ => false,
    };
    if !convertible {
        return Some(format!("unrecognized type: {target}"));
    }
    let named = field.named.map(super::decode::package_name);
    Some(format!("cannot convert {} to {}", kind(value), named.as_deref().unwrap_or(target)))
}

/// What the types that read themselves say.
fn unmarshal(value: &Value, target: &str) -> String {
    let got = match value {
        Value::Map(_) => "object".to_owned(),
        Value::List(_) => "array".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Float(_) if target == "int32" => format!("number {}", super::to_string(value)),
        _ => "number".to_owned(),
    };
    format!("json: cannot unmarshal {got} into Go value of type {target}")
}

/// The kind of what Go's decoder makes of a value.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::Str(_) | Value::Raw(_) => "string",
        Value::List(_) => "slice",
        Value::Map(_) => "map",
    }
}

#[cfg(test)]
mod tests {
    use super::mismatch;
    use crate::{schema, value};

    #[test]
    fn words_of_upstream() {
        let ty = schema::type_by_name("io.k8s.api.apps.v1.Deployment").unwrap();
        for (object, want) in [
            (value!({"spec": {"replicas": 3, "paused": true}}), None),
            (value!({"spec": {"replicas": 3.0}}), None),
            (value!({"spec": {"replicas": 1.5}}), Some("cannot convert float64 to int32")),
            (value!({"spec": {"replicas": "3"}}), Some("unrecognized type: int32")),
            (value!({"spec": {"paused": "yes"}}), Some("unrecognized type: bool")),
            (value!({"spec": "x"}), Some("cannot restore struct from: string")),
            (value!({"spec": {"strategy": {"type": 1}}}), Some("cannot convert int64 to v1.DeploymentStrategyType")),
            (
                value!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": true}}}}),
                Some("json: cannot unmarshal bool into Go value of type int32"),
            ),
            (value!({"metadata": {"labels": ["a"]}}), Some("cannot restore map from slice")),
            (value!({"metadata": {"labels": {"a": 1}}}), Some("cannot convert int64 to string")),
            (value!({"metadata": {"finalizers": {"a": 1}}}), Some("cannot restore slice from map")),
            (
                value!({"metadata": {"creationTimestamp": 1}}),
                Some("json: cannot unmarshal number into Go value of type string"),
            ),
        ] {
            assert_eq!(mismatch(&object, ty).as_deref(), want, "{object:?}");
        }
    }
}
