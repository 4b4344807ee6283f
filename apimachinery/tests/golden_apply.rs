//! Recorded managed fields: what the managers of an object are after each recorded write must be what ours say, given the
//! object before and after it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use apimachinery::codec::json::{self, DecodeOptions};
use apimachinery::patch::apply::{self, FieldSet, Filter, Write};
use apimachinery::schema;
use apimachinery::value::Value;

fn corpus() -> Option<PathBuf> {
    let root = std::env::var_os("KUBE_RUST_SHARED").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let candidates = [root, Some(workspace.join("shared")), Some(workspace.join("../shared"))];
    candidates.into_iter().flatten().map(|p| p.join("golden/api")).find(|p| p.is_dir())
}

const NOW: &str = "2026-01-01T00:00:00Z";

/// Cases in which the server changes the object after its managers are noted, or resets other fields than most resources do.
const CHANGED_AFTERWARDS: &[&str] = &[
    "resources/namespaces/create",
    "resources/nodes/",
    "resources/persistentvolumeclaims/create",
    "resources/persistentvolumes/create",
    "resources/pods/create-kept-meta",
    "resources/services/create-kept-meta",
    "resources/certificatesigningrequests.certificates.k8s.io/",
];

struct Step<'a> {
    method: &'a str,
    path: String,
    subresource: &'static str,
    manager: String,
    applies: bool,
    force: bool,
    body: &'a Value,
    expect: &'a Value,
}

fn step(value: &Value) -> Step<'_> {
    let text = |k: &str| value.get(k).str_or_empty();
    let (path, subresource) = match text("path") {
        p if p.ends_with("/status") => (p.trim_end_matches("/status"), "status"),
        p => (p, ""),
    };
    let mut query = text("query").split('&').filter_map(|p| p.split_once('='));
    let find = |name: &str| query.clone().find(|(k, _)| *k == name).map(|(_, v)| v.to_owned());
    let manager = find("fieldManager");
    let force = query.any(|p| p == ("force", "true"));
    let applies = value.path(&["headers", "content-type"]).str_or_empty().contains("apply-patch");
    let agent = if text("agent").is_empty() { "golden" } else { text("agent") };
    Step {
        method: text("method"),
        path: path.to_owned(),
        subresource,
        manager: apply::manager_or_user_agent(&manager.unwrap_or_default(), agent),
        applies,
        force,
        body: value.get("body"),
        expect: value.path(&["expect", "body"]),
    }
}

/// The managed fields with every time that is there made the same.
fn masked(object: &Value) -> String {
    let mut entries = object.path(&["metadata", "managedFields"]).clone();
    for entry in entries.as_list_mut().into_iter().flatten() {
        if entry.has("time") {
            entry.set("time", NOW);
        }
    }
    json::to_string(&entries)
}

/// Ours after a step, or nothing if the step says too little.
fn ours(step: &Step<'_>, live: &Value) -> Option<(String, String)> {
    let (api_version, kind) = (step.expect.get("apiVersion").as_str()?, step.expect.get("kind").as_str()?);
    let ty = schema::kind(api_version, kind)?;
    let reset: &[&str] = match step.subresource {
        "status" => &["spec"],
        _ if ty.field("status").is_some() => &["status"],
        _ => &[],
    };
    let filter = Filter::Exclude(FieldSet::of(&[reset]));
    let write =
        Write { ty, api_version, kind, subresource: step.subresource, filter: Some(&filter), now: NOW, convert: None };
    let decode =
        |v: &Value| json::decode(json::to_string(v).as_bytes(), ty, &DecodeOptions::default()).ok().map(|d| d.value);
    let wanted = decode(step.expect)?;
    let live = if live.is_null() { Value::Null } else { decode(live)? };
    let got = if step.applies {
        apply::apply(&write, &live, step.body, &step.manager, step.force).ok()?
    } else {
        let mut new = wanted.clone();
        new.remove_path(&["metadata", "managedFields"]);
        apply::update(&write, &live, &mut new, &step.manager);
        new
    };
    Some((masked(&got), masked(&wanted)))
}

#[test]
fn managers_are_as_recorded() {
    let Some(folder) = corpus() else {
        println!("skipped: golden/api is not here (set KUBE_RUST_SHARED)");
        return;
    };
    let (mut checked, mut wrong) = (0, Vec::new());
    for file in ["resources.jsonl", "subresources.jsonl"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default().replace("<time>", NOW);
        for line in text.lines().filter(|l| l.contains("managedFields")) {
            let case = json::decode_untyped(line.as_bytes()).unwrap_or_default();
            let id = case.get("id").str_or_empty();
            let comparable = !CHANGED_AFTERWARDS.iter().any(|prefix| id.starts_with(prefix));
            if comparable && case.get("mf").as_bool() == Some(true) {
                check_case(&case, &mut checked, &mut wrong);
            }
        }
    }
    println!("{checked} writes checked");
    assert!(checked > 100, "{checked}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn check_case(case: &Value, checked: &mut usize, wrong: &mut Vec<String>) {
    let mut known: HashMap<String, Value> = HashMap::new();
    for (i, raw) in case.get("steps").items().iter().enumerate() {
        let step = step(raw);
        let name = step.expect.path(&["metadata", "name"]).str_or_empty();
        let key = if step.method == "POST" { format!("{}/{name}", step.path) } else { step.path.clone() };
        let has_managers = !step.expect.path(&["metadata", "managedFields"]).is_null();
        let created = raw.path(&["expect", "status"]).as_i64() == Some(201);
        let live = if created { Some(Value::Null) } else { known.get(&key).cloned() };
        let writes = matches!(step.method, "POST" | "PUT" | "PATCH") && has_managers;
        if let Some((got, want)) = live.filter(|_| writes).and_then(|live| ours(&step, &live)) {
            *checked += 1;
            if got != want {
                wrong.push(format!("{} step {i}\n  got  {got}\n  want {want}", case.get("id").str_or_empty()));
            }
        }
        if has_managers {
            known.insert(key, step.expect.clone());
        } else if step.method != "GET" {
            known.remove(&key);
        }
    }
}
