//! ConfigMap `kube-system/extension-apiserver-authentication`: what other API servers trust.
//!
//! upstream: pkg/controlplane/controller/clusterauthenticationtrust

use std::path::PathBuf;

use apimachinery::status::ApiError;
use apimachinery::value::Value;

use super::created;
use crate::loopback::{Loopback, Options};
use crate::objects::Kind;

const CONFIG_MAPS: Kind = Kind::new("", "configmaps");
const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

/// What is published, from the authentication flags.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// CA bundle of client certificates.
    pub client_ca: Option<PathBuf>,
    /// CA bundle of front proxies.
    pub request_header_ca: Option<PathBuf>,
    /// List settings of the front proxy by key of the map.
    pub lists: Vec<(&'static str, Vec<String>)>,
}

/// Writes the map if it is missing or differs.
///
/// # Errors
/// What storage says.
pub async fn publish(api: &Loopback, published: &Published) -> Result<(), ApiError> {
    let wanted = data(published);
    if wanted.entries().next().is_none() {
        return Ok(());
    }
    let Some(mut existing) = api.cached(CONFIG_MAPS, NAMESPACE, NAME) else {
        let meta: Value = [("name", NAME), ("namespace", NAMESPACE)].into();
        let map: Value =
            [("apiVersion", Value::from("v1")), ("kind", "ConfigMap".into()), ("metadata", meta), ("data", wanted)]
                .into();
        return created(api.create(CONFIG_MAPS, NAMESPACE, &map, Options::default()).await);
    };
    if *existing.get("data") == wanted {
        return Ok(());
    }
    existing.set("data", wanted);
    api.update(CONFIG_MAPS, NAMESPACE, NAME, "", &existing, Options::default()).await.map(|_| ())
}

fn data(published: &Published) -> Value {
    let mut out = Value::map();
    for (key, path) in
        [("client-ca-file", &published.client_ca), ("requestheader-client-ca-file", &published.request_header_ca)]
    {
        if let Some(pem) = path.as_ref().and_then(|p| std::fs::read_to_string(p).ok()) {
            out.set(key, pem);
        }
    }
    if published.request_header_ca.is_some() {
        for (key, list) in &published.lists {
            // a list of strings always has a JSON form
            out.set(key, serde_json::to_string(list).unwrap_or_default());
        }
    }
    out
}
