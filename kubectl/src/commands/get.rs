//! `kubectl get`. Corresponds to kubectl/pkg/cmd/get/get.go.

use std::rc::Rc;

use apimachinery::value::Value;
use tokio::io::AsyncBufReadExt as _;

use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::client::{Mapping, Request};
use crate::context::Context;
use crate::failure::{Failure, aggregate, is_not_found, message_for};
use crate::options;
use crate::printers::{self, GenericPrinter, PrintFlags, TabWriter, TableOptions, TablePrinter, human_output};
use crate::resource::{Builder, FilenameOptions, Found, Info, is_list};

/// The command.
pub static COMMAND: Command = Command {
    name: "get",
    args: "[(-o|--output=)json|yaml|kyaml|name|go-template|go-template-file|template|templatefile|jsonpath|jsonpath-as-json|jsonpath-file|custom-columns|custom-columns-file|wide] (TYPE[.VERSION][.GROUP] [NAME | -l label] | TYPE[.VERSION][.GROUP]/NAME ...) [flags]",
    short: "Display one or many resources",
    long: "Display one or many resources.\n\nPrints a table of the most important information about them, or the objects themselves in another format. Without --namespace or --all-namespaces, only objects of the current namespace are shown.\n\nUse \"kubectl api-resources\" for a complete list of supported resources.",
    example: "# All pods\nkubectl get pods\n\n# All pods with more columns\nkubectl get pods -o wide\n\n# One deployment as JSON\nkubectl get -o json deployment web\n\n# The phase of one pod\nkubectl get pod/web-1 -o jsonpath='{.status.phase}'",
    suggest_for: &["list", "ls"],
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    flags.bool("all-namespaces", "A", false, "If present, list the requested objects across all namespaces. Namespace in current context is ignored even if specified with --namespace.");
    options::chunk_size_flag(flags);
    flags.string("field-selector", "", "", "Selector (field query) to filter on, supports '=', '==', and '!='. The server only supports a limited number of field queries per type.");
    options::filename_flags(
        flags,
        "Filename, directory, or URL to files identifying the resource to get from a server.",
    );
    flags.bool(
        "ignore-not-found",
        "",
        false,
        "If set to true, suppresses NotFound error for specific objects that do not exist.",
    );
    flags.slice("label-columns", "L", "", "Comma separated list of labels that are shown as columns.");
    flags.bool(
        "no-headers",
        "",
        false,
        "When using the default or custom-column output format, don't print headers (default print headers).",
    );
    flags.bool("output-watch-events", "", false, "Output watch event objects when --watch or --watch-only is used. Existing objects are output as initial ADDED events.");
    flags.string(
        "raw",
        "",
        "",
        "Raw URI to request from the server. Uses the transport specified by the kubeconfig file.",
    );
    options::selector_flag(flags);
    flags.bool(
        "server-print",
        "",
        true,
        "If true, have the server return the appropriate table output. Supports extension APIs and CRDs.",
    );
    flags.bool("show-kind", "", false, "If present, list the resource type for the requested object(s).");
    flags.bool(
        "show-labels",
        "",
        false,
        "When printing, show all labels as the last column (default hide labels column)",
    );
    flags.string("sort-by", "", "", "If non-empty, sort list types using this field specification, a JSONPath expression (e.g. '{.metadata.name}').");
    flags.string("subresource", "", "", "If specified, gets the subresource of the requested object.");
    flags.bool("watch", "w", false, "After listing/getting the requested object, watch for changes.");
    flags.bool("watch-only", "", false, "Watch for changes to the requested object(s), without listing/getting first.");
}

