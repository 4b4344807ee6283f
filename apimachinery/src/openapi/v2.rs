//! OpenAPI v2 (swagger): one document of all that is served.

use std::collections::{BTreeMap, BTreeSet};

use super::custom::{CustomResource, definitions_v2};
use super::operations::{ANY, Method, OBJECT, Operation, PathItem, Reply, group_title, paths, plain, tag};
use super::parameters::Parameter;
use super::schemas::{SCHEMA_PREFIX, schema};
use super::v3::{OTHERS, closure, code_text, common, extensions, named_types, other_path, security};
use super::{TITLE, VERSION};
use crate::schema::type_by_name;
use crate::value::{Map, Value};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const DEFINITIONS: &str = "#/definitions/";

/// The document of the served group versions. The core group is "". Custom resources come beside them.
pub fn document(served: &[(&str, &str)], custom: &[CustomResource<'_>]) -> Value {
    let mut items: Vec<PathItem> = OTHERS.iter().filter_map(|path| other_path(path)).collect();
    let groups: BTreeSet<&str> = served.iter().map(|(g, _)| *g).filter(|g| !g.is_empty()).collect();
    for group in groups {
        let reply = Reply::Type(format!("{META}APIGroup"));
        let id = format!("get{}APIGroup", group_title(group));
        items.push(plain(format!("/apis/{group}/"), id, tag(group, ""), reply, OBJECT, "get information of a group"));
    }
    items.extend(served.iter().flat_map(|(group, version)| paths(group, version)));
    items.extend(custom.iter().flat_map(CustomResource::paths));
    render(&items, definitions_v2(custom))
}

fn render(items: &[PathItem], custom: Vec<(String, Value)>) -> Value {
    let mut definitions: Map = closure(named_types(items, &custom))
        .into_iter()
        .filter_map(|name| type_by_name(&name).map(|ty| (name.as_str().into(), simplified(schema(ty, None)))))
        .collect();
    for (name, schema) in custom {
        definitions.insert(name, simplified(schema));
    }
    let mut shared = BTreeMap::new();
    let paths: Map = items.iter().map(|item| (item.path.as_str().into(), path_item(item, &mut shared))).collect();
    Value::from([
        ("swagger", Value::from("2.0")),
        ("info", Value::from([("title", TITLE), ("version", VERSION)])),
        ("paths", Value::Map(paths)),
        ("definitions", Value::Map(definitions)),
        ("parameters", Value::Map(shared.into_iter().map(|(k, v)| (k.into(), v)).collect())),
        ("securityDefinitions", security()),
        ("security", Value::List(vec![Value::from([("BearerToken", Value::List(Vec::new()))])])),
    ])
}

/// A v3 schema as v2 has it: references stand alone, no defaults, no alternatives.
fn simplified(schema: Value) -> Value {
    let Value::Map(map) = schema else { return schema };
    let mut out = Map::new();
    for (key, value) in map {
        match (&*key, value) {
            ("default", _) => {}
            ("oneOf", _) => {
                out.insert("type", "string");
            }
            ("allOf", value) => {
                out.insert("$ref", definition(value.index(0).get("$ref").str_or_empty()));
            }
            ("$ref", value) => {
                out.insert("$ref", definition(value.str_or_empty()));
            }
            ("properties", Value::Map(properties)) => {
                out.insert("properties", properties.into_iter().map(|(k, v)| (k, simplified(v))).collect::<Map>());
            }
            ("items" | "additionalProperties", value) => {
                out.insert(key, simplified(value));
            }
            (_, value) => {
                out.insert(key, value);
            }
        }
    }
    Value::Map(out)
}

fn definition(reference: &str) -> String {
    format!("{DEFINITIONS}{}", reference.strip_prefix(SCHEMA_PREFIX).unwrap_or(reference))
}

fn reference(id: &str) -> Value {
    Value::from([("$ref", format!("{DEFINITIONS}{id}"))])
}

fn path_item(item: &PathItem, shared: &mut BTreeMap<String, Value>) -> Value {
    let common = common(item);
    let mut map = Map::new();
    for o in &item.operations {
        map.insert(o.method.as_str(), operation(o, &common, shared));
    }
    if !common.is_empty() {
        map.insert("parameters", common.iter().map(|p| parameter(p, shared)).collect::<Vec<_>>());
    }
    Value::Map(map)
}

/// A parameter, or a reference to it among the shared ones.
fn parameter(p: &Parameter, shared: &mut BTreeMap<String, Value>) -> Value {
    let mut map = Map::new();
    map.insert("uniqueItems", true);
    map.insert("type", p.ty);
    map.insert("name", p.name);
    map.insert("in", if p.in_path { "path" } else { "query" });
    map.insert("description", p.description);
    if p.in_path {
        map.insert("required", true);
    }
    share(Value::Map(map), p.name, p.v2_suffix, shared)
}

fn share(parameter: Value, name: &str, suffix: &str, shared: &mut BTreeMap<String, Value>) -> Value {
    if suffix.is_empty() {
        return parameter;
    }
    let key = format!("{name}-{suffix}");
    let reference = Value::from([("$ref", format!("#/parameters/{key}"))]);
    shared.insert(key, parameter);
    reference
}

fn body(id: &str, required: bool, shared: &mut BTreeMap<String, Value>) -> Value {
    let mut map = Map::new();
    map.insert("name", "body");
    map.insert("in", "body");
    map.insert("schema", reference(id));
    if required {
        map.insert("required", true);
    }
    let suffix = match id.strip_prefix(META) {
        Some("DeleteOptions") => "2Y1dVQaQ",
        Some("Patch") => "78PwaGsr",
        _ => "",
    };
    share(Value::Map(map), "body", suffix, shared)
}

fn operation(o: &Operation, common: &[Parameter], shared: &mut BTreeMap<String, Value>) -> Value {
    let mut map = Map::new();
    let consumes = if o.action.is_empty() { o.produces } else { o.consumes };
    if o.reply != Reply::Text || !o.action.is_empty() {
        map.insert("consumes", consumes.to_vec());
    }
    map.insert("produces", o.produces.to_vec());
    map.insert("schemes", vec!["https"]);
    map.insert("tags", vec![o.tag.as_str()]);
    map.insert("description", o.description.as_str());
    map.insert("operationId", o.id.as_str());
    let mut own = Vec::new();
    if let Some((id, required)) = &o.body {
        own.push(body(id, *required, shared));
    }
    own.extend(o.parameters.iter().filter(|p| !common.contains(p)).map(|p| parameter(p, shared)));
    if !own.is_empty() {
        map.insert("parameters", own);
    }
    let schema = match &o.reply {
        Reply::Type(id) => reference(id),
        Reply::Text => Value::from([("type", "string")]),
    };
    let mut responses = Map::new();
    for code in o.codes {
        responses.insert(
            code.to_string(),
            Value::from([("description", Value::from(code_text(*code))), ("schema", schema.clone())]),
        );
    }
    responses.insert("401", Value::from([("description", code_text(401))]));
    map.insert("responses", responses);
    extensions(o, &mut map);
    debug_assert!(o.action != "connect" || o.consumes == ANY || o.method == Method::Get);
    Value::Map(map)
}
