//! `kubectl taint`. Corresponds to kubectl/pkg/cmd/taint.

use apimachinery::value::Value;

use super::mutate::difference;
use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::failure::aggregate;
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags, Printed};
use crate::resource::{Builder, Helper};

/// The command.
pub static COMMAND: Command = Command {
    name: "taint",
    args: "NODE NAME KEY_1=VAL_1:TAINT_EFFECT_1 ... KEY_N=VAL_N:TAINT_EFFECT_N",
    short: "Update the taints on one or more nodes",
    long: "Update the taints on one or more nodes.\n\nA taint is a key, a value and an effect: NoSchedule, PreferNoSchedule or NoExecute. A minus after the key (and effect) removes it.",
    example: "# A taint on a node\nkubectl taint nodes foo dedicated=special-user:NoSchedule\n\n# Without it again\nkubectl taint nodes foo dedicated:NoSchedule-",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    options::dry_run_flag(flags);
    options::validate_flag(flags);
    options::selector_flag(flags);
    flags.bool(
        "overwrite",
        "",
        false,
        "If true, allow taints to be overwritten, otherwise reject taint updates that overwrite existing taints.",
    );
    flags.bool("all", "", false, "Select all nodes in the cluster");
    options::field_manager_flag(flags, "kubectl-taint");
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Taint {
    key: String,
    value: String,
    effect: String,
}

impl Taint {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (pair, effect) = match parts.as_slice() {
            [key] => (*key, ""),
            [pair, effect] => (*pair, *effect),
            _ => anyhow::bail!("invalid taint spec: {text}"),
        };
        let mut taint = Self { key: pair.to_owned(), value: String::new(), effect: effect.to_owned() };
        if parts.len() == 2 {
            anyhow::ensure!(
                matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute"),
                "invalid taint effect: {effect}, unsupported taint effect"
            );
            let words: Vec<&str> = pair.split('=').collect();
            anyhow::ensure!(words.len() <= 2, "invalid taint spec: {text}");
            words[0].clone_into(&mut taint.key);
            words.get(1).copied().unwrap_or_default().clone_into(&mut taint.value);
            let errors = apimachinery::names::label_value(&taint.value);
            anyhow::ensure!(errors.is_empty(), "invalid taint spec: {text}, {}", errors.join("; "));
        }
        let errors = apimachinery::names::qualified_name(&taint.key);
        anyhow::ensure!(errors.is_empty(), "invalid taint spec: {text}, {}", errors.join("; "));
        Ok(taint)
    }

    fn of(value: &Value) -> Self {
        let text = |key: &str| value.get(key).str_or_empty().to_owned();
        Self { key: text("key"), value: text("value"), effect: text("effect") }
    }

    fn matches(&self, other: &Self) -> bool {
        self.key == other.key && (self.effect == other.effect || self.effect.is_empty())
    }

    fn to_value(&self) -> Value {
        let mut out = Value::from([("key", self.key.as_str())]);
        if !self.value.is_empty() {
            out.set("value", self.value.as_str());
        }
        out.set("effect", self.effect.as_str());
        out
    }
}

impl std::fmt::Display for Taint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.value.as_str(), self.effect.as_str()) {
            ("", "") => f.write_str(&self.key),
            (value, "") => write!(f, "{}={value}:", self.key),
            ("", effect) => write!(f, "{}:{effect}", self.key),
            (value, effect) => write!(f, "{}={value}:{effect}", self.key),
        }
    }
}

/// What the arguments ask for.
#[derive(Default)]
struct Changes {
    add: Vec<Taint>,
    remove: Vec<Taint>,
}

impl Changes {
    fn parse(words: &[String]) -> anyhow::Result<Self> {
        let mut changes = Self::default();
        for word in words {
            if let Some(text) = word.strip_suffix('-') {
                let taint = Taint::parse(text)?;
                changes.remove.push(Taint { value: String::new(), ..taint });
                continue;
            }
            let taint = Taint::parse(word)?;
            anyhow::ensure!(!taint.effect.is_empty(), "invalid taint spec: {word}");
            anyhow::ensure!(
                !changes.add.iter().any(|t| t.matches(&taint)),
                "duplicated taints with the same key and effect: {{{} {} {} <nil>}}",
                taint.key,
                taint.value,
                taint.effect
            );
            changes.add.push(taint);
        }
        Ok(changes)
    }

    fn check(&self) -> anyhow::Result<()> {
        let mut both = Vec::new();
        for add in &self.add {
            for remove in self.remove.iter().filter(|r| r.matches(add)) {
                both.push(format!("{}={}", remove.key, remove.effect));
            }
        }
        anyhow::ensure!(
            both.is_empty(),
            "can not both modify and remove the following taint(s) in the same command: {}",
            both.join(", ")
        );
        Ok(())
    }

