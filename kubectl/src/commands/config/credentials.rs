//! The commands about users.

use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::config::{AuthInfo, AuthProvider, EnvVar, ExecConfig};
use crate::options::parse_pairs;

pub(super) static COMMAND: Command = Command {
    name: "set-credentials",
    args: "NAME [--client-certificate=path/to/certfile] [--client-key=path/to/keyfile] [--token=bearer_token] [--username=basic_user] [--password=basic_password] [--auth-provider=provider_name] [--auth-provider-arg=key=value] [--exec-command=exec_command] [--exec-api-version=exec_api_version] [--exec-arg=arg] [--exec-env=key=value]",
    short: "Set a user entry in kubeconfig",
    long: "Set a user entry in kubeconfig.\n\n Specifying a name that already exists will merge new fields on top of existing values. Bearer token and basic authentication are mutually exclusive.",
    example: "# The client key of a user\nkubectl config set-credentials cluster-admin --client-key=~/.kube/admin.key\n\n# Embed certificate data\nkubectl config set-credentials cluster-admin --client-certificate=~/.kube/admin.crt --embed-certs=true",
    flags: set_flags,
    run: Some(|inv| Box::pin(set(inv))),
    ..Command::EMPTY
};

pub(super) static GET_USERS: Command = Command {
    name: "get-users",
    args: "[flags]",
    short: "Display users defined in the kubeconfig",
    example: "# The users that kubectl knows\nkubectl config get-users",
    run: Some(|inv| Box::pin(get(inv))),
    ..Command::EMPTY
};

pub(super) static DELETE: Command = Command {
    name: "delete-user",
    args: "NAME",
    short: "Delete the specified user from the kubeconfig",
    example: "# Delete a user\nkubectl config delete-user minikube",
    run: Some(|inv| Box::pin(delete(inv))),
    ..Command::EMPTY
};

fn set_flags(flags: &mut FlagSet) {
    flags.string("client-certificate", "", "", "Path to client-certificate file for the user entry in kubeconfig");
    flags.string("client-key", "", "", "Path to client-key file for the user entry in kubeconfig");
    flags.string("token", "", "", "token for the user entry in kubeconfig");
    flags.string("username", "", "", "username for the user entry in kubeconfig");
    flags.string("password", "", "", "password for the user entry in kubeconfig");
    flags.string("auth-provider", "", "", "Auth provider for the user entry in kubeconfig");
    flags.slice("auth-provider-arg", "", "", "'key=value' arguments for the auth provider");
    flags.string("exec-command", "", "", "Command for the exec credential plugin for the user entry in kubeconfig");
    flags.string(
        "exec-api-version",
        "",
        "",
        "API version of the exec credential plugin for the user entry in kubeconfig",
    );
    flags.string(
        "exec-interactive-mode",
        "",
        "",
        "InteractiveMode of the exec credentials plugin for the user entry in kubeconfig",
    );
    flags.bool(
        "exec-provide-cluster-info",
        "",
        false,
        "ProvideClusterInfo of the exec credentials plugin for the user entry in kubeconfig",
    );
    flags.slice(
        "exec-arg",
        "",
        "",
        "New arguments for the exec credential plugin command for the user entry in kubeconfig",
    );
    flags.array("exec-env", "", "'key=value' environment values for the exec credential plugin");
    flags.bool("embed-certs", "", false, "Embed client cert/key for the user entry in kubeconfig");
}

async fn set(inv: Invocation) -> anyhow::Result<()> {
    let [name] = inv.args.as_slice() else {
        return Err(super::help_error(&inv, &format!("unexpected args: [{}]", inv.args.join(" "))));
    };
    validate(&inv, name)?;
    let access = inv.ctx.access();
    let mut config = access.starting()?;
    let user = config.users.entry(name.clone()).or_default();
    modify(&inv.flags, user)?;
    access.modify(&config, true)?;
    inv.ctx.out(&format!("User {} set.\n", quote(name)));
    Ok(())
}

fn validate(inv: &Invocation, name: &str) -> anyhow::Result<()> {
    let flags = &inv.flags;
    anyhow::ensure!(!name.is_empty(), "you must specify a non-empty user name");
    let token = !flags.str("token").is_empty();
    let basic = !flags.str("username").is_empty() || !flags.str("password").is_empty();
    anyhow::ensure!(
        !token || !basic,
        "you cannot specify more than one authentication method at the same time: --token, --username/--password"
    );
    if flags.get_bool("embed-certs") {
        let (cert, key) = (flags.str("client-certificate"), flags.str("client-key"));
        anyhow::ensure!(
            !cert.is_empty() || !key.is_empty(),
            "you must specify a --client-certificate or --client-key to embed"
        );
        for (flag, path) in [("client-certificate", cert), ("client-key", key)] {
            if path.is_empty() {
                continue;
            }
            if let Err(error) = std::fs::metadata(path) {
                anyhow::bail!("could not stat {flag} file {path}: stat {path}: {}", crate::files::go_error(&error));
            }
        }
    }
    anyhow::ensure!(
        !flags.changed("exec-interactive-mode")
            || ["IfAvailable", "Never", "Always"].contains(&flags.str("exec-interactive-mode")),
        "invalid interactive mode type, can be only IfAvailable, Never, Always"
    );
    Ok(())
}

