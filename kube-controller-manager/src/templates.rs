//! Pod templates as upstream hashes them and as revisions keep them. Names and labels are made of these hashes, so they must be
//! upstream's: with others, an exchange of the controller manager would roll out everything anew.
//! upstream: pkg/controller/controller_utils.go: ComputeHash; pkg/controller/history: HashControllerRevision; getPatch of
//! daemon sets and stateful sets.

use apimachinery::codec::json::{self, DecodeOptions};
use apimachinery::{Type, Value, dump, hash, schema};
use k8s_openapi::api::core::v1::PodTemplateSpec;

use crate::history::Keeper;

/// The hash of a template; the collision count makes another one of the same template.
pub(crate) fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut text = dump::for_hash(&decoded(template), template_type()).into_bytes();
    if let Some(collisions) = collisions {
        // Upstream writes four bytes into a buffer of eight.
        text.extend_from_slice(&collisions.to_le_bytes());
        text.extend_from_slice(&[0; 4]);
    }
    hash::safe_text(hash::fnv32a(&text))
}

/// A template as revisions keep it: JSON of a patch that replaces the owner's.
pub(crate) fn patch(template: &PodTemplateSpec, keeper: Keeper) -> String {
    let mut text = Vec::new();
    json::encode(&decoded(template), template_type(), &mut text);
    let mut template = json::decode_untyped(&text).unwrap_or_default();
    template.set("$patch", "replace");
    let template = match keeper {
        Keeper::DaemonSet => template,
        Keeper::StatefulSet => as_floats(template),
    };
    let mut patch = Value::map();
    patch.set_path(&["spec", "template"], template);
    json::to_string(&patch)
}

/// The hash of a revision that keeps this patch.
pub(crate) fn patch_hash(patch: &str, collisions: i32) -> String {
    hash::safe_text(hash::fnv32(format!("{patch}{collisions}").as_bytes()))
}

fn template_type() -> &'static Type {
    schema::type_by_name("io.k8s.api.core.v1.PodTemplateSpec").expect("it is in the table")
}

fn decoded(template: &PodTemplateSpec) -> Value {
    let text = serde_json::to_vec(template).unwrap_or_default();
    json::decode(&text, template_type(), &DecodeOptions::default()).map(|decoded| decoded.value).unwrap_or_default()
}

/// Stateful sets' way leads over numbers of 64-bit floating point, which are not exact beyond 2^53.
fn as_floats(value: Value) -> Value {
    const EXACT: u64 = 1 << 53;
    match value {
        #[expect(clippy::cast_precision_loss, reason = "this is about that loss")]
        Value::Int(number) if number.unsigned_abs() > EXACT => Value::Float(number as f64),
        Value::List(items) => Value::List(items.into_iter().map(as_floats).collect()),
        Value::Map(map) => Value::Map(map.into_iter().map(|(key, value)| (key, as_floats(value))).collect()),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> PodTemplateSpec {
        let json = r#"{"metadata": {"labels": {"app": "<x>"}}, "spec": {"containers": [{"name": "c", "image": "i",
            "ports": [{"containerPort": 80, "protocol": "TCP"}], "resources": {"limits": {"cpu": "0.5"}}}],
            "terminationGracePeriodSeconds": 30, "restartPolicy": "Always", "nodeSelector": {}}}"#;
        serde_json::from_str(json).expect("a template")
    }

    /// Kind of owner, template, hash, and what the revision keeps: as upstream's controllers made them.
    const RECORDED: &str = include_str!("../tests/data/templates.tsv");

    #[test]
    fn hashes_and_patches_are_those_of_upstream() {
        for line in RECORDED.lines() {
            let [kind, json, expected, kept] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("four columns: {line}")
            };
            let template: PodTemplateSpec = serde_json::from_str(json).expect("a template");
            let keeper = if kind == "StatefulSet" { Keeper::StatefulSet } else { Keeper::DaemonSet };
            let patch = patch(&template, keeper);
            if !kept.is_empty() {
                assert_eq!(patch, kept);
            }
            let made = if kind == "StatefulSet" { patch_hash(&patch, 0) } else { hash(&template, None) };
            assert_eq!(made, expected, "{kind} {json}");
        }
    }

    #[test]
    fn patches_are_the_bytes_of_upstream() {
        assert_eq!(
            patch(&template(), Keeper::StatefulSet),
            concat!(
                r#"{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"\u003cx\u003e"}},"#,
                r#""spec":{"containers":[{"image":"i","name":"c","ports":[{"containerPort":80,"protocol":"TCP"}],"#,
                r#""resources":{"limits":{"cpu":"500m"}}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30}}}}"#
            )
        );
    }
}
