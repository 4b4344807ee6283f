//! A trusted front proxy names the user in headers. They count only if the proxy's client certificate is signed by the
//! request-header CA and has an allowed common name.
//!
//! Upstream: apiserver/pkg/authentication/request/headerrequest.

use std::collections::BTreeMap;

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;

use super::delegated::User;
use crate::tls::{CertPool, CertUser};

/// The ConfigMap in kube-system by which kube-apiserver tells other servers whom to trust.
pub(super) const CONFIG_MAP: &str = "extension-apiserver-authentication";

/// The headers that a front proxy sets, from the `--requestheader-*` flags. Case does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderNames {
    /// Headers with the user's name; the first that has a value counts.
    pub username: Vec<String>,
    /// Headers with the user's UID; the first that has a value counts.
    pub uid: Vec<String>,
    /// Headers with groups; all of them count.
    pub groups: Vec<String>,
    /// Prefixes of headers with extra values.
    pub extra_prefixes: Vec<String>,
}

/// Whom to trust, and the headers it sets.
#[derive(Clone, Debug)]
pub struct FrontProxy {
    /// Authorities of the proxy's client certificate.
    pub ca: CertPool,
    /// Allowed common names; empty allows any.
    pub allowed_names: Vec<String>,
    /// The headers.
    pub headers: HeaderNames,
}

impl HeaderNames {
    /// Out of the lists that go by the names of the flags (without dashes): the command line and the ConfigMap both.
    pub fn from_lists(list: impl Fn(&str) -> Vec<String>) -> Self {
        Self {
            username: list("requestheader-username-headers"),
            uid: list("requestheader-uid-headers"),
            groups: list("requestheader-group-headers"),
            extra_prefixes: list("requestheader-extra-headers-prefix"),
        }
    }

    /// The user that the headers name, if any.
    #[must_use]
    pub fn user(&self, headers: &HeaderMap) -> Option<User> {
        let texts = |name: &String| {
            headers.get_all(name.as_str()).into_iter().filter_map(|value| value.to_str().ok().map(str::to_owned))
        };
        let first = |names: &[String]| {
            names.iter().filter_map(|name| texts(name).next()).find(|text| !text.is_empty()).unwrap_or_default()
        };
        Some(User {
            name: Some(first(&self.username)).filter(|name| !name.is_empty())?,
            uid: first(&self.uid),
            groups: self.groups.iter().flat_map(texts).filter(|group| !group.is_empty()).collect(),
            extra: extra_values(headers, &self.extra_prefixes),
        })
    }

    /// Removes the headers, so that nothing behind can mistake them.
    pub fn strip(&self, headers: &mut HeaderMap) {
        for name in self.username.iter().chain(&self.uid).chain(&self.groups) {
            headers.remove(name.as_str());
        }
        let is_extra = |name: &str| self.extra_prefixes.iter().any(|prefix| starts_with(name, prefix));
        let extra: Vec<_> = headers.keys().filter(|name| is_extra(name.as_str())).cloned().collect();
        for name in extra {
            headers.remove(name);
        }
    }
}

/// The values of all headers with one of the prefixes; the rest of the name, percent-decoded, is the key.
#[must_use]
pub fn extra_values(headers: &HeaderMap, prefixes: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let prefix = prefixes.iter().find(|prefix| starts_with(name.as_str(), prefix));
        let (Some(prefix), Ok(value)) = (prefix, value.to_str()) else { continue };
        let key = percent_decode_str(&name.as_str()[prefix.len()..]).decode_utf8_lossy().to_lowercase();
        extra.entry(key).or_default().push(value.to_owned());
    }
    extra
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len() && name.as_bytes()[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
}

impl FrontProxy {
    /// What kube-apiserver says in its ConfigMap; none if it trusts no front proxy.
    pub(super) fn from_config_map(data: &BTreeMap<String, String>) -> Option<Self> {
        let list = |key: &str| -> Vec<String> {
            data.get(key).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
        };
        let pem = data.get("requestheader-client-ca-file").filter(|pem| !pem.is_empty())?;
        Some(Self::from_lists(CertPool::from_pem(pem.as_bytes()).ok()?, list))
    }

    /// With the lists that go by the names of the flags.
    pub(super) fn from_lists(ca: CertPool, list: impl Fn(&str) -> Vec<String>) -> Self {
        Self { ca, allowed_names: list("requestheader-allowed-names"), headers: HeaderNames::from_lists(list) }
    }

    /// The user that a proxy with this certificate chain names; none if it is not trusted or names nobody.
    pub(super) fn authenticate(&self, chain: &[CertificateDer<'_>], headers: &HeaderMap) -> Option<User> {
        let leaf = CertUser::from_der(chain.first()?).ok()?;
        self.ca.verify(chain, crate::clock::now()).ok()?;
        if !self.allowed_names.is_empty() && !self.allowed_names.contains(&leaf.name) {
            tracing::debug!(name = leaf.name, "Refused a front proxy of this name");
            return None;
        }
        let mut user = self.headers.user(headers)?;
        // Upstream's union of authenticators adds it to everybody.
        if !user.groups.iter().any(|group| group == "system:authenticated" || group == "system:unauthenticated") {
            user.groups.push("system:authenticated".to_owned());
        }
        Some(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_name_the_user() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let headers = HeaderNames {
            username: names(&["X-Remote-User", "X-User"]),
            uid: names(&["x-remote-uid"]),
            groups: names(&["X-Remote-Group"]),
            extra_prefixes: names(&["X-Remote-Extra-"]),
        };
        let mut sent = HeaderMap::new();
        for (name, value) in [
            ("x-user", "jane"),
            ("x-remote-uid", "7"),
            ("x-remote-group", "a"),
            ("x-remote-group", "b"),
            ("x-remote-extra-example.com%2fscopes", "s"),
            ("x-other", "no"),
        ] {
            sent.append(name, value.parse().unwrap());
        }
        let user = headers.user(&sent).unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "7"));
        assert_eq!(user.groups, ["a", "b"]);
        assert_eq!(user.extra, BTreeMap::from([("example.com/scopes".to_owned(), vec!["s".to_owned()])]));
        sent.remove("x-user");
        assert_eq!(headers.user(&sent), None);
    }
}
