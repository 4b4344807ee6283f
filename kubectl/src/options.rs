//! Flags that many commands share, and what their values mean.
//! Corresponds to kubectl/pkg/cmd/util/helpers.go.

use std::collections::BTreeMap;

use crate::cli::FlagSet;
use crate::cli::quote::quote;

/// Declares `-f`, `-k` and `-R`.
pub fn filename_flags(flags: &mut FlagSet, usage: &'static str) {
    flags.slice("filename", "f", "", usage);
    flags.string(
        "kustomize",
        "k",
        "",
        "Process the kustomization directory. This flag can't be used together with -f or -R.",
    );
    flags.bool("recursive", "R", false, "Process the directory used in -f, --filename recursively.");
}

/// Declares `--dry-run`.
pub fn dry_run_flag(flags: &mut FlagSet) {
    flags
        .string("dry-run", "", "none", "Must be \"none\", \"server\", or \"client\". With client, only print the object that would be sent. With server, send the request without keeping the result.")
        .bare("unchanged");
}

/// Declares `--validate`.
pub fn validate_flag(flags: &mut FlagSet) {
    flags
        .string("validate", "", "strict", "Must be one of: strict (or true), warn, ignore (or false). What the server does about unknown and duplicate fields.")
        .bare("strict");
}

/// Declares `--field-manager`.
pub fn field_manager_flag(flags: &mut FlagSet, default: &str) {
    flags.string("field-manager", "", default, "Name of the manager used to track field ownership.");
}

/// Declares `--save-config`.
pub fn save_config_flag(flags: &mut FlagSet) {
    flags.bool(
        "save-config",
        "",
        false,
        "If true, the configuration of current object will be saved in its annotation, for a later kubectl apply.",
    );
}

/// Declares `-l`.
pub fn selector_flag(flags: &mut FlagSet) {
    flags.string("selector", "l", "", "Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin' (e.g. -l key1=value1,key2=value2,key3 in (value3)).");
}

/// Declares `--chunk-size`.
pub fn chunk_size_flag(flags: &mut FlagSet) {
    flags.int("chunk-size", 64, 500, "Return large lists in chunks rather than all at once. Pass 0 to disable.");
}

/// Declares the deprecated `--record`.
pub fn record_flag(flags: &mut FlagSet) {
    flags.bool("record", "", false, "Record current kubectl command in the resource annotation.").hide();
}

/// Where a change ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DryRun {
    /// It is made.
    #[default]
    None,
    /// It is only shown.
    Client,
    /// The server checks it but does not keep it.
    Server,
}

impl DryRun {
    /// From `--dry-run`.
    pub fn from_flags(flags: &FlagSet) -> anyhow::Result<Self> {
        let text = flags.str("dry-run");
        match text {
            "" | "none" => Ok(Self::None),
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            "unchanged" => {
                crate::klog::warning(
                    "helpers.go:719",
                    "--dry-run is deprecated and can be replaced with --dry-run=client.",
                );
                Ok(Self::Client)
            }
            _ => {
                let Some(on) = crate::cli::parse_bool(text) else {
                    anyhow::bail!("Invalid dry-run value ({text}). Must be \"none\", \"server\", or \"client\".");
                };
                let better = if on { "client" } else { "none" };
                crate::klog::warning(
                    if on { "helpers.go:733" } else { "helpers.go:736" },
                    &format!(
                        "--dry-run={text} is deprecated (boolean value) and can be replaced with --dry-run={better}."
                    ),
                );
                Ok(if on { Self::Client } else { Self::None })
            }
        }
    }

    /// `created` with what the dry run adds.
    pub fn operation(self, done: &str) -> String {
        match self {
            Self::None => done.to_owned(),
            Self::Client => format!("{done} (dry run)"),
            Self::Server => format!("{done} (server dry run)"),
        }
    }

    /// Whether the server is asked not to keep the change.
    pub fn is_server(self) -> bool {
        self == Self::Server
    }

    /// Whether nothing is sent.
    pub fn is_client(self) -> bool {
        self == Self::Client
    }
}

/// The server's directive for `--validate`.
pub fn validation(flags: &FlagSet) -> anyhow::Result<&'static str> {
    let text = flags.str("validate");
    match text {
        "strict" | "" => Ok("Strict"),
        "warn" => Ok("Warn"),
        "ignore" => Ok("Ignore"),
        _ => match crate::cli::parse_bool(text) {
            Some(true) => Ok("Strict"),
            Some(false) => Ok("Ignore"),
            None => anyhow::bail!(
                "invalid - validate option {}; must be one of: strict (or true), warn, ignore (or false)",
                quote(text)
            ),
        },
    }
}

/// Splits arguments into resources and `key=value` / `key-` pairs; `what` names the pairs in errors.
pub fn resources_and_pairs(args: &[String], what: &str) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let mut resources = Vec::new();
    let mut pairs: Vec<String> = Vec::new();
    for arg in args {
        let pair = (arg.contains('=') && !arg.starts_with('=')) || (arg.ends_with('-') && arg != "-");
        if pair {
            pairs.push(arg.clone());
        } else if pairs.is_empty() {
            resources.push(arg.clone());
        } else {
            anyhow::bail!("all resources must be specified before {what} changes: {arg}");
        }
    }
    Ok((resources, pairs))
}

/// Additions and removals out of pairs.
pub fn parse_pairs(
    pairs: &[String],
    what: &str,
    removal: bool,
) -> anyhow::Result<(BTreeMap<String, String>, Vec<String>)> {
    let mut added = BTreeMap::new();
    let mut removed = Vec::new();
    let mut invalid = Vec::new();
    for pair in pairs {
        match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                added.insert(key.to_owned(), value.to_owned());
            }
            _ => match pair.strip_suffix('-').filter(|k| removal && !k.is_empty()) {
                Some(key) => removed.push(key.to_owned()),
                None => invalid.push(pair.as_str()),
            },
        }
    }
    anyhow::ensure!(invalid.is_empty(), "invalid {what} format: {}", invalid.join(", "));
    Ok((added, removed))
}

#[cfg(test)]
mod tests {
    use super::{parse_pairs, resources_and_pairs};

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn pairs() {
        let (resources, pairs) = resources_and_pairs(&words("pods foo a=b c-"), "label").expect("valid");
        assert_eq!((resources, pairs.clone()), (words("pods foo"), words("a=b c-")));
        let (added, removed) = parse_pairs(&pairs, "label", true).expect("valid");
        assert_eq!(added.get("a").map(String::as_str), Some("b"));
        assert_eq!(removed, ["c"]);
        let error = resources_and_pairs(&words("a=b pods"), "label").expect_err("order");
        assert_eq!(error.to_string(), "all resources must be specified before label changes: pods");
    }
}
