//! Which pods of a node leave it, which stay, and which forbid the drain.

use apimachinery::value::Value;

use crate::cli::FlagSet;
use crate::client::{Request, Rest};
use crate::failure::is_not_found;

/// The pods to remove and what is to be said about them.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) leaving: Vec<Value>,
    warnings: Vec<(String, Vec<String>)>,
    errors: Vec<(String, Vec<String>)>,
}

fn note(list: &mut Vec<(String, Vec<String>)>, message: String, pod: String) {
    match list.iter_mut().find(|(m, _)| *m == message) {
        Some((_, pods)) => pods.push(pod),
        None => list.push((message, vec![pod])),
    }
}

impl Sorted {
    pub(super) fn warnings(&self) -> String {
        let texts: Vec<String> = self.warnings.iter().map(|(m, pods)| format!("{m}: {}", pods.join(", "))).collect();
        texts.join("; ")
    }

    pub(super) fn errors(&self) -> Vec<anyhow::Error> {
        let text = |(m, pods): &(String, Vec<String>)| anyhow::anyhow!("cannot delete {m}: {}", pods.join(", "));
        self.errors.iter().map(text).collect()
    }
}

/// What one rule says of a pod.
enum Verdict {
    Leaves,
    LeavesWith(String),
    Stays,
    StaysWith(String),
    Forbids(String),
}

fn finished(pod: &Value) -> bool {
    matches!(pod.path(&["status", "phase"]).str_or_empty(), "Succeeded" | "Failed")
}

fn controller(pod: &Value) -> Option<&Value> {
    let owners = pod.path(&["metadata", "ownerReferences"]).items();
    owners.iter().find(|o| o.get("controller").as_bool() == Some(true))
}

/// Whether the pod has been leaving for longer than `seconds`.
pub(super) fn overdue(pod: &Value, seconds: i64) -> bool {
    let deleted = pod.path(&["metadata", "deletionTimestamp"]).str_or_empty();
    let Ok(deleted) = deleted.parse::<jiff::Timestamp>() else {
        return false;
    };
    seconds > 0 && crate::time::seconds_between(deleted, crate::time::now()) > seconds
}

async fn of_daemon_set(rest: &Rest, flags: &FlagSet, pod: &Value) -> Verdict {
    let owner = controller(pod)
        .filter(|o| o.get("kind").str_or_empty() == "DaemonSet" && o.get("apiVersion").str_or_empty() == "apps/v1");
    let Some(owner) = owner.filter(|_| !finished(pod)) else {
        return Verdict::Leaves;
    };
    let namespace = pod.path(&["metadata", "namespace"]).str_or_empty();
    let path = format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/{}", owner.get("name").str_or_empty());
    match rest.value(Request::get(path)).await {
        Err(error) if is_not_found(&error) && flags.get_bool("force") => Verdict::LeavesWith(error.to_string()),
        Err(error) => Verdict::Forbids(error.to_string()),
        Ok(_) if flags.get_bool("ignore-daemonsets") => {
            Verdict::StaysWith("ignoring DaemonSet-managed Pods".to_owned())
        }
        Ok(_) => Verdict::Forbids("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)".to_owned()),
    }
}

fn with_local_storage(flags: &FlagSet, pod: &Value) -> Verdict {
    let volumes = pod.path(&["spec", "volumes"]).items();
    if finished(pod) || volumes.iter().all(|v| v.get("emptyDir").is_null()) {
        return Verdict::Leaves;
    }
    match flags.get_bool("delete-emptydir-data") {
        true => Verdict::LeavesWith("deleting Pods with local storage".to_owned()),
        false => Verdict::Forbids("Pods with local storage (use --delete-emptydir-data to override)".to_owned()),
    }
}

fn without_controller(flags: &FlagSet, pod: &Value) -> Verdict {
    if finished(pod) || controller(pod).is_some() {
        return Verdict::Leaves;
    }
    match flags.get_bool("force") {
        true => Verdict::LeavesWith("deleting Pods that declare no controller".to_owned()),
        false => Verdict::Forbids("Pods that declare no controller (use --force to override)".to_owned()),
    }
}

/// The rules in order; the first that keeps the pod ends them, and the last word counts.
async fn judge(rest: &Rest, flags: &FlagSet, pod: &Value) -> Verdict {
    if overdue(pod, flags.get_int("skip-wait-for-delete-timeout")) {
        return Verdict::Stays;
    }
    match of_daemon_set(rest, flags, pod).await {
        Verdict::Leaves | Verdict::LeavesWith(_) => {}
        other => return other,
    }
    let mirror = pod.path(&["metadata", "annotations", "kubernetes.io/config.mirror"]);
    if !mirror.is_null() {
        return Verdict::Stays;
    }
    match with_local_storage(flags, pod) {
        Verdict::Leaves | Verdict::LeavesWith(_) => without_controller(flags, pod),
        other => other,
    }
}

/// Sorts the pods of a node.
pub(super) async fn sort(rest: &Rest, flags: &FlagSet, pods: Vec<Value>) -> Sorted {
    let mut sorted = Sorted::default();
    for mut pod in pods {
        pod.set("kind", "Pod");
        pod.set("apiVersion", "v1");
        let meta = pod.get("metadata");
        let name = format!("{}/{}", meta.get("namespace").str_or_empty(), meta.get("name").str_or_empty());
        match judge(rest, flags, &pod).await {
            Verdict::Leaves => sorted.leaving.push(pod),
            Verdict::LeavesWith(warning) => {
                note(&mut sorted.warnings, warning, name);
                sorted.leaving.push(pod);
            }
            Verdict::Stays => {}
            Verdict::StaysWith(warning) => note(&mut sorted.warnings, warning, name),
            Verdict::Forbids(error) => note(&mut sorted.errors, error, name),
        }
    }
    sorted
}
