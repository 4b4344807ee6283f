//! What is fuzzed: one function for each decoder. A function panics if the decoder does, if what it made is out of proportion to
//! the input or nests too deeply, or if a round trip does not give back what it should. It uses nothing but apimachinery, since
//! the unit tests include this file as well.

mod codecs;
mod patches;
mod texts;

pub use codecs::{envelope, json_strict, json_untyped, protobuf, scan, transcoder, yaml};
pub use patches::{apply, fields_v1, json_patch, merge_patch, strategic_patch};
pub use texts::{field_selector, label_selector, names, quantity, time};

use std::sync::LazyLock;

use apimachinery::schema::{self, Type};
use apimachinery::value::Value;

/// A target: its name, which is that of its binary and its folder of inputs, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 17] = [
    ("apply", apply),
    ("envelope", envelope),
    ("field_selector", field_selector),
    ("fields_v1", fields_v1),
    ("json_patch", json_patch),
    ("json_strict", json_strict),
    ("json_untyped", json_untyped),
    ("label_selector", label_selector),
    ("merge_patch", merge_patch),
    ("names", names),
    ("protobuf", protobuf),
    ("quantity", quantity),
    ("scan", scan),
    ("strategic_patch", strategic_patch),
    ("time", time),
    ("transcoder", transcoder),
    ("yaml", yaml),
];

/// Trees never nest deeper than this, whatever the input.
const MAX_DEPTH: usize = 10_000;

/// Every kind with fields, by `group/version` and kind.
static KINDS: LazyLock<Vec<(&str, &str, &Type)>> =
    LazyLock::new(|| schema::kinds().filter(|(_, _, ty)| ty.is_struct()).collect());

/// The kinds that have a protobuf form.
static MESSAGES: LazyLock<Vec<(&str, &str, &Type)>> =
    LazyLock::new(|| KINDS.iter().copied().filter(|(_, _, ty)| ty.extra.proto).collect());

type Kind = (&'static str, &'static str, &'static Type);

/// The kind that the first two bytes choose, and the rest.
fn choose<'a>(kinds: &[Kind], data: &'a [u8]) -> Option<(Kind, &'a [u8])> {
    let (head, rest) = data.split_first_chunk::<2>()?;
    Some((kinds[usize::from(u16::from_le_bytes(*head)) % kinds.len()], rest))
}

/// Two inputs in one: what is before the first zero byte, and what is after it.
fn halves(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = data.iter().position(|byte| *byte == 0)?;
    Some((&data[..at], &data[at + 1..]))
}

/// The number of values in a tree, and how deep it nests. Walks in a loop: depth must not be a danger to the check itself.
fn measure(value: &Value) -> (usize, usize) {
    let (mut count, mut deepest) = (0, 0);
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        count += 1;
        deepest = deepest.max(depth);
        open.extend(value.items().iter().map(|item| (item, depth + 1)));
        open.extend(value.entries().map(|(_, item)| (item, depth + 1)));
    }
    (count, deepest)
}

/// A tree that was made of `len` bytes is no larger than those can ask for, and no deeper than what can be walked.
fn check_bounds(value: &Value, len: usize) {
    let (count, depth) = measure(value);
    assert!(count <= len + 1, "{count} values of {len} bytes");
    assert!(depth <= MAX_DEPTH + 1, "{depth} levels");
}
