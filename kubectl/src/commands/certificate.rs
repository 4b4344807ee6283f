//! `kubectl certificate`. Corresponds to kubectl/pkg/cmd/certificates.

use apimachinery::value::Value;
use http::Method;

use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::failure::{has_reason, is_not_found};
use crate::options;
use crate::printers::{self, PrintFlags};
use crate::resource::{Builder, FilenameOptions, group_kind_of};

/// The command.
pub static COMMAND: Command = Command {
    name: "certificate",
    args: "SUBCOMMAND",
    short: "Modify certificate resources",
    long: "Modify certificate resources.",
    subcommands: &[&APPROVE, &DENY],
    ..Command::EMPTY
};

static APPROVE: Command = Command {
    name: "approve",
    args: "(-f FILENAME | NAME)",
    short: "Approve a certificate signing request",
    long: "Approve a certificate signing request: the signer will issue the certificate. Be sure what the certificate will allow.",
    example: "# One request\nkubectl certificate approve csr-sqgzp",
    flags: approve_flags,
    run: Some(|inv| Box::pin(run(inv, Decision::APPROVE))),
    ..Command::EMPTY
};

static DENY: Command = Command {
    name: "deny",
    args: "(-f FILENAME | NAME)",
    short: "Deny a certificate signing request",
    long: "Deny a certificate signing request: the signer will not issue the certificate.",
    example: "# One request\nkubectl certificate deny csr-sqgzp",
    flags: deny_flags,
    run: Some(|inv| Box::pin(run(inv, Decision::DENY))),
    ..Command::EMPTY
};

fn approve_flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    flags.bool("force", "", false, "Update the CSR even if it is already approved.");
    options::filename_flags(flags, "identifying the resource to update");
}

fn deny_flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    flags.bool("force", "", false, "Update the CSR even if it is already denied.");
    options::filename_flags(flags, "identifying the resource to update");
}

/// The condition that a decision writes.
#[derive(Clone, Copy)]
struct Decision {
    done: &'static str,
    condition: &'static str,
    opposite: &'static str,
    reason: &'static str,
    message: &'static str,
}

impl Decision {
    const APPROVE: Self = Self {
        done: "approved",
        condition: "Approved",
        opposite: "Denied",
        reason: "KubectlApprove",
        message: "This CSR was approved by kubectl certificate approve.",
    };
    const DENY: Self = Self {
        done: "denied",
        condition: "Denied",
        opposite: "Approved",
        reason: "KubectlDeny",
        message: "This CSR was denied by kubectl certificate deny.",
    };
}

async fn run(inv: Invocation, decision: Decision) -> anyhow::Result<()> {
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(decision.done)?;
    let files = FilenameOptions::from_flags(&inv.flags);
    anyhow::ensure!(
        !inv.args.is_empty() || !files.is_empty(),
        "one or more CSRs must be specified as <name> or -f <filename>"
    );
    let infos = Builder::new(&inv.ctx)
        .continue_on_error()
        .filenames(&files)
        .resource_names("certificatesigningrequests", &inv.args)
        .require_object(true)
        .flatten()
        .latest()
        .run()
        .await?
        .infos()?;
    for info in &infos {
        let (group, kind) = group_kind_of(&info.object);
        let got = if group.is_empty() { kind.clone() } else { format!("{kind}.{group}") };
        let wanted = "CertificateSigningRequest.certificates.k8s.io";
        anyhow::ensure!(got == wanted, "can only handle {wanted} objects, got {got}");
        decide(&inv, &info.name, decision).await?;
        inv.ctx.out(&printer.print(&info.object)?);
    }
    if infos.is_empty() {
        inv.ctx.out("No resources found\n");
    }
    Ok(())
}

async fn decide(inv: &Invocation, name: &str, decision: Decision) -> anyhow::Result<()> {
    let rest = inv.ctx.rest().await?;
    let path = format!("/apis/certificates.k8s.io/v1/certificatesigningrequests/{name}");
    let mut attempts = 0;
    loop {
        let mut request = rest.value(Request::get(&path)).await.map_err(|e| match is_not_found(&e) {
            true => anyhow::anyhow!("could not find v1 version of {name}: {e}"),
            false => e,
        })?;
        let conditions = request.path(&["status", "conditions"]).items();
        let has = |kind: &str| conditions.iter().any(|c| c.get("type").str_or_empty() == kind);
        anyhow::ensure!(
            !has(decision.opposite),
            "certificate signing request {} is already {}",
            quote(name),
            decision.opposite
        );
        let present = has(decision.condition);
        if present && !inv.flags.get_bool("force") {
            return Ok(());
        }
        if !present {
            let now = crate::time::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let condition = Value::from([
                ("type", decision.condition),
                ("status", "True"),
                ("reason", decision.reason),
                ("message", decision.message),
                ("lastUpdateTime", now.as_str()),
            ]);
            request.field_mut("status").field_mut("conditions").list_mut().push(condition);
        }
        match rest.value(Request::new(Method::PUT, format!("{path}/approval")).json(&request)).await {
            Err(error) if has_reason(&error, "Conflict") && attempts < 10 => attempts += 1,
            other => return other.map(|_| ()),
        }
    }
}
