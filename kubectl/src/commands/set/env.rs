//! `kubectl set env`.

use std::collections::BTreeMap;

use apimachinery::value::Value;
use base64::Engine as _;

use super::{change_all, common_flags, each_container, objects, with_pod_spec};
use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::options::{self, DryRun};
use crate::resource::{Builder, FilenameOptions, Info};

/// The command.
pub static COMMAND: Command = Command {
    name: "env",
    args: "RESOURCE/NAME KEY_1=VAL_1 ... KEY_N=VAL_N",
    short: "Update environment variables on a pod template",
    long: "Update environment variables on a pod template.\n\nList environment variable definitions in one or more pods, pod templates. Add, update, or remove container environment variable definitions in one or more pod templates.",
    example: "# Set a variable\nkubectl set env deployment/registry STORAGE_DIR=/local\n\n# Show them\nkubectl set env deployment/sample-build --list\n\n# Out of a secret\nkubectl set env --from=secret/mysecret deployment/myapp\n\n# Remove one\nkubectl set env deployments --all ENV-",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    common_flags(flags, "the resource to update the env");
    options::selector_flag(flags);
    flags.string(
        "containers",
        "c",
        "*",
        "The names of containers in the selected pod templates to change - may use wildcards",
    );
    flags.string("from", "", "", "The name of a resource from which to inject environment variables");
    flags.string("prefix", "", "", "Prefix to append to variable names");
    flags.array("env", "e", "Specify a key-value pair for an environment variable to set into each container.");
    flags.slice("keys", "", "", "Comma-separated list of keys to import from specified resource");
    flags.bool("list", "", false, "If true, display the environment and any changes in the standard format.");
    flags.bool("resolve", "", false, "If true, show secret or configmap references when listing variables");
    flags.bool(
        "overwrite",
        "",
        true,
        "If true, allow environment to be overwritten, otherwise reject updates that overwrite existing environment.",
    );
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let flags = &inv.flags;
    anyhow::ensure!(
        !flags.get_bool("all") || flags.str("selector").is_empty(),
        "cannot set --all and --selector at the same time"
    );
    let (resources, pairs) = split(&inv.args)?;
    validate(&inv, &resources)?;
    let mut all = flags.list("env");
    all.extend(pairs.iter().cloned());
    let (mut env, remove) = parse(&all)?;
    if !flags.str("from").is_empty() {
        env.extend(from_resource(&inv).await?);
    }
    let prefix = flags.str("prefix");
    for variable in &mut env {
        let name = format!("{prefix}{}", variable.get("name").str_or_empty());
        variable.set("name", name);
    }
    let infos = objects(&inv, &resources).await?;
    let list = flags.get_bool("list");
    let references = match list && flags.get_bool("resolve") {
        true => Some(references(&inv, &infos, &env).await?),
        false => None,
    };
    let pattern = flags.str("containers").to_owned();
    let overwrite = flags.get_bool("overwrite");
    let failed = "failed to patch env update to pod template: ";
    change_all(&inv, infos, "env updated", failed, |object, _| {
        let whole = object.clone();
        let shown =
            format!("{} {}", object.get("kind").str_or_empty(), object.path(&["metadata", "name"]).str_or_empty());
        let mut refused = None;
        let mut count = 0;
        with_pod_spec(object, |spec| {
            count = each_container(spec, &pattern, |container| {
                if !overwrite {
                    refused = refused.take().or_else(|| overwritten(container, &env));
                }
                update(container, &env, &remove);
                if list {
                    show(&inv, &shown, container, references.as_ref().map(|found| (found, &whole)));
                }
            });
        })?;
        if count == 0 {
            let shown = shown.replacen(' ', "/", 1);
            inv.ctx.err(&format!("Warning: {shown} does not have any containers matching {}\n", quote(&pattern)));
        }
        match refused {
            Some(error) => Err(error),
            None => Ok(!list),
        }
    })
    .await
}

fn is_change(arg: &str) -> bool {
    arg == "-" || (arg.contains('=') && !arg.starts_with('=')) || (arg.ends_with('-') && !arg.contains('/'))
}

fn split(args: &[String]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let at = args.iter().position(|a| is_change(a)).unwrap_or(args.len());
    anyhow::ensure!(
        args[at..].iter().all(|a| is_change(a)),
        "all resources must be specified before environment changes: {}",
        args.join(" ")
    );
    Ok((args[..at].to_vec(), args[at..].to_vec()))
}

fn validate(inv: &Invocation, resources: &[String]) -> anyhow::Result<()> {
    let flags = &inv.flags;
    anyhow::ensure!(
        !flags.get_bool("local") || !DryRun::from_flags(flags)?.is_server(),
        "cannot specify --local and --dry-run=server - did you mean --dry-run=client?"
    );
    anyhow::ensure!(
        !resources.is_empty() || !FilenameOptions::from_flags(flags).filenames.is_empty(),
        "one or more resources must be specified as <resource> <name> or <resource>/<name>"
    );
    anyhow::ensure!(
        !flags.get_bool("list") || flags.str("output").is_empty(),
        "--list and --output may not be specified together"
    );
    anyhow::ensure!(
        flags.list("keys").is_empty() || !flags.str("from").is_empty(),
        "when specifying --keys, a configmap or secret must be provided with --from"
    );
    Ok(())
}