struct Get {
    ctx: Rc<Context>,
    flags: FlagSet,
    print: PrintFlags,
    args: Vec<String>,
    namespace: String,
    explicit: bool,
    all_namespaces: bool,
    human: bool,
    sort_by: String,
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let flags = inv.flags.clone();
    let raw = flags.str("raw").to_owned();
    let print = PrintFlags::from_flags(&flags);
    if !raw.is_empty() {
        anyhow::ensure!(inv.args.is_empty(), "arguments may not be passed when --raw is specified");
        return get_raw(&inv, &raw).await;
    }
    let (namespace, explicit) = inv.ctx.namespace()?;
    let human = human_output(&print.output) && flags.str("template").is_empty();
    let get = Get {
        ctx: Rc::clone(&inv.ctx),
        print,
        args: inv.args.clone(),
        namespace,
        explicit: explicit && !flags.get_bool("all-namespaces"),
        all_namespaces: flags.get_bool("all-namespaces"),
        human,
        sort_by: flags.str("sort-by").to_owned(),
        flags,
    };
    let watching = get.flags.get_bool("watch") || get.flags.get_bool("watch-only");
    if watching && !get.sort_by.is_empty() {
        inv.ctx.err(if get.flags.get_bool("watch") {
            "warning: --watch requested, --sort-by will be ignored for watch events received\n"
        } else {
            "warning: --watch-only requested, --sort-by will be ignored\n"
        });
    }
    if !watching && get.args.is_empty() && FilenameOptions::from_flags(&get.flags).is_empty() {
        inv.ctx.err("You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of supported resources.\n\n");
        return Err(inv.usage_error(
            "Required resource not specified.\nUse \"kubectl explain <resource>\" for a detailed description of that resource (e.g. kubectl explain pods).",
        ));
    }
    get.validate(watching)?;
    if watching {
        return get.watch().await;
    }
    if get.human { get.tables().await } else { get.objects().await }
}

async fn get_raw(inv: &Invocation, raw: &str) -> anyhow::Result<()> {
    let flags = &inv.flags;
    anyhow::ensure!(
        !flags.get_bool("watch") && !flags.get_bool("watch-only") && flags.str("selector").is_empty(),
        "--raw may not be specified with other flags that filter the server request or alter the output"
    );
    anyhow::ensure!(flags.str("output").is_empty(), "--raw and --output are mutually exclusive");
    anyhow::ensure!(
        raw.starts_with('/') || raw.contains("://"),
        "--raw must be a valid URL path: parse {}: invalid URI for request",
        quote(raw)
    );
    let mut stream = inv.ctx.rest().await?.stream(Request::get(raw).accept("application/json, */*")).await?;
    loop {
        let chunk = stream.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(());
        }
        inv.ctx.out_bytes(chunk);
        let length = chunk.len();
        stream.consume(length);
    }
}

impl Get {
    fn validate(&self, watching: bool) -> anyhow::Result<()> {
        let output = &self.print.output;
        anyhow::ensure!(
            !self.flags.get_bool("show-labels") || human_output(output),
            "--show-labels option cannot be used with {output} printer"
        );
        anyhow::ensure!(
            watching || !self.flags.get_bool("output-watch-events"),
            "--output-watch-events option can only be used with --watch or --watch-only"
        );
        Ok(())
    }

    /// Whether the server is asked for tables, and with whole objects.
    fn table(&self) -> Option<bool> {
        (self.human && self.flags.get_bool("server-print")).then_some(!self.sort_by.is_empty())
    }

