//! Reading objects out of files, folders, URLs and standard input.
//! Corresponds to cli-runtime/pkg/resource/visitor.go and apimachinery/pkg/util/yaml/decoder.go.

use std::path::Path;

use apimachinery::value::Value;

use crate::cli::FlagSet;
use crate::cli::quote::quote;

const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// `-f`, `-k` and `-R`.
#[derive(Clone, Debug, Default)]
pub struct FilenameOptions {
    /// Files, folders, patterns, URLs, `-`.
    pub filenames: Vec<String>,
    /// Kustomization folder.
    pub kustomize: String,
    /// Whether folders are read with their subfolders.
    pub recursive: bool,
}

impl FilenameOptions {
    /// From the flags of a command.
    pub fn from_flags(flags: &FlagSet) -> Self {
        Self {
            filenames: flags.list("filename"),
            kustomize: flags.str("kustomize").to_owned(),
            recursive: flags.get_bool("recursive"),
        }
    }

    /// Whether neither `-f` nor `-k` was given.
    pub fn is_empty(&self) -> bool {
        self.filenames.is_empty() && self.kustomize.is_empty()
    }

    /// An error unless `-f` or `-k` was given.
    pub fn require(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.is_empty(), "must specify one of -f and -k");
        Ok(())
    }

    /// The contradictions between the flags.
    pub fn validate(&self) -> Vec<anyhow::Error> {
        let mut errors = Vec::new();
        if !self.filenames.is_empty() && !self.kustomize.is_empty() {
            errors.push(anyhow::anyhow!("only one of -f or -k can be specified"));
        }
        if !self.kustomize.is_empty() && self.recursive {
            errors.push(anyhow::anyhow!("the -k flag can't be used with -f or -R"));
        }
        errors
    }
}

/// One source of documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Stdin,
    File(String),
    Url(String),
}

impl Source {
    /// How messages call it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Stdin => "STDIN",
            Self::File(path) | Self::Url(path) => path,
        }
    }

    /// Its content.
    pub(super) async fn read(&self) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Stdin => crate::files::stdin(),
            Self::File(path) => crate::files::read(path),
            Self::Url(url) => fetch(url).await,
        }
    }
}

/// The sources, whether a single object is implied, and what is wrong with them.
pub(super) struct Sources {
    pub(super) list: Vec<Source>,
    pub(super) single: bool,
    pub(super) errors: Vec<anyhow::Error>,
}

pub(super) fn expand(options: &FilenameOptions) -> Sources {
    let mut found = Sources { list: Vec::new(), single: false, errors: options.validate() };
    let mut folder = false;
    for name in &options.filenames {
        if name == "-" {
            if found.list.contains(&Source::Stdin) {
                found.errors.push(anyhow::anyhow!("standard input cannot be used for multiple arguments"));
            }
            found.list.push(Source::Stdin);
        } else if name.starts_with("http://") || name.starts_with("https://") {
            found.list.push(Source::Url(name.clone()));
        } else {
            for path in pattern(name, &mut found.errors) {
                folder |= add_path(&path, options.recursive, &mut found);
            }
        }
    }
    if !options.kustomize.is_empty() {
        found
            .errors
            .push(anyhow::anyhow!("kustomize is not built into this kubectl; build the folder elsewhere and use -f"));
    }
    if found.list.is_empty() && found.errors.is_empty() && !options.filenames.is_empty() {
        found.errors.push(anyhow::anyhow!(
            "error reading [{}]: recognized file extensions are [.json .yaml .yml]",
            options.filenames.join(" ")
        ));
    }
    found.single = !folder && found.list.len() == 1 && found.list[0] != Source::Stdin;
    found
}

fn missing(path: &str) -> anyhow::Error {
    anyhow::anyhow!("the path {} does not exist", quote(path))
}

/// The path itself, or what it matches as a pattern.
fn pattern(name: &str, errors: &mut Vec<anyhow::Error>) -> Vec<String> {
    if Path::new(name).exists() {
        return vec![name.to_owned()];
    }
    let matches = if name.contains(['*', '?', '[']) { glob(name) } else { Vec::new() };
    if matches.is_empty() {
        errors.push(missing(name));
    }
    matches
}

/// Paths that match a pattern, `*` and `?` within a segment.
fn glob(pattern: &str) -> Vec<String> {
    let mut found = vec![if pattern.starts_with('/') { "/".to_owned() } else { String::new() }];
    for part in pattern.split('/').filter(|p| !p.is_empty()) {
        let mut next = Vec::new();
        for base in &found {
            if !part.contains(['*', '?', '[']) {
                let path = format!("{base}{part}");
                if Path::new(&path).exists() {
                    next.push(format!("{path}/"));
                }
                continue;
            }
            let dir = if base.is_empty() { "." } else { base.as_str() };
            let mut names: Vec<String> = std::fs::read_dir(dir)
                .map(|d| d.filter_map(Result::ok).map(|e| e.file_name().to_string_lossy().into_owned()).collect())
                .unwrap_or_default();
            names.sort();
            let expression = regex_of(part);
            next.extend(
                names
                    .iter()
                    .filter(|n| expression.as_ref().is_some_and(|r| r.is_match(n)))
                    .map(|n| format!("{base}{n}/")),
            );
        }
        found = next;
    }
    found.iter().map(|p| p.trim_end_matches('/').to_owned()).collect()
}

