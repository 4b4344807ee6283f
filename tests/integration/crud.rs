//! One suite over every resource of the table: create, read, list, watch, update, patch, dry run, delete. It is what
//! keeps sixty resources alike: a resource without a sample fails the coverage test.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use apimachinery::resources::{self, ResourceInfo};
use kube::Client;
use serde_json::{Value, json};
use tests::ControlPlane;

const NAMESPACE: &str = "default";

/// A small valid object of each (group, version, kind).
fn samples() -> BTreeMap<(String, String), Value> {
    let text = include_str!("../testdata/samples.yaml").replace("NAMESPACE", NAMESPACE);
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let text_of = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    documents.into_iter().map(|d| ((text_of(&d, "apiVersion"), text_of(&d, "kind")), d)).collect()
}

/// The resources that this suite creates, with every version served by default.
fn creatable() -> Vec<(&'static ResourceInfo, String)> {
    resources::all()
        .iter()
        .filter(|info| ["create", "get", "delete"].iter().all(|verb| info.verbs.contains(verb)))
        .flat_map(|info| info.default_versions.iter().map(move |version| (info, api_version(info.group, version))))
        .collect()
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn collection(info: &ResourceInfo, api_version: &str) -> String {
    let root = if info.group.is_empty() { "/api" } else { "/apis" };
    let namespace = if info.namespaced { format!("/namespaces/{NAMESPACE}") } else { String::new() };
    format!("{root}/{api_version}{namespace}/{}", info.plural)
}

async fn send(client: &Client, method: &str, path: &str, media: &str, body: &Value) -> anyhow::Result<Value> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, media)
        .body(if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? })?;
    client.request(request).await.with_context(|| format!("{method} {path}"))
}

const JSON: &str = "application/json";

#[test]
fn every_resource_has_a_sample() {
    let samples = samples();
    let missing: Vec<String> = creatable()
        .into_iter()
        .filter(|(info, version)| !samples.contains_key(&(version.clone(), info.kind.to_owned())))
        .map(|(info, version)| format!("{version} {}", info.kind))
        .collect();
    assert!(missing.is_empty(), "tests/testdata/samples.yaml lacks {missing:?}");
}

