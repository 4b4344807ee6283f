//! `kubectl version`. Corresponds to kubectl/pkg/cmd/version.

use apimachinery::value::Value;
use serde_json::json;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;

/// The version this kubectl speaks as.
const CLIENT: &str = "v1.36.2";
/// The version of kustomize whose files upstream's kubectl of the same version reads.
const KUSTOMIZE: &str = "v5.8.1";
/// How many minor versions client and server may differ by.
const SUPPORTED_SKEW: i64 = 1;

/// The command.
pub static COMMAND: Command = Command {
    name: "version",
    short: "Print the client and server version information",
    long: "Print the client and server version information for the current context.",
    example: "# The versions\nkubectl version",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    flags.bool("client", "", false, "If true, shows client version only (no server required).");
    flags.string("output", "o", "", "One of 'yaml' or 'json'.");
}

fn client_version() -> Value {
    let (major, rest) = CLIENT.trim_start_matches('v').split_once('.').unwrap_or_default();
    Value::from(json!({
        "major": major,
        "minor": rest.split('.').next().unwrap_or_default(),
        "gitVersion": CLIENT,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{}", architecture()),
    }))
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let output = inv.flags.str("output");
    anyhow::ensure!(inv.args.is_empty(), "extra arguments: [{}]", inv.args.join(" "));
    anyhow::ensure!(matches!(output, "" | "yaml" | "json"), "--output must be 'yaml' or 'json'");
    let client = client_version();
    let server = match inv.flags.get_bool("client") {
        true => None,
        false => Some(server_version(&inv).await),
    };
    let (server, failure) = match server {
        None => (None, None),
        Some(Ok(version)) => (Some(version), None),
        Some(Err(error)) => (None, Some(error)),
    };
    let text = match output {
        "" => plain(server.as_ref()),
        _ => structured(output, &client, server.as_ref()),
    };
    inv.ctx.out(&text);
    if let Some(error) = failure {
        return Err(error);
    }
    if let Some(server) = &server {
        inv.ctx.err(&skew_warning(&client, server));
    }
    Ok(())
}

async fn server_version(inv: &Invocation) -> anyhow::Result<Value> {
    inv.ctx.rest().await?.value(Request::get("/version")).await
}

fn plain(server: Option<&Value>) -> String {
    let mut text = format!("Client Version: {CLIENT}\nKustomize Version: {KUSTOMIZE}\n");
    if let Some(server) = server {
        text.push_str(&format!("Server Version: {}\n", server.get("gitVersion").str_or_empty()));
    }
    text
}

fn structured(output: &str, client: &Value, server: Option<&Value>) -> String {
    let mut all = Value::map();
    all.set("clientVersion", client.clone());
    all.set("kustomizeVersion", KUSTOMIZE);
    if let Some(server) = server {
        all.set("serverVersion", server.clone());
    }
    if output == "yaml" {
        return format!("{}\n", crate::codec::encode_yaml(&all));
    }
    let mut parts = vec![info("clientVersion", client)];
    parts.push(format!("  \"kustomizeVersion\": {}", json!(KUSTOMIZE)));
    parts.extend(server.map(|server| info("serverVersion", server)));
    format!("{{\n{}\n}}\n", parts.join(",\n"))
}

/// A version as JSON, its fields in the order of the Go type.
fn info(title: &str, version: &Value) -> String {
    const FIELDS: [&str; 13] = [
        "major",
        "minor",
        "emulationMajor",
        "emulationMinor",
        "minCompatibilityMajor",
        "minCompatibilityMinor",
        "gitVersion",
        "gitCommit",
        "gitTreeState",
        "buildDate",
        "goVersion",
        "compiler",
        "platform",
    ];
    let present = FIELDS.iter().filter(|field| version.has(field));
    let line = |field: &&str| format!("    {}: {}", json!(field), json!(version.get(field).str_or_empty()));
    let lines: Vec<String> = present.map(line).collect();
    format!("  {}: {{\n{}\n  }}", json!(title), lines.join(",\n"))
}

/// Says that the versions are further apart than supported.
fn skew_warning(client: &Value, server: &Value) -> String {
    let minor = |v: &Value| {
        let text = v.get("minor").str_or_empty();
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<i64>().ok()
    };
    let (Some(ours), Some(theirs)) = (minor(client), minor(server)) else {
        return String::new();
    };
    let text = |v: &Value, minor: i64| format!("{}.{minor}", v.get("major").str_or_empty());
    if client.get("major") == server.get("major") && (ours - theirs).abs() <= SUPPORTED_SKEW {
        return String::new();
    }
    format!(
        "Warning: version difference between client ({}) and server ({}) exceeds the supported minor version skew of +/-{SUPPORTED_SKEW}\n",
        text(client, ours),
        text(server, theirs)
    )
}
