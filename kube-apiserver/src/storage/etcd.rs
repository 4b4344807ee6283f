//! The etcd client: the few operations that storage is made of, with upstream's transactions.
//!
//! Reads are linearized. Writes carry a precondition on the key's mod revision and are sent once; a failed
//! precondition returns what is there now. Works with etcd 3.4 to 3.6.
//! upstream: staging/src/k8s.io/apiserver/pkg/storage/etcd3/store.go

use std::time::Duration;

use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, GetOptions, Identity, KvClient, LeaseClient,
    MaintenanceClient, PutOptions, TlsOptions, Txn, TxnOp, TxnOpResponse, WatchClient,
};
use thiserror::Error;

/// Larger than any answer etcd gives.
const MAX_MESSAGE: usize = i32::MAX as usize;
/// Attempts of a read while etcd is unavailable.
const READ_ATTEMPTS: u32 = 5;

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
    #[error("etcdserver: request timed out")]
    Timeout,
    /// etcd cannot be reached or answered something unexpected.
    #[error("etcd request failed: {0}")]
    Etcd(#[source] etcd_client::Error),
}

impl From<etcd_client::Error> for StorageError {
    fn from(e: etcd_client::Error) -> Self {
        // gRPC codes, not texts, tell the cases apart: OutOfRange is answered for compacted and future revisions
        // only, InvalidArgument (in our use) for oversized requests only.
        match &e {
            etcd_client::Error::GRpcStatus(status) => match i32::from(status.code()) {
                11 => Self::Compacted,
                3 | 8 => Self::TooLarge,
                4 => Self::Timeout,
                _ => Self::Etcd(e),
            },
            _ => Self::Etcd(e),
        }
    }
}

fn is_unavailable(e: &etcd_client::Error) -> bool {
    matches!(e, etcd_client::Error::GRpcStatus(status) if i32::from(status.code()) == 14)
        || matches!(e, etcd_client::Error::TransportError(_))
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
            .with_tcp_keepalive(Duration::from_secs(30));
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
        })
    }

    /// Prefix of all keys, without a slash at the end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn watch_client(&self) -> WatchClient {
        self.watch.clone()
    }

    pub(super) fn lease_client(&self) -> LeaseClient {
        self.lease.clone()
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
        let mut page = self.range_with(key, GetOptions::new()).await?;
        Ok((page.kvs.pop(), page.revision))
    }

    /// Keys from `start` up to, not including, `end`; at a revision, 0 for now.
    ///
    /// # Errors
    /// `Compacted` for an old revision; if etcd cannot be reached.
    pub async fn range(&self, start: &str, end: &[u8], limit: i64, revision: i64) -> Result<Page, StorageError> {
        let options = GetOptions::new().with_range(end).with_limit(limit).with_revision(revision);
        self.range_with(start, options).await
    }

    /// The store's current revision, confirmed by a quorum.
    ///
    /// # Errors
    /// If etcd cannot be reached.
    pub async fn current_revision(&self) -> Result<i64, StorageError> {
        // a key that never exists: nothing but the header comes back
        let key = format!("{}/\0", self.prefix);
        Ok(self.range_with(&key, GetOptions::new().with_count_only()).await?.revision)
    }

    async fn range_with(&self, key: &str, options: GetOptions) -> Result<Page, StorageError> {
        let mut wait = Duration::from_millis(50);
        let mut attempt = 1;
        loop {
            match self.kv.clone().get(key, Some(options.clone())).await {
                Ok(mut answer) => {
                    return Ok(Page {
                        more: answer.more(),
                        count: answer.count(),
                        revision: answer.header().map_or(0, |h| h.revision()),
                        kvs: answer.take_kvs().into_iter().map(Kv::from).collect(),
                    });
                }
                Err(e) if is_unavailable(&e) && attempt < READ_ATTEMPTS => {
                    tracing::debug!(error = %e, attempt, "etcd read failed, trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 3;
                    attempt += 1;
                }
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Writes a key that must not exist.
    ///
    /// # Errors
    /// `Exists`, `TooLarge`, or if etcd cannot be reached.
    pub async fn create(&self, key: &str, value: Vec<u8>, lease: i64) -> Result<i64, StorageError> {
        let put = TxnOp::put(key, value, put_options(lease));
        let txn = Txn::new().when([Compare::mod_revision(key, CompareOp::Equal, 0)]).and_then([put]);
        let answer = self.kv.clone().txn(txn).await?;
        if answer.succeeded() {
            Ok(answer.header().map_or(0, |h| h.revision()))
        } else {
            Err(StorageError::Exists { key: key.to_owned() })
        }
    }

    /// Writes a key if its mod revision is still `expected` (0: it must not exist).
    ///
    /// # Errors
    /// `TooLarge`, or if etcd cannot be reached.
    pub async fn update(&self, key: &str, value: Vec<u8>, expected: i64, lease: i64) -> Result<Written, StorageError> {
        self.conditionally(key, expected, TxnOp::put(key, value, put_options(lease))).await
    }

    /// Removes a key if its mod revision is still `expected`.
    ///
    /// # Errors
    /// If etcd cannot be reached.
    pub async fn delete(&self, key: &str, expected: i64) -> Result<Written, StorageError> {
        self.conditionally(key, expected, TxnOp::delete(key, None)).await
    }

    async fn conditionally(&self, key: &str, expected: i64, op: TxnOp) -> Result<Written, StorageError> {
        let txn = Txn::new()
            .when([Compare::mod_revision(key, CompareOp::Equal, expected)])
            .and_then([op])
            .or_else([TxnOp::get(key, None)]);
        let answer = self.kv.clone().txn(txn).await?;
        if answer.succeeded() {
            return Ok(Written::Done(answer.header().map_or(0, |h| h.revision())));
        }
        let current = answer.op_responses().into_iter().find_map(|op| match op {
            TxnOpResponse::Get(mut got) => got.take_kvs().pop().map(Kv::from),
            _ => None,
        });
        Ok(Written::Stale(current))
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
