//! The etcd client: the few operations that storage is made of, with upstream's transactions.
//!
//! Reads are linearized. Writes carry a precondition on the key's mod revision; a failed precondition returns what
//! is there now. While no member answers, operations are tried again: a write that may have happened already is
//! recognised by its bytes when it is tried again. Answers also tell whether etcd went back in time.
//! Works with etcd 3.4 to 3.6.
//! upstream: staging/src/k8s.io/apiserver/pkg/storage/etcd3/store.go

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant as StdInstant};

use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, GetOptions, Identity, KvClient, LeaseClient,
    LeaseGrantResponse, MaintenanceClient, PutOptions, ResponseHeader, TlsOptions, Txn, TxnOp, TxnOpResponse,
    TxnResponse, WatchClient,
};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;

use super::requests::{Operation, RETRIES, Requests};

/// Larger than any answer etcd gives.
const MAX_MESSAGE: usize = i32::MAX as usize;
/// How long an operation is tried while etcd is unavailable. Requests give up sooner, by limits of their own.
const PATIENCE: Duration = Duration::from_secs(60);
const BACKOFF_MIN: Duration = Duration::from_millis(25);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Why a storage operation failed.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The key does not exist.
    #[error("key not found: {key}")]
    NotFound {
        /// Full key.
        key: String,
    },
    /// The key exists already.
    #[error("key exists: {key}")]
    Exists {
        /// Full key.
        key: String,
    },
    /// A precondition of the caller does not hold.
    #[error("StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {message}")]
    Precondition {
        /// Full key.
        key: String,
        /// What does not hold.
        message: String,
    },
    /// The revision is compacted away.
    #[error("mvcc: required revision has been compacted")]
    Compacted,
    /// A revision that does not exist yet.
    #[error("Too large resource version: {wanted}, current: {current}")]
    FutureRevision {
        /// What the client asked for.
        wanted: u64,
        /// What there is.
        current: u64,
    },
    /// The value is larger than etcd takes.
    #[error("etcdserver: request is too large")]
    TooLarge,
    /// The cache is being filled.
    #[error("storage is (re)initializing")]
    NotReady,
    /// The stored bytes cannot be read.
    #[error("the object at {key} cannot be decoded")]
    Corrupt {
        /// Full key.
        key: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// etcd did not answer in time.
    #[error("context deadline exceeded")]
    Timeout,
    /// The lease of the write has run out, or etcd never knew it.
    #[error("etcdserver: requested lease not found")]
    LeaseGone,
    /// etcd answered, and refused, in these words.
    #[error("{0}")]
    Refused(String),
    /// etcd cannot be reached or answered something unexpected.
    #[error("etcd request failed: {0}")]
    Etcd(#[source] etcd_client::Error),
}

impl From<etcd_client::Error> for StorageError {
    fn from(e: etcd_client::Error) -> Self {
        // gRPC codes, not texts, tell the cases apart: OutOfRange is answered for compacted and future revisions
        // only, InvalidArgument (in our use) for oversized requests only, NotFound for leases only.
        match &e {
            etcd_client::Error::GRpcStatus(status) => match i32::from(status.code()) {
                11 => Self::Compacted,
                3 => Self::TooLarge,
                4 => Self::Timeout,
                5 => Self::LeaseGone,
                // what etcd itself says has no source
                _ if status.source().is_none() => Self::Refused(status.message().to_owned()),
                _ => Self::Etcd(e),
            },
            _ => Self::Etcd(e),
        }
    }
}

/// True if no member did answer: none can be reached, the connection broke, or there is no leader.
fn is_unavailable(e: &etcd_client::Error) -> bool {
    const UNAVAILABLE: i32 = 14;
    match e {
        etcd_client::Error::GRpcStatus(status) => i32::from(status.code()) == UNAVAILABLE || status.source().is_some(),
        etcd_client::Error::TransportError(_) | etcd_client::Error::IoError(_) => true,
        _ => false,
    }
}

/// Where etcd is and how to talk to it.
#[derive(Clone, Debug, Default)]
pub struct EtcdOptions {
    /// `http(s)://HOST:PORT`, one or several.
    pub servers: Vec<String>,
    /// Prefix of all keys, `/registry` by default.
    pub prefix: String,
    /// PEM of the CA that signed the servers' certificates.
    pub ca_pem: Option<Vec<u8>>,
    /// PEM of our client certificate and its key.
    pub identity_pem: Option<(Vec<u8>, Vec<u8>)>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Kv {
    /// Full key.
    pub key: Vec<u8>,
    /// Stored bytes.
    pub value: Vec<u8>,
    /// Revision of the last write.
    pub mod_revision: i64,
    /// Lease that the key is bound to, 0 if none.
    pub lease: i64,
}

impl From<&etcd_client::KeyValue> for Kv {
    fn from(kv: &etcd_client::KeyValue) -> Self {
        Self { key: kv.key().to_vec(), value: kv.value().to_vec(), mod_revision: kv.mod_revision(), lease: kv.lease() }
    }
}

impl From<etcd_client::KeyValue> for Kv {
    fn from(kv: etcd_client::KeyValue) -> Self {
        let (mod_revision, lease) = (kv.mod_revision(), kv.lease());
        let (key, value) = kv.into_key_value();
        Self { key, value, mod_revision, lease }
    }
}

/// One page of a range.
#[derive(Debug)]
pub struct Page {
    /// Keys and values in order.
    pub kvs: Vec<Kv>,
    /// There is more behind this page.
    pub more: bool,
    /// How many keys the whole range has from the page's start.
    pub count: i64,
    /// Revision of the store when it answered.
    pub revision: i64,
}

/// The outcome of a write with a precondition.
#[derive(Debug)]
pub enum Written {
    /// Done, at this revision.
    Done(i64),
    /// The key was changed by someone else; this is what is there now, if anything.
    Stale(Option<Kv>),
}

/// A connection to etcd, shared by all.
#[derive(Clone)]
pub struct Etcd {
    kv: KvClient,
    watch: WatchClient,
    lease: LeaseClient,
    maintenance: MaintenanceClient,
    prefix: String,
    timeline: Arc<Timeline>,
    requests: Arc<Requests>,
}

/// What answers told about etcd's history. Revisions never fall, unless an older state was put in its place.
struct Timeline {
    /// The highest revision of any answer.
    seen: AtomicI64,
    /// The cluster's ID, 0 before the first answer.
    cluster: AtomicU64,
    /// The revision before which history was compacted away, as far as it is known.
    compacted: AtomicI64,
    /// Counts how often history was found rewritten.
    rewinds: watch::Sender<u64>,
}

impl Timeline {
    /// Takes in an answer's header. `before` is what `seen` was when the request was sent: answers of requests that
    /// were under way together come in any order.
    fn observe(&self, revision: i64, cluster: u64, before: i64) {
        let known = self.cluster.swap(cluster, Ordering::Relaxed);
        if revision < before || (known != 0 && known != cluster) {
            tracing::warn!(revision, seen = before, cluster, "etcd's history was replaced by another");
            self.seen.store(revision, Ordering::Relaxed);
            self.compacted.store(0, Ordering::Relaxed);
            self.rewinds.send_modify(|n| *n += 1);
        } else {
            self.seen.fetch_max(revision, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Etcd({})", self.prefix)
    }
}

impl Etcd {
    /// Prepares the connection; it is opened with the first request and reopened as needed.
    ///
    /// # Errors
    /// If an address or a certificate cannot be used.
    pub async fn connect(options: &EtcdOptions) -> Result<Self, StorageError> {
        let mut connect = ConnectOptions::new()
            .with_connect_timeout(Duration::from_secs(20))
            .with_keep_alive(Duration::from_secs(30), Duration::from_secs(10))
            .with_tcp_keepalive(Duration::from_secs(30))
            // a member that lost the others answers so, instead of with nothing
            .with_require_leader(true);
        if options.ca_pem.is_some() || options.identity_pem.is_some() {
            let mut tls = TlsOptions::new();
            if let Some(ca) = &options.ca_pem {
                tls = tls.ca_certificate(Certificate::from_pem(ca));
            }
            if let Some((cert, key)) = &options.identity_pem {
                tls = tls.identity(Identity::from_pem(cert, key));
            }
            connect = connect.with_tls(tls);
        }
        let client = Client::connect(&options.servers, Some(connect)).await?;
        Ok(Self {
            kv: client.kv_client().max_decoding_message_size(MAX_MESSAGE),
            watch: client.watch_client().max_decoding_message_size(MAX_MESSAGE),
            lease: client.lease_client(),
            maintenance: client.maintenance_client(),
            prefix: options.prefix.trim_end_matches('/').to_owned(),
            timeline: Arc::new(Timeline {
                seen: AtomicI64::new(0),
                cluster: AtomicU64::new(0),
                compacted: AtomicI64::new(0),
                rewinds: watch::Sender::new(0),
            }),
            requests: Arc::default(),
        })
    }

    /// The same etcd, for the objects of a resource: requests are counted under its name.
    pub fn for_resource(&self, group: &str, resource: &str) -> Self {
        Self { requests: Arc::new(Requests::of(group, resource)), ..self.clone() }
    }

    /// Notes a revision that a watch told.
    pub(super) fn saw(&self, revision: u64) {
        self.timeline.seen.fetch_max(revision.cast_signed(), Ordering::Relaxed);
    }

    /// Notes that what was before a revision is compacted away.
    pub(super) fn forgot(&self, revision: i64) {
        self.timeline.compacted.fetch_max(revision, Ordering::Relaxed);
    }

    /// True if the state at a revision is compacted away, as far as it is known: it is not to be told out of a cache either.
    pub fn has_forgotten(&self, revision: u64) -> bool {
        revision.cast_signed() < self.timeline.compacted.load(Ordering::Relaxed)
    }

    /// Changes when etcd turns out to have gone back in time (a restored backup), or to be another cluster.
    pub(super) fn rewinds(&self) -> watch::Receiver<u64> {
        self.timeline.rewinds.subscribe()
    }

    /// Prefix of all keys, without a slash at the end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn watch_client(&self) -> WatchClient {
        self.watch.clone()
    }

    pub(super) fn kv_client(&self) -> KvClient {
        self.kv.clone()
    }

    /// The server's version, such as `3.4.23`.
    ///
    /// # Errors
    /// If etcd cannot be reached.
    pub async fn server_version(&self) -> Result<String, StorageError> {
        Ok(self.maintenance.clone().status().await?.version().to_owned())
    }

    /// One key and the revision of the store.
    ///
    /// # Errors
    /// If etcd cannot be reached.
    pub async fn get(&self, key: &str) -> Result<(Option<Kv>, i64), StorageError> {
        let mut page = self.range_with(key, GetOptions::new(), Operation::Get).await?;
        Ok((page.kvs.pop(), page.revision))
    }

    /// Keys from `start` up to, not including, `end`; at a revision, 0 for now.
    ///
    /// # Errors
    /// `Compacted` for an old revision; if etcd cannot be reached.
    pub async fn range(&self, start: &str, end: &[u8], limit: i64, revision: i64) -> Result<Page, StorageError> {
        let options = GetOptions::new().with_range(end).with_limit(limit).with_revision(revision);
        self.range_with(start, options, Operation::List).await
    }

    /// The store's current revision, confirmed by a quorum.
    ///
    /// # Errors
    /// If etcd cannot be reached.
    pub async fn current_revision(&self) -> Result<i64, StorageError> {
        // a key that never exists: nothing but the header comes back
        let key = format!("{}/\0", self.prefix);
        Ok(self.range_with(&key, GetOptions::new().with_count_only(), Operation::Get).await?.revision)
    }

    async fn range_with(&self, key: &str, options: GetOptions, operation: Operation) -> Result<Page, StorageError> {
        let (mut answer, _) = self
            .counted(
                operation,
                || {
                    let (mut kv, key, options) = (self.kv.clone(), key.to_owned(), options.clone());
                    async move { kv.get(key, Some(options)).await }
                },
                |answer| answer.header(),
            )
            .await?;
        Ok(Page {
            more: answer.more(),
            count: answer.count(),
            revision: answer.header().map_or(0, |h| h.revision()),
            kvs: answer.take_kvs().into_iter().map(Kv::from).collect(),
        })
    }

    /// As `trying`, and counts it.
    async fn counted<T, F>(
        &self,
        operation: Operation,
        run: impl Fn() -> F,
        header: impl Fn(&T) -> Option<&ResponseHeader>,
    ) -> Result<(T, bool), StorageError>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let begun = StdInstant::now();
        let outcome = self.trying(run, header).await;
        self.requests.done(operation, begun, outcome.is_err());
        outcome
    }

    /// Runs an operation, again and again while etcd is unavailable. Also tells whether an earlier attempt may have
    /// been carried out without our hearing of it.
    async fn trying<T, F>(
        &self,
        operation: impl Fn() -> F,
        header: impl Fn(&T) -> Option<&ResponseHeader>,
    ) -> Result<(T, bool), StorageError>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let deadline = Instant::now() + PATIENCE;
        let mut wait = BACKOFF_MIN;
        let mut again = false;
        loop {
            let before = self.timeline.seen.load(Ordering::Relaxed);
            match operation().await {
                Ok(answer) => {
                    if let Some(header) = header(&answer) {
                        self.timeline.observe(header.revision(), header.cluster_id(), before);
                    }
                    return Ok((answer, again));
                }
                Err(error) if is_unavailable(&error) && Instant::now() + wait < deadline => {
                    tracing::debug!(%error, "etcd is unavailable, trying again");
                    RETRIES.inc();
                    tokio::time::sleep(wait.mul_f64(0.75 + rand::random::<f64>() / 2.0)).await;
                    wait = (wait * 2).min(BACKOFF_MAX);
                    again = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn transaction(&self, txn: Txn, operation: Operation) -> Result<(TxnResponse, bool), StorageError> {
        let run = || {
            let (mut kv, txn) = (self.kv.clone(), txn.clone());
            async move { kv.txn(txn).await }
        };
        self.counted(operation, run, TxnResponse::header).await
    }

    /// Writes a key that must not exist.
    ///
    /// # Errors
    /// `Exists`, `TooLarge`, `LeaseGone`, or if etcd cannot be reached.
    pub async fn create(&self, key: &str, value: Vec<u8>, lease: i64) -> Result<i64, StorageError> {
        match self.update(key, value, 0, lease).await? {
            Written::Done(revision) => Ok(revision),
            Written::Stale(_) => Err(StorageError::Exists { key: key.to_owned() }),
        }
    }

    /// Writes a key if its mod revision is still `expected` (0: it must not exist).
    ///
    /// # Errors
    /// `TooLarge`, `LeaseGone`, or if etcd cannot be reached.
    pub async fn update(&self, key: &str, value: Vec<u8>, expected: i64, lease: i64) -> Result<Written, StorageError> {
        let put = TxnOp::put(key, value.as_slice(), put_options(lease));
        let operation = if expected == 0 { Operation::Create } else { Operation::Update };
        let (written, again) = self.conditionally(key, expected, put, operation).await?;
        Ok(match written {
            // an earlier attempt did it: nobody else writes the same bytes, they hold a UID and times
            Written::Stale(Some(there)) if again && there.value == value => Written::Done(there.mod_revision),
            other => other,
        })
    }

    /// Removes a key if its mod revision is still `expected`.
    ///
    /// # Errors
    /// If etcd cannot be reached.
    pub async fn delete(&self, key: &str, expected: i64) -> Result<Written, StorageError> {
        let (written, again) = self.conditionally(key, expected, TxnOp::delete(key, None), Operation::Delete).await?;
        Ok(match written {
            // an earlier attempt did it
            Written::Stale(None) if again => Written::Done(self.timeline.seen.load(Ordering::Relaxed)),
            other => other,
        })
    }

    async fn conditionally(
        &self,
        key: &str,
        expected: i64,
        op: TxnOp,
        operation: Operation,
    ) -> Result<(Written, bool), StorageError> {
        let txn = Txn::new()
            .when([Compare::mod_revision(key, CompareOp::Equal, expected)])
            .and_then([op])
            .or_else([TxnOp::get(key, None)]);
        let (answer, again) = self.transaction(txn, operation).await?;
        if answer.succeeded() {
            return Ok((Written::Done(answer.header().map_or(0, |h| h.revision())), again));
        }
        let current = answer.op_responses().into_iter().find_map(|op| match op {
            TxnOpResponse::Get(mut got) => got.take_kvs().pop().map(Kv::from),
            _ => None,
        });
        Ok((Written::Stale(current), again))
    }

    /// Grants a lease of so many seconds; answers its ID.
    ///
    /// # Errors
    /// If etcd cannot be reached.
    pub async fn grant(&self, seconds: i64) -> Result<i64, StorageError> {
        let operation = || {
            let mut lease = self.lease.clone();
            async move { lease.grant(seconds, None).await }
        };
        let (answer, _) = self.trying(operation, LeaseGrantResponse::header).await?;
        Ok(answer.id())
    }
}

fn put_options(lease: i64) -> Option<PutOptions> {
    (lease != 0).then(|| PutOptions::new().with_lease(lease))
}

/// The end of the range of all keys with a prefix.
pub fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline() -> Timeline {
        Timeline {
            seen: AtomicI64::new(0),
            cluster: AtomicU64::new(0),
            compacted: AtomicI64::new(0),
            rewinds: watch::Sender::new(0),
        }
    }

    #[test]
    fn history_that_falls_back_is_noticed_and_answers_out_of_order_are_not() {
        let t = timeline();
        t.observe(10, 7, 0);
        t.observe(12, 7, 10);
        // sent before the answer that said 12
        t.observe(11, 7, 10);
        assert_eq!((*t.rewinds.borrow(), t.seen.load(Ordering::Relaxed)), (0, 12));
        t.observe(5, 7, 12);
        assert_eq!((*t.rewinds.borrow(), t.seen.load(Ordering::Relaxed)), (1, 5));
        t.observe(6, 8, 5);
        assert_eq!(*t.rewinds.borrow(), 2);
    }

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(prefix_end("/a/"), b"/a0");
        assert_eq!(prefix_end(""), [0]);
    }
}
