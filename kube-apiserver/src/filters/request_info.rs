//! The URL grammar: what a request asks for, read once from its method, path and query.
//!
//! Knows nothing about which resources exist and never fails: a path outside of the grammar is a
//! non-resource request.
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/request/requestinfo.go

/// What a request is about. Two requests with the same `RequestInfo` are authorized alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// True for paths below `/api/VERSION` and `/apis/GROUP/VERSION`.
    pub is_resource_request: bool,
    /// The URL path as it came.
    pub path: String,
    /// API verb for resource requests (`list`, `deletecollection` …), lower-case method otherwise.
    pub verb: String,
    /// `api` or `apis`, empty for other paths.
    pub api_prefix: String,
    /// API group, empty for the core group.
    pub api_group: String,
    /// API version.
    pub api_version: String,
    /// Namespace, empty when none is in the path.
    pub namespace: String,
    /// Plural resource name.
    pub resource: String,
    /// Subresource, empty if none.
    pub subresource: String,
    /// Object name; for list and watch it may come from the field selector `metadata.name=`.
    pub name: String,
    /// Path segments starting with the resource.
    pub parts: Vec<String>,
    /// Raw field selector of list, watch and deletecollection requests.
    pub field_selector: String,
    /// Raw label selector of list, watch and deletecollection requests.
    pub label_selector: String,
}

impl RequestInfo {
    /// Reads the request line. `path` is percent-decoded, `query` is not.
    pub fn parse(method: &str, path: &str, query: Option<&str>) -> Self {
        let mut info = Self { path: path.to_owned(), verb: method.to_ascii_lowercase(), ..Self::default() };
        let all: Vec<&str> = split(path);
        let Some(rest) = info.read_prefix(&all) else {
            return info;
        };
        info.read_resource(method, rest, query);
        info
    }

    /// `resource/subresource`, or the resource alone.
    pub fn resource_with_subresource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// Requests that may take as long as they like: watches and streams.
    /// upstream: pkg/controlplane/apiserver/config.go: BasicLongRunningRequestCheck
    pub fn is_long_running(&self) -> bool {
        if self.is_resource_request {
            return self.verb == "watch"
                || self.verb == "proxy"
                || matches!(self.subresource.as_str(), "attach" | "exec" | "proxy" | "log" | "portforward");
        }
        self.path.starts_with("/debug/pprof/")
    }

    /// Requests that change nothing, by their verb.
    pub fn only_reads(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch" | "head" | "options")
    }

    /// Fills prefix, group and version; returns what follows them, or `None` for a non-resource path.
    fn read_prefix<'a>(&mut self, all: &'a [&'a str]) -> Option<&'a [&'a str]> {
        if all.len() < 3 {
            return None;
        }
        let rest = match all[0] {
            "api" => &all[1..],
            // `/apis/GROUP/VERSION` alone is discovery, not a resource
            "apis" if all.len() >= 4 => {
                self.api_group = all[1].to_owned();
                &all[2..]
            }
            _ => return None,
        };
        self.api_prefix = all[0].to_owned();
        self.is_resource_request = true;
        self.api_version = rest[0].to_owned();
        Some(&rest[1..])
    }

    fn read_resource(&mut self, method: &str, rest: &[&str], query: Option<&str>) {
        let mut parts = rest;
        let mut via_path = false;
        if matches!(parts[0], "proxy" | "watch") {
            if parts.len() < 2 {
                return;
            }
            self.verb = parts[0].to_owned();
            parts = &parts[1..];
            via_path = true;
        } else {
            self.verb = match method {
                "POST" => "create",
                "GET" | "HEAD" => "get",
                "PUT" => "update",
                "PATCH" => "patch",
                "DELETE" => "delete",
                _ => "",
            }
            .to_owned();
        }
        if parts[0] == "namespaces" && parts.len() > 1 {
            self.namespace = parts[1].to_owned();
            if parts.len() > 2 && !matches!(parts[2], "status" | "finalize") {
                parts = &parts[2..];
            }
        }
        self.parts = parts.iter().map(|p| (*p).to_owned()).collect();
        self.resource = parts[0].to_owned();
        if let Some(name) = parts.get(1) {
            self.name = (*name).to_owned();
        }
        if let Some(sub) = parts.get(2)
            && !via_path
        {
            self.subresource = (*sub).to_owned();
        }
        self.read_collection_query(query);
    }

    /// A get or delete without a name is about the collection; selectors count there only.
    fn read_collection_query(&mut self, query: Option<&str>) {
        let query = query.unwrap_or_default();
        if self.name.is_empty() && self.verb == "get" {
            let watching = param(query, "watch").is_some_and(|v| !matches!(v.as_str(), "" | "0" | "false"));
            self.verb = if watching { "watch" } else { "list" }.to_owned();
            if let Some(selector) = param(query, "fieldSelector")
                && let Some(name) = exact_name(&selector)
            {
                self.name = name;
            }
        }
        if self.name.is_empty() && self.verb == "delete" {
            self.verb = "deletecollection".to_owned();
        }
        if matches!(self.verb.as_str(), "list" | "watch" | "deletecollection") {
            self.field_selector = param(query, "fieldSelector").unwrap_or_default();
            self.label_selector = param(query, "labelSelector").unwrap_or_default();
        }
    }
}

/// First value of a query parameter.
pub fn param(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(k, _)| k == name).map(|(_, v)| v.into_owned())
}

