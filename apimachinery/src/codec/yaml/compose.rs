//! Events of the YAML parser into a value: anchors, merges, keys of any type, duplicates. Expansion of aliases is bounded as in Go's library.

use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, StrInput};

use super::resolve::{Resolved, resolve};
use crate::codec::base64;
use crate::codec::json::write_float;
use crate::quote::quote;
use crate::value::{Key, Map, Value};

/// Collections nest at most this deep.
const MAX_DEPTH: usize = 500;

/// Why a text is no YAML, in the words of Go's library as far as the parser tells them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("yaml: {0}")]
pub struct YamlError(String);

/// One parsed document.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Its value; null if there is no document.
    pub value: Value,
    /// Keys that occur twice, `line 2: key "a" already set in map`.
    duplicates: Vec<String>,
}

impl Parsed {
    /// The strict error about keys that occur twice, if there are any.
    pub fn duplicates(&self) -> Option<String> {
        (!self.duplicates.is_empty()).then(|| format!("yaml: unmarshal errors:\n  {}", self.duplicates.join("\n  ")))
    }
}

/// Parses the first document of a text.
pub fn parse(text: &[u8]) -> Result<Parsed, YamlError> {
    let text = std::str::from_utf8(text)
        .map_err(|e| YamlError(format!("invalid leading UTF-8 octet (at byte {})", e.valid_up_to())))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut composer =
        Composer { events: Parser::new_from_str_with_options(text, options), nodes: Vec::new(), anchors: Vec::new() };
    let Some(root) = composer.document()? else { return Ok(Parsed::default()) };
    let mut builder = Builder {
        nodes: &composer.nodes,
        open: Vec::new(),
        decoded: 0,
        aliased: 0,
        alias_depth: 0,
        duplicates: Vec::new(),
    };
    let value = builder.value(root)?;
    Ok(Parsed { value, duplicates: builder.duplicates })
}

enum Node {
    Scalar { text: String, tag: String, plain: bool },
    List(Vec<usize>),
    Map(Vec<(usize, usize, usize)>),
    Alias(usize),
}

struct Composer<'a> {
    events: Parser<'a, StrInput<'a>>,
    nodes: Vec<Node>,
    /// (id of the parser, node)
    anchors: Vec<(usize, usize)>,
}

fn explain(error: &ScanError) -> YamlError {
    let message = error.kind().to_string();
    let line = match error.kind() {
        // Go's parser counts lines from 0 where its scanner counts from 1.
        ErrorKind::ExpectedNodeContent
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedDocumentStart => error.marker().line().saturating_sub(1),
        // This one is marked at the start of the scalar that the tab is in.
        ErrorKind::TabInPlainScalar => error.marker().line() + 1,
        _ => error.marker().line(),
    };
    let words = match error.kind() {
        ErrorKind::ExpectedNodeContent | ErrorKind::UnexpectedEof => "did not find expected node content",
        ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnclosedFlowCollection { .. } => "did not find expected node content",
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::UnexpectedEofBlockMapping => "did not find expected key",
        ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::UnexpectedEofBlockSequence => {
            "did not find expected '-' indicator"
        }
        ErrorKind::ExpectedFlowSequenceSeparator => "did not find expected ',' or ']'",
        ErrorKind::ExpectedFlowMappingSeparator => "did not find expected ',' or '}'",
        ErrorKind::ExpectedDocumentStart => "did not find expected <document start>",
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            "mapping values are not allowed in this context"
        }
        ErrorKind::MappingKeyNotAllowed => "mapping keys are not allowed in this context",
        ErrorKind::BlockSequenceEntryNotAllowed => "block sequence entries are not allowed in this context",
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => "could not find expected ':'",
        ErrorKind::UnclosedQuotedScalar => "found unexpected end of stream",
        ErrorKind::UnexpectedCharacter { .. } => "found character that cannot start any token",
        ErrorKind::UnknownQuotedScalarEscape => "found unknown escape character",
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar => "found a tab character that violates indentation",
        ErrorKind::UnknownAnchor => "unknown anchor referenced",
        ErrorKind::RecursionLimitExceeded => "exceeded max depth",
        _ => &message,
    };
    YamlError(if line > 0 { format!("line {line}: {words}") } else { words.to_owned() })
}

impl<'a> Composer<'a> {
    /// The root node of the first document.
    fn document(&mut self) -> Result<Option<usize>, YamlError> {
        loop {
            match self.events.next_event() {
                None => return Ok(None),
                Some(Err(error)) => return Err(explain(&error)),
                Some(Ok((Event::StreamStart | Event::DocumentStart(..), _))) => {}
                Some(Ok((Event::StreamEnd | Event::DocumentEnd, _))) => return Ok(None),
                Some(Ok((event, _))) => {
                    let root = self.node(event)?;
                    self.rest()?;
                    return Ok(Some(root));
                }
            }
        }
    }

