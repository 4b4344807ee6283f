//! kill -9 of any daemon at any moment: after a restart the cluster converges, and nothing that was acknowledged is lost.

use std::time::Duration;

use anyhow::{Context, ensure};
use kube::Client;
use serde_json::{Value, json};
use tests::{ControlPlane, Daemon};

const CONVERGENCE_LIMIT: Duration = Duration::from_secs(90);
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/web";

async fn send(client: &Client, method: &str, path: &str, media: &str, body: &Value) -> anyhow::Result<Value> {
    let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
    let request = http::Request::builder().method(method).uri(path).header("content-type", media).body(bytes)?;
    client.request(request).await.with_context(|| format!("{method} {path}"))
}

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 5, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:0"}]}}}})
}

/// The newest ReplicaSet has all replicas, and every pod of it is there exactly once.
async fn rolled_to(client: &Client, image: &str) -> anyhow::Result<()> {
    let get = async |path: &str| send(client, "GET", path, "application/json", &Value::Null).await;
    let sets = get("/apis/apps/v1/namespaces/default/replicasets").await?;
    let items = sets["items"].as_array().context("items")?;
    let current = items.iter().filter(|set| set["spec"]["template"]["spec"]["containers"][0]["image"] == *image);
    let current: Vec<&Value> = current.collect();
    ensure!(current.len() == 1, "one ReplicaSet runs {image}, found {}", current.len());
    let uid = &current[0]["metadata"]["uid"];
    let wanted = current[0]["spec"]["replicas"].as_u64().unwrap_or_default();
    let pods = get("/api/v1/namespaces/default/pods").await?;
    let owned = pods["items"].as_array().into_iter().flatten().filter(|pod| {
        pod["metadata"]["ownerReferences"][0]["uid"] == *uid && pod["metadata"]["deletionTimestamp"].is_null()
    });
    let owned = owned.count() as u64;
    // Without a node nothing becomes Ready, so a rolling update stops at its surge: 25 % of 5, rounded up.
    ensure!(wanted >= 2 && owned == wanted, "{image}: {owned} pods of {wanted}");
    Ok(())
}

#[tokio::test]
async fn a_rolling_deployment_survives_the_death_of_every_daemon() -> anyhow::Result<()> {
    let Some(mut plane) = ControlPlane::start().await? else { return Ok(()) };
    plane.run(Daemon::ControllerManager)?;
    plane.run(Daemon::Scheduler)?;
    let client = plane.client("admin").await?;
    let collection = DEPLOYMENT.trim_end_matches("/web");
    send(&client, "POST", collection, "application/json", &deployment()).await?;
    plane.until(CONVERGENCE_LIMIT, "the first rollout", async |client| rolled_to(&client, "i:0").await).await?;

    let victims = [Daemon::ControllerManager, Daemon::Apiserver, Daemon::Etcd, Daemon::Scheduler, Daemon::Apiserver];
    for (round, victim) in victims.into_iter().enumerate() {
        let image = format!("i:{}", round + 1);
        let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
        let client = plane.client("admin").await?;
        plane
            .until(CONVERGENCE_LIMIT, "the next image is accepted", async |_| {
                send(&client, "PATCH", DEPLOYMENT, "application/strategic-merge-patch+json", &patch).await
            })
            .await?;
        // Random in that the roll is at a different point on every machine and run; the victim dies in its midst.
        tokio::time::sleep(Duration::from_millis(20 * (round as u64 + 1))).await;
        plane.kill(victim);
        plane.run(victim)?;
        plane.wait_ready().await?;
        let what = format!("round {round}: {victim:?} was killed");
        plane.until(CONVERGENCE_LIMIT, &what, async |client| rolled_to(&client, &image).await).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_etcd_died() -> anyhow::Result<()> {
    let Some(mut plane) = ControlPlane::start().await? else { return Ok(()) };
    let client = plane.client("admin").await?;
    let collection = "/api/v1/namespaces/default/configmaps";
    for index in 0..20 {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{index}")}});
        send(&client, "POST", collection, "application/json", &object).await?;
    }
    plane.kill(Daemon::Etcd);
    let named = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    // The server waits for etcd as long as the request says, and the client tries again for minutes.
    let (impatient, lost) = (format!("{collection}?timeout=3s"), named("lost"));
    let write = send(&client, "POST", &impatient, "application/json", &lost);
    let answer = tokio::time::timeout(Duration::from_secs(10), write).await;
    ensure!(!matches!(answer, Ok(Ok(_))), "a write without etcd is not acknowledged");

    plane.run(Daemon::Etcd)?;
    plane
        .until(CONVERGENCE_LIMIT, "the store is back", async |client| {
            let list = send(&client, "GET", collection, "application/json", &Value::Null).await?;
            let names = list["items"].as_array().into_iter().flatten();
            let kept = names
                .filter(|item| item["metadata"]["name"].as_str().is_some_and(|name| name.starts_with('c')))
                .count();
            ensure!(kept == 20, "{kept} of 20");
            send(&client, "POST", collection, "application/json", &named("again")).await?;
            Ok(())
        })
        .await
}
