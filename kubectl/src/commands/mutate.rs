//! Changing objects of built-in kinds and sending the difference as a strategic merge patch.
//! Corresponds to kubectl/pkg/cmd/set/helper.go (`CalculatePatches`).

use apimachinery::patch::{merge, strategic};
use apimachinery::schema;
use apimachinery::value::Value;

use crate::cli::Invocation;
use crate::options::DryRun;
use crate::printers::{GenericPrinter, Printed};
use crate::resource::{Helper, Info};

/// The patch from `before` to `after`, with its media type; `None` if nothing changed.
pub(crate) fn difference(before: &Value, after: &Value) -> anyhow::Result<Option<(&'static str, Vec<u8>)>> {
    if before == after {
        return Ok(None);
    }
    let api_version = before.get("apiVersion").str_or_empty();
    let (media_type, patch) = match schema::kind(api_version, before.get("kind").str_or_empty()) {
        Some(ty) => ("application/strategic-merge-patch+json", strategic::create_two_way(before, after, ty)?),
        None => ("application/merge-patch+json", merge::create(before, after).unwrap_or_else(Value::map)),
    };
    let bytes = crate::codec::encode_json(&patch);
    Ok((bytes != b"{}").then_some((media_type, bytes)))
}

/// Where the pod spec of an object is; `None` if it has none.
pub(crate) fn pod_spec_path(kind: &str) -> Option<&'static [&'static str]> {
    match kind {
        "Pod" => Some(&["spec"]),
        "PodTemplate" => Some(&["template", "spec"]),
        "CronJob" => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet" | "Job" | "ReplicationController" => {
            Some(&["spec", "template", "spec"])
        }
        _ => None,
    }
}

/// The pod spec of an object, for changing it.
pub(crate) fn pod_spec_mut(object: &mut Value) -> Option<&mut Value> {
    let path = pod_spec_path(object.get("kind").str_or_empty())?;
    object.path_mut(path)
}

/// How the changed objects are sent and shown.
pub(crate) struct Sender<'a> {
    pub(crate) inv: &'a Invocation,
    pub(crate) dry_run: DryRun,
    /// Nothing is sent.
    pub(crate) local: bool,
    pub(crate) printer: GenericPrinter,
    /// Goes before an error of the server.
    pub(crate) failed: &'static str,
}

impl Sender<'_> {
    /// Sends what changed from `before` and prints the result; silent if nothing changed.
    pub(crate) async fn send(&mut self, before: &Value, info: &Info) -> anyhow::Result<()> {
        let Some((media_type, patch)) = difference(before, &info.object)? else {
            return Ok(());
        };
        if self.local || self.dry_run.is_client() {
            let text = self.printer.print_as(Printed { object: &info.object, typed: true })?;
            self.inv.ctx.out(&text);
            return Ok(());
        }
        let helper = Helper::new(self.inv.ctx.rest().await?, info.mapping()?.clone())
            .dry_run(self.dry_run.is_server())
            .field_manager(self.inv.flags.str("field-manager"));
        let patched = helper.patch(&info.namespace, &info.name, media_type, patch).await;
        let patched = patched.map_err(|e| anyhow::anyhow!("{}{e}", self.failed))?;
        let text = self.printer.print_as(Printed { object: &patched, typed: true })?;
        self.inv.ctx.out(&text);
        Ok(())
    }
}
