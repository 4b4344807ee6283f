//! What `label` and `annotate` share: choosing the objects, changing a map of strings, sending a merge patch.

use std::collections::BTreeMap;

use apimachinery::patch::merge;
use apimachinery::value::Value;

use crate::cli::{FlagSet, Invocation};
use crate::failure::{Failure, aggregate};
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags};
use crate::resource::{Builder, FilenameOptions, Helper, Info};

/// Which map is changed, and how messages speak of it.
pub(super) struct Subject {
    /// `labels` or `annotations`.
    pub(super) field: &'static str,
    /// `label` or `annotation`.
    pub(super) word: &'static str,
    /// A file name for examples in messages.
    pub(super) example: &'static str,
    /// The key that may be overwritten without asking.
    pub(super) free_key: &'static str,
    /// The error for keys that have another value.
    pub(super) overwrite_error: fn(&[(String, String)]) -> anyhow::Error,
    /// What to say was done, from whether anything was added and removed.
    pub(super) done: fn(bool, bool) -> &'static str,
}

/// The wanted change.
pub(super) struct Change {
    pub(super) resources: Vec<String>,
    pub(super) add: BTreeMap<String, String>,
    pub(super) remove: Vec<String>,
}

pub(super) fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    options::record_flag(flags);
    flags.bool(
        "overwrite",
        "",
        false,
        "If true, allow values to be overwritten, otherwise reject updates that overwrite existing values.",
    );
    flags.bool("list", "", false, "If true, display the present ones for a given resource.");
    flags.bool("local", "", false, "If true, the change will NOT contact api-server but run locally.");
    options::selector_flag(flags);
    flags.string("field-selector", "", "", "Selector (field query) to filter on, supports '=', '==', and '!='. The server only supports a limited number of field queries per type.");
    flags.bool("all", "", false, "Select all resources, in the namespace of the specified resource types");
    flags.bool("all-namespaces", "A", false, "If true, check the specified action in all namespaces.");
    flags.string("resource-version", "", "", "If non-empty, the update will only succeed if this is the current resource-version for the object. Only valid when specifying a single resource.");
    options::filename_flags(flags, "identifying the resource to update");
    options::dry_run_flag(flags);
}

/// Checks the flags against each other.
pub(super) fn validate(inv: &Invocation, subject: &Subject, change: &Change, dry_run: DryRun) -> anyhow::Result<()> {
    let flags = &inv.flags;
    let files = FilenameOptions::from_flags(flags);
    let all = flags.get_bool("all");
    anyhow::ensure!(
        !flags.get_bool("list") || flags.str("output").is_empty(),
        "--list and --output may not be specified together"
    );
    anyhow::ensure!(!all || flags.str("selector").is_empty(), "cannot set --all and --selector at the same time");
    anyhow::ensure!(
        !all || flags.str("field-selector").is_empty(),
        "cannot set --all and --field-selector at the same time"
    );
    if flags.get_bool("local") {
        let example = subject.example;
        anyhow::ensure!(
            !dry_run.is_server(),
            "cannot specify --local and --dry-run=server - did you mean --dry-run=client?"
        );
        anyhow::ensure!(
            change.resources.is_empty(),
            "can only use local files by -f {example}.yaml or --filename={example}.json when --local=true is set"
        );
        anyhow::ensure!(
            !files.is_empty(),
            "one or more files must be specified as -f {example}.yaml or --filename={example}.json"
        );
    } else {
        anyhow::ensure!(
            !change.resources.is_empty() || !files.is_empty(),
            "one or more resources must be specified as <resource> <name> or <resource>/<name>"
        );
    }
    anyhow::ensure!(
        !change.add.is_empty() || !change.remove.is_empty() || flags.get_bool("list"),
        "at least one {} update is required",
        subject.word
    );
    Ok(())
}

