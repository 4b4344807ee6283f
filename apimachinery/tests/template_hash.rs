//! Hashes of pod templates, compared with those that upstream's code made of the same templates.

use apimachinery::codec::json::{self, DecodeOptions};
use apimachinery::{dump, hash, schema};

/// One line for each template: its JSON, a tab, and the hash of it.
const RECORDED: &str = include_str!("data/template_hashes.tsv");

#[test]
fn hashes_are_those_of_upstream() {
    let ty = schema::type_by_name("io.k8s.api.core.v1.PodTemplateSpec").unwrap();
    for line in RECORDED.lines() {
        let (template, expected) = line.split_once('\t').unwrap();
        let template = json::decode(template.as_bytes(), ty, &DecodeOptions::STRICT).unwrap().value;
        let text = dump::for_hash(&template, ty);
        assert_eq!(hash::safe_text(hash::fnv32a(text.as_bytes())), expected, "{text}");
    }
}
