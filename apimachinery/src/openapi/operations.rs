//! What can be asked of each path: the operations of a group version, which both document versions render.

use super::parameters::{
    APPLY_MANAGER, DELETE, DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE, LIST, NAME, NAMESPACE, PATH, PRETTY,
    Parameter, of_options,
};
use crate::meta::api_version;
use crate::resources::{ResourceInfo, SubresourceInfo, all};
use crate::schema::kind;

/// An HTTP method, as documents spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Method {
    Get,
    Put,
    Post,
    Delete,
    Options,
    Head,
    Patch,
}

impl Method {
    /// Lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "get",
            Method::Put => "put",
            Method::Post => "post",
            Method::Delete => "delete",
            Method::Options => "options",
            Method::Head => "head",
            Method::Patch => "patch",
        }
    }
}

/// What an operation answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A value of this type, by id.
    Type(String),
    /// A text.
    Text,
}

/// The media types of objects.
pub(super) const OBJECT: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// The media types of lists and watches.
pub(super) const STREAM: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
/// The media types of patches.
pub(super) const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// Any media type.
pub(super) const ANY: &[&str] = &["*/*"];

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Method.
    pub method: Method,
    /// operationId
    pub id: String,
    /// Tag.
    pub tag: String,
    /// What it does, in a sentence.
    pub description: String,
    /// x-kubernetes-action; "" for none.
    pub action: &'static str,
    /// Group, version and kind it is about; a kind "" is none.
    pub gvk: (String, String, String),
    /// All its parameters, those of the path too.
    pub parameters: Vec<Parameter>,
    /// Type of the body and whether it is required.
    pub body: Option<(String, bool)>,
    /// Media types of the body.
    pub consumes: &'static [&'static str],
    /// Media types of the answer.
    pub produces: &'static [&'static str],
    /// What it answers with.
    pub reply: Reply,
    /// Codes it answers with, besides 401.
    pub codes: &'static [u16],
}

/// The operations of a path.
#[derive(Clone, Debug)]
pub struct PathItem {
    /// The path.
    pub path: String,
    /// Its operations.
    pub operations: Vec<Operation>,
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// Resources whose deletion answers with the object.
fn delete_returns_object(info: &ResourceInfo) -> bool {
    match info.group {
        "" => matches!(
            info.plural,
            "persistentvolumeclaims"
                | "persistentvolumes"
                | "pods"
                | "podtemplates"
                | "resourcequotas"
                | "serviceaccounts"
                | "services"
        ),
        "storage.k8s.io" => info.plural != "csistoragecapacities",
        "resource.k8s.io" => true,
        _ => false,
    }
}

pub(super) fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

/// `RbacAuthorization` of `rbac.authorization.k8s.io`, `Core` of the core group.
pub(super) fn group_title(group: &str) -> String {
    let group = group.strip_suffix(".k8s.io").unwrap_or(group);
    if group.is_empty() { "Core".to_owned() } else { group.split('.').map(capitalised).collect() }
}

/// `rbacAuthorization_v1`; without a version `rbacAuthorization`.
pub(super) fn tag(group: &str, version: &str) -> String {
    let title = group_title(group);
    let mut chars = title.chars();
    let lower: String = chars.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(chars).collect();
    if version.is_empty() { lower } else { format!("{lower}_{version}") }
}

/// `/api/v1` or `/apis/GROUP/VERSION`.
pub(super) fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// A GET outside of the resources.
pub(super) fn plain(
    path: String,
    id: String,
    tag: String,
    reply: Reply,
    produces: &'static [&'static str],
    description: &str,
) -> PathItem {
    let operation = Operation {
        method: Method::Get,
        id,
        tag,
        description: description.to_owned(),
        action: "",
        gvk: Default::default(),
        parameters: Vec::new(),
        body: None,
        consumes: OBJECT,
        produces,
        reply,
        codes: &[200],
    };
    PathItem { path, operations: vec![operation] }
}

