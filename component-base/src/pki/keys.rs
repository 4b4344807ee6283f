//! Private keys: generation, PEM, signatures.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;

use super::{PkiError, der};
use crate::tls;

/// What a key can sign with, in order of preference, with the algorithm's identifier in certificates.
const SCHEMES: [(SignatureScheme, &[u64], bool); 5] = [
    (SignatureScheme::RSA_PKCS1_SHA256, &[1, 2, 840, 113_549, 1, 1, 11], true),
    (SignatureScheme::ECDSA_NISTP256_SHA256, &[1, 2, 840, 10045, 4, 3, 2], false),
    (SignatureScheme::ECDSA_NISTP384_SHA384, &[1, 2, 840, 10045, 4, 3, 3], false),
    (SignatureScheme::ECDSA_NISTP521_SHA512, &[1, 2, 840, 10045, 4, 3, 4], false),
    (SignatureScheme::ED25519, &[1, 3, 101, 112], false),
];

/// A private key and its PEM form.
#[derive(Clone, Debug)]
pub struct PrivateKey {
    pem: Vec<u8>,
    signing: Arc<dyn SigningKey>,
}

impl PrivateKey {
    /// A new ECDSA key on P-256.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate_ecdsa() -> Result<Self, PkiError> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| PkiError::Generate)?;
        Self::from_pem(&pem("PRIVATE KEY", pkcs8.as_ref()))
    }

    /// A new RSA key of 2048 bits.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate_rsa() -> Result<Self, PkiError> {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).map_err(|_| PkiError::Generate)?;
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| PkiError::Generate)?;
        Self::from_pem(&pem("PRIVATE KEY", pkcs8.as_ref()))
    }

    /// From PEM: PKCS#1, PKCS#8 or SEC1.
    ///
    /// # Errors
    /// When there is no key or it is of an unknown kind.
    pub fn from_pem(text: &[u8]) -> Result<Self, PkiError> {
        let key: PrivateKeyDer<'static> = tls::parse_key(text).map_err(PkiError::Parse)?;
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(PkiError::Key)?;
        Ok(Self { pem: text.to_vec(), signing })
    }

    /// The key as PEM.
    #[must_use]
    pub fn to_pem(&self) -> &[u8] {
        &self.pem
    }

    /// The public key as DER (SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// When the key does not tell.
    pub fn public_key_der(&self) -> Result<Vec<u8>, PkiError> {
        self.signing.public_key().map(|key| key.as_ref().to_vec()).ok_or(PkiError::PublicKey)
    }

    /// AlgorithmIdentifier and signature of a message.
    pub(super) fn sign(&self, message: &[u8]) -> Result<(Vec<u8>, Vec<u8>), PkiError> {
        for (scheme, oid, with_null) in SCHEMES {
            if let Some(signer) = self.signing.choose_scheme(&[scheme]) {
                let mut items = vec![der::oid(oid)];
                if with_null {
                    items.push(der::tagged(0x05, &[]));
                }
                return Ok((der::sequence(&items), signer.sign(message).map_err(PkiError::Key)?));
            }
        }
        Err(PkiError::PublicKey)
    }
}

/// PEM of DER bytes.
#[must_use]
pub fn pem(label: &str, bytes: &[u8]) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out.into_bytes()
}

impl PrivateKey {
    /// Signs a JSON web token's text: the algorithm's name and the signature in JWS form.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign_jws(&self, message: &[u8]) -> Result<(&'static str, Vec<u8>), PkiError> {
        let schemes = [
            (SignatureScheme::RSA_PKCS1_SHA256, "RS256", None),
            (SignatureScheme::ECDSA_NISTP256_SHA256, "ES256", Some(32)),
            (SignatureScheme::ECDSA_NISTP384_SHA384, "ES384", Some(48)),
        ];
        for (scheme, name, width) in schemes {
            if let Some(signer) = self.signing.choose_scheme(&[scheme]) {
                let signature = signer.sign(message).map_err(PkiError::Key)?;
                let signature = match width {
                    None => signature,
                    Some(width) => fixed_width(&signature, width).ok_or(PkiError::PublicKey)?,
                };
                return Ok((name, signature));
            }
        }
        Err(PkiError::PublicKey)
    }
}

/// The two numbers of an ECDSA signature, out of their DER, padded to a fixed width.
fn fixed_width(signature: &[u8], width: usize) -> Option<Vec<u8>> {
    let body = signature.strip_prefix(&[0x30])?;
    let skip = if body.first()? & 0x80 == 0 { 1 } else { 2 };
    let mut rest = body.get(skip..)?;
    let mut out = Vec::with_capacity(2 * width);
    for _ in 0..2 {
        let [0x02, length, after @ ..] = rest else { return None };
        let (number, tail) = after.split_at_checked(usize::from(*length))?;
        rest = tail;
        let number: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        out.resize(out.len() + width.checked_sub(number.len())?, 0);
        out.extend(number);
    }
    Some(out)
}
