//! The load: raw HTTP/1.1 over TLS with bodies made once, so that the client costs as little as it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;

use super::cluster::Cluster;

/// The namespace of everything that the load creates.
pub const NAMESPACE: &str = "bench";

/// A few kept connections to one API server.
pub struct Connections {
    all: Vec<Arc<Mutex<SendRequest<Full<Bytes>>>>>,
}

/// What the watchers saw.
pub struct Delivery {
    /// Events that arrived at all watchers together.
    pub events: usize,
    /// Median of the time from sending an update to its event's arrival, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
}

/// Running watches; each answers how late its events were, in milliseconds.
pub type Watchers = tokio::task::JoinSet<anyhow::Result<Vec<f64>>>;

impl Connections {
    /// Opens `count` connections and makes the namespace.
    pub async fn open(cluster: &Cluster, count: usize) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Arc::new(Mutex::new(connect(cluster).await?)));
        }
        let connections = Self { all };
        let namespace = format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{NAMESPACE}"}}}}"#);
        let status = send(&connections.all[0], "POST", "/api/v1/namespaces", "application/json", namespace).await?.0;
        ensure!(status == 201 || status == 409, "the namespace: {status}");
        let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}"#.to_owned();
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        let status = send(&connections.all[0], "POST", &path, "application/json", account).await?.0;
        ensure!(status == 201 || status == 409, "the service account: {status}");
        Ok(connections)
    }

    /// Creates pods that no node takes (they name a scheduler that does not exist).
    pub async fn create_pods(&self, count: usize) -> anyhow::Result<()> {
        self.create(count, "pods", |index| {
            format!(
                r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"pod-{index}","labels":{{"app":"bench","group":"g{}"}},"annotations":{{"example.com/note":"a pod of the benchmark"}}}},"spec":{{"schedulerName":"none","containers":[{{"name":"app","image":"registry.example.com/team/app:v1.2.3","ports":[{{"containerPort":8080,"name":"http"}}],"env":[{{"name":"MODE","value":"production"}},{{"name":"POD_IP","valueFrom":{{"fieldRef":{{"fieldPath":"status.podIP"}}}}}}],"resources":{{"requests":{{"cpu":"100m","memory":"128Mi"}},"limits":{{"memory":"256Mi"}}}},"readinessProbe":{{"httpGet":{{"path":"/healthz","port":"http"}}}}}}]}}}}"#,
                index % 100
            )
        })
        .await
    }

    /// Creates small ConfigMaps.
    pub async fn create_config_maps(&self, count: usize) -> anyhow::Result<()> {
        self.create(count, "configmaps", |index| {
            format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"c-{index}"}},"data":{{"key":"value {index}"}}}}"#)
        })
        .await
    }

    async fn create(&self, count: usize, plural: &str, body: impl Fn(usize) -> String) -> anyhow::Result<()> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/{plural}");
        let next = AtomicUsize::new(0);
        let workers = self.all.iter().map(async |connection| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return anyhow::Ok(());
                }
                let (status, text) = send(connection, "POST", &path, "application/json", body(index)).await?;
                ensure!(status == 201, "create {index}: {status} {}", String::from_utf8_lossy(&text));
            }
        });
        futures::future::try_join_all(workers).await?;
        Ok(())
    }

    /// GETs `path` on `parallel` connections at once; answers the bytes of all bodies together.
    pub async fn list(&self, path: &str, media: &str, parallel: usize) -> anyhow::Result<u64> {
        let requests = self.all.iter().take(parallel).map(async |connection| {
            let request =
                Request::get(path).header("host", "localhost").header("accept", media).body(Full::default())?;
            let mut sender = connection.lock().await;
            sender.ready().await?;
            let mut answer = sender.send_request(request).await?;
            ensure!(answer.status() == 200, "GET {path}: {}", answer.status());
            let mut bytes = 0;
            while let Some(frame) = answer.body_mut().frame().await {
                bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
            }
            anyhow::Ok(bytes)
        });
        Ok(futures::future::try_join_all(requests).await?.into_iter().sum())
    }

    /// Reads a collection page by page; answers how many pages there were.
    pub async fn list_pages(&self, path: &str, limit: usize) -> anyhow::Result<usize> {
        let mut token = String::new();
        for page in 1.. {
            let from = if token.is_empty() { String::new() } else { format!("&continue={token}") };
            let query = format!("{path}?limit={limit}{from}");
            let (status, body) = send(&self.all[0], "GET", &query, "application/json", String::new()).await?;
            ensure!(status == 200, "{query}: {status}");
            let list: serde_json::Value = serde_json::from_slice(&body)?;
            match list["metadata"]["continue"].as_str() {
                Some(next) if !next.is_empty() => next.clone_into(&mut token),
                _ => return Ok(page),
            }
        }
        unreachable!("the loop returns at the last page")
    }

    /// Deletes a collection.
    pub async fn delete_collection(&self, path: &str) -> anyhow::Result<()> {
        let (status, body) = send(&self.all[0], "DELETE", path, "application/json", String::new()).await?;
        ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(())
    }

    /// Opens `count` watches of one pod and waits until all have begun; each ends after `expected` events of a tick, or
    /// when nothing comes for a minute.
    pub async fn open_watchers(&self, cluster: &Cluster, count: usize, expected: usize) -> anyhow::Result<Watchers> {
        let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"ticker"},"spec":{"schedulerName":"none","containers":[{"name":"c","image":"i"}]}}"#;
        let status = send(&self.all[0], "POST", &pods, "application/json", pod.to_owned()).await?.0;
        ensure!(status == 201 || status == 409, "the ticker: {status}");
        let mut watchers = tokio::task::JoinSet::new();
        for _ in 0..count {
            let mut sender = connect(cluster).await?;
            let path = format!("{pods}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dticker");
            let request = Request::get(path).header("host", "localhost").body(Full::default())?;
            let answer = sender.send_request(request).await?;
            ensure!(answer.status() == 200, "watch: {}", answer.status());
            // The sender keeps the connection.
            watchers.spawn(async move { (follow(answer.into_body(), expected).await, sender).0 });
        }
        Ok(watchers)
    }

    /// Updates the pod `rate` times a second, `count` times, and waits for the watchers.
    pub async fn deliver(&self, mut watchers: Watchers, rate: usize, count: usize) -> anyhow::Result<Delivery> {
        self.tick(&format!("/api/v1/namespaces/{NAMESPACE}/pods"), rate, count).await?;
        let mut all = Vec::new();
        while let Some(latencies) = watchers.join_next().await {
            all.extend(latencies??);
        }
        all.sort_by(f64::total_cmp);
        let at = |share: f64| all.get(((all.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(f64::NAN);
        Ok(Delivery { events: all.len(), p50_ms: at(0.5), p99_ms: at(0.99) })
    }

    async fn tick(&self, pods: &str, rate: usize, count: usize) -> anyhow::Result<()> {
        let begin = Instant::now();
        let next = AtomicUsize::new(0);
        let path = format!("{pods}/ticker");
        let workers = self.all.iter().map(async |connection| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return anyhow::Ok(());
                }
                let due = begin + Duration::from_secs_f64(index as f64 / rate as f64);
                tokio::time::sleep_until(due.into()).await;
                let patch = format!(r#"{{"metadata":{{"annotations":{{"sent":"{}"}}}}}}"#, now_micros());
                let (status, _) = send(connection, "PATCH", &path, "application/merge-patch+json", patch).await?;
                ensure!(status == 200, "tick: {status}");
            }
        });
        futures::future::try_join_all(workers).await?;
        Ok(())
    }
}

