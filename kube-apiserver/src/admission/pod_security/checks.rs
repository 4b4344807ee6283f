//! The checks of the Pod Security Standards and the words in which they refuse.
//!
//! upstream: staging/src/k8s.io/pod-security-admission/policy/check_*.go

use std::collections::BTreeSet;

use apimachinery::quote::{quote, quote_all};
use apimachinery::value::Value;

use super::level::{Level, Version};

/// Why a pod is refused: a word and its details.
pub struct Violation {
    reason: &'static str,
    detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.reason, self.detail)
    }
}

/// What a check looks at.
struct Pod<'a> {
    annotations: &'a Value,
    spec: &'a Value,
    version: Version,
}

type Check = fn(&Pod<'_>) -> Option<Violation>;

/// A check: first version that has it, the check, and the version from which on the restricted level has a
/// stricter one in its place.
const BASELINE: [(u32, Check, Option<u32>); 12] = [
    (0, app_armor, None),
    (0, default_capabilities, Some(22)),
    (0, host_namespaces, None),
    (0, host_path, Some(0)),
    (0, host_ports, None),
    (34, host_probes, None),
    (0, privileged, None),
    (0, proc_mount, None),
    (0, selinux, None),
    (19, seccomp_baseline, Some(19)),
    (0, sysctls, None),
    (0, host_process, None),
];

/// Checks of the restricted level, with the first version that has them.
const RESTRICTED: [(u32, Check); 6] = [
    (8, escalation),
    (22, restricted_capabilities),
    (0, restricted_volumes),
    (0, run_as_non_root),
    (23, run_as_user),
    (19, seccomp_restricted),
];

/// Everything in which a pod breaks a level, or `None`.
pub fn evaluate(level: Level, version: Version, metadata: &Value, spec: &Value) -> Option<String> {
    if level == Level::Privileged {
        return None;
    }
    let pod = Pod { annotations: metadata.get("annotations"), spec, version };
    let restricted = level == Level::Restricted;
    let baseline = BASELINE.iter().filter(|(from, _, replaced)| {
        version.at_least(*from) && !(restricted && replaced.is_some_and(|v| version.at_least(v)))
    });
    let strict = RESTRICTED.iter().filter(|(from, _)| restricted && version.at_least(*from));
    let found: Vec<String> = baseline
        .filter_map(|(_, check, _)| check(&pod))
        .chain(strict.filter_map(|(_, check)| check(&pod)))
        .map(|violation| violation.to_string())
        .collect();
    (!found.is_empty()).then(|| found.join(", "))
}

impl<'a> Pod<'a> {
    /// Containers of all kinds in upstream's order.
    fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let spec = self.spec;
        ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(move |key| spec.get(key).items())
    }

    /// Names of the containers of which this is true.
    fn bad(&self, is_bad: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|c| is_bad(c)).map(|c| c.get("name").str_or_empty()).collect()
    }

    fn security(&self) -> &'a Value {
        self.spec.get("securityContext")
    }

    /// Newer standards ask less of Windows pods.
    fn is_windows(&self) -> bool {
        self.version.at_least(25) && self.spec.path(&["os", "name"]).as_str() == Some("windows")
    }
}

fn security(container: &Value) -> &Value {
    container.get("securityContext")
}

/// `container "a"` or `containers "a", "b"`.
fn named(one: &str, many: &str, names: &[&str]) -> String {
    format!("{} {}", if names.len() == 1 { one } else { many }, quote_all(names.iter().copied()))
}

fn containers(names: &[&str]) -> String {
    named("container", "containers", names)
}

fn plural<'s>(one: &'s str, many: &'s str, count: usize) -> &'s str {
    if count == 1 { one } else { many }
}

fn violation(reason: &'static str, detail: String) -> Option<Violation> {
    Some(Violation { reason, detail })
}

/// Who sets something forbidden: the pod, some containers, or both.
fn setters(pod: bool, names: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    if pod {
        out.push("pod".to_owned());
    }
    if !names.is_empty() {
        out.push(containers(names));
    }
    out
}