fn modify(flags: &FlagSet, user: &mut AuthInfo) -> anyhow::Result<()> {
    let embed = flags.get_bool("embed-certs");
    if flags.changed("client-certificate") {
        let path = flags.str("client-certificate");
        file_or_data(path, embed, &mut user.client_certificate, &mut user.client_certificate_data.0)?;
    }
    if flags.changed("client-key") {
        let path = flags.str("client-key");
        file_or_data(path, embed, &mut user.client_key, &mut user.client_key_data.0)?;
    }
    for (flag, field) in
        [("token", &mut user.token), ("username", &mut user.username), ("password", &mut user.password)]
    {
        if flags.changed(flag) {
            flags.str(flag).clone_into(field);
        }
    }
    let set = |flag: &str| flags.changed(flag) && !flags.str(flag).is_empty();
    let (token, basic) = (set("token"), set("username") || set("password"));
    if basic && !token {
        user.token.clear();
    }
    if token && !basic {
        user.username.clear();
        user.password.clear();
    }
    provider(flags, user)?;
    exec(flags, user)
}

fn file_or_data(path: &str, embed: bool, file: &mut String, data: &mut Vec<u8>) -> anyhow::Result<()> {
    if embed {
        *data = crate::files::read(path).unwrap_or_default();
        file.clear();
        return Ok(());
    }
    *file = std::path::absolute(path)?.to_string_lossy().into_owned();
    data.clear();
    Ok(())
}

fn provider(flags: &FlagSet, user: &mut AuthInfo) -> anyhow::Result<()> {
    if flags.changed("auth-provider") {
        let name = flags.str("auth-provider");
        if user.auth_provider.as_ref().is_none_or(|p| p.name != name) {
            user.auth_provider = Some(AuthProvider { name: name.to_owned(), config: None });
        }
    }
    if let Some(provider) = &mut user.auth_provider {
        let (added, removed) = parse_pairs(&flags.list("auth-provider-arg"), "auth-provider-arg", true)?;
        let config = provider.config.get_or_insert_default();
        for key in removed {
            config.remove(&key);
        }
        config.extend(added);
    }
    Ok(())
}

fn exec(flags: &FlagSet, user: &mut AuthInfo) -> anyhow::Result<()> {
    if flags.changed("exec-command") {
        let exec = user.exec.get_or_insert_with(ExecConfig::default);
        if !exec.command.is_empty() {
            exec.args = None;
        }
        flags.str("exec-command").clone_into(&mut exec.command);
    }
    let Some(exec) = &mut user.exec else {
        return Ok(());
    };
    if flags.changed("exec-api-version") {
        flags.str("exec-api-version").clone_into(&mut exec.api_version);
    }
    let args = flags.list("exec-arg");
    if !args.is_empty() {
        exec.args = Some(args);
    }
    if flags.changed("exec-interactive-mode") {
        flags.str("exec-interactive-mode").clone_into(&mut exec.interactive_mode);
    }
    if flags.changed("exec-provide-cluster-info") {
        exec.provide_cluster_info = flags.get_bool("exec-provide-cluster-info");
    }
    let (added, removed) = parse_pairs(&flags.list("exec-env"), "exec-env", true)?;
    if !removed.is_empty() || !added.is_empty() {
        let env = exec.env.get_or_insert_default();
        env.retain(|v| !removed.contains(&v.name));
        for (name, value) in added {
            match env.iter_mut().find(|v| v.name == name) {
                Some(variable) => variable.value = value,
                None => env.push(EnvVar { name, value }),
            }
        }
    }
    Ok(())
}

async fn get(inv: Invocation) -> anyhow::Result<()> {
    let config = inv.ctx.access().starting()?;
    inv.ctx.out("NAME\n");
    for name in config.users.keys() {
        inv.ctx.out(&format!("{name}\n"));
    }
    Ok(())
}

async fn delete(inv: Invocation) -> anyhow::Result<()> {
    let [name] = inv.args.as_slice() else {
        return Err(inv.usage_error("user to delete is required"));
    };
    let access = inv.ctx.access();
    let mut config = access.starting()?;
    let file = access.default_file();
    anyhow::ensure!(config.users.remove(name).is_some(), "cannot delete user {name}, not in {}", file.display());
    access.modify(&config, true)?;
    inv.ctx.out(&format!("deleted user {name} from {}\n", file.display()));
    Ok(())
}
