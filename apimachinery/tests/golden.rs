//! Every object of the recorded round-trip corpus: JSON and protobuf must come out of each other byte for byte.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use apimachinery::codec::json::{self, DecodeOptions};
use apimachinery::codec::protobuf::{self, Envelope};
use apimachinery::codec::transcode;
use apimachinery::schema::{self, Type};

/// The corpus, if it is on this machine.
fn corpus(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("KUBE_RUST_SHARED").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let candidates = [root, Some(workspace.join("shared")), Some(workspace.join("../shared"))];
    let found = candidates.into_iter().flatten().map(|p| p.join("golden").join(folder)).find(|p| p.is_dir());
    if found.is_none() {
        println!("skipped: golden/{folder} is not here (set KUBE_RUST_SHARED)");
    }
    found
}

/// The corpus' file names are GROUP.VERSION.KIND; the core group is `core`.
fn type_of(stem: &str) -> (String, &str, &'static Type) {
    let (rest, kind) = stem.rsplit_once('.').expect("a file name has a kind");
    let (group, version) = rest.rsplit_once('.').expect("a file name has a version");
    let api_version = if matches!(group, "core" | "") { version.to_owned() } else { format!("{group}/{version}") };
    let ty = schema::kind(&api_version, kind).unwrap_or_else(|| panic!("{api_version} {kind} is in the table"));
    (api_version, kind, ty)
}

struct Sample {
    name: String,
    api_version: String,
    kind: String,
    ty: &'static Type,
    json: Vec<u8>,
    protobuf: Vec<u8>,
}

fn samples() -> Vec<Sample> {
    let Some(folder) = corpus("api-roundtrip") else { return Vec::new() };
    let mut samples = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let (api_version, kind, ty) = type_of(stem);
            samples.push(Sample {
                name: stem.to_owned(),
                kind: kind.to_owned(),
                api_version,
                ty,
                json: std::fs::read(&path).unwrap(),
                protobuf: std::fs::read(path.with_extension("pb")).unwrap(),
            });
        }
    }
    assert!(samples.len() >= 180, "the corpus has {} objects", samples.len());
    samples
}

/// Fails with the first places where two texts differ.
fn assert_same(name: &str, got: &[u8], want: &[u8]) {
    if got != want {
        let (got, want) = (String::from_utf8_lossy(got), String::from_utf8_lossy(want));
        let different = got.lines().zip(want.lines()).enumerate().find(|(_, (a, b))| a != b);
        panic!("{name}: {different:?}, lengths {} {}", got.len(), want.len());
    }
}

#[test]
fn json_to_json() {
    for s in samples() {
        let decoded = json::decode(&s.json, s.ty, &DecodeOptions::STRICT).unwrap_or_else(|e| panic!("{}: {e}", s.name));
        assert_eq!(decoded.strict_errors, Vec::<String>::new(), "{}", s.name);
        let mut out = Vec::new();
        json::encode(&decoded.value, s.ty, &mut out);
        assert_same(&s.name, &json::indent(&out), &s.json);
    }
}

/// The JSON of a WatchEvent has no kind; everything else says its own.
fn head(s: &Sample) -> (&str, &str) {
    if s.kind == "WatchEvent" { ("", "") } else { (&s.api_version, &s.kind) }
}

#[test]
fn json_to_protobuf() {
    for s in samples() {
        // The protobuf was made of compact JSON: embedded JSON keeps its white space on the wire.
        let mut compact = Vec::new();
        json::compact_raw(&s.json, &mut compact);
        let value = json::decode(&compact, s.ty, &DecodeOptions::default()).unwrap().value;
        let (api_version, kind) = head(&s);
        let mut out = Vec::new();
        protobuf::encode_object(&value, s.ty, api_version, kind, &mut out);
        assert!(out == s.protobuf, "{}: {}", s.name, first_difference(&out, &s.protobuf));
    }
}

fn first_difference(a: &[u8], b: &[u8]) -> String {
    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
    let show = |x: &[u8]| String::from_utf8_lossy(&x[at.saturating_sub(40)..x.len().min(at + 40)]).into_owned();
    format!("at {at} of {} and {}: {:?} {:?}", a.len(), b.len(), show(a), show(b))
}

#[test]
fn protobuf_to_json() {
    for s in samples() {
        let envelope = Envelope::parse(&s.protobuf).unwrap();
        let mut value = protobuf::decode(envelope.raw, s.ty).unwrap_or_else(|e| panic!("{}: {e}", s.name));
        if !envelope.kind.is_empty() {
            value.set("apiVersion", envelope.api_version);
            value.set("kind", envelope.kind);
        }
        let mut out = Vec::new();
        json::encode(&value, s.ty, &mut out);
        assert_same(&s.name, &json::indent(&out), &s.json);
    }
}

#[test]
fn transcoded() {
    for s in samples() {
        let e = Envelope::parse(&s.protobuf).unwrap();
        let mut out = Vec::new();
        transcode::json_from_protobuf(e.raw, s.ty, e.api_version, e.kind, &mut out).unwrap();
        assert_same(&s.name, &json::indent(&out), &s.json);
    }
}
