//! The commands about contexts.

use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::failure::aggregate;
use crate::printers::TabWriter;

use super::unexpected;

pub(super) static CURRENT: Command = Command {
    name: "current-context",
    args: "[flags]",
    short: "Display the current-context",
    example: "# The current context\nkubectl config current-context",
    run: Some(|inv| Box::pin(current(inv))),
    ..Command::EMPTY
};

pub(super) static USE: Command = Command {
    name: "use-context",
    args: "CONTEXT_NAME",
    aliases: &["use"],
    short: "Set the current-context in a kubeconfig file",
    example: "# Use the context minikube\nkubectl config use-context minikube",
    run: Some(|inv| Box::pin(use_context(inv))),
    ..Command::EMPTY
};

pub(super) static GET: Command = Command {
    name: "get-contexts",
    args: "[(-o|--output=)name)]",
    short: "Describe one or many contexts",
    example: "# All contexts\nkubectl config get-contexts",
    flags: |flags| {
        flags.bool(
            "no-headers",
            "",
            false,
            "When using the default or custom-column output format, don't print headers (default print headers).",
        );
        flags.string("output", "o", "", "Output format. One of: (name).");
    },
    run: Some(|inv| Box::pin(get(inv))),
    ..Command::EMPTY
};

pub(super) static SET_CONTEXT: Command = Command {
    name: "set-context",
    args: "[NAME | --current] [--cluster=cluster_nickname] [--user=user_nickname] [--namespace=namespace]",
    short: "Set a context entry in kubeconfig",
    long: "Set a context entry in kubeconfig.\n\n Specifying a name that already exists will merge new fields on top of existing values for those fields.",
    example: "# The user of a context\nkubectl config set-context gce --user=cluster-admin",
    flags: set_flags,
    run: Some(|inv| Box::pin(set(inv))),
    ..Command::EMPTY
};

pub(super) static DELETE: Command = Command {
    name: "delete-context",
    args: "NAME",
    short: "Delete the specified context from the kubeconfig",
    example: "# Delete a context\nkubectl config delete-context minikube",
    run: Some(|inv| Box::pin(delete(inv))),
    ..Command::EMPTY
};

pub(super) static RENAME: Command = Command {
    name: "rename-context",
    args: "CONTEXT_NAME NEW_NAME",
    short: "Rename a context from the kubeconfig file",
    example: "# Rename a context\nkubectl config rename-context old-name new-name",
    run: Some(|inv| Box::pin(rename(inv))),
    ..Command::EMPTY
};

fn set_flags(flags: &mut FlagSet) {
    flags.bool("current", "", false, "Modify the current context");
    flags.string("cluster", "", "", "cluster for the context entry in kubeconfig");
    flags.string("user", "", "", "user for the context entry in kubeconfig");
    flags.string("namespace", "n", "", "namespace for the context entry in kubeconfig");
}

async fn current(inv: Invocation) -> anyhow::Result<()> {
    let config = inv.ctx.access().starting()?;
    anyhow::ensure!(!config.current_context.is_empty(), "current-context is not set");
    inv.ctx.out(&format!("{}\n", config.current_context));
    Ok(())
}

async fn use_context(inv: Invocation) -> anyhow::Result<()> {
    let [name] = inv.args.as_slice() else {
        return Err(unexpected(&inv));
    };
    let access = inv.ctx.access();
    let mut config = access.starting()?;
    anyhow::ensure!(!name.is_empty(), "empty context names are not allowed");
    anyhow::ensure!(config.contexts.contains_key(name), "no context exists with the name: {}", quote(name));
    config.current_context.clone_from(name);
    access.modify(&config, true)?;
    inv.ctx.out(&format!("Switched to context {}.\n", quote(name)));
    Ok(())
}

