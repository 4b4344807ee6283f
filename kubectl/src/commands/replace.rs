//! `kubectl replace`. Corresponds to kubectl/pkg/cmd/replace.

use std::time::Duration;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::commands::create::applied_annotation;
use crate::commands::delete::{Deletion, cascade, delete_all, deletion_flags, wait_gone};
use crate::failure::{aggregate, with_source};
use crate::options::{self, DryRun};
use crate::printers::{self, GenericPrinter, PrintFlags};
use crate::resource::{Builder, FilenameOptions, Helper, Info};

/// The command.
pub static COMMAND: Command = Command {
    name: "replace",
    args: "-f FILENAME",
    short: "Replace a resource by file name or stdin",
    long: "Replace a resource by file name or stdin.\n\nThe complete resource spec must be provided.",
    example: "# What a file holds\nkubectl replace -f ./pod.json\n\n# Delete and create again\nkubectl replace --force -f ./pod.json",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    options::record_flag(flags);
    options::filename_flags(flags, "The files that contain the configurations to replace.");
    deletion_flags(flags, false);
    options::validate_flag(flags);
    options::save_config_flag(flags);
    options::dry_run_flag(flags);
    flags.string("raw", "", "", "Raw URI to PUT to the server. Uses the transport specified by the kubeconfig file.");
    options::field_manager_flag(flags, "kubectl-replace");
    flags.string(
        "subresource",
        "",
        "",
        "If specified, replace will operate on the subresource of the requested object.",
    );
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let validation = options::validation(&inv.flags)?;
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation("replaced"))?;
    let files = FilenameOptions::from_flags(&inv.flags);
    files.require()?;
    let force = inv.flags.get_bool("force");
    anyhow::ensure!(force || inv.flags.get_int("grace-period") < 0, "--grace-period must have --force specified");
    anyhow::ensure!(force || inv.flags.get_duration("timeout").0 == 0, "--timeout must have --force specified");
    anyhow::ensure!(!force || dry_run == DryRun::None, "--dry-run can not be used when --force is set");
    let raw = inv.flags.str("raw").to_owned();
    if !raw.is_empty() {
        return put_raw(&inv, &files, &raw).await;
    }
    if force {
        return force_replace(&inv, &files, validation, &mut printer).await;
    }
    let (namespace, explicit) = inv.ctx.namespace()?;
    let found = Builder::new(&inv.ctx)
        .continue_on_error()
        .namespace(&namespace, explicit)
        .filenames(&files)
        .subresource(inv.flags.str("subresource"))
        .flatten()
        .run()
        .await?;
    let mut errors = Vec::new();
    for item in found.items {
        let result = match item {
            Ok(info) => replace_one(&inv, info, dry_run, validation, &mut printer).await,
            Err(error) => Err(error),
        };
        errors.extend(result.err());
    }
    aggregate(errors)
}

async fn replace_one(
    inv: &Invocation,
    mut info: Info,
    dry_run: DryRun,
    validation: &str,
    printer: &mut GenericPrinter,
) -> anyhow::Result<()> {
    if inv.flags.get_bool("save-config") {
        applied_annotation(&mut info.object, false);
    }
    if !dry_run.is_client() {
        let helper = Helper::new(inv.ctx.rest().await?, info.mapping()?.clone())
            .dry_run(dry_run.is_server())
            .field_manager(inv.flags.str("field-manager"))
            .field_validation(validation)
            .subresource(inv.flags.str("subresource"));
        let replaced = helper.replace(&info.namespace, &info.name, &info.object).await;
        info.refresh(replaced.map_err(|e| with_source("replacing", &info.source, e))?);
    }
    inv.ctx.out(&printer.print(&info.object)?);
    Ok(())
}

async fn force_replace(
    inv: &Invocation,
    files: &FilenameOptions,
    validation: &str,
    printer: &mut GenericPrinter,
) -> anyhow::Result<()> {
    let (namespace, explicit) = inv.ctx.namespace()?;
    let collect = || {
        Builder::new(&inv.ctx)
            .continue_on_error()
            .namespace(&namespace, explicit)
            .filenames(files)
            .flatten()
            .require_object(false)
            .run()
    };
    let found = collect().await?;
    let infos: Vec<Info> = found.items.iter().filter_map(|i| i.as_ref().ok()).cloned().collect();
    let grace_period = match inv.flags.get_int("grace-period") {
        0 => 1,
        other => other,
    };
    let deletion = Deletion {
        grace_period,
        cascade: cascade(&inv.flags)?,
        dry_run: DryRun::None,
        output: inv.flags.str("output").to_owned(),
        wait: inv.flags.get_bool("wait"),
        timeout: inv.flags.get_duration("timeout").to_std(),
        ignore_not_found: true,
        quiet: false,
    };
    delete_all(inv, found.items, &deletion, false).await?;
    let limit = if deletion.timeout.is_zero() { Duration::from_secs(300) } else { deletion.timeout };
    let deadline = tokio::time::Instant::now() + limit;
    for info in &infos {
        wait_gone(inv, info, None, deadline).await?;
    }
    anyhow::ensure!(!infos.is_empty(), "no objects passed to replace");
    for mut info in infos {
        if inv.flags.get_bool("save-config") {
            applied_annotation(&mut info.object, false);
        }
        let helper = Helper::new(inv.ctx.rest().await?, info.mapping()?.clone())
            .field_manager(inv.flags.str("field-manager"))
            .field_validation(validation);
        let created = helper.create(&info.namespace, &info.object).await?;
        info.refresh(created);
        inv.ctx.out(&printer.print(&info.object)?);
    }
    Ok(())
}

async fn put_raw(inv: &Invocation, files: &FilenameOptions, raw: &str) -> anyhow::Result<()> {
    let [file] = files.filenames.as_slice() else {
        anyhow::bail!("--raw can only use a single local file or stdin");
    };
    anyhow::ensure!(inv.flags.str("output").is_empty(), "--raw and --output are mutually exclusive");
    let content = if file == "-" { crate::files::stdin()? } else { crate::files::read(file)? };
    let request = Request::new(http::Method::PUT, raw).body("application/json", content);
    let answer = inv.ctx.rest().await?.bytes(request).await?;
    inv.ctx.out_bytes(&answer);
    Ok(())
}
