//! Watches: initial events, resuming, selectors, and a watch over a restart of the API server.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use kube::Client;
use serde_json::{Value, json};
use tests::{ControlPlane, Daemon};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const EVENT_LIMIT: Duration = Duration::from_secs(20);

async fn request(client: &Client, method: &str, path: &str, body: Value) -> anyhow::Result<Value> {
    let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body)? };
    let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let request = http::Request::builder().method(method).uri(path).header("content-type", media).body(bytes)?;
    client.request(request).await.with_context(|| format!("{method} {path}"))
}

fn config_map(name: &str, label: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"color": label}}})
}

/// Reads events until `count` of them that are not bookmarks have come.
async fn events(client: &Client, query: &str, count: usize) -> anyhow::Result<Vec<(String, String)>> {
    let request = http::Request::get(format!("{CONFIG_MAPS}?watch=true&{query}")).body(Vec::new())?;
    let lines = client.request_stream(request).await?.lines().map_err(anyhow::Error::from);
    let events = lines
        .and_then(async |line| Ok(serde_json::from_str::<Value>(&line)?))
        .try_filter(|event| std::future::ready(event["type"] != "BOOKMARK"))
        .map_ok(|event| (text(&event["type"]), text(&event["object"]["metadata"]["name"])))
        .take(count)
        .try_collect();
    tokio::time::timeout(EVENT_LIMIT, events).await.context("not enough events came")?
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned())).collect()
}

#[tokio::test]
async fn a_watch_tells_every_change_from_its_start_on() -> anyhow::Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let client = plane.client("admin").await?;
    let start = request(&client, "GET", CONFIG_MAPS, Value::Null).await?;
    let version = text(&start["metadata"]["resourceVersion"]);

    request(&client, "POST", CONFIG_MAPS, config_map("one", "red")).await?;
    request(&client, "PATCH", &format!("{CONFIG_MAPS}/one"), json!({"metadata": {"labels": {"color": "blue"}}}))
        .await?;
    request(&client, "DELETE", &format!("{CONFIG_MAPS}/one"), Value::Null).await?;

    let all = events(&client, &format!("resourceVersion={version}"), 3).await?;
    ensure!(all == pairs(&[("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]), "{all:?}");
    // A selector turns an update that leaves it into a deletion, and one that enters it into an addition.
    let red = events(&client, &format!("resourceVersion={version}&labelSelector=color%3Dred"), 2).await?;
    ensure!(red == pairs(&[("ADDED", "one"), ("DELETED", "one")]), "{red:?}");
    let blue = events(&client, &format!("resourceVersion={version}&labelSelector=color%3Dblue"), 2).await?;
    ensure!(blue == pairs(&[("ADDED", "one"), ("DELETED", "one")]), "{blue:?}");
    Ok(())
}

#[tokio::test]
async fn initial_events_end_with_their_bookmark() -> anyhow::Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let client = plane.client("admin").await?;
    for name in ["a", "b"] {
        request(&client, "POST", CONFIG_MAPS, config_map(name, "red")).await?;
    }
    let query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    let request = http::Request::get(format!("{CONFIG_MAPS}?{query}")).body(Vec::new())?;
    let mut lines = client.request_stream(request).await?.lines();
    let mut names = Vec::new();
    loop {
        let line = tokio::time::timeout(EVENT_LIMIT, lines.next()).await?.context("the watch ended")??;
        let event: Value = serde_json::from_str(&line)?;
        if event["type"] == "BOOKMARK" {
            let end = &event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"];
            ensure!(end == "true", "the first bookmark ends the initial events: {event}");
            break;
        }
        ensure!(event["type"] == "ADDED", "initial events are additions: {event}");
        names.push(text(&event["object"]["metadata"]["name"]));
    }
    names.retain(|name| name != "kube-root-ca.crt");
    ensure!(names == ["a", "b"], "{names:?}");
    Ok(())
}

#[tokio::test]
async fn a_watch_resumes_after_the_api_server_was_killed() -> anyhow::Result<()> {
    let Some(mut plane) = ControlPlane::start().await? else { return Ok(()) };
    let client = plane.client("admin").await?;
    let created = request(&client, "POST", CONFIG_MAPS, config_map("one", "red")).await?;
    let version = text(&created["metadata"]["resourceVersion"]);
    request(&client, "POST", CONFIG_MAPS, config_map("two", "red")).await?;

    plane.kill(Daemon::Apiserver);
    plane.run(Daemon::Apiserver)?;
    plane.wait_ready().await?;
    let client = plane.client("admin").await?;
    request(&client, "POST", CONFIG_MAPS, config_map("three", "red")).await?;
    // The new server either knows the changes since, or says 410 Gone, so that a client lists again: both lose nothing.
    let request = http::Request::get(format!("{CONFIG_MAPS}?watch=true&resourceVersion={version}")).body(Vec::new())?;
    let mut lines = client.request_stream(request).await?.lines();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let line = tokio::time::timeout(EVENT_LIMIT, lines.next()).await?.context("the watch ended")??;
        let event: Value = serde_json::from_str(&line)?;
        if event["type"] == "ERROR" {
            ensure!(event["object"]["code"] == 410, "only an expired version may end the watch: {event}");
            return Ok(());
        }
        seen.push(text(&event["object"]["metadata"]["name"]));
    }
    ensure!(seen == ["two", "three"], "{seen:?}");
    Ok(())
}
