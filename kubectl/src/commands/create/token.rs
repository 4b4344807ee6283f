//! `kubectl create token`.

use std::io::IsTerminal as _;

use apimachinery::value::Value;
use serde_json::json;

use super::generate::name;
use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::printers::{self, PrintFlags, Printed};

/// The command.
pub static COMMAND: Command = Command {
    name: "token",
    args: "SERVICE_ACCOUNT_NAME",
    short: "Request a service account token",
    example: "# A token for the service account myapp\nkubectl create token myapp\n\n# With a lifetime\nkubectl create token myapp --duration 10m",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    flags.array("audience", "", "Audience of the requested token. If unset, defaults to requesting a token for use with the Kubernetes API server. May be repeated to request a token valid for multiple audiences.");
    flags.duration("duration", "0s", "Requested lifetime of the issued token. If not set or if set to 0, the lifetime will be determined by the server automatically. The server may return a token with a longer or shorter lifetime.");
    flags.string("bound-object-kind", "", "", "Kind of an object to bind the token to. Supported kinds are Node, Pod, Secret. If set, --bound-object-name must be provided.");
    flags.string("bound-object-name", "", "", "Name of an object to bind the token to. The token will expire when the object is deleted. Requires --bound-object-kind.");
    flags.string("bound-object-uid", "", "", "UID of an object to bind the token to. Requires --bound-object-kind and --bound-object-name. If unset, the UID of the existing object is used.");
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let (namespace, _) = inv.ctx.namespace()?;
    let duration = inv.flags.get_duration("duration");
    anyhow::ensure!(!name.is_empty(), "service account name is required");
    anyhow::ensure!(duration.0 >= 0, "--duration must be greater than or equal to 0");
    anyhow::ensure!(duration.0 % 1_000_000_000 == 0, "--duration cannot be expressed in units less than seconds");
    let audiences = inv.flags.list("audience");
    anyhow::ensure!(!audiences.iter().any(String::is_empty), "--audience must not be an empty string");
    let mut spec = json!({"audiences": audiences});
    if duration.0 > 0 {
        spec["expirationSeconds"] = json!(duration.seconds());
    }
    if let Some(reference) = bound_object(&inv)? {
        spec["boundObjectRef"] = reference;
    }
    let request = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec});
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let request = Request::new(http::Method::POST, path).json(&Value::from(request));
    let sent = inv.ctx.rest().await?.value(request).await;
    let mut answer = sent.map_err(|e| anyhow::anyhow!("failed to create token: {e}"))?;
    let token = answer.path(&["status", "token"]).str_or_empty().to_owned();
    anyhow::ensure!(!token.is_empty(), "failed to create token: no token in server response");
    if inv.flags.changed("output") {
        answer.set("kind", "TokenRequest");
        answer.set("apiVersion", "authentication.k8s.io/v1");
        let mut printer = PrintFlags::from_flags(&inv.flags).printer("created")?;
        inv.ctx.out(&printer.print_as(Printed { object: &answer, typed: true })?);
        return Ok(());
    }
    inv.ctx.out(&token);
    if std::io::stdout().is_terminal() {
        inv.ctx.out("\n");
    }
    Ok(())
}

fn bound_object(inv: &Invocation) -> anyhow::Result<Option<serde_json::Value>> {
    let text = |flag: &str| inv.flags.str(flag).to_owned();
    let (kind, name, uid) = (text("bound-object-kind"), text("bound-object-name"), text("bound-object-uid"));
    if kind.is_empty() {
        anyhow::ensure!(name.is_empty(), "--bound-object-name can only be set if --bound-object-kind is provided");
        anyhow::ensure!(uid.is_empty(), "--bound-object-uid can only be set if --bound-object-kind is provided");
        return Ok(None);
    }
    anyhow::ensure!(
        ["Node", "Pod", "Secret"].contains(&kind.as_str()),
        "supported --bound-object-kind values are Node, Pod, Secret"
    );
    anyhow::ensure!(!name.is_empty(), "--bound-object-name is required if --bound-object-kind is provided");
    let mut reference = json!({"kind": kind, "apiVersion": "v1", "name": name});
    if !uid.is_empty() {
        reference["uid"] = json!(uid);
    }
    Ok(Some(reference))
}
