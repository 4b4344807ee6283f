//! One etcd watch for everything: fills all caches, keeps them current, and knows how current they are.
//!
//! Resumes after a lost connection; after a compaction, or when etcd went back in time (a restored backup), it
//! refills every cache and ends all watches. Also answers consistent reads: `fresh` returns once the caches
//! contain every write that etcd had committed when it was called.
//! upstream: staging/src/k8s.io/apiserver/pkg/storage/{cacher/lister_watcher.go,etcd3/watcher.go}

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use etcd_client::{EventType, WatchOptions, WatchResponse};
use futures::FutureExt;
use parking_lot::RwLock;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::cache::{Cache, Entry};
use super::etcd::{Etcd, StorageError, prefix_end};
use super::requests::BOOKMARKS;

/// Objects fetched at once while filling.
const PAGE: i64 = 500;
/// How long a read waits for the caches.
const FRESH_TIMEOUT: Duration = Duration::from_secs(3);
/// After this long without news, etcd is asked for its progress.
const NUDGE_AFTER: Duration = Duration::from_millis(5);
/// Old servers may announce progress while events are still in their send queue: see `Feed::progress`.
const DRAIN: Duration = Duration::from_millis(20);
/// Answers that are taken in before watchers are told, at most.
const BATCH: usize = 64;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// How following the watch ended.
enum End {
    /// The connection broke; resume.
    Broken,
    /// The events since are compacted away; refill.
    Compacted,
    /// etcd went back in time; nothing that the caches hold is known to be true.
    Rewound,
}

/// Feeds the caches.
#[derive(Debug)]
pub struct Feed {
    etcd: Etcd,
    routes: RwLock<BTreeMap<String, Arc<Cache>>>,
    /// Every write up to this revision is in the caches.
    progress: watch::Sender<u64>,
    ready: watch::Sender<bool>,
    /// The highest revision of a history that was abandoned, 0 if none was.
    abandoned: AtomicU64,
    nudge: Notify,
    revision_reads: mpsc::Sender<oneshot::Sender<Option<i64>>>,
    load: mpsc::Sender<Arc<Cache>>,
}

impl Feed {
    /// Starts the feed for a set of caches; they fill in the background.
    pub fn start(etcd: Etcd, caches: Vec<Arc<Cache>>) -> Arc<Self> {
        LazyLock::force(&BOOKMARKS);
        let (revision_reads, reads) = mpsc::channel(1024);
        let (load, loads) = mpsc::channel(64);
        let feed = Arc::new(Self {
            etcd: etcd.clone(),
            routes: RwLock::new(caches.into_iter().map(|c| (c.prefix().to_owned(), c)).collect()),
            progress: watch::Sender::new(0),
            ready: watch::Sender::new(false),
            abandoned: AtomicU64::new(0),
            nudge: Notify::new(),
            revision_reads,
            load,
        });
        tokio::spawn(read_revisions(etcd, reads));
        tokio::spawn(Arc::clone(&feed).run(loads));
        feed
    }

    /// Adds a resource while running (a custom resource); returns when its cache is filled.
    ///
    /// # Errors
    /// If the feed stopped.
    pub async fn add(&self, cache: Arc<Cache>) -> Result<(), StorageError> {
        self.load.send(Arc::clone(&cache)).await.map_err(|_| StorageError::NotReady)?;
        let mut progress = self.progress.subscribe();
        while !cache.is_ready() {
            progress.changed().await.map_err(|_| StorageError::NotReady)?;
        }
        Ok(())
    }

    /// Stops feeding a resource.
    pub fn remove(&self, prefix: &str) {
        self.routes.write().remove(prefix);
    }

    /// Waits until all caches are filled.
    pub async fn wait_ready(&self) {
        let mut ready = self.ready.subscribe();
        // the sender lives as long as self
        let _ = ready.wait_for(|r| *r).await;
    }

    /// True once all caches are filled.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// The revision up to which the caches are complete.
    pub fn revision(&self) -> u64 {
        *self.progress.borrow()
    }

