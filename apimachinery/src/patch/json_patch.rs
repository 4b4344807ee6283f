//! JSON patches (RFC 6902) with the leniencies that the API has always had: negative indexes, `replace` of a missing member.
//! Corresponds to evanphx/json-patch v4.

use crate::codec::json;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::PatchError;
use super::node::{Ary, Doc, Node, equal};

/// Most operations in one patch.
pub const MAX_OPERATIONS: usize = 10_000;

const MISSING: &str = "missing value";
const INVALID_INDEX: &str = "invalid index referenced";

/// One step. Its members are looked at when it is its turn.
#[derive(Debug)]
struct Operation(BTreeMap<String, Option<Box<RawValue>>>);

/// A decoded patch.
#[derive(Debug)]
pub struct JsonPatch(Vec<Operation>);

/// Why a step does not apply; the client is not shown it.
type StepError = String;

impl JsonPatch {
    /// Reads a patch. `checked` tells whether unknown and mistyped members matter (field validation Strict or Warn).
    ///
    /// # Errors
    /// If it is no list of objects, or too long.
    pub fn decode(patch: &[u8], checked: bool) -> Result<JsonPatch, PatchError> {
        let bad = |what: &str| {
            let (prefix, ty) =
                if checked { ("error decoding patch: ", "[]handlers.jsonPatchOp") } else { ("", "jsonpatch.Patch") };
            PatchError::BadRequest(format!("{prefix}json: cannot unmarshal {what} into Go value of type {ty}"))
        };
        let items: Vec<Option<Box<RawValue>>> = match serde_json::from_slice::<Option<Vec<_>>>(patch) {
            Ok(items) => items.unwrap_or_default(),
            Err(error) if error.is_data() => return Err(bad(json_type(&String::from_utf8_lossy(patch)))),
            Err(error) => return Err(PatchError::BadRequest(syntax_message(checked, &error, patch))),
        };
        if items.len() > MAX_OPERATIONS {
            return Err(PatchError::TooLarge(format!(
                "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                items.len()
            )));
        }
        let operations = items.into_iter().map(|item| Operation::decode(item, checked)).collect::<Result<_, _>>()?;
        Ok(JsonPatch(operations))
    }

    /// What strict validation says about the patch: members that no operation has.
    pub fn strict_errors(&self) -> Vec<String> {
        let known = ["op", "path", "from", "value"];
        let mut out = Vec::new();
        for (i, operation) in self.0.iter().enumerate() {
            for key in operation.0.keys().filter(|k| !known.contains(&k.as_str())) {
                out.push(format!("json patch unknown field \"[{i}].{key}\""));
            }
        }
        out
    }

    /// The JSON document `doc` after all steps.
    ///
    /// # Errors
    /// If a step does not apply.
    pub fn apply(&self, doc: &[u8]) -> Result<Vec<u8>, PatchError> {
        let parsed = Node::parse(doc).map_err(|e| PatchError::Unprocessable(e.to_string()))?;
        let mut root = parsed.unwrap_or(Node::Doc(Doc::new()));
        for operation in &self.0 {
            operation.apply(&mut root)?;
        }
        let mut out = String::new();
        root.write(&mut out);
        Ok(out.into_bytes())
    }
}

fn syntax_message(checked: bool, error: &serde_json::Error, patch: &[u8]) -> String {
    let text = match json::decode_untyped(patch) {
        Err(error) => error.to_string(),
        Ok(_) => error.to_string(),
    };
    if checked { format!("error decoding patch: {text}") } else { text }
}

/// The type of a JSON value as Go's decoder names it.
fn json_type(text: &str) -> &'static str {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        _ => "number",
    }
}

/// Reads and applies a patch without strict checks.
///
/// # Errors
/// If it is malformed or does not apply.
pub fn apply(doc: &[u8], patch: &[u8]) -> Result<Vec<u8>, PatchError> {
    JsonPatch::decode(patch, false)?.apply(doc)
}

impl Operation {
    fn decode(item: Option<Box<RawValue>>, checked: bool) -> Result<Operation, PatchError> {
        let Some(item) = item else { return Ok(Operation(BTreeMap::new())) };
        let ty = if checked { "handlers.jsonPatchOp" } else { "jsonpatch.Operation" };
        let prefix = if checked { "error decoding patch: " } else { "" };
        let operation = Operation(serde_json::from_str(item.get()).map_err(|_| {
            let found = json_type(item.get());
            PatchError::BadRequest(format!("{prefix}json: cannot unmarshal {found} into Go value of type {ty}"))
        })?);
        for key in ["op", "path", "from"].into_iter().filter(|_| checked) {
            if let Some(Some(raw)) = operation.0.get(key)
                && json_type(raw.get()) != "string"
            {
                let found = json_type(raw.get());
                return Err(PatchError::BadRequest(format!(
                    "{prefix}json: cannot unmarshal {found} into Go struct field jsonPatchOp.{key} of type string"
                )));
            }
        }
        Ok(operation)
    }

