//! The OpenAPI documents against the recorded ones, without descriptions.

use std::path::{Path, PathBuf};

use apimachinery::codec::json;
use apimachinery::openapi::{v2, v3};
use apimachinery::resources;
use apimachinery::value::{Map, Value};

fn recorded() -> Option<PathBuf> {
    let root = std::env::var_os("KUBE_RUST_SHARED").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let candidates = [root, Some(workspace.join("shared")), Some(workspace.join("../shared"))];
    let found = candidates.into_iter().flatten().map(|p| p.join("golden/api/discovery.jsonl")).find(|p| p.is_file());
    if found.is_none() {
        println!("skipped: golden/api/discovery.jsonl is not here (set KUBE_RUST_SHARED)");
    }
    found
}

/// Recorded documents have no descriptions and no custom resources.
fn bare(value: &Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.iter().map(bare).collect()),
        Value::Map(map) => {
            // The recording also lost every member called managedFields.
            let dropped = |k: &str, v: &Value| k == "managedFields" || (k == "description" && v.as_str().is_some());
            let kept = map.iter().filter(|(k, v)| !dropped(k, v));
            Value::Map(kept.map(|(k, v)| (k.into(), bare(v))).collect::<Map>())
        }
        value => value.clone(),
    }
}

fn ours(path: &str) -> Value {
    if path == "/openapi/v2" {
        let groups = resources::groups().iter();
        let served: Vec<(&str, &str)> = groups.flat_map(|g| g.default_versions.iter().map(|v| (g.name, *v))).collect();
        return v2::document(&served, &[]);
    }
    let path = path.strip_prefix("/openapi/v3/").expect("a v3 document");
    let parts: Vec<&str> = path.split('/').collect();
    match (v3::other_document(path), &parts[..]) {
        (Some(document), _) => document,
        (None, ["api", version]) => v3::document("", version),
        (None, ["apis", group]) => v3::group_document(group),
        (None, ["apis", group, version]) => v3::document(group, version),
        _ => panic!("unknown document {path}"),
    }
}

fn first_difference(path: &str, a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Map(x), Value::Map(y)) => {
            let mut keys: Vec<&str> = x.keys().chain(y.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            keys.iter().find_map(|k| first_difference(&format!("{path}/{k}"), a.get(k), b.get(k)))
        }
        (Value::List(x), Value::List(y)) if x.len() == y.len() => {
            x.iter().zip(y).enumerate().find_map(|(i, (a, b))| first_difference(&format!("{path}/{i}"), a, b))
        }
        _ if a == b => None,
        _ => Some(format!("{path}: {a:?} instead of {b:?}")),
    }
}

#[test]
fn as_recorded() {
    let Some(file) = recorded() else { return };
    let mut compared = 0;
    for line in std::fs::read_to_string(file).unwrap().lines().filter(|l| l.contains("/openapi/v")) {
        let case = json::decode_untyped(line.as_bytes()).unwrap();
        let step = case.get("steps").index(0);
        let (path, body) = (step.get("path").str_or_empty(), step.path(&["expect", "body"]));
        if step.get("view").index(0).as_str() != Some("openapi") || body.is_null() {
            continue;
        }
        let path = path.split('?').next().unwrap();
        assert_eq!(first_difference(path, &bare(&ours(path)), &bare(body)), None);
        compared += 1;
    }
    assert!(compared >= 30, "{compared} documents compared");
}
