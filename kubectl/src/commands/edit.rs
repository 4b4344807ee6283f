//! `kubectl edit`, and editing before create or of the last applied configuration.
//! Corresponds to kubectl/pkg/cmd/util/editor.

use std::io::Write as _;
use std::path::PathBuf;

use apimachinery::value::Value;

use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::commands::create::{LAST_APPLIED, applied_annotation};
use crate::commands::get::list_of;
use crate::commands::mutate::difference;
use crate::failure::{Failure, has_reason, status_of};
use crate::options;
use crate::printers::{self, PrintFlags, indent4};
use crate::resource::{Builder, FilenameOptions, Helper, Info, decode_documents, is_list, list_items};

/// The command.
pub static COMMAND: Command = Command {
    name: "edit",
    args: "(RESOURCE/NAME | -f FILENAME)",
    short: "Edit a resource on the server",
    long: "Edit a resource from the default editor.\n\nThe editor is that of the KUBE_EDITOR or EDITOR environment variables, else vi. The default format is YAML.",
    example: "# Edit a service\nkubectl edit svc/registry\n\n# With another editor\nKUBE_EDITOR=\"nano\" kubectl edit svc/registry",
    flags: |flags| {
        edit_flags(flags);
        options::save_config_flag(flags);
        flags.bool("output-patch", "", false, "Output the patch if the resource is edited.");
        flags.string(
            "subresource",
            "",
            "",
            "If specified, edit will operate on the subresource of the requested object.",
        );
    },
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

/// The flags of everything that opens an editor.
pub(crate) fn edit_flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    options::record_flag(flags);
    options::filename_flags(flags, "to use to edit the resource");
    options::validate_flag(flags);
    flags.bool("windows-line-endings", "", false, "Defaults to the line ending native to your platform.");
    options::field_manager_flag(flags, "kubectl-edit");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Live,
    LastApplied,
}

/// `apply edit-last-applied`.
pub(crate) async fn edit_last_applied(inv: Invocation) -> anyhow::Result<()> {
    session(inv, Mode::LastApplied).await
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    session(inv, Mode::Live).await
}

const HEADER: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,\n# and an empty file will abort the edit. If an error occurs while saving this file will be\n# reopened with the relevant failures.\n#\n";

struct Session {
    inv: Invocation,
    mode: Mode,
    json: bool,
}

async fn session(inv: Invocation, mode: Mode) -> anyhow::Result<()> {
    let output = inv.flags.str("output").to_owned();
    anyhow::ensure!(
        ["", "yaml", "json", "name"].contains(&output.as_str()),
        "The flag 'output' must be one of yaml|json"
    );
    let (namespace, explicit) = inv.ctx.namespace()?;
    let infos = Builder::new(&inv.ctx)
        .namespace(&namespace, explicit)
        .filenames(&FilenameOptions::from_flags(&inv.flags))
        .subresource(inv.flags.str("subresource"))
        .args(true, &inv.args)
        .await
        .continue_on_error()
        .latest()
        .flatten()
        .run()
        .await?
        .infos()?;
    anyhow::ensure!(!infos.is_empty(), "edit cancelled, no objects found");
    let session = Session { json: output == "json", inv, mode };
    session.run(infos).await
}

impl Session {
    /// What the editor shows of an object.
    fn shown(&self, info: &Info) -> anyhow::Result<Value> {
        if self.mode == Mode::LastApplied {
            let text = info.object.path(&["metadata", "annotations", LAST_APPLIED]).as_str();
            let text = text.ok_or_else(|| {
                anyhow::anyhow!("no last-applied-configuration annotation found on resource: {}", info.name)
            })?;
            return crate::codec::decode_json(text.as_bytes());
        }
        let mut object = info.object.clone();
        if !self.inv.flags.get_bool("show-managed-fields") {
            object.remove_path(&["metadata", "managedFields"]);
        }
        Ok(object)
    }

    fn text(&self, objects: &[Value]) -> String {
        let value = match objects {
            [one] => one.clone(),
            many => {
                let mut list = list_of(many.to_vec());
                list.set("metadata", Value::map());
                list
            }
        };
        if self.json {
            format!("{}\n", indent4(&crate::codec::encode_json(&value)))
        } else {
            crate::codec::encode_yaml(&value)
        }
    }

