//! `kubectl events`. Corresponds to kubectl/pkg/cmd/events.

use apimachinery::value::Value;
use tokio::io::AsyncBufReadExt as _;

use crate::cli::{Command, FlagSet, Invocation, pdqsort};
use crate::client::Request;
use crate::failure::Failure;
use crate::printers::{self, GenericPrinter, PrintFlags, Printed, TabWriter};

/// The command.
pub static COMMAND: Command = Command {
    name: "events",
    args: "[(-o|--output=)json|yaml|kyaml|name|go-template|go-template-file|template|templatefile|jsonpath|jsonpath-as-json|jsonpath-file] [--for TYPE/NAME] [--watch] [--types=Normal,Warning]",
    short: "List events",
    long: "Display events.\n\nPrints a table of the most important information about events. It can be limited to a namespace, a type, or the events that regard one object.",
    example: "# Recent events in the namespace\nkubectl events\n\n# Those of a pod, and the ones to come\nkubectl events --for pod/web-pod-13je7 --watch",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    flags.bool("watch", "w", false, "After listing the requested events, watch for more events.");
    flags.bool("all-namespaces", "A", false, "If present, list the requested object(s) across all namespaces. Namespace in current context is ignored even if specified with --namespace.");
    flags.string("for", "", "", "Filter events to only those pertaining to the specified resource.");
    flags.slice("types", "", "", "Output only events of given types.");
    flags.bool("no-headers", "", false, "When using the default output format, don't print headers.");
    crate::options::chunk_size_flag(flags);
    printers::print_flags(flags);
}

/// How events are shown.
struct Show {
    printer: Option<GenericPrinter>,
    with_namespace: bool,
    headers: bool,
    types: Vec<String>,
}

impl Show {
    fn wanted(&self, event: &Value) -> bool {
        let kind = event.get("type").str_or_empty();
        self.types.is_empty() || self.types.iter().any(|t| t.eq_ignore_ascii_case(kind))
    }

    fn text(&mut self, object: &Value, events: &[Value]) -> anyhow::Result<String> {
        if let Some(printer) = &mut self.printer {
            return printer.print_as(Printed { object, typed: true });
        }
        let mut out = TabWriter::table();
        if std::mem::take(&mut self.headers) {
            out.write(if self.with_namespace { "NAMESPACE\t" } else { "" });
            out.write("LAST SEEN\tTYPE\tREASON\tOBJECT\tMESSAGE\n");
        }
        for event in events {
            out.write(&line(event, self.with_namespace));
        }
        Ok(out.flush())
    }
}

fn since(time: &Value) -> String {
    match time.str_or_empty() {
        "" => "<unknown>".to_owned(),
        time => crate::time::age(time),
    }
}

fn line(event: &Value, with_namespace: bool) -> String {
    let first = if event.get("eventTime").is_zero() { event.get("firstTimestamp") } else { event.get("eventTime") };
    let first = since(first);
    let series = event.get("series");
    let count = event.get("count").as_i64().unwrap_or(0);
    let interval = if !series.is_null() {
        let count = series.get("count").as_i64().unwrap_or(0);
        format!("{} (x{count} over {first})", since(series.get("lastObservedTime")))
    } else if count > 1 {
        format!("{} (x{count} over {first})", since(event.get("lastTimestamp")))
    } else {
        first
    };
    let namespace = match with_namespace {
        true => format!("{}\t", event.path(&["metadata", "namespace"]).str_or_empty()),
        false => String::new(),
    };
    format!(
        "{namespace}{interval}\t{}\t{}\t{}/{}\t{}\n",
        event.get("type").str_or_empty(),
        event.get("reason").str_or_empty(),
        event.path(&["involvedObject", "kind"]).str_or_empty(),
        event.path(&["involvedObject", "name"]).str_or_empty(),
        event.get("message").str_or_empty().trim()
    )
}