/// Makes the change on every object.
pub(super) async fn run(inv: &Invocation, subject: &Subject, change: &Change) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    validate(inv, subject, change, dry_run)?;
    let local = inv.flags.get_bool("local");
    let (namespace, explicit) = inv.ctx.namespace()?;
    let builder = Builder::new(&inv.ctx)
        .local(local)
        .continue_on_error()
        .namespace(&namespace, explicit)
        .filenames(&FilenameOptions::from_flags(&inv.flags))
        .flatten();
    let builder = if local {
        builder
    } else {
        builder
            .labels(inv.flags.str("selector"))
            .fields(inv.flags.str("field-selector"))
            .all_namespaces(inv.flags.get_bool("all-namespaces"))
            .args(inv.flags.get_bool("all"), &change.resources)
            .await
            .latest()
    };
    let found = builder.run().await?;
    let single = found.single;
    anyhow::ensure!(
        single || inv.flags.str("resource-version").is_empty(),
        "--resource-version may only be used with a single resource"
    );
    let mut errors = Vec::new();
    for item in found.items {
        let result = match item {
            Ok(info) => one(inv, subject, change, dry_run, info, single).await,
            Err(error) => Err(error),
        };
        errors.extend(result.err());
    }
    aggregate(errors)
}

async fn one(
    inv: &Invocation,
    subject: &Subject,
    change: &Change,
    dry_run: DryRun,
    mut info: Info,
    single: bool,
) -> anyhow::Result<()> {
    let version = inv.flags.str("resource-version");
    if !version.is_empty() {
        info.object.remove_path(&["metadata", "resourceVersion"]);
    }
    let before = info.object.clone();
    let offline = dry_run.is_client() || inv.flags.get_bool("local") || inv.flags.get_bool("list");
    if !offline && subject.field == "labels" {
        let present = before.path(&["metadata", subject.field]);
        for key in change.remove.iter().filter(|k| !present.has(k)) {
            inv.ctx.out(&format!("label {} not found.\n", crate::cli::quote::quote(key)));
        }
    }
    let (added, removed) = update(&mut info.object, subject, change, inv.flags.get_bool("overwrite"))?;
    if !version.is_empty() {
        info.object.set_path(&["metadata", "resourceVersion"], Value::from(version));
    }
    if !offline && (added || removed || subject.field == "annotations") {
        let patch = merge::create(&before, &info.object).unwrap_or_else(Value::map);
        let helper = Helper::new(inv.ctx.rest().await?, info.mapping()?.clone())
            .dry_run(dry_run.is_server())
            .field_manager(inv.flags.str("field-manager"));
        let bytes = crate::codec::encode_json(&patch);
        let patched = helper.patch(&info.namespace, &info.name, "application/merge-patch+json", bytes).await?;
        if subject.field == "annotations" {
            info.object = patched;
        }
    }
    if inv.flags.get_bool("list") {
        list(inv, subject, &info, single);
        return Ok(());
    }
    let done = (subject.done)(added, removed);
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation(done))?;
    inv.ctx.out(&printer.print(&info.object)?);
    Ok(())
}

/// Changes the map; the result is whether something was added and whether something was removed.
fn update(object: &mut Value, subject: &Subject, change: &Change, overwrite: bool) -> anyhow::Result<(bool, bool)> {
    let present = object.path(&["metadata", subject.field]).clone();
    if !overwrite {
        let taken: Vec<(String, String)> = change
            .add
            .iter()
            .filter(|(key, _)| *key != subject.free_key)
            .filter_map(|(key, value)| {
                let old = present.get(key).as_str()?;
                (old != value).then(|| (key.clone(), old.to_owned()))
            })
            .collect();
        if !taken.is_empty() {
            return Err((subject.overwrite_error)(&taken));
        }
    }
    let mut map = present;
    map.map_mut();
    let (mut added, mut removed) = (false, false);
    for (key, value) in &change.add {
        if map.get(key).as_str() != Some(value) {
            map.set(key, value.as_str());
            added = true;
        }
    }
    for key in &change.remove {
        removed |= map.remove(key).is_some();
    }
    if map.is_zero() {
        object.remove_path(&["metadata", subject.field]);
    } else {
        object.set_path(&["metadata", subject.field], map);
    }
    Ok((added, removed))
}

fn list(inv: &Invocation, subject: &Subject, info: &Info, single: bool) {
    let mut indent = "";
    if !single {
        indent = " ";
        let (group, kind) = crate::resource::group_kind_of(&info.object);
        inv.ctx.out(&format!("Listing {} for {kind}.{group}/{}:\n", subject.field, info.name));
    }
    for (key, value) in info.object.path(&["metadata", subject.field]).entries() {
        inv.ctx.out(&format!("{indent}{key}={}\n", value.str_or_empty()));
    }
}

/// Several errors as Go's aggregate shows them.
pub(super) fn several(texts: Vec<String>) -> anyhow::Error {
    Failure::Many(texts.into_iter().map(anyhow::Error::msg).collect()).into()
}
