//! `kubectl apply view-last-applied`, `set-last-applied`, `edit-last-applied`.

use apimachinery::value::Value;

use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::commands::create::{LAST_APPLIED, applied_annotation};
use crate::failure::{is_not_found, with_source};
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags, indent4};
use crate::resource::{Builder, FilenameOptions, Helper, Info};

pub(super) static VIEW: Command = Command {
    name: "view-last-applied",
    args: "(TYPE [NAME | -l label] | TYPE/NAME | -f FILENAME)",
    short: "View the latest last-applied-configuration annotations of a resource/object",
    example: "# As YAML\nkubectl apply view-last-applied deployment/nginx\n\n# As JSON\nkubectl apply view-last-applied -f deploy.yaml -o json",
    flags: view_flags,
    run: Some(|inv| Box::pin(view(inv))),
    ..Command::EMPTY
};

pub(super) static SET: Command = Command {
    name: "set-last-applied",
    args: "-f FILENAME",
    short: "Set the last-applied-configuration annotation on a live object to match the contents of a file",
    example: "# Match a file\nkubectl apply set-last-applied -f deploy.yaml",
    flags: set_flags,
    run: Some(|inv| Box::pin(set(inv))),
    ..Command::EMPTY
};

pub(super) static EDIT: Command = Command {
    name: "edit-last-applied",
    args: "(RESOURCE/NAME | -f FILENAME)",
    short: "Edit latest last-applied-configuration annotations of a resource/object",
    example: "# Edit as YAML\nkubectl apply edit-last-applied deployment/nginx",
    flags: |flags| {
        crate::commands::edit::edit_flags(flags);
    },
    run: Some(|inv| Box::pin(crate::commands::edit::edit_last_applied(inv))),
    ..Command::EMPTY
};

fn view_flags(flags: &mut FlagSet) {
    flags.string("output", "o", "yaml", "Output format. Must be one of (yaml, json)");
    options::selector_flag(flags);
    flags.bool("all", "", false, "Select all resources in the namespace of the specified resource types");
    options::filename_flags(flags, "that contains the last-applied-configuration annotations");
}

fn set_flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    options::dry_run_flag(flags);
    flags.bool(
        "create-annotation",
        "",
        false,
        "Will create 'last-applied-configuration' annotations if current objects doesn't have one",
    );
    flags.slice("filename", "f", "", "that contains the last-applied-configuration annotations");
}

async fn view(inv: Invocation) -> anyhow::Result<()> {
    let output = inv.flags.str("output").to_lowercase();
    if output != "yaml" && output != "json" {
        let shown = quote(inv.flags.str("output"));
        return Err(
            inv.usage_error(format!("Unexpected -o output mode: {shown}, the flag 'output' must be one of yaml|json"))
        );
    }
    let (namespace, explicit) = inv.ctx.namespace()?;
    let infos = Builder::new(&inv.ctx)
        .namespace(&namespace, explicit)
        .filenames(&FilenameOptions::from_flags(&inv.flags))
        .labels(inv.flags.str("selector"))
        .select_all(inv.flags.get_bool("all"))
        .args(true, &inv.args)
        .await
        .latest()
        .flatten()
        .run()
        .await?
        .infos()?;
    let mut texts = Vec::new();
    for info in &infos {
        texts.extend(annotation(info).map(str::to_owned));
    }
    for text in texts {
        let value = crate::codec::decode_json(text.as_bytes())?;
        if output == "json" {
            inv.ctx.out(&format!("{}\n", json_indent(&value)));
        } else {
            inv.ctx.out(&crate::codec::encode_yaml(&value));
        }
    }
    Ok(())
}

fn json_indent(value: &Value) -> String {
    indent4(&crate::codec::encode_json(value)).replace("    ", "  ")
}

fn annotation(info: &Info) -> Option<&str> {
    info.object.path(&["metadata", "annotations", LAST_APPLIED]).as_str()
}

/// The annotation's text.
pub(crate) fn last_applied(info: &Info) -> anyhow::Result<&str> {
    match annotation(info) {
        Some(text) => Ok(text),
        None => anyhow::bail!("no last-applied-configuration annotation found on resource: {}", info.name),
    }
}

async fn set(inv: Invocation) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation("configured"))?;
    let (namespace, explicit) = inv.ctx.namespace()?;
    let infos = Builder::new(&inv.ctx)
        .namespace(&namespace, explicit)
        .filenames(&FilenameOptions::from_flags(&inv.flags))
        .flatten()
        .run()
        .await?
        .infos()?;
    anyhow::ensure!(!infos.is_empty(), "no objects passed to set-last-applied");
    for mut info in infos {
        applied_annotation(&mut info.object, false);
        let text = last_applied(&info)?.to_owned();
        let helper = Helper::new(inv.ctx.rest().await?, info.mapping()?.clone()).dry_run(dry_run.is_server());
        let current = helper.get(&info.namespace, &info.name).await;
        let current = current.map_err(|e| match is_not_found(&e) {
            true => e,
            false => with_source(
                &format!("retrieving current configuration of:\n{}\nfrom server for:", super::describe(&info)),
                &info.source,
                e,
            ),
        })?;
        let present = current.path(&["metadata", "annotations", LAST_APPLIED]).as_str().map(str::to_owned);
        if present.is_none() && !inv.flags.get_bool("create-annotation") {
            anyhow::bail!(
                "no last-applied-configuration annotation found on resource: {}, to create the annotation, run the command with --create-annotation",
                info.name
            );
        }
        if present.as_deref() == Some(text.as_str()) {
            inv.ctx.out(&format!("set-last-applied {}: no changes required.\n", info.name));
            continue;
        }
        info.refresh(current);
        if !dry_run.is_client() {
            let mut patch = Value::map();
            patch.set_path(&["metadata", "annotations", LAST_APPLIED], Value::from(text));
            let bytes = crate::codec::encode_json(&patch);
            info.refresh(helper.patch(&info.namespace, &info.name, "application/merge-patch+json", bytes).await?);
        }
        inv.ctx.out(&printer.print(&info.object)?);
    }
    Ok(())
}
