use super::*;
use crate::schema::kind;
use crate::value;

const NOW: &str = "2026-01-01T00:00:00Z";

fn write(api_version: &'static str, of: &'static str) -> Write<'static> {
    let ty = kind(api_version, of).unwrap();
    Write { ty, api_version, kind: of, subresource: "", filter: None, now: NOW, convert: None }
}

fn normal(write: &Write<'_>, tree: Value) -> Value {
    let text = json::to_string(&tree);
    json::decode(text.as_bytes(), write.ty, &DecodeOptions::default()).unwrap().value
}

/// The managers of an object: `name/operation` and fields.
fn owners(object: &Value) -> Vec<(String, String)> {
    let entries = object.path(&["metadata", "managedFields"]).items().iter();
    entries
        .map(|e| {
            let name = format!("{}/{}", e.get("manager").str_or_empty(), e.get("operation").str_or_empty());
            (name, e.get("fieldsV1").as_raw().unwrap_or("").to_owned())
        })
        .collect()
}

fn owner(name: &str, fields: &str) -> (String, String) {
    (name.to_owned(), fields.to_owned())
}

#[test]
fn fields_v1_round_trip() {
    for text in [
        r#"{"f:metadata":{"f:labels":{".":{},"f:a":{}}}}"#,
        r#"{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}}}}"#,
        r#"{"f:metadata":{"f:finalizers":{".":{},"v:\"a/b\"":{}}},"f:spec":{}}"#,
        r#"{"i:3":{}}"#,
    ] {
        assert_eq!(FieldSet::from_fields_v1(text).unwrap().to_fields_v1(), text);
    }
    assert!(FieldSet::from_fields_v1(r#"{"x":{}}"#).is_err());
    assert!(FieldSet::from_fields_v1(r#"{"z:x":{}}"#).unwrap().is_empty());
}

#[test]
fn sets() {
    let set = |text: &str| FieldSet::from_fields_v1(text).unwrap();
    let a = set(r#"{"f:a":{},"f:b":{".":{},"f:c":{}}}"#);
    let b = set(r#"{"f:b":{}}"#);
    assert_eq!(a.difference(&b).to_fields_v1(), r#"{"f:a":{},"f:b":{"f:c":{}}}"#);
    assert_eq!(a.recursive_difference(&b).to_fields_v1(), r#"{"f:a":{}}"#);
    assert_eq!(a.intersection(&b).to_fields_v1(), r#"{"f:b":{}}"#);
    assert_eq!(b.union(&set(r#"{"f:b":{"f:c":{}},"f:a":{}}"#)), a);
}

#[test]
fn creation_owns_what_is_sent() {
    let w = write("v1", "ConfigMap");
    let mut object = normal(&w, value!({"metadata": {"name": "x", "labels": {"a": "b"}}, "data": {"k": "v"}}));
    update(&w, &Value::Null, &mut object, "me");
    assert_eq!(
        owners(&object),
        [owner("me/Update", r#"{"f:data":{".":{},"f:k":{}},"f:metadata":{"f:labels":{".":{},"f:a":{}}}}"#)]
    );
    let time = object.path(&["metadata", "managedFields"]).index(0).get("time").clone();
    assert_eq!(time, Value::from(NOW));
}

#[test]
fn empty_structs_are_fields() {
    let w = write("v1", "Pod");
    let mut pod =
        normal(&w, value!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}));
    update(&w, &Value::Null, &mut pod, "me");
    assert_eq!(
        owners(&pod),
        [owner(
            "me/Update",
            r#"{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:resources":{}}}}}"#
        )]
    );
}

#[test]
fn applying_twice_changes_nothing() {
    let w = write("apps/v1", "Deployment");
    let config = value!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}}}});
    let mut once = apply(&w, &Value::Null, &config, "me", false).unwrap();
    once.set_path(&["metadata", "uid"], "u".into());
    let later = Write { now: "2027-01-01T00:00:00Z", ..w };
    let twice = apply(&later, &once, &config, "me", false).unwrap();
    assert_eq!(once, twice);
    assert_eq!(owners(&once).len(), 1);
    assert!(
        owners(&once)[0].1.contains(r#""k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}"#)
    );
}

fn config_map(data: Value) -> Value {
    value!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data})
}

#[test]
fn what_is_dropped_goes_unless_owned() {
    let w = write("v1", "ConfigMap");
    let live = apply(&w, &Value::Null, &config_map(value!({"a": "1", "b": "2"})), "one", false).unwrap();
    let live = apply(&w, &live, &config_map(value!({"b": "2", "c": "3"})), "two", false).unwrap();
    let live = apply(&w, &live, &config_map(value!({"z": "9"})), "one", false).unwrap();
    assert_eq!(*live.get("data"), value!({"b": "2", "c": "3", "z": "9"}));
}

#[test]
fn managers_without_overlap_commute() {
    let w = write("v1", "ConfigMap");
    let (a, b) = (config_map(value!({"a": "1"})), config_map(value!({"b": "2"})));
    let run = |first: (&str, &Value), second: (&str, &Value)| {
        let live = apply(&w, &Value::Null, first.1, first.0, false).unwrap();
        apply(&w, &live, second.1, second.0, false).unwrap()
    };
    assert_eq!(run(("one", &a), ("two", &b)), run(("two", &b), ("one", &a)));
}

#[test]
fn conflicts() {
    let w = write("v1", "ConfigMap");
    let mut live = normal(&w, config_map(value!({"a": "1", "b": "2"})));
    update(&w, &Value::Null, &mut live, "writer");
    let live = apply(&w, &live, &config_map(value!({"c": "3"})), "applier", false).unwrap();
    let config = config_map(value!({"a": "x", "c": "y"}));
    let error = apply(&w, &live, &config, "other", false).unwrap_err();
    assert_eq!(
        error.message(),
        "Apply failed with 2 conflicts: conflicts with \"applier\":\n- .data.c\nconflicts with \"writer\" using v1:\n- .data.a"
    );
    let one = apply(&w, &live, &config_map(value!({"a": "x"})), "other", false).unwrap_err();
    assert_eq!(one.message(), "Apply failed with 1 conflict: conflict with \"writer\" using v1: .data.a");
    let forced = apply(&w, &live, &config, "other", true).unwrap();
    assert_eq!(*forced.get("data"), value!({"a": "x", "b": "2", "c": "y"}));
    assert_eq!(
        owners(&forced),
        [
            owner("other/Apply", r#"{"f:data":{"f:a":{},"f:c":{}}}"#),
            owner("writer/Update", r#"{"f:data":{".":{},"f:b":{}}}"#),
        ]
    );
}

#[test]
fn bad_configurations() {
    let w = write("apps/v1", "Deployment");
    for (config, want) in [
        (value!({"kind": "Deployment"}), "invalid object type: /, Kind=Deployment"),
        (
            value!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "managedFields": []}}),
            "metadata.managedFields must be nil",
        ),
        (
            value!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "bogus": 1}),
            "failed to create typed patch object (/x; apps/v1, Kind=Deployment): .bogus: field not declared in schema",
        ),
        (
            value!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": "a"}}),
            "failed to create typed patch object (/x; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got string",
        ),
    ] {
        assert_eq!(apply(&w, &Value::Null, &config, "me", false).unwrap_err().message(), want);
    }
}

#[test]
fn writers_are_capped() {
    let w = write("v1", "ConfigMap");
    let mut live = normal(&w, config_map(value!({"k": "0"})));
    update(&w, &Value::Null, &mut live, "w00");
    live.set_path(&["metadata", "uid"], "u".into());
    for i in 1..15 {
        let now = format!("2026-01-01T00:00:{i:02}Z");
        let mut new = live.clone();
        new.set_path(&["data", &format!("k{i}")], "v".into());
        update(&Write { now: &now, ..w }, &live, &mut new, &format!("w{i:02}"));
        live = new;
    }
    let names: Vec<String> = owners(&live).into_iter().map(|o| o.0).collect();
    assert_eq!(names.len(), 10);
    assert_eq!(names[0], "ancient-changes/Update");
}

#[test]
fn lists_keep_the_order_of_both() {
    let w = write("v1", "Pod");
    let pod = |names: &[&str]| {
        let containers = names.iter().map(|n| value!({"name": (*n), "image": "i"})).collect();
        value!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": (Value::List(containers))}})
    };
    let live = apply(&w, &Value::Null, &pod(&["a", "b", "c"]), "one", false).unwrap();
    let live = apply(&w, &live, &pod(&["c", "d", "a"]), "two", false).unwrap();
    let names: Vec<&str> =
        live.path(&["spec", "containers"]).items().iter().map(|c| c.get("name").str_or_empty()).collect();
    assert_eq!(names, ["b", "c", "d", "a"]);
}

#[test]
fn timestamps_alone_are_no_change() {
    let w = write("v1", "ConfigMap");
    let mut live = normal(&w, config_map(value!({"k": "0"})));
    update(&w, &Value::Null, &mut live, "me");
    let mut new = live.clone();
    new.path_mut(&["metadata", "managedFields"]).unwrap().as_list_mut().unwrap()[0].set("time", "2030-01-01T00:00:00Z");
    keep_timestamps_if_unchanged(&mut new, &live);
    assert_eq!(new, live);
}

#[test]
fn filters() {
    let w = write("v1", "ConfigMap");
    let filter = Filter::Exclude(FieldSet::of(&[&["data"]]));
    let w = Write { filter: Some(&filter), ..w };
    let mut object = normal(&w, value!({"metadata": {"name": "x", "labels": {"a": "b"}}, "data": {"k": "v"}}));
    update(&w, &Value::Null, &mut object, "me");
    assert_eq!(owners(&object), [owner("me/Update", r#"{"f:metadata":{"f:labels":{".":{},"f:a":{}}}}"#)]);
    let include = Filter::Include(vec![vec![
        Step::Field("spec"),
        Step::Field("containers"),
        Step::Any,
        Step::Field("resources"),
    ]]);
    let set = FieldSet::from_fields_v1(
        r#"{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:resources":{"f:limits":{}}}}}}"#,
    );
    assert_eq!(
        include.apply(&set.unwrap()).to_fields_v1(),
        r#"{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:resources":{"f:limits":{}}}}}}"#
    );
}

fn data(entries: &std::collections::BTreeMap<u8, u8>) -> Value {
    Value::Map(entries.iter().map(|(k, v)| (format!("k{k}").into(), v.to_string().into())).collect())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..Default::default() })]

    /// Whatever two managers apply: applying again changes nothing, what only the first dropped goes, and without overlap the
    /// order does not matter.
    #[test]
    fn laws(
        a in proptest::collection::btree_map(0u8..5, 0u8..3, 1..4),
        b in proptest::collection::btree_map(0u8..5, 0u8..3, 1..4),
        c in proptest::collection::btree_map(0u8..5, 0u8..3, 1..4),
    ) {
        let w = write("v1", "ConfigMap");
        let (config_a, config_b, config_c) = (config_map(data(&a)), config_map(data(&b)), config_map(data(&c)));
        let first = apply(&w, &Value::Null, &config_a, "one", true).unwrap();
        let both = apply(&w, &first, &config_b, "two", true).unwrap();
        proptest::prop_assert_eq!(&apply(&w, &both, &config_b, "two", false).unwrap(), &both);
        if a.keys().all(|k| !b.contains_key(k)) {
            let other = apply(&w, &Value::Null, &config_b, "two", true).unwrap();
            proptest::prop_assert_eq!(apply(&w, &other, &config_a, "one", false).unwrap(), both.clone());
        }
        let after = apply(&w, &both, &config_c, "one", true).unwrap();
        for key in 0u8..5 {
            let there = after.get("data").has(&format!("k{key}"));
            proptest::prop_assert_eq!(there, b.contains_key(&key) || c.contains_key(&key));
        }
    }
}

#[test]
fn merging_without_owners() {
    let write = write("v1", "Pod");
    let live = normal(
        &write,
        value!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "1"}},
            "spec": {"containers": [{"name": "c", "image": "a"}, {"name": "d", "image": "b"}]}
        }),
    );
    let merged = |config: Value| merge_unowned(&write, &live, &config).map(|object| json::to_string(&object));
    let cases = [
        (
            value!({"metadata": {"labels": {"b": "2"}}}),
            Ok(
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":"1","b":"2"}},"spec":{"containers":[{"name":"c","image":"a","resources":{}},{"name":"d","image":"b","resources":{}}]},"status":{}}"#,
            ),
        ),
        (
            value!({"spec": {"containers": [{"name": "d", "image": "new"}]}}),
            Ok(
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":"1"}},"spec":{"containers":[{"name":"c","image":"a","resources":{}},{"name":"d","image":"new","resources":{}}]},"status":{}}"#,
            ),
        ),
        (
            value!({"spec": {"none": 1}}),
            Err("failed to convert patch object to typed object: .spec.none: field not declared in schema"),
        ),
        (
            value!({"spec": {"tolerations": [{"key": "a"}], "containers": [{"name": "c", "args": ["x"]}]}}),
            Err(
                "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.containers[0].args, .spec.tolerations",
            ),
        ),
    ];
    for (config, expected) in cases {
        let got = merged(config).map_err(|error| error.to_string());
        let typed = |text: &str| normal(&write, json::decode_untyped(text.as_bytes()).unwrap());
        match expected {
            Ok(text) => assert_eq!(typed(&got.unwrap()), typed(text)),
            Err(text) => assert_eq!(got.unwrap_err(), text),
        }
    }
}

#[test]
fn what_does_not_fit_is_told_with_its_kind() {
    let write = write("v1", "LimitRange");
    let config = value!({
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "x"},
        "spec": {"limits": [{"type": "Pod", "max": {"cpu": "x"}}]},
    });
    let error = apply(&write, &Value::Null, &config, "m", false).unwrap_err();
    let start = "failed to convert new object (/x; /v1, Kind=LimitRange) to proper version: \
                 unable to convert unstructured object to /v1, Kind=LimitRange: quantities must match";
    assert!(error.message().starts_with(start), "{}", error.message());
}