    async fn run(&self, infos: Vec<Info>) -> anyhow::Result<()> {
        let originals = infos.iter().map(|i| self.shown(i)).collect::<anyhow::Result<Vec<_>>>()?;
        let clean = self.text(&originals);
        let mut reasons: Vec<String> = Vec::new();
        let mut content = clean.clone();
        let mut saved: Option<PathBuf> = None;
        loop {
            let offered = if self.json { content.clone() } else { format!("{HEADER}{}{content}", comment(&reasons)) };
            let (path, edited) = launch(&offered, if self.json { "json" } else { "yaml" })?;
            let stripped = strip_comments(&edited);
            if let Some(old) = saved.replace(path.clone()) {
                // The last file holds the latest text.
                let _ = std::fs::remove_file(old);
            }
            if meaning(&stripped) == meaning(&content) && !reasons.is_empty() {
                return self.give_up(&path, "Edit cancelled, no valid changes were saved.");
            }
            if meaning(&stripped) == meaning(&clean) {
                let _ = std::fs::remove_file(&path);
                self.inv.ctx.err("Edit cancelled, no changes made.\n");
                return Ok(());
            }
            if stripped.trim().is_empty() {
                let _ = std::fs::remove_file(&path);
                self.inv.ctx.err("Edit cancelled, saved file was empty.\n");
                return Ok(());
            }
            content = stripped;
            match self.save(&infos, &originals, &content).await {
                Ok(problems) if problems.is_empty() => {
                    let _ = std::fs::remove_file(&path);
                    return Ok(());
                }
                Ok(problems) => reasons = problems,
                Err(error) => {
                    return Err(self.keep(&path, error));
                }
            }
        }
    }

    fn tell_invalid(&self, info: Option<&Info>) {
        if let Some(info) = info {
            self.inv.ctx.err(&format!("error: {} is invalid\n", subject(info)));
        }
    }

    fn give_up(&self, path: &std::path::Path, text: &str) -> anyhow::Result<()> {
        Err(self.keep(path, anyhow::anyhow!("{text}")))
    }

    /// Tells where the text is kept.
    fn keep(&self, path: &std::path::Path, error: anyhow::Error) -> anyhow::Error {
        self.inv
            .ctx
            .err(&format!("A copy of your changes has been stored to {}\n", quote(&path.display().to_string())));
        error
    }

