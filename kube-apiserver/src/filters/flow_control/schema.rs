//! Which FlowSchema a request belongs to. Pure.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/util/flowcontrol/rule.go

use std::hash::{DefaultHasher, Hash, Hasher};

use apimachinery::value::{Cursor, Value};

use super::levels::{Spec, WhenFull};
use crate::request::{RequestInfo, UserInfo};

/// A FlowSchema, as far as it is needed here.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Its name.
    pub name: Box<str>,
    /// Its UID.
    pub uid: Box<str>,
    /// The name of its priority level.
    pub level: Box<str>,
    /// Lower comes first; names decide between equals.
    pub precedence: i64,
    object: Value,
}

impl Schema {
    /// Reads a FlowSchema.
    pub fn read(object: Value) -> Self {
        let text = |path: &[&str]| Box::from(object.path(path).str_or_empty());
        Self {
            name: text(&["metadata", "name"]),
            uid: text(&["metadata", "uid"]),
            level: text(&["spec", "priorityLevelConfiguration", "name"]),
            precedence: object.path(&["spec", "matchingPrecedence"]).as_i64().unwrap_or(1000),
            object,
        }
    }

    /// True if a rule takes the request; `resource` is its resource with the subresource.
    pub fn takes(&self, user: &UserInfo, info: &RequestInfo, resource: &str) -> bool {
        let rules = Cursor::root(&self.object).field("spec").field("rules");
        rules.list().any(|rule| {
            rule.field("subjects").list().any(|subject| is_subject(subject, user))
                && if info.is_resource_request {
                    rule.field("resourceRules").list().any(|rule| takes_resource(rule, info, resource))
                } else {
                    rule.field("nonResourceRules").list().any(|rule| takes_path(rule, info))
                }
        })
    }

    /// The number of the flow: requests of one flow share a hand of queues.
    pub fn flow(&self, user: &UserInfo, info: &RequestInfo) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.name.hash(&mut hasher);
        match self.object.path(&["spec", "distinguisherMethod", "type"]).str_or_empty() {
            "ByUser" => user.name.hash(&mut hasher),
            "ByNamespace" => info.namespace.hash(&mut hasher),
            _ => {}
        }
        hasher.finish()
    }
}

fn is_subject(subject: Cursor<'_>, user: &UserInfo) -> bool {
    match subject.field("kind").str() {
        "User" => {
            let name = subject.field("user").field("name").str();
            name == "*" || name == user.name
        }
        "Group" => {
            let name = subject.field("group").field("name").str();
            name == "*" || user.groups.iter().any(|group| group == name)
        }
        "ServiceAccount" => {
            let account = subject.field("serviceAccount");
            let (namespace, name) = (account.field("namespace").str(), account.field("name").str());
            let rest = user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.strip_prefix(namespace));
            rest.and_then(|rest| rest.strip_prefix(':')).is_some_and(|is| name == "*" || name == is)
        }
        _ => false,
    }
}

fn takes_resource(rule: Cursor<'_>, info: &RequestInfo, resource: &str) -> bool {
    has(rule.field("verbs"), &info.verb)
        && has(rule.field("resources"), resource)
        && has(rule.field("apiGroups"), &info.api_group)
        && if info.namespace.is_empty() {
            rule.field("clusterScope").bool()
        } else {
            has(rule.field("namespaces"), &info.namespace)
        }
}

fn takes_path(rule: Cursor<'_>, info: &RequestInfo) -> bool {
    has(rule.field("verbs"), &info.verb)
        && rule.field("nonResourceURLs").list().any(|url| {
            let url = url.str();
            let folder = url.strip_suffix('*').unwrap_or(url);
            let folder = folder.strip_suffix('/').unwrap_or(folder);
            let below = info.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
            url == "*" || url == info.path || below
        })
}

/// True if a list has the text, or is `*` alone.
fn has(list: Cursor<'_>, text: &str) -> bool {
    let mut all = list.list();
    match (all.next(), all.next()) {
        (Some(only), None) if only.str() == "*" => true,
        _ => list.list().any(|item| item.str() == text),
    }
}

