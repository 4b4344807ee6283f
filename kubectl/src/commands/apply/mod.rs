//! `kubectl apply`. Corresponds to kubectl/pkg/cmd/apply.

mod last_applied;
mod patcher;
mod prune;

use std::collections::BTreeSet;

use apimachinery::value::Value;

use crate::cli::{Command, FlagSet, Invocation};
use crate::commands::create::applied_annotation;
use crate::commands::delete::{cascade, deletion_flags};
use crate::failure::{aggregate, has_reason, is_not_found, status_of, with_source};
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags, Printed};
use crate::resource::{Builder, FilenameOptions, Helper, Info};

pub(crate) use patcher::{Force, Patcher};

/// The command.
pub static COMMAND: Command = Command {
    name: "apply",
    args: "(-f FILENAME | -k DIRECTORY)",
    short: "Apply a configuration to a resource by file name or stdin",
    long: "Apply a configuration to a resource by file name or stdin. The resource name must be specified. The resource is created if it does not exist yet. To use 'apply', always create the resource with 'apply' or 'create --save-config'.\n\nJSON and YAML formats are accepted.",
    example: "# What a file holds\nkubectl apply -f ./pod.json\n\n# What standard input holds\ncat pod.json | kubectl apply -f -\n\n# In the server\nkubectl apply --server-side -f ./pod.json",
    flags,
    subcommands: &[&last_applied::VIEW, &last_applied::SET, &last_applied::EDIT],
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    options::record_flag(flags);
    options::filename_flags(flags, "The files that contain the configurations to apply.");
    deletion_flags(flags, false);
    options::validate_flag(flags);
    options::selector_flag(flags);
    options::dry_run_flag(flags);
    flags.bool("server-side", "", false, "If true, apply runs in the server instead of the client.");
    flags.bool("force-conflicts", "", false, "If true, server-side apply will force the changes against conflicts.");
    flags.bool("overwrite", "", true, "Automatically resolve conflicts between the modified and live configuration by using values from the modified configuration");
    flags.bool("openapi-patch", "", true, "If true, use openapi to calculate diff when the openapi is present and the resource can be found in the openapi spec. Otherwise, fall back to use baked-in types.");
    flags.array("prune-allowlist", "", "Overwrite the default allowlist with <group/version/kind> for --prune");
    flags.bool("all", "", false, "Select all resources in the namespace of the specified resource types.");
    flags.bool("prune", "", false, "Automatically delete resource objects, that do not appear in the configs and are created by either apply or create --save-config. Should be used with either -l or --all.");
    flags.string("subresource", "", "", "If specified, apply will operate on the subresource of the requested object. Only allowed when using --server-side.");
    options::field_manager_flag(flags, "kubectl-client-side-apply");
}

pub(super) struct Apply {
    inv: Invocation,
    dry_run: DryRun,
    server_side: bool,
    manager: String,
    validation: &'static str,
    print: PrintFlags,
    namespace: String,
    explicit: bool,
    visited: BTreeSet<String>,
    namespaces: BTreeSet<String>,
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    if !inv.args.is_empty() {
        return Err(inv.usage_error(format!("Unexpected args: [{}]", inv.args.join(" "))));
    }
    let files = FilenameOptions::from_flags(&inv.flags);
    files.require()?;
    let (namespace, explicit) = inv.ctx.namespace()?;
    let server_side = inv.flags.get_bool("server-side");
    let manager = match inv.flags.changed("field-manager") {
        false if server_side => "kubectl".to_owned(),
        _ => inv.flags.str("field-manager").to_owned(),
    };
    let mut apply = Apply {
        dry_run: DryRun::from_flags(&inv.flags)?,
        validation: options::validation(&inv.flags)?,
        print: PrintFlags::from_flags(&inv.flags),
        server_side,
        manager,
        namespaces: if explicit { BTreeSet::from([namespace.clone()]) } else { BTreeSet::new() },
        namespace,
        explicit,
        visited: BTreeSet::new(),
        inv,
    };
    apply.validate()?;
    if apply.inv.flags.get_bool("prune") {
        prune::listed(&apply).await?;
    }
    let (infos, mut errors) = apply.collect(&files).await?;
    anyhow::ensure!(!infos.is_empty() || !errors.is_empty(), "no objects passed to apply");
    let mut applied = Vec::new();
    for mut info in infos {
        match apply.one(&mut info).await {
            Ok(()) => {}
            Err(error) => errors.push(error),
        }
        applied.push(info);
    }
    aggregate(errors)?;
    apply.print_all(&applied)?;
    if apply.inv.flags.get_bool("prune") {
        prune::run(&apply).await?;
    }
    Ok(())
}