fn app_armor(pod: &Pod<'_>) -> Option<Violation> {
    const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
    let kind = |context: &Value| {
        let kind = context.path(&["appArmorProfile", "type"]).as_str()?;
        (!matches!(kind, "RuntimeDefault" | "Localhost")).then(|| kind.to_owned())
    };
    let of_pod = kind(pod.security());
    let names = pod.bad(|c| kind(security(c)).is_some());
    let mut who = setters(of_pod.is_some(), &names);
    let values: BTreeSet<String> =
        of_pod.into_iter().chain(pod.containers().filter_map(|c| kind(security(c)))).collect();
    let mut values: Vec<String> = values.into_iter().collect();
    let annotations: Vec<String> = pod
        .annotations
        .entries()
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .filter(|(key, value)| {
            key.starts_with(PREFIX)
                && !(value.is_empty() || *value == "runtime/default" || value.starts_with("localhost/"))
        })
        .map(|(key, value)| format!("{key}={}", quote(value)))
        .collect();
    if !annotations.is_empty() {
        who.push(plural("annotation", "annotations", annotations.len()).to_owned());
        values.extend(annotations);
    }
    if who.is_empty() {
        return None;
    }
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    let values = quote_all(values.iter().map(String::as_str));
    violation(reason, format!("{} must not set AppArmor profile type to {values}", who.join(" and ")))
}

const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Added capabilities that are not allowed, as one sentence.
fn added(pod: &Pod<'_>, allowed: &[&str]) -> Option<String> {
    let bad = |c: &Value| -> Vec<String> {
        let added = security(c).path(&["capabilities", "add"]).items();
        added.iter().filter_map(Value::as_str).filter(|cap| !allowed.contains(cap)).map(str::to_owned).collect()
    };
    let names = pod.bad(|c| !bad(c).is_empty());
    if names.is_empty() {
        return None;
    }
    let all: BTreeSet<String> = pod.containers().flat_map(bad).collect();
    let all = quote_all(all.iter().map(String::as_str));
    Some(format!("{} must not include {all} in securityContext.capabilities.add", containers(&names)))
}

fn default_capabilities(pod: &Pod<'_>) -> Option<Violation> {
    violation("non-default capabilities", added(pod, &DEFAULT_CAPABILITIES)?)
}

fn host_namespaces(pod: &Pod<'_>) -> Option<Violation> {
    let set: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|key| pod.spec.get(key).as_bool() == Some(true))
        .map(|key| format!("{key}=true"))
        .collect();
    if set.is_empty() { None } else { violation("host namespaces", set.join(", ")) }
}

fn volumes<'a>(pod: &Pod<'a>, is_bad: impl Fn(&Value) -> bool) -> Vec<&'a str> {
    let all = pod.spec.get("volumes").items();
    all.iter().filter(|v| is_bad(v)).map(|v| v.get("name").str_or_empty()).collect()
}

fn host_path(pod: &Pod<'_>) -> Option<Violation> {
    let names = volumes(pod, |v| !v.get("hostPath").is_null());
    if names.is_empty() { None } else { violation("hostPath volumes", named("volume", "volumes", &names)) }
}

fn host_ports(pod: &Pod<'_>) -> Option<Violation> {
    let ports = |c: &Value| -> Vec<i64> {
        c.get("ports").items().iter().filter_map(|p| p.get("hostPort").as_i64()).filter(|p| *p != 0).collect()
    };
    let names = pod.bad(|c| !ports(c).is_empty());
    if names.is_empty() {
        return None;
    }
    let all: BTreeSet<String> = pod.containers().flat_map(ports).map(|p| p.to_string()).collect();
    let all: Vec<String> = all.into_iter().collect();
    let uses = plural("uses", "use", names.len());
    let what = plural("hostPort", "hostPorts", all.len());
    violation("hostPort", format!("{} {uses} {what} {}", containers(&names), all.join(", ")))
}