/// Variables to set and names to remove. `-` reads lines of standard input.
fn parse(specs: &[String]) -> anyhow::Result<(Vec<Value>, Vec<String>)> {
    let mut env: Vec<Value> = Vec::new();
    let mut remove = Vec::new();
    let variable = |name: &str, value: &str| {
        let mut variable = Value::from([("name", name)]);
        if !value.is_empty() {
            variable.set("value", value);
        }
        variable
    };
    for spec in specs {
        if spec == "-" {
            let text = String::from_utf8(crate::files::stdin()?)?;
            for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
                let (name, value) = line
                    .split_once('=')
                    .ok_or_else(|| anyhow::anyhow!("environment file contains invalid line: {line}"))?;
                env.push(variable(name, value));
            }
        } else if let Some((name, value)) = spec.split_once('=') {
            let errors = apimachinery::names::env_var_name(name);
            anyhow::ensure!(
                errors.is_empty() && !name.is_empty(),
                "{} is not a valid key name: {}",
                quote(name),
                errors.join(";")
            );
            env.push(variable(name, value));
        } else if let Some(name) = spec.strip_suffix('-') {
            remove.push(name.to_owned());
        } else {
            anyhow::bail!("unknown environment variable: {spec}");
        }
    }
    for name in &remove {
        anyhow::ensure!(
            !env.iter().any(|v| v.get("name").str_or_empty() == name),
            "can not both modify and remove the same environment variable: {name}"
        );
    }
    Ok((env, remove))
}

async fn from_resource(inv: &Invocation) -> anyhow::Result<Vec<Value>> {
    let (namespace, explicit) = inv.ctx.namespace()?;
    let infos = Builder::new(&inv.ctx)
        .continue_on_error()
        .namespace(&namespace, explicit)
        .args(false, &[inv.flags.str("from").to_owned()])
        .await
        .flatten()
        .latest()
        .run()
        .await?
        .infos()?;
    let keys = inv.flags.list("keys");
    let mut env = Vec::new();
    for info in infos {
        let field = match info.object.get("kind").str_or_empty() {
            "Secret" => "secretKeyRef",
            "ConfigMap" => "configMapKeyRef",
            _ => anyhow::bail!("unsupported resource specified in --from"),
        };
        for (key, _) in info.object.get("data").entries() {
            if !keys.is_empty() && !keys.iter().any(|k| k == key) {
                continue;
            }
            let name: String = key
                .to_uppercase()
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
                .collect();
            if name != key {
                inv.ctx.err(&format!("Warning: key {key} transferred to {name}\n"));
            }
            let mut variable = Value::from([("name", name)]);
            variable.set_path(&["valueFrom", field], Value::from([("key", key), ("name", info.name.as_str())]));
            env.push(variable);
        }
    }
    Ok(env)
}

fn overwritten(container: &Value, env: &[Value]) -> Option<anyhow::Error> {
    let present = container.get("env").items();
    for variable in env {
        let name = variable.get("name").str_or_empty();
        if let Some(old) = present.iter().find(|v| v.get("name").str_or_empty() == name) {
            if old.get("value") == variable.get("value") {
                continue;
            }
            let old = old.get("value").str_or_empty();
            return Some(anyhow::anyhow!("'{name}' already has a value ({old}), and --overwrite is false"));
        }
    }
    None
}

fn update(container: &mut Value, env: &[Value], remove: &[String]) {
    let name = |v: &Value| v.get("name").str_or_empty().to_owned();
    let mut out: Vec<Value> = Vec::new();
    let mut covered: Vec<String> = remove.to_vec();
    for old in container.get("env").items() {
        if covered.contains(&name(old)) {
            continue;
        }
        match env.iter().find(|v| name(v) == name(old)) {
            Some(new) => {
                covered.push(name(old));
                out.push(new.clone());
            }
            None => out.push(old.clone()),
        }
    }
    for new in env {
        if !covered.contains(&name(new)) {
            covered.push(name(new));
            out.push(new.clone());
        }
    }
    if out.is_empty() {
        container.remove("env");
    } else {
        container.set("env", Value::List(out));
    }
}

