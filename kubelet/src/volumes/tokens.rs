//! Tokens of service accounts for pods: asked for once, kept in memory, renewed before they end.
//!
//! upstream: pkg/kubelet/token/token_manager.go

use std::collections::HashMap;

use component_base::clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::VolumeError;
use crate::pod::view::PodView;

/// A token is renewed at the latest after this time, however long it lives.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// Asks for tokens.
pub struct Tokens {
    client: Option<Client>,
    kept: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    token: String,
    renew_at: Timestamp,
    expires_at: Timestamp,
}

impl Tokens {
    /// Asks through `client`; without one there are no tokens.
    pub fn new(client: Option<Client>) -> Self {
        Self { client, kept: Mutex::default() }
    }

    /// A token for the pod's service account, bound to the pod.
    ///
    /// # Errors
    /// The API refuses or does not answer, and no token that still holds is at hand.
    pub async fn get(&self, pod: &Pod, source: &ServiceAccountTokenProjection) -> Result<String, VolumeError> {
        let seconds = source.expiration_seconds.unwrap_or(3600);
        let audience = source.audience.clone().unwrap_or_default();
        let key = format!("{}/{audience}/{seconds}", pod.uid());
        let now = clock::now();
        if let Some(kept) = self.kept.lock().get(&key).filter(|kept| now < kept.renew_at) {
            return Ok(kept.token.clone());
        }
        match self.request(pod, audience, seconds).await {
            Ok(kept) => {
                let token = kept.token.clone();
                self.kept.lock().insert(key, kept);
                Ok(token)
            }
            Err(error) => match self.kept.lock().get(&key).filter(|kept| now < kept.expires_at) {
                Some(kept) => {
                    tracing::warn!(namespace = pod.namespace(), name = pod.name(), %error, "token was not renewed");
                    Ok(kept.token.clone())
                }
                None => Err(error),
            },
        }
    }

    /// Forgets the tokens of a pod that is gone.
    pub fn forget_pod(&self, uid: &str) {
        let prefix = format!("{uid}/");
        self.kept.lock().retain(|key, _| !key.starts_with(&prefix));
    }

    async fn request(&self, pod: &Pod, audience: String, seconds: i64) -> Result<Kept, VolumeError> {
        let client = self.client.clone().ok_or_else(|| VolumeError::Token("no kubeClient defined".to_owned()))?;
        let account = pod.spec().service_account_name.clone().unwrap_or_else(|| "default".to_owned());
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: (!audience.is_empty()).then(|| vec![audience]),
                expiration_seconds: Some(seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(pod.name().to_owned()),
                    uid: Some(pod.uid().to_owned()),
                }),
            }),
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(client, pod.namespace());
        let asked_at = clock::now();
        let answer = accounts
            .create_token_request(&account, &PostParams::default(), &request)
            .await
            .map_err(|error| VolumeError::Token(error.to_string()))?;
        let status = answer.status.ok_or_else(|| VolumeError::Token("the answer has no status".to_owned()))?;
        let expires_at = status.expiration_timestamp.map_or(asked_at, |time| time.0);
        let lifetime = expires_at.duration_since(asked_at);
        let renew_after = (lifetime * 4 / 5).min(AGE_MAX);
        let renew_at = asked_at.checked_add(renew_after).unwrap_or(expires_at);
        Ok(Kept { token: status.token.unwrap_or_default(), renew_at, expires_at })
    }
}