/// Reads a PriorityLevelConfiguration.
pub fn level(object: &Value) -> Spec {
    let spec = Cursor::root(object).field("spec");
    if spec.field("type").str() == "Exempt" {
        let exempt = spec.field("exempt");
        return Spec {
            shares: number(exempt.field("nominalConcurrencyShares"), 0),
            lendable_percent: number(exempt.field("lendablePercent"), 0),
            borrowing_limit_percent: None,
            when_full: WhenFull::Exempt,
        };
    }
    let limited = spec.field("limited");
    let response = limited.field("limitResponse");
    let queuing = response.field("queuing");
    let count = |field: &str, default: u64| usize::try_from(number(queuing.field(field), default)).unwrap_or(1);
    let when_full = match response.field("type").str() {
        "Queue" => WhenFull::Queue {
            queues: count("queues", 64),
            hand_size: count("handSize", 8),
            length: count("queueLengthLimit", 50),
        },
        _ => WhenFull::Reject,
    };
    let limit = limited.field("borrowingLimitPercent");
    Spec {
        shares: number(limited.field("nominalConcurrencyShares"), 30),
        lendable_percent: number(limited.field("lendablePercent"), 0),
        borrowing_limit_percent: limit.exists().then(|| number(limit, 0)),
        when_full,
    }
}

fn number(field: Cursor<'_>, default: u64) -> u64 {
    if field.exists() { u64::try_from(field.i64()).unwrap_or(0) } else { default }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::data;

    fn schemas() -> Vec<Schema> {
        let objects = data::objects(data::FLOW_CONTROL);
        let mut all: Vec<_> =
            objects.filter(|o| o.get("kind").str_or_empty() == "FlowSchema").map(Schema::read).collect();
        all.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        all
    }

    #[test]
    fn requests_find_the_schemas_that_upstream_suggests() {
        let all = schemas();
        let cases = [
            ("admin", "system:masters", "GET", "/api/v1/pods", "exempt"),
            ("u", "system:authenticated", "GET", "/readyz", "probes"),
            ("u", "system:authenticated", "GET", "/apis", "global-default"),
            ("u", "system:unauthenticated", "GET", "/apis", "global-default"),
            ("system:node:n", "system:nodes", "GET", "/api/v1/namespaces/d/pods", "system-nodes"),
            ("system:node:n", "system:nodes", "PATCH", "/api/v1/nodes/n/status", "system-node-high"),
            (
                "system:kube-scheduler",
                "system:authenticated",
                "PUT",
                "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler",
                "system-leader-election",
            ),
            ("system:kube-scheduler", "system:authenticated", "GET", "/api/v1/pods", "kube-scheduler"),
            ("system:serviceaccount:kube-system:x", "g", "GET", "/api/v1/pods", "kube-system-service-accounts"),
            ("system:serviceaccount:d:x", "system:serviceaccounts", "GET", "/api/v1/pods", "service-accounts"),
        ];
        for (user, group, method, path, want) in cases {
            let user = UserInfo { name: user.to_owned(), groups: vec![group.to_owned()], ..UserInfo::default() };
            let info = RequestInfo::parse(method, path, None);
            let found = all
                .iter()
                .find(|schema| schema.takes(&user, &info, &info.resource_with_subresource()))
                .map(|schema| &*schema.name);
            assert_eq!(found, Some(want), "{} {path}", user.name);
        }
    }

    #[test]
    fn flows_are_told_apart_as_the_schema_says() {
        let schema = schemas().into_iter().find(|s| &*s.name == "global-default").unwrap();
        let user = |name: &str| UserInfo { name: name.to_owned(), ..UserInfo::default() };
        let info = RequestInfo::parse("GET", "/api/v1/pods", None);
        assert_ne!(schema.flow(&user("a"), &info), schema.flow(&user("b"), &info));
        assert_eq!(schema.flow(&user("a"), &info), schema.flow(&user("a"), &info));
    }
}
