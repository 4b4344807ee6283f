//! One identity per controller: tokens of service accounts, asked for and refreshed.
//!
//! Upstream: client-go's and controller-manager's clientbuilder (dynamic service account tokens).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};

use super::exec::ExecError;
use super::{ClientConfig, ClientError, Transport};

const EXPIRATION_SECONDS: i64 = 3600;
/// A token is replaced when less than this part of its life is left.
const LEEWAY_PERCENT: i64 = 20;
const CREATE_RETRIES: u32 = 5;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The API server gave none.
    #[error("token request for service account {0} failed")]
    Request(String, #[source] Box<kube::Error>),
    /// The program that a kubeconfig names gave none.
    #[error("getting credentials")]
    Exec(#[source] ExecError),
    /// The token cannot be sent as a header.
    #[error("the token is no header value")]
    Header(#[from] http::header::InvalidHeaderValue),
}

/// Where a client's bearer token comes from.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// The Authorization header for the next request; none if the credentials are of another kind.
    async fn header(&self) -> Result<Option<HeaderValue>, TokenError>;
    /// The server refused the last token.
    async fn invalidate(&self);
}

struct Cached {
    header: HeaderValue,
    refresh_at: Timestamp,
}

/// Tokens of one service account by TokenRequest.
struct ServiceAccountTokens {
    client: kube::Client,
    namespace: String,
    name: String,
    cached: tokio::sync::Mutex<Option<Cached>>,
}

#[async_trait]
impl TokenSource for ServiceAccountTokens {
    async fn header(&self) -> Result<Option<HeaderValue>, TokenError> {
        let mut cached = self.cached.lock().await;
        let now = crate::clock::now();
        if let Some(token) = cached.as_ref().filter(|token| now < token.refresh_at) {
            return Ok(Some(token.header.clone()));
        }
        let fresh = self.request(now).await?;
        let header = fresh.header.clone();
        *cached = Some(fresh);
        Ok(Some(header))
    }

    async fn invalidate(&self) {
        *self.cached.lock().await = None;
    }
}

impl ServiceAccountTokens {
    async fn request(&self, now: Timestamp) -> Result<Cached, TokenError> {
        let failed = |error| TokenError::Request(format!("{}/{}", self.namespace, self.name), Box::new(error));
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let spec =
            TokenRequestSpec { audiences: None, expiration_seconds: Some(EXPIRATION_SECONDS), bound_object_ref: None };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let mut attempt = 0;
        let answer = loop {
            match api.create_token_request(&self.name, &PostParams::default(), &request).await {
                Ok(answer) => break answer,
                Err(error) if attempt < CREATE_RETRIES && is_not_found(&error) => {
                    self.create().await.map_err(failed)?
                }
                Err(error) => return Err(failed(error)),
            }
            attempt += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let status = answer.status.unwrap_or_default();
        let mut header = HeaderValue::from_str(&format!("Bearer {}", status.token.unwrap_or_default()))?;
        header.set_sensitive(true);
        let expires = status.expiration_timestamp.map_or(now, |time| time.0);
        let life = (expires.as_second() - now.as_second()).max(0);
        let usable = life * (100 - LEEWAY_PERCENT) / 100;
        let refresh_at = now + jiff::SignedDuration::from_secs(usable);
        Ok(Cached { header, refresh_at })
    }

    async fn create(&self) -> Result<(), kube::Error> {
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(self.name.clone());
        account.metadata.namespace = Some(self.namespace.clone());
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        match api.create(&PostParams::default(), &account).await {
            Err(error) if !is_conflict(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether the server said that the object does not exist.
#[must_use]
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the server said that the object exists already or was changed meanwhile.
#[must_use]
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Makes clients that act as service accounts, over one shared connection.
pub struct ServiceAccountClients {
    root: kube::Client,
    config: ClientConfig,
    transport: Transport,
    namespace: String,
}

impl ServiceAccountClients {
    /// `root` may create tokens in `namespace`; `config` says how to reach the server (its credentials are not used).
    ///
    /// # Errors
    /// When certificates cannot be loaded.
    pub fn new(root: kube::Client, config: &ClientConfig, namespace: &str) -> Result<Self, ClientError> {
        let config = config.clone().anonymous();
        let transport = config.transport()?;
        Ok(Self { root, config, transport, namespace: namespace.to_owned() })
    }

    /// A client that acts as the service account `name`.
    ///
    /// # Errors
    /// When the user agent is no header value.
    pub fn client(&self, name: &str) -> Result<kube::Client, ClientError> {
        let tokens = ServiceAccountTokens {
            client: self.root.clone(),
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            cached: tokio::sync::Mutex::new(None),
        };
        self.config.connect_with_tokens(self.transport.clone(), Arc::new(tokens))
    }
}
