//! JSONPath templates: `{.items[*].metadata.name}`, ranges, filters, unions, text between braces.
//! Corresponds to client-go/util/jsonpath.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::codec::json;
use crate::gofmt::{format_float, sprint};
use crate::value::Value;

/// Why a template is refused or fails; the text is upstream's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonPathError(String);

fn fail<T>(text: impl Into<String>) -> Result<T, JsonPathError> {
    Err(JsonPathError(text.into()))
}

#[derive(Clone, Debug)]
enum Node {
    Text(String),
    List(Vec<Node>),
    Field(String),
    Identifier(String),
    Array([Param; 3]),
    Filter(Vec<Node>, Vec<Node>, String),
    Literal(Value),
    Wildcard,
    Recursive,
    Union(Vec<Vec<Node>>),
}

#[derive(Clone, Copy, Debug, Default)]
struct Param {
    value: i64,
    known: bool,
    derived: bool,
}

/// A parsed template.
#[derive(Clone, Debug)]
pub struct JsonPath {
    nodes: Vec<Node>,
    allow_missing: bool,
}

/// What one part of a template finds.
pub type Found<'v> = Vec<Cow<'v, Value>>;

impl JsonPath {
    /// Parses a template.
    pub fn parse(template: &str) -> Result<Self, JsonPathError> {
        let nodes = Parser { input: template, pos: 0 }.template()?;
        Ok(Self { nodes, allow_missing: false })
    }

    /// Whether a missing field is no error.
    #[must_use]
    pub fn allow_missing(mut self, allow: bool) -> Self {
        self.allow_missing = allow;
        self
    }

    /// The results, grouped by the template's top-level parts.
    pub fn find<'v>(&self, data: &'v Value) -> Result<Vec<Found<'v>>, JsonPathError> {
        let mut run = Run { nodes: &self.nodes, allow_missing: self.allow_missing, ..Run::default() };
        run.find(Some(Cow::Borrowed(data)), 0)
    }

    /// The text of the template for `data`.
    pub fn execute(&self, data: &Value) -> Result<String, JsonPathError> {
        let mut out = String::new();
        for group in self.find(data)? {
            let texts: Vec<String> = group.iter().map(|v| text_of(v)).collect();
            out.push_str(&texts.join(" "));
        }
        Ok(out)
    }
}

/// Text of one result.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Str(s) => s.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => format_float(*f),
        other => {
            let mut text = Vec::new();
            json::encode_untyped(other, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        }
    }
}

#[derive(Default)]
struct Run<'n> {
    nodes: &'n [Node],
    allow_missing: bool,
    begin_range: usize,
    in_range: usize,
    end_range: usize,
    last_end: Option<usize>,
}

