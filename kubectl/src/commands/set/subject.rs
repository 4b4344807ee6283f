//! `kubectl set subject`.

use std::collections::BTreeSet;

use apimachinery::value::Value;

use super::{change_all, common_flags, objects};
use crate::cli::{Command, FlagSet, Invocation};
use crate::options::{self, DryRun};

/// The command.
pub static COMMAND: Command = Command {
    name: "subject",
    args: "(-f FILENAME | TYPE NAME) [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none]",
    short: "Update the user, group, or service account in a role binding or cluster role binding",
    example: "# Add a service account\nkubectl set subject clusterrolebinding admin --serviceaccount=namespace:serviceaccount1",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    common_flags(flags, "the resource to update the subjects");
    options::selector_flag(flags);
    flags.array("user", "", "Usernames to bind to the role");
    flags.array("group", "", "Groups to bind to the role");
    flags.array("serviceaccount", "", "Service accounts to bind to the role");
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let infos = objects(&inv, &inv.args).await?;
    let flags = &inv.flags;
    anyhow::ensure!(
        !flags.get_bool("local") || !DryRun::from_flags(flags)?.is_server(),
        "cannot specify --local and --dry-run=server - did you mean --dry-run=client?"
    );
    let accounts = flags.list("serviceaccount");
    anyhow::ensure!(
        !flags.list("user").is_empty() || !flags.list("group").is_empty() || !accounts.is_empty(),
        "you must specify at least one value of user, group or serviceaccount"
    );
    for account in &accounts {
        let parts: Vec<&str> = account.split(':').collect();
        anyhow::ensure!(parts.len() == 2 && !parts[1].is_empty(), "serviceaccount must be <namespace>:<name>");
        let cluster = infos.iter().any(|i| i.object.get("kind").str_or_empty() == "ClusterRoleBinding");
        anyhow::ensure!(
            !cluster || !parts[0].is_empty(),
            "serviceaccount must be <namespace>:<name>, namespace must be specified"
        );
    }
    let wanted = subjects(&inv)?;
    change_all(&inv, infos, "subjects updated", "failed to patch subjects to rolebinding: ", |object, _| {
        anyhow::ensure!(
            ["RoleBinding", "ClusterRoleBinding"].contains(&object.get("kind").str_or_empty()),
            "setting subjects is only supported for RoleBinding/ClusterRoleBinding"
        );
        let present = object.field_mut("subjects").list_mut();
        let mut added = false;
        for subject in &wanted {
            if !present.contains(subject) {
                present.push(subject.clone());
                added = true;
            }
        }
        Ok(added)
    })
    .await
}

fn subjects(inv: &Invocation) -> anyhow::Result<Vec<Value>> {
    let sorted = |flag: &str| -> BTreeSet<String> { inv.flags.list(flag).into_iter().collect() };
    let mut subjects = Vec::new();
    for (kind, flag) in [("User", "user"), ("Group", "group")] {
        for name in sorted(flag) {
            subjects.push(Value::from([
                ("apiGroup", "rbac.authorization.k8s.io"),
                ("kind", kind),
                ("name", name.as_str()),
            ]));
        }
    }
    let (default, _) = inv.ctx.namespace()?;
    for account in sorted("serviceaccount") {
        let (namespace, name) = account.split_once(':').unwrap_or(("", &account));
        let namespace = if namespace.is_empty() { default.as_str() } else { namespace };
        subjects.push(Value::from([("kind", "ServiceAccount"), ("name", name), ("namespace", namespace)]));
    }
    Ok(subjects)
}
