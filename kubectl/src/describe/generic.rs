//! Kinds without a form of their own: every field under a title made of its name.

use apimachinery::value::Value;

use super::document::Document;
use crate::printers::sprint;

const SKIPPED: &[&str] =
    &[".metadata.managedFields", ".metadata.name", ".metadata.namespace", ".metadata.labels", ".metadata.annotations"];

pub(super) fn object(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, true);
    doc.labels_and_annotations(object);
    content(object, 0, "", doc);
    true
}

fn content(map: &Value, level: usize, prefix: &str, doc: &mut Document) {
    for (field, value) in map.entries() {
        let path = format!("{prefix}.{field}");
        if SKIPPED.contains(&path.as_str()) {
            continue;
        }
        let title = title(field);
        match value {
            Value::Map(_) => {
                doc.write(level, &format!("{title}:\n"));
                content(value, level + 1, &path, doc);
            }
            Value::List(items) => {
                doc.write(level, &format!("{title}:\n"));
                for item in items {
                    match item {
                        Value::Map(_) => content(item, level + 1, &path, doc),
                        other => doc.write(level + 1, &format!("{}\n", sprint(other))),
                    }
                }
            }
            other => doc.field(level, &title, &sprint(other)),
        }
    }
}

/// `clusterIPs` as `Cluster I Ps` would be wrong: acronyms stay together.
fn title(field: &str) -> String {
    if field.contains(|c: char| !c.is_alphabetic() && c != '-') {
        return field.to_owned();
    }
    let parts = split_camel(field);
    let mut merged: Vec<String> = Vec::new();
    let mut i = 0;
    while i < parts.len() {
        let part = &parts[i];
        let upper = part.chars().count() >= 2 && part.chars().all(|c| !c.is_alphabetic() || c.is_uppercase());
        let next = parts.get(i + 1).filter(|n| n.starts_with(char::is_uppercase));
        match next {
            Some(next) if upper => {
                merged.push(format!("{part}{next}"));
                i += 2;
            }
            _ => {
                merged.push(part.clone());
                i += 1;
            }
        }
    }
    let word = |part: String| {
        if ["API", "URL", "UID", "GUID"].contains(&part.to_uppercase().as_str()) {
            return part.to_uppercase();
        }
        if part.to_lowercase() != part {
            return part;
        }
        let mut chars = part.chars();
        chars.next().map_or(String::new(), |c| c.to_uppercase().chain(chars).collect())
    };
    merged.into_iter().filter(|p| p != "_").map(word).collect::<Vec<_>>().join(" ")
}

/// Splits at changes of case, keeping runs of capitals together except the last before a small letter.
fn split_camel(text: &str) -> Vec<String> {
    fn class(c: char) -> u8 {
        if c.is_lowercase() {
            1
        } else if c.is_uppercase() {
            2
        } else if c.is_numeric() {
            3
        } else {
            4
        }
    }
    let mut runs: Vec<Vec<char>> = Vec::new();
    for c in text.chars() {
        match runs.last_mut() {
            Some(run) if class(run[0]) == class(c) => run.push(c),
            _ => runs.push(vec![c]),
        }
    }
    for i in 0..runs.len().saturating_sub(1) {
        if runs[i][0].is_uppercase()
            && runs[i + 1][0].is_lowercase()
            && let Some(last) = runs[i].pop()
        {
            runs[i + 1].insert(0, last);
        }
    }
    runs.into_iter().filter(|r| !r.is_empty()).map(|r| r.into_iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn titles() {
        for (field, text) in [
            ("apiVersion", "API Version"),
            ("kind", "Kind"),
            ("creationTimestamp", "Creation Timestamp"),
            ("uid", "UID"),
            ("resourceVersion", "Resource Version"),
            ("a.b/c", "a.b/c"),
        ] {
            assert_eq!(title(field), text);
        }
    }
}
