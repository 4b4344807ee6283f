//! What etcd may do to the server: vanish and come back, lose a member, forget its history, go back in time. Also leases
//! and compaction. Watches go on where they can, and end with 410 where they cannot.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tests::{Api, ControlPlane, Daemon, Settings, eventually, resident_mib, signal};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const LIMIT: Duration = Duration::from_secs(60);

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

async fn create(api: &Api, name: &str) -> anyhow::Result<String> {
    Ok(api.post(CONFIG_MAPS, &config_map(name)).await?.expect(201)?.text_at("/metadata/resourceVersion"))
}

async fn names(api: &Api, query: &str) -> anyhow::Result<Vec<String>> {
    let list = api.get(&format!("{CONFIG_MAPS}{query}")).await?.expect(200)?;
    let items = list.body["items"].as_array().context("items")?;
    let names = items.iter().filter_map(|item| item["metadata"]["name"].as_str()).map(str::to_owned);
    Ok(names.filter(|name| name != "kube-root-ca.crt").collect())
}

async fn server(flags: &[&str]) -> anyhow::Result<Option<(ControlPlane, Api)>> {
    let apiserver_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let settings = Settings { apiserver_flags, ..Settings::default() };
    let Some(plane) = ControlPlane::start_with(settings).await? else { return Ok(None) };
    let api = plane.api("admin").await?;
    Ok(Some((plane, api)))
}

#[tokio::test]
async fn events_vanish_with_their_lease() -> anyhow::Result<()> {
    let Some((plane, api)) = server(&["--event-ttl=2s"]).await? else { return Ok(()) };
    let events = "/api/v1/namespaces/default/events";
    let mut watch = api.watch(&format!("{events}?watch=true&resourceVersion=0")).await?;
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "soon-gone"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}});
    api.post(events, &event).await?.expect(201)?;
    create(&api, "stays").await?;
    let lease = plane.etcdctl(&["get", "/registry/events/default/soon-gone", "-w", "json"])?;
    ensure!(serde_json::from_str::<Value>(&lease)?["kvs"][0]["lease"].as_i64() > Some(0), "no lease: {lease}");
    ensure!(watch.next_name().await?.as_deref() == Some("ADDED soon-gone"), "the event is told");
    ensure!(watch.next_name().await?.as_deref() == Some("DELETED soon-gone"), "its end is told");
    eventually(LIMIT, "the event is gone", || async {
        api.get(&format!("{events}/soon-gone")).await?.expect(404).map(drop)
    })
    .await?;
    ensure!(names(&api, "").await? == ["stays"], "nothing else vanishes");
    Ok(())
}

#[tokio::test]
async fn history_is_compacted_under_upstreams_key_and_watches_go_on() -> anyhow::Result<()> {
    let Some((plane, api)) = server(&["--etcd-compaction-interval=1s"]).await? else { return Ok(()) };
    let first = create(&api, "first").await?;
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={first}")).await?;
    // Three rounds: one writes the revision, the next compacts to it.
    let lock = eventually(LIMIT, "compaction", || async {
        let lock: Value = serde_json::from_str(&plane.etcdctl(&["get", "compact_rev_key", "-w", "json"])?)?;
        ensure!(lock["kvs"][0]["version"].as_i64() >= Some(4), "{lock}");
        plane.etcdctl(&["get", "/registry/ranges", &format!("--rev={first}")]).err().context("still there")?;
        Ok(lock)
    })
    .await?;
    use base64::Engine;
    let value = base64::engine::general_purpose::STANDARD.decode(lock["kvs"][0]["value"].as_str().context("value")?)?;
    let value: i64 = std::str::from_utf8(&value)?.parse()?;
    ensure!(value >= first.parse::<i64>()?, "the key holds the compacted revision: {value}");
    create(&api, "second").await?;
    ensure!(watch.next_name().await?.as_deref() == Some("ADDED second"), "the watch goes on");
    ensure!(names(&api, "").await? == ["first", "second"], "lists go on");
    Ok(())
}

#[tokio::test]
async fn events_that_were_compacted_away_while_the_server_was_cut_off_end_watches() -> anyhow::Result<()> {
    let Some((mut plane, api)) = server(&[]).await? else { return Ok(()) };
    let first = create(&api, "first").await?;
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={first}")).await?;
    // While the server cannot see it, somebody else writes and compacts: the API server is stopped, not etcd.
    let pid = plane.pid(Daemon::Apiserver).context("pid")?;
    signal(pid, "-STOP")?;
    plane.kill(Daemon::Etcd);
    plane.run(Daemon::Etcd)?;
    eventually(LIMIT, "etcd is back", || async { plane.etcdctl(&["get", "x"]).map(drop) }).await?;
    plane.etcdctl(&["del", "/registry/configmaps/default/first"])?;
    for _ in 0..3 {
        plane.etcdctl(&["put", "/other", "x"])?;
    }
    let head: Value = serde_json::from_str(&plane.etcdctl(&["get", "/other", "-w", "json"])?)?;
    plane.etcdctl(&["compact", &head["header"]["revision"].to_string()])?;
    signal(pid, "-CONT")?;
    ensure!(watch.next_name().await?.as_deref() == Some("ERROR 410"), "what was missed is not passed over");
    ensure!(names(&api, "").await?.is_empty(), "the cache was filled anew");
    let late = api.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={first}")).await?.next_name().await?;
    ensure!(late.as_deref() == Some("ERROR 410"), "{late:?}");
    Ok(())
}

