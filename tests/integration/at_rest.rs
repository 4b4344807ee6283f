//! Objects at rest, byte by byte: what this server writes to etcd is what upstream wrote, but for UIDs, times and
//! generated parts. Skipped where the recorded objects are not there (../shared/golden, or `KUBE_GOLDEN`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::{Api, ControlPlane};

/// Rows that cannot be made again by one create, with the reason.
const NOT_MADE_BY_ONE_CREATE: [(&str, &str); 2] = [
    ("ranges", "the allocator's own bitmaps"),
    ("services", "addresses are given out at random, and differ in length"),
];
/// Rows that are known to differ, with the reason.
const DIFFERENT: [(&str, &str); 1] = [(
    "persistentvolumeclaims",
    "upstream stores an empty phase and fills it in when it reads; here Pending is stored",
)];
/// A condition set a moment later belongs to the recorded bytes.
const LIMIT: Duration = Duration::from_secs(10);

fn recorded() -> anyhow::Result<Option<Vec<Value>>> {
    let given = std::env::var_os("KUBE_GOLDEN").map(PathBuf::from);
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/golden"));
    let file = given.unwrap_or(beside).join("etcd/objects.jsonl");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("skipped: {} is not there", file.display());
        return Ok(None);
    };
    Ok(Some(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?))
}

#[tokio::test]
async fn stored_bytes_are_upstreams() -> anyhow::Result<()> {
    let Some(rows) = recorded()? else { return Ok(()) };
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let api = plane.api("admin").await?;
    for (kind, path, name) in [
        ("Namespace", "/api/v1/namespaces", "golden-etcd"),
        ("ServiceAccount", "/api/v1/namespaces/golden-etcd/serviceaccounts", "default"),
    ] {
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        api.post(path, &object).await?.expect(201)?;
    }
    api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &customs()).await?.expect(201)?;
    let served = "/apis/golden.example.com/v1/namespaces/golden-etcd/customs";
    tests::eventually(LIMIT, "the definition is served", || async { api.get(served).await?.expect(200).map(drop) })
        .await?;
    let mut different = BTreeMap::new();
    let mut compared = 0;
    for row in rows {
        let (resource, variant) = (row["resource"].as_str().unwrap_or_default(), row["variant"].clone());
        if NOT_MADE_BY_ONE_CREATE.iter().chain(&DIFFERENT).any(|(name, _)| *name == resource) {
            continue;
        }
        compared += 1;
        if let Err(error) = compare(&plane, &api, &row).await {
            different.insert(format!("{resource} {variant}"), format!("{error:#}"));
        }
    }
    eprintln!("{} of {compared} objects are equal", compared - different.len());
    let text: Vec<String> = different.iter().map(|(what, why)| format!("{what}: {why}")).collect();
    ensure!(text.is_empty(), "{} of {compared} differ:\n{}", text.len(), text.join("\n"));
    Ok(())
}

