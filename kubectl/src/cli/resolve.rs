//! From words to a command: cobra's `Find`, where flags may stand before the command's name, and its suggestions.

use super::{Command, FlagSet, quote::quote};

/// The command that the words name.
pub struct Resolved {
    /// From the root to the command.
    pub path: Vec<&'static Command>,
    /// The words without the commands' names.
    pub rest: Vec<String>,
}

/// Finds the command that `words` (without the program's name) name. The error is the text for an unknown command.
pub fn resolve(root: &'static Command, globals: &FlagSet, words: &[String]) -> Result<Resolved, String> {
    let mut path = vec![root];
    let mut rest = words.to_vec();
    let mut current = root;
    while let Some(at) = first_argument(&rest, current, globals) {
        let Some(next) = current.subcommands.iter().find(|c| c.matches(&rest[at])) else {
            break;
        };
        rest.remove(at);
        current = next;
        path.push(current);
    }
    if path.len() == 1
        && let Some(at) = first_argument(&rest, current, globals)
    {
        return Err(unknown_command(root, &rest[at]));
    }
    Ok(Resolved { path, rest })
}

/// The index of the first word that is neither a flag nor the value of one.
fn first_argument(words: &[String], command: &Command, globals: &FlagSet) -> Option<usize> {
    let mut known = globals.clone();
    (command.flags)(&mut known);
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if word == "--" {
            return None;
        }
        if let Some(long) = word.strip_prefix("--") {
            let bare = known.lookup(long).is_some_and(|f| f.bare.is_some()) || long == "help";
            at += if long.contains('=') || bare { 1 } else { 2 };
        } else if word.starts_with('-') && word.len() > 1 {
            let short = word.chars().nth(1).unwrap_or('-');
            let bare = known.lookup_short(short).is_some_and(|f| f.bare.is_some()) || short == 'h';
            at += if word.contains('=') || bare || word.len() > 2 { 1 } else { 2 };
        } else if word.is_empty() {
            at += 1;
        } else {
            return Some(at);
        }
    }
    None
}

/// The text for a word that is no command of the root, with cobra's suggestions.
fn unknown_command(root: &Command, word: &str) -> String {
    let mut text = format!("unknown command {} for {}", quote(word), quote(root.name));
    let suggestions = suggestions(root, word);
    if !suggestions.is_empty() {
        text.push_str("\n\nDid you mean this?\n");
        for name in suggestions {
            text.push_str(&format!("\t{name}\n"));
        }
    }
    text
}

fn suggestions(command: &Command, word: &str) -> Vec<&'static str> {
    let lower = word.to_lowercase();
    command
        .subcommands
        .iter()
        .filter(|c| !c.hidden)
        .filter(|c| {
            distance(&lower, c.name) <= 2
                || c.name.starts_with(&lower)
                || c.suggest_for.iter().any(|s| s.eq_ignore_ascii_case(word))
        })
        .map(|c| c.name)
        .collect()
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
