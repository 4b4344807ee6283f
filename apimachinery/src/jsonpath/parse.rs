//! Reading of templates.

use super::{JsonPathError, Node, Param, fail};
use crate::value::Value;

/// A template and how far it is read.
pub(super) struct Parser<'t> {
    input: &'t str,
    pos: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn new(input: &'t str) -> Self {
        Parser { input, pos: 0 }
    }

    fn rest(&self) -> &str {
        &self.input[self.pos..]
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    pub(super) fn template(&mut self) -> Result<Vec<Node>, JsonPathError> {
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
    let nodes = Parser::new(&wrapped).template()?;
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