    /// The end of the document has to be reached without an error.
    fn rest(&mut self) -> Result<(), YamlError> {
        match self.events.next_event() {
            Some(Err(error)) => Err(explain(&error)),
            _ => Ok(()),
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, usize), YamlError> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err(explain(&error)),
            None => Err(YamlError("unexpected end of events".to_owned())),
        }
    }

    fn add(&mut self, node: Node, anchor: usize) -> usize {
        self.nodes.push(node);
        let at = self.nodes.len() - 1;
        if anchor > 0 {
            self.anchors.push((anchor, at));
        }
        at
    }

    fn node(&mut self, event: Event<'a>) -> Result<usize, YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|t| t.to_string()).unwrap_or_default();
                let node = Node::Scalar { text: text.into_owned(), tag, plain: style == ScalarStyle::Plain };
                Ok(self.add(node, anchor))
            }
            Event::Alias(id) => {
                let target = self.anchors.iter().rev().find(|(a, _)| *a == id).map(|(_, at)| *at);
                let target = target.ok_or_else(|| YamlError("unknown anchor referenced".to_owned()))?;
                Ok(self.add(Node::Alias(target), 0))
            }
            Event::SequenceStart(_, anchor, _) => {
                let at = self.add(Node::List(Vec::new()), anchor);
                let mut items = Vec::new();
                loop {
                    let (event, _) = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    items.push(self.node(event)?);
                }
                self.nodes[at] = Node::List(items);
                Ok(at)
            }
            Event::MappingStart(_, anchor, _) => self.mapping(anchor),
            _ => Err(YamlError("unexpected event".to_owned())),
        }
    }

    fn mapping(&mut self, anchor: usize) -> Result<usize, YamlError> {
        let at = self.add(Node::Map(Vec::new()), anchor);
        let mut entries = Vec::new();
        loop {
            let (event, line) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event)?;
            let (event, _) = self.next()?;
            let value = self.node(event)?;
            entries.push((key, value, line));
        }
        self.nodes[at] = Node::Map(entries);
        Ok(at)
    }
}

/// Turns nodes into values, counting how much of it is due to aliases.
struct Builder<'a> {
    nodes: &'a [Node],
    /// Anchors that are being expanded.
    open: Vec<usize>,
    decoded: u64,
    aliased: u64,
    alias_depth: usize,
    duplicates: Vec<String>,
}

/// The share of a document that aliases may make up.
fn allowed_ratio(decoded: u64) -> f64 {
    const LOW: u64 = 400_000;
    const HIGH: u64 = 4_000_000;
    match decoded {
        ..=LOW => 0.99,
        HIGH.. => 0.10,
        _ => 0.99 - 0.89 * ((decoded - LOW) as f64 / (HIGH - LOW) as f64),
    }
}

impl Builder<'_> {
    fn count(&mut self) -> Result<(), YamlError> {
        self.decoded += 1;
        self.aliased += u64::from(self.alias_depth > 0);
        let many = self.aliased > 100 && self.decoded > 1000;
        if many && self.aliased as f64 / self.decoded as f64 > allowed_ratio(self.decoded) {
            return Err(YamlError("document contains excessive aliasing".to_owned()));
        }
        Ok(())
    }

    fn value(&mut self, at: usize) -> Result<Value, YamlError> {
        self.count()?;
        match &self.nodes[at] {
            Node::Scalar { text, tag, plain } => scalar(text, tag, *plain),
            Node::List(items) => items.iter().map(|i| self.value(*i)).collect::<Result<_, _>>().map(Value::List),
            Node::Map(entries) => {
                let mut map = Vec::new();
                self.entries(entries, &mut map)?;
                Ok(Value::Map(Map::from_entries(map)))
            }
            Node::Alias(target) => self.aliased(*target, |builder| builder.value(*target)),
        }
    }

    fn aliased<T>(
        &mut self,
        target: usize,
        body: impl FnOnce(&mut Self) -> Result<T, YamlError>,
    ) -> Result<T, YamlError> {
        if self.open.contains(&target) || self.open.len() > MAX_DEPTH {
            return Err(YamlError("anchor value contains itself".to_owned()));
        }
        self.open.push(target);
        self.alias_depth += 1;
        let result = body(self);
        self.alias_depth -= 1;
        self.open.pop();
        result
    }

    fn entries(&mut self, entries: &[(usize, usize, usize)], map: &mut Vec<(Key, Value)>) -> Result<(), YamlError> {
        for &(key, value, line) in entries {
            if matches!(&self.nodes[key], Node::Scalar { text, plain, tag } if text == "<<" && *plain && tag.is_empty())
            {
                self.merge(value, map)?;
                continue;
            }
            let key = self.value(key).and_then(key_text)?;
            let value = self.value(value)?;
            if map.iter().any(|(k, _)| *k == *key) {
                self.duplicates.push(format!("line {line}: key {} already set in map", quote(&key)));
            }
            map.push((Key::from(key), value));
        }
        Ok(())
    }

    /// Entries of other maps become entries of this one.
    fn merge(&mut self, at: usize, map: &mut Vec<(Key, Value)>) -> Result<(), YamlError> {
        let want_map = || YamlError("map merge requires map or sequence of maps as the value".to_owned());
        match &self.nodes[at] {
            Node::Map(entries) => self.entries(entries, map),
            Node::Alias(target) => match &self.nodes[*target] {
                Node::Map(entries) => self.aliased(*target, |builder| builder.entries(entries, map)),
                _ => Err(want_map()),
            },
            Node::List(items) => items.iter().rev().try_for_each(|item| match &self.nodes[*item] {
                Node::List(_) => Err(want_map()),
                _ => self.merge(*item, map),
            }),
            Node::Scalar { .. } => Err(want_map()),
        }
    }
}

