//! Containers and pod templates.

use apimachinery::value::Value;

use super::document::{Document, yes_no};
use super::volumes;
use crate::cli::quote::quote;
use crate::printers::sprint;
use crate::time::rfc1123z;

/// A pod template.
pub(super) fn pod_template(template: &Value, doc: &mut Document) {
    doc.write(0, "Pod Template:\n");
    if template.is_null() {
        doc.write(1, "<unset>");
        return;
    }
    let (meta, spec) = (template.get("metadata"), template.get("spec"));
    doc.labels("  Labels", meta.get("labels"));
    if !meta.get("annotations").is_zero() {
        doc.annotations("  Annotations", meta.get("annotations"));
    }
    let account = spec.get("serviceAccountName").str_or_empty();
    if !account.is_empty() {
        doc.field(1, "Service Account", account);
    }
    if !spec.get("initContainers").is_zero() {
        containers("Init Containers", spec.get("initContainers"), &Value::Null, None, doc, "  ");
    }
    containers("Containers", spec.get("containers"), &Value::Null, None, doc, "  ");
    volumes::volumes(spec.get("volumes"), doc, "  ");
    spread(spec.get("topologySpreadConstraints"), doc, "  ");
    let class = spec.get("priorityClassName").str_or_empty();
    if !class.is_empty() {
        doc.field(1, "Priority Class Name", class);
    }
    doc.labels("  Node-Selectors", spec.get("nodeSelector"));
    doc.tolerations("  Tolerations", spec.get("tolerations"));
}

