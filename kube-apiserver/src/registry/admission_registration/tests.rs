//! What the rules of this group say about small objects.

use apimachinery::field::Errors;
use apimachinery::value::{Cursor, Value};

use super::{match_conditions, rules};

fn errors(check: fn(Cursor<'_>, &mut Errors), field: &str, object: &str) -> Vec<String> {
    let object: Value = serde_json::from_str(&format!("{{\"{field}\": {object}}}")).expect("JSON");
    let mut errs = Errors::new();
    check(Cursor::root(&object).field(field), &mut errs);
    errs.iter().map(ToString::to_string).collect()
}

#[test]
fn resources_of_rules() {
    let cases = [
        (r#"["pods", "pods/*"]"#, vec![]),
        (
            r#"["pods/*", "pods/status"]"#,
            vec![
                r#"r.resources[1]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status"#,
            ],
        ),
        (
            r#"["*/*", "a"]"#,
            vec![r#"r.resources: Invalid value: ["*/*","a"]: if '*/*' is present, must not specify other resources"#],
        ),
        (
            r#"["*", "a"]"#,
            vec![
                r#"r.resources: Invalid value: ["*","a"]: if '*' is present, must not specify other resources without subresources"#,
            ],
        ),
        // the last one decides
        (r#"["a", "*"]"#, vec![]),
        (r#"[""]"#, vec!["r.resources[0]: Required value"]),
    ];
    for (resources, expected) in cases {
        let rule = format!(
            r#"{{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": {resources}}}"#
        );
        assert_eq!(errors(rules::rule, "r", &rule), expected, "{resources}");
    }
}

#[test]
fn kinds_of_parameters() {
    let cases = [
        (r#"{"apiVersion": "a.b/v1", "kind": "Foo"}"#, 0),
        (r#"{"apiVersion": "v1", "kind": "Foo"}"#, 0),
        (r#"{"apiVersion": "a/b/c", "kind": "Foo"}"#, 1),
        (r#"{"apiVersion": "A/1", "kind": "_"}"#, 3),
        ("{}", 2),
    ];
    for (kind, expected) in cases {
        assert_eq!(errors(rules::param_kind, "k", kind).len(), expected, "{kind}");
    }
}

#[test]
fn conditions_have_names_of_their_own() {
    let conditions =
        r#"[{"name": "a", "expression": "true"}, {"name": "a", "expression": " "}, {"expression": "true"}]"#;
    let expected =
        ["c[1].expression: Required value", r#"c[1].name: Duplicate value: "a""#, "c[2].name: Required value"];
    assert_eq!(errors(|c, errs| match_conditions(c, false, errs), "c", conditions), expected);
}
