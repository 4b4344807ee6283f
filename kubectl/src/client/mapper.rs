//! From what the user wrote (`po`, `deployments.apps`, `Pod`) or a kind to a resource of the server.
//! Corresponds to client-go/restmapper (priority, discovery, shortcut, category expansion).

use std::rc::Rc;

use super::{ApiResource, Discovery};
use crate::failure::Failure;

/// A resource of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Group; empty for core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural.
    pub resource: String,
    /// Kind.
    pub kind: String,
    /// Whether it lives in namespaces.
    pub namespaced: bool,
}

impl Mapping {
    /// `apps/v1`, or `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployments.apps`, or `pods`.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// `Deployment.apps`, or `Pod`.
    pub fn group_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// The URL path of the collection or of an object.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let mut path = format!("{root}/{}", self.api_version());
        if self.namespaced && !namespace.is_empty() {
            path.push_str(&format!("/namespaces/{}", segment(namespace)));
        }
        path.push_str(&format!("/{}", self.resource));
        if !name.is_empty() {
            path.push_str(&format!("/{}", segment(name)));
        }
        path
    }
}

fn segment(text: &str) -> String {
    const KEEP: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b':')
        .remove(b'@')
        .remove(b'$')
        .remove(b'&')
        .remove(b'+')
        .remove(b'=');
    percent_encoding::utf8_percent_encode(text, KEEP).to_string()
}

/// Looks names up in the server's discovery.
pub struct Mapper {
    discovery: Discovery,
}

struct Candidate<'a> {
    group: &'a str,
    version: &'a str,
    resource: &'a ApiResource,
}

impl Candidate<'_> {
    fn mapping(&self) -> Rc<Mapping> {
        Rc::new(Mapping {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            resource: self.resource.name.clone(),
            kind: self.resource.kind.clone(),
            namespaced: self.resource.namespaced,
        })
    }
}

impl Mapper {
    /// A mapper over what the server said.
    pub fn new(discovery: Discovery) -> Self {
        Self { discovery }
    }

    /// What the server said.
    pub fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// Main resources in the server's order.
    fn all(&self) -> impl Iterator<Item = Candidate<'_>> {
        self.discovery.groups.iter().flat_map(|group| {
            group.versions.iter().flat_map(move |version| {
                let main = version.resources.iter().filter(|r| !r.name.contains('/'));
                main.map(move |resource| Candidate { group: &group.name, version: &version.version, resource })
            })
        })
    }

    /// Resolves a word of the command line.
    pub fn resource(&self, word: &str) -> anyhow::Result<Rc<Mapping>> {
        let parts: Vec<&str> = word.splitn(3, '.').collect();
        if let [resource, version, group] = parts.as_slice()
            && let Some(found) = self.find(resource, group, Some(version))
        {
            return Ok(found);
        }
        let (resource, group) = word.split_once('.').unwrap_or((word, ""));
        if let Some(found) = self.find(resource, group, None) {
            return Ok(found);
        }
        if let [kind, version, group] = parts.as_slice()
            && let Ok(found) = self.kind(group, kind, version)
        {
            return Ok(found);
        }
        if let Ok(found) = self.kind(group, resource, "") {
            return Ok(found);
        }
        anyhow::bail!("the server doesn't have a resource type {}", crate::cli::quote::quote(resource))
    }

    fn find(&self, word: &str, group: &str, version: Option<&str>) -> Option<Rc<Mapping>> {
        let word = word.to_lowercase();
        let fits = |c: &Candidate<'_>| version.is_none_or(|v| c.version == v);
        let named = |c: &Candidate<'_>| c.resource.name == word || c.resource.singular == word;
        let exact = |c: &Candidate<'_>| group.is_empty() || c.group == group;
        let prefix = |c: &Candidate<'_>| c.group.starts_with(group);
        if let Some(found) = self.all().find(|c| exact(c) && named(c) && fits(c)) {
            return Some(found.mapping());
        }
        // A short name stands for the resource of its group in the preferred version: upstream drops the one asked for.
        let short = |c: &Candidate<'_>| c.resource.short_names.contains(&word);
        self.all()
            .find(|c| exact(c) && short(c))
            .or_else(|| self.all().find(|c| prefix(c) && (named(c) || short(c)) && fits(c)))
            .map(|c| c.mapping())
    }

    /// Resolves a kind; without a version the preferred one.
    pub fn kind(&self, group: &str, kind: &str, version: &str) -> Result<Rc<Mapping>, Failure> {
        self.all()
            .find(|c| c.group == group && c.resource.kind == kind && (version.is_empty() || c.version == version))
            .map(|c| c.mapping())
            .ok_or_else(|| Failure::NoKind {
                kind: kind.to_owned(),
                versions: match (group.is_empty(), version.is_empty()) {
                    (_, true) => group.to_owned(),
                    (true, false) => version.to_owned(),
                    (false, false) => format!("{group}/{version}"),
                },
            })
    }

    /// Resolves the kind of an object.
    pub fn kind_of(&self, api_version: &str, kind: &str) -> Result<Rc<Mapping>, Failure> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.kind(group, kind, version)
    }

    /// The resources of a category as `plural.group`; `None` if the word is no category.
    pub fn category(&self, word: &str) -> Option<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        for group in &self.discovery.groups {
            for version in &group.versions {
                for resource in &version.resources {
                    if !resource.categories.iter().any(|c| c == word) {
                        continue;
                    }
                    let name = if group.name.is_empty() {
                        resource.name.clone()
                    } else {
                        format!("{}.{}", resource.name, group.name)
                    };
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
        (!names.is_empty()).then_some(names)
    }

    /// Whether a resource has a subresource, as `scale`.
    pub fn has_subresource(&self, mapping: &Mapping, subresource: &str) -> bool {
        let name = format!("{}/{subresource}", mapping.resource);
        self.discovery
            .groups
            .iter()
            .filter(|g| g.name == mapping.group)
            .any(|g| g.versions.iter().any(|v| v.resources.iter().any(|r| r.name == name)))
    }
}
