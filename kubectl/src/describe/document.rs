//! The text under construction, and the parts that many kinds share: labels, annotations, tolerations, events.

use apimachinery::value::Value;

use crate::cli::pdqsort;
use crate::printers::{TabWriter, sprint};

/// Lines with tabs that are aligned at the end, or at the events.
#[derive(Debug)]
pub(super) struct Document {
    writer: TabWriter,
    pending: String,
    done: String,
    /// Levels that come before those of every text written.
    nested: usize,
}

impl Default for Document {
    fn default() -> Self {
        Self { writer: TabWriter::describe(), pending: String::new(), done: String::new(), nested: 0 }
    }
}

pub(super) const LONGEST_ANNOTATION: usize = 140;

impl Document {
    /// Appends text after two spaces for each level.
    pub(super) fn write(&mut self, level: usize, text: &str) {
        for _ in 0..self.nested + level {
            self.pending.push_str("  ");
        }
        self.pending.push_str(text);
    }

    /// What `write` appends, deeper by some levels. As upstream, each single text is indented, also within a line.
    pub(super) fn nest(&mut self, levels: usize, write: impl FnOnce(&mut Self)) {
        self.nested += levels;
        write(self);
        self.nested -= levels;
    }

    /// Ends a title with its values: one below the other, or `<none>`.
    pub(super) fn values(&mut self, level: usize, values: impl IntoIterator<Item = String>) {
        let mut first = true;
        for value in values {
            if !std::mem::take(&mut first) {
                self.write(level, "");
                self.write(level, "\t");
            }
            self.write(level, &format!("{value}\n"));
        }
        if first {
            self.write(0, "<none>\n");
        }
    }

    /// Appends a line of a name and a value.
    pub(super) fn field(&mut self, level: usize, name: &str, value: &str) {
        self.write(level, &format!("{name}:\t{value}\n"));
    }

    /// Aligns what there is; what follows is aligned apart.
    pub(super) fn flush(&mut self) {
        self.writer.write(&std::mem::take(&mut self.pending));
        self.done.push_str(&self.writer.flush());
    }

    /// The aligned text.
    pub(super) fn finish(mut self) -> String {
        self.flush();
        self.done
    }

    /// The text with its tabs.
    pub(super) fn raw(self) -> String {
        self.pending
    }

    /// Name, and namespace if `namespaced`.
    pub(super) fn head(&mut self, object: &Value, namespaced: bool) {
        let meta = object.get("metadata");
        self.field(0, "Name", meta.get("name").str_or_empty());
        if namespaced {
            self.field(0, "Namespace", meta.get("namespace").str_or_empty());
        }
    }

    /// Labels and annotations of an object.
    pub(super) fn labels_and_annotations(&mut self, object: &Value) {
        let meta = object.get("metadata");
        self.labels("Labels", meta.get("labels"));
        self.annotations("Annotations", meta.get("annotations"));
    }

    /// One `key=value` per line.
    pub(super) fn labels(&mut self, title: &str, labels: &Value) {
        self.write(0, &format!("{title}:\t"));
        self.values(0, labels.entries().map(|(key, value)| format!("{key}={}", value.str_or_empty())));
    }

    /// One annotation per line, long ones cut.
    pub(super) fn annotations(&mut self, title: &str, annotations: &Value) {
        self.write(0, &format!("{title}:\t"));
        let shown: Vec<(&str, &str)> = annotations
            .entries()
            .filter(|(key, _)| *key != crate::commands::LAST_APPLIED)
            .map(|(key, value)| (key, value.str_or_empty()))
            .collect();
        if shown.is_empty() {
            self.write(0, "<none>\n");
        }
        for (i, (key, value)) in shown.into_iter().enumerate() {
            if i > 0 {
                self.write(0, "\t");
            }
            let value = value.strip_suffix('\n').unwrap_or(value);
            if value.len() + key.len() + 2 <= LONGEST_ANNOTATION && !value.contains('\n') {
                self.write(0, &format!("{key}: {value}\n"));
                continue;
            }
            self.write(0, &format!("{key}:\n"));
            for line in value.split('\n') {
                self.write(0, &format!("\t  {}\n", shorten(line, LONGEST_ANNOTATION - 2)));
            }
        }
    }

    /// Tolerations by key.
    pub(super) fn tolerations(&mut self, title: &str, tolerations: &Value) {
        self.write(0, &format!("{title}:\t"));
        let mut list: Vec<&Value> = tolerations.items().iter().collect();
        list.sort_by_key(|t| t.get("key").str_or_empty());
        if list.is_empty() {
            self.write(0, "<none>\n");
        }
        for (i, toleration) in list.into_iter().enumerate() {
            let indent = if i == 0 { "" } else { "\t" };
            self.write(0, &format!("{indent}{}\n", toleration_text(toleration)));
        }
    }