fn host_probes(pod: &Pod<'_>) -> Option<Violation> {
    const PLACES: [&[&str]; 5] = [
        &["livenessProbe"],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    let hosts = |c: &Value| -> Vec<String> {
        let handlers = PLACES.iter().flat_map(|place| {
            let handler = c.path(place);
            ["httpGet", "tcpSocket"].map(|kind| handler.path(&[kind, "host"]).str_or_empty().to_owned())
        });
        handlers.filter(|host| !host.is_empty()).collect()
    };
    let names = pod.bad(|c| !hosts(c).is_empty());
    if names.is_empty() {
        return None;
    }
    let all: BTreeSet<String> = pod.containers().flat_map(hosts).collect();
    let uses = plural("uses", "use", names.len());
    let what = plural("probe or lifecycle host", "probe or lifecycle hosts", all.len());
    let all = quote_all(all.iter().map(String::as_str));
    violation("probe or lifecycle host", format!("{} {uses} {what} {all}", containers(&names)))
}

fn privileged(pod: &Pod<'_>) -> Option<Violation> {
    let names = pod.bad(|c| security(c).get("privileged").as_bool() == Some(true));
    if names.is_empty() {
        return None;
    }
    violation("privileged", format!("{} must not set securityContext.privileged=true", containers(&names)))
}

fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    if pod.version.at_least(35) && pod.spec.get("hostUsers").as_bool() == Some(false) {
        return None;
    }
    let kind = |c: &Value| security(c).get("procMount").as_str().filter(|k| *k != "Default").map(str::to_owned);
    let names = pod.bad(|c| kind(c).is_some());
    if names.is_empty() {
        return None;
    }
    let kinds: BTreeSet<String> = pod.containers().filter_map(kind).collect();
    let kinds = quote_all(kinds.iter().map(String::as_str));
    violation("procMount", format!("{} must not set securityContext.procMount to {kinds}", containers(&names)))
}

fn selinux(pod: &Pod<'_>) -> Option<Violation> {
    let allowed = |kind: &str| match kind {
        "" | "container_t" | "container_init_t" | "container_kvm_t" => true,
        "container_engine_t" => pod.version.at_least(31),
        _ => false,
    };
    let options = |context: &Value| context.get("seLinuxOptions").clone();
    let set = |context: &Value, key: &str| !options(context).get(key).str_or_empty().is_empty();
    let kind = |context: &Value| options(context).get("type").str_or_empty().to_owned();
    let is_bad = |context: &Value| !allowed(&kind(context)) || set(context, "user") || set(context, "role");
    let names = pod.bad(|c| is_bad(security(c)));
    let who = setters(is_bad(pod.security()), &names);
    if who.is_empty() {
        return None;
    }
    let contexts = || std::iter::once(pod.security()).chain(pod.containers().map(security));
    let kinds: BTreeSet<String> = contexts().map(kind).filter(|k| !allowed(k)).collect();
    let mut what = Vec::new();
    if !kinds.is_empty() {
        let word = plural("type", "types", kinds.len());
        what.push(format!("{word} {}", quote_all(kinds.iter().map(String::as_str))));
    }
    for key in ["user", "role"] {
        if contexts().any(|context| set(context, key)) {
            what.push(format!("{key} may not be set"));
        }
    }
    let (who, what) = (who.join(" and "), what.join("; "));
    violation("seLinuxOptions", format!("{who} set forbidden securityContext.seLinuxOptions: {what}"))
}

fn seccomp_kind(context: &Value) -> Option<&str> {
    context.path(&["seccompProfile", "type"]).as_str()
}

/// Profiles that are set to something which is not allowed.
fn forbidden_seccomp(pod: &Pod<'_>) -> Option<Violation> {
    let bad = |context: &Value| {
        seccomp_kind(context).filter(|kind| !matches!(*kind, "RuntimeDefault" | "Localhost")).map(str::to_owned)
    };
    let of_pod = bad(pod.security());
    let names = pod.bad(|c| bad(security(c)).is_some());
    let who = setters(of_pod.is_some(), &names);
    if who.is_empty() {
        return None;
    }
    let kinds: BTreeSet<String> = of_pod.into_iter().chain(pod.containers().filter_map(|c| bad(security(c)))).collect();
    let kinds = quote_all(kinds.iter().map(String::as_str));
    violation(
        "seccompProfile",
        format!("{} must not set securityContext.seccompProfile.type to {kinds}", who.join(" and ")),
    )
}

fn seccomp_baseline(pod: &Pod<'_>) -> Option<Violation> {
    forbidden_seccomp(pod)
}