    /// The node's new taints and the word for what happened.
    fn apply(&self, old: &[Taint], node: &str, overwrite: bool) -> anyhow::Result<(Vec<Taint>, &'static str)> {
        if !overwrite {
            let there: Vec<&str> =
                self.add.iter().filter(|a| old.iter().any(|o| a.matches(o))).map(|a| a.key.as_str()).collect();
            anyhow::ensure!(
                there.is_empty(),
                "node {node} already has {} taint(s) with same effect(s) and --overwrite is false",
                there.join(",")
            );
        }
        let mut taints = self.add.clone();
        for taint in old {
            if !taints.iter().any(|t| t.matches(taint)) {
                taints.push(taint.clone());
            }
        }
        let added = old.len() != taints.len();
        let mut errors = Vec::new();
        let mut removed = false;
        for remove in &self.remove {
            let before = taints.len();
            taints.retain(|t| !remove.matches(t));
            removed = taints.len() != before;
            if !removed {
                errors.push(anyhow::anyhow!("taint {} not found", quote(&remove.to_string())));
            }
        }
        aggregate(errors)?;
        let word = match (added, removed) {
            _ if overwrite => "modified",
            (true, true) => "modified",
            (true, false) => "tainted",
            (false, _) => "untainted",
        };
        Ok((taints, word))
    }
}

/// Nodes first, then taints.
fn split(args: &[String]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (mut resources, mut taints) = (Vec::new(), Vec::new());
    for arg in args {
        if arg.contains(['=', ':']) || arg.ends_with('-') {
            taints.push(arg.clone());
        } else if taints.is_empty() {
            resources.push(arg.clone());
        } else {
            anyhow::bail!("all resources must be specified before taint changes: {arg}");
        }
    }
    anyhow::ensure!(!resources.is_empty(), "one or more resources must be specified as <resource> <name>");
    anyhow::ensure!(!taints.is_empty(), "at least one taint update is required");
    Ok((resources, taints))
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let validation = options::validation(&inv.flags)?;
    let (resources, taints) = split(&inv.args)?;
    let changes = Changes::parse(&taints).map_err(|e| inv.usage_error(e))?;
    let kind = resources[0].to_lowercase();
    let mapping = inv.ctx.mapper().await?.resource(&kind)?;
    anyhow::ensure!(mapping.kind == "Node", "invalid resource type {kind}, only node types are supported");
    changes.check()?;
    let (all, selector) = (inv.flags.get_bool("all"), inv.flags.str("selector"));
    anyhow::ensure!(!all || selector.is_empty(), "setting 'all' parameter with a non empty selector is prohibited");
    anyhow::ensure!(
        all || !selector.is_empty() || resources.len() >= 2,
        "at least one resource name must be specified since 'all' parameter is not set"
    );
    let (namespace, _) = inv.ctx.namespace()?;
    let mut builder =
        Builder::new(&inv.ctx).continue_on_error().namespace(&namespace, false).labels(selector).flatten().latest();
    builder = match all || !selector.is_empty() {
        true => builder.select_all(all).resource_types(&["node".to_owned()]),
        false => builder.resource_names("node", &resources[1..]),
    };
    let infos = builder.run().await?.infos()?;
    for mut info in infos {
        let old: Vec<Taint> = info.object.path(&["spec", "taints"]).items().iter().map(Taint::of).collect();
        let (taints, word) = changes.apply(&old, &info.name, inv.flags.get_bool("overwrite"))?;
        let before = info.object.clone();
        match taints.is_empty() {
            true => {
                info.object.remove_path(&["spec", "taints"]);
            }
            false => {
                info.object.set_path(&["spec", "taints"], Value::List(taints.iter().map(Taint::to_value).collect()))
            }
        }
        let mut printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation(word))?;
        if !dry_run.is_client() {
            let (media_type, patch) = difference(&before, &info.object)?
                .unwrap_or(("application/strategic-merge-patch+json", b"{}".to_vec()));
            let helper = Helper::new(inv.ctx.rest().await?, info.mapping()?.clone())
                .dry_run(dry_run.is_server())
                .field_manager(inv.flags.str("field-manager"))
                .field_validation(validation);
            info.object = helper.patch("", &info.name, media_type, patch).await?;
        }
        inv.ctx.out(&printer.print_as(Printed { object: &info.object, typed: false })?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Changes, Taint};

    #[test]
    fn taints_are_added_and_removed() {
        let old = [Taint::parse("a=1:NoSchedule").expect("valid"), Taint::parse("b:NoExecute").expect("valid")];
        let words = ["c=x:NoSchedule".to_owned(), "a-".to_owned()];
        let changes = Changes::parse(&words).expect("valid");
        let (taints, word) = changes.apply(&old, "n", false).expect("no conflict");
        let texts: Vec<String> = taints.iter().map(Taint::to_string).collect();
        assert_eq!(texts, ["c=x:NoSchedule", "b:NoExecute"]);
        assert_eq!(word, "modified");
        let error = Changes::parse(&["a=1:NoSchedule".to_owned()]).expect("valid").apply(&old, "n", false);
        let text = error.expect_err("present").to_string();
        assert_eq!(text, "node n already has a taint(s) with same effect(s) and --overwrite is false");
    }
}
