//! Makes `apimachinery/data/columns.txt`, the descriptions of the columns of tables, out of recorded Table answers.
//! What was not recorded has no description: it is never made up here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

const HEAD: &str = "\
# Descriptions of table columns. Made by `cargo run -p hack -- generate-column-texts` out of recorded answers; do not edit.
# text TEXT                       (\\n is a line break) and below it what it describes:
#  any NAME                       columns of that name, unless told otherwise
#  column GROUP PLURAL NAME       - is the core group
";

/// So many resources must agree on the text of a column before others are taken to have it too.
const AGREEING: usize = 3;

/// (group, plural, column) → text.
type Texts = BTreeMap<(String, String, String), String>;

/// Writes `columns.txt` into `out` from the answers in `golden` (a folder of `.jsonl` files).
pub fn generate_column_texts(golden: &Path, out: &Path) -> anyhow::Result<()> {
    let mut texts = Texts::new();
    for entry in std::fs::read_dir(golden).with_context(|| format!("reading {}", golden.display()))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        for line in text.lines() {
            let case: Value = serde_json::from_str(line).with_context(|| format!("parsing {}", path.display()))?;
            for step in case["steps"].as_array().into_iter().flatten() {
                collect(step, &mut texts);
            }
        }
    }
    std::fs::write(out.join("columns.txt"), render(&texts))?;
    Ok(())
}

fn collect(step: &Value, texts: &mut Texts) {
    let Some((group, plural)) = step["path"].as_str().and_then(resource_of) else { return };
    let events = step["expect"]["events"].as_array().into_iter().flatten().map(|event| &event["object"]);
    for answer in std::iter::once(&step["expect"]["body"]).chain(events).filter(|a| a["kind"] == "Table") {
        for column in answer["columnDefinitions"].as_array().into_iter().flatten() {
            if let (Some(name), Some(text)) = (column["name"].as_str(), column["description"].as_str()) {
                texts.insert((group.clone(), plural.clone(), name.to_owned()), text.to_owned());
            }
        }
    }
}

/// Group and plural of a path of a built-in resource; scales are one resource wherever they are.
fn resource_of(path: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = path.split('?').next()?.trim_matches('/').split('/').collect();
    let (group, mut rest) = match parts[..] {
        ["api", "v1", ..] => ("-", &parts[2..]),
        ["apis", group, _, ..] if !group.contains('$') => (group, &parts[3..]),
        _ => return None,
    };
    if rest.len() > 2 && rest[0] == "namespaces" {
        rest = &rest[2..];
    }
    match rest {
        [_, _, "scale"] => Some(("autoscaling".to_owned(), "scales".to_owned())),
        [plural, ..] => Some((group.to_owned(), (*plural).to_owned())),
        [] => None,
    }
}

fn render(texts: &Texts) -> String {
    let mut by_column: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for ((_, _, column), text) in texts {
        by_column.entry(column).or_default().push(text);
    }
    let general: BTreeSet<&str> = by_column
        .iter()
        .filter(|(_, texts)| texts.len() >= AGREEING && texts.iter().all(|text| *text == texts[0]))
        .map(|(column, _)| *column)
        .collect();
    let mut uses: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for ((group, plural, column), text) in texts {
        let line = match general.contains(column.as_str()) {
            true => format!(" any {column}"),
            false => format!(" column {group} {plural} {column}"),
        };
        uses.entry(text).or_default().insert(line);
    }
    let mut out = HEAD.to_owned();
    for (text, lines) in uses {
        writeln!(out, "text {}", text.replace('\n', "\\n")).expect("writing to a string");
        for line in lines {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}