/// A list of containers with their states. `pod` resolves field references.
pub(super) fn containers(
    label: &str,
    containers: &Value,
    statuses: &Value,
    pod: Option<&Value>,
    doc: &mut Document,
    space: &str,
) {
    let none = if containers.items().is_empty() { " <none>" } else { "" };
    doc.write(0, &format!("{space}{label}:{none}\n"));
    for container in containers.items() {
        let name = container.get("name").str_or_empty();
        let status = statuses.items().iter().find(|s| s.get("name").str_or_empty() == name);
        basics(container, status, space, doc);
        words("Command", container.get("command"), doc);
        words("Args", container.get("args"), doc);
        if let Some(status) = status {
            container_state("State", status.get("state"), doc);
            if status.path(&["lastState"]).has("terminated") {
                container_state("Last State", status.get("lastState"), doc);
            }
            doc.field(2, "Ready", yes_no(status.get("ready").as_bool().unwrap_or(false)));
            doc.field(2, "Restart Count", &status.get("restartCount").as_i64().unwrap_or(0).to_string());
        }
        resources(container.get("resources"), doc, 2);
        for (title, field) in
            [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
        {
            if container.has(field) {
                doc.field(2, title, &probe(container.get(field)));
            }
        }
        if !container.get("envFrom").is_zero() {
            env_from(container.get("envFrom"), doc);
        }
        environment(container, pod, doc);
        mounts(container, doc);
    }
}

fn basics(container: &Value, status: Option<&Value>, space: &str, doc: &mut Document) {
    let indent = if space.is_empty() { "" } else { " " };
    doc.write(1, &format!("{indent}{}:\n", container.get("name").str_or_empty()));
    if let Some(status) = status {
        doc.field(2, "Container ID", status.get("containerID").str_or_empty());
    }
    doc.field(2, "Image", container.get("image").str_or_empty());
    if let Some(status) = status {
        doc.field(2, "Image ID", status.get("imageID").str_or_empty());
    }
    ports("Port", container.get("ports"), "containerPort", doc);
    ports("Host Port", container.get("ports"), "hostPort", doc);
    let profile = container.path(&["securityContext", "seccompProfile"]);
    if !profile.is_null() {
        let kind = profile.get("type").str_or_empty();
        doc.field(2, "SeccompProfile", kind);
        if kind == "Localhost" {
            doc.field(3, "LocalhostProfile", profile.get("localhostProfile").str_or_empty());
        }
    }
}

fn ports(title: &str, ports: &Value, field: &str, doc: &mut Document) {
    let one = |port: &Value| {
        let number = port.get(field).as_i64().unwrap_or(0);
        let text = format!("{number}/{}", port.get("protocol").as_str().unwrap_or("TCP"));
        match port.get("name").str_or_empty() {
            "" => text,
            name => format!("{text} ({name})"),
        }
    };
    let all: Vec<String> = ports.items().iter().map(one).collect();
    let text = all.join(", ");
    if text.contains(',') {
        doc.field(2, &format!("{title}s"), &text);
    } else {
        doc.field(2, title, if text.is_empty() { "<none>" } else { &text });
    }
}

fn words(title: &str, words: &Value, doc: &mut Document) {
    if words.items().is_empty() {
        return;
    }
    doc.write(2, &format!("{title}:\n"));
    for word in words.items() {
        for line in word.str_or_empty().split('\n') {
            doc.write(3, &format!("{line}\n"));
        }
    }
}

fn container_state(title: &str, state: &Value, doc: &mut Document) {
    let optional = |doc: &mut Document, name: &str, value: &str| {
        if !value.is_empty() {
            doc.field(3, name, value);
        }
    };
    if state.has("running") {
        doc.field(2, title, "Running");
        doc.field(3, "Started", &rfc1123z(state.path(&["running", "startedAt"]).str_or_empty()));
    } else if state.has("terminated") {
        let ended = state.get("terminated");
        doc.field(2, title, "Terminated");
        optional(doc, "Reason", ended.get("reason").str_or_empty());
        optional(doc, "Message", ended.get("message").str_or_empty());
        doc.field(3, "Exit Code", &ended.get("exitCode").as_i64().unwrap_or(0).to_string());
        let signal = ended.get("signal").as_i64().unwrap_or(0);
        if signal > 0 {
            doc.field(3, "Signal", &signal.to_string());
        }
        doc.field(3, "Started", &time_or_zero(ended.get("startedAt")));
        doc.field(3, "Finished", &time_or_zero(ended.get("finishedAt")));
    } else {
        doc.field(2, title, "Waiting");
        optional(doc, "Reason", state.path(&["waiting", "reason"]).str_or_empty());
    }
}

/// A time; Go's zero time if absent.
pub(super) fn time_or_zero(time: &Value) -> String {
    match time.as_str() {
        Some(text) => rfc1123z(text),
        None => "Mon, 01 Jan 0001 00:00:00 +0000".to_owned(),
    }
}

/// Limits and requests.
pub(super) fn resources(resources: &Value, doc: &mut Document, level: usize) {
    for (title, field) in [("Limits", "limits"), ("Requests", "requests")] {
        let list = resources.get(field);
        if list.is_zero() {
            continue;
        }
        doc.write(level, &format!("{title}:\n"));
        for (name, quantity) in list.entries() {
            doc.field(level + 1, name, &sprint(quantity));
        }
    }
}

fn probe(probe: &Value) -> String {
    let number = |key: &str| probe.get(key).as_i64().unwrap_or(0);
    let attributes = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds"),
        number("timeoutSeconds"),
        number("periodSeconds"),
        number("successThreshold"),
        number("failureThreshold")
    );
    let text = |path: &[&str]| probe.path(path).str_or_empty().to_owned();
    if probe.has("exec") {
        let command: Vec<&str> = probe.path(&["exec", "command"]).items().iter().map(|w| w.str_or_empty()).collect();
        return format!("exec [{}] {attributes}", command.join(" "));
    }
    if probe.has("httpGet") {
        let get = probe.get("httpGet");
        let host = text(&["httpGet", "host"]);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let mut path = text(&["httpGet", "path"]);
        if !path.is_empty() && !path.starts_with('/') {
            path.insert(0, '/');
        }
        let scheme = text(&["httpGet", "scheme"]).to_lowercase();
        return format!("http-get {scheme}://{host}:{}{path} {attributes}", sprint(get.get("port")));
    }
    if probe.has("tcpSocket") {
        let port = sprint(probe.path(&["tcpSocket", "port"]));
        return format!("tcp-socket {}:{port} {attributes}", text(&["tcpSocket", "host"]));
    }
    if probe.has("grpc") {
        let port = probe.path(&["grpc", "port"]).as_i64().unwrap_or(0);
        return format!("grpc <pod>:{port} {} {attributes}", text(&["grpc", "service"]));
    }
    format!("unknown {attributes}")
}

fn env_from(sources: &Value, doc: &mut Document) {
    doc.write(2, "Environment Variables from:\n");
    for source in sources.items() {
        let (kind, reference) = if source.has("configMapRef") {
            ("ConfigMap", source.get("configMapRef"))
        } else {
            ("Secret", source.get("secretRef"))
        };
        let name = reference.get("name").str_or_empty();
        let optional = reference.get("optional").as_bool().unwrap_or(false);
        let with = match source.get("prefix").str_or_empty() {
            "" => String::new(),
            prefix => format!(" with prefix '{prefix}'"),
        };
        doc.write(3, &format!("{name}\t{kind}{with}\tOptional: {optional}\n"));
    }
}

