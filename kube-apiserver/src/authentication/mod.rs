//! Who asks: the authenticators, tried in upstream's order.
//!
//! The first that recognises a credential wins. A credential that is there but bad makes the request
//! fail (401) unless another authenticator accepts it; only a request without any is anonymous.
//! upstream: pkg/kubeapiserver/authenticator/config.go

pub mod bootstrap_token;
pub mod request_header;
pub mod reviews;
pub mod service_account;
pub mod token_file;
pub mod token_request;
pub mod user;
pub mod x509;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;

use request_header::RequestHeader;
use service_account::{TokenVerifier, Verified};
use user::UserInfo;
use x509::CaBundle;

/// Prefix of a websocket sub-protocol that carries a bearer token.
const WEBSOCKET_BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// All configured authenticators.
#[derive(Debug, Default)]
pub struct Authenticators {
    /// Front proxy.
    pub request_header: Option<RequestHeader>,
    /// CA of client certificates.
    pub client_ca: Option<CaBundle>,
    /// Static tokens.
    pub token_file: Option<token_file::TokenFile>,
    /// Service account tokens.
    pub service_accounts: Option<Arc<TokenVerifier>>,
    /// Bootstrap tokens in kube-system.
    pub bootstrap_tokens: Option<bootstrap_token::BootstrapTokens>,
    /// Requests without credentials are let through as `system:anonymous`.
    pub anonymous: bool,
}

impl Authenticators {
    /// The user, or `Err` with the reasons (for the log; the client learns nothing but 401).
    pub async fn authenticate(
        &self,
        chain: &[CertificateDer<'_>],
        headers: &mut HeaderMap,
    ) -> Result<UserInfo, String> {
        let mut errors = Vec::new();
        match self.try_all(chain, headers, &mut errors).await {
            Some(user) => {
                headers.remove(header::AUTHORIZATION);
                Ok(user.with_authenticated_group())
            }
            None if errors.is_empty() && self.anonymous => Ok(UserInfo::anonymous()),
            None => Err(errors.join(", ")),
        }
    }

    /// What a bearer token proves, as TokenReview asks.
    pub async fn review(&self, token: &str, audiences: Option<&[String]>) -> Result<Verified, String> {
        let mut errors = Vec::new();
        match self.try_token(token, audiences, &mut errors).await {
            Some(mut verified) => {
                verified.user = verified.user.with_authenticated_group();
                Ok(verified)
            }
            None if errors.is_empty() => Err("invalid bearer token".to_owned()),
            None => {
                errors.insert(0, "invalid bearer token".to_owned());
                Err(crate::authorization::rbac::aggregate(&errors))
            }
        }
    }

    /// Audiences of this API server.
    pub fn api_audiences(&self) -> &[String] {
        self.service_accounts.as_ref().map_or(&[], |v| v.api_audiences())
    }

    async fn try_all(
        &self,
        chain: &[CertificateDer<'_>],
        headers: &mut HeaderMap,
        errors: &mut Vec<String>,
    ) -> Option<UserInfo> {
        if let Some(front_proxy) = &self.request_header {
            match front_proxy.authenticate(chain, headers) {
                Ok(Some(user)) => return Some(user),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        if let Some(ca) = &self.client_ca
            && let Some(leaf) = chain.first()
        {
            match ca.verify(chain) {
                Ok(()) => {
                    if let Some(user) = x509::user(leaf) {
                        return Some(user);
                    }
                }
                Err(error) => errors.push(error),
            }
        }
        let token = bearer(headers).or_else(|| websocket_bearer(headers))?;
        let before = errors.len();
        let verified = self.try_token(&token, None, errors).await;
        if verified.is_none() && errors.len() == before {
            errors.push("invalid bearer token".to_owned());
        }
        verified.map(|v| v.user)
    }

    async fn try_token(&self, token: &str, audiences: Option<&[String]>, errors: &mut Vec<String>) -> Option<Verified> {
        let now = Timestamp::now();
        let agnostic = |user| Verified {
            user,
            audiences: audiences.map_or_else(
                || self.api_audiences().to_vec(),
                |wanted| self.api_audiences().iter().filter(|a| wanted.contains(a)).cloned().collect(),
            ),
        };
        if let Some(user) = self.token_file.as_ref().and_then(|file| file.user(token)) {
            return Some(agnostic(user));
        }
        if let Some(accounts) = &self.service_accounts {
            match accounts.verify(token, audiences, now).await {
                Ok(Some(verified)) => return Some(verified),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        let tokens = self.bootstrap_tokens.as_ref()?;
        tokens.user(token, now).await.map(agnostic)
    }
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let mut parts = value.split(' ');
    let scheme = parts.next()?;
    let token = parts.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

/// A token among the websocket sub-protocols, which is then removed from them.
/// upstream: staging/src/k8s.io/apiserver/pkg/authentication/request/websocket/protocol.go
fn websocket_bearer(headers: &mut HeaderMap) -> Option<String> {
    let upgrade = headers.get(header::UPGRADE)?.to_str().ok()?;
    if !upgrade.eq_ignore_ascii_case("websocket") {
        return None;
    }
    let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?.to_owned();
    let (carriers, rest): (Vec<&str>, Vec<&str>) =
        protocols.split(',').map(str::trim).partition(|p| p.starts_with(WEBSOCKET_BEARER));
    let token = URL_SAFE_NO_PAD.decode(&carriers.first()?[WEBSOCKET_BEARER.len()..]).ok()?;
    // a client must offer another protocol too: the answer would echo the token otherwise
    let kept = http::HeaderValue::from_str(&rest.join(",")).ok().filter(|_| !rest.is_empty())?;
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, kept);
    String::from_utf8(token).ok()
}
