//! `kubectl auth reconcile`: creates roles and bindings or adds what they lack.

use std::fmt::Write as _;

use apimachinery::value::Value;

use crate::cli::{Command, FlagSet, Invocation};
use crate::failure::is_not_found;
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags, Printed};
use crate::resource::{Builder, FilenameOptions, Helper, Info, group_kind_of};

/// The command.
pub static COMMAND: Command = Command {
    name: "reconcile",
    args: "-f FILENAME",
    short: "Reconciles rules for RBAC role, role binding, cluster role, and cluster role binding objects",
    long: "Reconciles rules for RBAC role, role binding, cluster role, and cluster role binding objects.\n\nMissing objects are created. Existing roles get the rules and existing bindings the subjects that they lack; what they have beyond the file stays, unless a flag asks otherwise.",
    example: "# What a file holds\nkubectl auth reconcile -f my-rbac-rules.yaml",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    options::filename_flags(flags, "identifying the resource to reconcile.");
    flags.bool("remove-extra-permissions", "", false, "If true, removes extra permissions added to roles");
    flags.bool("remove-extra-subjects", "", false, "If true, removes extra subjects added to rolebindings");
    options::dry_run_flag(flags);
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let files = FilenameOptions::from_flags(&inv.flags);
    files.require()?;
    anyhow::ensure!(inv.args.is_empty(), "no arguments are allowed");
    let dry_run = DryRun::from_flags(&inv.flags)?;
    anyhow::ensure!(!dry_run.is_server(), "--dry-run=server for command reconcile is not supported yet");
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation("reconciled"))?;
    let (namespace, explicit) = inv.ctx.namespace()?;
    let infos = Builder::new(&inv.ctx)
        .continue_on_error()
        .namespace(&namespace, explicit)
        .filenames(&files)
        .flatten()
        .run()
        .await?
        .infos()?;
    for info in infos {
        let (group, kind) = group_kind_of(&info.object);
        let parts = match (group.as_str(), kind.as_str()) {
            ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => Parts::RULES,
            ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => Parts::SUBJECTS,
            _ => continue,
        };
        let (object, notes) = reconcile(&inv, &info, parts, dry_run).await?;
        inv.ctx.out(&printer.print_as(Printed { object: &object, typed: true })?);
        inv.ctx.err(&notes);
    }
    Ok(())
}

/// The list of an object that is reconciled.
#[derive(Clone, Copy)]
struct Parts {
    field: &'static str,
    word: &'static str,
    remove: &'static str,
    /// Fields of the Go type and their JSON names.
    members: &'static [(&'static str, &'static str)],
}

impl Parts {
    const RULES: Self = Self {
        field: "rules",
        word: "rules",
        remove: "remove-extra-permissions",
        members: &[
            ("Verbs", "verbs"),
            ("APIGroups", "apiGroups"),
            ("Resources", "resources"),
            ("ResourceNames", "resourceNames"),
            ("NonResourceURLs", "nonResourceURLs"),
        ],
    };
    const SUBJECTS: Self = Self {
        field: "subjects",
        word: "subjects",
        remove: "remove-extra-subjects",
        members: &[("Kind", "kind"), ("APIGroup", "apiGroup"), ("Name", "name"), ("Namespace", "namespace")],
    };

    /// A member of the list in the notation of its Go type.
    fn text(&self, part: &Value) -> String {
        let shown = |value: &Value| match value {
            Value::Null if self.field == "rules" => "[]".to_owned(),
            Value::Null => String::new(),
            value => printers::sprint(value),
        };
        let members: Vec<String> =
            self.members.iter().map(|(title, key)| format!("{title}:{}", shown(part.get(key)))).collect();
        format!("{{{}}}", members.join(" "))
    }
}

/// What `wanted` has and `present` lacks. Rules are taken apart into single permissions, which are covered by rules
/// that allow at least as much.
fn lacking(wanted: &[Value], present: &[Value], parts: Parts) -> Vec<Value> {
    let single: Vec<Value> = match parts.field {
        "rules" => wanted.iter().flat_map(permissions).collect(),
        _ => wanted.to_vec(),
    };
    single.into_iter().filter(|w| !present.iter().any(|p| covers(p, w))).collect()
}

