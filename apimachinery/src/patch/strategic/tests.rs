use super::*;
use crate::schema::kind;
use crate::value;

fn pod() -> &'static Type {
    kind("v1", "Pod").unwrap()
}

fn deployment() -> &'static Type {
    kind("apps/v1", "Deployment").unwrap()
}

#[test]
fn applies() {
    let containers = || value!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]);
    for (patch, want) in [
        (
            value!({"containers": [{"name": "b", "image": "3"}]}),
            value!([{"name": "a", "image": "1"}, {"name": "b", "image": "3"}]),
        ),
        (
            value!({"containers": [{"name": "c", "image": "3"}]}),
            value!([{"name": "c", "image": "3"}, {"name": "a", "image": "1"}, {"name": "b", "image": "2"}]),
        ),
        (value!({"containers": [{"name": "a", "$patch": "delete"}]}), value!([{"name": "b", "image": "2"}])),
        (
            value!({"containers": [{"$patch": "replace"}, {"name": "x", "image": "y"}]}),
            value!([{"name": "x", "image": "y"}]),
        ),
        (
            value!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            value!([{"name": "b", "image": "2"}, {"name": "a", "image": "1"}]),
        ),
        (
            value!({"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}], "containers": [{"name": "c", "image": "3"}]}),
            value!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}]),
        ),
    ] {
        let target = value!({"spec": {"containers": (containers())}});
        let patched = apply(&target, &value!({"spec": (patch.clone())}), pod()).unwrap();
        assert_eq!(*patched.path(&["spec", "containers"]), want, "{patch:?}");
    }
}

#[test]
fn directives() {
    let target = value!({"metadata": {"labels": {"a": "b"}, "finalizers": ["x", "y"]}, "spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    for (patch, path, want) in [
        (value!({"metadata": {"labels": {"$patch": "replace", "z": "y"}}}), ["metadata", "labels"], value!({"z": "y"})),
        (value!({"metadata": {"labels": {"$patch": "delete"}}}), ["metadata", "labels"], value!({})),
        (value!({"metadata": {"labels": {"a": null, "c": "d"}}}), ["metadata", "labels"], value!({"c": "d"})),
        (
            value!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}}),
            ["metadata", "finalizers"],
            value!(["y"]),
        ),
        (value!({"metadata": {"finalizers": ["z"]}}), ["metadata", "finalizers"], value!(["z", "x", "y"])),
        (
            value!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            ["spec", "strategy"],
            value!({"type": "Recreate"}),
        ),
    ] {
        assert_eq!(*apply(&target, &patch, deployment()).unwrap().path(&path), want, "{patch:?}");
    }
}

#[test]
fn refuses() {
    let target =
        value!({"metadata": {"labels": {"a": "b"}, "finalizers": ["x"]}, "spec": {"containers": [{"name": "a"}]}});
    for (patch, want) in [
        (value!({"metadata": {"labels": {"$patch": "bogus"}}}), "unknown patch type: bogus in map: map[$patch:bogus]"),
        (
            value!({"metadata": {"$setElementOrder/finalizers": ["b", "a"], "finalizers": ["a", "b"]}}),
            "The order in patch list:\n[a b]\n doesn't match $setElementOrder list:\n[b a]\n",
        ),
        (
            value!({"spec": {"containers": [{"image": "x"}]}}),
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            value!({"metadata": {"$setElementOrder/bogus": ["a"]}}),
            "unable to find api field in struct ObjectMeta for the json field \"bogus\"",
        ),
        (
            value!({"metadata": {"$setElementOrder/finalizers": "a"}}),
            "expected a []interface {}, but received a string",
        ),
    ] {
        assert_eq!(apply(&target, &patch, pod()).unwrap_err().to_string(), want, "{patch:?}");
    }
}

#[test]
fn two_way() {
    let old = value!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}], "nodeName": "n"}, "metadata": {"finalizers": ["x", "y"]}});
    let new = value!({"spec": {"containers": [{"name": "b", "image": "3"}, {"name": "c", "image": "4"}]}, "metadata": {"finalizers": ["y", "z"]}});
    let patch = create_two_way(&old, &new, pod()).unwrap();
    assert_eq!(
        patch,
        value!({
            "spec": {
                "$setElementOrder/containers": [{"name": "b"}, {"name": "c"}],
                "containers": [{"name": "b", "image": "3"}, {"name": "c", "image": "4"}, {"name": "a", "$patch": "delete"}],
                "nodeName": null,
            },
            "metadata": {
                "$setElementOrder/finalizers": ["y", "z"],
                "$deleteFromPrimitiveList/finalizers": ["x"],
                "finalizers": ["z"],
            },
        })
    );
    assert_eq!(apply(&old, &patch, pod()).unwrap(), new);
    assert_eq!(create_two_way(&new, &new.clone(), pod()).unwrap(), value!({}));
}

#[test]
fn three_way() {
    let original = value!({"metadata": {"labels": {"a": "1", "gone": "x"}}, "spec": {"replicas": 1}});
    let modified = value!({"metadata": {"labels": {"a": "2"}}, "spec": {"replicas": 1}});
    let current = value!({"metadata": {"labels": {"a": "1", "gone": "x", "other": "y"}}, "spec": {"replicas": 3, "paused": true}});
    let patch = create_three_way(&original, &modified, &current, deployment(), true, &[]).unwrap();
    assert_eq!(patch, value!({"metadata": {"labels": {"a": "2", "gone": null}}, "spec": {"replicas": 1}}));
    let error = create_three_way(&original, &modified, &current, deployment(), false, &[]).unwrap_err();
    assert!(matches!(error, PatchError::Conflict { .. }));
    let error = create_three_way(&original, &modified, &current, deployment(), true, &[&["metadata", "labels"]]);
    assert!(matches!(error, Err(PatchError::Precondition(_))));
}

#[test]
fn strategy_is_kept_together() {
    let old = value!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let new = value!({"spec": {"strategy": {"type": "Recreate"}}});
    assert_eq!(
        create_two_way(&old, &new, deployment()).unwrap(),
        value!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate", "rollingUpdate": null}}})
    );
}
