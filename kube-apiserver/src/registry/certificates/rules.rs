//! What is wrong with a certificate signing request, and with changing one.
//! upstream: pkg/apis/certificates/validation/validation.go

use std::collections::BTreeSet;

use apimachinery::field::{BadValue, Errors};
use apimachinery::value::{Cursor, Value};

use super::request;
use crate::registry::core::pod_spec::signer_name;
use crate::registry::internal_json::list_difference;
use crate::registry::validation::{one_of, required, shown};

const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
/// Conditions that only ever become true.
const DECISIONS: [&str; 3] = ["Approved", "Denied", "Failed"];

/// Through which path of the API a change comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// The object itself.
    Object,
    /// `status`: may set the certificate.
    Status,
    /// `approval`: may approve and deny.
    Approval,
}

/// What an object has already may stay.
#[derive(Default)]
struct Leniency {
    both_decisions: bool,
    legacy_signer: bool,
    same_types: bool,
    empty_types: bool,
    certificate: bool,
    unknown_usages: bool,
    same_usages: bool,
}

impl Leniency {
    fn of(obj: Cursor<'_>, old: Cursor<'_>) -> Leniency {
        let conditions = old.fields(&["status", "conditions"]);
        let types: Vec<&str> = conditions.list().map(|c| c.field("type").str()).collect();
        let usages: Vec<&str> = old.fields(&["spec", "usages"]).list().map(|u| u.str()).collect();
        let repeats = |list: &[&str]| list.iter().collect::<BTreeSet<_>>().len() < list.len();
        let certificate = |c: Cursor<'_>| c.fields(&["status", "certificate"]).value().clone();
        Leniency {
            both_decisions: types.contains(&"Approved") && types.contains(&"Denied"),
            legacy_signer: old.fields(&["spec", "signerName"]).str() == LEGACY_SIGNER,
            same_types: repeats(&types),
            empty_types: types.contains(&""),
            certificate: certificate(obj) == certificate(old)
                || request::certificate_error(old.fields(&["status", "certificate"]).str()).is_some(),
            unknown_usages: usages.iter().any(|usage| !USAGES.contains(usage)),
            same_usages: repeats(&usages),
        }
    }
}

pub(super) fn create(obj: Cursor<'_>, errs: &mut Errors) {
    signing_request(obj, &Leniency::default(), errs);
}

/// upstream: validateCertificateSigningRequestUpdate
pub(super) fn update(obj: Cursor<'_>, old: Cursor<'_>, path: Path, errs: &mut Errors) {
    signing_request(obj, &Leniency::of(obj, old), errs);
    let (conditions, before) = (obj.fields(&["status", "conditions"]), old.fields(&["status", "conditions"]));
    let of_type = |list: Cursor<'_>, kind: &str| -> Vec<Value> {
        list.list().filter(|c| c.field("type").str() == kind).map(|c| c.value().clone()).collect()
    };
    for kind in DECISIONS {
        if of_type(conditions, kind).len() < of_type(before, kind).len() {
            errs.forbidden(conditions, format!("updates may not remove a condition of type {kind:?}"));
        }
    }
    if path != Path::Approval {
        for kind in ["Approved", "Denied"] {
            let (now, then) = (of_type(conditions, kind), of_type(before, kind));
            if now.len() > then.len() {
                errs.forbidden(conditions, format!("updates may not add a condition of type {kind:?}"));
            } else if now.len() == then.len() && now != then {
                let (then, now) = (Value::List(then), Value::List(now));
                let what =
                    list_difference(&then, &now, "io.k8s.api.certificates.v1.CertificateSigningRequestCondition");
                errs.forbidden(conditions, format!("updates may not modify a condition of type {kind:?}\n{what}"));
            }
        }
    }
    let (certificate, was) = (obj.fields(&["status", "certificate"]), old.fields(&["status", "certificate"]));
    if certificate.value() != was.value() {
        if path != Path::Status {
            errs.forbidden(certificate, "updates may not set certificate content");
        } else if !was.is_empty() {
            errs.forbidden(certificate, "updates may not modify existing certificate content");
        }
    }
}

/// upstream: validateCertificateSigningRequest
fn signing_request(obj: Cursor<'_>, leniency: &Leniency, errs: &mut Errors) {
    /// Ten minutes, in seconds.
    const SHORTEST: i64 = 600;
    let spec = obj.field("spec");
    let pem = spec.field("request");
    if let Some(error) = request::error(pem.str()) {
        errs.invalid(pem, shown(pem.value()), error);
    }
    let usages = spec.field("usages");
    required(usages, errs);
    if !leniency.unknown_usages {
        usages.list().for_each(|usage| one_of(usage, USAGES, errs));
    }
    if !leniency.same_usages {
        let mut seen = BTreeSet::new();
        for usage in usages.list().filter(|usage| !seen.insert(usage.str())) {
            errs.duplicate(usage, usage.str());
        }
    }
    let signer = spec.field("signerName");
    if !leniency.legacy_signer && signer.str() == LEGACY_SIGNER {
        errs.invalid(signer, signer.str(), "the legacy signerName is not allowed via this API version");
    } else {
        signer_name(signer, errs);
    }
    let expiration = spec.field("expirationSeconds");
    if expiration.exists() && expiration.i64() < SHORTEST {
        errs.invalid(expiration, expiration, "may not specify a duration less than 600 seconds (10 minutes)");
    }
    conditions(obj.fields(&["status", "conditions"]), leniency, errs);
    let certificate = obj.fields(&["status", "certificate"]);
    if !leniency.certificate
        && let Some(error) = request::certificate_error(certificate.str())
    {
        errs.invalid(certificate, BadValue::from("<certificate data>"), error);
    }
}

/// upstream: validateConditions
fn conditions(list: Cursor<'_>, leniency: &Leniency, errs: &mut Errors) {
    let mut seen = BTreeSet::new();
    for condition in list.list() {
        let (kind, status) = (condition.field("type"), condition.field("status"));
        if !leniency.empty_types {
            required(kind, errs);
        }
        let decided = DECISIONS.contains(&kind.str());
        if status.is_empty() {
            errs.required(status, "");
        } else {
            one_of(status, if decided { &["True"] } else { &["False", "True", "Unknown"] }, errs);
        }
        let other = match kind.str() {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !leniency.both_decisions && !other.is_empty() && seen.contains(other) {
            errs.invalid(list, kind.str(), "Approved and Denied conditions are mutually exclusive");
        }
        if !seen.insert(kind.str()) && !leniency.same_types {
            errs.duplicate(kind, kind.str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_requests() {
        let cases = [
            (r#"[{"type": "Approved", "status": "True"}]"#, vec![]),
            (
                r#"[{"type": "Approved", "status": "False"}]"#,
                vec![r#"c[0].status: Unsupported value: "False": supported values: "True""#],
            ),
            (
                r#"[{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}]"#,
                vec![r#"c: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive"#],
            ),
            (
                r#"[{"status": "x"}]"#,
                vec![
                    "c[0].type: Required value",
                    r#"c[0].status: Unsupported value: "x": supported values: "False", "True", "Unknown""#,
                ],
            ),
        ];
        for (list, expected) in cases {
            let object: Value = serde_json::from_str(&format!("{{\"c\": {list}}}")).expect("JSON");
            let mut errs = Errors::new();
            conditions(Cursor::root(&object).field("c"), &Leniency::default(), &mut errs);
            assert_eq!(errs.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{list}");
        }
    }
}