fn regex_of(part: &str) -> Option<regex::Regex> {
    let mut text = String::from("^");
    for c in part.chars() {
        match c {
            '*' => text.push_str(".*"),
            '?' => text.push('.'),
            '[' | ']' | '-' => text.push(c),
            c => text.push_str(&regex::escape(&c.to_string())),
        }
    }
    text.push('$');
    regex::Regex::new(&text).ok()
}

/// Adds a file or the files of a folder; true for a folder of several files.
fn add_path(path: &str, recursive: bool, found: &mut Sources) -> bool {
    if Path::new(path).is_file() || !Path::new(path).is_dir() {
        found.list.push(Source::File(path.to_owned()));
        return false;
    }
    let before = found.list.len();
    walk(Path::new(path), recursive, &mut found.list);
    found.list.len() > before + 1
}

fn walk(dir: &Path, recursive: bool, list: &mut Vec<Source>) {
    let mut entries: Vec<std::path::PathBuf> =
        std::fs::read_dir(dir).map(|d| d.filter_map(Result::ok).map(|e| e.path()).collect()).unwrap_or_default();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if recursive {
                walk(&path, recursive, list);
            }
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| EXTENSIONS.contains(&e)) {
            list.push(Source::File(path.to_string_lossy().into_owned()));
        }
    }
}

async fn fetch(url: &str) -> anyhow::Result<Vec<u8>> {
    use http_body_util::BodyExt as _;
    let parsed = url::Url::parse(url)?;
    let base = format!("{}://{}", parsed.scheme(), parsed.authority());
    let client = kube::Client::try_from(kube::Config::new(base.parse()?))?;
    let path = &url[base.len()..];
    let request = http::Request::get(if path.is_empty() { "/" } else { path }).body(kube::client::Body::empty())?;
    let response = client.send(request).await?;
    let status = response.status();
    if status != http::StatusCode::OK {
        anyhow::bail!("unable to read URL {}, server reported {status}, status code={}", quote(url), status.as_u16());
    }
    Ok(response.into_body().collect().await?.to_bytes().to_vec())
}

/// The objects of a file: YAML documents, or JSON values one after the other. Errors are per document.
pub fn decode_documents(content: &[u8], source: &str) -> Vec<anyhow::Result<Value>> {
    let text = match std::str::from_utf8(content) {
        Ok(text) => text.trim_start_matches('\u{feff}'),
        Err(error) => return vec![Err(anyhow::anyhow!("error parsing {source}: {error}"))],
    };
    if text.trim_start().starts_with('{') {
        return json_documents(text, source);
    }
    let mut all = Vec::new();
    for document in split_yaml(text) {
        if document.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
            continue;
        }
        match crate::codec::decode_yaml(document.as_bytes()) {
            Ok(Value::Null) => {}
            Ok(value) => all.push(Ok(value)),
            Err(error) => {
                all.push(Err(anyhow::anyhow!("error parsing {source}: error converting YAML to JSON: {error}")));
                return all;
            }
        }
    }
    all
}

fn json_documents(text: &str, source: &str) -> Vec<anyhow::Result<Value>> {
    let mut all = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>() {
        match value {
            Ok(serde_json::Value::Null) => {}
            Ok(value) => all.push(Ok(Value::from(value))),
            // JSON that continues as YAML, or YAML in flow style.
            Err(_) if all.is_empty() => {
                return match crate::codec::decode_yaml(text.as_bytes()) {
                    Ok(value) => vec![Ok(value)],
                    Err(error) => vec![Err(anyhow::anyhow!("error parsing {source}: {error}"))],
                };
            }
            Err(error) => {
                all.push(Err(anyhow::anyhow!("error parsing {source}: {error}")));
                return all;
            }
        }
    }
    all
}

/// Splits at lines that start with `---`.
fn split_yaml(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.split_inclusive('\n') {
        let marker =
            line.strip_prefix("---").filter(|rest| rest.trim().is_empty() || rest.starts_with([' ', '\t', '#']));
        match marker {
            Some(rest) => documents.push(if rest.trim().is_empty() { "\n".to_owned() } else { rest.to_owned() }),
            None => documents.last_mut().expect("starts with one").push_str(line),
        }
    }
    documents
}