    async fn builder(&self) -> Builder<'_> {
        Builder::new(&self.ctx)
            .namespace(&self.namespace, self.explicit)
            .all_namespaces(self.all_namespaces)
            .filenames(&FilenameOptions::from_flags(&self.flags))
            .labels(self.flags.str("selector"))
            .fields(self.flags.str("field-selector"))
            .subresource(self.flags.str("subresource"))
            .chunk(if self.sort_by.is_empty() { self.flags.get_int("chunk-size") } else { 0 })
            .table(self.table())
            .args(true, &self.args)
            .await
            .latest()
    }

    async fn collect(&self) -> anyhow::Result<Found> {
        let mut found = self.builder().await.continue_on_error().flatten().run().await?;
        if self.flags.get_bool("ignore-not-found") {
            found.items.retain(|item| !item.as_ref().is_err_and(is_not_found));
        }
        Ok(found)
    }

    /// A printer for the tables of one resource.
    fn table_printer(&self, mapping: Option<&Mapping>, namespace: bool, kind: bool) -> TablePrinter {
        let kind = kind || self.flags.get_bool("show-kind");
        TablePrinter::new(TableOptions {
            no_headers: self.flags.get_bool("no-headers"),
            with_namespace: namespace,
            kind: mapping.filter(|_| kind).map(|m| m.group_kind().to_lowercase()),
            wide: self.print.output == "wide",
            show_labels: self.flags.get_bool("show-labels"),
            label_columns: self.flags.list("label-columns"),
        })
    }

    async fn tables(&self) -> anyhow::Result<()> {
        let (mut infos, errors) = self.collect().await?.split();
        self.sort(&mut infos)?;
        let with_kind = several_kinds(&infos);
        let mut writer = TabWriter::table();
        let mut printer: Option<TablePrinter> = None;
        let mut last: Option<Rc<Mapping>> = None;
        let mut written = false;
        let mut separate = false;
        let mut all_namespaced = !self.all_namespaces;
        let mut flush = |writer: &mut TabWriter, separate: &mut bool| {
            let text = writer.flush();
            if text.is_empty() {
                return;
            }
            if std::mem::take(separate) {
                self.ctx.out("\n");
            }
            written = true;
            self.ctx.out(&text);
        };
        let mut any = false;
        for info in &infos {
            all_namespaced = all_namespaced && info.namespaced();
            let cluster_wide = info.mapping.as_ref().is_some_and(|m| !m.namespaced);
            if printer.is_none()
                || last.as_ref().map(|m| (&m.group, &m.resource))
                    != info.mapping.as_ref().map(|m| (&m.group, &m.resource))
            {
                flush(&mut writer, &mut separate);
                writer.forget_widths();
                separate = last.is_some() && !self.flags.get_bool("no-headers") && any;
                let namespace = self.all_namespaces && !cluster_wide;
                printer = Some(self.table_printer(info.mapping.as_deref(), namespace, with_kind));
                last.clone_from(&info.mapping);
            }
            if let Some(printer) = &mut printer {
                printer.print(&info.object, "", &mut writer);
                any = any || has_rows(&info.object);
            }
        }
        flush(&mut writer, &mut separate);
        if !written && !self.flags.get_bool("ignore-not-found") && errors.is_empty() {
            self.ctx.err(&if all_namespaced {
                format!("No resources found in {} namespace.\n", self.namespace)
            } else {
                "No resources found\n".to_owned()
            });
        }
        match errors.as_slice() {
            [] => Ok(()),
            [one] => Err(Failure::Coded(message_for(one), 1).into()),
            _ => Err(Failure::Many(errors).into()),
        }
    }

    /// Sorts several answers among themselves, and the rows of each. As upstream, a table whose rows cannot be sorted
    /// is left out.
    fn sort(&self, infos: &mut Vec<Info>) -> anyhow::Result<()> {
        if self.sort_by.is_empty() {
            return Ok(());
        }
        if infos.len() > 1 {
            sort_infos(infos, &self.sort_by)?;
        }
        infos.retain_mut(|info| {
            !is_table(&info.object) || printers::sort_table(&mut info.object, &self.sort_by).is_ok()
        });
        Ok(())
    }

    async fn objects(&self) -> anyhow::Result<()> {
        let found = self.collect().await?;
        let single = found.single;
        let (mut infos, errors) = found.split();
        if single && !errors.is_empty() {
            return aggregate(errors);
        }
        if infos.is_empty() && self.flags.get_bool("ignore-not-found") {
            return aggregate(errors);
        }
        let mut printer = self.print.get_printer()?;
        let object = if single && infos.len() == 1 {
            infos.remove(0).object
        } else {
            let mut items: Vec<Value> = infos.into_iter().map(|i| i.object).collect();
            if !self.sort_by.is_empty() && items.len() > 1 {
                printers::sort_objects(&mut items, &self.sort_by)?;
            }
            list_of(items)
        };
        self.ctx.out(&printer.print(&object)?);
        aggregate(errors)
    }

    async fn watch(&self) -> anyhow::Result<()> {
        let found = self.builder().await.single_type().run().await?;
        let mut infos = match found.infos() {
            Err(error) if is_not_found(&error) && self.flags.get_bool("ignore-not-found") => return Ok(()),
            other => other?,
        };
        anyhow::ensure!(
            infos.len() == 1,
            "watch is only supported on individual resources and resource collections - {} resources were found",
            infos.len()
        );
        let info = infos.remove(0);
        let mapping = Rc::clone(info.mapping()?);
        let mut out = WatchOutput {
            ctx: &self.ctx,
            printer: if self.human {
                Shown::Table(self.table_printer(Some(&mapping), self.all_namespaces && mapping.namespaced, false))
            } else {
                Shown::Objects(self.print.get_printer()?)
            },
            events: self.flags.get_bool("output-watch-events"),
            writer: TabWriter::table(),
        };
        let list = is_list(&info.object) || info.name.is_empty();
        let only = self.flags.get_bool("watch-only");
        if !only {
            out.show("ADDED", &info.object)?;
        }
        let version = if list { info.resource_version().to_owned() } else { "0".to_owned() };
        self.follow(&info, &mapping, &version, !list, &mut out).await
    }

    /// Shows changes until the server ends the watch. `skip_first` drops the event of the present state.
    async fn follow(
        &self,
        info: &Info,
        mapping: &Mapping,
        version: &str,
        mut skip_first: bool,
        out: &mut WatchOutput<'_>,
    ) -> anyhow::Result<()> {
        let mut selector = self.flags.str("field-selector").to_owned();
        if !info.name.is_empty() {
            selector = format!("metadata.name={}", info.name);
        }
        let request = Request::to(http::Method::GET, mapping, &info.namespace, "")
            .query("watch", "true")
            .maybe("labelSelector", self.flags.str("selector"))
            .maybe("fieldSelector", &selector)
            .maybe("resourceVersion", version)
            .table(self.table().is_some());
        let rest = self.ctx.rest().await?;
        let deadline = rest.timeout().map(|limit| tokio::time::Instant::now() + limit);
        let mut lines = rest.stream(request).await?.lines();
        loop {
            let next = match deadline {
                None => lines.next_line().await,
                Some(deadline) => match tokio::time::timeout_at(deadline, lines.next_line()).await {
                    Ok(next) => next,
                    Err(_) => return Ok(()),
                },
            };
            let Some(line) = next? else {
                return Ok(());
            };
            if line.is_empty() {
                continue;
            }
            let event = crate::codec::decode_json(line.as_bytes())?;
            let kind = event.get("type").str_or_empty();
            if kind == "BOOKMARK" || std::mem::take(&mut skip_first) {
                continue;
            }
            if kind == "ERROR"
                && let Some(status) = crate::failure::ApiStatus::from_value(event.get("object"))
            {
                return Err(Failure::Status(Box::new(status)).into());
            }
            out.show(kind, event.get("object"))?;
        }
    }
}

