//! What the API server serves: resources with their verbs, one version each (the preferred one).
//!
//! Asks by aggregated discovery, and group by group where a server does not know that.

use http::Request;
use http::header::ACCEPT;
use kube::Client;
use serde::Deserialize;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    pub(crate) verbs: Vec<String>,
}

impl Resource {
    pub(crate) fn has_verbs(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|known| known == verb))
    }

    /// `apps/v1`, or `v1` for the core group.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Path of the collection, in a namespace if one is given.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        component_base::informer::collection_path(&self.group, &self.version, &self.plural, namespace)
    }
}

/// What was found, and for which groups that failed.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) resources: Vec<Resource>,
    pub(crate) failed: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    kind: String,
    items: Vec<Group>,
    versions: Vec<String>,
    groups: Vec<LegacyGroup>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Group {
    metadata: Meta,
    versions: Vec<Version>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Version {
    version: String,
    freshness: String,
    resources: Vec<Described>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Described {
    resource: String,
    response_kind: Kind,
    scope: String,
    verbs: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Kind {
    kind: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LegacyGroup {
    name: String,
    versions: Vec<LegacyVersion>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LegacyVersion {
    version: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LegacyList {
    resources: Vec<LegacyResource>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LegacyResource {
    name: String,
    kind: String,
    namespaced: bool,
    verbs: Vec<String>,
}

async fn get<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> Result<T, kube::Error> {
    let request = Request::get(path).header(ACCEPT, AGGREGATED).body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request(request).await
}

/// Asks the server for everything it serves.
pub(crate) async fn discover(client: &Client) -> Result<Found, kube::Error> {
    let core: Answer = get(client, "/api").await?;
    let named: Answer = get(client, "/apis").await?;
    let mut found = Found::default();
    for answer in [core, named] {
        if answer.kind == "APIGroupDiscoveryList" {
            answer.items.into_iter().for_each(|group| found.add_group(group));
        } else {
            found.add_legacy(client, answer).await;
        }
    }
    found.resources.sort();
    Ok(found)
}

impl Found {
    fn add_group(&mut self, group: Group) {
        for version in group.versions {
            if version.freshness == "Stale" {
                self.failed.push(format!("{}/{}", group.metadata.name, version.version));
                continue;
            }
            for described in version.resources {
                self.add(Resource {
                    group: group.metadata.name.clone(),
                    version: version.version.clone(),
                    plural: described.resource,
                    kind: described.response_kind.kind,
                    namespaced: described.scope == "Namespaced",
                    verbs: described.verbs,
                });
            }
        }
    }

    /// Versions come in order of preference: the first that has a resource wins.
    fn add(&mut self, resource: Resource) {
        let known = |other: &Resource| other.group == resource.group && other.plural == resource.plural;
        if !self.resources.iter().any(known) {
            self.resources.push(resource);
        }
    }

    async fn add_legacy(&mut self, client: &Client, answer: Answer) {
        let core = answer.versions.into_iter().map(|version| (String::new(), version));
        let named = answer.groups.into_iter().flat_map(|group| {
            let name = group.name;
            group.versions.into_iter().map(move |version| (name.clone(), version.version)).collect::<Vec<_>>()
        });
        for (group, version) in core.chain(named) {
            let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            let Ok(list) = get::<LegacyList>(client, &path).await else {
                self.failed.push(format!("{group}/{version}"));
                continue;
            };
            for resource in list.resources.into_iter().filter(|resource| !resource.name.contains('/')) {
                self.add(Resource {
                    group: group.clone(),
                    version: version.clone(),
                    plural: resource.name,
                    kind: resource.kind,
                    namespaced: resource.namespaced,
                    verbs: resource.verbs,
                });
            }
        }
    }
}
