//! `kubectl set selector`.

use apimachinery::value::Value;

use super::{common_flags, objects};
use crate::cli::{Command, FlagSet, Invocation};
use crate::commands::create::label_selector;
use crate::commands::mutate::difference;
use crate::failure::aggregate;
use crate::options::DryRun;
use crate::printers::{PrintFlags, Printed};
use crate::resource::{Helper, Info};

/// The command.
pub static COMMAND: Command = Command {
    name: "selector",
    args: "(-f FILENAME | TYPE NAME) EXPRESSIONS [--resource-version=version]",
    short: "Set the selector on a resource",
    long: "Set the selector on a resource. Note that the new selector will overwrite the old selector if the resource had one prior to the invocation of 'set selector'.",
    example: "# A service's selector\nkubectl set selector service my-svc app=web",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    common_flags(flags, "identifying the resource.");
    flags.string("resource-version", "", "", "If non-empty, the selectors update will only succeed if this is the current resource-version for the object. Only valid when specifying a single resource.");
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let Some((text, resources)) = inv.args.split_last() else {
        anyhow::bail!("one selector is required");
    };
    let selector = label_selector(text)?;
    let mut errors = Vec::new();
    for info in objects(&inv, resources).await? {
        errors.extend(one(&inv, info, &selector).await.err());
    }
    aggregate(errors)
}

async fn one(inv: &Invocation, mut info: Info, selector: &Value) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation("selector updated"))?;
    anyhow::ensure!(
        info.object.get("kind").str_or_empty() == "Service",
        "setting a selector is only supported for Services"
    );
    anyhow::ensure!(
        !selector.has("matchExpressions"),
        "match expression {} not supported on this object",
        expressions(selector.get("matchExpressions"))
    );
    let version = inv.flags.str("resource-version");
    if !version.is_empty() {
        info.object.remove_path(&["metadata", "resourceVersion"]);
    }
    let before = info.object.clone();
    if !version.is_empty() {
        info.object.set_path(&["metadata", "resourceVersion"], Value::from(version));
    }
    info.object.set_path(&["spec", "selector"], selector.get("matchLabels").clone());
    if !inv.flags.get_bool("local") && !dry_run.is_client() {
        let helper = Helper::new(inv.ctx.rest().await?, info.mapping()?.clone())
            .dry_run(dry_run.is_server())
            .field_manager(inv.flags.str("field-manager"));
        let (kind, patch) =
            difference(&before, &info.object)?.unwrap_or(("application/strategic-merge-patch+json", b"{}".to_vec()));
        info.object = helper.patch(&info.namespace, &info.name, kind, patch).await?;
    }
    inv.ctx.out(&printer.print_as(Printed { object: &info.object, typed: true })?);
    Ok(())
}

/// The expressions in Go's notation of their type.
fn expressions(list: &Value) -> String {
    let one = |expression: &Value| {
        let text = |key: &str| expression.get(key).str_or_empty();
        let values = match expression.get("values") {
            Value::Null => "[]".to_owned(),
            values => crate::printers::sprint(values),
        };
        format!("{{{} {} {values}}}", text("key"), text("operator"))
    };
    format!("[{}]", list.items().iter().map(one).collect::<Vec<_>>().join(" "))
}