fn scalar(text: &str, tag: &str, plain: bool) -> Result<Value, YamlError> {
    let short = tag.strip_prefix("tag:yaml.org,2002:").map_or(tag, |t| t).trim_start_matches('!');
    let resolved = match short {
        "str" => Resolved::Str,
        "binary" => {
            let bytes = base64::decode(text.as_bytes());
            let bytes = bytes.map_err(|_| YamlError("!!binary value contains invalid base64 data".to_owned()))?;
            return Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned()));
        }
        "" if plain => resolve(text),
        "bool" | "int" | "float" | "null" | "timestamp" => tagged(text, short)?,
        _ => Resolved::Str,
    };
    Ok(match resolved {
        Resolved::Null => Value::Null,
        Resolved::Bool(b) => Value::Bool(b),
        Resolved::Int(n) => Value::Int(n),
        // Values have no such numbers; as text they pass through JSON unchanged.
        Resolved::Uint(n) => Value::Raw(n.to_string().into()),
        Resolved::Float(f) => Value::Float(f),
        Resolved::Timestamp | Resolved::Str => Value::from(text),
    })
}

/// A scalar with an explicit tag has to be of that type; whole numbers are floats too.
fn tagged(text: &str, tag: &str) -> Result<Resolved, YamlError> {
    let resolved = resolve(text);
    let name = match resolved {
        Resolved::Null => "null",
        Resolved::Bool(_) => "bool",
        Resolved::Int(_) | Resolved::Uint(_) => "int",
        Resolved::Float(_) => "float",
        Resolved::Timestamp => "timestamp",
        Resolved::Str => "str",
    };
    match resolved {
        _ if name == tag => Ok(resolved),
        Resolved::Int(n) if tag == "float" => Ok(Resolved::Float(n as f64)),
        _ => Err(YamlError(format!("cannot decode !!{name} `{text}` as a !!{tag}"))),
    }
}

/// JSON has no keys but strings.
fn key_text(key: Value) -> Result<String, YamlError> {
    Ok(match key {
        Value::Str(text) => text.into(),
        Value::Int(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Raw(digits) => digits.into(),
        Value::Float(f) => {
            let mut out = Vec::new();
            write_float(f, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        }
        Value::Null => return Err(YamlError("unsupported map key of type: %!s(<nil>)".to_owned())),
        key => return Err(YamlError(format!("invalid map key: {key:?}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    fn read(text: &str) -> Value {
        parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}")).value
    }

    fn error(text: &str) -> String {
        parse(text.as_bytes()).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn manifests() {
        assert_eq!(
            read(
                "a: 0644\nb: yes\nc: '0644'\nd: \"no\"\ne: 1_000\nf: 2020-01-02\ng: ~\nh: |\n  x\n  y\ni: >-\n  x\n  y\nj: !!str 12\n"
            ),
            value!({"a": 420, "b": true, "c": "0644", "d": "no", "e": 1000, "f": "2020-01-02", "g": null, "h": "x\ny\n", "i": "x y", "j": "12"})
        );
        assert_eq!(read("- a\n-  - b\n   - {c: [d, 1.5]}\n"), value!(["a", ["b", {"c": ["d", 1.5]}]]));
        assert_eq!(read("x: &a {p: 1, q: 2}\nw:\n  <<: *a\n  q: 3\nz: *a\n").get("w"), &value!({"p": 1, "q": 3}));
        assert_eq!(read("1: a\ntrue: b\n0.5: c\n"), value!({"1": "a", "true": "b", "0.5": "c"}));
        assert_eq!(read("{\"a\": \"b\"}"), value!({"a": "b"}));
        assert_eq!(read(""), Value::Null);
        assert_eq!(read("# nothing\n---\n# more\n"), Value::Null);
        assert_eq!(read("---\na: 1\n---\nb: 2\n"), value!({"a": 1}));
    }

    #[test]
    fn errors() {
        assert_eq!(
            error("apiVersion: v1\n\tkind: x\n"),
            "yaml: line 2: found a tab character that violates indentation"
        );
        assert_eq!(error("{not yaml: ["), "yaml: line 1: did not find expected node content");
        assert_eq!(error("{"), "yaml: line 1: did not find expected node content");
        assert_eq!(
            parse(b"a: 1\na: 2\n").unwrap().duplicates().unwrap(),
            "yaml: unmarshal errors:\n  line 2: key \"a\" already set in map"
        );
        assert!(error("a: *x\n").contains("unknown anchor"));
        assert!(!error("a: &a [*a]\n").is_empty());
        assert!(!error("<<: 1\n").is_empty());
    }

    #[test]
    fn alias_bombs() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            text.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert_eq!(error(&text), "yaml: document contains excessive aliasing");
    }
}
