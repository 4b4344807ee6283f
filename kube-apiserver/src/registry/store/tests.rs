//! The store against a real etcd. Skipped, with a word about it, where there is none.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use apimachinery::value;
use apimachinery::value::Value;
use async_trait::async_trait;
use jiff::Timestamp;

use super::{ListOptions, Match, ObjectEventKind, Store, Unguarded, Updater, WatchOptions};
use crate::registry::admit::AdmitAll;
use crate::registry::{DeleteOptions, Operation, Registry, RequestContext};
use crate::request::{Emptied, UserInfo, Warnings};
use crate::state::AppState;
use crate::storage::{Etcd, EtcdOptions, compaction};

struct TestEtcd {
    process: Child,
    url: String,
    _dir: tempfile::TempDir,
}

impl Drop for TestEtcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn etcd() -> Option<TestEtcd> {
    let dir = tempfile::tempdir().unwrap();
    let (client, peer) = (free_port(), free_port());
    let url = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let spawned = Command::new("etcd")
        .arg("--data-dir")
        .arg(dir.path())
        .args(["--listen-client-urls", &url, "--advertise-client-urls", &url, "--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")])
        .args(["--unsafe-no-fsync", "--log-level", "error"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match spawned {
        Ok(process) => Some(TestEtcd { process, url, _dir: dir }),
        Err(error) => {
            eprintln!("skipped: etcd cannot be started: {error}");
            None
        }
    }
}

struct World {
    state: Arc<AppState>,
    _etcd: TestEtcd,
}

impl World {
    async fn new() -> Option<Self> {
        let running = etcd()?;
        let options =
            EtcdOptions { servers: vec![running.url.clone()], prefix: "/registry".into(), ..EtcdOptions::default() };
        let etcd = Etcd::connect(&options).await.unwrap();
        let registry = Registry::start(etcd, |info, version| info.default_versions.contains(&version), 0);
        tokio::time::timeout(Duration::from_secs(20), registry.feed().wait_ready()).await.unwrap();
        let state = AppState::for_test(registry, Arc::new(AdmitAll));
        Some(Self { state: Arc::new(state), _etcd: running })
    }

    fn store(&self, plural: &str) -> Arc<Store> {
        self.state.registry.store("", plural).unwrap()
    }
}

fn cx(store: &Store, operation: Operation, name: &str) -> RequestContext {
    RequestContext {
        user: Arc::new(UserInfo::loopback()),
        operation,
        resource: Arc::clone(&store.resource),
        group: String::new(),
        version: "v1".into(),
        subresource: String::new(),
        namespace: "default".into(),
        name: name.into(),
        now: Timestamp::now(),
        dry_run: false,
        field_manager: "test".into(),
        user_agent: "test".into(),
        warnings: Warnings::default(),
        emptied: Emptied::default(),
    }
}

fn config_map(name: &str, data: &str) -> Value {
    value!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "x"}},
        "data": {"k": data},
    })
}

