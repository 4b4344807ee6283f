//! An OpenAPI v3 schema as text for people. Corresponds to kubectl/pkg/explain/v2/templates/plaintext.tmpl.

use std::collections::BTreeSet;

use apimachinery::value::Value;

/// How many values of an enumeration the list of fields shows.
const SHOWN_VALUES: usize = 4;

/// Writes schemas of one document.
pub struct SchemaText<'d> {
    /// The OpenAPI document.
    pub document: &'d Value,
    /// Whether the fields of fields are listed too.
    pub recursive: bool,
}

impl<'d> SchemaText<'d> {
    fn resolve(&self, schema: &'d Value) -> &'d Value {
        let reference = schema.get("$ref").str_or_empty();
        let Some(path) = reference.strip_prefix("#/") else {
            return schema;
        };
        let path: Vec<&str> = path.split('/').collect();
        match self.document.path(&path) {
            found if found.is_null() => schema,
            found => found,
        }
    }

    /// The text of the field that `fields` leads to; empty if there is none.
    pub fn output(&self, schema: &'d Value, fields: &[String]) -> String {
        self.follow(schema, fields, &BTreeSet::new())
    }

    fn follow(&self, schema: &'d Value, fields: &[String], seen: &BTreeSet<&'d str>) -> String {
        let reference = schema.get("$ref").str_or_empty();
        let resolved = self.resolve(schema);
        let Some(field) = fields.first() else {
            return self.whole(resolved);
        };
        if !reference.is_empty() && seen.contains(reference) {
            return String::new();
        }
        let mut deeper = seen.clone();
        deeper.insert(reference);
        let property = resolved.path(&["properties", field]);
        if !property.is_null() {
            let mut out = String::new();
            if fields.len() == 1 {
                out.push_str(&format!("FIELD: {field} <{}>\n", self.type_name(property)));
                out.push_str(&long_enum(property));
                out.push_str("\n\n");
            }
            out.push_str(&self.follow(property, &fields[1..], &BTreeSet::new()));
            return out;
        }
        if !resolved.get("items").is_zero() {
            return self.follow(resolved.get("items"), fields, &deeper);
        }
        if resolved.get("additionalProperties").as_map().is_some_and(|m| !m.is_empty()) {
            return self.follow(resolved.get("additionalProperties"), fields, &deeper);
        }
        let parts = resolved.get("allOf").items().iter();
        parts.map(|part| self.follow(part, fields, &deeper)).find(|text| !text.is_empty()).unwrap_or_default()
    }

    fn whole(&self, schema: &'d Value) -> String {
        let mut out = String::from("DESCRIPTION:\n");
        let description = self.description(schema);
        let description = if description.is_empty() { "<empty>" } else { &description };
        out.push_str(&indent(4, &wrap(76, description)));
        out.push('\n');
        let docs = schema.get("externalDocs");
        if !docs.is_zero() {
            out.push_str(&format!("\nEXTERNAL DOCS:\n{}", documentation(docs, 4)));
        }
        let list = self.fields(schema, 1, &BTreeSet::new());
        if !list.is_empty() {
            out.push_str("FIELDS:\n");
            out.push_str(&list);
        }
        out
    }

    fn description(&self, schema: &'d Value) -> String {
        let schema = self.resolve(schema);
        let mut out = String::new();
        let text = schema.get("description").str_or_empty();
        if !text.is_empty() {
            out.push_str(text);
            out.push('\n');
        }
        for part in schema.get("allOf").items() {
            out.push_str(&self.description(part));
        }
        for inner in [schema.get("items"), schema.get("additionalProperties")] {
            if inner.as_map().is_some_and(|m| !m.is_empty()) {
                out.push_str(&self.description(inner));
            }
        }
        out
    }

    fn fields(&self, schema: &'d Value, level: usize, seen: &BTreeSet<&'d str>) -> String {
        let reference = schema.get("$ref").str_or_empty();
        if !reference.is_empty() && seen.contains(reference) {
            return String::new();
        }
        let mut deeper = seen.clone();
        deeper.insert(reference);
        let resolved = self.resolve(schema);
        let mut out = String::new();
        let mut properties: Vec<_> = resolved.get("properties").entries().collect();
        properties.sort_by_key(|(name, _)| *name);
        for (name, property) in properties {
            let required = resolved.get("required").items().iter().any(|r| r.str_or_empty() == name);
            out.push_str(&self.field(name, property, required, level));
            if self.recursive {
                out.push_str(&self.fields(property, level + 1, &deeper));
            }
        }
        for part in resolved.get("allOf").items() {
            out.push_str(&self.fields(part, level, &deeper));
        }
        for inner in [resolved.get("items"), resolved.get("additionalProperties")] {
            if inner.as_map().is_some_and(|m| !m.is_empty()) {
                out.push_str(&self.fields(inner, level, &deeper));
            }
        }
        out
    }

    fn field(&self, name: &str, schema: &'d Value, required: bool, level: usize) -> String {
        let margin = level * 2;
        let mut out = format!("{}{name}\t<{}>", " ".repeat(margin), self.type_name(schema));
        if required {
            out.push_str(" -required-");
        }
        out.push_str(&short_enum(schema, margin));
        out.push('\n');
        if self.recursive {
            return out;
        }
        let description = match schema.get("description").str_or_empty() {
            "" => "<no description>",
            text => text,
        };
        out.push_str(&indent(margin + 2, &wrap(78_usize.saturating_sub(margin), description)));
        out.push('\n');
        let docs = schema.get("externalDocs");
        if !docs.is_zero() {
            out.push_str(&format!("\n{}\n{}", indent(margin + 2, "EXTERNAL DOCS:"), documentation(docs, margin + 4)));
        }
        out.push('\n');
        out
    }

    fn type_name(&self, schema: &'d Value) -> String {
        let named = |kind: &str| match kind {
            "" | "object" => "Object".to_owned(),
            kind => kind.to_owned(),
        };
        let all_of = schema.get("allOf").items();
        if !schema.get("items").is_zero() {
            return format!("[]{}", self.type_name(schema.get("items")));
        }
        if schema.get("additionalProperties").as_map().is_some_and(|m| !m.is_empty()) {
            return format!("map[string]{}", self.type_name(schema.get("additionalProperties")));
        }
        if schema.get("properties").is_zero()
            && let [one] = all_of
        {
            return self.type_name(one);
        }
        let reference = schema.get("$ref").str_or_empty();
        if reference.is_empty() {
            return named(schema.get("type").str_or_empty());
        }
        let resolved = self.resolve(schema);
        match resolved.get("type").str_or_empty() {
            "" | "object" => {
                let name = reference.rsplit('/').next().unwrap_or_default();
                named(name.rsplit('.').next().unwrap_or_default())
            }
            kind => kind.to_owned(),
        }
    }
}

fn enum_values(schema: &Value) -> Vec<String> {
    let text = |value: &Value| match value.as_str() {
        Some("") => "\"\"".to_owned(),
        _ => crate::printers::sprint(value),
    };
    schema.get("enum").items().iter().map(text).collect()
}

fn long_enum(schema: &Value) -> String {
    let values = enum_values(schema);
    if values.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = values.iter().map(|v| format!("\n    {v}")).collect();
    format!("ENUM:{}", lines.concat())
}

fn short_enum(schema: &Value, margin: usize) -> String {
    let mut values = enum_values(schema);
    if values.is_empty() {
        return String::new();
    }
    if values.len() > SHOWN_VALUES {
        values.truncate(SHOWN_VALUES);
        values.push("....".to_owned());
    }
    format!("\n{}enum: {}", " ".repeat(margin), values.join(", "))
}

fn documentation(docs: &Value, margin: usize) -> String {
    let mut out = String::new();
    let (description, url) = (docs.get("description").str_or_empty(), docs.get("url").str_or_empty());
    if !description.is_empty() {
        out.push_str(&indent(margin, &wrap(80_usize.saturating_sub(margin), description)));
        out.push('\n');
    }
    if !url.is_empty() {
        out.push_str(&indent(margin, &format!("URL: {url}")));
        out.push('\n');
    }
    out
}

fn indent(amount: usize, text: &str) -> String {
    let pad = " ".repeat(amount);
    format!("{pad}{}", text.replace('\n', &format!("\n{pad}")))
}

/// Breaks lines at white space, as github.com/mitchellh/go-wordwrap.
fn wrap(limit: usize, text: &str) -> String {
    let mut out = String::new();
    let (mut current, mut word, mut space) = (0, String::new(), String::new());
    let width = |text: &str| text.chars().count();
    for char in text.chars() {
        if char == '\n' {
            if !word.is_empty() || current + width(&space) <= limit {
                out.push_str(&space);
            }
            out.push_str(&word);
            space.clear();
            word.clear();
            out.push('\n');
            current = 0;
        } else if char.is_whitespace() && char != '\u{a0}' {
            if space.is_empty() || !word.is_empty() {
                current += width(&space) + width(&word);
                out.push_str(&space);
                out.push_str(&word);
                space.clear();
                word.clear();
            }
            space.push(char);
        } else {
            word.push(char);
            if current + width(&word) + width(&space) > limit && width(&word) < limit {
                out.push('\n');
                current = 0;
                space.clear();
            }
        }
    }
    if !word.is_empty() || current + width(&space) <= limit {
        out.push_str(&space);
    }
    out.push_str(&word);
    out
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(wrap(7, "one two three"), "one two\nthree");
        assert_eq!(wrap(4, "a muchtoolongword b"), "a\nmuchtoolongword\nb");
    }
}
