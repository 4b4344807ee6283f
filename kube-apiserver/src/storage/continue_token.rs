//! Continue tokens of paginated lists: where the next page starts, and at which revision.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/storage/continue.go

use apimachinery::codec::json;
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use thiserror::Error;

const VERSION: &str = "meta.k8s.io/v1";
/// Go does not mind bits that are left over at the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// Why a token is refused.
#[derive(Debug, Error)]
pub enum TokenError {
    /// Not base64, not JSON, or a path that leaves the collection.
    #[error("continue key is not valid: {0}")]
    Invalid(String),
    /// The token's version is not ours.
    #[error("continue key is not valid: server does not recognize this encoded version {0}")]
    Version(String),
    /// No revision in the token.
    #[error("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")]
    NoRevision,
    /// No start key in the token.
    #[error("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")]
    NoStart,
}

#[derive(Deserialize, Serialize)]
struct Wire {
    #[serde(default)]
    v: String,
    #[serde(default)]
    rv: i64,
    #[serde(default)]
    start: String,
}

/// A decoded token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContinueToken {
    /// Revision of the list; negative means: at whatever revision is current.
    pub revision: i64,
    /// First key of the next page, relative to the listed collection.
    pub start: String,
}

impl ContinueToken {
    /// The text a client gets.
    pub fn encode(&self) -> String {
        let wire = Wire { v: VERSION.to_owned(), rv: self.revision, start: self.start.clone() };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wire).expect("strings and a number always serialize"))
    }

    /// Reads a token that a client sent back.
    ///
    /// # Errors
    /// If it was not made by `encode` or was tampered with.
    pub fn decode(text: &str) -> Result<Self, TokenError> {
        let bytes = LENIENT.decode(text).map_err(|e| TokenError::Invalid(base64_message(&e, text)))?;
        json::decode_untyped(&bytes).map_err(|e| TokenError::Invalid(e.to_string()))?;
        let wire: Wire = serde_json::from_slice(&bytes).map_err(|e| TokenError::Invalid(e.to_string()))?;
        if wire.v != VERSION {
            return Err(TokenError::Version(wire.v));
        }
        if wire.rv == 0 {
            return Err(TokenError::NoRevision);
        }
        if wire.start.is_empty() {
            return Err(TokenError::NoStart);
        }
        let start = wire.start.strip_prefix('/').unwrap_or(&wire.start);
        let stays_inside = !start.is_empty() && start.split('/').all(|s| !matches!(s, "" | "." | ".."));
        if !stays_inside {
            return Err(TokenError::Invalid(wire.start));
        }
        Ok(Self { revision: wire.rv, start: start.to_owned() })
    }
}

/// Go's wording of a base64 error.
fn base64_message(e: &base64::DecodeError, text: &str) -> String {
    let at = match e {
        base64::DecodeError::InvalidByte(at, _) => *at,
        // a group of one character, which stands for nothing
        _ => text.len().saturating_sub(1),
    };
    format!("illegal base64 data at input byte {at}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_what_it_did_not_make() {
        let token = ContinueToken { revision: 12, start: "ns/pod\0".into() };
        assert_eq!(ContinueToken::decode(&token.encode()).unwrap(), token);
        assert_eq!(
            String::from_utf8(URL_SAFE_NO_PAD.decode(token.encode()).unwrap()).unwrap(),
            "{\"v\":\"meta.k8s.io/v1\",\"rv\":12,\"start\":\"ns/pod\\u0000\"}"
        );
        for (text, want) in [
            ("e30", "continue key is not valid: server does not recognize this encoded version "),
            ("!!", "continue key is not valid: illegal base64 data at input byte 0"),
        ] {
            assert_eq!(ContinueToken::decode(text).unwrap_err().to_string(), want);
        }
        let evil = ContinueToken { revision: 1, start: "../secrets/".into() };
        assert!(ContinueToken::decode(&evil.encode()).is_err());
    }
}