impl<'n> Run<'n> {
    fn find<'v>(&mut self, data: Option<Cow<'v, Value>>, start: usize) -> Result<Vec<Found<'v>>, JsonPathError> {
        let current: Found<'v> = vec![data.unwrap_or(Cow::Owned(Value::Null))];
        let mut full = Vec::new();
        let mut i = start;
        while i < self.nodes.len() {
            let nodes = self.nodes;
            let results = self.walk(current.clone(), &nodes[i])?;
            if self.end_range > 0 && self.end_range <= self.in_range {
                self.end_range -= 1;
                self.last_end = Some(i);
                break;
            }
            if self.begin_range > 0 {
                self.begin_range -= 1;
                self.in_range += 1;
                if results.is_empty() {
                    self.find(None, i + 1)?;
                }
                for value in results {
                    full.extend(self.find(Some(value), i + 1)?);
                }
                self.in_range -= 1;
                if let Some(end) = self.last_end.filter(|end| *end > i) {
                    i = end;
                }
                i += 1;
                continue;
            }
            full.push(results);
            i += 1;
        }
        Ok(full)
    }

    fn list<'v>(&mut self, mut input: Found<'v>, nodes: &[Node]) -> Result<Found<'v>, JsonPathError> {
        for node in nodes {
            input = self.walk(input, node)?;
        }
        Ok(input)
    }

    fn walk<'v>(&mut self, input: Found<'v>, node: &Node) -> Result<Found<'v>, JsonPathError> {
        match node {
            Node::List(nodes) => self.list(input, nodes),
            Node::Text(text) => Ok(vec![Cow::Owned(Value::str(text.as_str()))]),
            Node::Literal(value) => Ok(input.iter().map(|_| Cow::Owned(value.clone())).collect()),
            Node::Field(name) => self.field(input, name),
            Node::Array(params) => array(input, params),
            Node::Filter(left, right, operator) => self.filter(input, left, right, operator),
            Node::Wildcard => Ok(input.into_iter().flat_map(children).collect()),
            Node::Recursive => Ok(recursive(input)),
            Node::Union(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(self.list(input.clone(), part)?);
                }
                Ok(all)
            }
            Node::Identifier(name) => self.identifier(input, name),
        }
    }

    fn identifier<'v>(&mut self, input: Found<'v>, name: &str) -> Result<Found<'v>, JsonPathError> {
        match name {
            "range" => {
                self.begin_range += 1;
                Ok(input)
            }
            "end" if self.in_range > 0 => {
                self.end_range += 1;
                Ok(Vec::new())
            }
            "end" => fail("not in range, nothing to end"),
            _ => fail(format!("unrecognized identifier {name}")),
        }
    }

    fn field<'v>(&self, input: Found<'v>, name: &str) -> Result<Found<'v>, JsonPathError> {
        if input.is_empty() {
            return Ok(input);
        }
        let results: Found<'v> = input.into_iter().filter_map(|value| member(value, name)).collect();
        if results.is_empty() && !self.allow_missing {
            return fail(format!("{name} is not found"));
        }
        Ok(results)
    }

    fn filter<'v>(
        &mut self,
        input: Found<'v>,
        left: &[Node],
        right: &[Node],
        operator: &str,
    ) -> Result<Found<'v>, JsonPathError> {
        let mut results = Vec::new();
        for value in input {
            if value.as_list().is_none() {
                return fail(format!("{} is not array or slice and cannot be filtered", sprint(&value)));
            }
            for item in elements(value) {
                let lefts = self.list(vec![item.clone()], left);
                if operator == "exists" {
                    if lefts.is_ok_and(|l| !l.is_empty()) {
                        results.push(item);
                    }
                    continue;
                }
                let lefts = lefts?;
                let rights = self.list(vec![item.clone()], right)?;
                if lefts.is_empty() || rights.is_empty() {
                    continue;
                }
                if lefts.len() > 1 || rights.len() > 1 {
                    return fail("can only compare one element at a time");
                }
                if compare(&lefts[0], &rights[0], operator)? {
                    results.push(item);
                }
            }
        }
        Ok(results)
    }
}

fn member<'v>(value: Cow<'v, Value>, name: &str) -> Option<Cow<'v, Value>> {
    match value {
        Cow::Borrowed(value) => value.as_map()?.get(name).map(Cow::Borrowed),
        Cow::Owned(mut value) => value.get_mut(name).map(|v| Cow::Owned(v.take())),
    }
}