/// When an event was last seen.
fn event_time(event: &Value) -> Option<jiff::Timestamp> {
    let series = event.path(&["series", "lastObservedTime"]);
    let candidates = [series, event.get("lastTimestamp"), event.get("eventTime")];
    candidates.iter().find(|v| !v.is_zero()).and_then(|v| v.str_or_empty().parse().ok())
}

async fn field_selector(inv: &Invocation) -> anyhow::Result<String> {
    let text = inv.flags.str("for");
    if text.is_empty() {
        return Ok(String::new());
    }
    let words: Vec<&str> = text.split('/').collect();
    let (resource, name) = match words.as_slice() {
        [_] => anyhow::bail!("--for must be in resource/name form"),
        [resource, name] => (resource, name),
        _ => anyhow::bail!("arguments in resource/name form may not have more than one slash"),
    };
    let mapping =
        inv.ctx.mapper().await?.resource(&resource.to_lowercase()).map_err(|e| Failure::Coded(e.to_string(), 1))?;
    Ok(format!(
        "involvedObject.kind={},involvedObject.apiVersion={},involvedObject.name={name}",
        mapping.kind,
        mapping.api_version()
    ))
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let all = inv.flags.get_bool("all-namespaces");
    let (namespace, _) = inv.ctx.namespace()?;
    let selector = field_selector(&inv).await?;
    let printer = match inv.flags.str("output").is_empty() {
        true => None,
        false => Some(PrintFlags::from_flags(&inv.flags).printer("events")?),
    };
    let types = inv.flags.list("types");
    let known = |t: &String| t.eq_ignore_ascii_case("Normal") || t.eq_ignore_ascii_case("Warning");
    anyhow::ensure!(types.iter().all(known), "valid --types are Normal or Warning");
    let mut show = Show { printer, with_namespace: all, headers: !inv.flags.get_bool("no-headers"), types };
    let path = if all { "/api/v1/events".to_owned() } else { format!("/api/v1/namespaces/{namespace}/events") };
    if inv.flags.get_bool("watch") {
        return watch(&inv, &mut show, &path, &selector).await;
    }
    let rest = inv.ctx.rest().await?;
    let mut events: Vec<Value> = Vec::new();
    let mut token = String::new();
    loop {
        let request =
            Request::get(&path).maybe("fieldSelector", &selector).query("limit", "500").maybe("continue", &token);
        let page = rest.value(request).await?;
        events.extend(page.get("items").items().iter().cloned());
        page.path(&["metadata", "continue"]).str_or_empty().clone_into(&mut token);
        if token.is_empty() {
            break;
        }
    }
    events.retain(|e| show.wanted(e));
    if events.is_empty() {
        let place = if all { ".".to_owned() } else { format!(" in {namespace} namespace.") };
        inv.ctx.err(&format!("No events found{place}\n"));
        return Ok(());
    }
    for event in &mut events {
        event.set("kind", "Event");
        event.set("apiVersion", "v1");
    }
    pdqsort::sort(&mut events, |a, b| event_time(a) < event_time(b));
    let mut list = Value::from([("kind", "EventList"), ("apiVersion", "v1")]);
    list.set("metadata", Value::map());
    list.set("items", events.clone());
    inv.ctx.out(&show.text(&list, &events)?);
    Ok(())
}

async fn watch(inv: &Invocation, show: &mut Show, path: &str, selector: &str) -> anyhow::Result<()> {
    let request = Request::get(path).maybe("fieldSelector", selector).query("watch", "true");
    let mut lines = inv.ctx.rest().await?.stream(request).await?.lines();
    while let Some(line) = lines.next_line().await? {
        let change = crate::codec::decode_json(line.as_bytes())?;
        let mut event = change.get("object").clone();
        if change.get("type").str_or_empty() == "DELETED" || !show.wanted(&event) {
            continue;
        }
        event.set("kind", "Event");
        event.set("apiVersion", "v1");
        let text = show.text(&event, std::slice::from_ref(&event))?;
        inv.ctx.out(&text);
    }
    Ok(())
}
