//! `kubectl config view`.

use crate::cli::{Command, FlagSet, Invocation};
use crate::config::KubeConfig;
use crate::printers::{self, PrintFlags, indent4};

pub(super) static COMMAND: Command = Command {
    name: "view",
    args: "[flags]",
    short: "Display merged kubeconfig settings or a specified kubeconfig file",
    long: "Display merged kubeconfig settings or a specified kubeconfig file.\n\n You can use --output jsonpath={...} to extract specific values using a jsonpath expression.",
    example: "# Merged settings\nkubectl config view\n\n# With certificate data and secrets\nkubectl config view --raw",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    flags.bool("merge", "", true, "Merge the full hierarchy of kubeconfig files");
    flags.bool("raw", "", false, "Display raw byte data and sensitive data");
    flags.bool("flatten", "", false, "Flatten the resulting kubeconfig file into self-contained output (useful for creating portable kubeconfig files)");
    flags.bool("minify", "", false, "Remove all information not used by current-context from the output");
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    if !inv.args.is_empty() {
        return Err(inv.usage_error(format!("unexpected arguments: [{}]", inv.args.join(" "))));
    }
    let flags = &inv.flags;
    let access = inv.ctx.access();
    anyhow::ensure!(
        flags.get_bool("merge") || access.is_explicit(),
        "if merge==false a precise file must be specified"
    );
    let mut config = if flags.get_bool("merge") { access.starting()? } else { access.load_explicit()? };
    if flags.get_bool("minify") {
        let context = flags.str("context");
        if !context.is_empty() {
            context.clone_into(&mut config.current_context);
        }
        config.minify().map_err(anyhow::Error::msg)?;
    }
    if flags.get_bool("flatten") {
        config.flatten().map_err(anyhow::Error::msg)?;
    } else if !flags.get_bool("raw") {
        redact(&mut config);
    }
    print(&inv, &config)
}

/// Hides secrets and shortens data.
fn redact(config: &mut KubeConfig) {
    const OMITTED: &[u8] = b"DATA+OMITTED";
    const REDACTED: &str = "REDACTED";
    for cluster in config.clusters.values_mut() {
        if !cluster.certificate_authority_data.0.is_empty() {
            cluster.certificate_authority_data.0 = OMITTED.to_vec();
        }
    }
    for user in config.users.values_mut() {
        for data in [&mut user.client_certificate_data, &mut user.client_key_data] {
            if !data.0.is_empty() {
                data.0 = OMITTED.to_vec();
            }
        }
        for text in [&mut user.token, &mut user.password] {
            if !text.is_empty() {
                *text = REDACTED.to_owned();
            }
        }
    }
}

fn print(inv: &Invocation, config: &KubeConfig) -> anyhow::Result<()> {
    let mut json = config.to_json();
    if !inv.flags.get_bool("raw") && !inv.flags.get_bool("flatten") {
        // The marker stands in the place of base64 text.
        json = json.replace("REFUQStPTUlUVEVE", "DATA+OMITTED");
    }
    let mut print = PrintFlags::from_flags(&inv.flags);
    if print.output.is_empty() && inv.flags.str("template").is_empty() {
        "yaml".clone_into(&mut print.output);
    }
    if print.output.eq_ignore_ascii_case("json") {
        inv.ctx.out(&format!("{}\n", indent4(json.as_bytes())));
        return Ok(());
    }
    let value = crate::codec::decode_json(json.as_bytes())?;
    let mut printer = print.printer("")?;
    inv.ctx.out(&printer.print(&value)?);
    Ok(())
}
