//! `kubectl cp`: files through `tar` in the container. Corresponds to kubectl/pkg/cmd/cp.

use std::io::{Seek as _, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use super::exec::exec_request;
use crate::archive::{self, Entry, EntryKind, Reader};
use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::client::{Request, Rest};
use crate::pods;
use crate::streaming::captured;

/// The command.
pub static COMMAND: Command = Command {
    name: "cp",
    args: "<file-spec-src> <file-spec-dest>",
    short: "Copy files and directories to and from containers",
    long: "Copy files and directories to and from containers.\n\nThe container's image must have the program 'tar'.",
    example: "# To a pod\nkubectl cp /tmp/foo <some-namespace>/<some-pod>:/tmp/bar\n\n# From a pod\nkubectl cp <some-namespace>/<some-pod>:/tmp/foo /tmp/bar",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    flags.string("container", "c", "", "Container name. If omitted, use the kubectl.kubernetes.io/default-container annotation for selecting the container to be attached or the first container in the pod will be chosen");
    flags.bool(
        "no-preserve",
        "",
        false,
        "The copied file/directory's ownership and permissions will not be preserved in the container",
    );
    flags.int("retries", 64, 0, "Set number of retries to complete a copy operation from a container. Specify 0 to disable or any negative value for infinite retrying. The default is 0 (no retry).");
}

/// One side of the copy.
struct Spec {
    namespace: String,
    pod: String,
    file: String,
}

impl Spec {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let wrong = || anyhow::anyhow!("filespec must match the canonical format: [[namespace/]pod:]file/path");
        let Some((pod, file)) = text.split_once(':') else {
            return Ok(Self { namespace: String::new(), pod: String::new(), file: text.to_owned() });
        };
        let words: Vec<&str> = pod.split('/').collect();
        let (namespace, pod) = match words.as_slice() {
            [""] => return Err(wrong()),
            [pod] => ("", *pod),
            [namespace, pod] => (*namespace, *pod),
            _ => return Err(wrong()),
        };
        Ok(Self { namespace: namespace.to_owned(), pod: pod.to_owned(), file: file.to_owned() })
    }
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let [from, to] = inv.args.as_slice() else {
        anyhow::bail!("source and destination are required");
    };
    let (mut from, mut to) = (Spec::parse(from)?, Spec::parse(to)?);
    anyhow::ensure!(from.pod.is_empty() || to.pod.is_empty(), "one of src or dest must be a local file specification");
    anyhow::ensure!(!from.file.is_empty() && !to.file.is_empty(), "filepath can not be empty");
    let (namespace, _) = inv.ctx.namespace()?;
    for spec in [&mut from, &mut to] {
        if spec.namespace.is_empty() {
            spec.namespace.clone_from(&namespace);
        }
    }
    if !from.pod.is_empty() {
        return copy_from(&inv, &from, Path::new(&to.file)).await;
    }
    anyhow::ensure!(!to.pod.is_empty(), "one of src or dest must be a remote file specification");
    copy_to(&inv, Path::new(&from.file), &to).await
}

/// A request to run a command in the container.
async fn command(inv: &Invocation, rest: &Rest, spec: &Spec, words: &[&str]) -> anyhow::Result<Request> {
    let path = format!("/api/v1/namespaces/{}/pods/{}", spec.namespace, spec.pod);
    let pod = rest.value(Request::get(path)).await?;
    let phase = pod.path(&["status", "phase"]).str_or_empty();
    anyhow::ensure!(
        phase != "Succeeded" && phase != "Failed",
        "cannot exec into a container in a completed pod; current phase is {phase}"
    );
    let container = pods::choose_container(&pod, inv.flags.str("container"), false)?;
    let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    Ok(exec_request(&pod, container.get("name").str_or_empty(), &words))
}

async fn copy_to(inv: &Invocation, from: &Path, to: &Spec) -> anyhow::Result<()> {
    anyhow::ensure!(std::fs::metadata(from).is_ok(), "{} doesn't exist in local filesystem", from.display());
    let rest = inv.ctx.rest().await?;
    let mut target = clean(&to.file);
    let probe = command(inv, &rest, to, &["test", "-d", &target]).await?;
    if captured(&rest, probe, None, &mut |_| Ok(()), &mut |_| {}).await.is_ok() {
        let base = clean(&from.to_string_lossy());
        let base = base.rsplit('/').next().unwrap_or_default().to_owned();
        target = format!("{}/{base}", target.trim_end_matches('/'));
    }
    let (folder, base) = target.rsplit_once('/').unwrap_or((".", &target));
    let folder = if folder.is_empty() { "/" } else { folder };
    let mut file = tempfile::tempfile()?;
    add(from, base, &mut file)?;
    archive::finish(&mut file)?;
    file.seek(SeekFrom::Start(0))?;
    let mut words = vec!["tar"];
    if inv.flags.get_bool("no-preserve") {
        words.extend(["--no-same-permissions", "--no-same-owner"]);
    }
    words.extend(["-xmf", "-", "-C", folder]);
    let request = command(inv, &rest, to, &words).await?;
    let mut output = |bytes: &[u8]| {
        inv.ctx.out_bytes(bytes);
        Ok(())
    };
    let mut notices = |bytes: &[u8]| inv.ctx.err(&String::from_utf8_lossy(bytes));
    captured(&rest, request, Some(Box::new(file)), &mut output, &mut notices).await
}

