//! Versions and schemas as messages show them: the JSON of upstream's internal types, which have every field.

use apimachinery::field::BadValue;
use apimachinery::quote::{json_string, json_value};
use apimachinery::value::Value;

/// The form of a field when it is absent, and of what is in it.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Flag,
    /// A pointer, a list or a map of plain values.
    Plain,
    Schema,
    Schemas,
    SchemaMap,
    Items,
    SchemaOrBool,
    Dependencies,
    Docs,
    Rules,
}

const FIELDS: [(&str, &str, Form); 43] = [
    ("id", "ID", Form::Text),
    ("$schema", "Schema", Form::Text),
    ("$ref", "Ref", Form::Plain),
    ("description", "Description", Form::Text),
    ("type", "Type", Form::Text),
    ("nullable", "Nullable", Form::Flag),
    ("format", "Format", Form::Text),
    ("title", "Title", Form::Text),
    ("default", "Default", Form::Plain),
    ("maximum", "Maximum", Form::Plain),
    ("exclusiveMaximum", "ExclusiveMaximum", Form::Flag),
    ("minimum", "Minimum", Form::Plain),
    ("exclusiveMinimum", "ExclusiveMinimum", Form::Flag),
    ("maxLength", "MaxLength", Form::Plain),
    ("minLength", "MinLength", Form::Plain),
    ("pattern", "Pattern", Form::Text),
    ("maxItems", "MaxItems", Form::Plain),
    ("minItems", "MinItems", Form::Plain),
    ("uniqueItems", "UniqueItems", Form::Flag),
    ("multipleOf", "MultipleOf", Form::Plain),
    ("enum", "Enum", Form::Plain),
    ("maxProperties", "MaxProperties", Form::Plain),
    ("minProperties", "MinProperties", Form::Plain),
    ("required", "Required", Form::Plain),
    ("items", "Items", Form::Items),
    ("allOf", "AllOf", Form::Schemas),
    ("oneOf", "OneOf", Form::Schemas),
    ("anyOf", "AnyOf", Form::Schemas),
    ("not", "Not", Form::Schema),
    ("properties", "Properties", Form::SchemaMap),
    ("additionalProperties", "AdditionalProperties", Form::SchemaOrBool),
    ("patternProperties", "PatternProperties", Form::SchemaMap),
    ("dependencies", "Dependencies", Form::Dependencies),
    ("additionalItems", "AdditionalItems", Form::SchemaOrBool),
    ("definitions", "Definitions", Form::SchemaMap),
    ("externalDocs", "ExternalDocs", Form::Docs),
    ("example", "Example", Form::Plain),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields", Form::Plain),
    ("x-kubernetes-embedded-resource", "XEmbeddedResource", Form::Flag),
    ("x-kubernetes-int-or-string", "XIntOrString", Form::Flag),
    ("x-kubernetes-list-map-keys", "XListMapKeys", Form::Plain),
    ("x-kubernetes-list-type", "XListType", Form::Plain),
    ("x-kubernetes-map-type", "XMapType", Form::Plain),
];

/// Names of a schema's fields, in JSON and in Go, in Go's order.
pub(super) fn schema_fields() -> impl Iterator<Item = (&'static str, &'static str)> {
    FIELDS.iter().map(|(json, go, _)| (*json, *go)).chain(std::iter::once(("x-kubernetes-validations", "XValidations")))
}

/// A schema.
pub(super) fn schema(schema: &Value) -> BadValue {
    BadValue::json(of_schema(schema))
}

/// `items` of a schema.
pub(super) fn items(items: &Value) -> BadValue {
    BadValue::json(of_form(items, Form::Items))
}

/// The versions of a definition.
pub(super) fn versions(versions: &Value) -> BadValue {
    if versions.is_null() { BadValue::null() } else { BadValue::json(list(versions, of_version)) }
}

fn of_schema(schema: &Value) -> String {
    let fields = FIELDS.iter().map(|(json, go, form)| (*go, of_form(schema.get(json), *form)));
    let rules = ("XValidations", of_form(schema.get("x-kubernetes-validations"), Form::Rules));
    object(fields.chain(std::iter::once(rules)))
}

fn object<'a>(fields: impl Iterator<Item = (&'a str, String)>) -> String {
    let fields: Vec<String> = fields.map(|(name, value)| format!("{}:{value}", json_string(name))).collect();
    format!("{{{}}}", fields.join(","))
}

fn list(values: &Value, f: fn(&Value) -> String) -> String {
    format!("[{}]", values.items().iter().map(f).collect::<Vec<_>>().join(","))
}

fn text(value: &Value) -> String {
    json_string(value.str_or_empty())
}

