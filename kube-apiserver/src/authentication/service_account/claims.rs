//! What a service account token says: the claims of bound and of legacy tokens, and the JWS around them.
//!
//! upstream: pkg/serviceaccount/{claims,legacy,jwt}.go

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::keys::SigningKey;

/// Name and UID of an object a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectRef {
    /// Object name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Object UID.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// The claim `kubernetes.io` of bound tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bound {
    /// Namespace of the account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Node the token is bound to, or where the pod runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<ObjectRef>,
    /// Pod the token is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<ObjectRef>,
    /// Secret the token is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<ObjectRef>,
    /// The account itself.
    pub serviceaccount: ObjectRef,
    /// Time after which use of the token is worth a warning, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// One audience or a list of them: both forms occur in JWTs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// Several, as we write them.
    Many(Vec<String>),
    /// A bare string.
    One(String),
}

impl Audience {
    /// As a list.
    pub fn list(&self) -> Vec<String> {
        match self {
            Self::Many(many) => many.clone(),
            Self::One(one) => vec![one.clone()],
        }
    }
}

/// All claims we read or write. Times are Unix seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// Audiences; absent in legacy tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// Expiry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<f64>,
    /// Time of issue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<f64>,
    /// Issuer.
    pub iss: String,
    /// Unique ID of the token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// Bound tokens only.
    #[serde(rename = "kubernetes.io", skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    /// Legacy: namespace.
    #[serde(rename = "kubernetes.io/serviceaccount/namespace", skip_serializing_if = "String::is_empty")]
    pub legacy_namespace: String,
    /// Legacy: secret that holds the token.
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name", skip_serializing_if = "String::is_empty")]
    pub legacy_secret: String,
    /// Legacy: account name.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name", skip_serializing_if = "String::is_empty")]
    pub legacy_name: String,
    /// Legacy: account UID.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid", skip_serializing_if = "String::is_empty")]
    pub legacy_uid: String,
    /// Start of validity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<f64>,
    /// User name of the account.
    pub sub: String,
}

/// A token taken apart, its signature not yet checked.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// What the signature is over.
    pub message: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
    /// Algorithm of the header.
    pub algorithm: String,
    /// Key ID of the header, empty if it has none.
    pub key_id: String,
    /// The claims.
    pub claims: Claims,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Header {
    alg: String,
    kid: String,
}

/// Takes a compact JWS apart; `None` if it is none.
pub fn parse(token: &str) -> Option<Parsed<'_>> {
    let (message, signature) = token.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    if payload.contains('.') {
        return None;
    }
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    Some(Parsed {
        message: message.as_bytes(),
        signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        algorithm: header.alg,
        key_id: header.kid,
        claims: serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?,
    })
}

/// Writes and signs a token; `None` if signing or encoding fails.
pub fn sign(claims: &Claims, key: &SigningKey) -> Option<String> {
    let header = format!(r#"{{"alg":"{}","kid":"{}"}}"#, key.public().algorithm.name(), key.public().id);
    let payload = payload(claims)?;
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = key.sign(message.as_bytes())?;
    Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The claims as JSON with whole numbers for times, as upstream writes them.
fn payload(claims: &Claims) -> Option<Vec<u8>> {
    let mut json = serde_json::to_value(claims).ok()?;
    for time in ["exp", "iat", "nbf"] {
        if let Some(value) = json.get_mut(time)
            && let Some(seconds) = value.as_f64()
        {
            #[expect(clippy::cast_possible_truncation, reason = "our own times are whole seconds")]
            let whole = seconds as i64;
            *value = whole.into();
        }
    }
    serde_json::to_vec(&json).ok()
}
