//! The bytes of requests and certificates: are they what they claim to be?
//! upstream: pkg/apis/certificates/helpers.go: ParseCSR; Go's crypto/x509 for the words of errors

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

const NO_REQUEST: &str = "PEM block type must be CERTIFICATE REQUEST";

/// What is wrong with a request, given in base64 as JSON has it.
pub(super) fn error(encoded: &str) -> Option<String> {
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    let Some(block) = first_block(&bytes).filter(|block| block.label == "CERTIFICATE REQUEST") else {
        return Some(NO_REQUEST.to_owned());
    };
    if let Some(error) = outer_error(&block.contents) {
        return Some(error);
    }
    match X509CertificationRequest::from_der(&block.contents) {
        Err(_) => Some("x509: malformed certificate request".to_owned()),
        Ok((rest, _)) if !rest.is_empty() => Some("asn1: syntax error: trailing data".to_owned()),
        Ok((_, request)) => request.verify_signature().err().map(|_| "x509: invalid signature".to_owned()),
    }
}

fn first_block(bytes: &[u8]) -> Option<Pem> {
    x509_parser::pem::Pem::iter_from_buffer(bytes).find_map(Result::ok)
}

/// What Go's decoder says of data that does not even start as a sequence that fits.
fn outer_error(der: &[u8]) -> Option<String> {
    const PARAMETERS: &str = "{optional:false explicit:false application:false private:false defaultValue:<nil> \
                              tag:<nil> stringType:0 timeType:0 set:false omitEmpty:false} certificateRequest";
    const TRUNCATED: &str = "asn1: syntax error: data truncated";
    let [tag, length, ..] = *der else {
        return Some(if der.is_empty() { "asn1: syntax error: sequence truncated" } else { TRUNCATED }.to_owned());
    };
    let (header, size) = match length {
        0..=0x7f => (2, usize::from(length)),
        0x80 => return Some("asn1: syntax error: indefinite length found (not DER)".to_owned()),
        _ => {
            let count = usize::from(length & 0x7f);
            let Some(digits) = der.get(2..2 + count).filter(|_| count <= 4) else { return Some(TRUNCATED.to_owned()) };
            (2 + count, digits.iter().fold(0, |size, byte| size << 8 | usize::from(*byte)))
        }
    };
    let (class, number, compound) = (tag >> 6, tag & 0x1f, tag & 0x20 != 0);
    if (class, number, compound) != (0, 16, true) {
        return Some(format!(
            "asn1: structure error: tags don't match (16 vs {{class:{class} tag:{number} length:{size} \
             isCompound:{compound}}}) {PARAMETERS} @{header}"
        ));
    }
    (der.len() < header + size).then(|| TRUNCATED.to_owned())
}

/// True if the text, in base64, holds certificates in PEM.
pub fn is_certificate_bundle(encoded: &str) -> bool {
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    Pem::iter_from_buffer(&bytes).filter_map(Result::ok).any(|b| b.label == "CERTIFICATE" && b.parse_x509().is_ok())
}

/// What is wrong with an issued certificate, given in base64 as JSON has it; nothing is wrong with none.
/// upstream: validateCertificate
pub(super) fn certificate_error(encoded: &str) -> Option<String> {
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    if bytes.is_empty() {
        return None;
    }
    let mut blocks = 0;
    for block in Pem::iter_from_buffer(&bytes).filter_map(Result::ok) {
        if block.label != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        blocks += 1;
        if block.contents.is_empty() {
            return Some("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        if block.parse_x509().is_err() {
            return Some("x509: malformed certificate".to_owned());
        }
    }
    (blocks == 0).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_request() {
        let pem = |contents: &[u8]| {
            let body = STANDARD.encode(contents);
            STANDARD.encode(format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n"))
        };
        assert_eq!(error("").as_deref(), Some(NO_REQUEST));
        assert_eq!(error(&STANDARD.encode("not pem")).as_deref(), Some(NO_REQUEST));
        let tags = "asn1: structure error: tags don't match (16 vs {class:0 tag:0 length:0 isCompound:false}) \
                    {optional:false explicit:false application:false private:false defaultValue:<nil> tag:<nil> \
                    stringType:0 timeType:0 set:false omitEmpty:false} certificateRequest @2";
        assert_eq!(error(&pem(&[0, 0, 0, 0])).as_deref(), Some(tags));
        assert_eq!(error(&pem(&[0x30, 5, 0])).as_deref(), Some("asn1: syntax error: data truncated"));
    }
}
