//! `kubectl api-versions`. Corresponds to kubectl/pkg/cmd/apiresources.

use crate::cli::{Command, Invocation};

/// The command.
pub static COMMAND: Command = Command {
    name: "api-versions",
    short: "Print the supported API versions on the server, in the form of \"group/version\"",
    example: "# The versions\nkubectl api-versions",
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

async fn run(inv: Invocation) -> anyhow::Result<()> {
    if !inv.args.is_empty() {
        return Err(inv.usage_error(format!("unexpected arguments: [{}]", inv.args.join(" "))));
    }
    let mapper = inv.ctx.mapper().await;
    let mapper = mapper.map_err(|e| anyhow::anyhow!("couldn't get available api versions from server: {e}"))?;
    let mut versions: Vec<String> = Vec::new();
    for group in &mapper.discovery().groups {
        for version in &group.versions {
            match group.name.is_empty() {
                true => versions.push(version.version.clone()),
                false => versions.push(format!("{}/{}", group.name, version.version)),
            }
        }
    }
    versions.sort();
    for version in versions {
        inv.ctx.out(&format!("{version}\n"));
    }
    Ok(())
}
