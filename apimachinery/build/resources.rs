//! data/resources.txt → `static GROUPS`, `static RESOURCES`.

use std::fmt::Write as _;

use crate::columns::Texts;

pub fn undash(text: &str) -> &str {
    if text == "-" { "" } else { text }
}

fn value<'a>(words: &[&'a str], key: &str) -> &'a str {
    words.iter().find_map(|w| w.strip_prefix(key)?.strip_prefix('=')).unwrap_or("")
}

/// `&["a", "b"]` of `a,b`.
fn list(text: &str) -> String {
    let items: Vec<&str> = text.split(',').filter(|t| !t.is_empty()).collect();
    format!("&{items:?}")
}

/// `&[("a", "1")]` of `a:1`.
fn pairs(text: &str) -> String {
    let items: Vec<(&str, &str)> = text.split(',').filter_map(|t| t.split_once(':')).collect();
    format!("&{items:?}")
}

fn number_pairs(text: &str) -> String {
    let items: Vec<(&str, i32)> =
        text.split(',').filter_map(|t| t.split_once(':')).map(|(k, n)| (k, n.parse().expect("a number"))).collect();
    format!("&{items:?}")
}

#[derive(Default)]
struct Resource {
    group: String,
    plural: String,
    head: String,
    storage: String,
    subresources: String,
    labels: String,
    aliases: String,
    columns: String,
}

impl Resource {
    fn finish(self, out: &mut String) {
        if self.head.is_empty() {
            return;
        }
        let Resource { head, storage, subresources, labels, aliases, columns, .. } = self;
        let storage = if storage.is_empty() { "None".to_owned() } else { storage };
        let labels = if labels.is_empty() { "&[]".to_owned() } else { labels };
        writeln!(
            out,
            "ResourceInfo {{ {head} storage: {storage}, subresources: &[{subresources}], field_labels: {labels}, \
             field_label_aliases: &[{aliases}], columns: &[{columns}] }},"
        )
        .expect("writing to a string");
    }
}

fn group(words: &[&str]) -> String {
    let get = |key| value(words, key);
    format!(
        "GroupInfo {{ name: {:?}, preferred_version: {:?}, versions: {}, default_versions: {}, codec_versions: {}, \
         priority_minimum: {}, version_priority: {} }},\n",
        undash(words[1]),
        get("preferred"),
        list(get("versions")),
        list(get("default")),
        list(get("codec")),
        get("priority"),
        number_pairs(get("vpriority")),
    )
}

fn head(words: &[&str]) -> String {
    let get = |key| value(words, key);
    format!(
        "group: {:?}, plural: {:?}, singular: {:?}, kind: {:?}, namespaced: {}, version: {:?}, versions: {}, \
         default_versions: {}, verbs: {}, short_names: {}, categories: {}, introduced: {}, removed: {},",
        undash(words[1]),
        words[2],
        undash(words[3]),
        words[4],
        words[5] == "ns",
        get("preferred"),
        list(get("versions")),
        list(get("default")),
        list(get("verbs")),
        list(get("short")),
        list(get("categories")),
        pairs(get("introduced")),
        pairs(get("removed")),
    )
}

fn detail(resource: &mut Resource, words: &[&str], texts: &Texts) {
    match words[0] {
        "storage" => {
            resource.storage = format!(
                "Some(StorageInfo {{ api_version: {:?}, kind: {:?}, encoding: Encoding::{}, etcd_prefix: {:?}, storage_version_hash: {:?}, key: {:?} }})",
                words[1],
                words[2],
                if words[3] == "json" { "Json" } else { "Protobuf" },
                words[4],
                words[5],
                words[6]
            );
        }
        "sub" => {
            let (group, version) = value(words, "gv").rsplit_once('/').unwrap_or(("", ""));
            write!(
                resource.subresources,
                "SubresourceInfo {{ name: {:?}, kind: {:?}, verbs: {}, group: {group:?}, version: {version:?} }}, ",
                words[1],
                words[2],
                list(value(words, "verbs"))
            )
            .expect("writing to a string");
        }
        "labels" => resource.labels = list(words[1]),
        "alias" => write!(resource.aliases, "({:?}, {:?}), ", words[1], words[2]).expect("writing to a string"),
        "column" => write!(
            resource.columns,
            "Column {{ name: {:?}, description: {:?}, ty: {:?}, format: {:?}, priority: {} }}, ",
            words[4..].join(" "),
            texts.find(&resource.group, &resource.plural, &words[4..].join(" ")),
            words[1],
            undash(words[2]),
            words[3]
        )
        .expect("writing to a string"),
        other => panic!("unknown line {other}"),
    }
}

/// Renders the table.
pub fn render(text: &str, texts: &Texts) -> String {
    let (mut groups, mut rows) = (String::new(), String::new());
    let mut resource = Resource::default();
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "group" => groups.push_str(&group(&words)),
            "resource" => {
                std::mem::take(&mut resource).finish(&mut rows);
                resource.group = undash(words[1]).to_owned();
                resource.plural = words[2].to_owned();
                resource.head = head(&words);
            }
            _ => detail(&mut resource, &words, texts),
        }
    }
    resource.finish(&mut rows);
    format!("static GROUPS: &[GroupInfo] = &[\n{groups}];\nstatic RESOURCES: &[ResourceInfo] = &[\n{rows}];\n")
}
