//! Rules on objects, and complaints about rules.

use apimachinery::field::{Errors, Path};
use apimachinery::structural::Structural;
use apimachinery::value;
use apimachinery::value::Value;

use super::{Rules, check_definition};

fn schema(rules: Value) -> Value {
    value!({"type": "object", "properties": {"spec": {
        "type": "object", "x-kubernetes-validations": rules,
        "properties": {
            "a": {"type": "integer"}, "b": {"type": "integer"}, "s": {"type": "string"},
            "l": {"type": "array", "items": {"type": "integer"}}
        }
    }}})
}

fn errors(rule: Value, object: Value, old: Option<Value>) -> Vec<String> {
    let schema = schema(Value::List(vec![rule]));
    let rules = Rules::compile(&schema, &Structural::parse(&schema));
    let checked = rules.map(|rules| rules.check(&object, old.as_ref())).unwrap_or_default();
    checked.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn rules_on_objects() {
    let le = || value!({"rule": "self.a <= self.b"});
    assert_eq!(errors(le(), value!({"spec": {"a": 1, "b": 2}}), None), Vec::<String>::new());
    assert_eq!(
        errors(le(), value!({"spec": {"a": 3, "b": 2}}), None),
        ["spec: Invalid value: failed rule: self.a <= self.b"]
    );
    assert_eq!(
        errors(le(), value!({"spec": {"a": 3}}), None),
        ["spec: Invalid value: \"object\": no such key: b evaluating rule: self.a <= self.b"]
    );
    let grows = || value!({"rule": "self.a >= oldSelf.a", "message": "grow!"});
    assert_eq!(errors(grows(), value!({"spec": {"a": 3}}), None), Vec::<String>::new());
    let old = || Some(value!({"spec": {"a": 4}}));
    assert_eq!(errors(grows(), value!({"spec": {"a": 3}}), old()), ["spec: Invalid value: grow!"]);
    // wrong before, unchanged now
    let small = value!({"rule": "self.a < 2"});
    assert_eq!(errors(small, value!({"spec": {"a": 4}}), old()), Vec::<String>::new());
}

#[test]
fn complaints_about_rules() {
    let complaints = |rule: Value| {
        let mut errs = Errors::new();
        check_definition(&schema(Value::List(vec![rule])), &Path::root("schema"), &mut errs);
        errs.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let place = "schema.properties[spec].x-kubernetes-validations[0]";
    assert_eq!(complaints(value!({"rule": "self.a > 1"})), Vec::<String>::new());
    assert_eq!(
        complaints(value!({"rule": "self.a > 1", "optionalOldSelf": true})),
        [format!("{place}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule")]
    );
    let dear = complaints(value!({"rule": "self.l.all(x, self.l.all(y, self.l.all(z, x == y)))"}));
    assert_eq!(dear.len(), 3, "{dear:?}");
    let bounded = complaints(value!({"rule": "self.s.contains('a')", "messageExpression": "'s: ' + self.s"}));
    assert_eq!(bounded, Vec::<String>::new());
}
