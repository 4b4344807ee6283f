//! `kubectl label`. Corresponds to kubectl/pkg/cmd/label.

use std::collections::BTreeMap;

use apimachinery::names;

use super::metadata::{self, Change, Subject};
use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::options;

/// The command.
pub static COMMAND: Command = Command {
    name: "label",
    args: "[--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version]",
    short: "Update the labels on a resource",
    long: "Update the labels on a resource.\n\nA label key and value must begin with a letter or number, and may contain letters, numbers, hyphens, dots, and underscores, up to 63 characters each. The key may begin with a DNS subdomain prefix and a single '/'.",
    example: "# Set a label\nkubectl label pods foo unhealthy=true\n\n# Change one\nkubectl label --overwrite pods foo status=unhealthy\n\n# Remove one\nkubectl label pods foo bar-",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    metadata::flags(flags);
    options::field_manager_flag(flags, "kubectl-label");
}

const LABELS: Subject = Subject {
    field: "labels",
    word: "label",
    example: "pod",
    free_key: "",
    overwrite_error: |taken| {
        let one =
            |(key, old): &(String, String)| format!("'{key}' already has a value ({old}), and --overwrite is false");
        metadata::several(taken.iter().map(one).collect())
    },
    done: |added, removed| match (added, removed) {
        (true, true) => "modified",
        (true, false) => "labeled",
        (false, true) => "unlabeled",
        (false, false) => "not labeled",
    },
};

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let (resources, pairs) = options::resources_and_pairs(&inv.args, "label")?;
    let (add, remove) = parse(&pairs)?;
    metadata::run(&inv, &LABELS, &Change { resources, add, remove }).await
}

fn parse(pairs: &[String]) -> anyhow::Result<(BTreeMap<String, String>, Vec<String>)> {
    let mut add = BTreeMap::new();
    let mut remove = Vec::new();
    for pair in pairs {
        if pair.contains('=') {
            let parts: Vec<&str> = pair.split('=').collect();
            let [key, value] = parts.as_slice() else {
                anyhow::bail!("invalid label spec: {pair}");
            };
            let errors = names::label_value(value);
            anyhow::ensure!(errors.is_empty(), "invalid label value: {}: {}", quote(pair), errors.join(";"));
            add.insert((*key).to_owned(), (*value).to_owned());
        } else if let Some(key) = pair.strip_suffix('-') {
            remove.push(key.to_owned());
        } else {
            anyhow::bail!("unknown label spec: {pair}");
        }
    }
    anyhow::ensure!(
        !remove.iter().any(|k| add.contains_key(k)),
        "can not both modify and remove a label in the same command"
    );
    Ok((add, remove))
}
