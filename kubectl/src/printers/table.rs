//! Tables of the server, and the plain fall-back for objects. Corresponds to cli-runtime/pkg/printers/tableprinter.go.

use apimachinery::value::{Map, Value};

use super::sprint;
use super::tabwriter::TabWriter;

/// How a table looks.
#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    /// Leaves the headers out.
    pub no_headers: bool,
    /// Adds the namespace column.
    pub with_namespace: bool,
    /// Puts this kind (`deployment.apps`) before names.
    pub kind: Option<String>,
    /// Shows columns of lower priority.
    pub wide: bool,
    /// Adds all labels.
    pub show_labels: bool,
    /// Adds columns for these labels.
    pub label_columns: Vec<String>,
}

/// Prints tables one after the other, repeating headers only when the columns change.
#[derive(Clone, Debug, Default)]
pub struct TablePrinter {
    options: TableOptions,
    last_columns: Value,
    printed_headers: bool,
    printed_plain: bool,
}

/// Makes control characters visible, as printers.WriteEscaped.
pub(crate) fn escape(text: &str) -> String {
    if !text.contains(['\u{1b}', '\n', '\r']) {
        return text.to_owned();
    }
    text.replace('\u{1b}', "^[").replace('\r', "\\r")
}

impl TablePrinter {
    /// A printer with these options.
    pub fn new(options: TableOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Adds a table, or an object that the server did not make a table of. `event` is the type of a watch event.
    pub fn print(&mut self, object: &Value, event: &str, out: &mut TabWriter) {
        if object.get("kind").str_or_empty() == "Table" {
            self.table(object, event, out);
        } else {
            self.plain(object, event, out);
        }
    }

    fn table(&mut self, table: &Value, event: &str, out: &mut TabWriter) {
        let given = table.get("columnDefinitions");
        let empty = given.items().is_empty();
        let mut no_headers = self.options.no_headers;
        if self.printed_headers && (empty || *given == self.last_columns) {
            no_headers = true;
        }
        if !empty && *given != self.last_columns {
            self.last_columns = given.clone();
            self.printed_headers = false;
        }
        let rows = table.get("rows").items();
        if !rows.is_empty() {
            self.printed_headers = true;
        }
        let columns = self.columns(event);
        if !no_headers {
            if rows.is_empty() {
                return;
            }
            let shown = columns.iter().filter(|c| self.options.wide || c.priority == 0);
            let names: Vec<String> = shown.map(|c| c.name.to_uppercase()).collect();
            out.write(&format!("{}\n", names.join("\t")));
        }
        for row in rows {
            let cells = self.cells(row, event, columns.len());
            let shown = cells.iter().zip(&columns).filter(|(_, c)| self.options.wide || c.priority == 0);
            let texts: Vec<String> = shown.map(|(cell, _)| cell_text(cell)).collect();
            out.write(&format!("{}\n", texts.join("\t")));
        }
    }

    fn columns(&self, event: &str) -> Vec<Column> {
        let plain = |name: &str| Column { name: name.to_owned(), priority: 0 };
        let mut columns = Vec::new();
        if !event.is_empty() {
            columns.push(plain("Event"));
        }
        if self.options.with_namespace {
            columns.push(plain("Namespace"));
        }
        columns.extend(self.last_columns.items().iter().map(|c| Column {
            name: c.get("name").str_or_empty().to_owned(),
            priority: c.get("priority").as_i64().unwrap_or(0),
        }));
        for label in &self.options.label_columns {
            columns.push(plain(label.rsplit('/').next().unwrap_or_default()));
        }
        if self.options.show_labels {
            columns.push(plain("Labels"));
        }
        columns
    }

    fn name_column(&self) -> Option<usize> {
        self.last_columns
            .items()
            .iter()
            .position(|c| c.get("format").str_or_empty() == "name" && c.get("type").str_or_empty() == "string")
    }

    fn cells(&self, row: &Value, event: &str, width: usize) -> Vec<Value> {
        let mut cells: Vec<Value> = row.get("cells").items().to_vec();
        if let (Some(kind), Some(at)) = (&self.options.kind, self.name_column())
            && let Some(cell) = cells.get_mut(at)
        {
            *cell = Value::from(format!("{kind}/{}", sprint(cell)));
        }
        let meta = row.path(&["object", "metadata"]);
        if self.options.with_namespace {
            cells.insert(0, Value::from(meta.get("namespace").str_or_empty()));
        }
        if !event.is_empty() {
            cells.insert(0, Value::from(event_name(event)));
        }
        if self.options.show_labels || !self.options.label_columns.is_empty() {
            let extra = usize::from(self.options.show_labels) + self.options.label_columns.len();
            cells.resize(width.saturating_sub(extra), Value::Null);
            cells.extend(label_cells(meta.get("labels"), &self.options).into_iter().map(Value::from));
        }
        cells
    }

    fn plain(&mut self, object: &Value, event: &str, out: &mut TabWriter) {
        let is_status = object.get("kind").str_or_empty() == "Status";
        if !self.printed_plain && !self.options.no_headers {
            let mut headers: Vec<String> = Vec::new();
            if !event.is_empty() {
                headers.push("EVENT".to_owned());
            }
            if self.options.with_namespace {
                headers.push("NAMESPACE".to_owned());
            }
            let own: &[&str] = if is_status { &["STATUS", "REASON", "MESSAGE"] } else { &["NAME", "AGE"] };
            headers.extend(own.iter().map(|s| (*s).to_owned()));
            let labels = self.options.label_columns.iter();
            headers.extend(labels.map(|l| l.rsplit('/').next().unwrap_or_default().to_uppercase()));
            if self.options.show_labels {
                headers.push("LABELS".to_owned());
            }
            out.write(&format!("{}\n", headers.join("\t")));
        }
        self.printed_plain = true;
        let items =
            if crate::resource::is_list(object) { object.get("items").items() } else { std::slice::from_ref(object) };
        for item in items {
            self.plain_row(item, event, is_status, out);
        }
    }

    fn plain_row(&self, item: &Value, event: &str, is_status: bool, out: &mut TabWriter) {
        let mut cells: Vec<String> = Vec::new();
        if !event.is_empty() {
            cells.push(event_name(event).to_owned());
        }
        let meta = item.get("metadata");
        if self.options.with_namespace {
            cells.push(meta.get("namespace").str_or_empty().to_owned());
        }
        if is_status {
            cells.extend(["status", "reason", "message"].map(|k| item.get(k).str_or_empty().to_owned()));
        } else {
            let name = meta.get("name").str_or_empty();
            cells.push(match &self.options.kind {
                Some(kind) => format!("{kind}/{name}"),
                None => name.to_owned(),
            });
            cells.push(crate::time::age(meta.get("creationTimestamp").str_or_empty()));
        }
        cells.extend(label_cells(meta.get("labels"), &self.options));
        out.write(&format!("{}\n", cells.join("\t")));
    }
}

struct Column {
    name: String,
    priority: i64,
}

fn event_name(event: &str) -> &str {
    match event {
        "ADDED" => "ADDED   ",
        "MODIFIED" => "MODIFIED",
        "DELETED" => "DELETED ",
        "ERROR" => "ERROR   ",
        other => other,
    }
}

fn cell_text(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::Str(text) => match text.find(['\u{c}', '\n', '\r']) {
            Some(at) => format!("{}...", escape(&text[..at])),
            None => escape(text),
        },
        other => escape(&sprint(other)),
    }
}

fn label_cells(labels: &Value, options: &TableOptions) -> Vec<String> {
    let mut cells: Vec<String> =
        options.label_columns.iter().map(|l| labels.get(l).str_or_empty().to_owned()).collect();
    if options.show_labels {
        cells.push(format_labels(labels.as_map()));
    }
    cells
}

/// `a=b,c=d`, or `<none>`.
pub fn format_labels(labels: Option<&Map>) -> String {
    match labels.filter(|m| !m.is_empty()) {
        None => "<none>".to_owned(),
        Some(map) => map.iter().map(|(k, v)| format!("{k}={}", v.str_or_empty())).collect::<Vec<_>>().join(","),
    }
}
