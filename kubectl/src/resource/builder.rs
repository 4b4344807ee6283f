//! Collects the objects that arguments, selectors and files name.
//! Corresponds to cli-runtime/pkg/resource/builder.go, selector.go, visitor.go.

use std::rc::Rc;

use apimachinery::selector::label;
use apimachinery::value::Value;
use http::Method;

use super::info::{group_kind_of, is_list, list_items};
use super::manifest::{self, Source};
use super::{FilenameOptions, Info};
use crate::cli::quote::quote;
use crate::client::{Mapping, Request};
use crate::context::Context;
use crate::failure::Failure;

/// What to collect and how.
pub struct Builder<'c> {
    ctx: &'c Context,
    namespace: String,
    require_namespace: bool,
    all_namespaces: bool,
    filenames: FilenameOptions,
    stdin_text: Option<(String, Vec<u8>)>,
    label_selector: Option<String>,
    field_selector: Option<String>,
    select_all: bool,
    resources: Vec<String>,
    names: Vec<String>,
    tuples: Vec<(String, String)>,
    chunk: i64,
    table: Option<bool>,
    subresource: String,
    continue_on_error: bool,
    flatten: bool,
    latest: bool,
    require_object: bool,
    single_type: bool,
    local: bool,
    errors: Vec<anyhow::Error>,
    missing: String,
}

/// What was collected.
pub struct Found {
    /// The objects and the failures, in order.
    pub items: Vec<anyhow::Result<Info>>,
    /// Whether the request named one object.
    pub single: bool,
    /// Whether names were given, rather than a selector.
    pub by_name: bool,
}

impl Found {
    /// The objects, or all failures together.
    pub fn infos(self) -> anyhow::Result<Vec<Info>> {
        let (infos, errors) = self.split();
        crate::failure::aggregate(errors)?;
        Ok(infos)
    }

    /// Objects and failures apart.
    pub fn split(self) -> (Vec<Info>, Vec<anyhow::Error>) {
        let mut infos = Vec::new();
        let mut errors = Vec::new();
        for item in self.items {
            match item {
                Ok(info) => infos.push(info),
                Err(error) => errors.push(error),
            }
        }
        (infos, errors)
    }
}

const MISSING: &str = "You must provide one or more resources by argument or filename.\nExample resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'";

impl<'c> Builder<'c> {
    /// A builder that has nothing to collect yet.
    pub fn new(ctx: &'c Context) -> Self {
        Self {
            ctx,
            namespace: String::new(),
            require_namespace: false,
            all_namespaces: false,
            filenames: FilenameOptions::default(),
            stdin_text: None,
            label_selector: None,
            field_selector: None,
            select_all: false,
            resources: Vec::new(),
            names: Vec::new(),
            tuples: Vec::new(),
            chunk: 0,
            table: None,
            subresource: String::new(),
            continue_on_error: false,
            flatten: false,
            latest: false,
            require_object: true,
            single_type: false,
            local: false,
            errors: Vec::new(),
            missing: MISSING.to_owned(),
        }
    }

    /// The default namespace; `explicit` makes it an error for a file to name another.
    pub fn namespace(mut self, namespace: &str, explicit: bool) -> Self {
        namespace.clone_into(&mut self.namespace);
        self.require_namespace = explicit;
        self
    }

    /// Looks in all namespaces.
    pub fn all_namespaces(mut self, all: bool) -> Self {
        self.all_namespaces = all;
        if all {
            self.namespace.clear();
        }
        self
    }

    /// Files to read.
    pub fn filenames(mut self, options: &FilenameOptions) -> Self {
        self.filenames = options.clone();
        self
    }

    /// Content that has been read already.
    pub fn stream(mut self, name: &str, content: Vec<u8>) -> Self {
        self.stdin_text = Some((name.to_owned(), content));
        self
    }

