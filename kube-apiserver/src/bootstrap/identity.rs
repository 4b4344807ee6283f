//! The lease that says this API server is alive, and the date since which legacy tokens are tracked.
//!
//! upstream: pkg/controlplane/apiserver/server.go, pkg/controlplane/controller/{apiserverleasegc,legacytokentracking}

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::created;
use crate::loopback::{Loopback, Options};
use crate::objects::Kind;

const LEASES: Kind = Kind::new("coordination.k8s.io", "leases");
const CONFIG_MAPS: Kind = Kind::new("", "configmaps");
const NAMESPACE: &str = "kube-system";
const DURATION_SECONDS: i64 = 3600;
const IDENTITY_LABEL: &str = "apiserver.kubernetes.io/identity";
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";

/// Makes or renews the lease, and removes leases of servers that are long gone.
///
/// # Errors
/// What storage says.
pub async fn renew(api: &Loopback) -> Result<(), ApiError> {
    let host = host_name();
    let name = format!("apiserver-{}", base32(&Sha256::digest(length_prefixed(&[&host, "kube-apiserver"]))[..16]));
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    match api.cached(LEASES, NAMESPACE, &name) {
        Some(mut lease) => {
            lease.set_path(&["spec", "renewTime"], now.as_str().into());
            api.update(LEASES, NAMESPACE, &name, "", &lease, Options::default()).await?;
        }
        None => created(api.create(LEASES, NAMESPACE, &lease(&name, &host, &now), Options::default()).await)?,
    }
    collect(api).await
}

async fn collect(api: &Loopback) -> Result<(), ApiError> {
    let now = Timestamp::now().as_second();
    for lease in api.list(LEASES, NAMESPACE) {
        if lease.path(&["metadata", "labels", IDENTITY_LABEL]).str_or_empty() != "kube-apiserver" {
            continue;
        }
        let renewed = lease.path(&["spec", "renewTime"]).str_or_empty().parse::<Timestamp>();
        let seconds = lease.path(&["spec", "leaseDurationSeconds"]).as_i64().unwrap_or(DURATION_SECONDS);
        if renewed.is_ok_and(|t| t.as_second() + seconds < now) {
            let name = lease.path(&["metadata", "name"]).str_or_empty();
            match api.delete(LEASES, NAMESPACE, name).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

fn lease(name: &str, host: &str, now: &str) -> Value {
    let labels: Value = [(IDENTITY_LABEL, "kube-apiserver"), ("kubernetes.io/hostname", host)].into();
    let meta: Value = [("name", Value::from(name)), ("namespace", NAMESPACE.into()), ("labels", labels)].into();
    let spec: Value = [
        ("holderIdentity", Value::from(format!("{name}_{}", uuid::Uuid::new_v4()))),
        ("leaseDurationSeconds", DURATION_SECONDS.into()),
        ("renewTime", now.into()),
    ]
    .into();
    [
        ("apiVersion", Value::from("coordination.k8s.io/v1")),
        ("kind", "Lease".into()),
        ("metadata", meta),
        ("spec", spec),
    ]
    .into()
}

/// Notes the day on which tracking began.
///
/// # Errors
/// What storage says.
pub async fn track_legacy_tokens(api: &Loopback) -> Result<(), ApiError> {
    if api.cached(CONFIG_MAPS, NAMESPACE, TRACKING).is_some() {
        return Ok(());
    }
    let today = Timestamp::now().strftime("%Y-%m-%d").to_string();
    let meta: Value = [("name", TRACKING), ("namespace", NAMESPACE)].into();
    let data: Value = [("since", today)].into();
    let map: Value =
        [("apiVersion", Value::from("v1")), ("kind", "ConfigMap".into()), ("metadata", meta), ("data", data)].into();
    created(api.create(CONFIG_MAPS, NAMESPACE, &map, Options::default()).await)
}

/// Each text behind its length in two bytes: what the lease's name is a hash of.
fn length_prefixed(texts: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(text.as_bytes());
    }
    out
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_lowercase()
}

/// RFC 4648 base 32, lower case, without padding.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut out = String::new();
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in bytes {
        buffer = buffer << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(ALPHABET[(buffer >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        out.push(char::from(ALPHABET[(buffer << (5 - bits) & 31) as usize]));
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn encodes_base32() {
        assert_eq!(super::base32(b"foobar"), "mzxw6ytboi");
    }
}
