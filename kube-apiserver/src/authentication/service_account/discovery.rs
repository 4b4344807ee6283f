//! OpenID discovery of the token issuer: `/.well-known/openid-configuration` and `/openid/v1/jwks`.
//!
//! upstream: pkg/serviceaccount/openidmetadata.go

use std::collections::BTreeSet;

use serde_json::json;

use super::keys::PublicKey;

/// The two documents, made once at start.
#[derive(Clone, Debug)]
pub struct IssuerDocuments {
    /// Provider metadata.
    pub configuration: Vec<u8>,
    /// The key set.
    pub jwks: Vec<u8>,
}

impl IssuerDocuments {
    /// `None` if the issuer is no https URL: upstream then serves neither document.
    pub fn new(issuer: &str, jwks_uri: &str, keys: &[PublicKey]) -> Option<Self> {
        let url = url::Url::parse(issuer).ok()?;
        if url.scheme() != "https" || url.query().is_some() || url.fragment().is_some() || keys.is_empty() {
            return None;
        }
        let algorithms: BTreeSet<&str> = keys.iter().map(|k| k.algorithm.name()).collect();
        let configuration = json!({
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        });
        let keys: Vec<_> = keys.iter().map(PublicKey::jwk).collect();
        Some(Self {
            configuration: serde_json::to_vec(&configuration).ok()?,
            jwks: serde_json::to_vec(&json!({ "keys": keys })).ok()?,
        })
    }
}