fn elements(value: Cow<'_, Value>) -> Vec<Cow<'_, Value>> {
    match value {
        Cow::Borrowed(value) => value.items().iter().map(Cow::Borrowed).collect(),
        Cow::Owned(value) => value.items().iter().cloned().map(Cow::Owned).collect(),
    }
}

/// Members of a map or list.
fn children(value: Cow<'_, Value>) -> Vec<Cow<'_, Value>> {
    match value {
        Cow::Borrowed(Value::Map(map)) => map.values().map(Cow::Borrowed).collect(),
        Cow::Owned(Value::Map(map)) => map.values().cloned().map(Cow::Owned).collect(),
        other => elements(other),
    }
}

fn recursive(input: Found<'_>) -> Found<'_> {
    let mut results = Vec::new();
    for value in input {
        let below = children(value.clone());
        if !below.is_empty() {
            results.push(value);
            results.extend(recursive(below));
        }
    }
    results
}

fn array<'v>(input: Found<'v>, params: &[Param; 3]) -> Result<Found<'v>, JsonPathError> {
    let mut results = Vec::new();
    for value in input {
        if value.is_null() {
            continue;
        }
        let Some(list) = value.as_list() else {
            return fail(format!("{} is not array or slice", go_type(&value)));
        };
        let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
        let mut first = if params[0].known { params[0].value } else { 0 };
        if first < 0 {
            first += length;
        }
        let mut end = if params[1].known { params[1].value } else { length };
        if end < 0 || (end == 0 && params[1].derived) {
            end += length;
        }
        if end == first {
            return Ok(results);
        }
        if first >= length || first < 0 {
            return fail(format!("array index out of bounds: index {first}, length {length}"));
        }
        if end > length || end < 0 {
            return fail(format!("array index out of bounds: index {}, length {length}", end - 1));
        }
        if first > end {
            return fail(format!("starting index {first} is greater than ending index {end}"));
        }
        let step = if params[2].known { params[2].value } else { 1 };
        if step <= 0 {
            return fail("step must be > 0");
        }
        let wanted = |i: usize| {
            let i = i64::try_from(i).unwrap_or(i64::MAX);
            i >= first && i < end && (i - first) % step == 0
        };
        let items = elements(value).into_iter().enumerate();
        results.extend(items.filter(|(i, _)| wanted(*i)).map(|(_, v)| v));
    }
    Ok(results)
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Map(_) => "map[string]interface {}",
        Value::Str(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        _ => "interface {}",
    }
}

fn compare(left: &Value, right: &Value, operator: &str) -> Result<bool, JsonPathError> {
    let order = match (left, right) {
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) if matches!(operator, "==" | "!=") => Some(a.cmp(b)),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Int(_), Value::Float(_)) | (Value::Float(_), Value::Int(_)) => {
            left.as_f64().partial_cmp(&right.as_f64())
        }
        _ => None,
    };
    let Some(order) = order else {
        return fail("incompatible types for comparison");
    };
    match operator {
        "==" => Ok(order == Ordering::Equal),
        "!=" => Ok(order != Ordering::Equal),
        "<" => Ok(order == Ordering::Less),
        ">" => Ok(order == Ordering::Greater),
        "<=" => Ok(order != Ordering::Greater),
        ">=" => Ok(order != Ordering::Less),
        other => fail(format!("unrecognized filter operator {other}")),
    }
}

