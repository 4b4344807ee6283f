//! What all generators share: their flags, and the sending and printing of the object.

use apimachinery::resources;
use apimachinery::value::Value;
use http::Method;

use crate::cli::{FlagSet, Invocation};
use crate::client::{Mapping, Request};
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags, Printed};
use crate::resource::group_kind_of;

/// The flags of every generator.
pub(super) fn generator_flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    options::save_config_flag(flags);
    options::validate_flag(flags);
    options::dry_run_flag(flags);
    options::field_manager_flag(flags, "kubectl-create");
}

/// The one NAME argument.
pub(super) fn name(inv: &Invocation) -> anyhow::Result<String> {
    let count = inv.args_before_dash().unwrap_or(inv.args.len());
    match (count, inv.args.first()) {
        (1, Some(name)) => Ok(name.clone()),
        _ => Err(inv.usage_error(format!("exactly one NAME is required, got {count}"))),
    }
}

/// The arguments after the name: a command for a container.
pub(super) fn command(inv: &Invocation) -> Vec<String> {
    inv.args.iter().skip(1).cloned().collect()
}

/// A plain object of a kind, in the namespace if `--namespace` was given.
pub(super) fn object(inv: &Invocation, api_version: &str, kind: &str, name: &str) -> anyhow::Result<Value> {
    let mut object = Value::from([("apiVersion", Value::from(api_version)), ("kind", Value::from(kind))]);
    object.set_path(&["metadata", "name"], Value::from(name));
    let (group, _) = api_version.split_once('/').unwrap_or(("", api_version));
    let namespaced = resources::by_kind(group, kind).is_some_and(|r| r.namespaced);
    let (namespace, explicit) = inv.ctx.namespace()?;
    if explicit && namespaced {
        object.set_path(&["metadata", "namespace"], Value::from(namespace));
    }
    Ok(object)
}

/// Sends the object unless it is a client dry run, and prints it. `failed` goes before an error of the server.
pub(super) async fn finish(inv: &Invocation, mut object: Value, failed: &str) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation("created"))?;
    let validation = options::validation(&inv.flags)?;
    if inv.flags.get_bool("save-config") {
        applied_annotation(&mut object, true);
    }
    if !dry_run.is_client() {
        let created = create_typed(inv, &object, dry_run, inv.flags.str("field-manager"), validation).await;
        object = match created {
            Ok(created) => created,
            Err(error) if failed.is_empty() => return Err(error),
            Err(error) => anyhow::bail!("{failed}{error}"),
        };
    }
    inv.ctx.out(&printer.print_as(Printed { object: &object, typed: true })?);
    Ok(())
}

/// The resource of an object of a built-in kind, without asking the server.
pub(crate) fn static_mapping(object: &Value) -> anyhow::Result<Mapping> {
    let (group, kind) = group_kind_of(object);
    let info =
        resources::by_kind(&group, &kind).ok_or_else(|| anyhow::anyhow!("no built-in resource for the kind {kind}"))?;
    let api_version = object.get("apiVersion").str_or_empty();
    Ok(Mapping {
        version: api_version.rsplit('/').next().unwrap_or_default().to_owned(),
        group,
        resource: info.plural.to_owned(),
        kind,
        namespaced: info.namespaced,
    })
}

/// Creates an object of a built-in kind.
pub(crate) async fn create_typed(
    inv: &Invocation,
    object: &Value,
    dry_run: DryRun,
    manager: &str,
    validation: &str,
) -> anyhow::Result<Value> {
    let mapping = static_mapping(object)?;
    let namespace = match object.path(&["metadata", "namespace"]).as_str() {
        Some(namespace) => namespace.to_owned(),
        None if mapping.namespaced => inv.ctx.namespace()?.0,
        None => String::new(),
    };
    let request = Request::to(Method::POST, &mapping, &namespace, "")
        .maybe("dryRun", if dry_run.is_server() { "All" } else { "" })
        .maybe("fieldManager", manager)
        .maybe("fieldValidation", validation)
        .body("application/json", printers::typed_json(object));
    inv.ctx.rest().await?.value(request).await
}

/// The annotation that `apply` keeps the last configuration in.
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Writes the object into its own annotation. `typed` objects are written as their Go type writes them.
pub(crate) fn applied_annotation(object: &mut Value, typed: bool) {
    let text = configuration_text(object, typed);
    object.set_path(&["metadata", "annotations", LAST_APPLIED], Value::from(text));
}

/// The object as the annotation holds it: with itself in the annotation.
pub(crate) fn modified_configuration(object: &Value) -> String {
    let mut object = object.clone();
    applied_annotation(&mut object, false);
    String::from_utf8_lossy(&crate::codec::encode_json(&object)).into_owned()
}

/// The object as it is compared: without itself in the annotation.
pub(crate) fn bare_configuration(object: &Value) -> String {
    configuration_text(object, false)
}

/// The annotation's text: the object without the annotation, one line.
fn configuration_text(object: &Value, typed: bool) -> String {
    let mut bare = object.clone();
    bare.remove_path(&["metadata", "annotations", LAST_APPLIED]);
    if bare.path(&["metadata", "annotations"]).as_map().is_none() {
        bare.set_path(&["metadata", "annotations"], Value::map());
    }
    let json = if typed { printers::typed_json(&bare) } else { crate::codec::encode_json(&bare) };
    format!("{}\n", String::from_utf8_lossy(&json))
}