fn environment(container: &Value, pod: Option<&Value>, doc: &mut Document) {
    let variables = container.get("env").items();
    doc.write(2, &format!("Environment:{}\n", if variables.is_empty() { "\t<none>" } else { "" }));
    for variable in variables {
        let name = variable.get("name").str_or_empty();
        let from = variable.get("valueFrom");
        if from.is_null() {
            for (i, line) in variable.get("value").str_or_empty().split('\n').enumerate() {
                doc.write(3, &if i == 0 { format!("{name}:\t{line}\n") } else { format!("\t{line}\n") });
            }
            continue;
        }
        let text = |path: &[&str]| from.path(path).str_or_empty().to_owned();
        let optional = |field: &str| from.path(&[field, "optional"]).as_bool().unwrap_or(false);
        let line = if from.has("fieldRef") {
            let path = text(&["fieldRef", "fieldPath"]);
            let value = pod.map_or(String::new(), |p| field_value(p, &path));
            let version = from.path(&["fieldRef", "apiVersion"]).as_str().unwrap_or("v1").to_owned();
            format!("{name}:\t{value} ({version}:{path})\n")
        } else if from.has("resourceFieldRef") {
            let resource = text(&["resourceFieldRef", "resource"]);
            let mut value = super::pod_resources::field(container, from.get("resourceFieldRef"));
            if value == "0" && ["limits.cpu", "limits.memory"].contains(&resource.as_str()) {
                "node allocatable".clone_into(&mut value);
            }
            format!("{name}:\t{value} ({resource})\n")
        } else if from.has("secretKeyRef") {
            let (key, secret) = (text(&["secretKeyRef", "key"]), text(&["secretKeyRef", "name"]));
            let optional = optional("secretKeyRef");
            format!("{name}:\t<set to the key '{key}' in secret '{secret}'>\tOptional: {optional}\n")
        } else if from.has("configMapKeyRef") {
            let (key, map) = (text(&["configMapKeyRef", "key"]), text(&["configMapKeyRef", "name"]));
            let optional = optional("configMapKeyRef");
            format!("{name}:\t<set to the key '{key}' of config map '{map}'>\tOptional: {optional}\n")
        } else {
            continue;
        };
        doc.write(3, &line);
    }
}

/// The value of a pod's field as the downward API names it. Upstream's client knows only these two field labels.
fn field_value(pod: &Value, path: &str) -> String {
    match path.strip_prefix("metadata.") {
        Some(field @ ("name" | "namespace")) => pod.path(&["metadata", field]).str_or_empty().to_owned(),
        _ => String::new(),
    }
}

fn mounts(container: &Value, doc: &mut Document) {
    let mut list: Vec<&Value> = container.get("volumeMounts").items().iter().collect();
    list.sort_by_key(|m| m.get("mountPath").str_or_empty());
    let none = if list.is_empty() { "\t<none>" } else { "" };
    doc.write(2, &format!("Mounts:{none}\n"));
    for mount in list {
        let text = |key: &str| mount.get(key).str_or_empty();
        let mut flags = if mount.get("readOnly").as_bool().unwrap_or(false) { "ro" } else { "rw" }.to_owned();
        if !text("subPath").is_empty() {
            flags.push_str(&format!(",path={}", quote(text("subPath"))));
        }
        doc.write(3, &format!("{} from {} ({flags})\n", text("mountPath"), text("name")));
    }
    let devices = container.get("volumeDevices").items();
    if !devices.is_empty() {
        doc.write(2, &format!("Devices:{none}\n"));
        for device in devices {
            let text = |key: &str| device.get(key).str_or_empty();
            doc.write(3, &format!("{} from {}\n", text("devicePath"), text("name")));
        }
    }
}

/// Topology spread constraints.
pub(super) fn spread(constraints: &Value, doc: &mut Document, space: &str) {
    let mut list: Vec<&Value> = constraints.items().iter().collect();
    if list.is_empty() {
        return;
    }
    list.sort_by_key(|c| c.get("topologyKey").str_or_empty());
    doc.write(0, &format!("{space}Topology Spread Constraints:\t"));
    for (i, constraint) in list.into_iter().enumerate() {
        let indent = if i == 0 { String::new() } else { format!("{space}\t") };
        let text = |key: &str| constraint.get(key).str_or_empty();
        let mut line = format!(
            "{indent}{}:{} when max skew {} is exceeded",
            text("topologyKey"),
            text("whenUnsatisfiable"),
            constraint.get("maxSkew").as_i64().unwrap_or(0)
        );
        if constraint.has("labelSelector") {
            let selector = apimachinery::selector::label::format(constraint.get("labelSelector"));
            line.push_str(&format!(" for selector {selector}"));
        }
        doc.write(0, &format!("{line}\n"));
    }
}
