//! `kubectl auth whoami`.

use apimachinery::value::Value;
use http::Method;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::failure::{has_reason, is_not_found};
use crate::printers::{self, PrintFlags, Printed, TabWriter};

/// The command.
pub static COMMAND: Command = Command {
    name: "whoami",
    short: "Experimental: Check self subject attributes",
    long: "Experimental: Check who you are and your attributes (groups, extra).",
    example: "# The attributes\nkubectl auth whoami\n\n# As JSON\nkubectl auth whoami -o json",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let rest = inv.ctx.rest().await?;
    let mut answer = None;
    for version in ["v1", "v1beta1", "v1alpha1"] {
        let body = Value::from([
            ("kind", "SelfSubjectReview".to_owned()),
            ("apiVersion", format!("authentication.k8s.io/{version}")),
        ]);
        let path = format!("/apis/authentication.k8s.io/{version}/selfsubjectreviews");
        match rest.value(Request::new(Method::POST, path).json(&body)).await {
            Ok(found) => {
                answer = Some(found);
                break;
            }
            Err(error) if is_not_found(&error) => {}
            Err(error) if has_reason(&error, "Forbidden") => anyhow::bail!(
                "the selfsubjectreviews API is not enabled in the cluster or you do not have permission to call it"
            ),
            Err(error) => return Err(error),
        }
    }
    let Some(review) = answer else {
        anyhow::bail!("the selfsubjectreviews API is not enabled in the cluster");
    };
    if inv.flags.str("output").is_empty() && !inv.flags.changed("template") {
        inv.ctx.out(&table(review.path(&["status", "userInfo"])));
        return Ok(());
    }
    let mut printer = PrintFlags::from_flags(&inv.flags).printer("")?;
    inv.ctx.out(&printer.print_as(Printed { object: &review, typed: true })?);
    Ok(())
}

fn table(user: &Value) -> String {
    let list = |values: &Value| {
        let words: Vec<&str> = values.items().iter().map(Value::str_or_empty).collect();
        format!("[{}]", words.join(" "))
    };
    let mut out = TabWriter::table();
    out.write("ATTRIBUTE\tVALUE\n");
    for (title, key) in [("Username", "username"), ("UID", "uid")] {
        let text = user.get(key).str_or_empty();
        if !text.is_empty() {
            out.write(&format!("{title}\t{text}\n"));
        }
    }
    if !user.get("groups").is_zero() {
        out.write(&format!("Groups\t{}\n", list(user.get("groups"))));
    }
    let mut extra: Vec<_> = user.get("extra").entries().collect();
    extra.sort_by_key(|(key, _)| *key);
    for (key, values) in extra {
        out.write(&format!("Extra: {key}\t{}\n", list(values)));
    }
    out.flush()
}