struct Parser<'t> {
    input: &'t str,
    pos: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.input[self.pos..]
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn template(&mut self) -> Result<Vec<Node>, JsonPathError> {
        let mut nodes = Vec::new();
        while !self.rest().is_empty() {
            match self.rest().find('{') {
                Some(0) => {
                    self.pos += 1;
                    nodes.push(Node::List(self.action()?));
                }
                other => {
                    let length = other.unwrap_or(self.rest().len());
                    nodes.push(Node::Text(self.rest()[..length].to_owned()));
                    self.pos += length;
                }
            }
        }
        Ok(nodes)
    }

    /// What is between braces, up to and including the closing one.
    fn action(&mut self) -> Result<Vec<Node>, JsonPathError> {
        let mut nodes = Vec::new();
        loop {
            let rest = self.rest();
            if rest.starts_with('}') {
                self.pos += 1;
                return Ok(nodes);
            }
            if rest.starts_with("[?(") {
                nodes.push(self.filter()?);
                continue;
            }
            if rest.starts_with("..") {
                if matches!(nodes.last(), Some(Node::Recursive)) {
                    return fail("invalid multiple recursive descent");
                }
                self.pos += 2;
                nodes.push(Node::Recursive);
                if self.rest().chars().next().is_some_and(is_word) {
                    nodes.push(self.field());
                }
                continue;
            }
            let start = self.pos;
            match self.next() {
                None | Some('\n' | '\r') => return fail("unclosed action"),
                Some(' ' | '@' | '$') => {}
                Some('[') => self.array(&mut nodes)?,
                Some(quote @ ('"' | '\'')) => nodes.push(self.quoted(start, quote)?),
                Some('.') => nodes.push(self.field()),
                Some(c) if c == '+' || c == '-' || c.is_ascii_digit() => {
                    self.pos = start;
                    nodes.push(self.number()?);
                }
                Some(c) if is_word(c) => {
                    self.pos = start;
                    let word = self.take_until_terminator();
                    nodes.push(match word.as_str() {
                        "true" | "false" => Node::Literal(Value::Bool(word == "true")),
                        _ => Node::Identifier(word),
                    });
                }
                Some(c) => {
                    return fail(format!("unrecognized character in action: U+{:04X} '{c}'", c as u32));
                }
            }
        }
    }

    fn take_until_terminator(&mut self) -> String {
        let start = self.pos;
        while let Some(c) = self.rest().chars().next() {
            if is_terminator(c) {
                break;
            }
            self.pos += c.len_utf8();
        }
        self.input[start..self.pos].to_owned()
    }

    fn field(&mut self) -> Node {
        let mut name = String::new();
        while let Some(c) = self.rest().chars().next() {
            if c == '\\' {
                self.pos += 1;
                name.extend(self.next());
                continue;
            }
            if is_terminator(c) {
                break;
            }
            name.push(c);
            self.pos += c.len_utf8();
        }
        if name == "*" { Node::Wildcard } else { Node::Field(name) }
    }

    fn number(&mut self) -> Result<Node, JsonPathError> {
        let start = self.pos;
        if self.rest().starts_with(['+', '-']) {
            self.pos += 1;
        }
        while self.rest().starts_with(|c: char| c == '.' || c.is_ascii_digit()) {
            self.pos += 1;
        }
        let text = &self.input[start..self.pos];
        if let Ok(number) = text.trim_start_matches('+').parse::<i64>() {
            return Ok(Node::Literal(Value::Int(number)));
        }
        match text.parse::<f64>() {
            Ok(number) => Ok(Node::Literal(Value::Float(number))),
            Err(_) => fail(format!("cannot parse number {text}")),
        }
    }

    fn quoted(&mut self, start: usize, quote: char) -> Result<Node, JsonPathError> {
        loop {
            match self.next() {
                None | Some('\n') => return fail("unterminated quoted string"),
                Some(c) if c == quote && self.input.as_bytes()[self.pos - 2] != b'\\' => break,
                Some(_) => {}
            }
        }
        let raw = &self.input[start..self.pos];
        match unquote(&raw[1..raw.len() - 1]) {
            Some(text) => Ok(Node::Text(text)),
            None => fail(format!("unquote string {raw} error invalid syntax")),
        }
    }

    fn array(&mut self, nodes: &mut Vec<Node>) -> Result<(), JsonPathError> {
        let Some(length) = self.rest().find([']', '\n']).filter(|at| self.rest()[*at..].starts_with(']')) else {
            return fail("unterminated array");
        };
        let text = self.rest()[..length].to_owned();
        self.pos += length + 1;
        let text = if text == "*" { ":".to_owned() } else { text };
        if text.contains(',') {
            let mut parts = Vec::new();
            for part in text.split(',') {
                parts.push(sub_action(&format!("[{}]", part.trim_matches(' ')))?);
            }
            nodes.push(Node::Union(parts));
            return Ok(());
        }
        let inner = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
        if let Some(key) = inner.filter(|k| !k.contains('\'')) {
            nodes.extend(sub_action(&format!(".{key}"))?);
            return Ok(());
        }
        nodes.push(Node::Array(slice(&text)?));
        Ok(())
    }

    fn filter(&mut self) -> Result<Node, JsonPathError> {
        self.pos += 3;
        let start = self.pos;
        let mut begin = false;
        let mut end = false;
        let mut pair = ' ';
        loop {
            match self.next() {
                None | Some('\n') => return fail("unterminated filter"),
                Some(c @ ('"' | '\'')) => {
                    if !begin {
                        begin = true;
                        pair = c;
                    } else if c == pair && self.input.as_bytes()[self.pos - 2] != b'\\' {
                        end = true;
                    }
                }
                Some(')') if begin == end => break,
                Some(_) => {}
            }
        }
        let text = self.input[start..self.pos - 1].to_owned();
        if self.next() != Some(']') {
            return fail("unclosed array expect ]");
        }
        let is_operator = |c: char| "!<>=".contains(c);
        let split = text.find(is_operator).filter(|at| *at > 0).and_then(|at| {
            let width = text[at..].find(|c| !is_operator(c)).unwrap_or(text.len() - at);
            let right = &text[at + width..];
            (!right.is_empty()).then(|| (&text[..at], &text[at..at + width], right))
        });
        match split {
            None => Ok(Node::Filter(sub_action(&text)?, Vec::new(), "exists".to_owned())),
            Some((left, operator, right)) => {
                Ok(Node::Filter(sub_action(left)?, sub_action(right)?, operator.to_owned()))
            }
        }
    }
}