enum Shown {
    Table(TablePrinter),
    Objects(GenericPrinter),
}

struct WatchOutput<'a> {
    ctx: &'a Context,
    printer: Shown,
    events: bool,
    writer: TabWriter,
}

impl WatchOutput<'_> {
    fn show(&mut self, event: &str, object: &Value) -> anyhow::Result<()> {
        let text = match &mut self.printer {
            Shown::Table(printer) => {
                printer.print(object, if self.events { event } else { "" }, &mut self.writer);
                self.writer.flush()
            }
            Shown::Objects(printer) => {
                let mut text = String::new();
                let items = if is_list(object) { crate::resource::list_items(object) } else { vec![object.clone()] };
                for item in items {
                    let shown =
                        if self.events { Value::from([("type", Value::from(event)), ("object", item)]) } else { item };
                    text.push_str(&printer.print(&shown)?);
                }
                text
            }
        };
        self.ctx.out(&text);
        Ok(())
    }
}

fn is_table(object: &Value) -> bool {
    object.get("kind").str_or_empty() == "Table"
}

fn has_rows(object: &Value) -> bool {
    !is_table(object) || !object.get("rows").items().is_empty()
}

fn several_kinds(infos: &[Info]) -> bool {
    let Some(first) = infos.first() else {
        return false;
    };
    infos.iter().any(|i| i.mapping != first.mapping)
}

/// A `v1` List with an empty resource version.
pub(crate) fn list_of(items: Vec<Value>) -> Value {
    Value::from([
        ("apiVersion", Value::from("v1")),
        ("items", Value::List(items)),
        ("kind", Value::from("List")),
        ("metadata", Value::from([("resourceVersion", Value::from(""))])),
    ])
}

fn sort_infos(infos: &mut Vec<Info>, field: &str) -> anyhow::Result<()> {
    let mut objects: Vec<Value> = infos
        .iter()
        .enumerate()
        .map(|(i, info)| {
            let mut object = info.object.clone();
            object.set("\u{0}position", i64::try_from(i).unwrap_or(0));
            object
        })
        .collect();
    printers::sort_objects(&mut objects, field)?;
    let mut old: Vec<Option<Info>> = infos.drain(..).map(Some).collect();
    for object in objects {
        let at = object.get("\u{0}position").as_i64().and_then(|i| usize::try_from(i).ok());
        infos.extend(at.and_then(|at| old.get_mut(at)).and_then(Option::take));
    }
    Ok(())
}