    fn text(&self, key: &str) -> Option<Result<String, StepError>> {
        let raw = self.0.get(key)?.as_ref()?;
        Some(
            serde_json::from_str(raw.get())
                .map_err(|_| format!("json: cannot unmarshal {} into Go value of type string", json_type(raw.get()))),
        )
    }

    fn path(&self) -> Result<String, StepError> {
        let missing = || Err(format!("operation missing path field: {MISSING}"));
        let kind = self.kind();
        self.text("path").unwrap_or_else(missing).map_err(|e| format!("{kind} operation failed to decode path: {e}"))
    }

    fn from(&self) -> Result<String, StepError> {
        let missing = || Err(format!("operation, missing from field: {MISSING}"));
        let kind = self.kind();
        self.text("from").unwrap_or_else(missing).map_err(|e| format!("{kind} operation failed to decode from: {e}"))
    }

    fn kind(&self) -> String {
        self.text("op").and_then(Result::ok).unwrap_or_else(|| "unknown".to_owned())
    }

    fn value(&self) -> Option<Node> {
        self.0.get("value").cloned().flatten().map(Node::Raw)
    }

    fn apply(&self, root: &mut Node) -> Result<(), PatchError> {
        let applied = match self.kind().as_str() {
            "add" => self.add(root),
            "remove" => self.remove(root),
            "replace" => self.replace(root),
            "move" => self.relocate(root),
            "test" => match self.test(root) {
                Ok(Some(path)) => return Err(PatchError::TestFailed { path }),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            },
            "copy" => self.copy(root),
            other => Err(format!("Unexpected kind: {other}")),
        };
        applied.map_err(PatchError::Unprocessable)
    }

    fn add(&self, root: &mut Node) -> Result<(), StepError> {
        let path = self.path()?;
        let Some((mut place, key)) = find(root, &path) else {
            return Err(format!("add operation does not apply: doc is missing path: \"{path}\": {MISSING}"));
        };
        place.add(&key, self.value()).map_err(|e| format!("error in add for path: '{path}': {e}"))
    }

    fn remove(&self, root: &mut Node) -> Result<(), StepError> {
        let path = self.path()?;
        let Some((mut place, key)) = find(root, &path) else {
            return Err(format!("remove operation does not apply: doc is missing path: \"{path}\": {MISSING}"));
        };
        place.remove(&key).map(drop).map_err(|e| format!("error in remove for path: '{path}': {e}"))
    }

    fn replace(&self, root: &mut Node) -> Result<(), StepError> {
        let path = self.path()?;
        if path.is_empty() {
            return self.replace_root(root);
        }
        let Some((mut place, key)) = find(root, &path) else {
            return Err(format!("replace operation does not apply: doc is missing path: {path}: {MISSING}"));
        };
        if place.get(&key).is_err() {
            return Err(format!("replace operation does not apply: doc is missing key: {path}: {MISSING}"));
        }
        place.set(&key, self.value()).map_err(|e| format!("error in remove for path: '{path}': {e}"))
    }

    fn replace_root(&self, root: &mut Node) -> Result<(), StepError> {
        let mut value = self.value();
        match value.take_if(|v| v.doc_mut().is_some() || v.ary_mut().is_some()) {
            Some(value) => {
                *root = value;
                Ok(())
            }
            None => Err("replace operation value must be object or array".to_owned()),
        }
    }

    fn relocate(&self, root: &mut Node) -> Result<(), StepError> {
        let from = self.from()?;
        let Some((mut place, key)) = find(root, &from) else {
            return Err(format!("move operation does not apply: doc is missing from path: {from}: {MISSING}"));
        };
        let value = place.remove(&key).map_err(|e| format!("error in move for path: '{key}': {e}"))?;
        let path = self.path()?;
        let Some((mut place, key)) = find(root, &path) else {
            return Err(format!("move operation does not apply: doc is missing destination path: {path}: {MISSING}"));
        };
        place.add(&key, value).map_err(|e| format!("error in move for path: '{path}': {e}"))
    }

