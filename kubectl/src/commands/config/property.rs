//! `kubectl config set` and `unset`: one property by its path.

use base64::Engine as _;
use serde_json::Value as Json;

use crate::cli::quote::quote;
use crate::cli::{Command, Invocation};
use crate::config::{AuthInfo, Cluster, Context, KubeConfig};

use super::unexpected;

pub(super) static SET: Command = Command {
    name: "set",
    args: "PROPERTY_NAME PROPERTY_VALUE",
    short: "Set an individual value in a kubeconfig file",
    long: "Set an individual value in a kubeconfig file.\n\n PROPERTY_NAME is a dot delimited name where each token represents either an attribute name or a map key. Map keys may not contain dots.\n\n PROPERTY_VALUE is the new value; binary fields expect base64 unless --set-raw-bytes is used.",
    example: "# The server of a cluster\nkubectl config set clusters.my-cluster.server https://1.2.3.4",
    flags: |flags| {
        flags.bool(
            "set-raw-bytes",
            "",
            false,
            "When writing a []byte PROPERTY_VALUE, write the given string directly without base64 decoding.",
        );
    },
    run: Some(|inv| Box::pin(set(inv))),
    ..Command::EMPTY
};

pub(super) static UNSET: Command = Command {
    name: "unset",
    args: "PROPERTY_NAME",
    short: "Unset an individual value in a kubeconfig file",
    long: "Unset an individual value in a kubeconfig file.\n\n PROPERTY_NAME is a dot delimited name where each token represents either an attribute name or a map key. Map keys may not contain dots.",
    example: "# The current context\nkubectl config unset current-context",
    run: Some(|inv| Box::pin(unset(inv))),
    ..Command::EMPTY
};

async fn set(inv: Invocation) -> anyhow::Result<()> {
    let [name, value] = inv.args.as_slice() else {
        return Err(unexpected(&inv));
    };
    anyhow::ensure!(!value.is_empty(), "you cannot use set to unset a property");
    anyhow::ensure!(!name.is_empty(), "you must specify a property");
    change(&inv, name, Some(value))?;
    inv.ctx.out(&format!("Property {} set.\n", quote(name)));
    Ok(())
}

async fn unset(inv: Invocation) -> anyhow::Result<()> {
    let [name] = inv.args.as_slice() else {
        return Err(unexpected(&inv));
    };
    anyhow::ensure!(!name.is_empty(), "you must specify a property");
    change(&inv, name, None)?;
    inv.ctx.out(&format!("Property {} unset.\n", quote(name)));
    Ok(())
}

fn change(inv: &Invocation, name: &str, value: Option<&str>) -> anyhow::Result<()> {
    let access = inv.ctx.access();
    let mut config = access.starting()?;
    apply(&mut config, name, value, inv.flags.get_bool("set-raw-bytes"))?;
    access.modify(&config, false)
}

/// The entry's name may contain dots: the longest known name wins, else the first segment.
fn split<'a>(rest: &'a str, known: impl Iterator<Item = &'a String>) -> (String, &'a str) {
    let mut best: Option<&str> = None;
    for name in known {
        let fits = rest == name || rest.strip_prefix(name.as_str()).is_some_and(|r| r.starts_with('.'));
        if fits && best.is_none_or(|b| b.len() < name.len()) {
            best = Some(name);
        }
    }
    if let Some(name) = best {
        return (name.to_owned(), rest[name.len()..].trim_start_matches('.'));
    }
    let (name, field) = rest.split_once('.').unwrap_or((rest, ""));
    (name.to_owned(), field)
}

fn apply(config: &mut KubeConfig, path: &str, value: Option<&str>, raw: bool) -> anyhow::Result<()> {
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    match head {
        "current-context" => {
            config.current_context = value.unwrap_or_default().to_owned();
            Ok(())
        }
        "clusters" => {
            let names: Vec<String> = config.clusters.keys().cloned().collect();
            let (name, field) = split(rest, names.iter());
            entry(&mut config.clusters, &name, field, value, raw, |c: &mut Cluster, old| c.origin = old.origin)
        }
        "users" => {
            let names: Vec<String> = config.users.keys().cloned().collect();
            let (name, field) = split(rest, names.iter());
            entry(&mut config.users, &name, field, value, raw, |c: &mut AuthInfo, old| c.origin = old.origin)
        }
        "contexts" => {
            let names: Vec<String> = config.contexts.keys().cloned().collect();
            let (name, field) = split(rest, names.iter());
            entry(&mut config.contexts, &name, field, value, raw, |c: &mut Context, old| c.origin = old.origin)
        }
        "preferences" => {
            config.preferences.colors = value.is_some_and(|v| v == "true");
            Ok(())
        }
        _ => anyhow::bail!("unable to parse {path} after [] at api.Config"),
    }
}

const BYTES: &[&str] = &["certificate-authority-data", "client-certificate-data", "client-key-data"];
const BOOLS: &[&str] = &["insecure-skip-tls-verify", "disable-compression"];

fn entry<T>(
    map: &mut std::collections::BTreeMap<String, T>,
    name: &str,
    field: &str,
    value: Option<&str>,
    raw: bool,
    keep: impl Fn(&mut T, T),
) -> anyhow::Result<()>
where
    T: Default + Clone + serde::Serialize + serde::de::DeserializeOwned,
{
    if field.is_empty() {
        return match value {
            Some(value) => anyhow::bail!("can't set a map to a value: {value}"),
            None if map.remove(name).is_some() => Ok(()),
            None => anyhow::bail!("current map key `{name}` is invalid"),
        };
    }
    let old = map.get(name).cloned().unwrap_or_default();
    let mut json = serde_json::to_value(&old)?;
    let fields = json.as_object_mut().ok_or_else(|| anyhow::anyhow!("the entry is no object"))?;
    match value {
        None => {
            fields.remove(field);
        }
        Some(value) => {
            let new = convert(field, value, raw)?;
            fields.insert(field.to_owned(), new);
        }
    }
    let mut new: T = serde_json::from_value(json.clone())?;
    let known = serde_json::to_value(&new)?.get(field).is_some();
    anyhow::ensure!(value.is_none() || known, "unable to locate path {} under the entry {name}", quote(field));
    keep(&mut new, old);
    map.insert(name.to_owned(), new);
    Ok(())
}

fn convert(field: &str, value: &str, raw: bool) -> anyhow::Result<Json> {
    if BYTES.contains(&field) {
        if raw {
            return Ok(base64::engine::general_purpose::STANDARD.encode(value).into());
        }
        base64::engine::general_purpose::STANDARD
            .decode(value)
            .map_err(|e| anyhow::anyhow!("error decoding input value: {e}"))?;
        return Ok(value.into());
    }
    if BOOLS.contains(&field) {
        let parsed = crate::cli::parse_bool(value);
        return parsed
            .map(Json::Bool)
            .ok_or_else(|| anyhow::anyhow!("strconv.ParseBool: parsing {}: invalid syntax", quote(value)));
    }
    if field == "as-groups" {
        return Ok(value.split(',').collect::<Vec<_>>().into());
    }
    Ok(value.into())
}
