//! OpenAPI v3: a document for every group version and for each of the few other paths.

use std::collections::BTreeSet;

use super::operations::{OBJECT, Operation, PathItem, Reply, group_title, paths, plain, tag};
use super::parameters::Parameter;
use super::schemas::{SCHEMA_PREFIX, references, schema};
use super::{TITLE, VERSION};
use crate::schema::type_by_name;
use crate::value::{Map, Value};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// The document of a served group version; its path is `api/v1` or `apis/GROUP/VERSION`.
pub fn document(group: &str, version: &str) -> Value {
    render(&paths(group, version), Some((group, version)), Vec::new())
}

/// The document of a group; its path is `apis/GROUP`.
pub fn group_document(group: &str) -> Value {
    let reply = Reply::Type(format!("{META}APIGroup"));
    let id = format!("get{}APIGroup", group_title(group));
    let item = plain(format!("/apis/{group}/"), id, tag(group, ""), reply, OBJECT, "get information of a group");
    render(&[item], None, Vec::new())
}

/// The document of one of the other paths: `api`, `apis`, `version`, `.well-known/openid-configuration`, `openid/v1/jwks`.
pub fn other_document(path: &str) -> Option<Value> {
    Some(render(&[other_path(path)?], None, Vec::new()))
}

pub(super) const OTHERS: [&str; 5] = ["api", "apis", "version", ".well-known/openid-configuration", "openid/v1/jwks"];

pub(super) fn other_path(path: &str) -> Option<PathItem> {
    let meta = |name: &str| Reply::Type(format!("{META}{name}"));
    let (id, tag, reply, produces, description): (_, _, _, &[&str], _) = match path {
        "api" => ("getCoreAPIVersions", "core", meta("APIVersions"), OBJECT, "get available API versions"),
        "apis" => ("getAPIVersions", "apis", meta("APIGroupList"), OBJECT, "get available API groups"),
        "version" => {
            let info = Reply::Type("io.k8s.apimachinery.pkg.version.Info".to_owned());
            ("getCodeVersion", "version", info, &["application/json"], "get the version of the server")
        }
        ".well-known/openid-configuration" => (
            "getServiceAccountIssuerOpenIDConfiguration",
            "WellKnown",
            Reply::Text,
            &["application/json"],
            "get the OpenID configuration of the issuer of service account tokens",
        ),
        "openid/v1/jwks" => (
            "getServiceAccountIssuerOpenIDKeyset",
            "openid",
            Reply::Text,
            &["application/jwk-set+json"],
            "get the keys that service account tokens are signed with",
        ),
        _ => return None,
    };
    Some(plain(format!("/{path}/"), id.to_owned(), tag.to_owned(), reply, produces, description))
}

/// What `/openapi/v3` answers: path of each document and where to find it. `hash` gives the hash of the document at a path.
pub fn index<'a>(paths: impl IntoIterator<Item = &'a str>, hash: impl Fn(&str) -> String) -> Value {
    let entry = |path: &str| {
        let url = format!("/openapi/v3/{path}?hash={}", hash(path));
        (path.into(), Value::from([("serverRelativeURL", url)]))
    };
    let entries: Map = paths.into_iter().map(entry).collect();
    Value::from([("paths", Value::Map(entries))])
}

/// The types that operations name, and those that the members of custom resources refer to.
pub(super) fn named_types(items: &[PathItem], custom: &[(String, Value)]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for operation in items.iter().flat_map(|i| &i.operations) {
        if let Reply::Type(id) = &operation.reply {
            names.insert(id.clone());
        }
        names.extend(operation.body.as_ref().map(|(id, _)| id.clone()));
    }
    if !custom.is_empty() {
        names.extend(["ObjectMeta", "ListMeta"].map(|name| format!("{META}{name}")));
    }
    names
}

/// A document; `custom` are schemas of types that the table does not have.
pub(super) fn render(items: &[PathItem], document: Option<(&str, &str)>, custom: Vec<(String, Value)>) -> Value {
    let mut components = Map::new();
    let mut schemas: Map = closure(named_types(items, &custom))
        .into_iter()
        .filter_map(|name| type_by_name(&name).map(|ty| (name.as_str().into(), schema(ty, document))))
        .collect();
    for (name, schema) in custom {
        schemas.insert(name, schema);
    }
    if !schemas.is_empty() {
        components.insert("schemas", schemas);
    }
    components.insert("securitySchemes", security());
    let paths: Map = items.iter().map(|item| (item.path.as_str().into(), path_item(item))).collect();
    Value::from([
        ("openapi", Value::from("3.0.0")),
        ("info", Value::from([("title", TITLE), ("version", VERSION)])),
        ("paths", Value::Map(paths)),
        ("components", Value::Map(components)),
    ])
}

