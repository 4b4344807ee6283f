//! What the rules say about schemas and paths in them.

use apimachinery::field::{Errors, Path};
use apimachinery::value::{Cursor, Value};

use super::{CREATE, field_path, schema, structural};

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn schema_errors(schema: &str) -> Vec<String> {
    let validation = parse(&format!(r#"{{"v": {{"openAPIV3Schema": {schema}}}}}"#));
    let mut errs = Errors::new();
    schema::validate_root(Cursor::root(&validation).field("v"), false, CREATE, &mut errs);
    errs.iter().map(ToString::to_string).collect()
}

#[test]
fn schemas() {
    let object = |properties: &str| format!(r#"{{"type": "object", "properties": {{{properties}}}}}"#);
    let cases = [
        (object(r#""a": {"type": "string"}"#), vec![]),
        ("{}".to_owned(), vec!["v.openAPIV3Schema.type: Required value: must not be empty at the root"]),
        (
            object(r#""a": {"type": "array"}"#),
            vec!["v.openAPIV3Schema.properties[a].items: Required value: must be specified"],
        ),
        (
            object(r#""a": {"type": "string", "uniqueItems": true}"#),
            vec![
                "v.openAPIV3Schema.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime \
                 complexity becomes quadratic",
            ],
        ),
        (
            object(
                r#""a": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "anyOf": [{"required": ["x"]}]}"#,
            ),
            vec![],
        ),
        (
            object(r#""a": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}"#),
            vec![],
        ),
        (
            object(r#""a": {"type": "string", "anyOf": [{"type": "string"}]}"#),
            vec!["v.openAPIV3Schema.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (
            r#"{"type": "object", "allOf": [{"properties": {"b": {}}}]}"#.to_owned(),
            vec![
                "v.openAPIV3Schema.properties[b]: Required value: because it is defined in \
                 v.openAPIV3Schema.allOf[0].properties[b]",
            ],
        ),
        (
            object(r#""metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}"#),
            vec![
                "v.openAPIV3Schema.properties[metadata]: Forbidden: must not specify anything other than name and \
                 generateName, but metadata is implicitly specified",
            ],
        ),
        (
            object(r#""a": {"type": "object", "properties": {"b": {"type": "string"}}, "default": {"z": 1}}"#),
            vec![r#"v.openAPIV3Schema.properties[a].default: Invalid value: {"z":1}: must not have unknown fields"#],
        ),
        (
            object(r#""a": {"type": "integer", "default": "x"}"#),
            vec![
                "v.openAPIV3Schema.properties[a].default: Invalid value: \"string\":  in body must be of type integer: \
                 \"string\"",
            ],
        ),
        (
            object(r#""a": {"type": "x", "default": "y"}"#),
            vec![
                "v.openAPIV3Schema.properties[a].default: Invalid value: \"string\":  in body must be of type x: \"string\"",
                "v.openAPIV3Schema.properties[a].type: Unsupported value: \"x\": supported values: \"array\", \"boolean\", \
                 \"integer\", \"number\", \"object\", \"string\"",
            ],
        ),
    ];
    for (schema, expected) in cases {
        assert_eq!(schema_errors(&schema), expected, "{schema}");
    }
}

#[test]
fn structural_errors_are_sorted() {
    let schema = parse(r#"{"type": "object", "properties": {"b": {}, "a": {}}}"#);
    let fields: Vec<String> =
        structural::validate(&schema, &Path::root("s")).iter().map(|e| e.field.to_string()).collect();
    assert_eq!(fields, ["s.properties[a].type", "s.properties[b].type"]);
}

#[test]
fn paths() {
    let schema = parse(
        r#"{"properties": {"spec": {"properties": {"a": {"type": "string"},
            "m": {"additionalProperties": {"type": "integer"}}}}}}"#,
    );
    let cases = [
        (".spec.a", Ok("spec.a")),
        (".spec.m.x", Ok("spec.m[x]")),
        (".spec.m['x.y']", Ok("spec.m[x.y]")),
        (".spec.none", Err("does not refer to a valid field")),
        ("spec", Err("expected [ or . but got: spec")),
        (".spec.", Err("unexpected end of JSON path")),
        (".spec.m[x]", Err("expected single quoted string but got x")),
    ];
    for (text, expected) in cases {
        let found = field_path::resolve(text, &schema, true).map(|(path, _)| path.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
    }
}
