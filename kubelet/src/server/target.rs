//! Which pod and container a path means, and its parameters.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::{Context, Refusal};
use crate::pod::view::PodView;
use crate::runtime::{ContainerObserved, ContainerPhase, observe};

/// The parts of `/verb/namespace/pod[/uid]/container`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Namespace.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID, where the path has one.
    pub uid: Option<String>,
    /// Name of the container; empty for a whole pod.
    pub container: String,
}

impl Target {
    /// Reads the path of a container.
    pub fn of_container(path: &str) -> Option<Self> {
        let parts = decoded(path);
        match parts.as_slice() {
            [_, namespace, pod, container] => Some(Self::new(namespace, pod, None, container)),
            [_, namespace, pod, uid, container] => Some(Self::new(namespace, pod, Some(uid), container)),
            _ => None,
        }
    }

    /// Reads the path of a pod.
    pub fn of_pod(path: &str) -> Option<Self> {
        let parts = decoded(path);
        match parts.as_slice() {
            [_, namespace, pod] => Some(Self::new(namespace, pod, None, "")),
            [_, namespace, pod, uid] => Some(Self::new(namespace, pod, Some(uid), "")),
            _ => None,
        }
    }

    fn new(namespace: &str, pod: &str, uid: Option<&String>, container: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            uid: uid.cloned(),
            container: container.to_owned(),
        }
    }

    /// The pod as this node has it.
    pub fn find(&self, cx: &Context) -> Result<Arc<Pod>, Refusal> {
        let pod = cx.workers.find(&self.namespace, &self.pod);
        let same = |pod: &Arc<Pod>| self.uid.as_deref().is_none_or(|uid| uid == pod.uid());
        pod.filter(same).ok_or_else(|| Refusal::not_found("pod does not exist"))
    }

    /// The running container that is meant.
    pub async fn running_container(&self, cx: &Context) -> Result<ContainerObserved, Refusal> {
        let pod = self.find(cx)?;
        let observed = observe(cx.workers.machinery().runtime.as_ref(), pod.uid()).await;
        let observed = observed.map_err(|error| Refusal::internal(error.to_string()))?;
        let found = observed.container(&self.container).filter(|found| found.phase == ContainerPhase::Running);
        found.cloned().ok_or_else(|| Refusal::not_found(format!("container not found (\"{}\")", self.container)))
    }
}

fn decoded(path: &str) -> Vec<String> {
    path.trim_matches('/')
        .split('/')
        .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect()
}

/// Parameters of a query, repeated ones in order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query.
    pub fn read(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The first value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All values.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.clone()).collect()
    }

    /// True for `1` and `true`.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("1" | "true"))
    }

    /// A whole number, `None` when absent.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.get(name).filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| Refusal::bad_request(format!("unable to decode query: invalid value {text:?} of {name}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paths_and_queries() {
        let target = Target::of_container("/exec/ns/pod/uid/c").expect("a target");
        assert_eq!((target.uid.as_deref(), target.container.as_str()), (Some("uid"), "c"));
        assert!(Target::of_container("/exec/ns").is_none());
        assert_eq!(Target::of_pod("/portForward/ns/p").expect("a target").pod, "p");
        let query = Query::read(Some("command=a&command=b%20c&tty=1&tailLines=x"));
        assert_eq!(query.all("command"), ["a", "b c"]);
        assert!(query.flag("tty") && query.number("tailLines").is_err());
    }
}