impl Apply {
    fn validate(&self) -> anyhow::Result<()> {
        let flags = &self.inv.flags;
        let force = flags.get_bool("force");
        anyhow::ensure!(
            self.server_side || !flags.get_bool("force-conflicts"),
            "--force-conflicts only works with --server-side"
        );
        anyhow::ensure!(
            !self.server_side || !self.dry_run.is_client(),
            "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)"
        );
        anyhow::ensure!(!self.server_side || !force, "--force cannot be used with --server-side");
        anyhow::ensure!(!self.dry_run.is_server() || !force, "--dry-run=server cannot be used with --force");
        let (all, selector) = (flags.get_bool("all"), !flags.str("selector").is_empty());
        anyhow::ensure!(!all || !selector, "cannot set --all and --selector at the same time");
        if flags.get_bool("prune") {
            anyhow::ensure!(!force, "--force cannot be used with --prune");
            anyhow::ensure!(
                all || selector,
                "all resources selected for prune without explicitly passing --all. To prune all resources, pass the --all flag. If you did not mean to prune all resources, specify a label selector"
            );
            anyhow::ensure!(
                !self.server_side,
                "--prune is in alpha and doesn't currently work on objects created by server-side apply"
            );
        }
        anyhow::ensure!(
            self.server_side || flags.str("subresource").is_empty(),
            "--subresource can only be specified for --server-side"
        );
        Ok(())
    }

    async fn collect(&self, files: &FilenameOptions) -> anyhow::Result<(Vec<Info>, Vec<anyhow::Error>)> {
        let found = Builder::new(&self.inv.ctx)
            .namespace(&self.namespace, self.explicit)
            .filenames(files)
            .labels(self.inv.flags.str("selector"))
            .continue_on_error()
            .flatten()
            .run()
            .await?;
        Ok(found.split())
    }

    async fn helper(&self, info: &Info) -> anyhow::Result<Helper> {
        Ok(Helper::new(self.inv.ctx.rest().await?, info.mapping()?.clone())
            .dry_run(self.dry_run.is_server())
            .field_manager(&self.manager)
            .field_validation(self.validation))
    }

    async fn one(&mut self, info: &mut Info) -> anyhow::Result<()> {
        if info.namespaced() {
            self.namespaces.insert(info.namespace.clone());
        }
        if info.name.is_empty() {
            let prefix = info.object.path(&["metadata", "generateName"]).str_or_empty();
            anyhow::ensure!(prefix.is_empty(), "from {prefix}: cannot use generate name with apply");
        }
        let helper = self.helper(info).await?;
        if self.server_side {
            return self.in_server(info, helper).await;
        }
        let modified = crate::commands::create::modified_configuration(&info.object);
        match helper.get(&info.namespace, &info.name).await {
            Ok(current) => {
                let applied = std::mem::replace(&mut info.object, current);
                self.patch(info, &helper, applied, &modified).await
            }
            Err(error) if is_not_found(&error) => self.create(info, &helper).await,
            Err(error) => {
                let verb = format!("retrieving current configuration of:\n{}\nfrom server for:", describe(info));
                Err(with_source(&verb, &info.source, error))
            }
        }
    }

    async fn create(&mut self, info: &mut Info, helper: &Helper) -> anyhow::Result<()> {
        applied_annotation(&mut info.object, false);
        drop_nulls(&mut info.object);
        if !self.dry_run.is_client() {
            let created = helper.create(&info.namespace, &info.object).await;
            info.refresh(created.map_err(|e| with_source("creating", &info.source, e))?);
        }
        self.mark(info);
        self.say(info, "created")
    }

