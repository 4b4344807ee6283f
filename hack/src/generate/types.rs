//! api-types.json → types.txt. The format is described in the head of the file that is written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, bail};
use serde_json::Value;

const HEAD: &str = "\
# The types of the Kubernetes API. Made by `cargo run -p hack -- generate-api-tables`; do not edit.
# package ALIAS PREFIX GROUP VERSION     ids of the types that follow are PREFIX.NAME; - is empty
# type NAME FORM [k=KIND] [elem=TYPE] [list=ITEM] [a=served|generated] [pb] [wrap] [mt=MAPTYPE] [enum=…] [closed] [schema=…] [unions=…]
#   FIELD TYPE [flags] in declaration order, one space in front. TYPE: scalar, special, T reference, []T, map[]T, *T
#     ptr omit omitzero inline nojson req; pb=TAG[:wire:label] (wire and label where they do not follow from the type); def= fmt= lt= lk= mt= ps= pk=
#     as=NAMED askey=NAMED alias=NAMED: named scalar of the value, of the map key, named list or map type
# gvk GROUP VERSION KIND TYPE and kinds APIVERSION meta=0|1 KIND:TYPE …: what is registered where
";

/// Short names of packages, and types by them.
struct Names<'a> {
    aliases: BTreeMap<&'a str, String>,
}

/// The package part and the type name of a type id.
fn split(id: &str) -> (&str, &str) {
    id.rsplit_once('.').unwrap_or(("", id))
}

