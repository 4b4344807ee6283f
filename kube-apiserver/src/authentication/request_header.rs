//! A trusted front proxy names the user in headers.
//!
//! Headers count only when the client certificate is signed by the request-header CA and its common
//! name is allowed; they are removed afterwards, so nothing behind can mistake them.
//! upstream: staging/src/k8s.io/apiserver/pkg/authentication/request/headerrequest/requestheader.go

use apimachinery::quote::quote;
use component_base::serving::HeaderNames;
use http::HeaderMap;
use rustls_pki_types::CertificateDer;

use super::user::UserInfo;
use super::x509::{CaBundle, common_name};

/// Configuration of the front proxy, from the `--requestheader-*` flags.
#[derive(Debug)]
pub struct RequestHeader {
    /// CA of the proxy's client certificate.
    pub ca: CaBundle,
    /// Allowed common names; empty allows any.
    pub allowed_names: Vec<String>,
    /// The headers.
    pub names: HeaderNames,
}

impl RequestHeader {
    /// `Ok(None)` if there is no certificate or no user header; an error if the certificate is not trusted.
    pub fn authenticate(
        &self,
        chain: &[CertificateDer<'_>],
        headers: &mut HeaderMap,
    ) -> Result<Option<UserInfo>, String> {
        let Some(leaf) = chain.first() else { return Ok(None) };
        self.ca.verify(chain)?;
        let name = common_name(leaf);
        if !self.allowed_names.is_empty() && !self.allowed_names.contains(&name) {
            return Err(format!("x509: subject with cn={name} is not in the allowed list"));
        }
        let Some(user) = self.names.user(headers) else { return Ok(None) };
        self.names.strip(headers);
        tracing::trace!(user = quote(&user.name), "front proxy request");
        Ok(Some(UserInfo { name: user.name, uid: user.uid, groups: user.groups, extra: user.extra }))
    }
}
