//! Service account tokens: verifying what clients show, issuing what `serviceaccounts/token` asks for.
//!
//! Verification looks the account and the bound object up in the store, so deleting either ends the
//! token at once.
//! upstream: pkg/serviceaccount and pkg/registry/core/serviceaccount/storage/token.go

pub mod claims;
pub mod discovery;
pub mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;

use apimachinery::quote::{quote, quote_slice};
use apimachinery::value::Value;
use async_trait::async_trait;
use jiff::Timestamp;

use crate::metrics::COUNTERS;

use super::user::{CREDENTIAL_ID, UserInfo, service_account_groups, service_account_username, split_service_account};

use claims::{Bound, Claims, ObjectRef, Parsed};
use keys::{PublicKey, SigningKey};

/// Issuer of tokens that live in Secrets.
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// A deleted object still vouches for its tokens for this long, in seconds.
const LEEWAY_SECONDS: i64 = 60;
/// Label of a Secret whose token was declared invalid.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const NODE_UID: &str = "authentication.kubernetes.io/node-uid";

/// Reads objects for the checks; the store implements it.
#[async_trait]
pub trait Lookup: Send + Sync + std::fmt::Debug {
    /// The core-group object of that plural resource, `None` if absent or unreadable.
    async fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value>;
}

/// What a token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The account as a user.
    pub user: UserInfo,
    /// Audiences of the token that were asked for.
    pub audiences: Vec<String>,
}

/// Verifies tokens of one or more issuers.
#[derive(Debug)]
pub struct TokenVerifier {
    keys: Vec<PublicKey>,
    issuers: Vec<String>,
    api_audiences: Vec<String>,
    lookup_legacy: bool,
    store: Arc<dyn Lookup>,
}

impl TokenVerifier {
    /// `issuers` are those of bound tokens; legacy tokens are always known.
    pub fn new(
        keys: Vec<PublicKey>,
        issuers: Vec<String>,
        api_audiences: Vec<String>,
        lookup_legacy: bool,
        store: Arc<dyn Lookup>,
    ) -> Self {
        Self { keys, issuers, api_audiences, lookup_legacy, store }
    }

    /// Public keys, as they are published.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Audiences of this API server.
    pub fn api_audiences(&self) -> &[String] {
        &self.api_audiences
    }

    /// `Ok(None)` if the token is not one of ours at all; an error if it is but does not hold.
    pub async fn verify(
        &self,
        token: &str,
        audiences: Option<&[String]>,
        now: Timestamp,
    ) -> Result<Option<Verified>, String> {
        let Some(parsed) = claims::parse(token) else { return Ok(None) };
        let legacy = parsed.claims.iss == LEGACY_ISSUER;
        if !legacy && !self.issuers.contains(&parsed.claims.iss) {
            return Ok(None);
        }
        self.check_signature(&parsed)?;
        let own = parsed.claims.aud.as_ref().map(claims::Audience::list).unwrap_or_default();
        let own = if own.is_empty() { self.api_audiences.clone() } else { own };
        let wanted = audiences.unwrap_or(&self.api_audiences);
        let common: Vec<String> = own.iter().filter(|a| wanted.contains(a)).cloned().collect();
        if common.is_empty() && !self.api_audiences.is_empty() {
            return Err(format!(
                "token audiences {} is invalid for the target audiences {}",
                quote_slice(&own),
                quote_slice(wanted)
            ));
        }
        let user = if legacy {
            let user = self.legacy_user(token, &parsed.claims).await?;
            COUNTERS.legacy_tokens.inc();
            user
        } else {
            self.bound_user(&parsed.claims, now).await?
        };
        Ok(Some(Verified { user, audiences: common }))
    }

    fn check_signature(&self, parsed: &Parsed<'_>) -> Result<(), String> {
        let mut candidates =
            self.keys.iter().filter(|key| parsed.key_id.is_empty() || key.id == parsed.key_id).peekable();
        if candidates.peek().is_none() {
            return Err("invalid signature, no keys found".to_owned());
        }
        let good = candidates
            .any(|key| key.algorithm.name() == parsed.algorithm && key.verifies(parsed.message, &parsed.signature));
        if good { Ok(()) } else { Err("go-jose/go-jose: error in cryptographic primitive".to_owned()) }
    }

