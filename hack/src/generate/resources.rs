//! resources.json → resources.txt. The format is described in the head of the file that is written.

use std::fmt::Write as _;

use anyhow::Context;
use serde_json::Value;

const HEAD: &str = "\
# The groups and resources that kube-apiserver serves. Made by `cargo run -p hack -- generate-api-tables`; do not edit.
# Words may be key=value with commas between items; - is empty.
# group NAME preferred= versions= default= codec= priority= vpriority=VERSION:N      in the order of /apis
# resource GROUP PLURAL SINGULAR KIND ns|cluster preferred= versions= default= verbs= short= categories= introduced= removed=
#  storage APIVERSION KIND ENCODING PREFIX HASH KEY
#  sub NAME KIND verbs= gv=GROUP/VERSION (where it differs)
#  labels …   labels that field selectors may name;  alias LABEL INTERNAL
#  column TYPE FORMAT PRIORITY NAME
";

fn words(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

fn pairs(map: &Value) -> String {
    let entries = map.as_object().into_iter().flatten();
    entries
        .map(|(k, v)| format!("{k}:{}", v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
        .collect::<Vec<_>>()
        .join(",")
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    match of[key].as_str() {
        None | Some("") => "-",
        Some(text) => text,
    }
}

/// Renders the whole table.
pub(super) fn render(facts: &Value) -> anyhow::Result<String> {
    let mut out = HEAD.to_owned();
    for g in facts["groups"].as_array().context("no groups")? {
        writeln!(
            out,
            "group {} preferred={} versions={} default={} codec={} priority={} vpriority={}",
            text(g, "group"),
            text(g, "preferred"),
            words(&g["versions"]),
            words(&g["defaultVersions"]),
            words(&g["codecVersions"]),
            g["groupPriorityMinimum"].as_i64().unwrap_or(0),
            pairs(&g["versionPriority"]),
        )?;
    }
    for r in facts["resources"].as_array().context("no resources")? {
        render_resource(&mut out, r)?;
    }
    Ok(out)
}

fn render_resource(out: &mut String, r: &Value) -> anyhow::Result<()> {
    let scope = if r["namespaced"] == Value::Bool(true) { "ns" } else { "cluster" };
    write!(
        out,
        "resource {} {} {} {} {scope}",
        text(r, "group"),
        text(r, "resource"),
        text(r, "singular"),
        text(r, "kind")
    )?;
    write!(out, " preferred={} versions={}", text(r, "preferredVersion"), words(&r["versions"]))?;
    write!(out, " default={} verbs={}", words(&r["defaultVersions"]), words(&r["verbs"]))?;
    write!(out, " short={} categories={}", words(&r["shortNames"]), words(&r["categories"]))?;
    writeln!(out, " introduced={} removed={}", pairs(&r["introduced"]), pairs(&r["removed"]))?;
    let s = &r["storage"];
    if s.is_object() {
        let (version, kind, encoding) = (text(s, "apiVersion"), text(s, "kind"), text(s, "encoding"));
        writeln!(
            out,
            " storage {version} {kind} {encoding} {} {} {}",
            text(s, "etcdPrefix"),
            text(s, "storageVersionHash"),
            text(s, "key")
        )?;
    }
    for (name, sub) in r["subresources"].as_object().into_iter().flatten() {
        write!(out, " sub {name} {} verbs={}", text(sub, "kind"), words(&sub["verbs"]))?;
        if sub["version"].is_string() {
            write!(out, " gv={}/{}", sub["group"].as_str().unwrap_or(""), text(sub, "version"))?;
        }
        out.push('\n');
    }
    if r["fieldLabels"].as_array().is_some_and(|l| !l.is_empty()) {
        writeln!(out, " labels {}", words(&r["fieldLabels"]))?;
    }
    for (label, internal) in r["fieldLabelAliases"].as_object().into_iter().flatten() {
        writeln!(out, " alias {label} {}", internal.as_str().unwrap_or(""))?;
    }
    for column in r["columns"].as_array().into_iter().flatten() {
        let (name, ty, format) =
            (column[0].as_str().unwrap_or(""), column[1].as_str().unwrap_or(""), column[2].as_str().unwrap_or(""));
        let format = if format.is_empty() { "-" } else { format };
        writeln!(out, " column {ty} {format} {} {name}", column[3].as_i64().unwrap_or(0))?;
    }
    Ok(())
}