fn flag(value: &Value) -> String {
    value.as_bool().unwrap_or(false).to_string()
}

fn of_form(value: &Value, form: Form) -> String {
    match form {
        Form::Text => return text(value),
        Form::Flag => return flag(value),
        _ if value.is_null() => return "null".to_owned(),
        _ => {}
    }
    match form {
        Form::Schema => of_schema(value),
        Form::Schemas => list(value, of_schema),
        Form::SchemaMap => object(value.entries().map(|(key, schema)| (key, of_schema(schema)))),
        Form::Items if value.as_list().is_some() => {
            format!(r#"{{"Schema":null,"JSONSchemas":{}}}"#, list(value, of_schema))
        }
        Form::Items => format!(r#"{{"Schema":{},"JSONSchemas":null}}"#, of_schema(value)),
        Form::SchemaOrBool => match value.as_bool() {
            Some(allows) => format!(r#"{{"Allows":{allows},"Schema":null}}"#),
            None => format!(r#"{{"Allows":true,"Schema":{}}}"#, of_schema(value)),
        },
        Form::Dependencies => object(value.entries().map(|(key, one)| {
            let shown = match one.as_list() {
                Some(_) => format!(r#"{{"Schema":null,"Property":{}}}"#, json_value(one)),
                None => format!(r#"{{"Schema":{},"Property":null}}"#, of_schema(one)),
            };
            (key, shown)
        })),
        Form::Docs => {
            let fields = [("Description", "description"), ("URL", "url")];
            object(fields.into_iter().map(|(go, json)| (go, text(value.get(json)))))
        }
        Form::Rules => list(value, of_rule),
        Form::Plain | Form::Text | Form::Flag => {
            let mut tree = value.clone();
            tree.expand_raw();
            json_value(&tree)
        }
    }
}

fn of_rule(rule: &Value) -> String {
    let plain = |name: &str| if rule.get(name).is_null() { "null".to_owned() } else { json_value(rule.get(name)) };
    object(
        [
            ("Rule", text(rule.get("rule"))),
            ("Message", text(rule.get("message"))),
            ("MessageExpression", text(rule.get("messageExpression"))),
            ("Reason", plain("reason")),
            ("FieldPath", text(rule.get("fieldPath"))),
            ("OptionalOldSelf", plain("optionalOldSelf")),
        ]
        .into_iter(),
    )
}

fn of_version(version: &Value) -> String {
    let or_null = |value: &Value, f: fn(&Value) -> String| if value.is_null() { "null".to_owned() } else { f(value) };
    object(
        [
            ("Name", text(version.get("name"))),
            ("Served", flag(version.get("served"))),
            ("Storage", flag(version.get("storage"))),
            ("Deprecated", flag(version.get("deprecated"))),
            ("DeprecationWarning", or_null(version.get("deprecationWarning"), text)),
            ("Schema", or_null(version.get("schema"), of_validation)),
            ("Subresources", or_null(version.get("subresources"), of_subresources)),
            ("AdditionalPrinterColumns", or_null(version.get("additionalPrinterColumns"), |c| list(c, of_column))),
            ("SelectableFields", or_null(version.get("selectableFields"), |f| list(f, of_selectable))),
        ]
        .into_iter(),
    )
}

fn of_validation(validation: &Value) -> String {
    object(std::iter::once(("OpenAPIV3Schema", of_form(validation.get("openAPIV3Schema"), Form::Schema))))
}

fn of_subresources(subresources: &Value) -> String {
    let status = if subresources.get("status").is_null() { "null" } else { "{}" };
    let scale = subresources.get("scale");
    let scale = if scale.is_null() {
        "null".to_owned()
    } else {
        let selector = scale.get("labelSelectorPath");
        object(
            [
                ("SpecReplicasPath", text(scale.get("specReplicasPath"))),
                ("StatusReplicasPath", text(scale.get("statusReplicasPath"))),
                ("LabelSelectorPath", if selector.is_null() { "null".to_owned() } else { text(selector) }),
            ]
            .into_iter(),
        )
    };
    object([("Status", status.to_owned()), ("Scale", scale)].into_iter())
}

fn of_column(column: &Value) -> String {
    object(
        [
            ("Name", text(column.get("name"))),
            ("Type", text(column.get("type"))),
            ("Format", text(column.get("format"))),
            ("Description", text(column.get("description"))),
            ("Priority", column.get("priority").as_i64().unwrap_or(0).to_string()),
            ("JSONPath", text(column.get("JSONPath"))),
        ]
        .into_iter(),
    )
}

fn of_selectable(field: &Value) -> String {
    object(std::iter::once(("JSONPath", text(field.get("jsonPath")))))
}
