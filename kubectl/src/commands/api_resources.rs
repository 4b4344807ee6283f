//! `kubectl api-resources`. Corresponds to kubectl/pkg/cmd/apiresources.

use apimachinery::value::Value;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::{ApiResource, Discovery};
use crate::printers::TabWriter;

/// The command.
pub static COMMAND: Command = Command {
    name: "api-resources",
    short: "Print the supported API resources on the server",
    example: "# The resources\nkubectl api-resources\n\n# With verbs and categories\nkubectl api-resources -o wide\n\n# Those of one group\nkubectl api-resources --api-group=apps",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    flags.bool(
        "no-headers",
        "",
        false,
        "When using the default or custom-column output format, don't print headers (default print headers).",
    );
    flags.string("output", "o", "", "Output format. One of: (json, yaml, name, wide).");
    flags.string("api-group", "", "", "Limit to resources in the specified API group.");
    flags.bool(
        "namespaced",
        "",
        true,
        "If false, non-namespaced resources will be returned, otherwise returning namespaced resources by default.",
    );
    flags.slice("verbs", "", "", "Limit to resources that support the specified verbs.");
    flags.string(
        "sort-by",
        "",
        "",
        "If non-empty, sort list of resources using specified field. The field can be either 'name' or 'kind'.",
    );
    flags.bool("cached", "", false, "Use the cached list of resources if available.");
    flags.slice("categories", "", "", "Limit to resources that belong to the specified categories.");
}

/// A resource with the group-version it is preferred in.
struct Row {
    group: String,
    api_version: String,
    resource: ApiResource,
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let output = inv.flags.str("output");
    if !inv.args.is_empty() {
        return Err(inv.usage_error(format!("unexpected arguments: [{}]", inv.args.join(" "))));
    }
    anyhow::ensure!(
        matches!(output, "" | "wide" | "name" | "json" | "yaml" | "kyaml"),
        "unable to match a printer suitable for the output format \"{output}\", allowed formats are: json,kyaml,name,wide,yaml"
    );
    let sort = inv.flags.str("sort-by");
    anyhow::ensure!(matches!(sort, "" | "name" | "kind"), "--sort-by accepts only name or kind");
    let mapper = inv.ctx.mapper().await?;
    let mut rows = preferred(mapper.discovery());
    let failed = &mapper.discovery().failed;
    rows.retain(|row| wanted(&inv.flags, row));
    rows.sort_by(|a, b| match sort {
        "name" => a.resource.name.cmp(&b.resource.name),
        "kind" => a.resource.kind.cmp(&b.resource.kind),
        _ => (&a.group, &a.resource.name).cmp(&(&b.group, &b.resource.name)),
    });
    inv.ctx.out(&render(&rows, output, inv.flags.get_bool("no-headers")));
    if failed.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = failed.iter().map(|(version, error)| format!("{version}: {error}")).collect();
    anyhow::bail!("unable to retrieve the complete list of server APIs: {}", texts.join(", "))
}

/// Each resource in the first version of its group that has it, groups with the most preferred first.
fn preferred(discovery: &Discovery) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for group in &discovery.groups {
        for version in &group.versions {
            let api_version = match group.name.is_empty() {
                true => version.version.clone(),
                false => format!("{}/{}", group.name, version.version),
            };
            for resource in &version.resources {
                let known = |r: &Row| r.group == group.name && r.resource.name == resource.name;
                if resource.name.contains('/') || resource.verbs.is_empty() || rows.iter().any(known) {
                    continue;
                }
                rows.push(Row {
                    group: group.name.clone(),
                    api_version: api_version.clone(),
                    resource: resource.clone(),
                });
            }
        }
    }
    rows
}

fn wanted(flags: &FlagSet, row: &Row) -> bool {
    let all = |wanted: Vec<String>, there: &[String]| wanted.iter().all(|w| there.contains(w));
    (!flags.changed("api-group") || row.group == flags.str("api-group"))
        && (!flags.changed("namespaced") || row.resource.namespaced == flags.get_bool("namespaced"))
        && all(flags.list("verbs"), &row.resource.verbs)
        && all(flags.list("categories"), &row.resource.categories)
}

fn render(rows: &[Row], output: &str, no_headers: bool) -> String {
    match output {
        "name" => {
            let name = |row: &Row| match row.group.is_empty() {
                true => format!("{}\n", row.resource.name),
                false => format!("{}.{}\n", row.resource.name, row.group),
            };
            rows.iter().map(name).collect()
        }
        "json" => {
            let list = list(rows);
            crate::printers::indent4(&crate::printers::typed_json(&list))
        }
        "yaml" => crate::codec::encode_yaml(&list(rows)),
        "kyaml" => crate::printers::kyaml(&list(rows)),
        _ => table(rows, output == "wide", no_headers),
    }
}

fn list(rows: &[Row]) -> Value {
    let mut list = Value::from([("kind", "APIResourceList"), ("apiVersion", "v1"), ("groupVersion", "")]);
    let one = |row: &Row| {
        let resource = &row.resource;
        let mut out = Value::map();
        out.set("name", resource.name.as_str());
        out.set("singularName", resource.singular.as_str());
        out.set("namespaced", resource.namespaced);
        if !row.group.is_empty() {
            out.set("group", row.group.as_str());
        }
        out.set("version", row.api_version.rsplit('/').next().unwrap_or_default());
        out.set("kind", resource.kind.as_str());
        out.set("verbs", resource.verbs.clone());
        if !resource.short_names.is_empty() {
            out.set("shortNames", resource.short_names.clone());
        }
        if !resource.categories.is_empty() {
            out.set("categories", resource.categories.clone());
        }
        out
    };
    list.set("resources", rows.iter().map(one).collect::<Vec<Value>>());
    list
}

fn table(rows: &[Row], wide: bool, no_headers: bool) -> String {
    let mut out = TabWriter::table();
    if !no_headers {
        out.write("NAME\tSHORTNAMES\tAPIVERSION\tNAMESPACED\tKIND");
        out.write(if wide { "\tVERBS\tCATEGORIES\n" } else { "\n" });
    }
    for Row { api_version, resource, .. } in rows {
        let short = resource.short_names.join(",");
        out.write(&format!("{}\t{short}\t{api_version}\t{}\t{}", resource.name, resource.namespaced, resource.kind));
        if wide {
            out.write(&format!("\t{}\t{}", resource.verbs.join(","), resource.categories.join(",")));
        }
        out.write("\n");
    }
    out.flush()
}
