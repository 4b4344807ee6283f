//! `kubectl create poddisruptionbudget`.

use apimachinery::value::Value;

use super::generate::{finish, generator_flags, name, object};
use crate::cli::{Command, FlagSet, Invocation};

/// The command.
pub static COMMAND: Command = Command {
    name: "poddisruptionbudget",
    args: "NAME --selector=SELECTOR --min-available=N [--dry-run=server|client|none]",
    aliases: &["pdb"],
    short: "Create a pod disruption budget with the specified name",
    example: "# At least one pod with the label app=rails at any time\nkubectl create poddisruptionbudget my-pdb --selector=app=rails --min-available=1",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    generator_flags(flags);
    flags.string("min-available", "", "", "The minimum number or percentage of available pods this budget requires.");
    flags.string(
        "max-unavailable",
        "",
        "",
        "The maximum number or percentage of unavailable pods this budget requires.",
    );
    flags.string(
        "selector",
        "",
        "",
        "A label selector to use for this budget. Only equality-based selector requirements are supported.",
    );
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let selector = inv.flags.str("selector");
    let (min, max) = (inv.flags.str("min-available"), inv.flags.str("max-unavailable"));
    anyhow::ensure!(!selector.is_empty(), "a selector must be specified");
    anyhow::ensure!(!min.is_empty() || !max.is_empty(), "one of min-available or max-unavailable must be specified");
    anyhow::ensure!(min.is_empty() || max.is_empty(), "min-available and max-unavailable cannot be both specified");
    let number = |text: &str| {
        let digits = text.strip_suffix('%').unwrap_or(text);
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
    };
    anyhow::ensure!(min.is_empty() || number(min), "invalid format specified for min-available");
    anyhow::ensure!(max.is_empty() || number(max), "invalid format specified for max-unavailable");
    let mut budget = object(&inv, "policy/v1", "PodDisruptionBudget", &name)?;
    budget.set_path(&["spec", "selector"], label_selector(selector)?);
    let (field, text) = if min.is_empty() { ("maxUnavailable", max) } else { ("minAvailable", min) };
    budget.set_path(&["spec", field], int_or_string(text));
    finish(&inv, budget, "failed to create poddisruptionbudgets: ").await
}

/// A number if the text is one.
pub(crate) fn int_or_string(text: &str) -> Value {
    match text.parse::<i32>() {
        Ok(number) => Value::from(number),
        Err(_) => Value::from(text),
    }
}

/// A LabelSelector out of selector text, as metav1.ParseToLabelSelector.
pub(crate) fn label_selector(text: &str) -> anyhow::Result<Value> {
    let selector = apimachinery::selector::label::parse(text)
        .map_err(|e| anyhow::anyhow!("couldn't parse the selector string {}: {e}", crate::cli::quote::quote(text)))?;
    let mut out = Value::map();
    for requirement in selector.requirements() {
        use apimachinery::selector::label::Operator;
        let values: Vec<&str> = requirement.values().iter().map(String::as_str).collect();
        let operator = match requirement.operator() {
            Operator::Equals | Operator::DoubleEquals => {
                out.field_mut("matchLabels").set(requirement.key(), values.first().copied().unwrap_or_default());
                continue;
            }
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            other => {
                anyhow::bail!("{} is not a valid label selector operator", crate::cli::quote::quote(other.as_str()))
            }
        };
        let mut expression = Value::from([("key", requirement.key()), ("operator", operator)]);
        if !values.is_empty() {
            expression.set("values", values);
        }
        out.field_mut("matchExpressions").list_mut().push(expression);
    }
    Ok(out)
}