    fn copy(&self, root: &mut Node) -> Result<(), StepError> {
        let from = self.from()?;
        let Some((place, key)) = find(root, &from) else {
            return Err(format!("copy operation does not apply: doc is missing from path: {from}: {MISSING}"));
        };
        let value = place.get(&key).map_err(|e| format!("error in copy for from: '{from}': {e}"))?.clone();
        let path = self.path()?;
        let Some((mut place, key)) = find(root, &path) else {
            return Err(format!("copy operation does not apply: doc is missing destination path: {path}: {MISSING}"));
        };
        place.add(&key, value).map_err(|e| format!("error while adding value during copy: {e}"))
    }

    /// The path, if another value is there.
    fn test(&self, root: &mut Node) -> Result<Option<String>, StepError> {
        let path = self.path()?;
        if path.is_empty() {
            return Ok((!equal(&Some(root.clone()), &self.value())).then_some(path));
        }
        let Some((place, key)) = find(root, &path) else {
            return Err(format!("test operation does not apply: is missing path: {path}: {MISSING}"));
        };
        let value = place.get(&key).map_err(|e| format!("error in test for path: '{path}': {e}"))?;
        let same = equal(value, &self.value());
        Ok((!same).then_some(path))
    }
}

/// What holds the last step of a path.
enum Place<'a> {
    Doc(&'a mut Doc),
    Ary(&'a mut Ary),
}

/// The container that `path` leads into, and the last step, decoded. A path without a slash leads nowhere.
fn find<'a>(root: &'a mut Node, path: &str) -> Option<(Place<'a>, String)> {
    let (parents, key) = path.rsplit_once('/')?;
    let mut node = root;
    for part in parents.split('/').skip(1) {
        let key = unescape(part);
        node = match open(node)? {
            Place::Doc(doc) => doc.get_mut(&key)?.as_mut()?,
            Place::Ary(ary) => {
                let at = index(&key, ary.len()).ok()?;
                ary.get_mut(at)?.as_mut()?
            }
        };
    }
    Some((open(node)?, unescape(key)))
}

fn open(node: &mut Node) -> Option<Place<'_>> {
    let is_doc = node.doc_mut().is_some();
    if is_doc { node.doc_mut().map(Place::Doc) } else { node.ary_mut().map(Place::Ary) }
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

fn atoi(key: &str) -> Result<i64, StepError> {
    let digits = key.strip_prefix(['+', '-']).unwrap_or(key);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("strconv.Atoi: parsing {}: invalid syntax", crate::quote::quote(key)));
    }
    key.parse().map_err(|_| format!("strconv.Atoi: parsing {}: value out of range", crate::quote::quote(key)))
}

/// The position that `key` names among `len`; negative ones count from the end. May be `len` itself or more.
fn position(key: i64, len: usize) -> Result<usize, StepError> {
    let bad = || format!("Unable to access invalid index: {key}: {INVALID_INDEX}");
    let from_start = if key < 0 { key + i64::try_from(len).map_err(|_| bad())? } else { key };
    usize::try_from(from_start).map_err(|_| bad())
}

fn index(key: &str, len: usize) -> Result<usize, StepError> {
    let number = atoi(key)?;
    let at = position(number, len)?;
    if at < len { Ok(at) } else { Err(format!("Unable to access invalid index: {number}: {INVALID_INDEX}")) }
}

static NOTHING: Option<Node> = None;

