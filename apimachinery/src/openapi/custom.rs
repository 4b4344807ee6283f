//! Custom resources in the OpenAPI documents.
//!
//! Their paths take fewer media types, are not watched by path, and their schemas are those of their definitions with
//! the members that every object has. Texts of those members are absent, as those of built-in types are.
//! upstream: apiextensions-apiserver/pkg/controller/openapi/{builder,v2}

use super::operations::{Method, Operation, PathItem, Reply, group_title, prefix, tag};
use super::parameters::{
    APPLY_MANAGER, DELETE, DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE, LIST, NAME, NAMESPACE, PRETTY, Parameter,
    RESOURCE_VERSION,
};
use super::schemas::SCHEMA_PREFIX;
use super::v3;
use crate::meta::api_version;
use crate::schema::kind;
use crate::value::{Map, Value};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const OBJECT: &[&str] = &["application/json", "application/yaml"];
const PATCHES: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// One version of a custom resource.
#[derive(Clone, Copy, Debug)]
pub struct CustomResource<'a> {
    /// API group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// Plural name.
    pub plural: &'a str,
    /// Kind of the objects.
    pub kind: &'a str,
    /// Kind of lists.
    pub list_kind: &'a str,
    /// True if the objects live in namespaces.
    pub namespaced: bool,
    /// openAPIV3Schema of the version.
    pub schema: &'a Value,
    /// Version of the definition; another one may have another schema.
    pub revision: &'a str,
    /// There is a status subresource.
    pub status: bool,
    /// There is a scale subresource.
    pub scale: bool,
}

