//! Bootstrap tokens: `ID.SECRET`, kept as Secrets `bootstrap-token-ID` in kube-system.
//!
//! upstream: plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go

use std::sync::Arc;

use apimachinery::value::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::service_account::Lookup;
use super::user::UserInfo;

const GROUP: &str = "system:bootstrappers";
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";

/// Looks tokens up in the store.
#[derive(Debug)]
pub struct BootstrapTokens {
    /// Where the secrets are.
    pub store: Arc<dyn Lookup>,
}

impl BootstrapTokens {
    /// The user of a valid, unexpired token that may be used for authentication.
    pub async fn user(&self, token: &str, now: Timestamp) -> Option<UserInfo> {
        let (id, secret) = split(token)?;
        let object = self.store.get("secrets", "kube-system", &format!("bootstrap-token-{id}")).await?;
        let deleted = object.path(&["metadata", "deletionTimestamp"]).as_str().is_some();
        if deleted || object.get("type").as_str() != Some(SECRET_TYPE) {
            return None;
        }
        let stored = data(&object, "token-secret")?;
        aws_lc_rs::constant_time::verify_slices_are_equal(stored.as_bytes(), secret.as_bytes()).ok()?;
        if data(&object, "token-id")? != id {
            return None;
        }
        if let Some(expiration) = data(&object, "expiration")
            && expiration.parse::<Timestamp>().is_ok_and(|t| t < now)
        {
            return None;
        }
        if data(&object, "usage-bootstrap-authentication").as_deref() != Some("true") {
            return None;
        }
        let mut groups = vec![GROUP.to_owned()];
        let extra = data(&object, "auth-extra-groups").unwrap_or_default();
        groups.extend(extra.split(',').filter(|g| g.starts_with("system:bootstrappers:")).map(str::to_owned));
        groups.sort();
        groups.dedup();
        Some(UserInfo { name: format!("system:bootstrap:{id}"), groups, ..UserInfo::default() })
    }
}

/// `[a-z0-9]{6}.[a-z0-9]{16}`
fn split(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |s: &str| s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)).then_some((id, secret))
}

fn data(object: &Value, key: &str) -> Option<String> {
    let text = object.path(&["data", key]).as_str()?;
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}
