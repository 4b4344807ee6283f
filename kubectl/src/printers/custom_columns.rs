//! `-o custom-columns=NAME:.metadata.name`. Corresponds to kubectl/pkg/cmd/get/customcolumn.go.

use apimachinery::value::Value;

use super::jsonpath::{JsonPath, relaxed_expression};
use super::sprint;
use super::tabwriter::TabWriter;

/// Columns by expression.
pub struct CustomColumns {
    columns: Vec<(String, JsonPath)>,
    headers: bool,
    last_was_list: Option<bool>,
}

impl CustomColumns {
    /// From `HEADER:expression,…`.
    pub fn from_spec(spec: &str, no_headers: bool) -> anyhow::Result<Self> {
        anyhow::ensure!(!spec.is_empty(), "custom-columns format specified but no custom columns given");
        let mut columns = Vec::new();
        for part in spec.split(',') {
            let Some((header, expression)) = part.split_once(':') else {
                anyhow::bail!("unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>");
            };
            columns.push(column(header, expression)?);
        }
        Ok(Self { columns, headers: !no_headers, last_was_list: None })
    }

    /// From a file with a line of headers and a line of expressions.
    pub fn from_template(text: &str) -> anyhow::Result<Self> {
        const EXPECTED: &str =
            "Expected format is one line of space separated headers, one line of space separated column specs.";
        let mut lines = text.lines();
        let Some(headers) = lines.next() else {
            anyhow::bail!("invalid template, missing header line. {EXPECTED}");
        };
        let Some(specs) = lines.next() else {
            anyhow::bail!("invalid template, missing spec line. {EXPECTED}");
        };
        let headers: Vec<&str> = headers.split_whitespace().collect();
        let specs: Vec<&str> = specs.split_whitespace().collect();
        anyhow::ensure!(
            headers.len() == specs.len(),
            "number of headers ({}) and field specifications ({}) don't match",
            headers.len(),
            specs.len()
        );
        let columns = headers.iter().zip(&specs).map(|(h, s)| column(h, s)).collect::<anyhow::Result<_>>()?;
        Ok(Self { columns, headers: true, last_was_list: None })
    }

    /// Adds the rows of an object or list.
    pub fn print(&mut self, object: &Value, out: &mut TabWriter) -> anyhow::Result<()> {
        let is_list = crate::resource::is_list(object);
        if self.headers && self.last_was_list != Some(is_list) {
            let headers: Vec<&str> = self.columns.iter().map(|(h, _)| h.as_str()).collect();
            out.write(&format!("{}\n", headers.join("\t")));
            self.last_was_list = Some(is_list);
        }
        if is_list {
            for item in object.get("items").items() {
                self.row(item, out)?;
            }
            return Ok(());
        }
        self.row(object, out)
    }

    fn row(&self, object: &Value, out: &mut TabWriter) -> anyhow::Result<()> {
        let mut cells = Vec::new();
        for (_, path) in &self.columns {
            let found = path.find(object)?;
            let mut texts: Vec<String> = Vec::new();
            if found.first().is_none_or(Vec::is_empty) {
                texts.push("<none>".to_owned());
            }
            texts.extend(found.iter().flatten().map(|v| super::table::escape(&sprint(v))));
            cells.push(texts.join(","));
        }
        out.write(&format!("{}\n", cells.join("\t")));
        Ok(())
    }
}

fn column(header: &str, expression: &str) -> anyhow::Result<(String, JsonPath)> {
    let path = JsonPath::parse(&relaxed_expression(expression)?)?.allow_missing(true);
    Ok((header.to_owned(), path))
}