fn split(path: &str) -> Vec<&str> {
    let trimmed = path.trim_matches('/');
    if trimmed.is_empty() { Vec::new() } else { trimmed.split('/').collect() }
}

/// The name a field selector pins with `metadata.name=NAME`, if that is a valid path segment.
fn exact_name(selector: &str) -> Option<String> {
    let selector = apimachinery::selector::field::parse(selector).ok()?;
    let name = selector.exact("metadata.name")?;
    let valid = !matches!(name, "" | "." | "..") && !name.contains(['/', '%']);
    valid.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(method: &str, target: &str) -> String {
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        let i = RequestInfo::parse(method, path, query);
        format!(
            "{} {} {}/{} ns={} {}/{} {}",
            i.is_resource_request, i.verb, i.api_group, i.api_version, i.namespace, i.resource, i.subresource, i.name
        )
    }

    #[test]
    fn reads_the_url_grammar() {
        for (method, target, want) in [
            ("GET", "/api/v1/pods", "true list /v1 ns= pods/ "),
            ("GET", "/api/v1/pods?watch=1", "true watch /v1 ns= pods/ "),
            ("GET", "/api/v1/pods?watch=false", "true list /v1 ns= pods/ "),
            ("GET", "/api/v1/namespaces/a/pods/b/log", "true get /v1 ns=a pods/log b"),
            ("GET", "/api/v1/namespaces/a", "true get /v1 ns=a namespaces/ a"),
            ("PUT", "/api/v1/namespaces/a/status", "true update /v1 ns=a namespaces/status a"),
            ("DELETE", "/apis/apps/v1/namespaces/a/deployments", "true deletecollection apps/v1 ns=a deployments/ "),
            ("GET", "/api/v1/watch/namespaces/a/pods/b", "true watch /v1 ns=a pods/ b"),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dx", "true list /v1 ns= pods/ x"),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name%3D,metadata.name%3Dx", "true list /v1 ns= pods/ "),
            (
                "GET",
                "/api/v1/pods?fieldSelector=metadata.name%3Da%5C%2Cb,metadata.name%3Dx",
                "true list /v1 ns= pods/ a,b",
            ),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name!%3Dx", "true list /v1 ns= pods/ "),
            ("GET", "/apis/apps/v1", "false get / ns= / "),
            ("GET", "/api/v1", "false get / ns= / "),
            ("POST", "/healthz", "false post / ns= / "),
            ("GET", "/api/v1//pods", "true get /v1 ns= / pods"),
        ] {
            assert_eq!(summary(method, target), want, "{method} {target}");
        }
    }
}