#[tokio::test]
async fn every_resource_can_be_created_read_changed_and_deleted() -> anyhow::Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let client = plane.client("admin").await?;
    // No controller runs here that would make the account that pods run under.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    send(&client, "POST", "/api/v1/namespaces/default/serviceaccounts", JSON, &account).await?;
    let mut samples = samples();
    let mut failures = Vec::new();
    for (info, version) in creatable() {
        let Some(mut sample) = samples.remove(&(version.clone(), info.kind.to_owned())) else { continue };
        prepare(&mut sample, &plane)?;
        if let Err(error) = exercise(&client, info, &version, sample).await {
            failures.push(format!("{version} {}: {error:#}", info.plural));
        }
    }
    ensure!(failures.is_empty(), "{} resources:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// Fills in what a sample cannot hold as text: its name, and a real certificate request.
fn prepare(sample: &mut Value, plane: &ControlPlane) -> anyhow::Result<()> {
    if sample["metadata"]["name"].is_null() {
        sample["metadata"] = json!({"name": "sample"});
    }
    if sample["spec"]["request"] == "CSR" {
        let key = plane.path("client-admin.key");
        let output = std::process::Command::new("openssl")
            .args(["req", "-new", "-subj", "/CN=sample", "-key"])
            .arg(key)
            .output()
            .context("openssl req")?;
        let script = std::process::Command::new("base64")
            .arg("-w0")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .and_then(|mut child| {
                use std::io::Write;
                child.stdin.take().expect("piped").write_all(&output.stdout)?;
                child.wait_with_output()
            })?;
        sample["spec"]["request"] = String::from_utf8(script.stdout)?.into();
    }
    Ok(())
}

async fn exercise(client: &Client, info: &ResourceInfo, version: &str, sample: Value) -> anyhow::Result<()> {
    let collection = collection(info, version);
    let name = sample["metadata"]["name"].as_str().context("a name")?.to_owned();
    let path = format!("{collection}/{name}");

    let dry = send(client, "POST", &format!("{collection}?dryRun=All"), JSON, &sample).await?;
    ensure!(dry["metadata"]["name"] == *name, "a dry run answers the object");
    ensure!(send(client, "GET", &path, JSON, &Value::Null).await.is_err(), "a dry run stores nothing");

    let created = send(client, "POST", &collection, JSON, &sample).await?;
    ensure!(created["apiVersion"] == *version && created["kind"] == *info.kind, "the kind is ours: {created}");
    for field in ["uid", "resourceVersion", "creationTimestamp"] {
        ensure!(created["metadata"][field].is_string(), "metadata.{field} is set");
    }
    ensure!(send(client, "POST", &collection, JSON, &sample).await.is_err(), "a second create conflicts");

    let read = send(client, "GET", &path, JSON, &Value::Null).await?;
    ensure!(read["metadata"]["uid"] == created["metadata"]["uid"], "what is read is what was created");
    let list = send(client, "GET", &collection, JSON, &Value::Null).await?;
    ensure!(list["kind"] == format!("{}List", info.kind), "a list has its kind: {}", list["kind"]);
    ensure!(contains(&list, &name), "the list holds the object");
    if info.namespaced {
        let everywhere = collection.replace(&format!("/namespaces/{NAMESPACE}"), "");
        ensure!(contains(&send(client, "GET", &everywhere, JSON, &Value::Null).await?, &name), "so does the cluster's");
    }

    let patch = json!({"metadata": {"labels": {"patched": "yes"}}});
    let patched = send(client, "PATCH", &path, "application/merge-patch+json", &patch).await?;
    ensure!(patched["metadata"]["labels"]["patched"] == "yes", "a merge patch changes the object");
    let selected =
        send(client, "GET", &format!("{collection}?labelSelector=patched%3Dyes"), JSON, &Value::Null).await?;
    ensure!(contains(&selected, &name), "a label selector finds it");

    let mut stale = read;
    stale["metadata"]["labels"] = json!({"stale": "yes"});
    ensure!(send(client, "PUT", &path, JSON, &stale).await.is_err(), "an update of an old version conflicts");
    let mut fresh = send(client, "GET", &path, JSON, &Value::Null).await?;
    fresh["metadata"]["annotations"] = json!({"updated": "yes"});
    let updated = send(client, "PUT", &path, JSON, &fresh).await?;
    ensure!(updated["metadata"]["annotations"]["updated"] == "yes", "an update changes the object");
    let again = send(client, "PUT", &path, JSON, &updated).await?;
    ensure!(
        again["metadata"]["resourceVersion"] == updated["metadata"]["resourceVersion"],
        "an update without a change writes nothing"
    );

    let delete = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
    send(client, "DELETE", &path, JSON, &delete).await?;
    release(client, &path).await?;
    ensure!(send(client, "GET", &path, JSON, &Value::Null).await.is_err(), "it is gone");
    Ok(())
}

fn contains(list: &Value, name: &str) -> bool {
    list["items"].as_array().is_some_and(|items| items.iter().any(|item| item["metadata"]["name"] == *name))
}

/// Takes the finalizers away that admission gave the object; no controller runs here that would. The API server takes
/// that of a CustomResourceDefinition away by itself, so that the object may be gone before this patch arrives.
async fn release(client: &Client, path: &str) -> anyhow::Result<()> {
    let Ok(left) = send(client, "GET", path, JSON, &Value::Null).await else { return Ok(()) };
    ensure!(left["metadata"]["deletionTimestamp"].is_string(), "what is deleted and still there waits for finalizers");
    if left["spec"]["finalizers"].is_array() {
        let mut finalized = left;
        finalized["spec"]["finalizers"] = json!([]);
        send(client, "PUT", &format!("{path}/finalize"), JSON, &finalized).await?;
        return Ok(());
    }
    let patch = json!({"metadata": {"finalizers": null}});
    match send(client, "PATCH", path, "application/merge-patch+json", &patch).await {
        Err(error) if !is_not_found(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<kube::Error>(), Some(kube::Error::Api(status)) if status.code == 404)
}
