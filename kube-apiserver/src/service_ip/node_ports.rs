//! Node ports: one bitmap in the store, changed by optimistic transactions.
//!
//! upstream: pkg/registry/core/service/portallocator and pkg/registry/core/service/allocator/storage

use apimachinery::codec::protobuf::{self, Envelope};
use apimachinery::schema;
use apimachinery::value::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use component_base::Chain;
use rand::Rng;

use crate::storage::Etcd;
use crate::storage::etcd::Written;

/// Transactions that lost a race before it is an error.
const MAX_RACES: usize = 50;

/// Why a port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Nothing left.
    #[error("range is full")]
    Full,
    /// Somebody has it.
    #[error("provided port is already allocated")]
    Allocated,
    /// Outside of the range.
    #[error("provided port is not in the valid range. The range of valid ports is {0}")]
    NotInRange(String),
    /// The store said no.
    #[error("{0}")]
    Store(String),
}

/// The allocator.
#[derive(Debug)]
pub struct NodePorts {
    etcd: Etcd,
    low: u16,
    high: u16,
    races: tokio::sync::Mutex<()>,
}

/// Used ports, as the stored object has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bitmap(Vec<u8>);

impl NodePorts {
    /// Ports from `low` to `high`, both included.
    pub fn new(etcd: Etcd, (low, high): (u16, u16)) -> Self {
        Self { etcd, low, high, races: tokio::sync::Mutex::new(()) }
    }

    /// Takes this port.
    ///
    /// # Errors
    /// See `PortError`.
    pub async fn allocate(&self, port: u16) -> Result<(), PortError> {
        if !(self.low..=self.high).contains(&port) {
            return Err(PortError::NotInRange(self.range()));
        }
        let offset = usize::from(port - self.low);
        self.change(|bitmap| {
            if bitmap.get(offset) {
                return Err(PortError::Allocated);
            }
            bitmap.set(offset, true);
            Ok(())
        })
        .await
    }

    /// True if somebody has this port.
    ///
    /// # Errors
    /// What the store says.
    pub async fn has(&self, port: u16) -> Result<bool, PortError> {
        if !(self.low..=self.high).contains(&port) {
            return Ok(false);
        }
        Ok(self.read().await?.0.get(usize::from(port - self.low)))
    }

    /// Takes any free port; the first part of the range is taken last.
    ///
    /// # Errors
    /// See `PortError`.
    pub async fn allocate_next(&self) -> Result<u16, PortError> {
        let size = usize::from(self.high - self.low) + 1;
        let reserved = if size <= 16 { 0 } else { (size / 32).clamp(16, 128) };
        let start = rand::rng().random_range(0..size - reserved);
        let low = self.low;
        self.change(|bitmap| {
            let upper = (0..size - reserved).map(|step| reserved + (start + step) % (size - reserved));
            let free = upper.chain(0..reserved).find(|offset| !bitmap.get(*offset));
            let offset = free.ok_or(PortError::Full)?;
            bitmap.set(offset, true);
            Ok(low + u16::try_from(offset).unwrap_or(0))
        })
        .await
    }

    /// Gives ports back; those outside of the range are ignored.
    pub async fn release(&self, ports: &[u16]) {
        let offsets: Vec<usize> =
            ports.iter().filter(|p| (self.low..=self.high).contains(p)).map(|p| usize::from(p - self.low)).collect();
        if offsets.is_empty() {
            return;
        }
        let released = self.change(|bitmap| {
            for offset in &offsets {
                bitmap.set(*offset, false);
            }
            Ok(())
        });
        if let Err(error) = released.await {
            tracing::warn!(error = %error, "node ports could not be released");
        }
    }

    /// Makes the bitmap hold exactly these ports, except that used ports are never dropped while `keep` holds them.
    ///
    /// # Errors
    /// What the store says.
    pub async fn repair(&self, used: &[u16], keep: impl Fn(u16) -> bool + Send) -> Result<(), PortError> {
        let (low, high) = (self.low, self.high);
        self.change(|bitmap| {
            for port in low..=high {
                let offset = usize::from(port - low);
                let wanted = used.contains(&port) || bitmap.get(offset) && keep(port);
                bitmap.set(offset, wanted);
            }
            Ok(())
        })
        .await
    }

