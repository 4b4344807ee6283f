//! Credentials for registries out of a pod's pull secrets.
//!
//! upstream: pkg/credentialprovider/keyring.go, config.go

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;

use crate::runtime::types::AuthConfig;

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
}

/// Credentials by registry, the most specific first.
pub struct Keyring(Vec<(String, AuthConfig)>);

impl Keyring {
    /// Reads the secrets; what is malformed gives nothing.
    pub fn new(secrets: &[Arc<Secret>]) -> Self {
        let mut found: Vec<(String, AuthConfig)> = Vec::new();
        for data in secrets.iter().filter_map(|secret| secret.data.as_ref()) {
            let auths = match (data.get(".dockerconfigjson"), data.get(".dockercfg")) {
                (Some(json), _) => serde_json::from_slice::<DockerConfig>(&json.0).map(|config| config.auths),
                (None, Some(json)) => serde_json::from_slice(&json.0),
                (None, None) => continue,
            };
            for (registry, entry) in auths.unwrap_or_default() {
                found.push((normalized(&registry), auth(entry)));
            }
        }
        found.sort_by_key(|(registry, _)| std::cmp::Reverse(registry.len()));
        Self(found)
    }

    /// The credentials to try for an image, in order.
    pub fn lookup(&self, image: &str) -> Vec<AuthConfig> {
        let image = qualified(image);
        self.0.iter().filter(|(registry, _)| matches(registry, &image)).map(|(_, auth)| auth.clone()).collect()
    }
}

fn auth(entry: Entry) -> AuthConfig {
    let decoded = apimachinery::codec::base64::decode(entry.auth.as_bytes()).unwrap_or_default();
    let decoded = String::from_utf8(decoded).unwrap_or_default();
    let (user, password) = decoded.split_once(':').unwrap_or_default();
    let or = |own: String, other: &str| if own.is_empty() { other.to_owned() } else { own };
    AuthConfig { username: or(entry.username, user), password: or(entry.password, password), ..AuthConfig::default() }
}

fn normalized(registry: &str) -> String {
    let bare = registry.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    if bare == "docker.io" { "index.docker.io".to_owned() } else { bare.to_owned() }
}

/// The image with its registry's host.
fn qualified(image: &str) -> String {
    let first = image.split('/').next().unwrap_or_default();
    let has_host = image.contains('/') && (first.contains('.') || first.contains(':') || first == "localhost");
    match (has_host, first) {
        (true, "docker.io") => image.replacen("docker.io", "index.docker.io", 1),
        (true, _) => image.to_owned(),
        (false, _) => format!("index.docker.io/{image}"),
    }
}

/// A registry with a path covers what is below it; `*.` stands for one label of the host.
fn matches(registry: &str, image: &str) -> bool {
    let (host, path) = registry.split_once('/').map_or((registry, ""), |(host, path)| (host, path));
    let (image_host, image_path) = image.split_once('/').unwrap_or((image, ""));
    let host_fits = match host.strip_prefix("*.") {
        Some(rest) => image_host.split_once('.').is_some_and(|(_, image_rest)| image_rest == rest),
        None => host == image_host,
    };
    host_fits && image_path.starts_with(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_credentials_by_registry() {
        let secret: Secret = serde_json::from_value(serde_json::json!({
            "data": { ".dockerconfigjson": apimachinery::codec::base64::encode(
                br#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"},"reg.lab/team":{"username":"a","password":"b"},"*.lab":{"username":"w"}}}"#) }
        }))
        .expect("valid");
        let keyring = Keyring::new(&[Arc::new(secret)]);
        let users = |image: &str| -> Vec<String> {
            keyring.lookup(image).into_iter().map(|auth| format!("{}:{}", auth.username, auth.password)).collect()
        };
        assert_eq!(users("busybox:1"), ["u:p"]);
        assert_eq!(users("reg.lab/team/app"), ["a:b", "w:"]);
        assert_eq!(users("reg.lab/other"), ["w:"]);
        assert!(users("quay.io/x").is_empty());
    }
}
