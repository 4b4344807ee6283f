//! The cells of tables, as `kubectl get` shows them: for each kind a function from an object to the cells of its row, in the
//! order of the columns in the resource table (which the wide ones end).
//! upstream: pkg/printers/internalversion/printers.go

mod autoscaling;
mod core;
mod groups;
mod pods;
mod workloads;

pub(crate) use pods::conditions as pod_conditions;
use std::collections::HashMap;
use std::sync::LazyLock;

use apimachinery::selector::label;
use apimachinery::time::human_duration;
use apimachinery::value::{Cursor, Value};
use jiff::Timestamp;

/// Cells of one object.
type Function = fn(Cursor<'_>, Timestamp) -> Vec<Value>;
/// Group, kind and function.
type Entry = (&'static str, &'static str, Function);

static FUNCTIONS: LazyLock<HashMap<(&'static str, &'static str), Function>> = LazyLock::new(|| {
    let lists = [autoscaling::FUNCTIONS, core::FUNCTIONS, groups::FUNCTIONS, pods::FUNCTIONS, workloads::FUNCTIONS];
    lists.into_iter().flatten().map(|&(group, kind, function)| ((group, kind), function)).collect()
});

/// The cells of an object; `None` for kinds that have the default columns (name and creation time).
pub fn cells(object: Cursor<'_>, now: Timestamp) -> Option<Vec<Value>> {
    let group = object.field("apiVersion").str().split_once('/').map_or("", |(group, _)| group);
    let kind = object.field("kind").str();
    let function = FUNCTIONS.get(&(group, kind))?;
    Some(function(object, now))
}

/// What stands for an absent value in most columns.
const NONE: &str = "<none>";
/// What stands for an absent value in some.
const UNSET: &str = "<unset>";

fn text(value: impl Into<Box<str>>) -> Value {
    Value::str(value)
}

fn number(value: i64) -> Value {
    Value::Int(value)
}

fn name(object: Cursor<'_>) -> Value {
    text(object.field("metadata").field("name").str())
}

fn age(object: Cursor<'_>, now: Timestamp) -> Value {
    text(since(object.field("metadata").field("creationTimestamp").str(), now))
}

/// The time that has passed since an RFC 3339 time.
pub fn since_text(time: &str, now: Timestamp) -> String {
    since(time, now)
}

/// The age of an object as its cell shows it.
pub fn age_of(object: &Value, now: Timestamp) -> String {
    since(object.path(&["metadata", "creationTimestamp"]).str_or_empty(), now)
}

/// The time that has passed since an RFC 3339 time, as people say it.
fn since(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => human_duration(now.as_second() - time.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// The string, or `absent` in its place.
fn or(cursor: Cursor<'_>, absent: &str) -> Value {
    text(cursor.opt_str().filter(|s| !s.is_empty()).unwrap_or(absent))
}

/// A text, or another if there is none, not even an empty one.
fn unless_given(cursor: Cursor<'_>, absent: &str) -> Value {
    text(if cursor.exists() { cursor.str() } else { absent })
}

/// `True` and `False`; `<unset>` for neither.
fn truth(cursor: Cursor<'_>) -> Value {
    text(match cursor.opt_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => UNSET,
    })
}

/// Strings of a list, joined.
fn join(list: Cursor<'_>, separator: &str) -> String {
    list.list().map(Cursor::str).collect::<Vec<_>>().join(separator)
}

/// `a=b,c=d` of a map.
fn labels(map: Cursor<'_>) -> Value {
    let pairs: Vec<String> = map.map().map(|(key, value)| format!("{key}={}", value.str())).collect();
    text(if pairs.is_empty() { NONE.to_owned() } else { pairs.join(",") })
}

/// A label selector in the form that the command line takes.
fn selector(selector: Cursor<'_>) -> Value {
    text(label::format(selector.value()))
}

/// Names and images of containers.
fn containers(template: Cursor<'_>) -> [Value; 2] {
    let list = template.field("spec").field("containers");
    ["name", "image"].map(|field| text(list.list().map(|c| c.field(field).str()).collect::<Vec<_>>().join(",")))
}

/// The status of a condition.
fn condition<'a>(object: Cursor<'a>, kind: &str) -> Option<Cursor<'a>> {
    object.field("status").field("conditions").list().find(|c| c.field("type").str() == kind)
}

fn is_true(object: Cursor<'_>, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| c.field("status").str() == "True")
}

/// At most `max` of the items, and how many more there are.
fn some_of(items: &[String], max: usize, empty: &str) -> String {
    match items.len() {
        0 => empty.to_owned(),
        n if n > max => format!("{} + {} more...", items[..max].join(","), n - max),
        _ => items.join(","),
    }
}