    /// `-l`.
    pub fn labels(mut self, selector: &str) -> Self {
        if !selector.trim().is_empty() {
            self.label_selector = Some(selector.trim().to_owned());
        }
        self
    }

    /// `--field-selector`.
    pub fn fields(mut self, selector: &str) -> Self {
        if !selector.trim().is_empty() {
            self.field_selector = Some(selector.trim().to_owned());
        }
        self
    }

    /// `--all`.
    pub fn select_all(mut self, all: bool) -> Self {
        if all && (self.label_selector.is_some() || self.field_selector.is_some()) {
            self.errors.push(anyhow::anyhow!("setting 'all' parameter but found a non empty selector. "));
            return self;
        }
        self.select_all = all;
        self
    }

    /// Page size; 0 for no pages.
    pub fn chunk(mut self, size: i64) -> Self {
        self.chunk = size;
        self
    }

    /// Asks for tables; `Some(true)` with the whole objects inside.
    pub fn table(mut self, table: Option<bool>) -> Self {
        self.table = table;
        self
    }

    /// Works on a subresource.
    pub fn subresource(mut self, name: &str) -> Self {
        name.clone_into(&mut self.subresource);
        self
    }

    /// Goes on after a failure.
    pub fn continue_on_error(mut self) -> Self {
        self.continue_on_error = true;
        self
    }

    /// Takes lists apart.
    pub fn flatten(mut self) -> Self {
        self.flatten = true;
        self
    }

    /// Replaces objects of files by the server's state.
    pub fn latest(mut self) -> Self {
        self.latest = true;
        self
    }

    /// Whether named objects are fetched.
    pub fn require_object(mut self, require: bool) -> Self {
        self.require_object = require;
        self
    }

    /// Refuses more than one resource type.
    pub fn single_type(mut self) -> Self {
        self.single_type = true;
        self
    }

    /// Works without a server.
    pub fn local(mut self, local: bool) -> Self {
        self.local = local;
        self
    }

    /// Objects `names` (or `type/name`) of one resource type.
    pub fn resource_names(mut self, resource: &str, names: &[String]) -> Self {
        for name in names {
            match split_tuple(name) {
                Ok(Some(tuple)) => self.tuples.push(tuple),
                Ok(None) if resource.is_empty() => {
                    self.errors.push(anyhow::anyhow!("the argument {} must be RESOURCE/NAME", quote(name)));
                }
                Ok(None) => self.tuples.push((resource.to_owned(), name.clone())),
                Err(error) => {
                    self.errors.push(error);
                    return self;
                }
            }
        }
        self
    }

    /// Resource types without names.
    pub fn resource_types(mut self, types: &[String]) -> Self {
        self.resources.extend(types.iter().cloned());
        self
    }

    /// `TYPE`, `TYPE NAME…`, `TYPE/NAME…`.
    pub async fn args(mut self, allow_empty_selector: bool, args: &[String]) -> Self {
        let mut args = normalize(args);
        match combined(&args) {
            Err(error) => {
                self.errors.push(error);
                return self;
            }
            Ok(true) => {
                for arg in &args {
                    match split_tuple(arg) {
                        Ok(tuple) => self.tuples.extend(tuple),
                        Err(error) => {
                            self.errors.push(error);
                            return self;
                        }
                    }
                }
                return self;
            }
            Ok(false) => {}
        }
        if args.is_empty() {
            return self;
        }
        args[0] = self.expand_categories(&args[0]).await;
        self.resources.extend(split_list(&args[0]));
        self.names.extend(args.drain(1..));
        if self.names.is_empty() && self.label_selector.is_none() && allow_empty_selector {
            self.label_selector = Some(String::new());
        }
        self
    }