/// A rule as rules of one verb, one group, one resource and one name, or one path and one verb.
fn permissions(rule: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    let names = match rule.get("resourceNames").items() {
        [] => vec![None],
        names => names.iter().map(Some).collect(),
    };
    let one = |value: &Value| Value::List(vec![value.clone()]);
    for group in rule.get("apiGroups").items() {
        for resource in rule.get("resources").items() {
            for verb in rule.get("verbs").items() {
                for name in &names {
                    let mut part =
                        Value::from([("verbs", one(verb)), ("apiGroups", one(group)), ("resources", one(resource))]);
                    if let Some(name) = name {
                        part.set("resourceNames", one(name));
                    }
                    out.push(part);
                }
            }
        }
    }
    for path in rule.get("nonResourceURLs").items() {
        for verb in rule.get("verbs").items() {
            out.push(Value::from([("verbs", one(verb)), ("nonResourceURLs", one(path))]));
        }
    }
    out
}

fn covers(owner: &Value, wanted: &Value) -> bool {
    if owner == wanted {
        return true;
    }
    let has = |field: &str| {
        let (all, some) = (owner.get(field).items(), wanted.get(field).items());
        some.iter().all(|s| all.contains(s) || all.iter().any(|a| a.str_or_empty() == "*"))
    };
    let names = owner.get("resourceNames").items().is_empty()
        || (!wanted.get("resourceNames").items().is_empty() && has("resourceNames"));
    !wanted.get("verbs").is_zero()
        && ["verbs", "apiGroups", "resources", "nonResourceURLs"].into_iter().all(has)
        && names
}

async fn reconcile(inv: &Invocation, info: &Info, parts: Parts, dry_run: DryRun) -> anyhow::Result<(Value, String)> {
    let helper = Helper::new(inv.ctx.rest().await?, info.mapping()?.clone());
    let list = |missing: &[Value]| {
        let mut text = String::new();
        for part in missing {
            let _ = writeln!(text, "\t\t{}", parts.text(part));
        }
        text
    };
    let wanted = info.object.get(parts.field).items();
    let word = parts.word;
    let mut present = match helper.get(&info.namespace, &info.name).await {
        Ok(present) => present,
        Err(error) if is_not_found(&error) => {
            let notes = format!("\treconciliation required create\n\tmissing {word} added:\n{}", list(wanted));
            if dry_run.is_client() {
                return Ok((info.object.clone(), notes));
            }
            return Ok((helper.create(&info.namespace, &info.object).await?, notes));
        }
        Err(error) => return Err(error),
    };
    let protected =
        present.path(&["metadata", "annotations", "rbac.authorization.kubernetes.io/autoupdate"]).str_or_empty()
            == "false";
    let missing = lacking(wanted, present.get(parts.field).items(), parts);
    let extra = lacking(present.get(parts.field).items(), wanted, parts);
    let removing = inv.flags.get_bool(parts.remove) && !extra.is_empty();
    if missing.is_empty() && !removing {
        return Ok((present, String::new()));
    }
    let caveat = match protected {
        true => ", but object opted out (rbac.authorization.kubernetes.io/autoupdate: false)",
        false => "",
    };
    let mut notes = format!("\treconciliation required update{caveat}\n");
    if !missing.is_empty() {
        let _ = write!(notes, "\tmissing {word} added:\n{}", list(&missing));
    }
    if removing {
        let _ = write!(notes, "\textra {word} removed:\n{}", list(&extra));
    }
    let new = match removing {
        true => wanted.to_vec(),
        false => present.get(parts.field).items().iter().chain(&missing).cloned().collect(),
    };
    present.set(parts.field, Value::List(new));
    if !dry_run.is_client() && !protected {
        present = helper.replace(&info.namespace, &info.name, &present).await?;
    }
    Ok((present, notes))
}
