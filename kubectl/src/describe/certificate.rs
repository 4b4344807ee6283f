//! Certificate signing requests.

use apimachinery::time::human_duration;
use apimachinery::value::Value;
use base64::Engine as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_X509_COUNTRY_NAME, OID_X509_LOCALITY_NAME, OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT,
    OID_X509_POSTAL_CODE, OID_X509_SERIALNUMBER, OID_X509_STATE_OR_PROVINCE_NAME, OID_X509_STREET_ADDRESS, Oid,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use super::document::Document;
use crate::printers::format_labels;
use crate::time::rfc1123z;

/// Parts of a subject that may come several times, as upstream titles them.
const PARTS: [(&str, Oid<'static>); 7] = [
    ("Organization", OID_X509_ORGANIZATION_NAME),
    ("Organizational Unit", OID_X509_ORGANIZATIONAL_UNIT),
    ("Country", OID_X509_COUNTRY_NAME),
    ("Locality", OID_X509_LOCALITY_NAME),
    ("Province", OID_X509_STATE_OR_PROVINCE_NAME),
    ("StreetAddress", OID_X509_STREET_ADDRESS),
    ("PostalCode", OID_X509_POSTAL_CODE),
];

pub(super) fn request(object: &Value, doc: &mut Document) -> Result<bool, String> {
    let (meta, spec) = (object.get("metadata"), object.get("spec"));
    let pem = base64::engine::general_purpose::STANDARD.decode(spec.get("request").str_or_empty()).unwrap_or_default();
    let der = certificate_request(&pem)?;
    let (_, parsed) =
        X509CertificationRequest::from_der(&der).map_err(|error| format!("Error parsing CSR: {error}"))?;
    doc.head(object, false);
    for (title, key) in [("Labels", "labels"), ("Annotations", "annotations")] {
        doc.field(0, title, &format_labels(meta.get(key).as_map()));
    }
    doc.field(0, "CreationTimestamp", &rfc1123z(meta.get("creationTimestamp").str_or_empty()));
    doc.field(0, "Requesting User", spec.get("username").str_or_empty());
    if !spec.get("signerName").is_zero() {
        doc.field(0, "Signer", spec.get("signerName").str_or_empty());
    }
    if let Some(seconds) = spec.get("expirationSeconds").as_i64() {
        doc.field(0, "Requested Duration", &human_duration(seconds));
    }
    doc.field(0, "Status", &status(object.get("status")));
    subject(&parsed.certification_request_info.subject, doc);
    for extension in parsed.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(alternates) = extension {
            self::alternates(&alternates.general_names, doc);
        }
    }
    Ok(true)
}

fn certificate_request(pem: &[u8]) -> Result<Vec<u8>, String> {
    match x509_parser::pem::parse_x509_pem(pem) {
        Ok((_, block)) if block.label == "CERTIFICATE REQUEST" => Ok(block.contents),
        _ => Err("Error parsing CSR: PEM block type must be CERTIFICATE REQUEST".to_owned()),
    }
}

fn status(status: &Value) -> String {
    let has = |kind: &str| status.get("conditions").items().iter().any(|c| c.get("type").str_or_empty() == kind);
    let decided = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    };
    let failed = if has("Failed") { ",Failed" } else { "" };
    let issued = if status.get("certificate").is_zero() { "" } else { ",Issued" };
    format!("{decided}{failed}{issued}")
}

fn subject(subject: &X509Name<'_>, doc: &mut Document) {
    let values = |oid: &Oid<'_>| -> Vec<String> {
        subject.iter_by_oid(oid).map(|attribute| attribute.as_str().unwrap_or_default().to_owned()).collect()
    };
    let common_name = subject.iter_common_name().last().and_then(|name| name.as_str().ok()).unwrap_or_default();
    doc.write(0, "Subject:\n");
    doc.field(0, "\tCommon Name", common_name);
    doc.field(0, "\tSerial Number", values(&OID_X509_SERIALNUMBER).last().map_or("", String::as_str));
    for (title, oid) in &PARTS {
        list(title, &values(oid), doc);
    }
}

fn list(title: &str, values: &[String], doc: &mut Document) {
    if !values.is_empty() {
        doc.write(0, &format!("\t{title}:\t{}\n", values.join("\n\t\t")));
    }
}

fn alternates(names: &[GeneralName<'_>], doc: &mut Document) {
    let address = |bytes: &[u8]| match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(v4), _) => Some(std::net::IpAddr::from(v4).to_string()),
        (_, Ok(v6)) => Some(std::net::IpAddr::from(v6).to_string()),
        _ => None,
    };
    let all = |title: &str| -> Vec<String> {
        let of = |name: &GeneralName<'_>| match (title, name) {
            ("DNS Names", GeneralName::DNSName(text))
            | ("Email Addresses", GeneralName::RFC822Name(text))
            | ("URIs", GeneralName::URI(text)) => Some((*text).to_owned()),
            ("IP Addresses", GeneralName::IPAddress(bytes)) => address(bytes),
            _ => None,
        };
        names.iter().filter_map(of).collect()
    };
    let lists = ["DNS Names", "Email Addresses", "URIs", "IP Addresses"].map(|title| (title, all(title)));
    if lists.iter().any(|(_, values)| !values.is_empty()) {
        doc.write(0, "Subject Alternative Names:\n");
    }
    for (title, values) in &lists {
        list(title, values, doc);
    }
}
