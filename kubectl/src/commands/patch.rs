//! `kubectl patch`. Corresponds to kubectl/pkg/cmd/patch.

use apimachinery::patch::{json_patch, merge, strategic};
use apimachinery::schema;
use apimachinery::value::Value;

use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::failure::{aggregate, has_reason};
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags};
use crate::resource::{Builder, FilenameOptions, Helper, Info};

/// The command.
pub static COMMAND: Command = Command {
    name: "patch",
    args: "(-f FILENAME | TYPE NAME) [-p PATCH|--patch-file FILE]",
    short: "Update fields of a resource",
    long: "Update fields of a resource using strategic merge patch, a JSON merge patch, or a JSON patch.\n\nJSON and YAML formats are accepted.",
    example: "# A strategic merge patch\nkubectl patch node k8s-node-1 -p '{\"spec\":{\"unschedulable\":true}}'\n\n# A JSON patch\nkubectl patch pod valid-pod --type='json' -p='[{\"op\": \"replace\", \"path\": \"/spec/containers/0/image\", \"value\":\"new image\"}]'",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    options::record_flag(flags);
    flags.string("patch", "p", "", "The patch to be applied to the resource JSON file.");
    flags.string("patch-file", "", "", "A file containing a patch to be applied to the resource.");
    flags.string("type", "", "strategic", "The type of patch being provided; one of [json merge strategic]");
    options::dry_run_flag(flags);
    options::filename_flags(flags, "identifying the resource to update");
    flags.bool(
        "local",
        "",
        false,
        "If true, patch will operate on the content of the file, not the server-side resource.",
    );
    options::field_manager_flag(flags, "kubectl-patch");
    flags.string("subresource", "", "", "If specified, patch will operate on the subresource of the requested object.");
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let local = inv.flags.get_bool("local");
    let (namespace, explicit) = inv.ctx.namespace()?;
    let patch = patch_bytes(&inv, dry_run)?;
    let media_type = match inv.flags.str("type").to_lowercase().as_str() {
        "json" => "application/json-patch+json",
        "merge" => "application/merge-patch+json",
        "strategic" | "" => "application/strategic-merge-patch+json",
        _ => anyhow::bail!("--type must be one of [json merge strategic], not {}", quote(inv.flags.str("type"))),
    };
    let found = Builder::new(&inv.ctx)
        .continue_on_error()
        .local(local)
        .namespace(&namespace, explicit)
        .filenames(&FilenameOptions::from_flags(&inv.flags))
        .subresource(inv.flags.str("subresource"))
        .args(false, &inv.args)
        .await
        .flatten()
        .run()
        .await?;
    let count = found.items.len();
    let mut errors = Vec::new();
    for item in found.items {
        let result = match item {
            Ok(info) if local || dry_run.is_client() => patch_locally(&inv, info, media_type, &patch, dry_run),
            Ok(info) => patch_one(&inv, info, media_type, &patch, dry_run).await,
            Err(error) => Err(error),
        };
        errors.extend(result.err());
    }
    aggregate(errors)?;
    anyhow::ensure!(count > 0, "no objects passed to patch");
    Ok(())
}

fn patch_bytes(inv: &Invocation, dry_run: DryRun) -> anyhow::Result<Vec<u8>> {
    let (patch, file) = (inv.flags.str("patch"), inv.flags.str("patch-file"));
    let local = inv.flags.get_bool("local");
    anyhow::ensure!(patch.is_empty() || file.is_empty(), "cannot specify --patch and --patch-file together");
    anyhow::ensure!(
        !patch.is_empty() || !file.is_empty(),
        "must specify --patch or --patch-file containing the contents of the patch"
    );
    anyhow::ensure!(!local || inv.args.is_empty(), "cannot specify --local and server resources");
    anyhow::ensure!(
        !local || !dry_run.is_server(),
        "cannot specify --local and --dry-run=server - did you mean --dry-run=client?"
    );
    let text = if file.is_empty() {
        patch.as_bytes().to_vec()
    } else {
        crate::files::read(file).map_err(|e| anyhow::anyhow!("unable to read patch file: {e}"))?
    };
    let start = text.trim_ascii_start().first();
    if start == Some(&b'{') || (start == Some(&b'[') && crate::codec::decode_json(&text).is_ok()) {
        return Ok(text);
    }
    let value =
        crate::codec::decode_yaml(&text).map_err(|e| anyhow::anyhow!("unable to parse {}: {e}", quote(patch)))?;
    Ok(crate::codec::encode_json(&value))
}

fn show(inv: &Invocation, before: &Value, after: &Value, dry_run: DryRun) -> anyhow::Result<()> {
    let done = if before == after { "patched (no change)" } else { "patched" };
    let operation = if dry_run.is_client() { dry_run.operation(done) } else { done.to_owned() };
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&operation)?;
    inv.ctx.out(&printer.print(after)?);
    Ok(())
}

async fn patch_one(
    inv: &Invocation,
    info: Info,
    media_type: &'static str,
    patch: &[u8],
    dry_run: DryRun,
) -> anyhow::Result<()> {
    let mapping = info.mapping()?;
    let helper = Helper::new(inv.ctx.rest().await?, mapping.clone())
        .dry_run(dry_run.is_server())
        .field_manager(inv.flags.str("field-manager"))
        .subresource(inv.flags.str("subresource"));
    let patched = helper.patch(&info.namespace, &info.name, media_type, patch.to_vec()).await;
    let patched = patched.map_err(|error| match has_reason(&error, "UnsupportedMediaType") {
        true => anyhow::anyhow!(
            "{media_type} is not supported by {}/{}, Kind={}: {error}",
            mapping.group,
            mapping.version,
            mapping.kind
        ),
        false => error,
    })?;
    show(inv, &info.object, &patched, dry_run)
}

fn patch_locally(inv: &Invocation, info: Info, media_type: &str, patch: &[u8], dry_run: DryRun) -> anyhow::Result<()> {
    let object = &info.object;
    let patched = match media_type {
        "application/json-patch+json" => {
            let document = crate::codec::encode_json(object);
            crate::codec::decode_json(&json_patch::apply(&document, patch)?)?
        }
        "application/merge-patch+json" => merge::apply_value(object, &crate::codec::decode_json(patch)?),
        _ => {
            let (api_version, kind) = (object.get("apiVersion").str_or_empty(), object.get("kind").str_or_empty());
            let ty = schema::kind(api_version, kind).ok_or_else(|| {
                anyhow::anyhow!(
                    "strategic merge patch is not supported for {api_version}, Kind={kind} locally, try --type merge"
                )
            })?;
            strategic::apply(object, &crate::codec::decode_json(patch)?, ty)?
        }
    };
    show(inv, object, &patched, dry_run)
}
