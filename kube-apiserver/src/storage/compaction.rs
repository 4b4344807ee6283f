//! Compacts etcd's history every five minutes; of several apiservers one does it.
//!
//! The servers agree through the key `compact_rev_key`, whose version counts compactions and whose value is the
//! revision to compact next.
//! upstream: staging/src/k8s.io/apiserver/pkg/storage/etcd3/compact.go

use std::time::Duration;

use etcd_client::{Compare, CompareOp, Txn, TxnOp, TxnOpResponse};

use super::etcd::{Etcd, StorageError};

const KEY: &str = "compact_rev_key";
/// How often it is asked what others compacted.
const POLL: Duration = Duration::from_secs(15);

/// Runs until dropped. An interval of zero turns compaction off.
pub async fn run(etcd: Etcd, interval: Duration) {
    if interval.is_zero() {
        return;
    }
    let (mut time, mut revision) = (0, 0);
    loop {
        tokio::time::sleep(interval).await;
        match compact(&etcd, time, revision).await {
            Ok(next) => (time, revision) = next,
            Err(error) => tracing::warn!(%error, "etcd compaction failed"),
        }
    }
}

/// Learns what others compacted, until dropped: whatever is older is not to be told out of caches.
/// upstream: cacher/compactor.go
pub async fn follow(etcd: Etcd) {
    loop {
        match etcd.get(KEY).await {
            Ok((Some(kv), _)) => etcd.forgot(parse(&kv.value)),
            Ok((None, _)) => {}
            Err(error) => tracing::debug!(%error, "cannot read what was compacted"),
        }
        tokio::time::sleep(POLL).await;
    }
}

fn parse(value: &[u8]) -> i64 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// One round. `time` is the key's version that we believe in; whoever bumps it first compacts to the revision
/// that was current one round ago.
async fn compact(etcd: &Etcd, time: i64, revision: i64) -> Result<(i64, i64), StorageError> {
    let mut kv = etcd.kv_client();
    let txn = Txn::new()
        .when([Compare::version(KEY, CompareOp::Equal, time)])
        .and_then([TxnOp::put(KEY, revision.to_string(), None)])
        .or_else([TxnOp::get(KEY, None)]);
    let answer = kv.txn(txn).await?;
    let current = answer.header().map_or(0, |h| h.revision());
    if !answer.succeeded() {
        let theirs = answer.op_responses().into_iter().find_map(|op| match op {
            TxnOpResponse::Get(got) => got.kvs().first().map(|kv| (kv.version(), parse(kv.value()))),
            _ => None,
        });
        let (version, compacted) = theirs.unwrap_or_default();
        etcd.forgot(compacted);
        return Ok((version, current));
    }
    if revision > 0 {
        kv.compact(revision, None).await?;
        etcd.forgot(revision);
        tracing::debug!(revision, "compacted etcd");
    }
    Ok((time + 1, current))
}

/// What another server's compaction leaves behind.
#[cfg(test)]
pub(crate) async fn compact_to(etcd: &Etcd, revision: i64) -> Result<(), StorageError> {
    let mut kv = etcd.kv_client();
    kv.put(KEY, revision.to_string(), None).await?;
    kv.compact(revision, None).await?;
    Ok(())
}