    async fn patch(&mut self, info: &mut Info, helper: &Helper, applied: Value, modified: &str) -> anyhow::Result<()> {
        self.mark(info);
        let annotation = crate::commands::create::LAST_APPLIED;
        if info.object.path(&["metadata", "annotations", annotation]).as_str().is_none() {
            self.inv.ctx.err(&format!(
                "Warning: resource {} is missing the {annotation} annotation which is required by kubectl apply. kubectl apply should only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. The missing annotation will be patched automatically.\n",
                info.object_name()
            ));
        }
        let flags = &self.inv.flags;
        let patcher = Patcher {
            mapping: info.mapping()?,
            helper,
            overwrite: flags.get_bool("overwrite"),
            force: flags
                .get_bool("force")
                .then(|| {
                    anyhow::Ok(Force {
                        cascade: cascade(flags)?,
                        grace_period: flags.get_int("grace-period"),
                        timeout: flags.get_duration("timeout").to_std(),
                    })
                })
                .transpose()?,
        };
        let mut desired = applied;
        let outcome = if self.dry_run.is_client() {
            patcher.patch_local(&info.object, &mut desired, modified)
        } else {
            patcher.patch(info, &mut desired, modified).await
        };
        let (patch, object) = outcome.map_err(|failed| {
            let shown = String::from_utf8_lossy(&failed.patch).into_owned();
            let verb = format!("applying patch:\n{shown}\nto:\n{}\nfor:", describe(info));
            with_source(&verb, &info.source, failed.error)
        })?;
        info.refresh(object);
        self.warn_if_deleting(info);
        let unchanged = patch == b"{}" && !self.prints_objects();
        self.say(info, if unchanged { "unchanged" } else { "configured" })
    }

    async fn in_server(&mut self, info: &mut Info, helper: Helper) -> anyhow::Result<()> {
        let flags = &self.inv.flags;
        let helper = helper.subresource(flags.str("subresource"));
        let force = flags.get_bool("force-conflicts");
        let applied = helper.apply(&info.namespace, &info.name, &info.object, force).await;
        let object = applied.map_err(|error| match status_of(&error) {
            Some(status) if status.code == 415 => {
                anyhow::anyhow!("Server-side apply not available on the server: ({error})")
            }
            Some(status) if status.reason == "Conflict" => anyhow::anyhow!("{error}\n{CONFLICT_ADVICE}"),
            _ => error,
        })?;
        info.refresh(object);
        self.warn_if_deleting(info);
        self.mark(info);
        self.say(info, "serverside-applied")
    }

    fn mark(&mut self, info: &Info) {
        self.visited.insert(info.object.path(&["metadata", "uid"]).str_or_empty().to_owned());
    }

    fn warn_if_deleting(&self, info: &Info) {
        if info.object.path(&["metadata", "deletionTimestamp"]).as_str().is_some() {
            self.inv.ctx.err(&format!(
                "Warning: Detected changes to resource {} which is currently being deleted.\n",
                info.name
            ));
        }
    }

    /// Whether `-o` shows objects, which happens at the end.
    fn prints_objects(&self) -> bool {
        !self.print.output.is_empty() && self.print.output != "name"
    }

    fn say(&self, info: &Info, done: &str) -> anyhow::Result<()> {
        if self.prints_objects() {
            return Ok(());
        }
        let mut printer = self.print.printer(&self.dry_run.operation(done))?;
        self.inv.ctx.out(&printer.print(&info.object)?);
        Ok(())
    }

    fn print_all(&self, infos: &[Info]) -> anyhow::Result<()> {
        if !self.prints_objects() || infos.is_empty() {
            return Ok(());
        }
        let mut printer = self.print.printer("")?;
        let text = match infos {
            [one] => printer.print(&one.object)?,
            many => {
                let items: Vec<Value> = many.iter().map(|i| i.object.clone()).collect();
                let list = Value::from([
                    ("apiVersion", Value::from("v1")),
                    ("items", Value::List(items)),
                    ("kind", Value::from("List")),
                    ("metadata", Value::map()),
                ]);
                printer.print_as(Printed { object: &list, typed: false })?
            }
        };
        self.inv.ctx.out(&text);
        Ok(())
    }
}

const CONFLICT_ADVICE: &str = "Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts";

/// As errors show an object: resource, kind, name.
pub(crate) fn describe(info: &Info) -> String {
    let name = format!(
        "Name: {}, Namespace: {}",
        crate::cli::quote::quote(&info.name),
        crate::cli::quote::quote(&info.namespace)
    );
    match &info.mapping {
        None => name,
        Some(m) => format!(
            "Resource: \"{}/{}, Resource={}\", GroupVersionKind: \"{}/{}, Kind={}\"\n{name}",
            m.group, m.version, m.resource, m.group, m.version, m.kind
        ),
    }
}

fn drop_nulls(value: &mut Value) {
    if let Some(map) = value.as_map_mut() {
        map.retain(|_, v| !v.is_null());
        for (_, member) in map.iter_mut() {
            drop_nulls(member);
        }
    } else if let Some(list) = value.as_list_mut() {
        list.iter_mut().for_each(drop_nulls);
    }
}

/// Whether an error of the server says that objects changed in the meantime.
pub(crate) fn is_conflict(error: &anyhow::Error) -> bool {
    has_reason(error, "Conflict")
}
