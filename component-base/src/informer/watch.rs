//! The task that keeps a store current: streaming list, then watch, resumed from the last resource version.
//!
//! Falls back to a paged list where the server cannot stream one. Upstream: client-go/tools/cache/reflector.go.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use rand::Rng as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::{debug, warn};
use url::form_urlencoded::Serializer;

use super::Object;
use super::store::Store;
use crate::error::Chain;
use crate::shutdown::Shutdown;

const PAGE_SIZE: u32 = 500;
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A watch that lived this long ends the backoff.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// One line of a watch holds one object; the server's limit for an object is far below.
const MAX_LINE: usize = 64 << 20;
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Representations to ask for: a list of metadata has another name than its items.
#[derive(Clone, Copy)]
pub(super) struct Accept {
    pub(super) watch: &'static str,
    pub(super) list: &'static str,
}

/// Where the objects come from.
pub(super) struct Source {
    pub(super) client: kube::Client,
    pub(super) path: String,
    /// Accept header of watches and of lists.
    pub(super) accept: Accept,
    pub(super) kind: &'static str,
    pub(super) field_selector: String,
    pub(super) label_selector: String,
}

#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error("request failed")]
    Client(#[from] kube::Error),
    #[error("cannot build the request")]
    Request(#[from] http::Error),
    #[error("server answered {code} {reason}: {message}")]
    Status { code: u16, reason: String, message: String },
    #[error("stream broke")]
    Stream(#[source] kube::Error),
    #[error("cannot decode")]
    Decode(#[from] serde_json::Error),
    #[error("answer is not text")]
    NotText(#[from] std::str::Utf8Error),
    #[error("a line of more than {MAX_LINE} bytes")]
    LineTooLong,
}

impl WatchError {
    /// The resource version that we hold is of no use any more.
    fn is_expired(&self) -> bool {
        matches!(self, Self::Status { code: 410, .. })
    }

    /// The server cannot stream a list (an old one, or one on an old etcd).
    fn refuses_streaming(&self) -> bool {
        matches!(self, Self::Status { code: 400 | 406 | 422 | 500, .. })
    }
}

/// How far the task has come.
struct Progress {
    resource_version: Option<String>,
    streaming_list: bool,
}

/// Runs until told to stop.
pub(super) async fn run<K: Object>(source: Source, store: Arc<Store<K>>, stop: Shutdown) {
    tokio::select! {
        () = stop.wait() => {}
        () = keep_current(&source, &store) => {}
    }
}

async fn keep_current<K: Object>(source: &Source, store: &Store<K>) {
    let mut progress = Progress { resource_version: None, streaming_list: true };
    let mut backoff = BACKOFF_MIN;
    let mut failures = 0u32;
    loop {
        let started = Instant::now();
        let result = source.round(store, &mut progress).await;
        if started.elapsed() >= HEALTHY_AFTER || result.is_ok() {
            backoff = BACKOFF_MIN;
            failures = 0;
        }
        if let Err(error) = &result {
            failures += 1;
            if error.is_expired() {
                debug!(kind = source.kind, "Watch expired, listing again");
                progress.resource_version = None;
            } else if progress.resource_version.is_none() && progress.streaming_list && error.refuses_streaming() {
                debug!(kind = source.kind, "Server does not stream lists");
                progress.streaming_list = false;
                continue;
            } else if failures.is_power_of_two() {
                warn!(kind = source.kind, err = %Chain(error), "Failed to watch");
            }
        }
        let jitter = rand::rng().random_range(1.0..2.0);
        tokio::time::sleep(backoff.mul_f64(jitter)).await;
        if result.is_err() {
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: Option<String>,
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct MetaOnly {
    #[serde(default)]
    metadata: ListMeta,
}

#[derive(Deserialize)]
struct List<K> {
    #[serde(default)]
    metadata: ListMeta,
    // Go writes null for an empty list of some kinds.
    items: Option<Vec<K>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
    reason: String,
    message: String,
}

impl From<Status> for WatchError {
    fn from(status: Status) -> Self {
        Self::Status { code: status.code, reason: status.reason, message: status.message }
    }
}

impl Source {
    /// One list (if needed) and one watch, until the watch ends.
    async fn round<K: Object>(&self, store: &Store<K>, progress: &mut Progress) -> Result<(), WatchError> {
        if progress.resource_version.is_none() && !progress.streaming_list {
            let version = self.list(store).await?;
            progress.resource_version = Some(version);
        }
        self.watch(store, progress).await
    }

    async fn list<K: Object>(&self, store: &Store<K>) -> Result<String, WatchError> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let body = self
                .send(self.list_query(&token), self.accept.list)
                .await?
                .collect_bytes()
                .await
                .map_err(WatchError::Stream)?;
            // From text, as kube's client and `apply` do: from bytes would compile a second decoder of every kind.
            let page: List<K> = serde_json::from_str(std::str::from_utf8(&body)?)?;
            all.extend(page.items.unwrap_or_default().into_iter().map(|object| store.prepare(object)));
            match page.metadata.continue_token.filter(|next| !next.is_empty()) {
                Some(next) => token = next,
                None => {
                    store.replace(all, &page.metadata.resource_version);
                    return Ok(page.metadata.resource_version);
                }
            }
        }
    }

    async fn watch<K: Object>(&self, store: &Store<K>, progress: &mut Progress) -> Result<(), WatchError> {
        let mut body = self.send(self.watch_query(progress), self.accept.watch).await?;
        let mut initial: Option<Vec<K>> = progress.resource_version.is_none().then(Vec::new);
        let mut buffer = BytesMut::new();
        let mut scanned = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(WatchError::Stream)?.into_data() else { continue };
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer[scanned..].iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(scanned + end);
                buffer.advance(1);
                scanned = 0;
                if !line.iter().all(u8::is_ascii_whitespace) {
                    self.apply(store, progress, &mut initial, &line)?;
                }
            }
            scanned = buffer.len();
            if scanned > MAX_LINE {
                return Err(WatchError::LineTooLong);
            }
        }
        Ok(())
    }

    fn apply<K: Object>(
        &self,
        store: &Store<K>,
        progress: &mut Progress,
        initial: &mut Option<Vec<K>>,
        line: &[u8],
    ) -> Result<(), WatchError> {
        let line: Line<'_> = serde_json::from_slice(line)?;
        let text = line.object.get();
        match line.kind {
            "ERROR" => return Err(serde_json::from_str::<Status>(text)?.into()),
            "BOOKMARK" => self.bookmark(store, progress, initial, serde_json::from_str::<MetaOnly>(text)?.metadata),
            kind => {
                let object = store.prepare(serde_json::from_str::<K>(text)?);
                if let Some(list) = initial {
                    list.push(object);
                    return Ok(());
                }
                progress.resource_version = Some(object.resource_version().to_owned());
                if kind == "DELETED" { store.remove(object) } else { store.upsert(object) }
            }
        }
        Ok(())
    }

    fn bookmark<K: Object>(
        &self,
        store: &Store<K>,
        progress: &mut Progress,
        initial: &mut Option<Vec<K>>,
        meta: ListMeta,
    ) {
        let ends_list =
            meta.annotations.is_some_and(|all| all.get(INITIAL_EVENTS_END).is_some_and(|value| value == "true"));
        if initial.is_some() && !ends_list {
            return;
        }
        match initial.take() {
            Some(list) => store.replace(list, &meta.resource_version),
            None => store.saw(&meta.resource_version),
        }
        progress.resource_version = Some(meta.resource_version);
    }

    fn list_query(&self, token: &str) -> String {
        let mut query = self.query();
        query.append_pair("limit", &PAGE_SIZE.to_string());
        if !token.is_empty() {
            query.append_pair("continue", token);
        }
        query.finish()
    }

    fn watch_query(&self, progress: &Progress) -> String {
        let seconds = rand::rng().random_range(300..600);
        let mut query = self.query();
        query
            .append_pair("watch", "true")
            .append_pair("allowWatchBookmarks", "true")
            .append_pair("timeoutSeconds", &seconds.to_string());
        match &progress.resource_version {
            Some(version) => query.append_pair("resourceVersion", version),
            None => query.append_pair("sendInitialEvents", "true").append_pair("resourceVersionMatch", "NotOlderThan"),
        };
        query.finish()
    }

    fn query(&self) -> Serializer<'static, String> {
        let mut query = Serializer::new(String::new());
        if !self.field_selector.is_empty() {
            query.append_pair("fieldSelector", &self.field_selector);
        }
        if !self.label_selector.is_empty() {
            query.append_pair("labelSelector", &self.label_selector);
        }
        query
    }

    async fn send(&self, query: String, accept: &'static str) -> Result<Body, WatchError> {
        let request =
            Request::get(format!("{}?{query}", self.path)).header(http::header::ACCEPT, accept).body(Body::empty())?;
        let response = self.client.send(request).await?;
        let (head, body) = response.into_parts();
        if head.status == StatusCode::OK {
            return Ok(body);
        }
        let text = body.collect_bytes().await.map_err(WatchError::Stream)?;
        let mut status: Status = serde_json::from_slice(&text).unwrap_or_default();
        status.code = head.status.as_u16();
        Err(status.into())
    }
}
