//! A trusted front proxy names the user in headers.
//!
//! Headers count only when the client certificate is signed by the request-header CA and its common
//! name is allowed; they are removed afterwards, so nothing behind can mistake them.
//! upstream: staging/src/k8s.io/apiserver/pkg/authentication/request/headerrequest/requestheader.go

use std::collections::BTreeMap;

use apimachinery::quote::quote;
use http::HeaderMap;
use percent_encoding::percent_decode_str;
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
    /// Headers with the user name, the first present one counts.
    pub username_headers: Vec<String>,
    /// Headers with the UID.
    pub uid_headers: Vec<String>,
    /// Headers with groups, all of them count.
    pub group_headers: Vec<String>,
    /// Prefixes of headers with extra attributes.
    pub extra_prefixes: Vec<String>,
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
        let first = |names: &[String]| {
            names
                .iter()
                .find_map(|h| headers.get(h.as_str()).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty()))
                .unwrap_or_default()
                .to_owned()
        };
        let user_name = first(&self.username_headers);
        if user_name.is_empty() {
            return Ok(None);
        }
        let user = UserInfo {
            name: user_name,
            uid: first(&self.uid_headers),
            groups: self.groups(headers),
            extra: extra(headers, &self.extra_prefixes),
        };
        self.strip(headers);
        tracing::trace!(user = quote(&user.name), "front proxy request");
        Ok(Some(user))
    }

    fn groups(&self, headers: &HeaderMap) -> Vec<String> {
        self.group_headers
            .iter()
            .flat_map(|h| headers.get_all(h.as_str()))
            .filter_map(|v| v.to_str().ok())
            .filter(|v| !v.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn strip(&self, headers: &mut HeaderMap) {
        for name in self.username_headers.iter().chain(&self.uid_headers).chain(&self.group_headers) {
            headers.remove(name.as_str());
        }
        let prefixed: Vec<_> = headers
            .keys()
            .filter(|k| self.extra_prefixes.iter().any(|p| starts_with(k.as_str(), p)))
            .cloned()
            .collect();
        for name in prefixed {
            headers.remove(name);
        }
    }
}

/// Attributes of all headers with one of the prefixes; the rest of the name, percent-decoded, is the key.
pub fn extra(headers: &HeaderMap, prefixes: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let Some(prefix) = prefixes.iter().find(|p| starts_with(name.as_str(), p)) else { continue };
        let Ok(value) = value.to_str() else { continue };
        let key = percent_decode_str(&name.as_str()[prefix.len()..]).decode_utf8_lossy().to_lowercase();
        out.entry(key).or_default().push(value.to_owned());
    }
    out
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.as_bytes()[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
}
