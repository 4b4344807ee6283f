//! `kubectl create quota`.

use apimachinery::quantity;
use apimachinery::value::Value;

use super::generate::{finish, generator_flags, name, object};
use crate::cli::{Command, FlagSet, Invocation};

/// The command.
pub static COMMAND: Command = Command {
    name: "quota",
    args: "NAME [--hard=key1=value1,key2=value2] [--scopes=Scope1,Scope2] [--dry-run=server|client|none]",
    aliases: &["resourcequota"],
    short: "Create a quota with the specified name",
    example: "# A quota\nkubectl create quota my-quota --hard=cpu=1,memory=1G,pods=2",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    generator_flags(flags);
    flags.string("hard", "", "", "A comma-delimited set of resource=quantity pairs that define a hard limit.");
    flags.string(
        "scopes",
        "",
        "",
        "A comma-delimited set of quota scopes that must all match each object tracked by the quota.",
    );
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let mut quota = object(&inv, "v1", "ResourceQuota", &name)?;
    let hard = inv.flags.str("hard");
    if !hard.is_empty() {
        quota.set_path(&["spec", "hard"], resource_list(hard)?);
    }
    let scopes = inv.flags.str("scopes");
    if !scopes.is_empty() {
        let list: Vec<&str> = scopes.split(',').collect();
        anyhow::ensure!(!list.contains(&""), "invalid resource quota scope \"\"");
        quota.set_path(&["spec", "scopes"], Value::from(list));
    }
    finish(&inv, quota, "failed to create quota: ").await
}

/// `cpu=1,memory=1G` as a map of quantities.
pub(crate) fn resource_list(spec: &str) -> anyhow::Result<Value> {
    let mut list = Value::map();
    for statement in spec.split(',') {
        let parts: Vec<&str> = statement.split('=').collect();
        let [key, text] = parts.as_slice() else {
            anyhow::bail!("Invalid argument syntax {statement}, expected <resource>=<value>");
        };
        list.set(key, quantity::canonical(text)?.into_owned());
    }
    Ok(list)
}