    /// The events section.
    pub(super) fn events(&mut self, events: &[Value]) {
        if events.is_empty() {
            self.write(0, "Events:\t<none>\n");
            return;
        }
        self.flush();
        let mut events: Vec<&Value> = events.iter().collect();
        let time = |event: &Value| event.get("lastTimestamp").str_or_empty().to_owned();
        pdqsort::sort(&mut events, |a, b| time(a) < time(b));
        self.write(0, "Events:\n  Type\tReason\tAge\tFrom\tMessage\n");
        self.write(1, "----\t------\t----\t----\t-------\n");
        for event in events {
            self.write(1, &event_line(event));
        }
    }
}

fn event_line(event: &Value) -> String {
    let text = |key: &str| event.get(key).str_or_empty();
    let age = crate::time::age;
    let first = if text("eventTime").is_empty() { age(text("firstTimestamp")) } else { age(text("eventTime")) };
    let series = event.get("series");
    let count = event.get("count").as_i64().unwrap_or(0);
    let interval = if !series.is_null() {
        let last = age(series.get("lastObservedTime").str_or_empty());
        format!("{last} (x{} over {first})", series.get("count").as_i64().unwrap_or(0))
    } else if count > 1 {
        format!("{} (x{count} over {first})", age(text("lastTimestamp")))
    } else {
        first
    };
    let source = match event.path(&["source", "component"]).str_or_empty() {
        "" => text("reportingComponent"),
        component => component,
    };
    let field = event.path(&["involvedObject", "fieldPath"]).str_or_empty();
    let message = text("message").trim();
    let message = if field.is_empty() { message.to_owned() } else { format!("{field}: {message}") };
    format!("{}\t{}\t{interval}\t{source}\t{message}\n", text("type"), text("reason"))
}

fn toleration_text(toleration: &Value) -> String {
    let text = |key: &str| toleration.get(key).str_or_empty();
    let (key, value, effect) = (text("key"), text("value"), text("effect"));
    let mut out = key.to_owned();
    if !value.is_empty() {
        out.push_str(&format!("={value}"));
    }
    if !effect.is_empty() {
        out.push_str(&format!(":{effect}"));
    }
    if text("operator") == "Exists" && value.is_empty() {
        out.push_str(if key.is_empty() && effect.is_empty() { "op=Exists" } else { " op=Exists" });
    }
    if let Some(seconds) = toleration.get("tolerationSeconds").as_i64() {
        out.push_str(&format!(" for {seconds}s"));
    }
    out
}

/// Cuts a text at `length` bytes.
pub(super) fn shorten(text: &str, length: usize) -> String {
    if text.len() <= length {
        return text.to_owned();
    }
    let end = (0..=length).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    format!("{}...", &text[..end])
}

/// `Kind/name` of the controller.
pub(super) fn controller(object: &Value) -> Option<String> {
    let owners = object.path(&["metadata", "ownerReferences"]).items();
    let owner = owners.iter().find(|o| o.get("controller").as_bool() == Some(true))?;
    Some(format!("{}/{}", owner.get("kind").str_or_empty(), owner.get("name").str_or_empty()))
}

/// `True` or `False`.
pub(super) fn yes_no(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// A whole number at a path, or 0.
pub(super) fn number(object: &Value, path: &[&str]) -> i64 {
    object.path(path).as_i64().unwrap_or(0)
}

/// A label selector as text.
pub(super) fn selector(selector: &Value) -> String {
    match apimachinery::selector::label::Selector::from_value(selector) {
        Ok(parsed) => parsed.to_string(),
        Err(_) => sprint(selector),
    }
}

/// A label selector as text, `<none>` for one that selects everything.
pub(super) fn format_selector(value: &Value) -> String {
    let text = selector(value);
    if text.is_empty() { "<none>".to_owned() } else { text }
}

/// The terms of a node or topology selector: numbered, one requirement below the other.
pub(super) fn selector_terms(terms: &Value, requirements: &str, level: usize, doc: &mut Document) {
    if terms.items().is_empty() {
        doc.write(0, "<none>\n");
        return;
    }
    doc.write(0, "\n");
    for (index, term) in terms.items().iter().enumerate() {
        doc.write(level, &format!("Term {index}:\t"));
        let requirements = term.get(requirements).items();
        if requirements.is_empty() {
            doc.write(0, "<none>\n");
        }
        for (index, requirement) in requirements.iter().enumerate() {
            if index > 0 {
                doc.write(level, "\t");
            }
            doc.write(0, &format!("{}\n", requirement_text(requirement)));
        }
    }
}

/// `key in [a, b]`.
fn requirement_text(requirement: &Value) -> String {
    let operator = requirement.get("operator").as_str().unwrap_or("In").to_lowercase();
    let text = format!("{} {operator}", requirement.get("key").str_or_empty());
    let values: Vec<&str> = requirement.get("values").items().iter().map(Value::str_or_empty).collect();
    if values.is_empty() { text } else { format!("{text} [{}]", values.join(", ")) }
}
