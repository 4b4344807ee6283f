//! Deleting what was applied earlier and is no longer in the files. Corresponds to kubectl/pkg/cmd/apply/prune.go.

use std::rc::Rc;

use http::Method;

use super::Apply;
use crate::client::{Mapping, Request};
use crate::commands::create::LAST_APPLIED;
use crate::commands::delete::{cascade, delete_options};
use crate::resource::Helper;

/// Kinds that are pruned unless `--prune-allowlist` says otherwise: group, version, kind.
const DEFAULT: &[(&str, &str, &str)] = &[
    ("", "v1", "ConfigMap"),
    ("", "v1", "Endpoints"),
    ("", "v1", "Namespace"),
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "PersistentVolume"),
    ("", "v1", "Pod"),
    ("", "v1", "ReplicationController"),
    ("", "v1", "Secret"),
    ("", "v1", "Service"),
    ("batch", "v1", "Job"),
    ("batch", "v1", "CronJob"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("apps", "v1", "DaemonSet"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "ReplicaSet"),
    ("apps", "v1", "StatefulSet"),
];

/// The kinds that are pruned: group, version, kind. Those of the flag must exist.
async fn kinds(apply: &Apply) -> anyhow::Result<Vec<Rc<Mapping>>> {
    let mapper = apply.inv.ctx.mapper().await?;
    let mut mappings = listed(apply).await?;
    if mappings.is_empty() {
        crate::klog::warning("prune.go:71", DEPRECATED);
        mappings.extend(DEFAULT.iter().filter_map(|(group, version, kind)| mapper.kind(group, kind, version).ok()));
    }
    Ok(mappings)
}

/// Upstream's notice that only some kinds will be pruned one day.
const DEPRECATED: &str = "Deprecated: kubectl apply will no longer prune non-namespaced resources by default when used with the --namespace flag in a future release. To preserve the current behaviour, list the resources you want to target explicitly in the --prune-allowlist flag.";

/// The kinds of `--prune-allowlist`.
pub(super) async fn listed(apply: &Apply) -> anyhow::Result<Vec<Rc<Mapping>>> {
    let mapper = apply.inv.ctx.mapper().await?;
    let mut mappings = Vec::new();
    for text in &apply.inv.flags.list("prune-allowlist") {
        let parts: Vec<&str> = text.split('/').collect();
        let [group, version, kind] = parts.as_slice() else {
            anyhow::bail!("invalid GroupVersionKind format: {text}, please follow <group/version/kind>");
        };
        let group = if *group == "core" { "" } else { group };
        mappings.push(mapper.kind(group, kind, version)?);
    }
    Ok(mappings)
}

pub(super) async fn run(apply: &Apply) -> anyhow::Result<()> {
    let kinds = kinds(apply).await?;
    for namespace in &apply.namespaces {
        for mapping in kinds.iter().filter(|mapping| mapping.namespaced) {
            prune(apply, mapping, namespace).await?;
        }
    }
    for mapping in kinds.iter().filter(|mapping| !mapping.namespaced) {
        prune(apply, mapping, "").await?;
    }
    Ok(())
}

async fn prune(apply: &Apply, mapping: &Rc<Mapping>, namespace: &str) -> anyhow::Result<()> {
    let rest = apply.inv.ctx.rest().await?;
    let request =
        Request::to(Method::GET, mapping, namespace, "").maybe("labelSelector", apply.inv.flags.str("selector"));
    let list = rest.value(request).await?;
    for mut object in crate::resource::list_items(&list) {
        let meta = object.get("metadata");
        let name = meta.get("name").str_or_empty().to_owned();
        if meta.path(&["annotations", LAST_APPLIED]).as_str().is_none()
            || apply.visited.contains(meta.get("uid").str_or_empty())
        {
            continue;
        }
        object.set("kind", mapping.kind.as_str());
        object.set("apiVersion", mapping.api_version());
        if !apply.dry_run.is_client() {
            let flags = &apply.inv.flags;
            let options = delete_options(flags.get_int("grace-period"), cascade(flags)?);
            let helper = Helper::new(rest.clone(), Rc::clone(mapping)).dry_run(apply.dry_run.is_server());
            match helper.delete(namespace, &name, &options).await {
                Err(error) if crate::failure::is_not_found(&error) => {}
                other => {
                    other?;
                }
            }
        }
        let mut printer = apply.print.printer(&apply.dry_run.operation("pruned"))?;
        apply.inv.ctx.out(&printer.print(&object)?);
    }
    Ok(())
}
