//! Leases for objects that vanish by themselves: one lease is shared by the keys of a minute.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/storage/etcd3/lease_manager.go

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::etcd::{Etcd, StorageError};
use super::requests::LEASE_OBJECTS;

/// How long one lease is given to new keys, at most.
const REUSE: Duration = Duration::from_secs(60);
/// Keys per lease, at most.
const MAX_KEYS: u64 = 1000;

/// Hands out leases.
#[derive(Debug)]
pub struct Leases {
    etcd: Etcd,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    id: i64,
    ttl: u64,
    granted: Instant,
    keys: u64,
}

impl Leases {
    /// No lease yet.
    pub fn new(etcd: Etcd) -> Self {
        LazyLock::force(&LEASE_OBJECTS);
        Self { etcd, current: Mutex::new(None) }
    }

    /// A lease that lives at least `ttl` seconds.
    ///
    /// # Errors
    /// If etcd cannot be reached.
    pub async fn get(&self, ttl: u64) -> Result<i64, StorageError> {
        let mut current = self.current.lock().await;
        // a lease is granted a little longer than asked, so that it can be reused for a while
        let reuse = REUSE.min(Duration::from_secs(ttl / 20));
        if let Some(lease) = current.as_mut()
            && lease.ttl == ttl
            && lease.keys < MAX_KEYS
            && lease.granted.elapsed() < reuse
        {
            lease.keys += 1;
            return Ok(lease.id);
        }
        let granted = Instant::now();
        let seconds = i64::try_from(ttl + reuse.as_secs()).unwrap_or(i64::MAX);
        let id = self.etcd.grant(seconds).await?;
        // as upstream counts: with the key that is to have the next lease
        LEASE_OBJECTS.observe((current.as_ref().map_or(0, |lease| lease.keys) + 1) as f64);
        *current = Some(Current { id, ttl, granted, keys: 1 });
        Ok(id)
    }

    /// Hands a lease out no more: etcd does not know it (its state was replaced).
    pub async fn forget(&self, id: i64) {
        self.current.lock().await.take_if(|lease| lease.id == id);
    }
}