/// Reads a watch until `expected` ticks have come; answers how late each was, in milliseconds.
async fn follow(mut body: hyper::body::Incoming, expected: usize) -> anyhow::Result<Vec<f64>> {
    const LIMIT: Duration = Duration::from_secs(60);
    let mut latencies = Vec::with_capacity(expected);
    let mut rest = Vec::new();
    while latencies.len() < expected {
        let Ok(Some(frame)) = tokio::time::timeout(LIMIT, body.frame()).await else { break };
        if let Ok(data) = frame?.into_data() {
            rest.extend_from_slice(&data);
            take_events(&mut rest, &mut latencies);
        }
    }
    Ok(latencies)
}

fn now_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}

/// Takes the complete lines out of `rest` and notes how old each event of a tick is, in milliseconds.
fn take_events(rest: &mut Vec<u8>, latencies: &mut Vec<f64>) {
    const MARK: &[u8] = br#""sent":""#;
    let now = now_micros();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = rest.drain(..=end).collect();
        if let Some(at) = line.windows(MARK.len()).position(|window| window == MARK) {
            let digits = line[at + MARK.len()..].iter().take_while(|byte| byte.is_ascii_digit());
            let sent = digits.fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
            latencies.push(now.saturating_sub(sent) as f64 / 1000.0);
        }
    }
}

async fn connect(cluster: &Cluster) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", cluster.api_port())).await?;
    stream.set_nodelay(true)?;
    let name = rustls::pki_types::ServerName::try_from("localhost")?;
    let stream = tokio_rustls::TlsConnector::from(cluster.tls()?).connect(name, stream).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The connection ends with its sender.
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(
    connection: &Mutex<SendRequest<Full<Bytes>>>,
    method: &str,
    path: &str,
    media: &str,
    body: String,
) -> anyhow::Result<(u16, Bytes)> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", media)
        .body(Full::from(body))?;
    let mut sender = connection.lock().await;
    sender.ready().await?;
    let answer = sender.send_request(request).await.with_context(|| format!("{method} {path}"))?;
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}