async fn get(inv: Invocation) -> anyhow::Result<()> {
    let output = inv.flags.str("output");
    anyhow::ensure!(
        output.is_empty() || output == "name",
        "--output {output} is not available in kubectl config get-contexts; resetting to default output format"
    );
    let config = inv.ctx.access().starting()?;
    let names_only = output == "name";
    let mut errors = Vec::new();
    let mut names: Vec<&String> = Vec::new();
    if inv.args.is_empty() {
        names.extend(config.contexts.keys());
    }
    for name in &inv.args {
        if config.contexts.contains_key(name) {
            names.push(name);
        } else {
            errors.push(anyhow::anyhow!("context {name} not found"));
        }
    }
    names.sort();
    let mut out = TabWriter::table();
    if !names_only && !inv.flags.get_bool("no-headers") {
        out.write("CURRENT\tNAME\tCLUSTER\tAUTHINFO\tNAMESPACE\n");
    }
    for name in names {
        if names_only {
            out.write(&format!("{name}\n"));
            continue;
        }
        let context = &config.contexts[name];
        let mark = if *name == config.current_context { "*" } else { " " };
        out.write(&format!("{mark}\t{name}\t{}\t{}\t{}\n", context.cluster, context.user, context.namespace));
    }
    inv.ctx.out(&out.flush());
    aggregate(errors)
}

async fn set(inv: Invocation) -> anyhow::Result<()> {
    if inv.args.len() > 1 {
        return Err(unexpected(&inv));
    }
    let current = inv.flags.get_bool("current");
    let name = inv.args.first().cloned().unwrap_or_default();
    anyhow::ensure!(!name.is_empty() || current, "you must specify a non-empty context name or --current");
    anyhow::ensure!(name.is_empty() || !current, "you cannot specify both a context name and --current");
    let access = inv.ctx.access();
    let mut config = access.starting()?;
    let name = if current {
        anyhow::ensure!(!config.current_context.is_empty(), "no current context is set");
        config.current_context.clone()
    } else {
        name
    };
    let existed = config.contexts.contains_key(&name);
    let context = config.contexts.entry(name.clone()).or_default();
    for (flag, field) in
        [("cluster", &mut context.cluster), ("user", &mut context.user), ("namespace", &mut context.namespace)]
    {
        if inv.flags.changed(flag) {
            inv.flags.str(flag).clone_into(field);
        }
    }
    access.modify(&config, true)?;
    let done = if existed { "modified" } else { "created" };
    inv.ctx.out(&format!("Context {} {done}.\n", quote(&name)));
    Ok(())
}

async fn delete(inv: Invocation) -> anyhow::Result<()> {
    let [name] = inv.args.as_slice() else {
        inv.ctx.out(&crate::cli::help_text(&inv.path, &[]));
        return Ok(());
    };
    let access = inv.ctx.access();
    let mut config = access.starting()?;
    let file = access.default_file();
    anyhow::ensure!(config.contexts.remove(name).is_some(), "cannot delete context {name}, not in {}", file.display());
    if config.current_context == *name {
        inv.ctx.err(
            "warning: this removed your active context, use \"kubectl config use-context\" to select a different one\n",
        );
    }
    access.modify(&config, true)?;
    inv.ctx.out(&format!("deleted context {name} from {}\n", file.display()));
    Ok(())
}

async fn rename(inv: Invocation) -> anyhow::Result<()> {
    let [old, new] = inv.args.as_slice() else {
        return Err(unexpected(&inv));
    };
    anyhow::ensure!(!new.is_empty(), "You must specify a new non-empty context name");
    let access = inv.ctx.access();
    let mut config = access.starting()?;
    let file = access.default_file();
    let Some(context) = config.contexts.get(old).cloned() else {
        anyhow::bail!("cannot rename the context {}, it's not in {}", quote(old), file.display());
    };
    anyhow::ensure!(
        !config.contexts.contains_key(new),
        "cannot rename the context {}, the context {} already exists in {}",
        quote(old),
        quote(new),
        file.display()
    );
    config.contexts.insert(new.clone(), context);
    config.contexts.remove(old);
    if config.current_context == *old {
        config.current_context.clone_from(new);
    }
    access.modify(&config, true)?;
    inv.ctx.out(&format!("Context {} renamed to {}.\n", quote(old), quote(new)));
    Ok(())
}