fn seccomp_restricted(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    if let Some(found) = forbidden_seccomp(pod) {
        return Some(found);
    }
    if seccomp_kind(pod.security()).is_some() {
        return None;
    }
    let names = pod.bad(|c| seccomp_kind(security(c)).is_none());
    if names.is_empty() {
        return None;
    }
    let who = containers(&names);
    let detail =
        format!(r#"pod or {who} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost""#);
    violation("seccompProfile", detail)
}

/// Sysctls that are safe, with the first version that says so.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

fn sysctls(pod: &Pod<'_>) -> Option<Violation> {
    let allowed = |name: &str| SYSCTLS.iter().any(|(known, from)| *known == name && pod.version.at_least(*from));
    let set = pod.security().get("sysctls").items();
    let bad: Vec<&str> = set.iter().map(|s| s.get("name").str_or_empty()).filter(|name| !allowed(name)).collect();
    if bad.is_empty() { None } else { violation("forbidden sysctls", bad.join(", ")) }
}

fn host_process(pod: &Pod<'_>) -> Option<Violation> {
    let is_bad = |context: &Value| context.path(&["windowsOptions", "hostProcess"]).as_bool() == Some(true);
    let names = pod.bad(|c| is_bad(security(c)));
    let who = setters(is_bad(pod.security()), &names);
    if who.is_empty() {
        return None;
    }
    violation(
        "hostProcess",
        format!("{} must not set securityContext.windowsOptions.hostProcess=true", who.join(" and ")),
    )
}

fn escalation(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    let names = pod.bad(|c| security(c).get("allowPrivilegeEscalation").as_bool() != Some(false));
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names));
    violation("allowPrivilegeEscalation != false", detail)
}

fn restricted_capabilities(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    let drops_all =
        |c: &Value| security(c).path(&["capabilities", "drop"]).items().iter().any(|cap| cap.as_str() == Some("ALL"));
    let names = pod.bad(|c| !drops_all(c));
    let mut what = Vec::new();
    if !names.is_empty() {
        what.push(format!(r#"{} must set securityContext.capabilities.drop=["ALL"]"#, containers(&names)));
    }
    what.extend(added(pod, &["NET_BIND_SERVICE"]));
    if what.is_empty() { None } else { violation("unrestricted capabilities", what.join("; ")) }
}

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn restricted_volumes(pod: &Pod<'_>) -> Option<Violation> {
    let kind = |v: &Value| v.entries().map(|(key, _)| key).find(|key| *key != "name").unwrap_or("unknown").to_owned();
    let is_bad = |v: &Value| !VOLUMES.contains(&kind(v).as_str());
    let names = volumes(pod, is_bad);
    if names.is_empty() {
        return None;
    }
    let kinds: BTreeSet<String> = pod.spec.get("volumes").items().iter().filter(|v| is_bad(v)).map(kind).collect();
    let uses = plural("uses", "use", names.len());
    let what = plural("restricted volume type", "restricted volume types", kinds.len());
    let kinds = quote_all(kinds.iter().map(String::as_str));
    violation("restricted volume types", format!("{} {uses} {what} {kinds}", named("volume", "volumes", &names)))
}

fn run_as_non_root(pod: &Pod<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let set = |context: &Value| context.get("runAsNonRoot").as_bool();
    let of_pod = set(pod.security());
    let names = pod.bad(|c| set(security(c)) == Some(false));
    let who = setters(of_pod == Some(false), &names);
    if !who.is_empty() {
        return violation(REASON, format!("{} must not set securityContext.runAsNonRoot=false", who.join(" and ")));
    }
    let names = pod.bad(|c| set(security(c)).is_none());
    if of_pod == Some(true) || names.is_empty() {
        return None;
    }
    violation(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&names)))
}

fn run_as_user(pod: &Pod<'_>) -> Option<Violation> {
    let is_root = |context: &Value| context.get("runAsUser").as_i64() == Some(0);
    let names = pod.bad(|c| is_root(security(c)));
    let who = setters(is_root(pod.security()), &names);
    if who.is_empty() {
        return None;
    }
    violation("runAsUser=0", format!("{} must not set runAsUser=0", who.join(" and ")))
}