impl Place<'_> {
    fn get(&self, key: &str) -> Result<&Option<Node>, StepError> {
        match self {
            Place::Doc(doc) => Ok(doc.get(key).unwrap_or(&NOTHING)),
            Place::Ary(ary) => Ok(&ary[index(key, ary.len())?]),
        }
    }

    fn set(&mut self, key: &str, value: Option<Node>) -> Result<(), StepError> {
        match self {
            Place::Doc(doc) => {
                doc.insert(key.to_owned(), value);
            }
            Place::Ary(ary) => {
                let at = index(key, ary.len())?;
                ary[at] = value;
            }
        }
        Ok(())
    }

    fn add(&mut self, key: &str, value: Option<Node>) -> Result<(), StepError> {
        match self {
            Place::Doc(doc) => {
                doc.insert(key.to_owned(), value);
            }
            Place::Ary(ary) if key == "-" => ary.push(value),
            Place::Ary(ary) => {
                let bad = |e| format!("value was not a proper array index: '{key}': {e}");
                let number = atoi(key).map_err(bad)?;
                let at = position(number, ary.len() + 1)?;
                if at > ary.len() {
                    return Err(format!("Unable to access invalid index: {number}: {INVALID_INDEX}"));
                }
                ary.insert(at, value);
            }
        }
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<Option<Node>, StepError> {
        match self {
            Place::Doc(doc) => {
                doc.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}"))
            }
            Place::Ary(ary) => {
                let at = index(key, ary.len())?;
                Ok(ary.remove(at))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applies() {
        for (doc, patch, want) in [
            (r#"{"foo":"bar"}"#, r#"[{"op":"add","path":"/baz","value":"qux"}]"#, r#"{"baz":"qux","foo":"bar"}"#),
            (r#"{"foo":[1,2]}"#, r#"[{"op":"add","path":"/foo/1","value":3}]"#, r#"{"foo":[1,3,2]}"#),
            (r#"{"foo":[1,2]}"#, r#"[{"op":"add","path":"/foo/-","value":3}]"#, r#"{"foo":[1,2,3]}"#),
            (r#"{"foo":[1,2]}"#, r#"[{"op":"add","path":"/foo/-1","value":3}]"#, r#"{"foo":[1,2,3]}"#),
            (r#"{"foo":[1,2]}"#, r#"[{"op":"remove","path":"/foo/-1"}]"#, r#"{"foo":[1]}"#),
            (r#"{"a":1}"#, r#"[{"op":"replace","path":"/b","value":2}]"#, r#"{"a":1,"b":2}"#),
            (r#"{"a":{"b":1}}"#, r#"[{"op":"move","from":"/a/b","path":"/c"}]"#, r#"{"a":{},"c":1}"#),
            (r#"{"a":[1,2]}"#, r#"[{"op":"copy","from":"/a/0","path":"/a/-"}]"#, r#"{"a":[1,2,1]}"#),
            (r#"{"a~b":{"c/d":1}}"#, r#"[{"op":"test","path":"/a~0b/c~1d","value":1}]"#, r#"{"a~b":{"c/d":1}}"#),
            (
                r#"{"a":{"x":1,"y":[1]}}"#,
                r#"[{"op":"test","path":"/a","value":{"y": [1], "x": 1}}]"#,
                r#"{"a":{"x":1,"y":[1]}}"#,
            ),
            (r#"{"a":1}"#, r#"[{"op":"test","path":"/none","value":null}]"#, r#"{"a":1}"#),
            (r#"{"a":1}"#, r#"[{"op":"replace","path":"","value":{"b":2}}]"#, r#"{"b":2}"#),
            (
                r#"{"z":{"b":1,"a":2}}"#,
                r#"[{"op":"add","path":"/y","value":"<"}]"#,
                r#"{"y":"\u003c","z":{"b":1,"a":2}}"#,
            ),
            (r#"{"a":1}"#, "null", r#"{"a":1}"#),
        ] {
            assert_eq!(String::from_utf8(apply(doc.as_bytes(), patch.as_bytes()).unwrap()).unwrap(), want, "{patch}");
        }
    }

    #[test]
    fn refuses() {
        let doc = br#"{"a":1,"l":[1]}"#;
        for (patch, want) in [
            (r#"[{"op":"test","path":"/a","value":2}]"#, "testing value /a failed: test failed"),
            (
                r#"[{"op":"remove","path":"/none"}]"#,
                "error in remove for path: '/none': Unable to remove nonexistent key: none: missing value",
            ),
            (
                r#"[{"op":"add","path":"/x/y","value":1}]"#,
                "add operation does not apply: doc is missing path: \"/x/y\": missing value",
            ),
            (
                r#"[{"op":"add","path":"/l/5","value":1}]"#,
                "error in add for path: '/l/5': Unable to access invalid index: 5: invalid index referenced",
            ),
            (
                r#"[{"op":"replace","path":"/l/x","value":1}]"#,
                "replace operation does not apply: doc is missing key: /l/x: missing value",
            ),
            (r#"[{"op":"bogus","path":"/a"}]"#, "Unexpected kind: bogus"),
            (r#"{"a":1}"#, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
            (r#"[1]"#, "json: cannot unmarshal number into Go value of type jsonpatch.Operation"),
        ] {
            assert_eq!(apply(doc, patch.as_bytes()).unwrap_err().to_string(), want, "{patch}");
        }
        let strict = JsonPatch::decode(br#"{}"#, true).unwrap_err();
        assert_eq!(
            strict.to_string(),
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        );
        let many = format!("[{}]", vec!["{}"; 10_001].join(","));
        let error = JsonPatch::decode(many.as_bytes(), true).unwrap_err();
        assert_eq!(
            error,
            PatchError::TooLarge("The allowed maximum operations in a JSON patch is 10000, got 10001".into())
        );
    }

    #[test]
    fn unknown_members() {
        let patch = JsonPatch::decode(br#"[{"op":"test","path":"/a","bogus":1}]"#, true).unwrap();
        assert_eq!(patch.strict_errors(), [r#"json patch unknown field "[0].bogus""#]);
    }
}
