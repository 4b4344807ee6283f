//! Requests and certificates go through other people's parsers and verifiers.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::tls::{CertPool, CertUser, parse_certs};

fn authority() -> (Authority, Vec<u8>) {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("test-ca");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    set_days(&mut params, Timestamp::now(), 10);
    let cert = params.self_signed(&key).expect("certificate");
    let pem = cert.pem().into_bytes();
    (Authority::from_pem(&pem, key.serialize_pem().as_bytes()).expect("authority"), pem)
}

fn day() -> (Timestamp, Timestamp) {
    let now = Timestamp::now();
    (now - SignedDuration::from_mins(5), now + SignedDuration::from_hours(24))
}

#[test]
fn a_signed_request_names_its_user_with_all_groups() {
    let (authority, ca) = authority();
    for key in [PrivateKey::generate_ecdsa().expect("key"), PrivateKey::generate_rsa().expect("key")] {
        let subject = Subject { common_name: "jane".into(), organizations: vec!["a".into(), "b".into(), "c".into()] };
        let address: IpAddr = "10.0.0.1".parse().expect("address");
        let pem = CertRequest::make(&key, &subject, &["host".to_owned()], &[address]).expect("request");
        let request = CertRequest::from_pem(&pem).expect("parses");
        assert_eq!((request.common_name.as_str(), request.organizations.len()), ("jane", 3));
        assert_eq!(
            (request.dns_names.as_slice(), request.addresses.as_slice()),
            (&["host".to_owned()][..], &[address][..])
        );
        let usages = ["client auth".to_owned(), "digital signature".to_owned()];
        let (from, until) = day();
        let cert = authority.sign(&request, &usages, from, until).expect("signs");
        let chain = parse_certs(&cert).expect("certificate");
        CertPool::from_pem(&ca).expect("pool").verify(&chain, Timestamp::now()).expect("verifies");
        let user = CertUser::from_der(&chain[0]).expect("user");
        assert_eq!(user.name, "jane");
        assert_eq!(user.groups, ["a", "b", "c"]);
        assert_eq!(user.dns_names, ["host"]);
    }
}

#[test]
fn wrong_purposes_and_authorities_are_refused() {
    let (authority, ca) = authority();
    let (other, _) = self::authority();
    let key = PrivateKey::generate_ecdsa().expect("key");
    let subject = Subject { common_name: "x".into(), organizations: Vec::new() };
    let (from, until) = day();
    let pool = CertPool::from_pem(&ca).expect("pool");
    let check = |authority: &Authority, usage: &str, until| {
        let cert = authority.issue(&key, &subject, &[usage.to_owned()], from, until).expect("issues");
        pool.verify(&parse_certs(&cert).expect("certificate"), Timestamp::now()).map_err(|error| error.to_string())
    };
    assert_eq!(check(&authority, "client auth", until), Ok(()));
    assert_eq!(
        check(&authority, "server auth", until),
        Err("x509: certificate specifies an incompatible key usage".into())
    );
    assert_eq!(check(&other, "client auth", until), Err("x509: certificate signed by unknown authority".into()));
    let past = Timestamp::now() - SignedDuration::from_mins(1);
    assert_eq!(check(&authority, "client auth", past), Err("x509: certificate has expired or is not yet valid".into()));
    assert!(authority.issue(&key, &subject, &["nope".to_owned()], from, until).is_err());
}

#[test]
fn a_request_with_a_wrong_signature_is_refused() {
    let key = PrivateKey::generate_ecdsa().expect("key");
    let pem_text = CertRequest::make(&key, &Subject { common_name: "x".into(), organizations: Vec::new() }, &[], &[])
        .expect("request");
    let text = String::from_utf8(pem_text).expect("text");
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let mut bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).expect("base64");
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    assert!(CertRequest::from_pem(&pem("CERTIFICATE REQUEST", &bytes)).is_err());
    assert!(CertRequest::from_pem(b"nothing").is_err());
}