    /// Ports that are marked as used.
    ///
    /// # Errors
    /// What the store says.
    pub async fn used(&self) -> Result<Vec<u16>, PortError> {
        let (bitmap, _) = self.read().await?;
        Ok((self.low..=self.high).filter(|p| bitmap.get(usize::from(p - self.low))).collect())
    }

    async fn change<T>(&self, mut change: impl FnMut(&mut Bitmap) -> Result<T, PortError>) -> Result<T, PortError> {
        // requests of this server take turns; races are with other servers only
        let _turn = self.races.lock().await;
        for _ in 0..MAX_RACES {
            let (before, revision) = self.read().await?;
            let mut after = before.clone();
            let out = change(&mut after)?;
            if after == before && revision != 0 {
                return Ok(out);
            }
            let written = self.etcd.update(&self.key(), self.encode(&after), revision, 0).await.map_err(store)?;
            if matches!(written, Written::Done(_)) {
                return Ok(out);
            }
        }
        Err(PortError::Store("too many changes of the node port allocation at once".to_owned()))
    }

    async fn read(&self) -> Result<(Bitmap, i64), PortError> {
        let (kv, _) = self.etcd.get(&self.key()).await.map_err(store)?;
        let Some(kv) = kv else { return Ok((Bitmap::default(), 0)) };
        let bad = |what: String| PortError::Store(format!("the stored node port allocation cannot be read: {what}"));
        let envelope = Envelope::parse(&kv.value).map_err(|e| bad(e.to_string()))?;
        let ty = schema::kind("v1", "RangeAllocation").expect("the type is in the table");
        let object = protobuf::decode(envelope.raw, ty).map_err(|e| bad(e.to_string()))?;
        let range = object.get("range").str_or_empty();
        if range != self.range() {
            // the flag changed: what is used is found again by the repair loop
            return Ok((Bitmap::default(), kv.mod_revision));
        }
        let data = STANDARD.decode(object.get("data").str_or_empty()).map_err(|e| bad(e.to_string()))?;
        Ok((Bitmap::from_big_endian(&data), kv.mod_revision))
    }

    fn encode(&self, bitmap: &Bitmap) -> Vec<u8> {
        let object: Value = [
            ("metadata", Value::map()),
            ("range", self.range().into()),
            ("data", STANDARD.encode(bitmap.to_big_endian()).into()),
        ]
        .into();
        let ty = schema::kind("v1", "RangeAllocation").expect("the type is in the table");
        let mut out = Vec::new();
        protobuf::encode_object(&object, ty, "v1", "RangeAllocation", &mut out);
        out
    }

    fn key(&self) -> String {
        format!("{}/ranges/servicenodeports", self.etcd.prefix())
    }

    fn range(&self) -> String {
        format!("{}-{}", self.low, self.high)
    }
}

impl Bitmap {
    /// From a big number's bytes: bit 0 is in the last byte.
    fn from_big_endian(bytes: &[u8]) -> Self {
        let mut out: Vec<u8> = bytes.iter().rev().copied().collect();
        while out.last() == Some(&0) {
            out.pop();
        }
        Self(out)
    }

    fn to_big_endian(&self) -> Vec<u8> {
        self.0.iter().rev().skip_while(|b| **b == 0).copied().collect()
    }

    fn get(&self, bit: usize) -> bool {
        self.0.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    fn set(&mut self, bit: usize, on: bool) {
        if !on && bit / 8 >= self.0.len() {
            return;
        }
        if bit / 8 >= self.0.len() {
            self.0.resize(bit / 8 + 1, 0);
        }
        let mask = 1 << (bit % 8);
        if on {
            self.0[bit / 8] |= mask;
        } else {
            self.0[bit / 8] &= !mask;
        }
    }
}

fn store(error: crate::storage::StorageError) -> PortError {
    PortError::Store(Chain(&error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_are_big_numbers() {
        let mut bitmap = Bitmap::default();
        bitmap.set(1839, true);
        let bytes = bitmap.to_big_endian();
        assert_eq!((bytes.len(), bytes[0]), (230, 0x80));
        assert_eq!(Bitmap::from_big_endian(&bytes), bitmap);
        bitmap.set(1839, false);
        assert!(bitmap.to_big_endian().is_empty());
    }
}
