//! From a workload to one of its pods, and from a pod to one of its containers.
//! Corresponds to kubectl/pkg/polymorphichelpers and kubectl/pkg/cmd/util/podcmd.

use std::cmp::Ordering;
use std::time::Duration;

use apimachinery::selector::label::Selector;
use apimachinery::value::Value;

use crate::cli::quote::quote;
use crate::client::{Request, Rest};
use crate::resource::list_items;

/// The namespace and the selector of an object's pods.
pub fn selector_of(object: &Value) -> anyhow::Result<(String, String)> {
    let namespace = object.path(&["metadata", "namespace"]).str_or_empty().to_owned();
    let kind = object.get("kind").str_or_empty();
    let selector = object.path(&["spec", "selector"]);
    let text = match kind {
        "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Deployment" | "Job" => {
            Selector::from_value(selector).map_err(|e| anyhow::anyhow!("invalid label selector: {e}"))?.to_string()
        }
        "ReplicationController" | "Service" => {
            let name = object.path(&["metadata", "name"]).str_or_empty();
            anyhow::ensure!(
                kind != "Service" || !selector.is_zero(),
                "invalid service '{name}': Service is defined without a selector"
            );
            let pairs: Vec<String> = selector.entries().map(|(k, v)| format!("{k}={}", v.str_or_empty())).collect();
            pairs.join(",")
        }
        _ => {
            let version = object.get("apiVersion").str_or_empty().rsplit('/').next().unwrap_or_default();
            anyhow::bail!("selector for *{version}.{kind} not implemented");
        }
    };
    Ok((namespace, text))
}

/// The pods that a selector finds, waiting up to `timeout` for the first one. Best first: running and ready, longest.
pub async fn find(rest: &Rest, namespace: &str, selector: &str, timeout: Duration) -> anyhow::Result<Vec<Value>> {
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let list = rest.value(Request::get(path).query("labelSelector", selector)).await?;
        let mut pods = list_items(&list);
        if !pods.is_empty() {
            pods.sort_by(preference);
            return Ok(pods);
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, crate::resource::TIMED_OUT);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn ready(pod: &Value) -> bool {
    let conditions = pod.path(&["status", "conditions"]).items();
    conditions.iter().any(|c| c.get("type").str_or_empty() == "Ready" && c.get("status").str_or_empty() == "True")
}

/// Scheduled before not, running before pending, ready before not, the older first.
fn preference(a: &Value, b: &Value) -> Ordering {
    let rank = |pod: &Value| {
        let phase = match pod.path(&["status", "phase"]).str_or_empty() {
            "Running" => 0,
            "Unknown" => 1,
            _ => 2,
        };
        let unscheduled = pod.path(&["spec", "nodeName"]).str_or_empty().is_empty();
        let restarts: i64 = pod
            .path(&["status", "containerStatuses"])
            .items()
            .iter()
            .map(|s| s.get("restartCount").as_i64().unwrap_or(0))
            .max()
            .unwrap_or(0);
        let created = pod.path(&["metadata", "creationTimestamp"]).str_or_empty().to_owned();
        (unscheduled, phase, !ready(pod), restarts, created)
    };
    rank(a).cmp(&rank(b))
}

/// The pod that an object stands for.
pub async fn attachable(rest: &Rest, object: &Value, timeout: Duration) -> anyhow::Result<Value> {
    if object.get("kind").str_or_empty() == "Pod" {
        return Ok(object.clone());
    }
    let version = object.get("apiVersion").str_or_empty().rsplit('/').next().unwrap_or_default();
    let kind = object.get("kind").str_or_empty();
    let (namespace, selector) =
        selector_of(object).map_err(|e| anyhow::anyhow!("cannot attach to *{version}.{kind}: {e}"))?;
    let mut pods = find(rest, &namespace, &selector, timeout).await?;
    Ok(pods.remove(0))
}

const LISTS: [(&str, &str); 3] =
    [("containers", ""), ("ephemeralContainers", " (ephem)"), ("initContainers", " (init)")];

/// `a, b (init)`.
pub fn container_names(pod: &Value) -> String {
    let mut names = Vec::new();
    for (field, mark) in LISTS {
        for container in pod.path(&["spec", field]).items() {
            names.push(format!("{}{mark}", container.get("name").str_or_empty()));
        }
    }
    names.join(", ")
}

/// A container by name.
pub fn container<'p>(pod: &'p Value, name: &str) -> Option<&'p Value> {
    LISTS
        .iter()
        .flat_map(|(field, _)| pod.path(&["spec", field]).items())
        .find(|c| c.get("name").str_or_empty() == name)
}

/// The named container, else the one that the pod's annotation names, else the first. Tells on standard error when it
/// chose among several, unless `quiet`.
pub fn choose_container<'p>(pod: &'p Value, name: &str, quiet: bool) -> anyhow::Result<&'p Value> {
    let meta = pod.get("metadata");
    let text = |key: &str| meta.get(key).str_or_empty();
    let all = pod.path(&["spec", "containers"]).items();
    anyhow::ensure!(!all.is_empty(), "pod {}/{} does not have any containers", text("namespace"), text("name"));
    let annotated = meta.path(&["annotations", "kubectl.kubernetes.io/default-container"]).str_or_empty();
    let wanted = if name.is_empty() { annotated } else { name };
    if !wanted.is_empty() {
        return container(pod, wanted).ok_or_else(|| {
            anyhow::anyhow!("container {wanted} is not valid for pod {} out of: {}", text("name"), container_names(pod))
        });
    }
    let several = all.len() > 1 || LISTS[1..].iter().any(|(f, _)| !pod.path(&["spec", f]).items().is_empty());
    if several && !quiet {
        let first = quote(all[0].get("name").str_or_empty());
        eprintln!("Defaulted container {first} out of: {}", container_names(pod));
    }
    Ok(&all[0])
}
