//! Objects at rest, byte by byte: what this server writes to etcd is what upstream wrote, but for UIDs, times and
//! generated parts. Skipped where the recorded objects are not there (../shared/golden, or `KUBE_GOLDEN`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::{Api, ControlPlane};

/// Rows that cannot be made again by one create, with the reason.
const NOT_MADE_BY_ONE_CREATE: [(&str, &str); 1] = [("ranges", "the allocator's own bitmaps")];

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
    let mut different = BTreeMap::new();
    let mut compared = 0;
    for row in rows {
        let (resource, variant) = (row["resource"].as_str().unwrap_or_default(), row["variant"].clone());
        if NOT_MADE_BY_ONE_CREATE.iter().any(|(name, _)| *name == resource) {
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

/// Creates the recorded object anew and compares what etcd holds.
async fn compare(plane: &ControlPlane, api: &Api, row: &Value) -> anyhow::Result<()> {
    let path = row["path"].as_str().context("path")?;
    let key = row["key"].as_str().context("key")?;
    let mut object = row["object"].clone();
    let meta = object["metadata"].as_object_mut().context("metadata")?;
    for set_by_server in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink"] {
        meta.remove(set_by_server);
    }
    let collection = path.rsplit_once('/').context("path")?.0;
    let query = format!("{collection}?fieldManager=golden");
    let created = api.post(&query, &object).await?.expect(201)?;
    // Conditions are set by the server a moment later; the version tells how many writes there were.
    let wanted = row["version"].as_i64().unwrap_or(1);
    let limit = std::time::Duration::from_secs(10);
    let value = tests::eventually(limit, "as many writes as upstream's", || async {
        let found: Value = serde_json::from_str(&plane.etcdctl(&["get", key, "-w", "json"])?)?;
        let kv = &found["kvs"][0];
        ensure!(kv["version"].as_i64() >= Some(wanted), "{key} has version {} of {wanted}", kv["version"]);
        Ok(STANDARD.decode(kv["value"].as_str().context("value")?)?)
    })
    .await?;
    let recorded = STANDARD.decode(row["value_b64"].as_str().context("value")?)?;
    let ours = normal(&value, &created.text_at("/metadata/creationTimestamp"))?;
    let theirs = normal(&recorded, row["object"]["metadata"]["creationTimestamp"].as_str().context("time")?)?;
    if let Some(at) = ours.iter().zip(&theirs).position(|(a, b)| a != b) {
        let around = |bytes: &[u8]| bytes[at.saturating_sub(40)..bytes.len().min(at + 40)].escape_ascii().to_string();
        anyhow::bail!("byte {at}:\n    ours   {}\n    theirs {}", around(&ours), around(&theirs));
    }
    ensure!(ours.len() == theirs.len(), "{} bytes, upstream {}", ours.len(), theirs.len());
    Ok(())
}

/// The bytes with UIDs and times near the object's creation replaced, without changing any length.
fn normal(bytes: &[u8], created: &str) -> anyhow::Result<Vec<u8>> {
    const NEAR: i64 = 120;
    let created: k8s_openapi::jiff::Timestamp = created.parse()?;
    let created = created.as_second();
    let mut out = bytes.to_vec();
    for at in 0..out.len() {
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
