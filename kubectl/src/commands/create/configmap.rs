//! `kubectl create configmap`, and the reading of key sources that secrets share.

use apimachinery::names;
use apimachinery::value::Value;
use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::generate::{finish, generator_flags, name, object};
use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};

/// The command.
pub static COMMAND: Command = Command {
    name: "configmap",
    args: "NAME [--from-file=[key=]source] [--from-literal=key1=value1] [--dry-run=server|client|none]",
    aliases: &["cm"],
    short: "Create a config map from a local file, directory or literal value",
    example: "# From a folder\nkubectl create configmap my-config --from-file=path/to/bar\n\n# From literals\nkubectl create configmap my-config --from-literal=key1=config1 --from-literal=key2=config2\n\n# From an env file\nkubectl create configmap my-config --from-env-file=path/to/foo.env",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    generator_flags(flags);
    source_flags(flags);
    flags.bool("append-hash", "", false, "Append a hash of the configmap to its name.");
}

/// `--from-file`, `--from-literal`, `--from-env-file`.
pub(super) fn source_flags(flags: &mut FlagSet) {
    flags.slice("from-file", "", "", "Key file, optionally as key=path; otherwise the file's basename is the key. A directory gives one key per file.");
    flags.array("from-literal", "", "Specify a key and literal value to insert (i.e. mykey=somevalue)");
    flags.slice("from-env-file", "", "", "Specify the path to a file to read lines of key=val pairs.");
}

/// One key and its bytes.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) data: Vec<u8>,
}

/// Reads the sources in the order of literals and files that `literals_first` says, then env files.
pub(super) fn read_sources(flags: &FlagSet, literals_first: bool) -> anyhow::Result<Vec<Entry>> {
    let (files, literals, envs) = (flags.list("from-file"), flags.list("from-literal"), flags.list("from-env-file"));
    anyhow::ensure!(
        envs.is_empty() || (files.is_empty() && literals.is_empty()),
        "from-env-file cannot be combined with from-file or from-literal"
    );
    let mut entries = Vec::new();
    if literals_first {
        add_literals(&literals, &mut entries)?;
        add_files(&files, &mut entries)?;
    } else {
        add_files(&files, &mut entries)?;
        add_literals(&literals, &mut entries)?;
    }
    for path in &envs {
        add_env_file(path, &mut entries)?;
    }
    Ok(entries)
}

fn add_literals(literals: &[String], entries: &mut Vec<Entry>) -> anyhow::Result<()> {
    for literal in literals {
        match literal.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                entries.push(Entry { key: key.to_owned(), data: value.as_bytes().to_vec() });
            }
            _ => anyhow::bail!("invalid literal source {literal}, expected key=value"),
        }
    }
    Ok(())
}

/// Reads `--from-file` values.
pub(super) fn add_files(files: &[String], entries: &mut Vec<Entry>) -> anyhow::Result<()> {
    for source in files {
        let (key, path) = parse_file_source(source)?;
        let meta = std::fs::metadata(&path)
            .map_err(|e| anyhow::anyhow!("error reading {path}: {}", crate::files::go_error(&e)))?;
        if !meta.is_dir() {
            entries.push(Entry { key, data: crate::files::read(&path)? });
            continue;
        }
        anyhow::ensure!(!source.contains('='), "cannot give a key name for a directory path");
        let mut names: Vec<_> = std::fs::read_dir(&path)
            .map_err(|e| anyhow::anyhow!("error listing files in {path}: {}", crate::files::go_error(&e)))?
            .filter_map(Result::ok)
            .filter(|e| e.file_type().is_ok_and(|t| t.is_file()))
            .collect();
        names.sort_by_key(std::fs::DirEntry::file_name);
        for entry in names {
            let key = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { key, data: crate::files::read(&entry.path().to_string_lossy())? });
        }
    }
    Ok(())
}

fn parse_file_source(source: &str) -> anyhow::Result<(String, String)> {
    match source.matches('=').count() {
        0 => Ok((source.trim_end_matches('/').rsplit('/').next().unwrap_or(source).to_owned(), source.to_owned())),
        1 => match source.split_once('=') {
            Some(("", path)) => anyhow::bail!("key name for file path {path} missing"),
            Some((key, "")) => anyhow::bail!("file path for key name {key} missing"),
            Some((key, path)) => Ok((key.to_owned(), path.to_owned())),
            None => anyhow::bail!("invalid file source {source}"),
        },
        _ => anyhow::bail!("key names or file paths cannot contain '='"),
    }
}

fn add_env_file(path: &str, entries: &mut Vec<Entry>) -> anyhow::Result<()> {
    let meta =
        std::fs::metadata(path).map_err(|e| anyhow::anyhow!("error reading {path}: {}", crate::files::go_error(&e)))?;
    anyhow::ensure!(!meta.is_dir(), "env config file cannot be a directory");
    let content = crate::files::read(path)?;
    let text =
        String::from_utf8(content).map_err(|e| anyhow::anyhow!("env file {path} contains invalid utf8 bytes: {e}"))?;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, value.to_owned()),
            None => (line, std::env::var(line).unwrap_or_default()),
        };
        let errors = names::env_var_name(key);
        anyhow::ensure!(errors.is_empty(), "{} is not a valid key name: {}", quote(key), errors.join(";"));
        entries.push(Entry { key: key.to_owned(), data: value.into_bytes() });
    }
    Ok(())
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let mut map = object(&inv, "v1", "ConfigMap", &name)?;
    let mut data = Value::map();
    let mut binary = Value::map();
    for entry in read_sources(&inv.flags, false)? {
        let key = &entry.key;
        let errors = names::config_map_key(key);
        anyhow::ensure!(
            errors.is_empty(),
            "{} is not a valid key name for a ConfigMap: {}",
            quote(key),
            errors.join(",")
        );
        for (field, there) in [("Data", data.has(key)), ("BinaryData", binary.has(key))] {
            anyhow::ensure!(
                !there,
                "cannot add key {}, another key by that name already exists in {field} for ConfigMap {}",
                quote(key),
                quote(&name)
            );
        }
        match String::from_utf8(entry.data) {
            Ok(text) => data.set(key, text),
            Err(bytes) => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(bytes.as_bytes());
                binary.set(key, encoded);
            }
        }
    }
    if inv.flags.get_bool("append-hash") {
        let mut hashed = Value::from([
            ("kind", Value::from("ConfigMap")),
            ("name", Value::from(name.as_str())),
            ("data", data.clone()),
        ]);
        if !binary.is_zero() {
            hashed.set("binaryData", binary.clone());
        }
        map.set_path(&["metadata", "name"], Value::from(format!("{name}-{}", short_hash(&hashed))));
    }
    if !data.is_zero() {
        map.set("data", data);
    }
    if !binary.is_zero() {
        map.set("binaryData", binary);
    }
    finish(&inv, map, "failed to create configmap: ").await
}

/// Ten letters and digits that stand for the content, with no bad words in them.
pub(super) fn short_hash(value: &Value) -> String {
    let digest = Sha256::digest(crate::codec::encode_json(value));
    let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    hex[..10]
        .chars()
        .map(|c| match c {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            other => other,
        })
        .collect()
}
