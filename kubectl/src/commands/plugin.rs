//! `kubectl plugin` and the running of `kubectl-foo` programs. Corresponds to kubectl/pkg/cmd/plugin.go and cmd/plugin.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use crate::cli::{Command, FlagSet, Invocation};
use crate::failure::Failure;

/// The command.
pub static COMMAND: Command = Command {
    name: "plugin",
    args: "[flags]",
    short: "Provides utilities for interacting with plugins",
    long: "Provides utilities for interacting with plugins.\n\nA plugin is a program on the PATH whose name begins with \"kubectl-\"; it appears as a command of kubectl.",
    subcommands: &[&LIST],
    ..Command::EMPTY
};

static LIST: Command = Command {
    name: "list",
    short: "List all visible plugin executables on a user's PATH",
    flags: |flags| {
        flags.bool(
            "name-only",
            "",
            false,
            "If true, display only the binary name of each plugin, rather than its full path",
        );
    },
    run: Some(|inv| Box::pin(list(inv))),
    ..Command::EMPTY
};

/// Replaces this process by a plugin if the words name no command but a plugin; `None` if there is none.
pub fn try_plugin(root: &'static Command, globals: &FlagSet, words: &[String]) -> Option<i32> {
    if crate::cli::resolve(root, globals, words).is_ok() {
        return None;
    }
    let plain = words.iter().take_while(|w| !w.starts_with('-')).count();
    for length in (1..=plain).rev() {
        let name = format!("kubectl-{}", words[..length].join("-").replace('_', "-"));
        let name_underscored =
            format!("kubectl-{}", words[..length].iter().map(|w| w.replace('-', "_")).collect::<Vec<_>>().join("-"));
        let found = search(&name_underscored).or_else(|| search(&name));
        if let Some(path) = found {
            let error = std::process::Command::new(path).args(&words[length..]).exec();
            eprintln!("error: {error}");
            return Some(1);
        }
    }
    None
}

fn path_folders() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

fn search(name: &str) -> Option<PathBuf> {
    path_folders().into_iter().map(|dir| dir.join(name)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

async fn list(inv: Invocation) -> anyhow::Result<()> {
    let name_only = inv.flags.get_bool("name-only");
    let mut found: Vec<PathBuf> = Vec::new();
    for dir in path_folders() {
        let mut names: Vec<PathBuf> =
            std::fs::read_dir(&dir).map(|d| d.filter_map(Result::ok).map(|e| e.path()).collect()).unwrap_or_default();
        names.sort();
        found.extend(names.into_iter().filter(|p| file_name(p).starts_with("kubectl-")));
    }
    if found.is_empty() {
        anyhow::bail!("unable to find any kubectl plugins in your PATH");
    }
    inv.ctx.out("The following compatible plugins are available:\n\n");
    let mut warnings = 0;
    let mut seen: Vec<(String, PathBuf)> = Vec::new();
    for path in found {
        let name = file_name(&path);
        inv.ctx.out(&format!("{}\n", if name_only { name.clone() } else { path.display().to_string() }));
        if !is_executable(&path) {
            inv.ctx.err(&format!(
                "  - warning: {} identified as a kubectl plugin, but it is not executable\n",
                path.display()
            ));
            warnings += 1;
        }
        if let Some((_, other)) = seen.iter().find(|(n, _)| *n == name) {
            inv.ctx.err(&format!(
                "  - warning: {} is overshadowed by a similarly named plugin: {}\n",
                path.display(),
                other.display()
            ));
            warnings += 1;
        } else {
            seen.push((name, path));
        }
    }
    match warnings {
        0 => Ok(()),
        1 => Err(Failure::Coded("\nerror: one plugin warning was found".to_owned(), 1).into()),
        n => Err(Failure::Coded(format!("\nerror: {n} plugin warnings were found"), 1).into()),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
