//! Elements of the maps and sets, and the difference between two states of them.

use std::collections::BTreeMap;

/// An element's value and comment; sets have no values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) value: String,
    pub(super) comment: String,
}

/// Elements by map or set and key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Elements(BTreeMap<&'static str, BTreeMap<String, Content>>);

impl Elements {
    /// Adds to a set.
    pub(super) fn add(&mut self, set: &'static str, key: String) {
        self.0.entry(set).or_default().insert(key, Content::default());
    }

    /// Adds to a map.
    pub(super) fn map(&mut self, map: &'static str, key: String, value: String, comment: &str) {
        let comment = if comment.is_empty() { String::new() } else { format!(" comment \"{comment}\"") };
        self.0.entry(map).or_default().insert(key, Content { value: format!(" : {value}"), comment });
    }

    /// Commands that turn `old` into this.
    pub(super) fn changes_from(&self, old: &Self, table: &str) -> String {
        let mut text = String::new();
        let empty = BTreeMap::new();
        let containers: Vec<_> = self.0.keys().chain(old.0.keys().filter(|c| !self.0.contains_key(*c))).collect();
        for container in containers {
            let (new, old) = (self.0.get(container).unwrap_or(&empty), old.0.get(container).unwrap_or(&empty));
            for (key, content) in old.iter().filter(|(key, content)| new.get(*key) != Some(content)) {
                text.push_str(&format!("delete element {table} {container} {{ {key}{} }}\n", content.value));
            }
            for (key, content) in new.iter().filter(|(key, content)| old.get(*key) != Some(content)) {
                text.push_str(&format!(
                    "add element {table} {container} {{ {key}{}{} }}\n",
                    content.comment, content.value
                ));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_only_differences() {
        let mut old = Elements::default();
        old.map("m", "a".into(), "goto x".into(), "");
        old.map("m", "b".into(), "goto y".into(), "");
        old.add("s", "1".into());
        let mut new = Elements::default();
        new.map("m", "a".into(), "goto z".into(), "why");
        new.map("m", "b".into(), "goto y".into(), "");
        assert_eq!(
            new.changes_from(&old, "t"),
            "delete element t m { a : goto x }\nadd element t m { a comment \"why\" : goto z }\ndelete element t s { 1 }\n"
        );
        assert_eq!(new.changes_from(&new, "t"), "");
    }
}
