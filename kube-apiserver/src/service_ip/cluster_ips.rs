//! Cluster IPs: every used address is an IPAddress object, created to take it and deleted to give it back.
//!
//! The ranges are those of the ready ServiceCIDR objects. The first part of a range is taken last, so that
//! clients can choose fixed addresses there.
//! upstream: pkg/registry/core/service/ipallocator/{ipallocator,cidrallocator}.go

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use ipnet::IpNet;
use rand::Rng;

use super::families::Family;
use crate::objects::{Kind, Objects};

const ADDRESSES: Kind = Kind::new("networking.k8s.io", "ipaddresses");
const CIDRS: Kind = Kind::new("networking.k8s.io", "servicecidrs");
/// Addresses tried before a range counts as full.
const MAX_TRIES: u128 = 1 << 16;

/// Why an address cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// Nothing left.
    #[error("range is full")]
    Full,
    /// Somebody has it.
    #[error("provided IP is already allocated")]
    Allocated,
    /// Outside of every range.
    #[error("the provided IP ({ip}) is not in the valid range. The range of valid IPs is {ranges}")]
    NotInRange {
        /// The address.
        ip: String,
        /// The ranges.
        ranges: String,
    },
    /// No range of that family.
    #[error("no ServiceCIDR available for {0}")]
    NoRange(&'static str),
    /// The store said no.
    #[error("{0}")]
    Store(String),
}

/// The allocator.
#[derive(Debug)]
pub struct ClusterIps {
    objects: Arc<dyn Objects>,
    configured: Vec<IpNet>,
}

impl ClusterIps {
    /// `configured` are the ranges of the flags: their families are those of the cluster.
    pub fn new(objects: Arc<dyn Objects>, configured: Vec<IpNet>) -> Self {
        Self { objects, configured }
    }

    /// Families of the cluster, the default first.
    pub fn families(&self) -> Vec<Family> {
        self.configured.iter().map(|net| if net.addr().is_ipv4() { Family::V4 } else { Family::V6 }).collect()
    }

    /// Takes this address.
    ///
    /// # Errors
    /// See `AllocateError`.
    pub async fn allocate(&self, ip: &str, namespace: &str, service: &str, dry_run: bool) -> Result<(), AllocateError> {
        let address: IpAddr =
            ip.parse().map_err(|_| AllocateError::Store(format!("failed to parse service IP {ip:?}")))?;
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        let ranges = self.ranges(family);
        if !ranges.iter().any(|net| usable(net, address)) {
            let ranges = ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(AllocateError::NotInRange { ip: ip.to_owned(), ranges });
        }
        if dry_run {
            // Whether somebody has it is not looked at.
            return Ok(());
        }
        if let Some(existing) = self.objects.cached(ADDRESSES, "", ip) {
            // the service's own record from an attempt that died half way
            return if belongs(&existing, namespace, service) { Ok(()) } else { Err(AllocateError::Allocated) };
        }
        self.create(address, namespace, service).await
    }

