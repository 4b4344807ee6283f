//! Writing of one log line to standard error.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

use super::settings;

/// Fields of an event; the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    pairs: Vec<(&'static str, Value)>,
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.pairs.push((field.name(), value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.pairs.push((field.name(), value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.pairs.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.pairs.push((field.name(), value.into()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.pairs.push((name, value.into())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.pairs.push((name, format!("{value:?}").into())),
        }
    }
}

pub(super) fn event(event: &Event<'_>) {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let now = crate::clock::now();
    let line = if settings().json.load(Ordering::Relaxed) {
        json(event.metadata(), &fields, now)
    } else {
        text(event.metadata(), &fields, now)
    };
    // Nothing can be done about a closed standard error.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

fn caller(metadata: &Metadata<'_>) -> String {
    let file = metadata.file().unwrap_or("unknown");
    let mut parts = file.rsplit('/');
    let base = parts.next().unwrap_or(file);
    let name = match (base, parts.next()) {
        ("mod.rs", Some(folder)) => format!("{folder}.rs"),
        _ => base.to_owned(),
    };
    format!("{name}:{}", metadata.line().unwrap_or(0))
}

fn text(metadata: &Metadata<'_>, fields: &Fields, now: Timestamp) -> String {
    let letter = match *metadata.level() {
        Level::ERROR => 'E',
        Level::WARN => 'W',
        _ => 'I',
    };
    let at = now.to_zoned(TimeZone::system());
    let mut line = format!(
        "{letter}{:02}{:02} {:02}:{:02}:{:02}.{:06} {:7} {}] {:?}",
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.subsec_nanosecond() / 1000,
        std::process::id(),
        caller(metadata),
        fields.message,
    );
    for (key, value) in &fields.pairs {
        // Writing to a String cannot fail.
        let _ = match value {
            Value::String(text) => write!(line, " {key}={text:?}"),
            other => write!(line, " {key}={other}"),
        };
    }
    line.push('\n');
    line
}

fn json(metadata: &Metadata<'_>, fields: &Fields, now: Timestamp) -> String {
    let mut map = serde_json::Map::new();
    map.insert("ts".into(), (now.as_microsecond() as f64 / 1000.0).into());
    map.insert("caller".into(), caller(metadata).into());
    map.insert("msg".into(), fields.message.clone().into());
    if *metadata.level() != Level::ERROR {
        let level = match *metadata.level() {
            Level::DEBUG => 4,
            Level::TRACE => 6,
            _ => 0,
        };
        map.insert("v".into(), level.into());
    }
    for (key, value) in &fields.pairs {
        map.insert((*key).to_owned(), value.clone());
    }
    format!("{}\n", Value::Object(map))
}