/// Adds a file or a folder's files to the archive.
fn add(path: &Path, name: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let entry = Entry::of(path, name)?;
    if entry.kind == EntryKind::Directory {
        let mut names: Vec<_> = std::fs::read_dir(path)?.collect::<Result<_, _>>()?;
        names.sort_by_key(std::fs::DirEntry::file_name);
        if names.is_empty() {
            entry.write(out)?;
        }
        for child in names {
            let name = format!("{name}/{}", child.file_name().to_string_lossy());
            add(&child.path(), &name, out)?;
        }
        return Ok(());
    }
    entry.write(out)?;
    if entry.kind == EntryKind::File {
        let copied = std::io::copy(&mut std::io::Read::take(std::fs::File::open(path)?, entry.size), out)?;
        anyhow::ensure!(copied == entry.size, "{} changed while it was read", path.display());
        archive::pad(out, entry.size)?;
    }
    Ok(())
}

/// The path without `.`, `..` and doubled slashes where that is possible.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let absolute = path.starts_with('/');
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

async fn copy_from(inv: &Invocation, from: &Spec, to: &Path) -> anyhow::Result<()> {
    let rest = inv.ctx.rest().await?;
    let request = command(inv, &rest, from, &["tar", "cf", "-", &from.file]).await?;
    let mut file = tempfile::tempfile()?;
    // Upstream shows the notices of the tar that packs on standard output.
    let mut notices = |bytes: &[u8]| inv.ctx.out_bytes(bytes);
    let outcome = captured(&rest, request, None, &mut |bytes| Ok(file.write_all(bytes)?), &mut notices).await;
    file.seek(SeekFrom::Start(0))?;
    let prefix = clean(from.file.trim_start_matches('/'));
    let prefix = prefix.trim_start_matches("../");
    extract(inv, from, prefix, to, Reader::new(std::io::BufReader::new(file)))?;
    outcome
}

fn extract(
    inv: &Invocation,
    from: &Spec,
    prefix: &str,
    to: &Path,
    mut reader: Reader<impl std::io::Read>,
) -> anyhow::Result<()> {
    let mut told = false;
    while let Some(entry) = reader.next()? {
        let Some(rest) = entry.name.strip_prefix(prefix) else {
            anyhow::bail!("tar contents corrupted");
        };
        let relative: PathBuf = Path::new(rest).components().filter(|c| !matches!(c, Component::RootDir)).collect();
        let target = if relative.as_os_str().is_empty() { to.to_path_buf() } else { to.join(&relative) };
        if relative.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir)) {
            let shown = quote(&target.to_string_lossy());
            inv.ctx.err(&format!("warning: file {shown} is outside target destination, skipping\n"));
            continue;
        }
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        match entry.kind {
            EntryKind::Directory => std::fs::create_dir_all(&target)?,
            EntryKind::Link => {
                let advice = match std::mem::replace(&mut told, true) {
                    true => String::new(),
                    false => format!(
                        " (consider using \"kubectl exec -n {} {} -- tar cf - {} | tar xf -\")",
                        quote(&from.namespace),
                        quote(&from.pod),
                        quote(&from.file)
                    ),
                };
                let (shown, link) = (quote(&target.to_string_lossy()), quote(&entry.link));
                inv.ctx.err(&format!("warning: skipping symlink: {shown} -> {link}{advice}\n"));
            }
            EntryKind::File => {
                let mut file = std::fs::File::create(&target)?;
                std::io::copy(&mut reader, &mut file)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Spec, clean};

    #[test]
    fn paths_and_specs() {
        assert_eq!(clean("/a/./b/../c/"), "/a/c");
        assert_eq!(clean("a//b"), "a/b");
        assert_eq!(clean("."), ".");
        let spec = Spec::parse("ns/pod:/x").expect("valid");
        assert_eq!((spec.namespace.as_str(), spec.pod.as_str(), spec.file.as_str()), ("ns", "pod", "/x"));
        assert!(Spec::parse(":x").is_err());
    }
}
