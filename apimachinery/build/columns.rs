//! data/columns.txt: the descriptions of table columns.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::resources::undash;

/// Texts by column, general and of a resource.
pub struct Texts {
    any: BTreeMap<String, String>,
    of: BTreeMap<(String, String, String), String>,
}

impl Texts {
    /// Reads the file.
    pub fn parse(text: &str) -> Self {
        let mut texts = Self { any: BTreeMap::new(), of: BTreeMap::new() };
        let mut current = String::new();
        for line in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
            let (word, rest) = line.trim_start().split_once(' ').unwrap_or((line.trim(), ""));
            match word {
                "text" => current = rest.replace("\\n", "\n"),
                "any" => drop(texts.any.insert(rest.to_owned(), current.clone())),
                "column" => {
                    let mut words = rest.splitn(3, ' ');
                    let mut next = || words.next().unwrap_or_else(|| panic!("short line {line}")).to_owned();
                    texts.of.insert((undash(&next()).to_owned(), next(), next()), current.clone());
                }
                other => panic!("unknown line {other}"),
            }
        }
        texts
    }

    /// The description of a column; "" if none is known.
    pub fn find(&self, group: &str, plural: &str, column: &str) -> &str {
        let key = (group.to_owned(), plural.to_owned(), column.to_owned());
        self.of.get(&key).or_else(|| self.any.get(column)).map_or("", String::as_str)
    }

    /// The general ones and those of scales, which are in no table of resources.
    pub fn render(&self) -> String {
        let mut out = "static COLUMN_TEXTS: &[(&str, &str)] = &[\n".to_owned();
        let scales = self.of.iter().filter(|((group, plural, _), _)| group == "autoscaling" && plural == "scales");
        let scales = scales.map(|((_, _, column), text)| (column, text));
        for (column, text) in scales.chain(&self.any) {
            writeln!(out, "({column:?}, {text:?}),").expect("writing to a string");
        }
        out.push_str("];\n");
        out
    }
}