/// The types, and all that they refer to.
pub(super) fn closure(names: BTreeSet<String>) -> BTreeSet<String> {
    let mut todo: Vec<String> = names.iter().cloned().collect();
    let mut seen = names;
    while let Some(name) = todo.pop() {
        let Some(ty) = type_by_name(&name) else { continue };
        references(ty, &mut |reference| {
            if seen.insert(reference.clone()) {
                todo.push(reference);
            }
        });
    }
    seen
}

pub(super) fn security() -> Value {
    Value::from([(
        "BearerToken",
        Value::from([
            ("description", "Bearer Token authentication"),
            ("type", "apiKey"),
            ("name", "authorization"),
            ("in", "header"),
        ]),
    )])
}

/// Parameters that all operations of a path have stand beside the operations.
pub(super) fn common(item: &PathItem) -> Vec<Parameter> {
    let Some((first, rest)) = item.operations.split_first() else { return Vec::new() };
    let everywhere = |p: &&Parameter| rest.iter().all(|o| o.parameters.contains(p));
    first.parameters.iter().filter(everywhere).copied().collect()
}

fn path_item(item: &PathItem) -> Value {
    let common = common(item);
    let mut map: Map = item.operations.iter().map(|o| (o.method.as_str().into(), operation(o, &common))).collect();
    if !common.is_empty() {
        map.insert("parameters", common.iter().map(parameter).collect::<Vec<_>>());
    }
    Value::Map(map)
}

fn parameter(p: &Parameter) -> Value {
    let mut map = Map::new();
    map.insert("name", p.name);
    map.insert("in", if p.in_path { "path" } else { "query" });
    map.insert("description", p.description);
    map.insert("schema", Value::from([("type", Value::from(p.ty)), ("uniqueItems", Value::Bool(true))]));
    if p.in_path {
        map.insert("required", true);
    }
    Value::Map(map)
}

pub(super) fn code_text(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        _ => "Unauthorized",
    }
}

fn content(media: &[&str], schema: &Value) -> Value {
    Value::Map(media.iter().map(|m| ((*m).into(), Value::from([("schema", schema.clone())]))).collect())
}

fn reference(id: &str) -> Value {
    Value::from([("$ref", format!("{SCHEMA_PREFIX}{id}"))])
}

fn operation(o: &Operation, common: &[Parameter]) -> Value {
    let mut map = Map::new();
    map.insert("tags", vec![o.tag.as_str()]);
    map.insert("description", o.description.as_str());
    map.insert("operationId", o.id.as_str());
    let own: Vec<Value> = o.parameters.iter().filter(|p| !common.contains(p)).map(parameter).collect();
    if !own.is_empty() {
        map.insert("parameters", own);
    }
    if let Some((id, required)) = &o.body {
        let media = if o.action == "patch" { o.consumes } else { super::operations::ANY };
        let mut body = Map::new();
        body.insert("content", content(media, &reference(id)));
        if *required {
            body.insert("required", true);
        }
        map.insert("requestBody", body);
    }
    let schema = match &o.reply {
        Reply::Type(id) => reference(id),
        Reply::Text => Value::from([("type", "string")]),
    };
    let mut responses = Map::new();
    for code in o.codes {
        let response =
            Value::from([("description", Value::from(code_text(*code))), ("content", content(o.produces, &schema))]);
        responses.insert(code.to_string(), response);
    }
    responses.insert("401", Value::from([("description", code_text(401))]));
    map.insert("responses", responses);
    extensions(o, &mut map);
    Value::Map(map)
}

/// The action and the kind of an operation.
pub(super) fn extensions(o: &Operation, map: &mut Map) {
    if o.action.is_empty() {
        return;
    }
    map.insert("x-kubernetes-action", o.action);
    let (group, version, kind) = &o.gvk;
    map.insert(
        "x-kubernetes-group-version-kind",
        Value::from([("group", group), ("kind", kind), ("version", version)]),
    );
}
