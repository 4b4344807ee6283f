//! The row of a pod: how many containers are ready, and the one word that says how it is.

use apimachinery::value;
use apimachinery::value::{Cursor, Value};
use jiff::Timestamp;

use super::{Entry, NONE, age, containers, is_true, labels, name, or, since, text};

pub(super) const FUNCTIONS: &[Entry] = &[("", "Pod", pod), ("", "PodTemplate", pod_template)];

/// What the container statuses say together.
#[derive(Default)]
struct Summary<'a> {
    reason: String,
    ready: usize,
    restarts: i64,
    /// When a container that was restarted had ended last.
    last_end: &'a str,
}

impl<'a> Summary<'a> {
    fn count_restarts(&mut self, status: Cursor<'a>) {
        self.restarts += status.field("restartCount").i64();
        let end = status.field("lastState").field("terminated").field("finishedAt").str();
        // RFC 3339 in UTC sorts as text.
        if end > self.last_end {
            self.last_end = end;
        }
    }
}

fn pod(pod: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let total = pod.field("spec").field("containers").len()
        + pod.field("spec").field("initContainers").list().filter(|c| restartable(*c)).count();
    let summary = summarize(pod);
    let restarts = match summary.last_end {
        "" => summary.restarts.to_string(),
        _ if summary.restarts == 0 => "0".to_owned(),
        end => format!("{} ({} ago)", summary.restarts, since(end, now)),
    };
    let status = pod.field("status");
    vec![
        name(pod),
        text(format!("{}/{total}", summary.ready)),
        text(summary.reason),
        text(restarts),
        age(pod, now),
        or(status.field("podIPs").index(0).field("ip"), NONE),
        or(pod.field("spec").field("nodeName"), NONE),
        or(status.field("nominatedNodeName"), NONE),
        text(readiness_gates(pod)),
    ]
}

/// What the row says besides its cells: that the pod has ended.
pub(crate) fn conditions(pod: Cursor<'_>) -> Option<Value> {
    let (reason, message) = match pod.field("status").field("phase").str() {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(Value::List(vec![value!({"type": "Completed", "status": "True", "reason": reason, "message": message})]))
}

fn restartable(container: Cursor<'_>) -> bool {
    container.field("restartPolicy").str() == "Always"
}

fn summarize(pod: Cursor<'_>) -> Summary<'_> {
    let status = pod.field("status");
    let mut summary = Summary { reason: status.field("phase").str().to_owned(), ..Summary::default() };
    if !status.field("reason").is_empty() {
        summary.reason = status.field("reason").str().to_owned();
    }
    let gated = |c: Cursor<'_>| c.field("type").str() == "PodScheduled" && c.field("reason").str() == "SchedulingGated";
    if status.field("conditions").list().any(gated) {
        summary.reason = "SchedulingGated".to_owned();
    }
    let (initializing, sidecars) = init_containers(pod, &mut summary);
    if !initializing || is_true(pod, "Initialized") {
        // From here on only the restarts of sidecars and of app containers count.
        (summary.restarts, summary.last_end) = (sidecars.restarts, sidecars.last_end);
        app_containers(pod, &mut summary);
    }
    let phase = status.field("phase").str();
    if pod.field("metadata").field("deletionTimestamp").exists() {
        if status.field("reason").str() == "NodeLost" {
            summary.reason = "Unknown".to_owned();
        } else if !matches!(phase, "Succeeded" | "Failed") {
            summary.reason = "Terminating".to_owned();
        }
    }
    summary
}

/// True while init containers run, with the reason set to how far they are; also the restarts of the sidecars among them.
fn init_containers<'a>(pod: Cursor<'a>, summary: &mut Summary<'a>) -> (bool, Summary<'a>) {
    let containers = pod.field("spec").field("initContainers");
    let mut sidecars = Summary::default();
    for (index, status) in pod.field("status").field("initContainerStatuses").list().enumerate() {
        let is_sidecar =
            containers.list().any(|c| c.field("name").str() == status.field("name").str() && restartable(c));
        summary.count_restarts(status);
        if is_sidecar {
            sidecars.count_restarts(status);
        }
        let state = status.field("state");
        let terminated = state.field("terminated");
        let waiting = state.field("waiting").field("reason").str();
        if terminated.exists() && terminated.field("exitCode").i64() == 0 {
            continue;
        }
        if is_sidecar && status.field("started").bool() {
            summary.ready += usize::from(status.field("ready").bool());
            continue;
        }
        summary.reason = if terminated.exists() {
            format!("Init:{}", end_reason(terminated))
        } else if !matches!(waiting, "" | "PodInitializing") {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", containers.len())
        };
        return (true, sidecars);
    }
    (false, sidecars)
}

/// Why a container ended.
fn end_reason(terminated: Cursor<'_>) -> String {
    match (terminated.field("reason").str(), terminated.field("signal").i64()) {
        ("", 0) => format!("ExitCode:{}", terminated.field("exitCode").i64()),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn app_containers<'a>(pod: Cursor<'a>, summary: &mut Summary<'a>) {
    let mut has_running = false;
    let mut error = None;
    for status in pod.field("status").field("containerStatuses").list().rev() {
        summary.count_restarts(status);
        let state = status.field("state");
        let waiting = state.field("waiting").field("reason");
        let terminated = state.field("terminated");
        if !waiting.is_empty() {
            summary.reason = waiting.str().to_owned();
        } else if terminated.exists() {
            summary.reason = end_reason(terminated);
            if terminated.field("exitCode").i64() != 0 {
                error = Some(summary.reason.clone());
            }
        } else if status.field("ready").bool() && state.field("running").exists() {
            has_running = true;
            summary.ready += 1;
        }
    }
    if summary.reason == "Completed" {
        if has_running && is_true(pod, "Ready") {
            summary.reason = "Running".to_owned();
        } else if let Some(error) = error {
            summary.reason = error;
        } else if has_running {
            summary.reason = "NotReady".to_owned();
        }
    }
}

fn readiness_gates(pod: Cursor<'_>) -> String {
    let gates = pod.field("spec").field("readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let open = gates.list().filter(|gate| is_true(pod, gate.field("conditionType").str())).count();
    format!("{open}/{}", gates.len())
}

fn pod_template(template: Cursor<'_>, _now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(template.field("template"));
    vec![name(template), names, images, labels(template.field("template").field("metadata").field("labels"))]
}
