//! `kubectl set resources`.

use apimachinery::value::Value;

use super::{change_all, common_flags, each_container, objects, with_pod_spec};
use crate::cli::{Command, FlagSet, Invocation};
use crate::commands::create::resource_list;
use crate::options::{self, DryRun};

/// The command.
pub static COMMAND: Command = Command {
    name: "resources",
    args: "(-f FILENAME | TYPE NAME) ([--limits=LIMITS & --requests=REQUESTS]",
    short: "Update resource requests/limits on objects with pod templates",
    long: "Specify compute resource requirements (CPU, memory) for any resource that defines a pod template.",
    example: "# Limits of a container\nkubectl set resources deployment nginx -c=nginx --limits=cpu=200m,memory=512Mi\n\n# Limits and requests of all\nkubectl set resources deployment nginx --limits=cpu=200m,memory=512Mi --requests=cpu=100m,memory=256Mi",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    common_flags(flags, "identifying the resource to get from a server.");
    options::selector_flag(flags);
    flags.string("containers", "c", "*", "The names of containers in the selected pod templates to change, all containers are selected by default - may use wildcards");
    flags.string(
        "limits",
        "",
        "",
        "The resource requirement requests for this container. For example, 'cpu=100m,memory=256Mi'.",
    );
    flags.string(
        "requests",
        "",
        "",
        "The resource requirement requests for this container. For example, 'cpu=100m,memory=256Mi'.",
    );
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let flags = &inv.flags;
    let infos = objects(&inv, &inv.args).await?;
    anyhow::ensure!(
        !flags.get_bool("local") || !DryRun::from_flags(flags)?.is_server(),
        "cannot specify --local and --dry-run=server - did you mean --dry-run=client?"
    );
    anyhow::ensure!(
        !flags.get_bool("all") || flags.str("selector").is_empty(),
        "cannot set --all and --selector at the same time"
    );
    let parse = |flag: &str| match flags.str(flag) {
        "" => Ok(Value::map()),
        text => resource_list(text),
    };
    let wanted = [("limits", parse("limits")?), ("requests", parse("requests")?)];
    anyhow::ensure!(
        wanted.iter().any(|(_, list)| !list.is_zero()),
        "you must specify an update to requests or limits (in the form of --requests/--limits)"
    );
    let pattern = flags.str("containers").to_owned();
    let failed = "failed to patch resources update to pod template ";
    change_all(&inv, infos, "resource requirements updated", failed, |object, errors| {
        let mut count = 0;
        with_pod_spec(object, |spec| {
            count = each_container(spec, &pattern, |container| {
                for (field, list) in &wanted {
                    for (key, value) in list.entries() {
                        container.field_mut("resources").field_mut(field).set(key, value.clone());
                    }
                }
            });
        })?;
        if count == 0 {
            errors.push(anyhow::anyhow!("error: unable to find container named {pattern}"));
        }
        Ok(count > 0)
    })
    .await
}