    async fn bound_user(&self, claims: &Claims, now: Timestamp) -> Result<UserInfo, String> {
        check_times(claims, now)?;
        let bound = claims.bound.clone().unwrap_or_default();
        self.check_account(&bound, now).await?;
        let mut extra = BTreeMap::new();
        let mut add = |key: &str, value: &str| {
            if !value.is_empty() {
                extra.insert(key.to_owned(), vec![value.to_owned()]);
            }
        };
        if !claims.jti.is_empty() {
            add(CREDENTIAL_ID, &format!("JTI={}", claims.jti));
        }
        if let Some(secret) = &bound.secret {
            self.check_bound("secrets", "secret", &bound.namespace, secret, now).await?;
        }
        if let Some(pod) = &bound.pod {
            self.check_bound("pods", "pod", &bound.namespace, pod, now).await?;
            add(POD_NAME, &pod.name);
            add(POD_UID, &pod.uid);
        }
        if let Some(node) = &bound.node {
            if bound.pod.is_none() {
                self.check_bound("nodes", "node", "", node, now).await?;
            }
            add(NODE_NAME, &node.name);
            add(NODE_UID, &node.uid);
        }
        match bound.warnafter {
            None | Some(0) => {}
            Some(warn_after) if now.as_second() > warn_after => COUNTERS.stale_tokens.inc(),
            Some(_) => COUNTERS.valid_tokens.inc(),
        }
        Ok(UserInfo {
            name: service_account_username(&bound.namespace, &bound.serviceaccount.name),
            uid: bound.serviceaccount.uid.clone(),
            groups: service_account_groups(&bound.namespace),
            extra,
        })
    }

    async fn check_account(&self, bound: &Bound, now: Timestamp) -> Result<(), String> {
        let account = &bound.serviceaccount;
        let found = self
            .store
            .get("serviceaccounts", &bound.namespace, &account.name)
            .await
            .ok_or_else(|| format!("serviceaccounts {} not found", quote(&account.name)))?;
        let uid = text(&found, &["metadata", "uid"]);
        if uid != account.uid {
            return Err(format!("service account UID ({uid}) does not match claim ({})", account.uid));
        }
        if gone(&found, now) {
            return Err(format!("service account {}/{} has been deleted", bound.namespace, account.name));
        }
        Ok(())
    }

    async fn check_bound(
        &self,
        resource: &str,
        noun: &str,
        namespace: &str,
        wanted: &ObjectRef,
        now: Timestamp,
    ) -> Result<(), String> {
        const INVALIDATED: &str = "service account token has been invalidated";
        let found = self.store.get(resource, namespace, &wanted.name).await.ok_or(INVALIDATED)?;
        let uid = text(&found, &["metadata", "uid"]);
        if uid != wanted.uid {
            return Err(format!("{noun} UID ({uid}) does not match service account {noun} ref claim ({})", wanted.uid));
        }
        if gone(&found, now) { Err(INVALIDATED.to_owned()) } else { Ok(()) }
    }

    async fn legacy_user(&self, token: &str, claims: &Claims) -> Result<UserInfo, String> {
        for (claim, name) in [
            (&claims.sub, "sub"),
            (&claims.legacy_namespace, "namespace"),
            (&claims.legacy_secret, "secretName"),
            (&claims.legacy_name, "serviceAccountName"),
            (&claims.legacy_uid, "serviceAccountUID"),
        ] {
            if claim.is_empty() {
                return Err(format!("{name} claim is missing"));
            }
        }
        let (namespace, name) = (claims.legacy_namespace.as_str(), claims.legacy_name.as_str());
        if split_service_account(&claims.sub) != Some((namespace, name)) {
            return Err("sub claim is invalid".to_owned());
        }
        if self.lookup_legacy {
            self.check_legacy(token, claims).await?;
        }
        Ok(UserInfo {
            name: service_account_username(namespace, name),
            uid: claims.legacy_uid.clone(),
            groups: service_account_groups(namespace),
            extra: BTreeMap::new(),
        })
    }

