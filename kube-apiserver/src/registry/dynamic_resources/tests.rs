//! What the rules of this group say about small objects.

use apimachinery::field::Errors;
use apimachinery::value::{Cursor, Value};

use super::claims::claim_spec;

fn errors(check: fn(Cursor<'_>, &mut Errors), object: &str) -> Vec<String> {
    let object: Value = serde_json::from_str(&format!("{{\"spec\": {object}}}")).expect("JSON");
    let mut errs = Errors::new();
    check(Cursor::root(&object).field("spec"), &mut errs);
    errs.iter().map(ToString::to_string).collect()
}

#[test]
fn requests_of_claims() {
    let exactly = r#""exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}"#;
    let cases = [
        (format!(r#"{{"devices": {{"requests": [{{"name": "r", {exactly}}}]}}}}"#), vec![]),
        (
            format!(r#"{{"devices": {{"requests": [{{"name": "r", {exactly}}}, {{"name": "r", {exactly}}}]}}}}"#),
            vec![r#"spec.devices.requests[1]: Duplicate value: "r""#],
        ),
        (
            r#"{"devices": {"requests": [{"name": "r"}]}}"#.to_owned(),
            vec!["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"],
        ),
        (
            format!(
                r#"{{"devices": {{"requests": [{{"name": "r", {exactly}}}],
                "constraints": [{{"requests": ["x"], "matchAttribute": "a"}}]}}}}"#
            ),
            vec![
                "spec.devices.constraints[0].requests[0]: Invalid value: \"x\": must be the name of a request in the claim \
                 or the name of a request and a subrequest separated by '/'",
                "spec.devices.constraints[0].matchAttribute: Invalid value: \"a\": a fully qualified name must be a domain \
                 and a name separated by a slash",
            ],
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(errors(claim_spec, &spec), expected, "{spec}");
    }
}

#[test]
fn uids() {
    for (text, wrong) in [
        ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", None),
        ("6ba7b8109dad11d180b400c04fd430c8", None),
        ("x", Some("invalid UUID length: 1")),
        ("6ba7b810-9dad-11d1-80b4-00c04fd430cz", Some("invalid UUID format")),
    ] {
        assert_eq!(super::go_uuid(text).err().as_deref(), wrong, "{text}");
    }
}
