//! `kubectl auth can-i`.

use apimachinery::value::Value;
use http::Method;
use serde_json::json;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::describe::rbac::rule_lines;
use crate::failure::Failure;
use crate::printers::TabWriter;

/// The command.
pub static COMMAND: Command = Command {
    name: "can-i",
    args: "VERB [TYPE | TYPE/NAME | NONRESOURCEURL]",
    short: "Check whether an action is allowed",
    long: "Check whether an action is allowed.\n\nVERB is a verb of the API such as 'get', 'list', 'watch', 'delete'. TYPE is a resource; short names and groups are resolved. NONRESOURCEURL is a path that starts with \"/\". NAME is the name of one object.",
    example: "# Creating pods in all namespaces\nkubectl auth can-i create pods --all-namespaces\n\n# Reading the logs of pods\nkubectl auth can-i get pods --subresource=log\n\n# Everything that is allowed in a namespace\nkubectl auth can-i --list --namespace=foo",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

const RESOURCE_VERBS: &[&str] = &[
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "use",
    "bind",
    "impersonate",
    "*",
    "approve",
    "sign",
    "escalate",
    "attest",
];
const PATH_VERBS: &[&str] = &["get", "put", "post", "head", "options", "delete", "patch", "*"];

fn flags(flags: &mut FlagSet) {
    flags.bool("all-namespaces", "A", false, "If true, check the specified action in all namespaces.");
    flags.bool("quiet", "q", false, "If true, suppress output and just return the exit code.");
    flags.string("subresource", "", "", "SubResource such as pod/log or deployment/scale");
    flags.bool("list", "", false, "If true, prints all allowed actions.");
    flags.bool("no-headers", "", false, "If true, prints allowed actions without headers");
}

/// The resource of a question.
#[derive(Default)]
struct Target {
    group: String,
    resource: String,
    name: String,
    /// Whether it lives in namespaces; `None` if the server does not know it.
    namespaced: Option<bool>,
}

fn warn(inv: &Invocation, text: &str) {
    inv.ctx.err(&format!("Warning: {text}\n\n"));
}

async fn target(inv: &Invocation, text: &str) -> anyhow::Result<Target> {
    let (resource, name) = text.split_once('/').unwrap_or((text, ""));
    let mut target = Target { resource: resource.to_owned(), name: name.to_owned(), ..Target::default() };
    if resource == "*" {
        target.namespaced = Some(true);
        return Ok(target);
    }
    let lower = resource.to_lowercase();
    match inv.ctx.mapper_within(2).await.and_then(|mapper| mapper.resource(&lower)) {
        Ok(mapping) => {
            target.group.clone_from(&mapping.group);
            target.resource.clone_from(&mapping.resource);
            target.namespaced = Some(mapping.namespaced);
        }
        Err(_) if lower == "users" || lower == "groups" => {}
        Err(_) => match lower.split_once('.') {
            None => warn(inv, &format!("the server doesn't have a resource type '{lower}'")),
            Some((resource, group)) => {
                warn(inv, &format!("the server doesn't have a resource type '{resource}' in group '{group}'"));
            }
        },
    }
    Ok(target)
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let flags = &inv.flags;
    let (quiet, all, sub) = (flags.get_bool("quiet"), flags.get_bool("all-namespaces"), flags.str("subresource"));
    let namespace = if all { String::new() } else { inv.ctx.namespace()?.0 };
    if flags.get_bool("list") {
        anyhow::ensure!(inv.args.is_empty(), "list option must be specified with no arguments");
        anyhow::ensure!(
            !quiet && !all && sub.is_empty(),
            "list option can't be specified with neither quiet, all-namespaces nor subresource options"
        );
        return list(&inv, &namespace).await;
    }
    let [verb, what] = inv.args.as_slice() else {
        anyhow::bail!(
            "you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'kubectl auth can-i -h' for help and examples."
        );
    };
    let spec = if what.starts_with('/') {
        anyhow::ensure!(sub.is_empty(), "--subresource can not be used with NonResourceURL");
        if !PATH_VERBS.contains(&verb.as_str()) {
            warn(&inv, &format!("verb '{verb}' is not a known verb"));
        }
        json!({"nonResourceAttributes": {"verb": verb, "path": what}})
    } else {
        let target = target(&inv, what).await?;
        if !all {
            check(&inv, &target, verb);
        }
        let mut attributes = json!({"verb": verb, "resource": target.resource});
        let optional =
            [("namespace", namespace.as_str()), ("group", &target.group), ("subresource", sub), ("name", &target.name)];
        for (key, value) in optional {
            if !value.is_empty() {
                attributes[key] = json!(value);
            }
        }
        json!({"resourceAttributes": attributes})
    };
    anyhow::ensure!(!flags.get_bool("no-headers"), "--no-headers cannot be set without --list specified");
    ask(&inv, spec, quiet).await
}

/// Warns about questions that are probably not meant.
fn check(inv: &Invocation, target: &Target, verb: &str) {
    if target.namespaced == Some(false) {
        let group = match target.group.is_empty() {
            true => String::new(),
            false => format!(" in group '{}'", target.group),
        };
        warn(inv, &format!("resource '{}' is not namespace scoped{group}", target.resource));
    }
    if !RESOURCE_VERBS.contains(&verb) {
        warn(inv, &format!("verb '{verb}' is not a known verb"));
    }
}

async fn review(inv: &Invocation, kind: &str, path: &str, spec: serde_json::Value) -> anyhow::Result<Value> {
    let body =
        Value::from(json!({"kind": kind, "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": spec}));
    let path = format!("/apis/authorization.k8s.io/v1/{path}");
    inv.ctx.rest().await?.value(Request::new(Method::POST, path).json(&body)).await
}

async fn ask(inv: &Invocation, spec: serde_json::Value, quiet: bool) -> anyhow::Result<()> {
    let answer = review(inv, "SelfSubjectAccessReview", "selfsubjectaccessreviews", spec).await?;
    let status = answer.get("status");
    let allowed = status.get("allowed").as_bool().unwrap_or(false);
    if !quiet {
        let mut text = if allowed { "yes".to_owned() } else { "no".to_owned() };
        for key in ["reason", "evaluationError"] {
            let why = status.get(key).str_or_empty();
            if !allowed && !why.is_empty() {
                text.push_str(&format!(" - {why}"));
            }
        }
        inv.ctx.out(&format!("{text}\n"));
    }
    if allowed { Ok(()) } else { Err(Failure::Exit(1).into()) }
}

async fn list(inv: &Invocation, namespace: &str) -> anyhow::Result<()> {
    let answer =
        review(inv, "SelfSubjectRulesReview", "selfsubjectrulesreviews", json!({"namespace": namespace})).await?;
    let status = answer.get("status");
    if status.get("incomplete").as_bool() == Some(true) {
        let why = status.get("evaluationError").str_or_empty();
        inv.ctx.err(&format!("Warning: the list may be incomplete: {why}\n"));
    }
    let rules: Vec<Value> =
        status.get("resourceRules").items().iter().chain(status.get("nonResourceRules").items()).cloned().collect();
    let mut out = TabWriter::table();
    if !inv.flags.get_bool("no-headers") {
        out.write("Resources\tNon-Resource URLs\tResource Names\tVerbs\n");
    }
    for line in rule_lines(&Value::List(rules)) {
        out.write(&line);
    }
    inv.ctx.out(&out.flush());
    Ok(())
}
