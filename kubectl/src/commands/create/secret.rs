//! `kubectl create secret …`.

use apimachinery::names;
use apimachinery::value::Value;
use base64::Engine as _;
use serde_json::json;

use super::configmap::{Entry, add_files, read_sources, short_hash, source_flags};
use super::generate::{finish, generator_flags, name, object};
use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};

/// The group of commands.
pub static COMMAND: Command = Command {
    name: "secret",
    args: "(docker-registry | generic | tls)",
    short: "Create a secret using a specified subcommand",
    long: "Create a secret of a type: docker-registry for a container registry, generic for any keys, tls for a certificate and its key.",
    subcommands: &[&DOCKER_REGISTRY, &TLS, &GENERIC],
    ..Command::EMPTY
};

static GENERIC: Command = Command {
    name: "generic",
    args: "NAME [--type=string] [--from-file=[key=]source] [--from-literal=key1=value1] [--dry-run=server|client|none]",
    short: "Create a secret from a local file, directory, or literal value",
    example: "# From literals\nkubectl create secret generic my-secret --from-literal=key1=supersecret --from-literal=key2=topsecret\n\n# From files\nkubectl create secret generic my-secret --from-file=ssh-privatekey=path/to/id_rsa",
    flags: |flags| {
        generator_flags(flags);
        source_flags(flags);
        flags.string("type", "", "", "The type of secret to create");
        hash_flag(flags);
    },
    run: Some(|inv| Box::pin(generic(inv))),
    ..Command::EMPTY
};

static TLS: Command = Command {
    name: "tls",
    args: "NAME --cert=path/to/cert/file --key=path/to/key/file [--dry-run=server|client|none]",
    short: "Create a TLS secret",
    example: "# A TLS secret of a key pair\nkubectl create secret tls tls-secret --cert=path/to/tls.crt --key=path/to/tls.key",
    flags: |flags| {
        generator_flags(flags);
        flags.string("cert", "", "", "Path to PEM encoded public key certificate.");
        flags.string("key", "", "", "Path to private key associated with given certificate.");
        hash_flag(flags);
    },
    run: Some(|inv| Box::pin(tls(inv))),
    ..Command::EMPTY
};

static DOCKER_REGISTRY: Command = Command {
    name: "docker-registry",
    args: "NAME --docker-username=user --docker-password=password --docker-email=email [--docker-server=string] [--from-file=[key=]source] [--dry-run=server|client|none]",
    short: "Create a secret for use with a Docker registry",
    example: "# Credentials of a registry\nkubectl create secret docker-registry my-secret --docker-server=registry.example --docker-username=me --docker-password=secret",
    flags: |flags| {
        generator_flags(flags);
        flags.string("docker-username", "", "", "Username for Docker registry authentication");
        flags.string("docker-password", "", "", "Password for Docker registry authentication");
        flags.string("docker-email", "", "", "Email for Docker registry");
        flags.string("docker-server", "", "https://index.docker.io/v1/", "Server location for Docker registry");
        flags.slice("from-file", "", "", "Key file, optionally as key=path; otherwise the file's basename is the key.");
        hash_flag(flags);
    },
    run: Some(|inv| Box::pin(docker_registry(inv))),
    ..Command::EMPTY
};

fn hash_flag(flags: &mut FlagSet) {
    flags.bool("append-hash", "", false, "Append a hash of the secret to its name.");
}

async fn generic(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let entries = read_sources(&inv.flags, true)?;
    let kind = inv.flags.str("type").to_owned();
    send(&inv, &name, &kind, entries).await
}

async fn tls(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let (cert, key) = (inv.flags.str("cert"), inv.flags.str("key"));
    anyhow::ensure!(!cert.is_empty() && !key.is_empty(), "key and cert must be specified");
    let read = |path: &str| crate::files::read(path).map_err(|e| anyhow::anyhow!("Cannot read file {path}, {e}"));
    let (cert, key) = (read(cert)?, read(key)?);
    check_pair(&cert, &key)?;
    let entries = vec![Entry { key: "tls.crt".to_owned(), data: cert }, Entry { key: "tls.key".to_owned(), data: key }];
    send(&inv, &name, "kubernetes.io/tls", entries).await
}

