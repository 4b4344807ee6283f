//! The four kinds of patches on a Deployment, whose list of containers tells them apart.

use anyhow::{Context, ensure};
use kube::Client;
use serde_json::{Value, json};
use tests::ControlPlane;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

async fn send(client: &Client, method: &str, path: &str, media: &str, body: &Value) -> anyhow::Result<Value> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .body(serde_json::to_vec(body)?)?;
    client.request(request).await.with_context(|| format!("{method} {path} {media}"))
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "one", "image": "i:1"}, {"name": "two", "image": "i:2"}]}}}
    })
}

fn images(object: &Value) -> Vec<(&str, &str)> {
    let containers = object["spec"]["template"]["spec"]["containers"].as_array();
    containers
        .into_iter()
        .flatten()
        .map(|c| (c["name"].as_str().unwrap_or_default(), c["image"].as_str().unwrap_or_default()))
        .collect()
}

#[tokio::test]
async fn each_kind_of_patch_follows_its_own_rules() -> anyhow::Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let client = plane.client("admin").await?;
    let path = format!("{DEPLOYMENTS}/d");
    let created = send(&client, "POST", DEPLOYMENTS, "application/json", &deployment()).await?;
    ensure!(created["metadata"]["generation"] == 1, "a new object has generation 1");

    let containers = json!([{"name": "two", "image": "i:3"}]);
    let body = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let merged = send(&client, "PATCH", &path, "application/strategic-merge-patch+json", &body).await?;
    // What the patch names comes first, as upstream orders merged lists.
    let mut expected = images(&merged);
    expected.sort_unstable();
    ensure!(expected == [("one", "i:1"), ("two", "i:3")], "a strategic patch merges by name: {expected:?}");
    ensure!(merged["metadata"]["generation"] == 2, "a change of the spec raises the generation");

    let body = json!([{"op": "test", "path": "/spec/replicas", "value": 1},
        {"op": "replace", "path": "/spec/replicas", "value": 4}]);
    let patched = send(&client, "PATCH", &path, "application/json-patch+json", &body).await?;
    ensure!(patched["spec"]["replicas"] == 4, "a JSON patch replaces");
    let refused = json!([{"op": "test", "path": "/spec/replicas", "value": 1}]);
    ensure!(send(&client, "PATCH", &path, "application/json-patch+json", &refused).await.is_err(), "its test fails");

    let body = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let replaced = send(&client, "PATCH", &path, "application/merge-patch+json", &body).await?;
    ensure!(images(&replaced) == [("two", "i:3")], "a merge patch replaces lists: {:?}", images(&replaced));
    Ok(())
}

#[tokio::test]
async fn server_side_apply_keeps_owners_apart() -> anyhow::Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let client = plane.client("admin").await?;
    let apply = "application/apply-patch+yaml";
    let path = format!("{DEPLOYMENTS}/d");
    send(&client, "PATCH", &format!("{path}?fieldManager=alice"), apply, &deployment()).await?;

    let scale =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 5}});
    let conflict = send(&client, "PATCH", &format!("{path}?fieldManager=bob"), apply, &scale).await;
    let Err(error) = conflict else { anyhow::bail!("bob may not take what alice owns") };
    let code = match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => status.code,
        _ => 0,
    };
    ensure!(code == 409, "a conflict is told: {error:#}");
    let forced = send(&client, "PATCH", &format!("{path}?fieldManager=bob&force=true"), apply, &scale).await?;
    ensure!(forced["spec"]["replicas"] == 5, "force takes it");

    // Alice stops applying the second container: nobody else owns it, so it goes; bob's replicas stay.
    let mut less = deployment();
    less["spec"]["template"]["spec"]["containers"] = json!([{"name": "one", "image": "i:1"}]);
    less["spec"].as_object_mut().unwrap().remove("replicas");
    let applied = send(&client, "PATCH", &format!("{path}?fieldManager=alice"), apply, &less).await?;
    ensure!(images(&applied) == [("one", "i:1")], "{:?}", images(&applied));
    ensure!(applied["spec"]["replicas"] == 5, "what another manager owns stays");
    Ok(())
}