impl<'a> Names<'a> {
    /// Gives every package the shortest unused run of trailing segments as alias.
    fn new(ids: impl Iterator<Item = &'a str>) -> Names<'a> {
        let packages: std::collections::BTreeSet<&str> = ids.map(|id| split(id).0).collect();
        let mut aliases = BTreeMap::new();
        for package in &packages {
            let segments: Vec<&str> = package.split('.').collect();
            let alias = (1..=segments.len())
                .map(|n| segments[segments.len() - n..].join("."))
                .skip(1)
                .find(|a| packages.iter().filter(|p| p.ends_with(&format!(".{a}"))).count() <= 1);
            aliases.insert(*package, alias.unwrap_or_else(|| (*package).to_owned()));
        }
        Names { aliases }
    }

    /// `id` as written in package `from`.
    fn reference(&self, id: &str, from: &str) -> String {
        let (package, name) = split(id);
        if package == from {
            return format!(".{name}");
        }
        match self.aliases.get(package) {
            Some(alias) => format!("{alias}.{name}"),
            None => id.to_owned(),
        }
    }

    fn field_type(&self, text: &str, from: &str) -> String {
        if let Some(inner) = text.strip_prefix("[]") {
            return format!("[]{}", self.field_type(inner, from));
        }
        if let Some(inner) = text.strip_prefix("map[string]") {
            return format!("map[]{}", self.field_type(inner, from));
        }
        if let Some(inner) = text.strip_prefix('*') {
            return format!("*{}", self.field_type(inner, from));
        }
        match text.strip_prefix("ref:") {
            Some(id) => self.reference(id, from),
            None => text.to_owned(),
        }
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or("")
}

fn joined(list: &Value) -> String {
    let words = list.as_array().into_iter().flatten();
    words.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect::<Vec<_>>().join(",")
}

/// Renders the whole table.
pub(super) fn render(facts: &Value) -> anyhow::Result<String> {
    let types = facts["types"].as_object().context("no types")?;
    let names = Names::new(types.keys().map(String::as_str));
    let mut out = HEAD.to_owned();
    let mut packages: BTreeMap<&str, Vec<(&str, &Value)>> = BTreeMap::new();
    for (id, t) in types {
        packages.entry(split(id).0).or_default().push((split(id).1, t));
    }
    for (package, members) in packages {
        let first = members.iter().map(|(_, t)| t).max_by_key(|t| text(t, "group").len());
        let (group, version) = first.map_or(("", ""), |t| (text(t, "group"), text(t, "version")));
        writeln!(out, "package {} {package} {} {}", names.aliases[package], or_dash(group), or_dash(version))?;
        for (name, t) in members {
            render_type(&mut out, &names, package, name, t)?;
        }
    }
    render_kinds(&mut out, &names, facts)?;
    Ok(out)
}

fn render_type(out: &mut String, names: &Names<'_>, package: &str, name: &str, t: &Value) -> anyhow::Result<()> {
    let form = if text(t, "form") == "special" { text(t, "special") } else { text(t, "form") };
    write!(out, "type {name} {form}")?;
    for (key, abbreviation) in [("kind", "k"), ("openapi", "a"), ("mapType", "mt")] {
        if let Some(value) = t[key].as_str() {
            write!(out, " {abbreviation}={value}")?;
        }
    }
    if let Some(elem) = t["elem"].as_str() {
        write!(out, " elem={}", names.field_type(elem, package))?;
    }
    if let Some(item) = t["list"].as_str() {
        write!(out, " list={}", names.reference(item, package))?;
    }
    for (key, word) in [("proto", "pb"), ("protoWrapper", "wrap"), ("closedEnum", "closed"), ("specialWire", "special")]
    {
        if !t[key].is_null() && t[key] != Value::Bool(false) {
            write!(out, " {word}")?;
        }
    }
    if !t["enum"].is_null() {
        write!(out, " enum={}", joined(&t["enum"]).replace(' ', "\\s"))?;
    }
    for (key, word) in [("schema", "schema"), ("unions", "unions")] {
        if !t[key].is_null() {
            write!(out, " {word}={}", t[key])?;
        }
    }
    out.push('\n');
    for field in t["fields"].as_array().into_iter().flatten() {
        render_field(out, names, package, field).with_context(|| format!("{package}.{name}"))?;
    }
    Ok(())
}

/// Wire type and label that follow from the type of a field.
fn implied_wire(ty: &str) -> (&'static str, &'static str) {
    let (label, element) = match ty.strip_prefix("[]") {
        Some(element) => ("rep", element),
        None if ty.starts_with("map[") => return ("bytes", "map"),
        None => ("opt", ty),
    };
    let wire = match element {
        "bool" | "int" | "int32" | "int64" | "uint32" | "uint64" => "varint",
        "float64" => "fixed64",
        _ => "bytes",
    };
    (wire, label)
}

fn render_field(out: &mut String, names: &Names<'_>, package: &str, f: &Value) -> anyhow::Result<()> {
    let ty = text(f, "type");
    write!(out, " {} {}", or_dash(text(f, "name")), names.field_type(ty, package))?;
    let flags = [
        ("ptr", "ptr"),
        ("omitempty", "omit"),
        ("omitzero", "omitzero"),
        ("inline", "inline"),
        ("noJSON", "nojson"),
        ("required", "req"),
    ];
    for (key, word) in flags {
        if f[key] == Value::Bool(true) {
            write!(out, " {word}")?;
        }
    }
    if let Some(pb) = f["pb"].as_array() {
        let (Some(tag), Some(wire), Some(label)) = (pb[0].as_u64(), pb[1].as_str(), pb[2].as_str()) else {
            bail!("bad pb {f}")
        };
        write!(out, " pb={tag}")?;
        if (wire, label) != implied_wire(ty) {
            write!(out, ":{wire}:{label}")?;
        }
    }
    if !f["default"].is_null() {
        write!(out, " def={}", f["default"])?;
    }
    let words = [
        ("format", "fmt"),
        ("itemsFormat", "ifmt"),
        ("valuesFormat", "vfmt"),
        ("listType", "lt"),
        ("mapType", "mt"),
        ("patchStrategy", "ps"),
        ("patchMergeKey", "pk"),
    ];
    for (key, word) in words {
        if let Some(value) = f[key].as_str() {
            write!(out, " {word}={value}")?;
        }
    }
    for (key, word) in [("itemsDefault", "idef"), ("valuesDefault", "vdef")] {
        if !f[key].is_null() {
            write!(out, " {word}={}", f[key])?;
        }
    }
    if f["listMapKeys"].is_array() {
        write!(out, " lk={}", joined(&f["listMapKeys"]))?;
    }
    for (key, word) in [("named", "as"), ("keyNamed", "askey"), ("alias", "alias")] {
        if let Some(id) = f[key].as_str() {
            write!(out, " {word}={}", names.reference(id, package))?;
        }
    }
    out.push('\n');
    Ok(())
}

fn render_kinds(out: &mut String, names: &Names<'_>, facts: &Value) -> anyhow::Result<()> {
    write!(out, "metakinds")?;
    for (kind, id) in facts["metaKinds"].as_object().context("no metaKinds")? {
        write!(out, " {kind}:{}", names.reference(id.as_str().unwrap_or(""), ""))?;
    }
    out.push('\n');
    for (group_version, entry) in facts["kinds"].as_object().context("no kinds")? {
        write!(out, "kinds {group_version} meta={}", u8::from(entry["metaKinds"] == Value::Bool(true)))?;
        for (kind, id) in entry["kinds"].as_object().context("no kinds")? {
            write!(out, " {kind}:{}", names.reference(id.as_str().unwrap_or(""), ""))?;
        }
        out.push('\n');
    }
    Ok(())
}