/// The definition of the recorded custom object.
fn customs() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "customs.golden.example.com"},
        "spec": {"group": "golden.example.com", "scope": "Namespaced",
            "names": {"plural": "customs", "kind": "Custom"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
}

/// Creates the recorded object anew and compares what etcd holds.
async fn compare(plane: &ControlPlane, api: &Api, row: &Value) -> anyhow::Result<()> {
    let path = row["path"].as_str().context("path")?;
    let key = row["key"].as_str().context("key")?;
    let recorded = STANDARD.decode(row["value_b64"].as_str().context("value")?)?;
    let theirs = normal(&recorded, row["object"]["metadata"]["creationTimestamp"].as_str().context("time")?)?;
    let collection = path.rsplit_once('/').context("path")?.0;
    let body = spaced(&as_sent(&row["object"])?);
    let query = format!("{collection}?fieldManager=golden");
    let created = api.send("POST", &query, "application/json", body).await?.expect(201)?;
    let time = created.text_at("/metadata/creationTimestamp");
    tests::eventually(LIMIT, "equal bytes", || async {
        let found: Value = serde_json::from_str(&plane.etcdctl(&["get", key, "-w", "json"])?)?;
        let value = found["kvs"][0]["value"].as_str().with_context(|| format!("nothing at {key}"))?;
        difference(&normal(&STANDARD.decode(value)?, &time)?, &theirs)
    })
    .await
}

fn difference(ours: &[u8], theirs: &[u8]) -> anyhow::Result<()> {
    if let Some(at) = ours.iter().zip(theirs).position(|(a, b)| a != b) {
        let around = |bytes: &[u8]| bytes[at.saturating_sub(40)..bytes.len().min(at + 400)].escape_ascii().to_string();
        anyhow::bail!("byte {at}:\n    ours   {}\n    theirs {}", around(ours), around(theirs));
    }
    ensure!(ours.len() == theirs.len(), "{} bytes, upstream {}", ours.len(), theirs.len());
    Ok(())
}

/// What was sent to make the recorded object: the fields that its only manager owns.
fn as_sent(object: &Value) -> anyhow::Result<Value> {
    let managers = object["metadata"]["managedFields"].as_array().context("managedFields")?;
    let creator =
        managers.iter().find(|m| m["manager"] == "golden" && m["subresource"].is_null()).context("manager")?;
    let mut sent = owned(object, &creator["fieldsV1"]);
    for field in ["apiVersion", "kind"] {
        sent[field] = object[field].clone();
    }
    if object["kind"] == "CertificateSigningRequest" {
        // nobody owns its spec
        for field in ["request", "signerName", "usages", "expirationSeconds"] {
            if !object["spec"][field].is_null() {
                sent["spec"][field] = object["spec"][field].clone();
            }
        }
    }
    for field in ["name", "namespace"] {
        if !object["metadata"][field].is_null() {
            sent["metadata"][field] = object["metadata"][field].clone();
        }
    }
    Ok(sent)
}

/// The part of a value that a set of fields (FieldsV1) names.
fn owned(value: &Value, fields: &Value) -> Value {
    let Some(fields) = fields.as_object().filter(|f| f.keys().any(|name| name != ".")) else { return value.clone() };
    match value {
        Value::Array(items) => {
            let keys = fields.iter().filter_map(|(name, inner)| Some((name.strip_prefix("k:")?, inner)));
            let keys: Vec<(Value, &Value)> =
                keys.filter_map(|(key, inner)| Some((serde_json::from_str(key).ok()?, inner))).collect();
            let part = |item: &Value| {
                let is = |key: &Value| key.as_object().is_some_and(|key| key.iter().all(|(name, v)| item[name] == *v));
                let (key, inner) = keys.iter().find(|(key, _)| is(key))?;
                let mut part = owned(item, inner);
                for (name, value) in key.as_object()? {
                    part[name] = value.clone();
                }
                Some(part)
            };
            // sets of plain values are sent whole
            if keys.is_empty() { value.clone() } else { items.iter().filter_map(part).collect() }
        }
        Value::Object(map) => fields
            .iter()
            .filter_map(|(name, inner)| {
                let name = name.strip_prefix("f:")?;
                // sent empty, and filled by a LimitRange
                let empty = name == "resources" && inner.as_object().is_some_and(serde_json::Map::is_empty);
                let part = if empty { json!({}) } else { owned(map.get(name)?, inner) };
                Some((name.to_owned(), part))
            })
            .collect(),
        other => other.clone(),
    }
}

/// JSON with the spaces that the recorder wrote: raw fields are stored as they came.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let fields = map.iter().map(|(name, value)| format!("{}: {}", json!(name), spaced(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The bytes with UIDs and times near the object's creation replaced, without changing any length.
fn normal(bytes: &[u8], created: &str) -> anyhow::Result<Vec<u8>> {
    const NEAR: i64 = 120;
    /// Of the client's certificate, in requests for signatures.
    const FINGERPRINT: &[u8] = b"X509SHA256=";
    let created: k8s_openapi::jiff::Timestamp = created.parse()?;
    let created = created.as_second();
    let mut out = bytes.to_vec();
    for at in 0..out.len() {
        if out[at..].starts_with(FINGERPRINT) {
            let end = out.len().min(at + FINGERPRINT.len() + 64);
            out[at + FINGERPRINT.len()..end].fill(b'f');
        }
        if is_uid(&out[at..]) {
            out[at..at + 36].fill(b'u');
        }
        if let Some((seconds, length)) = seconds_field(&out[at..])
            && (seconds - created).abs() <= NEAR
        {
            out[at + 1..at + 1 + length].fill(b't');
        }
        let text = out.get(at..at + 20).and_then(|text| std::str::from_utf8(text).ok());
        if let Some(time) = text.and_then(|text| text.parse::<k8s_openapi::jiff::Timestamp>().ok())
            && (time.as_second() - created).abs() <= NEAR
        {
            out[at..at + 20].fill(b't');
        }
    }
    Ok(out)
}

fn is_uid(bytes: &[u8]) -> bool {
    bytes.len() >= 36
        && bytes[..36].iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
        })
}

/// Field 1 of a Timestamp message as a varint of five bytes, as seconds of our days are.
fn seconds_field(bytes: &[u8]) -> Option<(i64, usize)> {
    let (tag, rest) = bytes.split_first()?;
    let varint = rest.get(..5)?;
    let complete = varint[..4].iter().all(|byte| byte & 0x80 != 0) && varint[4] & 0x80 == 0;
    let value = varint.iter().rev().fold(0, |value, byte| value << 7 | i64::from(byte & 0x7f));
    (*tag == 0x08 && complete).then_some((value, 5))
}