/// Config maps and secrets by the field that refers to them and their name; the error if they cannot be read.
type References = BTreeMap<(&'static str, String), Result<Value, String>>;

/// Fields that refer to a key of an object, with the resource and what messages call it.
const KEYED: [(&str, &str, &str); 2] =
    [("configMapKeyRef", "configmaps", "config map"), ("secretKeyRef", "secrets", "secret")];

/// Reads what the variables of all containers refer to.
async fn references(inv: &Invocation, infos: &[Info], env: &[Value]) -> anyhow::Result<References> {
    let rest = inv.ctx.rest().await?;
    let (namespace, _) = inv.ctx.namespace()?;
    let mut variables: Vec<Value> = env.to_vec();
    for info in infos {
        let mut object = info.object.clone();
        with_pod_spec(&mut object, |spec| {
            each_container(spec, "*", |container| variables.extend(container.get("env").items().iter().cloned()));
        })?;
    }
    let mut found = References::new();
    for (field, resource, _) in KEYED {
        for variable in &variables {
            let name = variable.path(&["valueFrom", field, "name"]).str_or_empty();
            if name.is_empty() || found.contains_key(&(field, name.to_owned())) {
                continue;
            }
            let object = rest.value(Request::get(format!("/api/v1/namespaces/{namespace}/{resource}/{name}"))).await;
            found.insert((field, name.to_owned()), object.map_err(|error| error.to_string()));
        }
    }
    Ok(found)
}

/// The value that a reference leads to.
fn resolved(from: &Value, container: &Value, object: &Value, found: &References) -> Result<String, String> {
    if let Some((field, _, what)) = KEYED.iter().find(|(field, _, _)| from.has(field)) {
        let text = |key: &str| from.path(&[field, key]).str_or_empty().to_owned();
        let (name, key) = (text("name"), text("key"));
        let source = match found.get(&(*field, name.clone())) {
            Some(source) => source.as_ref().map_err(Clone::clone)?,
            None => &Value::Null,
        };
        let data = source.path(&["data", &key]);
        return match (data.as_str(), *field) {
            (None, _) => Err(format!("key {key} not found in {what} {name}")),
            (Some(data), "secretKeyRef") => {
                let data = base64::engine::general_purpose::STANDARD.decode(data).unwrap_or_default();
                Ok(String::from_utf8_lossy(&data).into_owned())
            }
            (Some(data), _) => Ok(data.to_owned()),
        };
    }
    if from.has("resourceFieldRef") {
        return Ok(crate::describe::resource_field(container, from.get("resourceFieldRef")));
    }
    metadata_field(object, from.path(&["fieldRef", "fieldPath"]).str_or_empty())
}

fn metadata_field(object: &Value, path: &str) -> Result<String, String> {
    let meta = object.get("metadata");
    let unsupported = || Err(format!("unsupported fieldPath: {path}"));
    let Some(field) = path.strip_prefix("metadata.") else {
        return unsupported();
    };
    if let Some((map, key)) = field.strip_suffix("']").and_then(|field| field.split_once("['")) {
        return match map {
            "labels" | "annotations" => Ok(meta.path(&[map, key]).str_or_empty().to_owned()),
            _ => Err(format!("fieldPath {} does not support subscript", quote(path))),
        };
    }
    match field {
        "name" | "namespace" | "uid" => Ok(meta.get(field).str_or_empty().to_owned()),
        "labels" | "annotations" => {
            let line = |(key, value): (&str, &Value)| format!("{key}={}", quote(value.str_or_empty()));
            Ok(meta.get(field).entries().map(line).collect::<Vec<_>>().join("\n"))
        }
        _ => unsupported(),
    }
}

/// Lists a container's variables; with `found`, the values that references lead to.
fn show(inv: &Invocation, shown: &str, container: &Value, found: Option<(&References, &Value)>) {
    inv.ctx.out(&format!("# {shown}, container {}\n", container.get("name").str_or_empty()));
    let mut failures: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for variable in container.get("env").items() {
        let name = variable.get("name").str_or_empty();
        let from = variable.get("valueFrom");
        if from.is_null() {
            inv.ctx.out(&format!("{name}={}\n", variable.get("value").str_or_empty()));
            continue;
        }
        match found.map(|(found, object)| resolved(from, container, object, found)) {
            Some(Ok(value)) => {
                inv.ctx.out(&format!("{name}={value}\n"));
                continue;
            }
            Some(Err(error)) => failures.entry(error).or_default().push(name),
            None => {}
        }
        inv.ctx.out(&format!("# {name} from {}\n", reference(from)));
    }
    let mut lines: Vec<String> = Vec::new();
    for (error, mut names) in failures {
        names.sort_unstable();
        lines.push(format!("error retrieving reference for {}: {error}\n", names.join(", ")));
    }
    lines.sort();
    inv.ctx.err(&lines.concat());
}

fn reference(from: &Value) -> String {
    let text = |path: &[&str]| from.path(path).str_or_empty().to_owned();
    if from.has("configMapKeyRef") {
        return format!("configmap {}, key {}", text(&["configMapKeyRef", "name"]), text(&["configMapKeyRef", "key"]));
    }
    if from.has("secretKeyRef") {
        return format!("secret {}, key {}", text(&["secretKeyRef", "name"]), text(&["secretKeyRef", "key"]));
    }
    if from.has("fieldRef") {
        return format!("field path {}", text(&["fieldRef", "fieldPath"]));
    }
    if from.has("resourceFieldRef") {
        let container = text(&["resourceFieldRef", "containerName"]);
        let resource = text(&["resourceFieldRef", "resource"]);
        return match container.is_empty() {
            true => format!("resource field {resource}"),
            false => format!("resource field {container}, {resource}"),
        };
    }
    "invalid valueFrom".to_owned()
}
