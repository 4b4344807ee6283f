//! `kubectl create`: objects of files, and one subcommand per generator. Corresponds to kubectl/pkg/cmd/create.

mod clusterrole;
mod configmap;
mod cronjob;
mod deployment;
mod generate;
mod ingress;
mod job;
mod namespace;
mod poddisruptionbudget;
mod priorityclass;
mod quota;
mod rolebinding;
mod secret;
mod service;
mod serviceaccount;
mod token;

pub(crate) use generate::{
    LAST_APPLIED, applied_annotation, bare_configuration, create_typed, modified_configuration, static_mapping,
};
pub(crate) use poddisruptionbudget::{int_or_string, label_selector};
pub(crate) use quota::resource_list;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::failure::{aggregate, with_source};
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags};
use crate::resource::{Builder, FilenameOptions, Helper, Info};

/// The command.
pub static COMMAND: Command = Command {
    name: "create",
    args: "-f FILENAME",
    short: "Create a resource from a file or from stdin",
    long: "Create a resource from a file or from stdin.\n\nJSON and YAML formats are accepted.",
    example: "# Create what a file holds\nkubectl create -f ./web.yaml\n\n# Create what standard input holds\ncat web.yaml | kubectl create -f -",
    flags,
    subcommands: &[
        &clusterrole::CLUSTER_ROLE,
        &rolebinding::CLUSTER_ROLE_BINDING,
        &configmap::COMMAND,
        &cronjob::COMMAND,
        &deployment::COMMAND,
        &ingress::COMMAND,
        &job::COMMAND,
        &namespace::COMMAND,
        &poddisruptionbudget::COMMAND,
        &priorityclass::COMMAND,
        &quota::COMMAND,
        &clusterrole::ROLE,
        &rolebinding::ROLE_BINDING,
        &secret::COMMAND,
        &service::COMMAND,
        &serviceaccount::COMMAND,
        &token::COMMAND,
    ],
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    options::filename_flags(flags, "Filename, directory, or URL to files to use to create the resource");
    options::validate_flag(flags);
    flags.bool("edit", "", false, "Edit the API resource before creating");
    flags.bool(
        "windows-line-endings",
        "",
        false,
        "Only relevant if --edit=true. Defaults to the line ending native to your platform.",
    );
    options::save_config_flag(flags);
    options::dry_run_flag(flags);
    options::selector_flag(flags);
    flags.string("raw", "", "", "Raw URI to POST to the server. Uses the transport specified by the kubeconfig file.");
    options::record_flag(flags);
    options::field_manager_flag(flags, "kubectl-create");
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let files = FilenameOptions::from_flags(&inv.flags);
    if !inv.args.is_empty() {
        return Err(inv.usage_error(format!("Unexpected args: [{}]", inv.args.join(" "))));
    }
    files.require()?;
    let raw = inv.flags.str("raw").to_owned();
    if !raw.is_empty() {
        return post_raw(&inv, &files, &raw).await;
    }
    if inv.flags.get_bool("edit") {
        return crate::commands::edit::edit_before_create(inv, &files).await;
    }
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let validation = options::validation(&inv.flags)?;
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation("created"))?;
    let (namespace, explicit) = inv.ctx.namespace()?;
    let found = Builder::new(&inv.ctx)
        .namespace(&namespace, explicit)
        .filenames(&files)
        .labels(inv.flags.str("selector"))
        .continue_on_error()
        .flatten()
        .run()
        .await?;
    let mut errors = Vec::new();
    let mut count = 0;
    for item in found.items {
        let result = match item {
            Ok(info) => create_one(&inv, info, dry_run, validation).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(info) => {
                count += 1;
                inv.ctx.out(&printer.print(&info.object)?);
            }
            Err(error) => errors.push(error),
        }
    }
    aggregate(errors)?;
    anyhow::ensure!(count > 0, "no objects passed to create");
    Ok(())
}

async fn create_one(inv: &Invocation, mut info: Info, dry_run: DryRun, validation: &str) -> anyhow::Result<Info> {
    if inv.flags.get_bool("save-config") {
        applied_annotation(&mut info.object, false);
    }
    if dry_run.is_client() {
        return Ok(info);
    }
    let helper = Helper::new(inv.ctx.rest().await?, info.mapping()?.clone())
        .dry_run(dry_run.is_server())
        .field_manager(inv.flags.str("field-manager"))
        .field_validation(validation);
    let created = helper.create(&info.namespace, &info.object).await;
    let created = created.map_err(|e| with_source("creating", &info.source, e))?;
    info.refresh(created);
    Ok(info)
}

async fn post_raw(inv: &Invocation, files: &FilenameOptions, raw: &str) -> anyhow::Result<()> {
    anyhow::ensure!(!inv.flags.get_bool("edit"), "--raw and --edit are mutually exclusive");
    let [file] = files.filenames.as_slice() else {
        anyhow::bail!("--raw can only use a single local file or stdin");
    };
    anyhow::ensure!(!file.starts_with("http://") && !file.starts_with("https://"), "--raw cannot read from a url");
    anyhow::ensure!(!files.recursive, "--raw and --recursive are mutually exclusive");
    anyhow::ensure!(inv.flags.str("selector").is_empty(), "--raw and --selector (-l) are mutually exclusive");
    anyhow::ensure!(inv.flags.str("output").is_empty(), "--raw and --output are mutually exclusive");
    let content = if file == "-" { crate::files::stdin()? } else { crate::files::read(file)? };
    let request = Request::new(http::Method::POST, raw).body("application/json", content);
    let answer = inv.ctx.rest().await?.bytes(request).await?;
    inv.ctx.out_bytes(&answer);
    Ok(())
}