    /// True for a revision that is not reached yet, but was once, in a history that etcd has forgotten.
    pub fn is_abandoned(&self, revision: u64) -> bool {
        revision > self.revision() && revision <= self.abandoned.load(Ordering::Relaxed)
    }

    /// Asks etcd for its revision and waits until the caches have it. The basis of consistent reads.
    ///
    /// # Errors
    /// If etcd cannot be reached or the caches do not catch up within three seconds.
    pub async fn fresh(&self) -> Result<u64, StorageError> {
        let revision = self.etcd_revision().await?;
        self.wait_for(revision).await?;
        Ok(revision)
    }

    /// Waits until the caches contain a revision.
    ///
    /// # Errors
    /// `FutureRevision` after three seconds.
    pub async fn wait_for(&self, revision: u64) -> Result<(), StorageError> {
        if self.revision() >= revision {
            return Ok(());
        }
        let mut progress = self.progress.subscribe();
        let deadline = tokio::time::Instant::now() + FRESH_TIMEOUT;
        let mut patience = NUDGE_AFTER;
        loop {
            let nudge = tokio::time::Instant::now() + patience;
            let caught_up = progress.wait_for(|p| *p >= revision);
            match tokio::time::timeout_at(nudge.min(deadline), caught_up).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(_)) => return Err(StorageError::NotReady),
                Err(_) if tokio::time::Instant::now() >= deadline => {
                    return Err(StorageError::FutureRevision { wanted: revision, current: self.revision() });
                }
                Err(_) => {
                    self.nudge.notify_one();
                    patience = (patience * 2).min(Duration::from_millis(200));
                }
            }
        }
    }

    /// etcd's current revision; concurrent callers share one request.
    async fn etcd_revision(&self) -> Result<u64, StorageError> {
        let (reply, answer) = oneshot::channel();
        let shared = match self.revision_reads.send(reply).await {
            Ok(()) => answer.await.ok().flatten(),
            Err(_) => None,
        };
        // the shared request was tried for as long as any request lives
        let revision = shared.ok_or(StorageError::Timeout)?;
        Ok(u64::try_from(revision).unwrap_or_default())
    }

    async fn run(self: Arc<Self>, mut loads: mpsc::Receiver<Arc<Cache>>) {
        let mut backoff = BACKOFF_MIN;
        let mut filled = false;
        let mut rewinds = self.etcd.rewinds();
        loop {
            if !filled {
                // what is read from here on belongs to the history that is told of until now
                rewinds.mark_unchanged();
                match self.fill().await {
                    Ok(()) => {
                        filled = true;
                        backoff = BACKOFF_MIN;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot read the store, trying again");
                        tokio::time::sleep(backoff).await;
                        backoff = (backoff * 2).min(BACKOFF_MAX);
                        continue;
                    }
                }
            }
            let started = tokio::time::Instant::now();
            match self.follow(&mut loads, &mut rewinds).await {
                Ok(End::Broken) => tracing::debug!("the etcd watch broke, resuming"),
                Ok(End::Compacted) => filled = false,
                Ok(End::Rewound) => {
                    self.abandon();
                    filled = false;
                }
                Err(error) => tracing::warn!(%error, "the etcd watch failed, resuming"),
            }
            if started.elapsed() > BACKOFF_MAX {
                backoff = BACKOFF_MIN;
            }
            // somebody who waits for the caches knows that etcd answers
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                () = async { tokio::join!(self.nudge.notified(), tokio::time::sleep(BACKOFF_MIN)); } => {}
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Forgets everything: watches end, reads wait until the caches are filled anew.
    fn abandon(&self) {
        tracing::warn!(seen = self.revision(), "etcd went back in time, starting anew");
        self.abandoned.fetch_max(self.revision(), Ordering::Relaxed);
        for cache in self.routes.read().values() {
            cache.reset();
        }
        self.progress.send_replace(0);
    }

    /// Reads the whole store at one revision into the caches.
    async fn fill(&self) -> Result<(), StorageError> {
        let prefix = format!("{}/", self.etcd.prefix());
        let mut fresh: BTreeMap<String, Vec<Arc<Entry>>> = BTreeMap::new();
        let revision = self
            .read_all(&prefix, |key, value, rv| {
                let Some((cache, relative)) = self.route(key) else { return };
                if let Some(entry) = cache.entry(relative, value, rv) {
                    fresh.entry(cache.prefix().to_owned()).or_default().push(entry);
                }
            })
            .await?;
        for (prefix, cache) in self.routes.read().iter() {
            cache.replace(fresh.remove(prefix).unwrap_or_default(), revision);
        }
        self.progress.send_replace(revision);
        self.ready.send_replace(true);
        Ok(())
    }

    /// Calls `each` for every key with the prefix, as of one revision, which is returned.
    async fn read_all(&self, prefix: &str, mut each: impl FnMut(&str, Vec<u8>, u64)) -> Result<u64, StorageError> {
        let end = prefix_end(prefix);
        let (mut start, mut revision) = (prefix.to_owned(), 0);
        loop {
            let page = self.etcd.range(&start, &end, PAGE, revision).await?;
            if revision == 0 {
                revision = page.revision;
            }
            for kv in page.kvs {
                let rv = u64::try_from(kv.mod_revision).unwrap_or_default();
                let Ok(key) = String::from_utf8(kv.key) else { continue };
                each(&key, kv.value, rv);
                start = key;
            }
            start.push('\0');
            if !page.more {
                return Ok(u64::try_from(revision).unwrap_or_default());
            }
        }
    }

    fn route<'k>(&self, key: &'k str) -> Option<(Arc<Cache>, &'k str)> {
        let routes = self.routes.read();
        let (prefix, cache) =
            routes.range::<str, _>((std::ops::Bound::Unbounded, std::ops::Bound::Included(key))).next_back()?;
        Some((Arc::clone(cache), key.strip_prefix(prefix.as_str())?))
    }

    /// Watches from where the caches are until the connection breaks.
    async fn follow(
        &self,
        loads: &mut mpsc::Receiver<Arc<Cache>>,
        rewinds: &mut watch::Receiver<u64>,
    ) -> Result<End, StorageError> {
        let from = i64::try_from(self.revision()).unwrap_or(i64::MAX).saturating_add(1);
        let options = WatchOptions::new().with_prefix().with_start_revision(from).with_progress_notify();
        let prefix = format!("{}/", self.etcd.prefix());
        let mut stream = self.etcd.watch_client().watch(prefix, Some(options)).await?;
        let trusted = self.progress_is_trustworthy().await;
        loop {
            tokio::select! {
                answer = stream.message() => match answer? {
                    None => return Ok(End::Broken),
                    Some(answer) => {
                        let mut touched = Vec::new();
                        let end = self.take_batch(answer, trusted, &mut stream, &mut touched).await;
                        touched.iter().for_each(|cache| cache.publish());
                        if let Some(end) = end? {
                            return Ok(end);
                        }
                    }
                },
                () = self.nudge.notified() => stream.request_progress().await?,
                Ok(()) = rewinds.changed() => return Ok(End::Rewound),
                Some(cache) = loads.recv() => {
                    while let Err(error) = self.load_one(&cache).await {
                        tracing::warn!(prefix = cache.prefix(), %error, "cannot read a resource, trying again");
                        tokio::time::sleep(BACKOFF_MAX).await;
                    }
                }
            }
        }
    }

    /// Takes in an answer and those that came meanwhile, so that watchers wake up once for all of them.
    async fn take_batch(
        &self,
        answer: WatchResponse,
        trusted: bool,
        stream: &mut etcd_client::WatchStream,
        touched: &mut Vec<Arc<Cache>>,
    ) -> Result<Option<End>, StorageError> {
        let mut next = Some(answer);
        for _ in 0..BATCH {
            let Some(answer) = next else { break };
            if let Some(end) = self.take(&answer, touched) {
                return Ok(Some(end));
            }
            self.progress(&answer, trusted, stream, touched).await?;
            // an end or an error comes again on the next read of the stream
            next = stream.message().now_or_never().and_then(|more| more.ok().flatten());
        }
        Ok(None)
    }

    /// Applies the events of an answer; adds the caches that have something new.
    fn take(&self, answer: &WatchResponse, touched: &mut Vec<Arc<Cache>>) -> Option<End> {
        if answer.canceled() {
            let compacted = answer.compact_revision() > 0;
            tracing::info!(compacted, reason = answer.cancel_reason(), "etcd ended the watch");
            return Some(if compacted { End::Compacted } else { End::Broken });
        }
        let store = answer.header().map_or(0, |h| u64::try_from(h.revision()).unwrap_or_default());
        if answer.created() && store < self.revision() {
            return Some(End::Rewound);
        }
        let mut last = 0;
        for event in answer.events() {
            let Some(kv) = event.kv() else { continue };
            last = u64::try_from(kv.mod_revision()).unwrap_or_default();
            let Ok(key) = std::str::from_utf8(kv.key()) else { continue };
            let Some((cache, relative)) = self.route(key) else { continue };
            let value = (event.event_type() == EventType::Put).then(|| kv.value().to_vec());
            cache.apply(relative, value, last);
            if touched.last().is_none_or(|last| !Arc::ptr_eq(last, &cache)) {
                touched.push(cache);
            }
        }
        if last > 0 {
            self.etcd.saw(last);
            self.progress.send_replace(last);
        }
        None
    }

    /// Handles an answer without events: all events up to its revision were sent before it. Servers before
    /// 3.4.25 and 3.5.8 may let it overtake events, so for them what is still in the queue is taken in first.
    async fn progress(
        &self,
        answer: &WatchResponse,
        trusted: bool,
        stream: &mut etcd_client::WatchStream,
        touched: &mut Vec<Arc<Cache>>,
    ) -> Result<(), StorageError> {
        if answer.created() || !answer.events().is_empty() {
            return Ok(());
        }
        BOOKMARKS.inc();
        let revision = answer.header().map_or(0, |h| u64::try_from(h.revision()).unwrap_or_default());
        if !trusted {
            let until = tokio::time::Instant::now() + DRAIN;
            while let Ok(more) = tokio::time::timeout_at(until, stream.message()).await {
                match more? {
                    Some(more) if !more.canceled() => drop(self.take(&more, touched)),
                    // comes again on the next read of the stream
                    _ => return Ok(()),
                }
            }
        }
        self.progress.send_if_modified(|p| {
            let newer = revision > *p;
            *p = revision.max(*p);
            newer
        });
        Ok(())
    }

    async fn progress_is_trustworthy(&self) -> bool {
        let Ok(version) = self.etcd.server_version().await else { return false };
        let mut parts = version.split(['.', '-']).map(|p| p.parse::<u32>().unwrap_or_default());
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        match version {
            (3, 4, patch) => patch >= 25,
            (3, 5, patch) => patch >= 8,
            newer => newer >= (3, 6, 0),
        }
    }

    /// Fills the cache of a resource that was added while running.
    async fn load_one(&self, cache: &Arc<Cache>) -> Result<(), StorageError> {
        let mut entries = Vec::new();
        let prefix = cache.prefix().to_owned();
        let revision = self
            .read_all(&prefix, |key, value, rv| {
                if let Some(relative) = key.strip_prefix(&prefix) {
                    entries.extend(cache.entry(relative, value, rv));
                }
            })
            .await?;
        cache.replace(entries, revision);
        self.routes.write().insert(prefix, Arc::clone(cache));
        // wakes whoever waits in `add`
        self.progress.send_modify(|_| {});
        Ok(())
    }
}

/// Answers all waiting callers with one read, again and again.
async fn read_revisions(etcd: Etcd, mut requests: mpsc::Receiver<oneshot::Sender<Option<i64>>>) {
    while let Some(first) = requests.recv().await {
        let mut waiting = vec![first];
        while let Ok(more) = requests.try_recv() {
            waiting.push(more);
        }
        let revision = etcd.current_revision().await.ok();
        for reply in waiting {
            // a caller that went away needs no answer
            let _ = reply.send(revision);
        }
    }
}