    async fn expand_categories(&mut self, types: &str) -> String {
        if self.local {
            return types.to_owned();
        }
        // Upstream asks for the words' categories, then for each resource in each of its mappers.
        let mapper = match self.ctx.mapper_within(4 + types.split(',').count()).await {
            Ok(mapper) => mapper,
            Err(error) => {
                self.errors.push(error);
                return types.to_owned();
            }
        };
        let expand = |word: &str| mapper.category(word).map_or_else(|| word.to_owned(), |names| names.join(","));
        types.split(',').map(expand).collect::<Vec<_>>().join(",")
    }

    /// Collects.
    pub async fn run(mut self) -> anyhow::Result<Found> {
        let sources = manifest::expand(&self.filenames);
        let mut errors = sources.errors;
        errors.append(&mut self.errors);
        if !errors.is_empty() {
            return Err(Failure::Many(errors).into());
        }
        if self.select_all {
            self.label_selector = Some(String::new());
        }
        if !sources.list.is_empty() || self.stdin_text.is_some() {
            return self.by_path(sources.list, sources.single).await;
        }
        if self.label_selector.is_some() || self.field_selector.is_some() {
            return self.by_selector().await;
        }
        if !self.tuples.is_empty() {
            return self.by_tuple().await;
        }
        if !self.names.is_empty() {
            return self.by_name().await;
        }
        if !self.resources.is_empty() {
            let mapper = self.ctx.mapper().await?;
            for resource in &self.resources {
                mapper.resource(resource)?;
            }
            anyhow::bail!("resource(s) were provided, but no name was specified");
        }
        anyhow::bail!("{}", self.missing)
    }

    async fn mappings(&self) -> anyhow::Result<Vec<Rc<Mapping>>> {
        anyhow::ensure!(self.resources.len() < 2 || !self.single_type, "you may only specify a single resource type");
        let mapper = self.ctx.mapper().await?;
        let mut mappings: Vec<Rc<Mapping>> = Vec::new();
        for resource in &self.resources {
            let mapping = mapper.resource(resource)?;
            if !mappings.contains(&mapping) {
                mappings.push(mapping);
            }
        }
        Ok(mappings)
    }

    async fn by_selector(&self) -> anyhow::Result<Found> {
        anyhow::ensure!(self.names.is_empty(), "name cannot be provided when a selector is specified");
        anyhow::ensure!(
            self.tuples.is_empty(),
            "selectors and the all flag cannot be used when passing resource/name arguments"
        );
        anyhow::ensure!(!self.resources.is_empty(), "at least one resource must be specified to use a selector");
        anyhow::ensure!(self.subresource.is_empty(), "subresource cannot be used when bulk resources are specified");
        let mut items = Vec::new();
        for mapping in self.mappings().await? {
            if let Err(error) = self.list(&mapping, &mut items).await {
                items.push(Err(error));
                if !self.continue_on_error {
                    break;
                }
            }
        }
        Ok(Found { items, single: false, by_name: false })
    }

    /// Lists one resource page by page.
    async fn list(&self, mapping: &Rc<Mapping>, items: &mut Vec<anyhow::Result<Info>>) -> anyhow::Result<()> {
        let rest = self.ctx.rest().await?;
        let namespace = if mapping.namespaced { self.namespace.clone() } else { String::new() };
        let mut next = String::new();
        loop {
            let mut request = Request::to(Method::GET, mapping, &namespace, "")
                .maybe("labelSelector", self.label_selector.as_deref().unwrap_or_default())
                .maybe("fieldSelector", self.field_selector.as_deref().unwrap_or_default())
                .maybe("continue", &next)
                .table(self.table.is_some())
                .maybe("includeObject", if self.table == Some(true) { "Object" } else { "" });
            if self.chunk > 0 {
                request = request.query("limit", self.chunk.to_string());
            }
            let list = rest.value(request).await.map_err(|e| self.explain_list_error(e, mapping))?;
            let following = list.path(&["metadata", "continue"]).str_or_empty().to_owned();
            let info = Info {
                mapping: Some(Rc::clone(mapping)),
                namespace: namespace.clone(),
                object: list,
                ..Info::default()
            };
            self.push(info, items).await;
            if following.is_empty() {
                return Ok(());
            }
            next = following;
        }
    }