    async fn check_legacy(&self, token: &str, claims: &Claims) -> Result<(), String> {
        let (namespace, name) = (claims.legacy_namespace.as_str(), claims.legacy_name.as_str());
        let secret = self
            .store
            .get("secrets", namespace, &claims.legacy_secret)
            .await
            .filter(|s| text(s, &["metadata", "deletionTimestamp"]).is_empty())
            .ok_or("Token has been invalidated")?;
        let stored =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text(&secret, &["data", "token"]))
                .unwrap_or_default();
        if aws_lc_rs::constant_time::verify_slices_are_equal(&stored, token.as_bytes()).is_err() {
            return Err("Token does not match server's copy".to_owned());
        }
        let account = self
            .store
            .get("serviceaccounts", namespace, name)
            .await
            .ok_or_else(|| format!("serviceaccounts {} not found", quote(name)))?;
        if !text(&account, &["metadata", "deletionTimestamp"]).is_empty() {
            return Err(format!("ServiceAccount {namespace}/{name} has been deleted"));
        }
        let uid = text(&account, &["metadata", "uid"]);
        if uid != claims.legacy_uid {
            return Err(format!("ServiceAccount UID ({uid}) does not match claim ({})", claims.legacy_uid));
        }
        if !text(&secret, &["metadata", "labels", INVALID_SINCE]).is_empty() {
            COUNTERS.invalid_legacy_auto_tokens.inc();
            return Err(format!(
                "the token in secret {namespace}/{} for service account {namespace}/{name} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label from the secret to temporarily allow use of this token",
                claims.legacy_secret
            ));
        }
        let made_by_control_plane =
            account.get("secrets").items().iter().any(|secret| text(secret, &["name"]) == claims.legacy_secret);
        if made_by_control_plane {
            COUNTERS.legacy_auto_tokens.inc();
        } else {
            COUNTERS.legacy_manual_tokens.inc();
        }
        Ok(())
    }
}

/// Issues bound tokens.
#[derive(Debug)]
pub struct TokenIssuer {
    /// Key that signs.
    pub key: SigningKey,
    /// The `iss` claim.
    pub issuer: String,
}

impl TokenIssuer {
    /// A signed token, or `None` if signing failed.
    pub fn issue(&self, bound: Bound, audiences: Vec<String>, seconds: i64, now: Timestamp) -> Option<String> {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a float exactly")]
        let time = |t: i64| Some(t as f64);
        let second = now.as_second();
        let claims = Claims {
            aud: Some(claims::Audience::Many(audiences)),
            exp: time(second + seconds),
            iat: time(second),
            nbf: time(second),
            iss: self.issuer.clone(),
            jti: uuid::Uuid::new_v4().to_string(),
            sub: service_account_username(&bound.namespace, &bound.serviceaccount.name),
            bound: Some(bound),
            ..Claims::default()
        };
        claims::sign(&claims, &self.key)
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a float exactly")]
fn check_times(claims: &Claims, now: Timestamp) -> Result<(), String> {
    let now = now.as_second() as f64;
    let leeway = LEEWAY_SECONDS as f64;
    if claims.nbf.is_some_and(|t| now + leeway < t) {
        return Err("service account token is not valid yet".to_owned());
    }
    if claims.exp.is_some_and(|t| now - leeway > t) {
        return Err("service account token has expired".to_owned());
    }
    if claims.iat.is_some_and(|t| now + leeway < t) {
        return Err("service account token is issued in the future".to_owned());
    }
    Ok(())
}

/// True if the object was deleted longer ago than the leeway.
fn gone(object: &Value, now: Timestamp) -> bool {
    text(object, &["metadata", "deletionTimestamp"])
        .parse::<Timestamp>()
        .is_ok_and(|t| t.as_second() < now.as_second() - LEEWAY_SECONDS)
}

fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    object.path(path).as_str().unwrap_or_default()
}