struct Set(&'static str, bool);

#[async_trait]
impl Updater for Set {
    async fn updated(&mut self, old: &Value) -> Result<Value, apimachinery::status::ApiError> {
        let mut new = old.clone();
        new.set_path(&["data", "k"], self.0.into());
        if self.1 {
            new.set_path(&["metadata", "resourceVersion"], "1".into());
        }
        Ok(new)
    }
}

fn rv(object: &Value) -> u64 {
    object.path(&["metadata", "resourceVersion"]).as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_live_and_die() {
    let Some(world) = World::new().await else { return };
    let store = world.store("configmaps");
    let about = store.own("");
    let mut watch = store.watch(about, "default", WatchOptions::default()).await.unwrap();

    let made =
        store.create(&world.state, &cx(&store, Operation::Create, ""), config_map("a", "1"), &Unguarded).await.unwrap();
    assert!(rv(&made) > 0 && !made.path(&["metadata", "uid"]).str_or_empty().is_empty());
    let again = store
        .create(&world.state, &cx(&store, Operation::Create, ""), config_map("a", "1"), &Unguarded)
        .await
        .unwrap_err();
    assert_eq!((again.code(), again.message()), (409, "configmaps \"a\" already exists"));
    assert_eq!(store.get("default", "a").await.unwrap(), made);

    let update = cx(&store, Operation::Update, "a");
    let changed = store.update(&world.state, &update, "a", &mut Set("2", false), &Unguarded, false).await.unwrap().0;
    let same = store.update(&world.state, &update, "a", &mut Set("2", false), &Unguarded, false).await.unwrap().0;
    assert!(rv(&changed) > rv(&made));
    assert_eq!(rv(&same), rv(&changed), "an update that changes nothing writes nothing");
    let stale = store.update(&world.state, &update, "a", &mut Set("3", true), &Unguarded, false).await.unwrap_err();
    assert_eq!(
        stale.message(),
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to \
         the latest version and try again"
    );

    let list = store.list(about, "default", &ListOptions::default()).await.unwrap();
    assert_eq!(list.entries.iter().map(|e| (e.name(), e.rv)).collect::<Vec<_>>(), [("a", rv(&changed))]);
    assert!(list.revision >= rv(&changed));

    let gone = store
        .delete(&world.state, &cx(&store, Operation::Delete, "a"), &DeleteOptions::default(), &Unguarded)
        .await
        .unwrap();
    assert!(gone.1);
    assert_eq!(store.get("default", "a").await.unwrap_err().code(), 404);

    let mut seen = Vec::new();
    while seen.len() < 3 {
        tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.unwrap();
        let mut ready = Vec::new();
        watch.take_ready(&mut ready).unwrap();
        seen.extend(ready.into_iter().map(|e| (e.kind, e.entry.rv)));
    }
    assert_eq!(seen[0], (ObjectEventKind::Added, rv(&made)));
    assert_eq!(seen[1], (ObjectEventKind::Modified, rv(&changed)));
    assert_eq!(seen[2].0, ObjectEventKind::Deleted);
    assert!(seen[2].1 > rv(&changed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_of_one_revision() {
    let Some(world) = World::new().await else { return };
    let store = world.store("configmaps");
    for i in 0..5 {
        let object = config_map(&format!("c{i}"), "1");
        store.create(&world.state, &cx(&store, Operation::Create, ""), object, &Unguarded).await.unwrap();
    }
    let about = store.own("");
    let first = store.list(about, "default", &ListOptions { limit: 2, ..ListOptions::default() }).await.unwrap();
    assert_eq!((first.entries.len(), first.remaining), (2, Some(3)));
    let delete = cx(&store, Operation::Delete, "c3");
    store.delete(&world.state, &delete, &DeleteOptions::default(), &Unguarded).await.unwrap();
    let rest = ListOptions { limit: 10, continue_token: first.continue_token, ..ListOptions::default() };
    let second = store.list(about, "default", &rest).await.unwrap();
    assert_eq!(second.revision, first.revision);
    assert_eq!(second.entries.iter().map(|e| e.name()).collect::<Vec<_>>(), ["c2", "c3", "c4"]);
    let now = store.list(about, "default", &ListOptions::default()).await.unwrap();
    assert_eq!(now.entries.len(), 4);
}

/// Writes what servers write when they compact, and waits until it is known.
async fn compact(etcd: &Etcd, revision: u64) {
    compaction::compact_to(etcd, revision.cast_signed()).await.unwrap();
    let following = tokio::spawn(compaction::follow(etcd.clone()));
    let known = async {
        while !etcd.has_forgotten(revision - 1) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), known).await.unwrap();
    following.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_compacted_is_not_listed() {
    let Some(world) = World::new().await else { return };
    let store = world.store("configmaps");
    let mut revisions = Vec::new();
    for i in 0..3 {
        let object = config_map(&format!("c{i}"), "1");
        let made = store.create(&world.state, &cx(&store, Operation::Create, ""), object, &Unguarded).await.unwrap();
        revisions.push(rv(&made));
    }
    compact(world.state.registry.etcd(), revisions[1]).await;
    let at = |revision: u64| ListOptions {
        resource_version: revision.to_string(),
        resource_version_match: Some(Match::Exact),
        ..ListOptions::default()
    };
    let about = store.own("");
    let old = store.list(about, "default", &at(revisions[0])).await.unwrap_err();
    assert_eq!((old.code(), old.message()), (410, "The resourceVersion for the provided list is too old."));
    assert_eq!(store.list(about, "default", &at(revisions[1])).await.unwrap().entries.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nulls_of_custom_resources_are_as_the_schema_says() {
    let Some(world) = World::new().await else { return };
    let definition = value!({"metadata": {"uid": "u"}, "status": {"acceptedNames": {"kind": "W", "plural": "ws"}}, "spec": {
        "group": "example.com", "scope": "Namespaced", "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
            "openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "nullable": {"type": "string", "nullable": true},
                "plain": {"type": "string"},
                "defaulted": {"type": "string", "default": "d"},
                "port": {"x-kubernetes-int-or-string": true},
                "items": {"type": "array", "items": {"type": "string", "nullable": true}},
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
            }}}}
        }}]
    }});
    let resource = crate::extensions::custom::resource(&definition, "/registry").unwrap();
    let store = world.state.registry.add(resource, &crate::extensions::custom::CUSTOM).await.unwrap();
    let object = value!({"apiVersion": "example.com/v1", "kind": "W", "metadata": {"name": "a", "namespace": "default"}, "spec": {
        "nullable": null, "plain": null, "defaulted": null, "port": 3_000_000_000i64, "items": [null, ""],
        "any": {"a": null, "b": [null], "c": 0}, "unknown": 1
    }});
    let mut cx = cx(&store, Operation::Create, "");
    (cx.group, cx.version) = ("example.com".into(), "v1".into());
    // Decoding a request prunes and defaults; what is read from storage is pruned and defaulted once more.
    let mut sent = object.clone();
    sent.remove_path(&["spec", "unknown"]);
    sent.set_path(&["spec", "defaulted"], "d".into());
    sent.remove_path(&["spec", "plain"]);
    let made = store.create(&world.state, &cx, sent.clone(), &Unguarded).await.unwrap();
    assert_eq!(made.get("spec"), sent.get("spec"));
    let mut stored = object.clone();
    stored.set_path(&["metadata", "resourceVersion"], "1".into());
    let read = store.object(apimachinery::codec::json::to_string(&stored).as_bytes()).unwrap();
    assert_eq!(read.get("spec"), sent.get("spec"));
}