    fn explain_list_error(&self, error: anyhow::Error, mapping: &Mapping) -> anyhow::Error {
        let field = self.field_selector.as_deref().unwrap_or_default();
        let label = self.label_selector.as_deref().unwrap_or_default();
        if !crate::failure::has_reason(&error, "BadRequest") && !crate::failure::is_not_found(&error) {
            return error;
        }
        let subject = quote(&format!("{}, Resource={}", gv_path(mapping), mapping.resource));
        let prefix = match (label.is_empty(), field.is_empty()) {
            (true, true) => format!("Unable to list {subject}: "),
            _ => format!(
                "Unable to find {subject} that match label selector {}, field selector {}: ",
                quote(label),
                quote(field)
            ),
        };
        crate::failure::with_prefix(&prefix, error)
    }

    /// Adds an object, taking a list apart if asked.
    async fn push(&self, info: Info, items: &mut Vec<anyhow::Result<Info>>) {
        if !self.flatten || !is_list(&info.object) {
            items.push(Ok(info));
            return;
        }
        let mut queue: std::collections::VecDeque<Value> = list_items(&info.object).into();
        while let Some(object) = queue.pop_front() {
            if is_list(&object) {
                queue.extend(list_items(&object));
                continue;
            }
            let item = self.info_for(object, &info.source).await;
            items.push(item.map_err(|e| anyhow::anyhow!("unable to recognize {e}")));
        }
    }

    async fn info_for(&self, object: Value, source: &str) -> anyhow::Result<Info> {
        let mapping = if self.local {
            None
        } else {
            let (_, kind) = group_kind_of(&object);
            let mapper = self.ctx.mapper().await?;
            Some(mapper.kind_of(object.get("apiVersion").str_or_empty(), &kind)?)
        };
        Ok(Info {
            mapping,
            namespace: object.path(&["metadata", "namespace"]).str_or_empty().to_owned(),
            name: object.path(&["metadata", "name"]).str_or_empty().to_owned(),
            source: source.to_owned(),
            object,
            subresource: self.subresource.clone(),
        })
    }

    async fn by_tuple(&self) -> anyhow::Result<Found> {
        anyhow::ensure!(
            self.resources.is_empty(),
            "you may not specify individual resources and bulk resources in the same call"
        );
        let mapper = self.ctx.mapper_within(4).await?;
        let mut wanted = Vec::new();
        let mut types: Vec<Rc<Mapping>> = Vec::new();
        for (resource, name) in &self.tuples {
            let mapping = mapper.resource(resource)?;
            if !types.contains(&mapping) {
                types.push(Rc::clone(&mapping));
            }
            wanted.push((mapping, name.clone()));
        }
        anyhow::ensure!(types.len() < 2 || !self.single_type, "you may only specify a single resource type");
        let single = wanted.len() == 1;
        self.named(wanted, single).await
    }

    async fn by_name(&self) -> anyhow::Result<Found> {
        anyhow::ensure!(!self.resources.is_empty(), "you must provide a resource and a resource name together");
        anyhow::ensure!(self.resources.len() == 1, "you must specify only one resource");
        let mappings = self.mappings().await?;
        let wanted: Vec<_> = self.names.iter().map(|n| (Rc::clone(&mappings[0]), n.clone())).collect();
        let single = wanted.len() == 1;
        self.named(wanted, single).await
    }

