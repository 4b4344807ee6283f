//! `kubectl explain`: the documentation of a field out of the server's OpenAPI v3.
//! Corresponds to kubectl/pkg/cmd/explain and kubectl/pkg/explain/v2.

use apimachinery::value::Value;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::{Mapping, Request};
use crate::failure::Failure;
use crate::schema_text::SchemaText;
use crate::schema_text_v2::DefinitionText;

/// The command.
pub static COMMAND: Command = Command {
    name: "explain",
    args: "TYPE [--recursive=FALSE|TRUE] [--api-version=api-version-group] [-o|--output=plaintext|plaintext-openapiv2]",
    short: "Get documentation for a resource",
    long: "Describe fields and structure of various resources.\n\nFields are named by their JSONPath: <type>.<fieldName>[.<fieldName>]\n\nUse \"kubectl api-resources\" for a complete list of supported resources.",
    example: "# A resource and its fields\nkubectl explain pods\n\n# One field\nkubectl explain pods.spec.containers",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    flags.bool("recursive", "R", false, "When true, print the name of all the fields recursively. Otherwise, print the available fields with their description.");
    flags.string("api-version", "", "", "Use given api-version (group/version) of the resource.");
    flags.string(
        "output",
        "o",
        "plaintext",
        "Format in which to render the schema. Valid values are: (plaintext, plaintext-openapiv2).",
    );
}

/// The resource and the fields of `pods.spec.containers` or `deployments.apps.spec`.
async fn split(inv: &Invocation, text: &str) -> anyhow::Result<(Mapping, Vec<String>)> {
    let text = text.strip_suffix('.').unwrap_or(text);
    anyhow::ensure!(!text.starts_with('.'), "invalid jsonpath syntax, first node must be field node");
    // `pods..spec` is a recursive descent, whose own node is no field; upstream skips it.
    let words: Vec<&str> = text.split('.').filter(|word| !word.is_empty()).collect();
    let mapper = inv.ctx.mapper_within(2).await?;
    let unprefixed = |error: anyhow::Error| Failure::Coded(error.to_string(), 1);
    let mapping = (*mapper.resource(words[0]).map_err(unprefixed)?).clone();
    let full = mapping.group_resource();
    let skip = match text.strip_prefix(&full) {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => full.split('.').count(),
        _ => 1,
    };
    let fields = words.iter().skip(skip).map(|w| (*w).to_owned()).collect();
    Ok((mapping, fields))
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let text = match inv.args.as_slice() {
        [one] => one.clone(),
        [] => anyhow::bail!(
            "You must specify the type of resource to explain. Use \"kubectl api-resources\" for a complete list of supported resources.\n"
        ),
        _ => anyhow::bail!("We accept only this format: explain RESOURCE\n"),
    };
    let (mut mapping, fields) = split(&inv, &text).await?;
    let version = inv.flags.str("api-version");
    if !version.is_empty() {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        group.clone_into(&mut mapping.group);
        version.clone_into(&mut mapping.version);
    }
    let output = inv.flags.str("output");
    if output == "plaintext-openapiv2" {
        return by_definitions(&inv, &mapping, &fields).await;
    }
    let rest = inv.ctx.rest().await?;
    let index = rest.value(Request::get("/openapi/v3")).await?;
    let prefix = if mapping.group.is_empty() { "api/" } else { "apis/" };
    let path = format!("{prefix}{}", mapping.api_version());
    let gvr = match mapping.group.is_empty() {
        true => format!("/{}, Resource={}", mapping.version, mapping.resource),
        false => format!("{}, Resource={}", mapping.api_version(), mapping.resource),
    };
    let entry = index.path(&["paths", &path, "serverRelativeURL"]);
    let Some(url) = entry.as_str() else {
        anyhow::bail!("couldn't find resource for \"{gvr}\"");
    };
    let document = rest.value(Request::get(url)).await;
    let document = document.map_err(|e| anyhow::anyhow!("failed to fetch openapi schema for {path}: {e}"))?;
    anyhow::ensure!(output == "plaintext", "unrecognized format: {output}");
    let kind = kind_of(&document, &mapping)
        .ok_or_else(|| anyhow::anyhow!("error: GVR ({gvr}) not found in OpenAPI schema"))?;
    inv.ctx.out(&head(kind));
    inv.ctx.out(&render(&document, kind, &fields, inv.flags.get_bool("recursive"))?);
    Ok(())
}

/// The form of servers without OpenAPI v3.
async fn by_definitions(inv: &Invocation, mapping: &Mapping, fields: &[String]) -> anyhow::Result<()> {
    let document = inv.ctx.rest().await?.value(Request::get("/openapi/v2")).await?;
    let text = DefinitionText { document: &document };
    let (group, version, kind) = (&mapping.group, &mapping.version, &mapping.kind);
    let definition = text
        .definition(group, version, kind)
        .ok_or_else(|| anyhow::anyhow!("couldn't find resource for \"{group}/{version}, Kind={kind}\""))?;
    let schema =
        text.lookup(definition, fields).map_err(|field| anyhow::anyhow!("field \"{field}\" does not exist"))?;
    inv.ctx.out(&format!("KIND:     {kind}\nVERSION:  {}\n\n", mapping.api_version()));
    let name = fields.last().map_or("", String::as_str);
    inv.ctx.out(&text.output(schema, name, inv.flags.get_bool("recursive")));
    Ok(())
}

fn head(kind: &Value) -> String {
    let text = |key: &str| kind.get(key).str_or_empty();
    let group = match text("group") {
        "" => String::new(),
        group => format!("GROUP:      {group}\n"),
    };
    format!("{group}KIND:       {}\nVERSION:    {}\n\n", text("kind"), text("version"))
}

fn render(document: &Value, kind: &Value, fields: &[String], recursive: bool) -> anyhow::Result<String> {
    let same =
        |k: &Value| ["group", "version", "kind"].iter().all(|f| k.get(f).str_or_empty() == kind.get(f).str_or_empty());
    let schema = document
        .path(&["components", "schemas"])
        .entries()
        .map(|(_, schema)| schema)
        .find(|s| s.get("x-kubernetes-group-version-kind").items().iter().any(same))
        .ok_or_else(|| anyhow::anyhow!("error: GVK {} not found in OpenAPI schema", crate::printers::sprint(kind)))?;
    let part = SchemaText { document, recursive }.output(schema, fields);
    anyhow::ensure!(!part.is_empty(), "error: field \"{}\" does not exist", fields.last().map_or("", String::as_str));
    Ok(format!("{part}\n"))
}

/// The group, version and kind that the operations of the resource carry.
fn kind_of<'d>(document: &'d Value, mapping: &Mapping) -> Option<&'d Value> {
    let prefix = match mapping.group.is_empty() {
        true => format!("/api/{}", mapping.version),
        false => format!("/apis/{}/{}", mapping.group, mapping.version),
    };
    let resource = &mapping.resource;
    let paths = [
        format!("{prefix}/{resource}"),
        format!("{prefix}/{resource}/{{name}}"),
        format!("{prefix}/namespaces/{{namespace}}/{resource}"),
        format!("{prefix}/namespaces/{{namespace}}/{resource}/{{name}}"),
    ];
    for path in &paths {
        let item = document.path(&["paths", path]);
        for method in ["get", "post", "put", "patch", "delete"] {
            let kind = item.path(&[method, "x-kubernetes-group-version-kind"]);
            if !kind.is_null() {
                return Some(kind);
            }
        }
    }
    None
}