#[tokio::test]
async fn an_outage_of_etcd_delays_writes_and_stops_no_watch() -> anyhow::Result<()> {
    let Some((mut plane, api)) = server(&[]).await? else { return Ok(()) };
    let first = create(&api, "first").await?;
    let watch = |api: Api, query: String| async move { api.watch(&format!("{CONFIG_MAPS}?watch=true&{query}")).await };
    let mut events = watch(api.clone(), format!("resourceVersion={first}")).await?;
    plane.kill(Daemon::Etcd);

    // What needs no etcd goes on.
    for query in ["?resourceVersion=0".to_owned(), format!("?resourceVersion={first}")] {
        ensure!(names(&api, &query).await? == ["first"], "{query}");
    }
    api.get(&format!("{CONFIG_MAPS}/first?resourceVersion=0")).await?.expect(200)?;
    let cached = watch(api.clone(), "resourceVersion=0&timeoutSeconds=5".to_owned()).await?.next_name().await?;
    ensure!(cached.as_deref() == Some("ADDED first"), "{cached:?}");

    // What needs it waits as long as it may, and says so in upstream's words.
    let read = api.get(&format!("{CONFIG_MAPS}/first?timeout=1s")).await?.expect(504)?;
    let allotted = "Timeout: request did not complete within the allotted timeout";
    ensure!(read.body["message"] == allotted && read.body["kind"].is_null(), "{}", read.text);
    ensure!(read.headers["content-type"] == "text/plain; charset=utf-8", "{:?}", read.headers);
    let consistent = watch(api.clone(), "timeoutSeconds=1".to_owned()).await?.rest().await?.join("\n");
    ensure!(consistent.contains("context deadline exceeded"), "{consistent}");
    for path in ["/livez", "/readyz", "/healthz/etcd"] {
        api.get(path).await?.expect(500)?;
    }

    // A write that began in the outage is carried out once, when it is over.
    let begun = Instant::now();
    let writes = (0..8).map(|index| {
        let api = api.clone();
        async move { create(&api, &format!("late-{index}")).await }
    });
    let writes = tokio::spawn(futures::future::join_all(writes));
    tokio::time::sleep(Duration::from_secs(2)).await;
    plane.run(Daemon::Etcd)?;
    let written = writes.await?.into_iter().collect::<anyhow::Result<Vec<String>>>()?;
    ensure!(begun.elapsed() < Duration::from_secs(34), "writes end before upstream's would");
    let mut told = Vec::new();
    for _ in 0..written.len() {
        told.push(events.next_name().await?.context("the watch ended")?);
    }
    told.sort();
    let expected: Vec<String> = (0..8).map(|index| format!("ADDED late-{index}")).collect();
    ensure!(told == expected, "each is told once: {told:?}");
    ensure!(names(&api, "").await?.len() == 9, "all are there");
    plane.wait_ready().await
}

