//! The commands about clusters.

use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};

use super::unexpected;

pub(super) static SET_CLUSTER: Command = Command {
    name: "set-cluster",
    args: "NAME [--server=server] [--certificate-authority=path/to/certificate/authority] [--insecure-skip-tls-verify=true] [--tls-server-name=example.com]",
    short: "Set a cluster entry in kubeconfig",
    long: "Set a cluster entry in kubeconfig.\n\n Specifying a name that already exists will merge new fields on top of existing values for those fields.",
    example: "# The server of a cluster\nkubectl config set-cluster e2e --server=https://1.2.3.4",
    flags: set_flags,
    run: Some(|inv| Box::pin(set(inv))),
    ..Command::EMPTY
};

pub(super) static GET_CLUSTERS: Command = Command {
    name: "get-clusters",
    args: "[flags]",
    short: "Display clusters defined in the kubeconfig",
    example: "# The clusters that kubectl knows\nkubectl config get-clusters",
    run: Some(|inv| Box::pin(get(inv))),
    ..Command::EMPTY
};

pub(super) static DELETE_CLUSTER: Command = Command {
    name: "delete-cluster",
    args: "NAME",
    short: "Delete the specified cluster from the kubeconfig",
    example: "# Delete a cluster\nkubectl config delete-cluster minikube",
    run: Some(|inv| Box::pin(delete(inv))),
    ..Command::EMPTY
};

fn set_flags(flags: &mut FlagSet) {
    flags.string("server", "", "", "server for the cluster entry in kubeconfig");
    flags.string("tls-server-name", "", "", "tls-server-name for the cluster entry in kubeconfig");
    flags.bool("insecure-skip-tls-verify", "", false, "insecure-skip-tls-verify for the cluster entry in kubeconfig");
    flags.string(
        "certificate-authority",
        "",
        "",
        "Path to certificate-authority file for the cluster entry in kubeconfig",
    );
    flags.bool("embed-certs", "", false, "embed-certs for the cluster entry in kubeconfig");
    flags.string("proxy-url", "", "", "proxy-url for the cluster entry in kubeconfig");
}

async fn set(inv: Invocation) -> anyhow::Result<()> {
    let [name] = inv.args.as_slice() else {
        return Err(unexpected(&inv));
    };
    let flags = &inv.flags;
    anyhow::ensure!(!name.is_empty(), "you must specify a non-empty cluster name");
    let (ca, embed) = (flags.str("certificate-authority").to_owned(), flags.get_bool("embed-certs"));
    anyhow::ensure!(
        !flags.get_bool("insecure-skip-tls-verify") || ca.is_empty(),
        "you cannot specify a certificate authority and insecure mode at the same time"
    );
    if embed {
        anyhow::ensure!(!ca.is_empty(), "you must specify a --certificate-authority to embed");
        if let Err(error) = std::fs::metadata(&ca) {
            anyhow::bail!(
                "could not stat certificate-authority file {ca}: stat {ca}: {}",
                crate::files::go_error(&error)
            );
        }
    }
    let access = inv.ctx.access();
    let mut config = access.starting()?;
    let cluster = config.clusters.entry(name.clone()).or_default();
    if flags.changed("server") {
        let server = flags.str("server");
        cluster.server = server.trim_end_matches('/').to_owned();
        cluster.tls_server_name = String::new();
    }
    if flags.changed("tls-server-name") {
        flags.str("tls-server-name").clone_into(&mut cluster.tls_server_name);
    }
    if flags.changed("insecure-skip-tls-verify") {
        cluster.insecure_skip_tls_verify = flags.get_bool("insecure-skip-tls-verify");
        if cluster.insecure_skip_tls_verify {
            cluster.certificate_authority.clear();
            cluster.certificate_authority_data.0.clear();
        }
    }
    if flags.changed("certificate-authority") {
        if embed {
            cluster.certificate_authority_data.0 = crate::files::read(&ca)?;
            cluster.insecure_skip_tls_verify = false;
            cluster.certificate_authority.clear();
        } else {
            cluster.certificate_authority = std::path::absolute(&ca)?.to_string_lossy().into_owned();
            if !cluster.certificate_authority.is_empty() {
                cluster.insecure_skip_tls_verify = false;
                cluster.certificate_authority_data.0.clear();
            }
        }
    }
    if flags.changed("proxy-url") {
        flags.str("proxy-url").clone_into(&mut cluster.proxy_url);
    }
    access.modify(&config, true)?;
    inv.ctx.out(&format!("Cluster {} set.\n", quote(name)));
    Ok(())
}

async fn get(inv: Invocation) -> anyhow::Result<()> {
    let config = inv.ctx.access().starting()?;
    inv.ctx.out("NAME\n");
    for name in config.clusters.keys() {
        inv.ctx.out(&format!("{name}\n"));
    }
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
    anyhow::ensure!(config.clusters.remove(name).is_some(), "cannot delete cluster {name}, not in {}", file.display());
    access.modify(&config, true)?;
    inv.ctx.out(&format!("deleted cluster {name} from {}\n", file.display()));
    Ok(())
}
