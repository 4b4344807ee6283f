//! An OpenAPI v2 definition as text for people, in the older form that `-o plaintext-openapiv2` asks for.
//! Corresponds to kubectl/pkg/explain (model_printer.go, field_lookup.go) and kube-openapi/pkg/util/proto.

use apimachinery::value::Value;

/// Columns of the text.
const WIDTH: usize = 80;
/// Margins of descriptions, of fields, and of a field's description.
const DESCRIPTION: usize = 5;
const FIELD: usize = 3;
const FIELD_DESCRIPTION: usize = 5;

/// What a definition is to the printer.
#[derive(Clone, Copy)]
enum Shape<'d> {
    Kind(&'d Value),
    Array(&'d Value),
    Map(&'d Value),
    Reference(&'d str),
    Primitive(&'d str),
    Arbitrary,
}

/// Writes definitions of one document.
pub struct DefinitionText<'d> {
    /// The OpenAPI document.
    pub document: &'d Value,
}

fn shape(schema: &Value) -> Shape<'_> {
    if let Some(reference) = schema.get("$ref").as_str() {
        return Shape::Reference(reference);
    }
    match (schema.get("type").str_or_empty(), schema.has("properties")) {
        ("" | "object", true) => Shape::Kind(schema),
        ("", false) => Shape::Arbitrary,
        ("object", false) => Shape::Map(schema.get("additionalProperties")),
        ("array", _) => Shape::Array(schema.get("items")),
        (primitive, _) => Shape::Primitive(primitive),
    }
}

fn description(schema: &Value) -> &str {
    schema.get("description").str_or_empty()
}

impl<'d> DefinitionText<'d> {
    /// The definition of a group, version and kind.
    pub fn definition(&self, group: &str, version: &str, kind: &str) -> Option<&'d Value> {
        let wanted = [("group", group), ("version", version), ("kind", kind)];
        let fits = |gvk: &Value| wanted.iter().all(|(key, text)| gvk.get(key).str_or_empty() == *text);
        let mut all = self.document.get("definitions").entries().map(|(_, definition)| definition);
        all.find(|definition| definition.get("x-kubernetes-group-version-kind").items().iter().any(fits))
    }

    fn resolve(&self, reference: &str) -> &'d Value {
        let name = reference.strip_prefix("#/definitions/").unwrap_or(reference);
        self.document.path(&["definitions", name])
    }

    /// Where the fields lead to; the first field that does not exist if one does not.
    pub fn lookup(&self, schema: &'d Value, fields: &[String]) -> Result<&'d Value, String> {
        let Some(field) = fields.first() else {
            return Ok(schema);
        };
        match shape(schema) {
            Shape::Primitive(_) | Shape::Arbitrary => Ok(schema),
            Shape::Array(inner) | Shape::Map(inner) => self.lookup(inner, fields),
            Shape::Reference(reference) => self.lookup(self.resolve(reference), fields),
            Shape::Kind(kind) => match kind.path(&["properties", field]) {
                none if none.is_null() => Err(field.clone()),
                found => self.lookup(found, &fields[1..]),
            },
        }
    }

    /// The text below the head.
    pub fn output(&self, schema: &'d Value, name: &str, recursive: bool) -> String {
        let (mut descriptions, mut kind) = (Vec::new(), None);
        let mut schema = schema;
        let title = loop {
            descriptions.push(description(schema));
            schema = match shape(schema) {
                Shape::Reference(reference) => self.resolve(reference),
                Shape::Array(inner) | Shape::Map(inner) => {
                    kind.get_or_insert_with(|| self.type_name(schema));
                    inner
                }
                Shape::Kind(_) if name.is_empty() => break String::new(),
                Shape::Kind(_) => break "RESOURCE: ".to_owned(),
                Shape::Primitive(_) => break "FIELD:    ".to_owned(),
                Shape::Arbitrary => break String::new(),
            };
        };
        let mut out = String::new();
        if !title.is_empty() {
            let kind = kind.unwrap_or_else(|| self.type_name(schema));
            out.push_str(&format!("{title}{name} <{kind}>\n\n"));
        }
        out.push_str(&described(&descriptions));
        if let Shape::Kind(kind) = shape(schema) {
            out.push_str("\nFIELDS:\n");
            match recursive {
                true => self.names(kind, FIELD, &mut Vec::new(), &mut out),
                false => self.fields(kind, &mut out),
            }
        }
        out
    }

    fn fields(&self, kind: &'d Value, out: &mut String) {
        for (name, field) in sorted(kind) {
            let required = kind.get("required").items().iter().any(|r| r.str_or_empty() == name);
            let required = if required { " -required-" } else { "" };
            let margin = " ".repeat(FIELD);
            out.push_str(&format!("{margin}{name}\t<{}>{required}\n", self.type_name(field)));
            wrapped(description(field), FIELD_DESCRIPTION, out);
            out.push('\n');
        }
    }

    fn names(&self, schema: &'d Value, margin: usize, above: &mut Vec<&'d str>, out: &mut String) {
        match shape(schema) {
            Shape::Array(inner) | Shape::Map(inner) => self.names(inner, margin, above, out),
            Shape::Reference(reference) if !above.contains(&reference) => {
                above.push(reference);
                self.names(self.resolve(reference), margin, above, out);
                above.pop();
            }
            Shape::Kind(kind) => {
                for (name, field) in sorted(kind) {
                    out.push_str(&format!("{}{name}\t<{}>\n", " ".repeat(margin), self.type_name(field)));
                    self.names(field, margin + FIELD, above, out);
                }
            }
            _ => {}
        }
    }

    fn type_name(&self, schema: &'d Value) -> String {
        match shape(schema) {
            Shape::Kind(_) => "Object".to_owned(),
            Shape::Array(inner) => format!("[]{}", self.type_name(inner)),
            Shape::Map(inner) => format!("map[string]{}", self.type_name(inner)),
            Shape::Reference(reference) => self.type_name(self.resolve(reference)),
            Shape::Primitive(name) => name.to_owned(),
            Shape::Arbitrary => String::new(),
        }
    }
}

fn sorted(kind: &Value) -> Vec<(&str, &Value)> {
    let mut all: Vec<_> = kind.get("properties").entries().collect();
    all.sort_by_key(|(name, _)| *name);
    all
}

fn described(descriptions: &[&str]) -> String {
    let mut out = String::from("DESCRIPTION:\n");
    for (index, text) in descriptions.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        if index > 0 {
            out.push('\n');
        }
        wrapped(text, DESCRIPTION, &mut out);
    }
    if descriptions.iter().all(|text| text.is_empty()) {
        wrapped("<empty>", DESCRIPTION, &mut out);
    }
    out
}