/// Whether the PEM blocks are a certificate and its key, with Go's texts for the common mistakes.
fn check_pair(cert: &[u8], key: &[u8]) -> anyhow::Result<()> {
    let has = |pem: &[u8], what: &str| String::from_utf8_lossy(pem).contains(what);
    anyhow::ensure!(
        has(cert, "-----BEGIN CERTIFICATE-----"),
        if has(cert, "-----BEGIN") {
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"
        } else {
            "tls: failed to find any PEM data in certificate input"
        }
    );
    anyhow::ensure!(
        has(key, "PRIVATE KEY-----"),
        if has(key, "-----BEGIN CERTIFICATE") {
            "tls: found a certificate rather than a key in the PEM for the private key"
        } else {
            "tls: failed to find any PEM data in key input"
        }
    );
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certs: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(cert).collect::<Result<_, _>>().map_err(|e| anyhow::anyhow!("tls: {e}"))?;
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|e| anyhow::anyhow!("tls: failed to parse private key: {e}"))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let signer =
        provider.key_provider.load_private_key(key).map_err(|_| anyhow::anyhow!("tls: failed to parse private key"))?;
    match rustls::sign::CertifiedKey::new(certs, signer).keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            anyhow::bail!("tls: private key does not match public key")
        }
        _ => Ok(()),
    }
}

async fn docker_registry(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let files = inv.flags.list("from-file");
    let text = |flag: &str| inv.flags.str(flag).to_owned();
    let (user, password, server) = (text("docker-username"), text("docker-password"), text("docker-server"));
    anyhow::ensure!(
        !files.is_empty() || (!user.is_empty() && !password.is_empty() && !server.is_empty()),
        "either --from-file or the combination of --docker-username, --docker-password and --docker-server is required"
    );
    let mut entries = Vec::new();
    if files.is_empty() {
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let pair = |key: &str, value: &str| format!("{}:{}", json!(key), json!(value));
        let mut fields = vec![pair("username", &user), pair("password", &password)];
        let email = text("docker-email");
        if !email.is_empty() {
            fields.push(pair("email", &email));
        }
        fields.push(pair("auth", &auth));
        let content = format!("{{\"auths\":{{{}:{{{}}}}}}}", json!(server), fields.join(","));
        entries.push(Entry { key: ".dockerconfigjson".to_owned(), data: content.into_bytes() });
    } else {
        let named = |file: String| if file.contains('=') { file } else { format!(".dockerconfigjson={file}") };
        let files: Vec<String> = files.into_iter().map(named).collect();
        add_files(&files, &mut entries)?;
    }
    send(&inv, &name, "kubernetes.io/dockerconfigjson", entries).await
}

async fn send(inv: &Invocation, name: &str, kind: &str, entries: Vec<Entry>) -> anyhow::Result<()> {
    let mut secret = object(inv, "v1", "Secret", name)?;
    let mut data = Value::map();
    for entry in entries {
        let key = &entry.key;
        let errors = names::config_map_key(key);
        anyhow::ensure!(errors.is_empty(), "{} is not valid key name for a Secret {}", quote(key), errors.join(";"));
        anyhow::ensure!(!data.has(key), "cannot add key {}, another key by that name already exists", key);
        data.set(key, base64::engine::general_purpose::STANDARD.encode(&entry.data));
    }
    if inv.flags.get_bool("append-hash") {
        let hashed = Value::from([
            ("kind", Value::from("Secret")),
            ("type", Value::from(kind)),
            ("name", Value::from(name)),
            ("data", data.clone()),
        ]);
        secret.set_path(&["metadata", "name"], Value::from(format!("{name}-{}", short_hash(&hashed))));
    }
    if !data.is_zero() {
        secret.set("data", data);
    }
    if !kind.is_empty() {
        secret.set("type", kind);
    }
    finish(inv, secret, "failed to create secret ").await
}
