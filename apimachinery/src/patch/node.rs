//! JSON text that is taken apart only where a patch touches it. What is not touched keeps the order of its members, which is
//! visible in error messages.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The members of an object; null is `None`.
pub(super) type Doc = BTreeMap<String, Option<Node>>;
/// The elements of an array; null is `None`.
pub(super) type Ary = Vec<Option<Node>>;

/// A JSON value other than null.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// As it came.
    Raw(Box<RawValue>),
    /// An object that was taken apart.
    Doc(Doc),
    /// An array that was taken apart.
    Ary(Ary),
}

fn raw(value: Option<Box<RawValue>>) -> Option<Node> {
    value.map(Node::Raw)
}

fn parse_doc(text: &str) -> Option<Doc> {
    let members: BTreeMap<String, Option<Box<RawValue>>> = serde_json::from_str(text).ok()?;
    Some(members.into_iter().map(|(k, v)| (k, raw(v))).collect())
}

fn parse_ary(text: &str) -> Option<Ary> {
    let elements: Vec<Option<Box<RawValue>>> = serde_json::from_str(text).ok()?;
    Some(elements.into_iter().map(raw).collect())
}

impl Node {
    /// The JSON value that `text` is; `None` for null.
    ///
    /// # Errors
    /// If it is no JSON.
    pub(super) fn parse(text: &[u8]) -> Result<Option<Node>, serde_json::Error> {
        let value: Option<Box<RawValue>> = serde_json::from_slice(text)?;
        Ok(raw(value))
    }

    /// The members, if it is an object.
    pub(super) fn doc_mut(&mut self) -> Option<&mut Doc> {
        if let Node::Raw(text) = self {
            *self = Node::Doc(parse_doc(text.get())?);
        }
        if let Node::Doc(doc) = self { Some(doc) } else { None }
    }

    /// The elements, if it is an array.
    pub(super) fn ary_mut(&mut self) -> Option<&mut Ary> {
        if let Node::Raw(text) = self {
            *self = Node::Ary(parse_ary(text.get())?);
        }
        if let Node::Ary(ary) = self { Some(ary) } else { None }
    }

    /// True if the text of both is the same, whatever the spaces and the order of members.
    pub(super) fn equal(&self, other: &Node) -> bool {
        let (mut a, mut b) = (self.clone(), other.clone());
        if let Some(a) = a.doc_mut() {
            let same = |b: &Doc| a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| equal(v, w)));
            return b.doc_mut().is_some_and(|b| same(b));
        }
        if let Some(a) = a.ary_mut() {
            let same = |b: &Ary| a.len() == b.len() && a.iter().zip(b).all(|(v, w)| equal(v, w));
            return b.ary_mut().is_some_and(|b| same(b));
        }
        matches!((a, b), (Node::Raw(a), Node::Raw(b)) if a.get().trim() == b.get().trim())
    }

    /// Appends the JSON text, without spaces.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Node::Raw(text) => compact(text.get(), out),
            Node::Doc(doc) => write_list(out, ['{', '}'], doc, |out, (key, value)| {
                out.push_str(&crate::quote::json_string(key));
                out.push(':');
                write(value.as_ref(), out);
            }),
            Node::Ary(ary) => write_list(out, ['[', ']'], ary, |out, value| write(value.as_ref(), out)),
        }
    }
}

/// [`Node::equal`] where either may be null.
pub(super) fn equal(a: &Option<Node>, b: &Option<Node>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.equal(b),
        _ => false,
    }
}

fn write(value: Option<&Node>, out: &mut String) {
    match value {
        Some(node) => node.write(out),
        None => out.push_str("null"),
    }
}

fn write_list<T>(
    out: &mut String,
    brackets: [char; 2],
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut String, T),
) {
    out.push(brackets[0]);
    for (i, value) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        item(out, value);
    }
    out.push(brackets[1]);
}

/// JSON text without the spaces between its tokens and with the characters escaped that Go escapes.
fn compact(text: &str, out: &mut String) {
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        if !quoted && c.is_ascii_whitespace() {
            continue;
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
}