/// Appends the text, its lines filled up to the width; code, lists and empty lines stay as they are.
fn wrapped(text: &str, margin: usize, out: &mut String) {
    for line in fill(text, WIDTH - margin) {
        let margin = if line.is_empty() { 0 } else { margin };
        out.push_str(&format!("{}{line}\n", " ".repeat(margin)));
    }
}

fn fill(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let flush = |line: &mut String, lines: &mut Vec<String>| {
        if !line.is_empty() {
            lines.push(std::mem::take(line));
        }
    };
    for source in text.split('\n') {
        let blank = source.trim().is_empty();
        if source.starts_with("    ") {
            flush(&mut line, &mut lines);
            lines.push(source.to_owned());
            continue;
        }
        if !lines.is_empty() && blank {
            flush(&mut line, &mut lines);
            lines.push(String::new());
            continue;
        }
        if line.ends_with(':') || blank || starts_list(source.trim()) {
            flush(&mut line, &mut lines);
        }
        for word in source.split_whitespace() {
            if !line.is_empty() && line.len() + 1 + word.len() > width {
                flush(&mut line, &mut lines);
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    flush(&mut line, &mut lines);
    lines
}

/// `- a`, `* a`, `1 a` or `1. a`.
fn starts_list(line: &str) -> bool {
    let Some(end) = line.find(char::is_whitespace) else {
        return false;
    };
    let mark = &line[..end];
    let number = mark.strip_suffix('.').unwrap_or(mark);
    mark == "-" || mark == "*" || (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn lines_are_filled_but_lists_and_code_stay() {
        assert_eq!(fill("one two three", 7), ["one two", "three"]);
        // An empty line counts from the second paragraph on.
        assert_eq!(fill("a\n\nb\nc\n\n- d\n    e", 40), ["a", "b c", "", "- d", "    e"]);
        assert!(fill("", 40).is_empty());
    }
}