/// The v3 document of a group version that consists of custom resources.
pub fn document(resources: &[CustomResource<'_>]) -> Value {
    let items: Vec<PathItem> = resources.iter().flat_map(CustomResource::paths).collect();
    v3::render(&items, None, definitions(resources))
}

/// The schemas of the resources and their lists, in v3 form, by definition name.
fn definitions(resources: &[CustomResource<'_>]) -> Vec<(String, Value)> {
    named(resources, |r| r.object_schema())
}

/// The schemas in the form that v2 has room for, still with the references of v3.
pub(super) fn definitions_v2(resources: &[CustomResource<'_>]) -> Vec<(String, Value)> {
    named(resources, |r| r.object_schema_v2())
}

fn named(resources: &[CustomResource<'_>], schema: impl Fn(&CustomResource<'_>) -> Value) -> Vec<(String, Value)> {
    let both =
        |r: &CustomResource<'_>| [(r.definition(r.kind), schema(r)), (r.definition(r.list_kind), r.list_schema())];
    resources.iter().flat_map(both).collect()
}

fn reference(id: &str) -> Value {
    Value::from([("$ref", format!("{SCHEMA_PREFIX}{id}"))])
}

/// A reference that has a description beside it.
fn described(id: &str) -> Value {
    Value::from([("allOf", Value::List(vec![reference(id)]))])
}

fn string() -> Value {
    Value::from([("type", "string")])
}

impl CustomResource<'_> {
    /// `com.example.v1.Widget` of kind Widget in v1 of example.com.
    fn definition(&self, kind: &str) -> String {
        let reversed: Vec<&str> = self.group.split('.').rev().collect();
        format!("{}.{}.{kind}", reversed.join("."), self.version)
    }

    fn registered(&self, kind: &str) -> Value {
        Value::List(vec![Value::from([("group", self.group), ("kind", kind), ("version", self.version)])])
    }

    fn object_schema(&self) -> Value {
        self.completed(self.schema, true)
    }

    /// v2 knows no alternatives, and clients of it refuse unknown fields wherever members are listed.
    fn object_schema_v2(&self) -> Value {
        if preserves_unknown(self.schema) {
            return Value::from([
                ("type", Value::from("object")),
                ("x-kubernetes-group-version-kind", self.registered(self.kind)),
            ]);
        }
        self.completed(&reduced(self.schema), false)
    }

    fn completed(&self, schema: &Value, alternatives: bool) -> Value {
        let mut schema = published(schema, alternatives);
        let properties = schema.field_mut("properties");
        properties.set("apiVersion", string());
        properties.set("kind", string());
        properties.set("metadata", described(&format!("{META}ObjectMeta")));
        schema.set("type", "object");
        schema.set("x-kubernetes-group-version-kind", self.registered(self.kind));
        schema
    }

    fn list_schema(&self) -> Value {
        let items = Value::from([("type", Value::from("array")), ("items", reference(&self.definition(self.kind)))]);
        Value::from([
            ("type", Value::from("object")),
            ("required", Value::from(vec!["items"])),
            (
                "properties",
                Value::from([
                    ("apiVersion", string()),
                    ("kind", string()),
                    ("metadata", described(&format!("{META}ListMeta"))),
                    ("items", items),
                ]),
            ),
            ("x-kubernetes-group-version-kind", self.registered(self.list_kind)),
        ])
    }

    /// The paths of the resource.
    pub fn paths(&self) -> Vec<PathItem> {
        let scope: &[Parameter] = if self.namespaced { &[NAMESPACE] } else { &[] };
        let prefix = prefix(self.group, self.version);
        let base = if self.namespaced {
            format!("{prefix}/namespaces/{{namespace}}/{}", self.plural)
        } else {
            format!("{prefix}/{}", self.plural)
        };
        let with_name = [scope, &[NAME]].concat();
        let object = self.definition(self.kind);
        let mut items = vec![PathItem { path: base.clone(), operations: self.collection(scope) }];
        if self.namespaced {
            let all = self.list(&[], format!("{}ForAllNamespaces", self.kind));
            items.push(PathItem { path: format!("{prefix}/{}", self.plural), operations: vec![all] });
        }
        items.push(PathItem { path: format!("{base}/{{name}}"), operations: self.item(&object, "", &with_name, true) });
        if self.status {
            let path = format!("{base}/{{name}}/status");
            items.push(PathItem { path, operations: self.item(&object, "Status", &with_name, false) });
        }
        if self.scale {
            let scale =
                kind(&api_version("autoscaling", "v1"), "Scale").map(|t| t.name.to_string()).unwrap_or_default();
            let path = format!("{base}/{{name}}/scale");
            items.push(PathItem { path, operations: self.item(&scale, "Scale", &with_name, false) });
        }
        items
    }

    fn scoped(&self) -> String {
        if self.namespaced { format!("Namespaced{}", self.kind) } else { self.kind.to_owned() }
    }

    fn operation(
        &self,
        method: Method,
        names: (&str, &'static str, String),
        parameters: (&[Parameter], &[Parameter]),
        reply: String,
    ) -> Operation {
        let (verb, action, id_tail) = names;
        let mut parameters = [parameters.0, parameters.1, &[PRETTY]].concat();
        parameters.sort_by_key(|p| (p.name, !p.in_path));
        let mut version = self.version.chars();
        let version: String = version.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(version).collect();
        Operation {
            method,
            id: format!("{verb}{}{version}{id_tail}", group_title(self.group)),
            tag: tag(self.group, self.version),
            description: format!("{action} {}", self.kind),
            action,
            gvk: (self.group.to_owned(), self.version.to_owned(), self.kind.to_owned()),
            parameters,
            body: None,
            consumes: OBJECT,
            produces: OBJECT,
            reply: Reply::Type(reply),
            codes: &[200],
        }
    }

    fn list(&self, path: &[Parameter], id_tail: String) -> Operation {
        self.operation(Method::Get, ("list", "list", id_tail), (path, &LIST), self.definition(self.list_kind))
    }

    fn collection(&self, path: &[Parameter]) -> Vec<Operation> {
        let object = self.definition(self.kind);
        let query = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
        let create = Operation {
            body: Some((object.clone(), true)),
            codes: &[200, 201, 202],
            ..self.operation(Method::Post, ("create", "post", self.scoped()), (path, &query), object)
        };
        let names = ("delete", "deletecollection", format!("Collection{}", self.scoped()));
        let delete = self.operation(Method::Delete, names, (path, &LIST), format!("{META}Status"));
        vec![self.list(path, self.scoped()), create, delete]
    }

    /// get, put and patch; for the object itself delete too.
    fn item(&self, id: &str, tail: &str, path: &[Parameter], whole: bool) -> Vec<Operation> {
        let id_tail = format!("{}{tail}", self.scoped());
        let read =
            self.operation(Method::Get, ("read", "get", id_tail.clone()), (path, &[RESOURCE_VERSION]), id.to_owned());
        let query = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
        let replace = Operation {
            body: Some((id.to_owned(), true)),
            codes: &[200, 201],
            ..self.operation(Method::Put, ("replace", "put", id_tail.clone()), (path, &query), id.to_owned())
        };
        let query = [DRY_RUN, APPLY_MANAGER, FIELD_VALIDATION, FORCE];
        let patch = Operation {
            body: Some((format!("{META}Patch"), true)),
            consumes: PATCHES,
            ..self.operation(Method::Patch, ("patch", "patch", id_tail.clone()), (path, &query), id.to_owned())
        };
        let mut operations = vec![read, replace, patch];
        if whole {
            let query = [&DELETE[..], &[DRY_RUN]].concat();
            operations.push(Operation {
                body: Some((format!("{META}DeleteOptions"), false)),
                codes: &[200, 202],
                ..self.operation(Method::Delete, ("delete", "delete", id_tail), (path, &query), format!("{META}Status"))
            });
        }
        operations
    }
}

fn preserves_unknown(schema: &Value) -> bool {
    schema.get("x-kubernetes-preserve-unknown-fields").as_bool() == Some(true)
}

/// A schema without what v2 has no room for.
fn reduced(schema: &Value) -> Value {
    let nullable = schema.get("nullable").as_bool() == Some(true);
    let open = preserves_unknown(schema);
    let mut out = Map::new();
    for (key, value) in schema.entries() {
        match key {
            "allOf" | "anyOf" | "oneOf" | "not" | "nullable" => {}
            "type" if nullable => {}
            "items" | "properties" if nullable || open => {}
            "properties" => {
                let members: Map = value.entries().map(|(name, member)| (name.into(), reduced(member))).collect();
                out.insert(key, members);
            }
            "items" | "additionalProperties" if value.as_map().is_some() => {
                out.insert(key, reduced(value));
            }
            _ => {
                out.insert(key, value.clone());
            }
        }
    }
    let kind = schema.get("type").str_or_empty();
    if (kind == "array" && !out.contains_key("items")) || (kind == "object" && open) {
        out.remove("type");
    }
    Value::Map(out)
}

/// A schema of a definition as it is published.
fn published(schema: &Value, alternatives: bool) -> Value {
    let mut out = Map::new();
    for (key, value) in schema.entries() {
        let mut value = match key {
            "properties" => Value::Map(value.entries().map(|(k, v)| (k.into(), published(v, alternatives))).collect()),
            "items" | "not" => published(value, alternatives),
            "additionalProperties" if value.as_map().is_some() => published(value, alternatives),
            "allOf" | "anyOf" | "oneOf" => {
                Value::List(value.items().iter().map(|v| published(v, alternatives)).collect())
            }
            _ => value.clone(),
        };
        value.expand_raw();
        out.insert(key, value);
    }
    let mut out = Value::Map(out);
    let flag = |key: &str| schema.get(key).as_bool() == Some(true);
    if alternatives && flag("x-kubernetes-int-or-string") && !out.has("anyOf") {
        out.set("anyOf", Value::List(["integer", "string"].map(|t| Value::from([("type", t)])).to_vec()));
    }
    if flag("x-kubernetes-embedded-resource") {
        let properties = out.field_mut("properties");
        properties.set("apiVersion", string());
        properties.set("kind", string());
        properties.set("metadata", described(&format!("{META}ObjectMeta")));
        let required = out.field_mut("required").list_mut();
        for key in ["kind", "apiVersion"] {
            if !required.iter().any(|r| r.as_str() == Some(key)) {
                required.push(Value::from(key));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn widget() {
        let schema = value!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"i": {"x-kubernetes-int-or-string": true}, "n": {"type": "string", "nullable": true}}}
        }});
        let resource = CustomResource {
            group: "example.com",
            version: "v1",
            plural: "widgets",
            kind: "Widget",
            list_kind: "WidgetList",
            namespaced: true,
            schema: &schema,
            revision: "1",
            status: true,
            scale: true,
        };
        let document = document(&[resource]);
        let schemas = document.path(&["components", "schemas"]);
        let spec = schemas.path(&["com.example.v1.Widget", "properties", "spec", "properties"]);
        assert_eq!(spec.path(&["i", "anyOf"]).items().len(), 2);
        assert!(
            schemas.has("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
                && schemas.has("io.k8s.api.autoscaling.v1.Scale")
        );
        let path = document.path(&["paths", "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}", "get"]);
        assert_eq!(path.get("operationId").as_str(), Some("readExampleComV1NamespacedWidget"));
        let v2 = super::super::v2::document(&[("", "v1")], &[resource]);
        let spec = v2.path(&["definitions", "com.example.v1.Widget", "properties", "spec", "properties"]);
        assert_eq!(spec.get("i"), &value!({"x-kubernetes-int-or-string": true}));
        assert!(spec.get("n").get("type").is_null());
    }
}
