//! The JSON form of field sets, `FieldsV1`: `{"f:spec":{"f:replicas":{}}}`.

use super::set::{FieldSet, PathElement};
use crate::codec::json::{decode_untyped, encode_untyped};
use crate::quote::json_string;
use crate::value::Value;

/// Why text is no field set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// It is no JSON.
    #[error("{0}")]
    Json(String),
    /// A key is no path element.
    #[error("parsing key as path element: {0}")]
    Element(String),
}

impl FieldSet {
    /// The JSON form.
    pub fn to_fields_v1(&self) -> String {
        let mut out = String::new();
        self.write(false, &mut out);
        out
    }

    fn write(&self, itself: bool, out: &mut String) {
        let mut first = true;
        let mut key = |text: &str, out: &mut String| {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            out.push_str(text);
            out.push(':');
        };
        out.push('{');
        if itself && !self.is_empty() {
            key("\".\"", out);
            out.push_str("{}");
        }
        let (mut members, mut children) = (self.members.iter().peekable(), self.children.iter().peekable());
        loop {
            let order = match (members.peek(), children.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(m), Some(c)) => (*m).cmp(&c.0),
            };
            let member = if order.is_le() { members.next() } else { None };
            let child = if order.is_ge() { children.next() } else { None };
            if let Some(element) = member.or(child.map(|c| &c.0)) {
                key(&element_key(element), out);
            }
            match child {
                Some((_, set)) => set.write(member.is_some(), out),
                None => out.push_str("{}"),
            }
        }
        out.push('}');
    }

    /// Reads the JSON form. Elements of an unknown type are skipped.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn from_fields_v1(text: &str) -> Result<FieldSet, FieldsError> {
        let tree = decode_untyped(text.as_bytes()).map_err(|e| FieldsError::Json(e.to_string()))?;
        Ok(read(&tree)?.0.unwrap_or_default())
    }
}

/// The set in `tree`, and whether the element that holds it is a member itself.
fn read(tree: &Value) -> Result<(Option<FieldSet>, bool), FieldsError> {
    let mut set: Option<FieldSet> = None;
    let mut itself = false;
    for (key, below) in tree.entries() {
        if key == "." {
            itself = true;
            continue;
        }
        let Some(element) = parse_element(key)? else { continue };
        let (children, is_member) = read(below)?;
        let set = set.get_or_insert_with(FieldSet::default);
        if let Some(children) = children {
            *set.descend(&element) = children;
        }
        if is_member {
            set.insert_member(element);
        }
    }
    let itself = itself || set.is_none();
    Ok((set, itself))
}

/// The element as a JSON string that can be the key of an object.
fn element_key(element: &PathElement) -> String {
    json_string(&match element {
        PathElement::Field(name) => format!("f:{name}"),
        PathElement::Key(fields) => {
            let member = |(name, value): &(Box<str>, Value)| format!("{}:{}", json_string(name), json(value));
            format!("k:{{{}}}", fields.iter().map(member).collect::<Vec<_>>().join(","))
        }
        PathElement::Value(value) => format!("v:{}", json(value)),
        PathElement::Index(i) => format!("i:{i}"),
    })
}

fn json(value: &Value) -> String {
    let mut out = Vec::new();
    encode_untyped(value, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn parse_element(key: &str) -> Result<Option<PathElement>, FieldsError> {
    let bad = |why: String| FieldsError::Element(why);
    let parse = |text: &str| decode_untyped(text.as_bytes()).map_err(|e| FieldsError::Element(e.to_string()));
    if key.len() < 2 {
        return Err(bad("key must be 2 characters long:".to_owned()));
    }
    let Some((kind, content)) = key.split_once(':').filter(|(kind, _)| kind.len() == 1) else {
        return Err(bad(format!("missing colon: {key}")));
    };
    Ok(Some(match kind {
        "f" => PathElement::field(content),
        "v" => PathElement::Value(parse(content)?),
        "k" => match parse(content)? {
            Value::Map(fields) => {
                PathElement::Key(fields.into_iter().map(|(name, value)| (name.as_str().into(), value)).collect())
            }
            _ => return Err(bad(format!("no object: {content}"))),
        },
        "i" => PathElement::Index(content.parse().map_err(|_| bad(format!("no number: {content}")))?),
        _ => return Ok(None),
    }))
}