    async fn named(&self, wanted: Vec<(Rc<Mapping>, String)>, single: bool) -> anyhow::Result<Found> {
        let mut items = Vec::new();
        for (mapping, name) in wanted {
            if mapping.namespaced && self.namespace.is_empty() {
                anyhow::bail!(if self.all_namespaces {
                    "a resource cannot be retrieved by name across all namespaces"
                } else {
                    "namespace may not be empty when retrieving a resource by name"
                });
            }
            let namespace = if mapping.namespaced { self.namespace.clone() } else { String::new() };
            let mut info = Info {
                mapping: Some(mapping),
                namespace,
                name,
                subresource: self.subresource.clone(),
                ..Info::default()
            };
            let item = match self.require_object {
                true => self.fetch(&mut info).await.map(|()| info),
                false => Ok(info),
            };
            let failed = item.is_err();
            match item {
                Ok(info) => self.push(info, &mut items).await,
                Err(error) => items.push(Err(error)),
            }
            if failed && !self.continue_on_error {
                break;
            }
        }
        Ok(Found { items, single, by_name: true })
    }

    async fn fetch(&self, info: &mut Info) -> anyhow::Result<()> {
        let request = Request::to(Method::GET, info.mapping()?, &info.namespace, &info.name)
            .below(&info.subresource)
            .table(self.table.is_some())
            .maybe("includeObject", if self.table == Some(true) { "Object" } else { "" });
        let object = self.ctx.rest().await?.value(request).await?;
        info.refresh(object);
        Ok(())
    }

    async fn by_path(&self, sources: Vec<Source>, single: bool) -> anyhow::Result<Found> {
        const WITH_PATHS: &str =
            "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well";
        anyhow::ensure!(self.resources.is_empty(), WITH_PATHS);
        anyhow::ensure!(self.names.is_empty(), "name cannot be provided when a path is specified");
        anyhow::ensure!(self.tuples.is_empty(), "resource/name arguments cannot be provided when a path is specified");
        let selector = match self.label_selector.as_deref() {
            None | Some("") => None,
            Some(text) => Some(
                label::parse(text)
                    .map_err(|e| anyhow::anyhow!("the provided selector {} is not valid: {e}", quote(text)))?,
            ),
        };
        let mut items = Vec::new();
        if let Some((name, content)) = &self.stdin_text {
            self.documents(name, content, &mut items).await;
        }
        for source in &sources {
            match source.read().await {
                Ok(content) => self.documents(source.name(), &content, &mut items).await,
                Err(error) => items.push(Err(error)),
            }
            if !self.continue_on_error && items.iter().any(Result::is_err) {
                break;
            }
        }
        let mut checked = Vec::new();
        for item in items {
            let item = match item {
                Ok(info) => self.prepare(info).await,
                Err(error) => Err(error),
            };
            if let (Ok(info), Some(selector)) = (&item, &selector) {
                let labels = info.object.path(&["metadata", "labels"]);
                if !selector.matches(|key| labels.get(key).as_str()) {
                    continue;
                }
            }
            let failed = item.is_err();
            checked.push(item);
            if failed && !self.continue_on_error {
                break;
            }
        }
        Ok(Found { items: checked, single, by_name: true })
    }

    async fn documents(&self, source: &str, content: &[u8], items: &mut Vec<anyhow::Result<Info>>) {
        for document in manifest::decode_documents(content, source) {
            let info = match document {
                Ok(object) => self.recognize(object, source).await,
                Err(error) => Err(error),
            };
            match info {
                Ok(info) => self.push(info, items).await,
                Err(error) => items.push(Err(error)),
            }
        }
    }