    /// Takes any free address of the family.
    ///
    /// # Errors
    /// See `AllocateError`.
    pub async fn allocate_next(
        &self,
        family: Family,
        namespace: &str,
        service: &str,
        dry_run: bool,
    ) -> Result<String, AllocateError> {
        let ranges = self.ranges(family);
        if ranges.is_empty() {
            return Err(AllocateError::NoRange(family.name()));
        }
        if dry_run && let Some(net) = ranges.first() {
            // No address is looked for; the range's own stands for it.
            return Ok(net.network().to_string());
        }
        for net in ranges {
            for address in candidates(&net) {
                let name = address.to_string();
                if self.objects.cached(ADDRESSES, "", &name).is_some() {
                    continue;
                }
                match self.create(address, namespace, service).await {
                    Ok(()) => return Ok(name),
                    Err(AllocateError::Allocated) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Err(AllocateError::Full)
    }

    /// Gives an address back if it is this service's.
    pub async fn release(&self, ip: &str, namespace: &str, service: &str) {
        let Ok(existing) = self.objects.get(ADDRESSES, "", ip).await else { return };
        if !belongs(&existing, namespace, service) {
            return;
        }
        match self.objects.delete(ADDRESSES, "", ip).await {
            Err(error) if !error.is_not_found() => {
                tracing::warn!(name = ip, error = error.message(), "a cluster IP could not be released");
            }
            _ => {}
        }
    }

    async fn create(&self, address: IpAddr, namespace: &str, service: &str) -> Result<(), AllocateError> {
        match self.objects.create(ADDRESSES, "", ip_address(address, namespace, service)).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_already_exists() => Err(AllocateError::Allocated),
            Err(error) => Err(AllocateError::Store(error.message().to_owned())),
        }
    }

    /// Ranges of the family: of all ready ServiceCIDRs, or those of the flags while there is none yet.
    fn ranges(&self, family: Family) -> Vec<IpNet> {
        let of_family = |net: &IpNet| net.addr().is_ipv4() == (family == Family::V4);
        let objects = self.objects.list(CIDRS, "");
        let mut out: Vec<IpNet> = objects
            .iter()
            .filter(|o| is_ready(o))
            .flat_map(|o| o.path(&["spec", "cidrs"]).items())
            .filter_map(|c| c.as_str()?.parse().ok())
            .filter(of_family)
            .collect();
        if out.is_empty() {
            out.extend(self.configured.iter().copied().filter(of_family));
        }
        out
    }
}

fn is_ready(cidr: &Value) -> bool {
    if !cidr.path(&["metadata", "deletionTimestamp"]).is_null() {
        return false;
    }
    let conditions = cidr.path(&["status", "conditions"]).items();
    let ready = conditions.iter().find(|c| c.get("type").str_or_empty() == "Ready");
    ready.is_some_and(|c| c.get("status").str_or_empty() == "True")
}

fn belongs(address: &Value, namespace: &str, service: &str) -> bool {
    let parent = address.path(&["spec", "parentRef"]);
    let is = |key: &str, value: &str| parent.get(key).str_or_empty() == value;
    is("resource", "services") && is("namespace", namespace) && is("name", service)
}

/// The record of a used address.
pub fn ip_address(address: IpAddr, namespace: &str, service: &str) -> Value {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let labels: Value =
        [("ipaddress.kubernetes.io/ip-family", family), ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io")]
            .into();
    let meta: Value = [("name", Value::from(address.to_string())), ("labels", labels)].into();
    let parent: Value = [("resource", "services"), ("namespace", namespace), ("name", service)].into();
    let spec: Value = [("parentRef", parent)].into();
    [
        ("apiVersion", Value::from("networking.k8s.io/v1")),
        ("kind", "IPAddress".into()),
        ("metadata", meta),
        ("spec", spec),
    ]
    .into()
}

/// First and last address number that may be used: neither the network's nor (IPv4) the broadcast address.
fn bounds(net: &IpNet) -> (u128, u128) {
    match net {
        IpNet::V4(net) => {
            let (first, last) = (u128::from(net.network().to_bits()), u128::from(net.broadcast().to_bits()));
            if last - first < 2 { (first, last) } else { (first + 1, last - 1) }
        }
        IpNet::V6(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            if last == first { (first, last) } else { (first + 1, last) }
        }
    }
}

fn usable(net: &IpNet, address: IpAddr) -> bool {
    let (first, last) = bounds(net);
    let number = match address {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    net.contains(&address) && (first..=last).contains(&number)
}

/// Every address of the range once: the upper part from a random place on, then the lower part likewise.
fn candidates(net: &IpNet) -> impl Iterator<Item = IpAddr> + use<> {
    let (first, last) = bounds(net);
    let v4 = net.addr().is_ipv4();
    let size = last - first + 1;
    let reserved = reserved(size);
    let mut random = rand::rng();
    let mut around = |from: u128, to: u128| {
        let count = (to + 1).saturating_sub(from).min(MAX_TRIES);
        let start = if count == 0 { from } else { random.random_range(from..=to) };
        let span = to + 1 - from.min(to + 1);
        (0..count).map(move |step| from + (start - from + step) % span.max(1))
    };
    let upper = around(first + reserved, last);
    let lower = around(first, first + reserved.saturating_sub(1));
    let lower = lower.take(usize::try_from(reserved).unwrap_or(0));
    upper.chain(lower).map(move |number| {
        if v4 {
            IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(0)))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(number))
        }
    })
}

/// How many of the first addresses are taken last: a sixteenth, between 16 and 256, none in tiny ranges.
fn reserved(size: u128) -> u128 {
    if size <= 16 { 0 } else { (size / 16).clamp(16, 256) }
}

/// A store error as this module's.
impl From<ApiError> for AllocateError {
    fn from(error: ApiError) -> Self {
        Self::Store(error.message().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_address_is_tried_once_the_first_ones_last() {
        let net: IpNet = "10.0.0.0/24".parse().unwrap();
        let all: Vec<IpAddr> = candidates(&net).collect();
        assert_eq!(all.len(), 254);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 254);
        assert!(!all.contains(&"10.0.0.0".parse().unwrap()));
        assert!(!all.contains(&"10.0.0.255".parse().unwrap()));
        let first_reserved = all.iter().position(|ip| *ip < "10.0.0.17".parse::<IpAddr>().unwrap()).unwrap();
        assert_eq!(first_reserved, 254 - 16);
        let tiny: IpNet = "10.0.0.0/30".parse().unwrap();
        assert_eq!(candidates(&tiny).count(), 2);
    }

    #[test]
    fn network_and_broadcast_are_not_usable() {
        let net: IpNet = "10.0.0.0/24".parse().unwrap();
        assert!(usable(&net, "10.0.0.1".parse().unwrap()));
        assert!(!usable(&net, "10.0.0.0".parse().unwrap()));
        assert!(!usable(&net, "10.0.0.255".parse().unwrap()));
        assert!(!usable(&net, "10.0.1.1".parse().unwrap()));
    }
}