#[tokio::test]
async fn a_write_that_finds_no_etcd_is_given_up_after_34_seconds() -> anyhow::Result<()> {
    let Some((mut plane, api)) = server(&[]).await? else { return Ok(()) };
    create(&api, "first").await?;
    plane.kill(Daemon::Etcd);
    let begun = Instant::now();
    let path = format!("{CONFIG_MAPS}/first");
    let second = config_map("second");
    let (post, delete) = tokio::join!(api.post(CONFIG_MAPS, &second), api.delete(&path));
    for answer in [post?.expect(504)?, delete?.expect(504)?] {
        let text = "Timeout: request did not complete within requested timeout - context deadline exceeded";
        ensure!(answer.body["message"] == text && answer.body["reason"] == "Timeout", "{}", answer.text);
    }
    ensure!((30..50).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    Ok(())
}

#[tokio::test]
async fn one_of_three_members_may_die() -> anyhow::Result<()> {
    let settings = Settings { etcd_members: 3, ..Settings::default() };
    let Some(mut plane) = ControlPlane::start_with(settings).await? else { return Ok(()) };
    let api = plane.api("admin").await?;
    let first = create(&api, "first").await?;
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={first}")).await?;
    for (round, member) in [Daemon::EtcdMember(2), Daemon::Etcd, Daemon::EtcdMember(1)].into_iter().enumerate() {
        plane.kill(member);
        for index in 0..20 {
            let name = format!("c-{round}-{index}");
            create(&api, &name).await?;
            let told = watch.next_name().await?;
            ensure!(told == Some(format!("ADDED {name}")), "{told:?} instead of {name}");
        }
        plane.run(member)?;
        // Two of three must be there before the next one goes.
        eventually(LIMIT, "all members are healthy", || async { plane.etcdctl(&["endpoint", "health"]).map(drop) })
            .await?;
    }
    ensure!(names(&api, "").await?.len() == 61, "nothing is lost");
    Ok(())
}

#[tokio::test]
async fn a_store_that_went_back_in_time_is_read_anew() -> anyhow::Result<()> {
    let Some((mut plane, api)) = server(&[]).await? else { return Ok(()) };
    create(&api, "kept").await?;
    plane.kill(Daemon::Etcd);
    let (data, backup) = (plane.etcd_data(0), plane.path("backup"));
    copy(&data, &backup)?;
    plane.run(Daemon::Etcd)?;
    let mut lost = String::new();
    for index in 0..30 {
        lost = create(&api, &format!("lost-{index}")).await?;
    }
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={lost}")).await?;
    let mut pods = api.watch("/api/v1/pods?watch=true&resourceVersion=0").await?;

    plane.kill(Daemon::Etcd);
    std::fs::remove_dir_all(&data)?;
    copy(&backup, &data)?;
    // A write that waits for etcd must not hide that the store is older.
    let waiting = tokio::spawn({
        let api = api.clone();
        async move { create(&api, "after").await }
    });
    plane.run(Daemon::Etcd)?;
    waiting.await??;
    ensure!(watch.next_name().await?.as_deref() == Some("ERROR 410"), "watches of a lost history end");
    ensure!(pods.next_name().await?.as_deref() == Some("ERROR 410"), "those of other resources too");
    eventually(LIMIT, "the caches follow", || async {
        for query in ["", "?resourceVersion=0"] {
            let names = names(&api, query).await?;
            ensure!(names == ["after", "kept"], "{query}: {names:?}");
        }
        Ok(())
    })
    .await?;
    let again = api.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={lost}")).await?.next_name().await?;
    ensure!(again.as_deref() == Some("ERROR 410"), "a revision that never was: {again:?}");
    let attempt = AtomicUsize::new(0);
    // An answer that was under way when the store went back may end one more watch; its client begins again.
    eventually(LIMIT, "new watches work", || async {
        let name = format!("last-{}", attempt.fetch_add(1, Ordering::Relaxed));
        let last = create(&api, &name).await?;
        let mut fresh = api.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={last}")).await?;
        api.delete(&format!("{CONFIG_MAPS}/{name}")).await?.expect(200)?;
        let event = fresh.next_name().await?;
        ensure!(event.as_deref() == Some(&*format!("DELETED {name}")), "a new watch says {event:?}");
        Ok(())
    })
    .await
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_dropped_and_hinders_nobody() -> anyhow::Result<()> {
    const UPDATES: usize = 700;
    let Some((plane, api)) = server(&[]).await? else { return Ok(()) };
    let pid = plane.pid(Daemon::Apiserver).context("pid")?;
    create(&api, "big").await?;
    let rv = api.get(&format!("{CONFIG_MAPS}/big")).await?.text_at("/metadata/resourceVersion");
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={rv}");
    // Connections of their own: one that is read, and twenty that are not.
    let reader = plane.api("admin").await?;
    let mut fast = reader.watch(&path).await?;
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(plane.api("admin").await?.watch(&path).await?);
    }
    let before = resident_mib(pid)?;
    let reading = tokio::spawn(async move {
        for _ in 0..UPDATES {
            fast.next().await?.context("the fast watch ended")?;
        }
        anyhow::Ok(())
    });
    let filling = "x".repeat(50_000);
    let big = format!("{CONFIG_MAPS}/big");
    for index in 0..UPDATES {
        let patch = json!({"data": {"filling": filling, "index": index.to_string()}}).to_string();
        api.send("PATCH", &big, "application/merge-patch+json", patch).await?.expect(200)?;
    }
    reading.await??;
    // 700 events of 50 kB are 35 MB; for each of the slow ones that would be 700 MB.
    let added = resident_mib(pid)? - before;
    ensure!(added < 150.0, "{added} MiB more");
    for watch in slow {
        let events = watch.rest().await?.len();
        ensure!(events < UPDATES, "a slow watch ends early, instead of holding all events");
    }
    Ok(())
}