fn sub_action(text: &str) -> Result<Vec<Node>, JsonPathError> {
    let wrapped = format!("{{{text}}}");
    let nodes = Parser { input: &wrapped, pos: 0 }.template()?;
    match nodes.into_iter().next() {
        Some(Node::List(nodes)) => Ok(nodes),
        _ => fail("unclosed action"),
    }
}

fn slice(text: &str) -> Result<[Param; 3], JsonPathError> {
    let parts: Vec<&str> = text.split(':').collect();
    let valid = |p: &str| {
        let digits = p.strip_prefix('-').unwrap_or(p);
        digits.chars().all(|c| c.is_ascii_digit())
    };
    if parts.len() > 3 || !parts.iter().all(|p| valid(p)) {
        return fail(format!("invalid array index {text}"));
    }
    let mut params = [Param::default(); 3];
    for (i, part) in parts.iter().enumerate() {
        if part.is_empty() {
            continue;
        }
        let Ok(value) = part.parse() else {
            return fail(format!("array index {part} is not a number"));
        };
        params[i] = Param { value, known: true, derived: false };
    }
    if parts.len() == 1 {
        params[1] = Param { value: params[0].value + 1, known: true, derived: true };
    }
    Ok(params)
}

fn unquote(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '\\' => '\\',
            '"' => '"',
            '\'' => '\'',
            'x' => {
                let digits: String = chars.by_ref().take(2).collect();
                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
            }
            'u' => {
                let digits: String = chars.by_ref().take(4).collect();
                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
            }
            _ => return None,
        });
    }
    Some(out)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn is_terminator(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

#[cfg(test)]
mod tests {
    use super::JsonPath;

    fn data() -> crate::value::Value {
        serde_json::json!({
            "kind": "List",
            "items": [
                {"kind": "None", "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
                 "status": {"capacity": {"cpu": "4"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}]}},
                {"kind": "None", "metadata": {"name": "127.0.0.2"},
                 "status": {"capacity": {"cpu": "8"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.2"}, {"type": "another", "address": "127.0.0.3"}]}}
            ],
            "users": [{"name": "myself", "user": {}}, {"name": "e2e", "user": {"username": "admin", "password": "secret"}}],
            "n": 3, "f": 1.5, "z": null
        })
        .into()
    }

    #[test]
    fn templates() {
        for (template, want) in [
            ("kind is {.kind}", "kind is List"),
            ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
            ("{.items[*]['metadata.name', 'status.capacity']}", "127.0.0.1 127.0.0.2 {\"cpu\":\"4\"} {\"cpu\":\"8\"}"),
            ("{.users[?(@.name==\"e2e\")].user.password}", "secret"),
            ("{.items[0].metadata.labels.kubernetes\\.io/hostname}", "127.0.0.1"),
            (
                "{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
                "[127.0.0.1, {\"cpu\":\"4\"}] [127.0.0.2, {\"cpu\":\"8\"}] ",
            ),
            ("{range .items[*]}{.metadata.name}{\"\\t\"}{end}{.n}", "127.0.0.1\t127.0.0.2\t3"),
            ("{..address}", "127.0.0.1 127.0.0.2 127.0.0.3"),
            ("{.items[-1:].metadata.name}", "127.0.0.2"),
            ("{.items[-1].metadata.name}", "127.0.0.2"),
            ("{.f} {.z}", "1.5 null"),
            (
                "{range .items[*]}{range .status.addresses[*]}{.address},{end}; {end}",
                "127.0.0.1,; 127.0.0.2,127.0.0.3,; ",
            ),
        ] {
            let got = JsonPath::parse(template).and_then(|p| p.execute(&data())).map_err(|e| e.to_string());
            assert_eq!(got.as_deref(), Ok(want), "{template}");
        }
    }

    #[test]
    fn errors() {
        for (template, want) in [
            ("{.nope}", "nope is not found"),
            ("{.items[5]}", "array index out of bounds: index 5, length 2"),
            ("{.a", "unclosed action"),
            ("{.items[a]}", "invalid array index a"),
            ("{foo}", "unrecognized identifier foo"),
        ] {
            let got = JsonPath::parse(template).and_then(|p| p.execute(&data())).map_err(|e| e.to_string());
            assert_eq!(got, Err(want.to_owned()), "{template}");
        }
    }
}