/// The paths of a group version, its discovery document first.
pub fn paths(group: &str, version: &str) -> Vec<PathItem> {
    let builder = Builder {
        group,
        version,
        title: format!("{}{}", group_title(group), capitalised(version)),
        prefix: prefix(group, version),
    };
    let mut items = vec![plain(
        format!("{}/", builder.prefix),
        format!("get{}APIResources", builder.title),
        tag(group, version),
        Reply::Type(format!("{META}APIResourceList")),
        OBJECT,
        "get available resources",
    )];
    for info in all().iter().filter(|r| r.group == group && r.versions.contains(&version)) {
        builder.resource(info, &mut items);
    }
    items
}

struct Builder<'a> {
    group: &'a str,
    version: &'a str,
    /// Group and version as in operation ids.
    title: String,
    prefix: String,
}

/// One operation in the making.
struct Ask<'a> {
    method: Method,
    verb: &'a str,
    action: &'static str,
    id_tail: String,
    query: Vec<Parameter>,
    body: Option<(String, bool)>,
    reply: Reply,
    codes: &'static [u16],
    gvk: (String, String, String),
}

impl Builder<'_> {
    fn type_id(&self, group: &str, version: &str, name: &str) -> String {
        kind(&api_version(group, version), name).map(|t| t.name.to_string()).unwrap_or_default()
    }

    fn operation(&self, ask: Ask<'_>, path: &[Parameter]) -> Operation {
        let mut parameters = [path, &ask.query].concat();
        parameters.sort_by_key(|p| (p.name, !p.in_path));
        let (consumes, produces) = match ask.action {
            "patch" => (PATCHES, OBJECT),
            "list" | "watch" | "watchlist" => (ANY, STREAM),
            "connect" => (ANY, ANY),
            _ => (ANY, OBJECT),
        };
        Operation {
            method: ask.method,
            id: format!("{}{}{}", ask.verb, self.title, ask.id_tail),
            tag: tag(self.group, self.version),
            description: format!("{} {}", ask.action, ask.gvk.2),
            action: ask.action,
            gvk: ask.gvk,
            parameters,
            body: ask.body,
            consumes,
            produces,
            reply: ask.reply,
            codes: ask.codes,
        }
    }

    fn resource(&self, info: &ResourceInfo, items: &mut Vec<PathItem>) {
        let scope: &[Parameter] = if info.namespaced { &[NAMESPACE] } else { &[] };
        let base = if info.namespaced {
            format!("{}/namespaces/{{namespace}}/{}", self.prefix, info.plural)
        } else {
            format!("{}/{}", self.prefix, info.plural)
        };
        let mut push = |path: String, operations: Vec<Operation>| {
            if !operations.is_empty() {
                items.push(PathItem { path, operations });
            }
        };
        let with_name = [scope, &[NAME]].concat();
        push(base.clone(), self.collection(info, scope));
        if info.namespaced && info.verbs.contains(&"list") {
            push(
                format!("{}/{}", self.prefix, info.plural),
                vec![self.list(info, &[], format!("{}ForAllNamespaces", info.kind))],
            );
        }
        push(format!("{base}/{{name}}"), self.item(info, &with_name));
        for sub in info.subresources {
            let path = format!("{base}/{{name}}/{}", sub.name);
            push(path.clone(), self.subresource(info, sub, &with_name, ""));
            if sub.name == "proxy" {
                push(
                    format!("{path}/{{path}}"),
                    self.subresource(info, sub, &[&with_name[..], &[PATH]].concat(), "WithPath"),
                );
            }
        }
        if info.verbs.contains(&"watch") {
            self.watches(info, scope, &with_name, &mut push);
        }
    }

    fn gvk(&self, info: &ResourceInfo) -> (String, String, String) {
        (self.group.to_owned(), self.version.to_owned(), info.kind.to_owned())
    }

    fn watches(
        &self,
        info: &ResourceInfo,
        scope: &[Parameter],
        with_name: &[Parameter],
        push: &mut impl FnMut(String, Vec<Operation>),
    ) {
        let watch = |action, id_tail, path: &[Parameter]| {
            let ask = Ask {
                method: Method::Get,
                verb: "watch",
                action,
                id_tail,
                query: [&LIST[..], &[PRETTY]].concat(),
                body: None,
                reply: Reply::Type(format!("{META}WatchEvent")),
                codes: &[200],
                gvk: self.gvk(info),
            };
            vec![self.operation(ask, path)]
        };
        let scoped = scoped(info);
        let base = format!("{}/watch", self.prefix);
        let inside = if info.namespaced { format!("{base}/namespaces/{{namespace}}") } else { base.clone() };
        if info.namespaced {
            push(
                format!("{base}/{}", info.plural),
                watch("watchlist", format!("{}ListForAllNamespaces", info.kind), &[]),
            );
        }
        push(format!("{inside}/{}", info.plural), watch("watchlist", format!("{scoped}List"), scope));
        push(format!("{inside}/{}/{{name}}", info.plural), watch("watch", scoped, with_name));
    }

    fn list(&self, info: &ResourceInfo, path: &[Parameter], id_tail: String) -> Operation {
        let ask = Ask {
            method: Method::Get,
            verb: "list",
            action: "list",
            id_tail,
            query: [&LIST[..], &[PRETTY]].concat(),
            body: None,
            reply: Reply::Type(self.type_id(self.group, self.version, &format!("{}List", info.kind))),
            codes: &[200],
            gvk: self.gvk(info),
        };
        self.operation(ask, path)
    }

    fn collection(&self, info: &ResourceInfo, path: &[Parameter]) -> Vec<Operation> {
        let mut operations = Vec::new();
        let scoped = scoped(info);
        if info.verbs.contains(&"list") {
            operations.push(self.list(info, path, scoped.clone()));
        }
        if info.verbs.contains(&"create") {
            let id = self.type_id(self.group, self.version, info.kind);
            operations.push(self.operation(create(id, scoped.clone(), self.gvk(info)), path));
        }
        if info.verbs.contains(&"deletecollection") {
            let mut query: Vec<Parameter> =
                LIST.iter().filter(|p| !matches!(p.name, "allowWatchBookmarks" | "watch")).copied().collect();
            query.extend(DELETE);
            query.extend([DRY_RUN, PRETTY]);
            let ask = Ask {
                method: Method::Delete,
                verb: "delete",
                action: "deletecollection",
                id_tail: format!("Collection{scoped}"),
                query,
                body: Some((format!("{META}DeleteOptions"), false)),
                reply: Reply::Type(format!("{META}Status")),
                codes: &[200],
                gvk: self.gvk(info),
            };
            operations.push(self.operation(ask, path));
        }
        operations
    }

    fn item(&self, info: &ResourceInfo, path: &[Parameter]) -> Vec<Operation> {
        let id = self.type_id(self.group, self.version, info.kind);
        let mut operations = self.read_write(info.verbs, &id, &scoped(info), &self.gvk(info), path);
        if info.verbs.contains(&"delete") {
            let reply = if delete_returns_object(info) { id } else { format!("{META}Status") };
            let ask = Ask {
                method: Method::Delete,
                verb: "delete",
                action: "delete",
                id_tail: scoped(info),
                query: [&DELETE[..], &[DRY_RUN, PRETTY]].concat(),
                body: Some((format!("{META}DeleteOptions"), false)),
                reply: Reply::Type(reply),
                codes: &[200, 202],
                gvk: self.gvk(info),
            };
            operations.push(self.operation(ask, path));
        }
        operations
    }

    /// get, update and patch, which items and subresources share.
    fn read_write(
        &self,
        verbs: &[&str],
        id: &str,
        id_tail: &str,
        gvk: &(String, String, String),
        path: &[Parameter],
    ) -> Vec<Operation> {
        let ask = |method, verb, action, query: &[Parameter], body, codes| {
            let query = [query, &[PRETTY]].concat();
            let reply = Reply::Type(id.to_owned());
            self.operation(
                Ask { method, verb, action, id_tail: id_tail.to_owned(), query, body, reply, codes, gvk: gvk.clone() },
                path,
            )
        };
        let mut operations = Vec::new();
        if verbs.contains(&"get") {
            operations.push(ask(Method::Get, "read", "get", &[], None, &[200]));
        }
        if verbs.contains(&"update") {
            let query = [DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
            operations.push(ask(Method::Put, "replace", "put", &query, Some((id.to_owned(), true)), &[200, 201]));
        }
        if verbs.contains(&"patch") {
            let query = [DRY_RUN, APPLY_MANAGER, FIELD_VALIDATION, FORCE];
            operations.push(ask(
                Method::Patch,
                "patch",
                "patch",
                &query,
                Some((format!("{META}Patch"), true)),
                &[200, 201],
            ));
        }
        operations
    }

    fn subresource(
        &self,
        info: &ResourceInfo,
        sub: &SubresourceInfo,
        path: &[Parameter],
        tail: &str,
    ) -> Vec<Operation> {
        let id_tail = format!("{}{}{tail}", scoped(info), capitalised(sub.name));
        let (group, version) =
            if sub.version.is_empty() { (self.group, self.version) } else { (sub.group, sub.version) };
        let gvk = (group.to_owned(), version.to_owned(), sub.kind.to_owned());
        if sub.kind.ends_with("Options") {
            return self.connects(sub, &id_tail, &gvk, path);
        }
        if sub.name == "log" {
            return vec![self.log(id_tail, gvk, path)];
        }
        let id = self.type_id(group, version, sub.kind);
        let mut operations = self.read_write(sub.verbs, &id, &id_tail, &gvk, path);
        if sub.verbs.contains(&"create") {
            operations.push(self.operation(create(id, id_tail, gvk), path));
        }
        operations
    }

    fn log(&self, id_tail: String, gvk: (String, String, String), path: &[Parameter]) -> Operation {
        let ask = Ask {
            method: Method::Get,
            verb: "read",
            action: "get",
            id_tail,
            query: [&of_options("PodLogOptions")[..], &[PRETTY]].concat(),
            body: None,
            reply: Reply::Text,
            codes: &[200],
            gvk,
        };
        Operation {
            produces: &["text/plain", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"],
            ..self.operation(ask, path)
        }
    }

    fn connects(
        &self,
        sub: &SubresourceInfo,
        id_tail: &str,
        gvk: &(String, String, String),
        path: &[Parameter],
    ) -> Vec<Operation> {
        let methods: &[Method] = if sub.name == "proxy" {
            &[Method::Get, Method::Put, Method::Post, Method::Delete, Method::Options, Method::Head, Method::Patch]
        } else {
            &[Method::Get, Method::Post]
        };
        let connect = |method: &Method| {
            let ask = Ask {
                method: *method,
                verb: "connect",
                action: "connect",
                id_tail: String::new(),
                query: of_options(sub.kind),
                body: None,
                reply: Reply::Text,
                codes: &[200],
                gvk: gvk.clone(),
            };
            let id = format!("connect{}{}{id_tail}", self.title, capitalised(method.as_str()));
            Operation { id, ..self.operation(ask, path) }
        };
        methods.iter().map(connect).collect()
    }
}

fn create(id: String, id_tail: String, gvk: (String, String, String)) -> Ask<'static> {
    Ask {
        method: Method::Post,
        verb: "create",
        action: "post",
        id_tail,
        query: vec![DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, PRETTY],
        body: Some((id.clone(), true)),
        reply: Reply::Type(id),
        codes: &[200, 201, 202],
        gvk,
    }
}

/// `NamespacedPod`, `Node`.
fn scoped(info: &ResourceInfo) -> String {
    if info.namespaced { format!("Namespaced{}", info.kind) } else { info.kind.to_owned() }
}
