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

pub(super) async fn run(apply: &Apply) -> anyhow::Result<()> {
    let mapper = apply.inv.ctx.mapper().await?;
    let listed = apply.inv.flags.list("prune-allowlist");
    let mut kinds: Vec<(String, String, String)> = Vec::new();
    for text in &listed {
        let parts: Vec<&str> = text.split('/').collect();
        let [group, version, kind] = parts.as_slice() else {
            anyhow::bail!("invalid GroupVersionKind format: {text}, please follow <group/version/kind>");
        };
        let group = if *group == "core" { "" } else { group };
        kinds.push((group.to_owned(), (*version).to_owned(), (*kind).to_owned()));
    }
    if listed.is_empty() {
        kinds.extend(DEFAULT.iter().map(|(g, v, k)| ((*g).to_owned(), (*v).to_owned(), (*k).to_owned())));
    }
    for (group, version, kind) in kinds {
        let mapping = match mapper.kind(&group, &kind, &version) {
            Ok(mapping) => mapping,
            Err(error) if !listed.is_empty() => anyhow::bail!("error retrieving RESTMappings to prune: {error}"),
            Err(_) => continue,
        };
        if mapping.namespaced {
            for namespace in &apply.namespaces {
                prune(apply, &mapping, namespace).await?;
            }
        } else if !apply.explicit || !listed.is_empty() {
            prune(apply, &mapping, "").await?;
        }
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
