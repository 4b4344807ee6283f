//! `kubectl describe`: fetches what belongs to an object. Corresponds to kubectl/pkg/cmd/describe.

use std::collections::BTreeSet;

use apimachinery::selector::label::Selector;
use apimachinery::value::Value;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::{Request, Rest};
use crate::describe::{Subject, describe};
use crate::failure::{aggregate, has_reason, is_not_found};
use crate::options;
use crate::resource::{Builder, FilenameOptions, Info, list_items};

/// The command.
pub static COMMAND: Command = Command {
    name: "describe",
    args: "(-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME)",
    short: "Show details of a specific resource or group of resources",
    long: "Show details of a specific resource or group of resources.\n\nPrints a detailed description of the selected resources, with what belongs to them, as events. A name prefix selects all objects whose names begin with it, if none has it as its name.\n\nUse \"kubectl api-resources\" for a complete list of supported resources.",
    example: "# A node\nkubectl describe nodes kubernetes-node-emt8.c.myproject.internal\n\n# All pods\nkubectl describe pods\n\n# By label\nkubectl describe pods -l name=myLabel",
    flags,
    suggest_for: &["inspect"],
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    options::filename_flags(flags, "containing the resource to describe");
    options::selector_flag(flags);
    flags.bool("all-namespaces", "A", false, "If present, list the requested objects across all namespaces. Namespace in current context is ignored even if specified with --namespace.");
    flags.bool("show-events", "", true, "If true, display events related to the described object.");
    options::chunk_size_flag(flags);
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let files = FilenameOptions::from_flags(&inv.flags);
    anyhow::ensure!(
        !inv.args.is_empty() || !files.is_empty(),
        "You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of supported resources.\n"
    );
    let (namespace, explicit) = inv.ctx.namespace()?;
    let all_namespaces = inv.flags.get_bool("all-namespaces");
    let found = Builder::new(&inv.ctx)
        .continue_on_error()
        .namespace(&namespace, explicit && !all_namespaces)
        .all_namespaces(all_namespaces)
        .filenames(&files)
        .labels(inv.flags.str("selector"))
        .args(true, &inv.args)
        .await
        .chunk(inv.flags.get_int("chunk-size"))
        .flatten()
        .run()
        .await?;
    let (infos, mut errors) = found.split();
    let mut events = inv.flags.get_bool("show-events");
    if (!errors.is_empty() || infos.len() > 1) && !inv.flags.changed("show-events") {
        events = false;
    }
    if errors.len() == 1 && is_not_found(&errors[0]) && inv.args.len() == 2 {
        return by_prefix(&inv, errors.remove(0), events, &namespace).await;
    }
    let mut seen = BTreeSet::new();
    let mut first = true;
    for info in &infos {
        match text(&inv, info, events).await {
            Ok(text) => {
                let separator = if std::mem::take(&mut first) { "" } else { "\n\n" };
                inv.ctx.out(&format!("{separator}{text}"));
            }
            Err(error) => {
                if seen.insert(error.to_string()) {
                    errors.push(error);
                }
            }
        }
    }
    if infos.is_empty() && errors.is_empty() {
        inv.ctx.err(&if all_namespaces {
            "No resources found\n".to_owned()
        } else {
            format!("No resources found in {namespace} namespace.\n")
        });
    }
    aggregate(errors)
}

async fn by_prefix(inv: &Invocation, original: anyhow::Error, events: bool, namespace: &str) -> anyhow::Result<()> {
    let infos = Builder::new(&inv.ctx)
        .namespace(namespace, false)
        .args(true, &inv.args[..1])
        .await
        .single_type()
        .chunk(inv.flags.get_int("chunk-size"))
        .flatten()
        .run()
        .await?
        .infos()?;
    let mut found = false;
    for info in infos.iter().filter(|i| i.name.starts_with(&inv.args[1])) {
        found = true;
        inv.ctx.out(&format!("{}\n", text(inv, info, events).await?));
    }
    if found { Ok(()) } else { Err(original) }
}

async fn list(rest: &Rest, path: &str, labels: &str, fields: &str) -> anyhow::Result<Vec<Value>> {
    let request =
        Request::get(path).maybe("labelSelector", labels).maybe("fieldSelector", fields).query("limit", "500");
    let mut items = Vec::new();
    let mut next = String::new();
    loop {
        let page = rest.value(request.clone().maybe("continue", &next)).await?;
        items.extend(list_items(&page));
        next = page.path(&["metadata", "continue"]).str_or_empty().to_owned();
        if next.is_empty() {
            return Ok(items);
        }
    }
}

async fn text(inv: &Invocation, info: &Info, show_events: bool) -> anyhow::Result<String> {
    let rest = inv.ctx.rest().await?;
    let mapping = info.mapping()?;
    let object = rest.value(Request::to(http::Method::GET, mapping, &info.namespace, &info.name)).await?;
    let mut subject = Subject { object, ..Subject::default() };
    related(&rest, info, &mut subject).await?;
    if show_events {
        subject.events = Some(events(&rest, &subject.object).await);
    }
    describe(&subject).map_err(anyhow::Error::msg)
}

