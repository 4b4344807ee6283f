//! Priority and fairness: the headers that name a request's class, 429 where a level is full, queues where it has some,
//! and requests that are exempt.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tests::{Answer, Api, ControlPlane, Daemon, Settings, eventually, signal};

const LIMIT: Duration = Duration::from_secs(30);
const NODES: &str = "/api/v1/nodes";
const FLOW_CONTROL: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";

/// A level with one seat, and a schema that leads a user's requests there. Answers the schema's UID.
async fn level(admin: &Api, name: &str, user: &str, response: Value) -> anyhow::Result<String> {
    let level = json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name}, "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": response}}});
    admin.post(&format!("{FLOW_CONTROL}/prioritylevelconfigurations"), &level).await?.expect(201)?;
    let everything =
        json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]});
    let schema = json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
        "metadata": {"name": name}, "spec": {"matchingPrecedence": 50, "priorityLevelConfiguration": {"name": name},
            "rules": [{"subjects": [{"kind": "User", "user": {"name": user}}], "resourceRules": [everything]}]}});
    Ok(admin.post(&format!("{FLOW_CONTROL}/flowschemas"), &schema).await?.expect(201)?.text_at("/metadata/uid"))
}

fn class(answer: &Answer) -> String {
    let header = answer.headers.get("x-kubernetes-pf-flowschema-uid");
    header.and_then(|uid| uid.to_str().ok()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn levels_limit_who_belongs_to_them() -> anyhow::Result<()> {
    let flags = ["--max-requests-inflight=1", "--max-mutating-requests-inflight=1"].map(str::to_owned).to_vec();
    let settings = Settings { apiserver_flags: flags, ..Settings::default() };
    let Some(plane) = ControlPlane::start_with(settings).await? else { return Ok(()) };
    let admin = plane.api("admin").await?;
    let (proxy, scheduler) = (plane.api("kube-proxy").await?, plane.api("scheduler").await?);
    let refusing = level(&admin, "refusing", "system:kube-proxy", json!({"type": "Reject"})).await?;
    let queuing = json!({"queues": 1, "handSize": 1, "queueLengthLimit": 1});
    let queuing =
        level(&admin, "queuing", "system:kube-scheduler", json!({"type": "Queue", "queuing": queuing})).await?;
    for (api, uid) in [(&proxy, &refusing), (&scheduler, &queuing)] {
        eventually(LIMIT, "the schema is followed", || async {
            let answer = api.get(NODES).await?.expect(200)?;
            ensure!(class(&answer) == *uid && answer.headers.contains_key("x-kubernetes-pf-prioritylevel-uid"));
            Ok(())
        })
        .await?;
    }
    let exempt = admin.get(&format!("{FLOW_CONTROL}/flowschemas/exempt")).await?.expect(200)?;
    ensure!(class(&exempt) == exempt.text_at("/metadata/uid"), "the admin is exempt");

    // With etcd halted, a consistent read keeps its seat until its time is up.
    let etcd = plane.pid(Daemon::Etcd).context("pid")?;
    signal(etcd, "-STOP")?;
    let cached = format!("{NODES}?resourceVersion=0");
    let hold = |api: Api| tokio::spawn(async move { api.get(&format!("{NODES}?timeout=6s")).await });
    let holders = [hold(proxy.clone()), hold(scheduler.clone())];
    let full = eventually(LIMIT, "the level is full", || async { proxy.get(&cached).await?.expect(429) }).await?;
    ensure!(full.text == "Too many requests, please try again later.\n", "{}", full.text);
    ensure!(full.headers["retry-after"] == "1" && class(&full) == refusing, "{:?}", full.headers);
    ensure!(full.headers["content-type"] == "text/plain; charset=utf-8", "{:?}", full.headers);
    ensure!(admin.get(&cached).await?.expect(200)?.body["kind"] == "NodeList", "who is exempt goes on");

    // One waits, the others find the queue full.
    let mut three: Vec<u16> = Vec::new();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while three != [200, 429, 429] {
        ensure!(tokio::time::Instant::now() < deadline, "one waits and two are refused, not {three:?}");
        let answers = tokio::join!(scheduler.get(&cached), scheduler.get(&cached), scheduler.get(&cached));
        three = vec![answers.0?.status, answers.1?.status, answers.2?.status];
        three.sort_unstable();
    }
    for holder in holders {
        holder.await??.expect(504)?;
    }
    signal(etcd, "-CONT")?;
    eventually(LIMIT, "seats are given back", || async {
        proxy.get(&cached).await?.expect(200)?;
        scheduler.get(&cached).await?.expect(200).map(drop)
    })
    .await
}
