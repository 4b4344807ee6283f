//! Expressions with what they give, and what is said of those that are wrong.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use apimachinery::structural::Structural;
use apimachinery::value;
use cel::{Activation, Decl, Environment, Type, Val};

fn schema_decl() -> Decl {
    let schema = Structural::parse(&value!({
        "type": "object",
        "properties": {
            "a": {"type": "integer"}, "b": {"type": "integer"}, "s": {"type": "string"},
            "l": {"type": "array", "items": {"type": "integer"}},
            "m": {"type": "object", "additionalProperties": {"type": "string"}},
            "a-b": {"type": "integer"},
            "x": {"x-kubernetes-int-or-string": true}
        }
    }));
    Decl::of_schema(&schema, false, "self").unwrap()
}

fn environment() -> Environment {
    Environment::new().with_decl("self", Arc::new(schema_decl())).with("object", Type::Dyn)
}

fn run(text: &str) -> String {
    let program = match environment().compile(text) {
        Ok(program) => program,
        Err(error) => return error.message,
    };
    let object =
        value!({"a": 1, "b": 2, "s": "hello", "l": [1, 2, 3], "m": {"k": "v"}, "a-b": 7, "x": "5%", "n": null});
    let decl = schema_decl();
    let activation =
        Activation::new().with("self", Val::of(&object, Some(&decl))).with("object", Val::of(&object, None));
    match program.run(&activation, 1_000_000).0 {
        Ok(value) => match value.to_tree() {
            Ok(tree) => format!("{tree:?}"),
            Err(_) => value.type_name().to_owned(),
        },
        Err(error) => error.to_string(),
    }
}

#[test]
fn results() {
    for (text, want) in [
        ("self.a <= self.b", "true"),
        ("1 + 2 * 3 - 4", "3"),
        ("-1", "-1"),
        ("'a' + \"b\"", "\"ab\""),
        ("self.l.all(i, i > 0) && self.l.exists(i, i == 2) && self.l.exists_one(i, i == 3)", "true"),
        ("self.l.map(i, i * 2).filter(i, i > 2)", "[4, 6]"),
        ("self.m.all(k, self.m[k] == 'v')", "true"),
        ("has(self.a) && !has(object.z)", "true"),
        ("object.z == 1", "no such key: z"),
        ("has(object.z.y)", "no such key: z"),
        ("10 / (self.a - 1) > 1", "division by zero"),
        ("object.z == 1 || true", "true"),
        ("[1, 0].all(x, 1 / x > 5)", "false"),
        ("self.a__dash__b", "7"),
        ("type(self.x) == int ? self.x < 5 : self.x.endsWith('%')", "true"),
        ("self.?a.orValue(0) < 3", "true"),
        ("object.?z.hasValue()", "false"),
        ("object.?z.?y.orValue('n')", "\"n\""),
        ("object[?'a'].optMap(v, v + 1).value()", "2"),
        ("self.l.all(i, v, i < 3 && v > 0)", "true"),
        ("self.l.transformList(i, v, i * v)", "[0, 2, 6]"),
        ("self.m.transformMap(k, v, k + v)", "{\"k\": \"kv\"}"),
        ("sets.contains([1,2,3], self.l)", "true"),
        ("isSemver('1.0.0') && semver('1.2.3').minor() == 2 && semver('1.0.0-a').isLessThan(semver('1.0.0'))", "true"),
        ("isIP('::1') && ip('::1').family() == 6 && cidr('192.0.2.0/24').containsIP('192.0.2.9')", "true"),
        ("url('https://example.com:80/a?b=c').getHostname()", "\"example.com\""),
        ("url('x')", "URL parse error during conversion from string: parse \"x\": invalid URI for request"),
        ("quantity('1Ki').isGreaterThan(quantity('1k')) && quantity('2').add(1).asInteger() == 3", "true"),
        ("'%s is %d: %.2f %s'.format([dyn('a'), dyn(2), dyn(1.5), dyn(['b'])])", "\"a is 2: 1.50 [\\\"b\\\"]\""),
        ("format.dns1123Label().validate('Bad_').hasValue()", "true"),
        ("'a,b'.split(',').join('-')", "\"a-b\""),
        ("'hello'.substring(1, 3) + 'x'.charAt(0) + string('hello'.indexOf('l'))", "\"elx2\""),
        ("duration('1h') + duration('30m') == duration('90m')", "true"),
        ("timestamp('2024-01-02T03:04:05Z').getFullYear()", "2024"),
        ("'abc'.matches('^a') && 'abc'.find('b.') == 'bc'", "true"),
        ("[3, 1, 2].sum() == 6 && [3, 1].max() == 3 && ![3, 1].isSorted()", "true"),
        ("int('12') + int(1.9)", "13"),
        ("object.n == null", "true"),
        ("1 == 1.0 && 1u == dyn(1)", "found"),
        ("{'a': 1}.a == 1 && 'a' in {'a': 1} && 2 in [1, 2]", "true"),
        ("1 in [1, 2] ? 'y' : 'n'", "\"y\""),
        ("lists.range(3).map(x, x)", "[0, 1, 2]"),
    ] {
        let got = run(text);
        assert!(got == want || want == "found" && got.contains("no matching overload"), "{text}: {got}");
    }
}

#[test]
fn complaints() {
    let start = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
    for (text, want) in [
        ("self.none > 1", "ERROR: <input>:1:5: undefined field 'none'\n | self.none > 1\n | ....^".to_owned()),
        (
            "foo(self.a)",
            "ERROR: <input>:1:4: undeclared reference to 'foo' (in container '')\n | foo(self.a)\n | ...^".to_owned(),
        ),
        (
            "self.a-b > 1",
            "ERROR: <input>:1:8: undeclared reference to 'b' (in container '')\n | self.a-b > 1\n | .......^".to_owned(),
        ),
        (
            "self.a <",
            format!("ERROR: <input>:1:9: Syntax error: mismatched input '<EOF>' expecting {start}\n | self.a <\n | ........^"),
        ),
        (
            "\"x",
            format!(
                "ERROR: <input>:1:1: Syntax error: token recognition error at: '\"x'\n | \"x\n | ^\nERROR: <input>:1:3: Syntax error: mismatched input '<EOF>' expecting {start}\n | \"x\n | ..^"
            ),
        ),
        (
            "self.a == 'x'",
            "ERROR: <input>:1:8: found no matching overload for '_==_' applied to '(int, string)'\n | self.a == 'x'\n | .......^"
                .to_owned(),
        ),
        (
            "self.s.size('x')",
            "ERROR: <input>:1:12: found no matching overload for 'size' applied to 'string.(string)'\n | self.s.size('x')\n | ...........^"
                .to_owned(),
        ),
    ] {
        assert_eq!(run(text), want);
    }
}

#[test]
fn costs() {
    let estimate = |text: &str| environment().compile(text).unwrap().estimate();
    let three = estimate("self.l.all(x, self.l.all(y, self.l.all(z, x == y)))");
    assert!(three.max > 10_000_000 * 100, "{three:?}");
    assert!(estimate("self.a <= self.b").max < 10);
    let program = environment().compile("[1,2,3].all(x, [1,2,3].all(y, x == y || true))").unwrap();
    let (result, _) = program.run(&Activation::new(), 20);
    assert_eq!(result.err().map(|e| e.to_string()).unwrap(), "operation cancelled: actual cost limit exceeded");
}
