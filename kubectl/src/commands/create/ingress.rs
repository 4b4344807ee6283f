//! `kubectl create ingress`.

use apimachinery::value::Value;
use serde_json::json;

use super::generate::{finish, generator_flags, name, object};
use crate::cli::{Command, FlagSet, Invocation};

/// The command.
pub static COMMAND: Command = Command {
    name: "ingress",
    args: "NAME --rule=host/path=service:port[,tls[=secret]]",
    aliases: &["ing"],
    short: "Create an ingress with the specified name",
    example: "# A path of a host to a service\nkubectl create ingress simple --rule=\"foo.com/bar=svc1:8080,tls=my-cert\"\n\n# A default backend\nkubectl create ingress ingdefault --class=default --default-backend=defaultsvc:http",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    generator_flags(flags);
    flags.string("class", "", "", "Ingress Class to be used");
    flags.array("rule", "", "Rule in format host/path=service:port[,tls=secretname]. Paths containing the leading character '*' are considered pathType=Prefix. tls argument is optional.");
    flags.string("default-backend", "", "", "Default service for backend, in format of svcname:port");
    flags.array("annotation", "", "Annotation to insert in the ingress object, in the format annotation=value");
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let rules = inv.flags.list("rule");
    let backend = inv.flags.str("default-backend");
    anyhow::ensure!(
        !backend.is_empty() || !rules.is_empty(),
        "not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of rules (which catch specific paths)"
    );
    let mut parsed = Vec::new();
    for rule in &rules {
        parsed.push(parse_rule(rule).ok_or_else(|| {
            anyhow::anyhow!("rule {rule} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]")
        })?);
    }
    let mut ingress = object(&inv, "networking.k8s.io/v1", "Ingress", &name)?;
    for annotation in inv.flags.list("annotation") {
        let Some((key, value)) = annotation.split_once('=') else {
            anyhow::bail!("annotation {annotation} is invalid and should be in format key=[value]");
        };
        ingress.set_path(&["metadata", "annotations", key], Value::from(value));
    }
    anyhow::ensure!(
        backend.is_empty() || backend.split(':').count() == 2,
        "default-backend should be in format servicename:serviceport"
    );
    let class = inv.flags.str("class");
    if !class.is_empty() {
        ingress.set_path(&["spec", "ingressClassName"], Value::from(class));
    }
    if !backend.is_empty() {
        ingress.set_path(&["spec", "defaultBackend"], Value::from(service_backend(backend)));
    }
    let tls = tls_entries(&parsed);
    if !tls.is_empty() {
        ingress.set_path(&["spec", "tls"], Value::List(tls));
    }
    let rules = rule_entries(&parsed);
    if !rules.is_empty() {
        ingress.set_path(&["spec", "rules"], Value::List(rules));
    }
    finish(&inv, ingress, "failed to create ingress: ").await
}

struct Rule<'t> {
    host: &'t str,
    path: String,
    service: &'t str,
    /// `Some` if tls was asked for; the secret may be empty.
    secret: Option<&'t str>,
}

/// `host/path=service:port[,tls[=secret]]`.
fn parse_rule(text: &str) -> Option<Rule<'_>> {
    let (main, tls) = match text.split_once(',') {
        Some((main, tls)) => (main, Some(tls)),
        None => (text, None),
    };
    let (host, rest) = main.split_once('/')?;
    let (path, service) = rest.split_once('=')?;
    let (svc, port) = service.split_once(':')?;
    let secret = match tls {
        None => None,
        Some("tls") => Some(""),
        // Upstream looks at how a rule begins: what follows and is no tls does not count.
        Some(tls) => tls.strip_prefix("tls="),
    };
    let name_ok = |t: &str| {
        !t.is_empty() && t.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'))
    };
    (name_ok(svc) && name_ok(port)).then(|| Rule { host, path: format!("/{path}"), service, secret })
}

fn service_backend(text: &str) -> serde_json::Value {
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    let port = match port.parse::<i32>() {
        Ok(number) => json!({"number": number}),
        Err(_) => json!({"name": port}),
    };
    json!({"service": {"name": name, "port": port}})
}

fn tls_entries(rules: &[Rule<'_>]) -> Vec<Value> {
    let mut entries: Vec<(String, Vec<String>)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for rule in rules {
        let Some(secret) = rule.secret else {
            continue;
        };
        if seen.contains(&rule.host) {
            continue;
        }
        seen.push(rule.host);
        if let Some((_, hosts)) = entries.iter_mut().find(|(s, _)| s == secret) {
            hosts.push(rule.host.to_owned());
            continue;
        }
        let hosts = if rule.host.is_empty() { Vec::new() } else { vec![rule.host.to_owned()] };
        if !secret.is_empty() || !hosts.is_empty() {
            entries.push((secret.to_owned(), hosts));
        }
    }
    let entry = |(secret, hosts): (String, Vec<String>)| {
        let mut out = Value::map();
        if !hosts.is_empty() {
            out.set("hosts", hosts);
        }
        if !secret.is_empty() {
            out.set("secretName", secret);
        }
        out
    };
    entries.into_iter().map(entry).collect()
}

fn rule_entries(rules: &[Rule<'_>]) -> Vec<Value> {
    let mut hosts: Vec<(&str, Vec<serde_json::Value>)> = Vec::new();
    for rule in rules {
        let (path, kind) = match rule.path.strip_suffix('*') {
            Some(prefix) => (prefix, "Prefix"),
            None => (rule.path.as_str(), "Exact"),
        };
        let entry = json!({"path": path, "pathType": kind, "backend": service_backend(rule.service)});
        match hosts.iter_mut().find(|(h, _)| *h == rule.host) {
            Some((_, paths)) => paths.push(entry),
            None => hosts.push((rule.host, vec![entry])),
        }
    }
    let entry = |(host, paths): (&str, Vec<serde_json::Value>)| {
        let mut out = json!({"http": {"paths": paths}});
        if !host.is_empty() {
            out["host"] = json!(host);
        }
        Value::from(out)
    };
    hosts.into_iter().map(entry).collect()
}
