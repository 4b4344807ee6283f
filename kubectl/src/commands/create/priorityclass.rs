//! `kubectl create priorityclass`.

use super::generate::{finish, generator_flags, name, object};
use crate::cli::{Command, FlagSet, Invocation};

/// The command.
pub static COMMAND: Command = Command {
    name: "priorityclass",
    args: "NAME --value=VALUE --global-default=BOOL [--dry-run=server|client|none]",
    aliases: &["pc"],
    short: "Create a priority class with the specified name",
    example: "# A priority class\nkubectl create priorityclass high-priority --value=1000 --description=\"high priority\"",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    generator_flags(flags);
    flags.int("value", 32, 0, "the value of this priority class.");
    flags.bool(
        "global-default",
        "",
        false,
        "global-default specifies whether this PriorityClass should be considered as the default priority.",
    );
    flags.string(
        "description",
        "",
        "",
        "description is an arbitrary string that says when this priority class should be used.",
    );
    flags.string(
        "preemption-policy",
        "",
        "PreemptLowerPriority",
        "preemption-policy is the policy for preempting pods with lower priority.",
    );
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let mut class = object(&inv, "scheduling.k8s.io/v1", "PriorityClass", &name)?;
    class.set("value", inv.flags.get_int("value"));
    if inv.flags.get_bool("global-default") {
        class.set("globalDefault", true);
    }
    let description = inv.flags.str("description");
    if !description.is_empty() {
        class.set("description", description);
    }
    class.set("preemptionPolicy", inv.flags.str("preemption-policy"));
    finish(&inv, class, "failed to create priorityclass: ").await
}
