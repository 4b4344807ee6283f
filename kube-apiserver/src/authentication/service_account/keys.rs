//! Keys that sign and verify service account tokens, and their public JWK form.
//!
//! upstream: pkg/serviceaccount/{jwt,openidmetadata}.go

use std::path::Path;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use component_base::error::{PathError, read_file};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use sha2::{Digest, Sha256};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as ParsedKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Why a key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] PathError),
    /// No private key in the file.
    #[error("error reading private key file {0}: data does not contain a valid RSA or ECDSA private key")]
    NoPrivateKey(String),
    /// No PEM block of a known kind in the file.
    #[error("error reading public key file {0}: data does not contain any valid RSA or ECDSA public keys")]
    NoKey(String),
    /// A block is there but its content is no such key.
    #[error("key in {0} is malformed or of an unsupported type")]
    Malformed(String),
}

/// JWS algorithms that tokens may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// ECDSA on P-521.
    Es512,
}

impl Algorithm {
    /// Name in a JWS header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
        }
    }

    fn verifier(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
        }
    }

    fn curve(self) -> Option<&'static str> {
        match self {
            Self::Rs256 => None,
            Self::Es256 => Some("P-256"),
            Self::Es384 => Some("P-384"),
            Self::Es512 => Some("P-521"),
        }
    }
}

/// A public key that may verify tokens.
#[derive(Clone, Debug)]
pub struct PublicKey {
    /// Unpadded base64url of SHA-256 of the SubjectPublicKeyInfo.
    pub id: String,
    /// The algorithm that the key type implies.
    pub algorithm: Algorithm,
    /// PKCS#1 key or uncompressed curve point.
    material: Vec<u8>,
}

impl PublicKey {
    fn from_spki(spki: &[u8]) -> Option<Self> {
        let (_, parsed) = SubjectPublicKeyInfo::from_der(spki).ok()?;
        let algorithm = match parsed.parsed().ok()? {
            ParsedKey::RSA(_) => Algorithm::Rs256,
            ParsedKey::EC(point) => match point.key_size() {
                256 => Algorithm::Es256,
                384 => Algorithm::Es384,
                // 521 bits, which the parser counts in whole bytes
                _ => Algorithm::Es512,
            },
            _ => return None,
        };
        Some(Self {
            id: URL_SAFE_NO_PAD.encode(Sha256::digest(spki)),
            algorithm,
            material: parsed.subject_public_key.data.to_vec(),
        })
    }

    /// True if the signature over the message is this key's.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm.verifier(), &self.material).verify(message, signature).is_ok()
    }

    /// The key as a JWK, members in alphabetical order.
    pub fn jwk(&self) -> serde_json::Value {
        let mut jwk = serde_json::Map::new();
        let mut put = |k: &str, v: String| jwk.insert(k.to_owned(), v.into());
        put("use", "sig".to_owned());
        put("kid", self.id.clone());
        put("alg", self.algorithm.name().to_owned());
        match self.algorithm.curve() {
            None => {
                let (modulus, exponent) = rsa_numbers(&self.material);
                put("kty", "RSA".to_owned());
                put("n", URL_SAFE_NO_PAD.encode(modulus));
                put("e", URL_SAFE_NO_PAD.encode(exponent));
            }
            Some(curve) => {
                let point = &self.material[1..];
                let (x, y) = point.split_at(point.len() / 2);
                put("kty", "EC".to_owned());
                put("crv", curve.to_owned());
                put("x", URL_SAFE_NO_PAD.encode(x));
                put("y", URL_SAFE_NO_PAD.encode(y));
            }
        }
        jwk.into()
    }
}

/// The private key that signs new tokens.
#[derive(Debug)]
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

#[derive(Debug)]
enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ecdsa(EcdsaKeyPair),
}

impl SigningKey {
    /// Reads the first private key of a PEM file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let pem = read(path)?;
        let shown = path.display().to_string();
        let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| KeyError::NoPrivateKey(shown.clone()))?;
        Self::from_der(&der).ok_or(KeyError::Malformed(shown))
    }

    fn from_der(der: &PrivateKeyDer<'_>) -> Option<Self> {
        let rsa = match der {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok(),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
            _ => None,
        };
        if let Some(pair) = rsa {
            let spki = pair.public_key().as_der().ok()?.as_ref().to_vec();
            let public = PublicKey::from_spki(&spki)?;
            return Some(Self { pair: Pair::Rsa(Box::new(pair)), public });
        }
        [
            &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        ]
        .into_iter()
        .find_map(|algorithm| {
            let pair = match der {
                PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der()),
                PrivateKeyDer::Sec1(der) => EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der()),
                _ => return None,
            }
            .ok()?;
            let spki = pair.public_key().as_der().ok()?.as_ref().to_vec();
            let public = PublicKey::from_spki(&spki)?;
            Some(Self { pair: Pair::Ecdsa(pair), public })
        })
    }

    /// The verifying half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message; fails only if the system has no randomness.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut out).ok()?;
                Some(out)
            }
            Pair::Ecdsa(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
        }
    }
}

/// All public keys of a PEM file: public keys, certificates, and the public halves of private keys.
pub fn read_public_keys(path: &Path) -> Result<Vec<PublicKey>, KeyError> {
    let pem = read(path)?;
    let mut keys: Vec<PublicKey> = SubjectPublicKeyInfoDer::pem_slice_iter(&pem)
        .flatten()
        .filter_map(|spki| PublicKey::from_spki(&spki))
        .collect();
    keys.extend(
        PrivateKeyDer::pem_slice_iter(&pem)
            .flatten()
            .filter_map(|der| SigningKey::from_der(&der))
            .map(|key| key.public),
    );
    keys.extend(CertificateDer::pem_slice_iter(&pem).flatten().filter_map(|der| {
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
        PublicKey::from_spki(certificate.public_key().raw)
    }));
    if keys.is_empty() {
        return Err(KeyError::NoKey(path.display().to_string()));
    }
    Ok(keys)
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    Ok(read_file(path)?)
}

/// Modulus and exponent of a PKCS#1 public key, without leading zeros.
fn rsa_numbers(pkcs1: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let strip = |b: &[u8]| b.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    match x509_parser::public_key::RSAPublicKey::from_der(pkcs1) {
        Ok((_, key)) => (strip(key.modulus), strip(key.exponent)),
        Err(_) => (Vec::new(), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_verifies_with_each_curve() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_RSA_SHA256] {
            let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let der = PrivateKeyDer::from_pem_slice(pair.serialize_pem().as_bytes()).unwrap();
            let key = SigningKey::from_der(&der).unwrap();
            let signature = key.sign(b"text").unwrap();
            assert!(key.public().verifies(b"text", &signature));
            assert!(!key.public().verifies(b"other", &signature));
            assert_eq!(key.public().jwk()["kid"], key.public().id);
        }
    }
}
