//! `kubectl create rolebinding` and `clusterrolebinding`.

use apimachinery::value::Value;

use super::generate::{finish, generator_flags, name, object};
use crate::cli::{Command, FlagSet, Invocation};

/// `rolebinding`.
pub static ROLE_BINDING: Command = Command {
    name: "rolebinding",
    args: "NAME --clusterrole=NAME|--role=NAME [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none]",
    short: "Create a role binding for a particular role or cluster role",
    example: "# Bind users and a group to a cluster role\nkubectl create rolebinding admin --clusterrole=admin --user=user1 --user=user2 --group=group1",
    flags: |flags| {
        generator_flags(flags);
        flags.string("clusterrole", "", "", "ClusterRole this RoleBinding should reference");
        flags.string("role", "", "", "Role this RoleBinding should reference");
        subject_flags(flags);
    },
    run: Some(|inv| Box::pin(role_binding(inv))),
    ..Command::EMPTY
};

/// `clusterrolebinding`.
pub static CLUSTER_ROLE_BINDING: Command = Command {
    name: "clusterrolebinding",
    args: "NAME --clusterrole=NAME [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none]",
    short: "Create a cluster role binding for a particular cluster role",
    example: "# Bind users to the cluster role cluster-admin\nkubectl create clusterrolebinding cluster-admin --clusterrole=cluster-admin --user=user1 --user=user2 --group=group1",
    flags: |flags| {
        generator_flags(flags);
        flags.string("clusterrole", "", "", "ClusterRole this ClusterRoleBinding should reference").require();
        subject_flags(flags);
    },
    run: Some(|inv| Box::pin(cluster_role_binding(inv))),
    ..Command::EMPTY
};

fn subject_flags(flags: &mut FlagSet) {
    flags.array("user", "", "Usernames to bind to the role. The flag can be repeated to add multiple users.");
    flags.array("group", "", "Groups to bind to the role. The flag can be repeated to add multiple groups.");
    flags.array("serviceaccount", "", "Service accounts to bind to the role, in the format <namespace>:<name>. The flag can be repeated to add multiple service accounts.");
}

const GROUP: &str = "rbac.authorization.k8s.io";

async fn role_binding(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let (cluster_role, role) = (inv.flags.str("clusterrole"), inv.flags.str("role"));
    anyhow::ensure!(cluster_role.is_empty() != role.is_empty(), "exactly one of clusterrole or role must be specified");
    let (kind, to) = if role.is_empty() { ("ClusterRole", cluster_role) } else { ("Role", role) };
    let mut binding = object(&inv, "rbac.authorization.k8s.io/v1", "RoleBinding", &name)?;
    fill(&inv, &mut binding, kind, to)?;
    finish(&inv, binding, "failed to create rolebinding: ").await
}

async fn cluster_role_binding(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let mut binding = object(&inv, "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", &name)?;
    fill(&inv, &mut binding, "ClusterRole", inv.flags.str("clusterrole"))?;
    finish(&inv, binding, "failed to create clusterrolebinding: ").await
}

fn fill(inv: &Invocation, binding: &mut Value, kind: &str, to: &str) -> anyhow::Result<()> {
    binding.set("roleRef", Value::from([("apiGroup", GROUP), ("kind", kind), ("name", to)]));
    let mut subjects = Vec::new();
    for (kind, flag) in [("User", "user"), ("Group", "group")] {
        for name in inv.flags.list(flag) {
            subjects.push(Value::from([("apiGroup", GROUP), ("kind", kind), ("name", name.as_str())]));
        }
    }
    for account in inv.flags.list("serviceaccount") {
        let parts: Vec<&str> = account.split(':').collect();
        match parts.as_slice() {
            [namespace, name] if !namespace.is_empty() && !name.is_empty() => {
                subjects.push(Value::from([("kind", "ServiceAccount"), ("name", *name), ("namespace", *namespace)]));
            }
            _ => anyhow::bail!("serviceaccount must be <namespace>:<name>"),
        }
    }
    if !subjects.is_empty() {
        binding.set("subjects", Value::List(subjects));
    }
    Ok(())
}
