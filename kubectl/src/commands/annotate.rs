//! `kubectl annotate`. Corresponds to kubectl/pkg/cmd/annotate.

use super::metadata::{self, Change, Subject};
use crate::cli::{Command, FlagSet, Invocation};
use crate::options;

/// The command.
pub static COMMAND: Command = Command {
    name: "annotate",
    args: "[--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version]",
    short: "Update the annotations on a resource",
    long: "Update the annotations on one or more resources.\n\nAn annotation is a key and a value of any text.",
    example: "# Set an annotation\nkubectl annotate pods foo description='my frontend'\n\n# Change one\nkubectl annotate --overwrite pods foo description='my frontend running nginx'\n\n# Remove one\nkubectl annotate pods foo description-",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    metadata::flags(flags);
    options::field_manager_flag(flags, "kubectl-annotate");
}

const ANNOTATIONS: Subject = Subject {
    field: "annotations",
    word: "annotation",
    example: "rsrc",
    free_key: "kubernetes.io/change-cause",
    overwrite_error: |taken| {
        let one = |(key, old): &(String, String)| format!("'{key}' already has a value ({old})");
        let all: Vec<String> = taken.iter().map(one).collect();
        anyhow::anyhow!("--overwrite is false but found the following declared annotation(s): {}", all.join("; "))
    },
    done: |_, _| "annotated",
};

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let (resources, pairs) = options::resources_and_pairs(&inv.args, "annotation")?;
    let (add, remove) = options::parse_pairs(&pairs, "annotation", true)?;
    let both: Vec<&str> = remove.iter().filter(|k| add.contains_key(*k)).map(String::as_str).collect();
    let change = Change { resources, add: add.clone(), remove: remove.clone() };
    metadata::validate(&inv, &ANNOTATIONS, &change, crate::options::DryRun::from_flags(&inv.flags)?)?;
    anyhow::ensure!(
        both.is_empty(),
        "can not both modify and remove the following annotation(s) in the same command: {}",
        both.join(", ")
    );
    metadata::run(&inv, &ANNOTATIONS, &change).await
}