    /// The resource of an object of a file.
    async fn recognize(&self, object: Value, source: &str) -> anyhow::Result<Info> {
        for (field, shown) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
            if object.get(field).str_or_empty().is_empty() {
                let json = crate::codec::encode_json(&object);
                let json = String::from_utf8_lossy(&json).into_owned();
                let text = if shown == "Kind" { "Object 'Kind' is missing" } else { "Object 'apiVersion' is missing" };
                anyhow::bail!("unable to decode {}: {text} in '{json}'", quote(source));
            }
        }
        if is_list(&object) && self.flatten {
            return Ok(Info { source: source.to_owned(), object, ..Info::default() });
        }
        let name = object.path(&["metadata", "name"]).str_or_empty().to_owned();
        let namespace = object.path(&["metadata", "namespace"]).str_or_empty().to_owned();
        self.info_for(object, source).await.map_err(|error| match error.downcast_ref::<Failure>() {
            Some(Failure::NoKind { .. }) => anyhow::anyhow!(
                "resource mapping not found for name: {} namespace: {} from {}: {error}\nensure CRDs are installed first",
                quote(&name),
                quote(&namespace),
                quote(source)
            ),
            Some(Failure::Connection { .. } | Failure::Status(_)) => error,
            _ => anyhow::anyhow!("unable to recognize {}: {error}", quote(source)),
        })
    }

    /// Namespace rules and the fetching of the latest state.
    async fn prepare(&self, mut info: Info) -> anyhow::Result<Info> {
        if info.namespaced() || (info.mapping.is_none() && !info.namespace.is_empty()) {
            if info.namespace.is_empty() && !self.namespace.is_empty() {
                info.namespace.clone_from(&self.namespace);
                info.object.set_path(&["metadata", "namespace"], Value::str(self.namespace.as_str()));
            } else if self.require_namespace && info.namespace != self.namespace {
                anyhow::bail!(
                    "the namespace from the provided object {} does not match the namespace {}. You must pass '--namespace={}' to perform this operation.",
                    quote(&info.namespace),
                    quote(&self.namespace),
                    info.namespace
                );
            }
        } else if info.mapping.is_some() && !info.namespace.is_empty() {
            info.namespace.clear();
            info.object.remove_path(&["metadata", "namespace"]);
        }
        if self.latest && !info.name.is_empty() {
            self.fetch(&mut info).await?;
        }
        Ok(info)
    }
}

/// As Go's `GroupVersionResource` prints its group and version: `/v1`, `apps/v1`.
fn gv_path(mapping: &Mapping) -> String {
    format!("{}/{}", mapping.group, mapping.version)
}

/// Splits at commas and drops repetitions.
pub(crate) fn split_list(types: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in types.split(',') {
        if !out.iter().any(|o| o == word) {
            out.push(word.to_owned());
        }
    }
    out
}

/// `a,b n` becomes `a/n b/n`.
fn normalize(args: &[String]) -> Vec<String> {
    let Some((types, names)) = args.split_first().filter(|(_, names)| !names.is_empty()) else {
        return args.to_vec();
    };
    let types = split_list(types);
    if types.len() < 2 {
        return args.to_vec();
    }
    types.iter().flat_map(|t| names.iter().map(move |n| format!("{t}/{n}"))).collect()
}

/// Whether all arguments are of the form `type/name`.
fn combined(args: &[String]) -> anyhow::Result<bool> {
    let slashes = args.iter().filter(|a| a.contains('/')).count();
    if slashes == 0 {
        return Ok(false);
    }
    let base = std::env::args().next().unwrap_or_default();
    let base = base.rsplit('/').next().unwrap_or_default();
    anyhow::ensure!(
        slashes == args.len(),
        "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. '{base} get resource/<resource_name>' instead of '{base} get resource resource/<resource_name>'"
    );
    Ok(true)
}

fn split_tuple(arg: &str) -> anyhow::Result<Option<(String, String)>> {
    if !arg.contains('/') {
        return Ok(None);
    }
    let parts: Vec<&str> = arg.split('/').collect();
    let [resource, name] = parts.as_slice() else {
        anyhow::bail!("arguments in resource/name form may not have more than one slash");
    };
    anyhow::ensure!(
        !resource.is_empty() && !name.is_empty() && !resource.contains(','),
        "arguments in resource/name form must have a single resource and name"
    );
    Ok(Some(((*resource).to_owned(), (*name).to_owned())))
}

/// Whether the arguments name objects, not only types.
pub fn has_names(args: &[String]) -> anyhow::Result<bool> {
    let args = normalize(args);
    Ok(combined(&args)? || args.len() > 1)
}
