//! Help and usage in kubectl's layout. Corresponds to kubectl/pkg/util/templates and pkg/util/term.

use super::{Command, FlagSet, Kind};

const INDENT: &str = "    ";

/// The full help of a command.
pub fn help_text(path: &[&'static Command], groups: &[(&str, &[&str])]) -> String {
    let command = path.last().expect("a path has at least the root");
    let head = if command.long.is_empty() { command.short } else { command.long };
    format!("{}\n\n{}", head.trim(), usage_text(path, groups))
}

/// Everything below the description.
pub fn usage_text(path: &[&'static Command], groups: &[(&str, &[&str])]) -> String {
    let command = path.last().expect("a path has at least the root");
    let names: Vec<&str> = path.iter().map(|c| c.name).collect();
    let mut out = String::new();
    if !command.aliases.is_empty() {
        out.push_str(&format!("Aliases:\n{}, {}\n\n", command.name, command.aliases.join(", ")));
    }
    if !command.example.is_empty() {
        out.push_str(&format!("Examples:\n{}\n\n", indent_example(command.example)));
    }
    let mut visible: Vec<&&Command> = command.subcommands.iter().filter(|c| !c.hidden).collect();
    visible.sort_by_key(|c| c.name);
    if !visible.is_empty() {
        out.push_str(&group_lists(&visible, if path.len() == 1 { groups } else { &[] }));
    }
    let mut flags = FlagSet::default();
    (command.flags)(&mut flags);
    let usages = flag_usages(&flags);
    if !usages.is_empty() {
        out.push_str(&format!("Options:\n{}\n\n", usages.trim_end()));
    }
    if path.len() == 1 {
        out.push_str(&format!("Usage:\n  {} [flags] [options]\n\n", names.join(" ")));
    } else {
        let mut line = names.join(" ");
        if !command.args.is_empty() {
            line.push(' ');
            line.push_str(command.args);
        }
        if !line.contains("[options]") {
            line.push_str(" [options]");
        }
        out.push_str(&format!("Usage:\n  {line}\n\n"));
    }
    if !visible.is_empty() {
        out.push_str(&format!(
            "Use \"{} <command> --help\" for more information about a given command.\n",
            names.join(" ")
        ));
    }
    out.push_str(&format!(
        "Use \"{} options\" for a list of global command-line options (applies to all commands).\n",
        names[0]
    ));
    out
}

fn group_lists(visible: &[&&Command], groups: &[(&str, &[&str])]) -> String {
    let width = visible.iter().map(|c| c.name.len()).max().unwrap_or(0).max(11);
    let line = |c: &Command| format!("  {:width$}   {}\n", c.name, c.short);
    let mut out = String::new();
    if groups.is_empty() {
        out.push_str("Available Commands:\n");
        for command in visible {
            out.push_str(&line(command));
        }
        out.push('\n');
        return out;
    }
    for (title, names) in groups {
        out.push_str(&format!("{title}\n"));
        for name in *names {
            if let Some(command) = visible.iter().find(|c| c.name == *name) {
                out.push_str(&line(command));
            }
        }
        out.push('\n');
    }
    out.push_str("Other Commands:\n");
    for command in visible {
        let grouped = groups.iter().any(|(_, names)| names.contains(&command.name));
        if !grouped && command.name != "options" {
            out.push_str(&line(command));
        }
    }
    out.push('\n');
    out
}

fn indent_example(example: &str) -> String {
    example.trim().lines().map(|line| format!("  {}", line.trim()).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// The flags with defaults and descriptions, as the `Options:` section shows them.
pub fn flag_usages(flags: &FlagSet) -> String {
    let mut out = String::new();
    for flag in flags.sorted().iter().filter(|f| !f.hidden && f.name != "help") {
        let default = match flag.kind {
            Kind::String => format!("'{}'", flag.default),
            Kind::StringArray | Kind::StringSlice => format!("[{}]", flag.default),
            _ => flag.default.clone(),
        };
        let short = flag.short.map_or(String::new(), |c| format!("-{c}, "));
        out.push_str(&format!("{INDENT}{short}--{}={default}:\n\t{}\n\n", flag.name, flag.usage));
    }
    out
}
