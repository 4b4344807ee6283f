//! What the server serves, asked in the aggregated form with a fall-back to the old one.
//! Corresponds to client-go/discovery.

use apimachinery::value::Value;

use super::{Request, Rest};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// A resource or subresource of a group-version.
#[derive(Clone, Debug, Default)]
pub struct ApiResource {
    /// Plural; `pods/log` for a subresource.
    pub name: String,
    /// Singular.
    pub singular: String,
    /// Kind.
    pub kind: String,
    /// Whether it lives in namespaces.
    pub namespaced: bool,
    /// Verbs.
    pub verbs: Vec<String>,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories.
    pub categories: Vec<String>,
}

/// The resources of one version of a group.
#[derive(Clone, Debug, Default)]
pub struct GroupVersionResources {
    /// Version.
    pub version: String,
    /// Resources in the server's order.
    pub resources: Vec<ApiResource>,
}

/// A group with its versions, the preferred one first.
#[derive(Clone, Debug, Default)]
pub struct ApiGroup {
    /// Name; empty for the core group.
    pub name: String,
    /// Versions.
    pub versions: Vec<GroupVersionResources>,
}

/// Everything the server serves.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Groups, the core group first.
    pub groups: Vec<ApiGroup>,
    /// Errors of group-versions that could not be asked: `group/version: text`.
    pub failed: Vec<(String, String)>,
}

impl Discovery {
    /// Asks the server.
    pub async fn fetch(rest: &Rest) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for root in ["/api", "/apis"] {
            let answer = match rest.value(Request::get(root).accept(AGGREGATED).query("timeout", "32s")).await {
                Ok(answer) => answer,
                Err(error) if crate::failure::is_not_found(&error) => continue,
                Err(error) => return Err(error),
            };
            match answer.get("kind").as_str() {
                Some("APIGroupDiscoveryList") => all.add_aggregated(&answer),
                Some("APIVersions") => all.add_core(rest, &answer).await?,
                Some("APIGroupList") => all.add_groups(rest, &answer).await?,
                _ => anyhow::bail!("the server answered {root} with something that is not discovery"),
            }
        }
        Ok(all)
    }

    fn add_aggregated(&mut self, list: &Value) {
        for item in list.get("items").items() {
            let group = item.path(&["metadata", "name"]).str_or_empty().to_owned();
            let mut versions = Vec::new();
            for version in item.get("versions").items() {
                let name = version.get("version").str_or_empty().to_owned();
                if version.get("freshness").str_or_empty() == "Stale" {
                    self.failed.push((format!("{group}/{name}"), "stale GroupVersion discovery".to_owned()));
                }
                let resources = version.get("resources").items().iter().flat_map(aggregated_resource).collect();
                versions.push(GroupVersionResources { version: name, resources });
            }
            self.groups.push(ApiGroup { name: group, versions });
        }
    }

    async fn add_core(&mut self, rest: &Rest, answer: &Value) -> anyhow::Result<()> {
        let mut versions = Vec::new();
        for version in answer.get("versions").items() {
            let version = version.str_or_empty().to_owned();
            let list = rest.value(Request::get(format!("/api/{version}"))).await?;
            versions.push(GroupVersionResources { version, resources: legacy_resources(&list) });
        }
        self.groups.push(ApiGroup { name: String::new(), versions });
        Ok(())
    }

    async fn add_groups(&mut self, rest: &Rest, answer: &Value) -> anyhow::Result<()> {
        for group in answer.get("groups").items() {
            let name = group.get("name").str_or_empty().to_owned();
            let preferred = group.path(&["preferredVersion", "version"]).str_or_empty().to_owned();
            let mut names: Vec<String> = Vec::new();
            for version in group.get("versions").items() {
                names.push(version.get("version").str_or_empty().to_owned());
            }
            names.sort_by_key(|v| *v != preferred);
            let mut versions = Vec::new();
            for version in names {
                match rest.value(Request::get(format!("/apis/{name}/{version}"))).await {
                    Ok(list) => versions.push(GroupVersionResources { version, resources: legacy_resources(&list) }),
                    Err(error) => self.failed.push((format!("{name}/{version}"), error.to_string())),
                }
            }
            self.groups.push(ApiGroup { name, versions });
        }
        Ok(())
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.items().iter().map(|s| s.str_or_empty().to_owned()).collect()
}

fn aggregated_resource(resource: &Value) -> Vec<ApiResource> {
    let text = |key: &str| resource.get(key).str_or_empty().to_owned();
    let namespaced = resource.get("scope").str_or_empty() == "Namespaced";
    let main = ApiResource {
        name: text("resource"),
        singular: text("singularResource"),
        kind: resource.path(&["responseKind", "kind"]).str_or_empty().to_owned(),
        namespaced,
        verbs: strings(resource.get("verbs")),
        short_names: strings(resource.get("shortNames")),
        categories: strings(resource.get("categories")),
    };
    let name = main.name.clone();
    let mut all = vec![main];
    for sub in resource.get("subresources").items() {
        all.push(ApiResource {
            name: format!("{name}/{}", sub.get("subresource").str_or_empty()),
            kind: sub.path(&["responseKind", "kind"]).str_or_empty().to_owned(),
            namespaced,
            verbs: strings(sub.get("verbs")),
            ..ApiResource::default()
        });
    }
    all
}

fn legacy_resources(list: &Value) -> Vec<ApiResource> {
    let one = |r: &Value| ApiResource {
        name: r.get("name").str_or_empty().to_owned(),
        singular: r.get("singularName").str_or_empty().to_owned(),
        kind: r.get("kind").str_or_empty().to_owned(),
        namespaced: r.get("namespaced").as_bool().unwrap_or(false),
        verbs: strings(r.get("verbs")),
        short_names: strings(r.get("shortNames")),
        categories: strings(r.get("categories")),
    };
    list.get("resources").items().iter().map(one).collect()
}