    /// Sends the changes. The result is what the server refused, to be shown in the editor.
    async fn save(&self, infos: &[Info], originals: &[Value], content: &str) -> anyhow::Result<Vec<String>> {
        let mut objects = Vec::new();
        for document in decode_documents(content.as_bytes(), "edited-file") {
            match document {
                Ok(object) if is_list(&object) => objects.extend(list_items(&object)),
                Ok(object) => objects.push(object),
                Err(error) => {
                    self.tell_invalid(infos.first());
                    return Ok(vec![format!("The edited file failed validation: {error}")]);
                }
            }
        }
        let mut problems = Vec::new();
        for object in objects {
            let same = |o: &Value| {
                o.get("kind") == object.get("kind")
                    && o.path(&["metadata", "name"]) == object.path(&["metadata", "name"])
                    && o.path(&["metadata", "namespace"]) == object.path(&["metadata", "namespace"])
            };
            let Some(at) = originals.iter().position(same) else {
                problems.push("At least one of apiVersion, kind and name was changed".to_owned());
                self.tell_invalid(infos.first());
                continue;
            };
            match self.patch(&infos[at], &originals[at], object).await {
                Ok(()) => {}
                Err(error) if has_reason(&error, "Invalid") || has_reason(&error, "BadRequest") => {
                    problems.push(explain(&infos[at], &error));
                    if has_reason(&error, "Invalid") {
                        self.tell_invalid(Some(&infos[at]));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(problems)
    }

    async fn patch(&self, info: &Info, original: &Value, mut object: Value) -> anyhow::Result<()> {
        let flags = &self.inv.flags;
        let print = PrintFlags::from_flags(flags);
        let (before, after) = match self.mode {
            Mode::Live => {
                if flags.get_bool("save-config") {
                    applied_annotation(&mut object, false);
                }
                (original.clone(), object)
            }
            Mode::LastApplied => {
                let text = format!("{}\n", String::from_utf8_lossy(&crate::codec::encode_json(&object)));
                let mut after = info.object.clone();
                after.set_path(&["metadata", "annotations", LAST_APPLIED], Value::from(text));
                (info.object.clone(), after)
            }
        };
        let Some((media_type, patch)) = difference(&before, &after)? else {
            let mut printer = print.printer("skipped")?;
            self.inv.ctx.out(&printer.print(&info.object)?);
            return Ok(());
        };
        if flags.get_bool("output-patch") {
            self.inv.ctx.out(&format!("Patch: {}\n", String::from_utf8_lossy(&patch)));
        }
        let helper = Helper::new(self.inv.ctx.rest().await?, info.mapping()?.clone())
            .field_manager(flags.str("field-manager"))
            .field_validation(options::validation(flags)?)
            .subresource(flags.str("subresource"));
        let patched = helper.patch(&info.namespace, &info.name, media_type, patch).await?;
        let mut printer = print.printer("edited")?;
        self.inv.ctx.out(&printer.print(&patched)?);
        Ok(())
    }
}

fn subject(info: &Info) -> String {
    let resource = info.mapping.as_ref().map_or(String::new(), |m| m.group_resource());
    format!("{resource} {}", quote(&info.name))
}

fn explain(info: &Info, error: &anyhow::Error) -> String {
    let mut text = format!("{} was not valid:", subject(info));
    match status_of(error) {
        Some(status) if !status.causes.is_empty() => {
            for cause in &status.causes {
                text.push_str(&format!("\n* {}: {}", cause.field, cause.message));
            }
        }
        _ => text.push_str(&format!("\n* {error}")),
    }
    text
}

fn comment(reasons: &[String]) -> String {
    let mut out = String::new();
    for reason in reasons {
        for line in reason.lines() {
            out.push_str(&format!("# {line}\n"));
        }
        out.push_str("#\n");
    }
    out
}

fn strip_comments(text: &str) -> String {
    let keep = |line: &&str| !line.trim_start().starts_with('#') || line.trim_start().starts_with("#!");
    text.split_inclusive('\n').filter(|l| keep(&l.trim_end_matches('\n'))).collect()
}

/// What a text says, for comparing texts: one line of JSON if it is valid.
fn meaning(text: &str) -> String {
    let stripped = strip_comments(text);
    match crate::codec::decode_yaml(stripped.as_bytes()) {
        Ok(value) => String::from_utf8_lossy(&crate::codec::encode_json(&value)).into_owned(),
        Err(_) => stripped.trim().to_owned(),
    }
}

/// Opens the editor on a new file; the result is the file and its text afterwards.
fn launch(content: &str, extension: &str) -> anyhow::Result<(PathBuf, String)> {
    let mut file = tempfile::Builder::new().prefix("kubectl-edit-").suffix(&format!(".{extension}")).tempfile()?;
    file.write_all(content.as_bytes())?;
    let (_, path) = file.keep()?;
    let editor = ["KUBE_EDITOR", "EDITOR"]
        .iter()
        .filter_map(|v| std::env::var(v).ok())
        .find(|e| !e.is_empty())
        .unwrap_or_else(|| "vi".to_owned());
    let shell = std::env::var("SHELL").ok().filter(|s| !s.is_empty()).unwrap_or_else(|| "/bin/bash".to_owned());
    let needs_shell = editor.contains(['"', '\'', '\\']);
    let status = if needs_shell {
        std::process::Command::new(shell).arg("-c").arg(format!("{editor} {}", path.display())).status()
    } else {
        let mut words = editor.split(' ').filter(|w| !w.is_empty());
        let program = words.next().unwrap_or("vi");
        std::process::Command::new(program).args(words).arg(&path).status()
    };
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => anyhow::bail!("there was a problem with the editor {}", quote(&editor)),
        Err(_) => anyhow::bail!("unable to launch the editor {}", quote(&editor)),
    }
    let edited = std::fs::read_to_string(&path)?;
    Ok((path, edited))
}

/// `create --edit`: the objects of the files pass through the editor, then are created.
pub(crate) async fn edit_before_create(inv: Invocation, files: &FilenameOptions) -> anyhow::Result<()> {
    let (namespace, explicit) = inv.ctx.namespace()?;
    let infos = Builder::new(&inv.ctx)
        .namespace(&namespace, explicit)
        .filenames(files)
        .continue_on_error()
        .flatten()
        .run()
        .await?
        .infos()?;
    let session = Session { json: inv.flags.str("output") == "json", mode: Mode::Live, inv };
    let objects: Vec<Value> = infos.into_iter().map(|i| i.object).collect();
    let (path, edited) = launch(&format!("{HEADER}{}", session.text(&objects)), "yaml")?;
    let content = strip_comments(&edited);
    let _ = std::fs::remove_file(path);
    if content.trim().is_empty() {
        session.inv.ctx.err("Edit cancelled, saved file was empty.\n");
        return Ok(());
    }
    let inv = &session.inv;
    let mut printer = PrintFlags::from_flags(&inv.flags).printer("created")?;
    let found = Builder::new(&inv.ctx)
        .namespace(&namespace, explicit)
        .stream("edited-file", content.into_bytes())
        .continue_on_error()
        .flatten()
        .run()
        .await?
        .infos()?;
    if found.is_empty() {
        return Err(Failure::Exit(1).into());
    }
    for mut info in found {
        if inv.flags.get_bool("save-config") {
            applied_annotation(&mut info.object, false);
        }
        let helper = Helper::new(inv.ctx.rest().await?, info.mapping()?.clone())
            .field_manager("kubectl-create")
            .field_validation(options::validation(&inv.flags)?);
        info.refresh(helper.create(&info.namespace, &info.object).await?);
        inv.ctx.out(&printer.print(&info.object)?);
    }
    Ok(())
}
