//! `kubectl completion`. Corresponds to kubectl/pkg/cmd/completion.
//!
//! The scripts are our own: they complete commands and flags out of the list of commands.

use std::fmt::Write as _;

use crate::cli::{Command, FlagSet, Invocation};
use crate::context::global_flags;

/// The command.
pub static COMMAND: Command = Command {
    name: "completion",
    args: "SHELL",
    short: "Output shell completion code for the specified shell (bash, zsh, fish, or powershell)",
    long: "Output shell completion code for the specified shell (bash, zsh, fish, or powershell). The shell code must be evaluated to provide interactive completion of kubectl commands.",
    example: "# In the present bash\nsource <(kubectl completion bash)\n\n# In the present zsh\nsource <(kubectl completion zsh)",
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let shell = match inv.args.as_slice() {
        [] => return Err(inv.usage_error("Shell not specified.")),
        [shell] => shell.as_str(),
        _ => return Err(inv.usage_error("Too many arguments. Expected only the shell type.")),
    };
    let words = words();
    let script = match shell {
        "bash" => bash(&words),
        "zsh" => format!("#compdef kubectl\nautoload -U +X bashcompinit && bashcompinit\n{}", bash(&words)),
        "fish" => fish(&words),
        "powershell" => powershell(&words),
        other => {
            return Err(inv.usage_error(format!("Unsupported shell type {}.", crate::cli::quote::quote(other))));
        }
    };
    inv.ctx.out(&script);
    Ok(())
}

/// The command paths, each with the words that can follow.
fn words() -> Vec<(String, Vec<String>)> {
    let mut globals = FlagSet::default();
    global_flags(&mut globals);
    let mut out = Vec::new();
    collect(&super::ROOT, String::new(), &globals, &mut out);
    out
}

fn collect(command: &'static Command, path: String, globals: &FlagSet, out: &mut Vec<(String, Vec<String>)>) {
    let mut flags = globals.clone();
    (command.flags)(&mut flags);
    let visible = command.subcommands.iter().filter(|c| !c.hidden);
    let mut words: Vec<String> = visible.clone().map(|c| c.name.to_owned()).collect();
    words.extend(flags.sorted().iter().filter(|f| !f.hidden).map(|f| format!("--{}", f.name)));
    out.push((path.clone(), words));
    for sub in visible {
        let path = if path.is_empty() { sub.name.to_owned() } else { format!("{path} {}", sub.name) };
        collect(sub, path, globals, out);
    }
}

fn bash(words: &[(String, Vec<String>)]) -> String {
    let mut out =
        String::from("_kubectl_complete() {\n    local current=\"${COMP_WORDS[COMP_CWORD]}\" path=\"\" word\n");
    out.push_str("    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n        case \"${path:+$path }$word\" in\n");
    let paths: Vec<String> = words.iter().skip(1).map(|(path, _)| format!("\"{path}\"")).collect();
    let _ = writeln!(out, "            {}) path=\"${{path:+$path }}$word\" ;;", paths.join("|"));
    out.push_str("        esac\n    done\n    local words=\"\"\n    case \"$path\" in\n");
    for (path, words) in words {
        let _ = writeln!(out, "        \"{path}\") words=\"{}\" ;;", words.join(" "));
    }
    out.push_str("    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\n");
    out.push_str("complete -o default -F _kubectl_complete kubectl\n");
    out
}

fn fish(words: &[(String, Vec<String>)]) -> String {
    let mut out = String::new();
    for (path, words) in words {
        let condition = match path.is_empty() {
            true => "__fish_use_subcommand".to_owned(),
            false => {
                let seen: Vec<String> = path.split(' ').map(|w| format!("__fish_seen_subcommand_from {w}")).collect();
                seen.join("; and ")
            }
        };
        let _ = writeln!(out, "complete -c kubectl -n '{condition}' -a '{}'", words.join(" "));
    }
    out
}

fn powershell(words: &[(String, Vec<String>)]) -> String {
    let mut out = String::from(
        "Register-ArgumentCompleter -Native -CommandName kubectl -ScriptBlock {\n    param($word, $ast, $position)\n    $table = @{\n",
    );
    for (path, words) in words {
        let quoted: Vec<String> = words.iter().map(|w| format!("'{w}'")).collect();
        let _ = writeln!(out, "        '{path}' = @({})", quoted.join(","));
    }
    out.push_str("    }\n    $path = ''\n    foreach ($part in $ast.CommandElements | Select-Object -Skip 1) {\n        $next = \"$path $part\".Trim()\n        if ($table.ContainsKey($next)) { $path = $next }\n    }\n");
    out.push_str("    $table[$path] | Where-Object { $_ -like \"$word*\" }\n}\n");
    out
}