/// Fetches what the description of a kind needs.
async fn related(rest: &Rest, info: &Info, subject: &mut Subject) -> anyhow::Result<()> {
    let mapping = info.mapping()?;
    let (namespace, name) = (&info.namespace, &info.name);
    let labels = Selector::from_value(subject.object.path(&["spec", "selector"])).map(|s| s.to_string());
    match (mapping.group.as_str(), mapping.kind.as_str()) {
        ("apps", "Deployment") => {
            let path = format!("/apis/apps/v1/namespaces/{namespace}/replicasets");
            let all = list(rest, &path, &labels.unwrap_or_default(), "").await.unwrap_or_default();
            let uid = subject.object.path(&["metadata", "uid"]).str_or_empty().to_owned();
            subject.replica_sets = all.into_iter().filter(|r| controlled_by(r, &uid)).collect();
        }
        ("apps", "ReplicaSet" | "DaemonSet" | "StatefulSet") => {
            let path = format!("/api/v1/namespaces/{namespace}/pods");
            subject.pods = list(rest, &path, &labels.unwrap_or_default(), "").await?;
        }
        ("", "ReplicationController") => {
            let pairs = subject.object.path(&["spec", "selector"]).entries();
            let selector: Vec<String> = pairs.map(|(k, v)| format!("{k}={}", v.str_or_empty())).collect();
            let path = format!("/api/v1/namespaces/{namespace}/pods");
            subject.pods = list(rest, &path, &selector.join(","), "").await?;
        }
        ("", "PersistentVolumeClaim") => {
            subject.pods = list(rest, &format!("/api/v1/namespaces/{namespace}/pods"), "", "").await?;
        }
        ("", "Service") => {
            let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
            let selector = format!("kubernetes.io/service-name={name}");
            subject.endpoint_slices = list(rest, &path, &selector, "").await.unwrap_or_default();
        }
        ("", "Namespace") => {
            let quotas = list(rest, &format!("/api/v1/namespaces/{name}/resourcequotas"), "", "").await;
            subject.quotas = optional(quotas)?;
            let ranges = list(rest, &format!("/api/v1/namespaces/{name}/limitranges"), "", "").await;
            subject.limit_ranges = optional(ranges)?;
        }
        ("networking.k8s.io", "Ingress") => backends(rest, namespace, subject).await,
        ("", "Node") => node(rest, name, subject).await?,
        _ => {}
    }
    Ok(())
}

fn optional(list: anyhow::Result<Vec<Value>>) -> anyhow::Result<Option<Vec<Value>>> {
    match list {
        Ok(list) => Ok(Some(list)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn controlled_by(object: &Value, uid: &str) -> bool {
    let owners = object.path(&["metadata", "ownerReferences"]).items();
    owners.iter().any(|o| o.get("controller").as_bool() == Some(true) && o.get("uid").str_or_empty() == uid)
}

/// The services that an ingress names.
async fn backends(rest: &Rest, namespace: &str, subject: &mut Subject) {
    let spec = subject.object.get("spec");
    let paths = spec.get("rules").items().iter().flat_map(|r| r.path(&["http", "paths"]).items());
    let all = paths.map(|p| p.get("backend")).chain(std::iter::once(spec.get("defaultBackend")));
    let names: BTreeSet<String> = all.map(|b| b.path(&["service", "name"]).str_or_empty().to_owned()).collect();
    for name in names.into_iter().filter(|n| !n.is_empty()) {
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        let slices = list(rest, &path, &format!("kubernetes.io/service-name={name}"), "").await;
        let service = rest.value(Request::get(format!("/api/v1/namespaces/{namespace}/services/{name}"))).await;
        let both = slices.and_then(|slices| Ok((service?, slices))).map_err(|e| e.to_string());
        subject.backends.insert(name, both);
    }
}

async fn node(rest: &Rest, name: &str, subject: &mut Subject) -> anyhow::Result<()> {
    let fields = format!("spec.nodeName={name},status.phase!=Failed,status.phase!=Succeeded");
    match list(rest, "/api/v1/pods", "", &fields).await {
        Ok(pods) => subject.pods = pods,
        Err(error) if has_reason(&error, "Forbidden") => subject.pods_forbidden = true,
        Err(error) => return Err(error),
    }
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
    let lease = rest.value(Request::get(path)).await;
    subject.lease = Some(lease.map_err(|e| e.to_string()));
    Ok(())
}

/// The events about an object; none if they cannot be read.
async fn events(rest: &Rest, object: &Value) -> Vec<Value> {
    let meta = object.get("metadata");
    let text = |key: &str| meta.get(key).str_or_empty();
    let kind = object.get("kind").str_or_empty();
    let namespace = text("namespace");
    let path = if namespace.is_empty() {
        "/api/v1/events".to_owned()
    } else {
        format!("/api/v1/namespaces/{namespace}/events")
    };
    let select = |uid: &str, with_kind: bool| {
        let mut terms =
            vec![format!("involvedObject.name={}", text("name")), format!("involvedObject.namespace={namespace}")];
        if with_kind {
            terms.push(format!("involvedObject.kind={kind}"));
        }
        terms.push(format!("involvedObject.uid={uid}"));
        terms.join(",")
    };
    let mirror = meta.path(&["annotations", "kubernetes.io/config.mirror"]).str_or_empty();
    let uid = if kind == "Pod" && !mirror.is_empty() { mirror } else { text("uid") };
    let mut found = list(rest, &path, "", &select(uid, kind != "Pod")).await.unwrap_or_default();
    if kind == "Node" {
        // The kubelet writes events with the node's name as the UID.
        found.extend(list(rest, &path, "", &select(text("name"), true)).await.unwrap_or_default());
    }
    found
}
