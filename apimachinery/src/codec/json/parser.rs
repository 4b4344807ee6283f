//! The bytes of a JSON text: tokens, and values without a schema. It may accept or refuse without saying why: a refusal is explained by the
//! syntax check afterwards.

use std::borrow::Cow;

use crate::value::{Key, Map, Value};

/// Why reading stopped.
#[derive(Debug)]
pub(super) enum Fail {
    /// The text is no JSON, or nests too deeply.
    Syntax,
    /// A value refused what it was given, with this message.
    Hard(String),
}

pub(super) type Res<T> = Result<T, Fail>;

/// What strict decoding finds, in order and without repeats.
#[derive(Default)]
pub(super) struct StrictErrors(pub(super) Vec<String>);

impl StrictErrors {
    /// Upstream stops noting after this many.
    const MAX: usize = 100;

    pub(super) fn add(&mut self, error: String) {
        if self.0.len() < Self::MAX && !self.0.contains(&error) {
            self.0.push(error);
        }
    }
}

/// One step of the way to the current value.
pub(super) enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

/// A place in a text.
pub(super) struct Parser<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
    pub(super) depth: usize,
    pub(super) max_depth: usize,
    pub(super) strict: bool,
    pub(super) strict_errors: StrictErrors,
    /// Kept only when strict.
    pub(super) path: Vec<Step<'a>>,
    /// The first error that did not stop the reading.
    pub(super) saved: Option<String>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a [u8], strict: bool, max_depth: usize) -> Parser<'a> {
        Parser {
            text,
            at: 0,
            depth: 0,
            max_depth,
            strict,
            strict_errors: StrictErrors::default(),
            path: Vec::new(),
            saved: None,
        }
    }

    pub(super) fn peek(&mut self) -> Res<u8> {
        while let Some(&c) = self.text.get(self.at) {
            if !matches!(c, b' ' | b'\n' | b'\t' | b'\r') {
                return Ok(c);
            }
            self.at += 1;
        }
        Err(Fail::Syntax)
    }

    pub(super) fn end(&mut self) -> Res<()> {
        if self.peek().is_ok() { Err(Fail::Syntax) } else { Ok(()) }
    }

    pub(super) fn expect(&mut self, c: u8) -> Res<()> {
        if self.peek()? != c {
            return Err(Fail::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Res<()> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(Fail::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    pub(super) fn null(&mut self) -> Res<()> {
        self.word("null")
    }

    pub(super) fn boolean(&mut self) -> Res<bool> {
        let value = self.text[self.at] == b't';
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// The text of a number.
    pub(super) fn number(&mut self) -> Res<&'a str> {
        let start = self.at;
        if self.text[self.at] == b'-' {
            self.at += 1;
        }
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(Fail::Syntax),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        std::str::from_utf8(&self.text[start..self.at]).map_err(|_| Fail::Syntax)
    }

    fn digits(&mut self) -> Res<()> {
        let start = self.at;
        while matches!(self.text.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(Fail::Syntax) } else { Ok(()) }
    }

    /// The string that starts here.
    pub(super) fn string(&mut self) -> Res<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    let inside = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(String::from_utf8_lossy(inside));
                }
                Some(b'\\') => return self.escaped(start).map(Cow::Owned),
                Some(0x20..) => self.at += 1,
                _ => return Err(Fail::Syntax),
            }
        }
    }

    /// The rest of a string in which the first backslash was found.
    fn escaped(&mut self, start: usize) -> Res<String> {
        let mut out = self.text[start..self.at].to_vec();
        loop {
            let Some(&c) = self.text.get(self.at) else { return Err(Fail::Syntax) };
            self.at += 1;
            match c {
                b'"' => break,
                b'\\' => self.escape(&mut out)?,
                0x20.. => out.push(c),
                _ => return Err(Fail::Syntax),
            }
        }
        Ok(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Res<()> {
        let c = *self.text.get(self.at).ok_or(Fail::Syntax)?;
        self.at += 1;
        out.push(match c {
            b'"' | b'\\' | b'/' => c,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let c = self.unicode()?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(Fail::Syntax),
        });
        Ok(())
    }

    /// The character after `\u`; a surrogate without its other half becomes U+FFFD.
    fn unicode(&mut self) -> Res<char> {
        let first = self.hex4(self.at).ok_or(Fail::Syntax)?;
        self.at += 4;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let second = self.hex4(self.at + 2).ok_or(Fail::Syntax)?;
            if (0xdc00..0xe000).contains(&second) {
                self.at += 6;
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 4)?;
        digits.iter().try_fold(0, |n, c| Some(n << 4 | char::from(*c).to_digit(16)?))
    }

    /// Enters a container; to be followed by [`Parser::leave`].
    pub(super) fn enter(&mut self) -> Res<()> {
        self.at += 1;
        self.depth += 1;
        if self.depth > self.max_depth { Err(Fail::Syntax) } else { Ok(()) }
    }

    pub(super) fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    /// After a container was entered, or after a member: true if another member follows.
    pub(super) fn more(&mut self, first: bool, close: u8) -> Res<bool> {
        let c = self.peek()?;
        if c == close {
            return Ok(false);
        }
        if !first {
            if c != b',' {
                return Err(Fail::Syntax);
            }
            self.at += 1;
            if self.peek()? == close {
                return Err(Fail::Syntax);
            }
        }
        Ok(true)
    }

    /// The key of a member and its colon.
    pub(super) fn key(&mut self) -> Res<Cow<'a, str>> {
        if self.peek()? != b'"' {
            return Err(Fail::Syntax);
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Walks over a value and returns its text.
    pub(super) fn skip(&mut self) -> Res<&'a [u8]> {
        self.peek()?;
        let start = self.at;
        self.skip_value()?;
        Ok(&self.text[start..self.at])
    }

    fn skip_value(&mut self) -> Res<()> {
        // One bit per open container would do; a byte is simpler. Depth is bounded by the text check below.
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.peek()? {
                b'{' => {
                    self.at += 1;
                    open.push(b'}');
                    if self.more(true, b'}')? {
                        self.skip_key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    open.push(b']');
                    if self.more(true, b']')? {
                        continue;
                    }
                }
                b'"' => self.skip_string()?,
                b'-' | b'0'..=b'9' => drop(self.number()?),
                b't' | b'f' => drop(self.boolean()?),
                b'n' => self.null()?,
                _ => return Err(Fail::Syntax),
            }
            if open.len() + self.depth > 10_000 {
                return Err(Fail::Syntax);
            }
            if !self.close(&mut open)? {
                return Ok(());
            }
        }
    }

    /// After a value inside containers: closes what ends here and stands before the next value. False if all are closed.
    fn close(&mut self, open: &mut Vec<u8>) -> Res<bool> {
        let mut fresh = matches!(self.text.get(self.at - 1), Some(b'{' | b'['));
        while let Some(&close) = open.last() {
            if self.more(fresh, close)? {
                if close == b'}' {
                    self.skip_key()?;
                }
                return Ok(true);
            }
            self.at += 1;
            open.pop();
            fresh = false;
        }
        Ok(false)
    }

    fn skip_key(&mut self) -> Res<()> {
        if self.peek()? != b'"' {
            return Err(Fail::Syntax);
        }
        self.skip_string()?;
        self.expect(b':')
    }

    fn skip_string(&mut self) -> Res<()> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let escape = self.text.get(self.at + 1).ok_or(Fail::Syntax)?;
                    match escape {
                        b'u' => {
                            self.hex4(self.at + 2).ok_or(Fail::Syntax)?;
                            self.at += 6;
                        }
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
                        _ => return Err(Fail::Syntax),
                    }
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(Fail::Syntax),
            }
        }
    }

    /// `kind "path.field"`, as strict errors are written.
    pub(super) fn strict_error(&mut self, kind: &str, field: &str) {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if path.is_empty() => path.push_str(key),
                Step::Key(key) => path.extend([".", key]),
                Step::Index(i) => path.push_str(&format!("[{i}]")),
            }
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(field);
        self.strict_errors.add(format!("{kind} {}", crate::quote::quote(&path)));
    }

    pub(super) fn push(&mut self, step: Step<'a>) {
        if self.strict {
            self.path.push(step);
        }
    }

    pub(super) fn pop(&mut self) {
        if self.strict {
            self.path.pop();
        }
    }

    /// A value without a schema.
    pub(super) fn any(&mut self) -> Res<Value> {
        Ok(match self.peek()? {
            b'{' => Value::Map(self.any_map()?),
            b'[' => self.any_list()?,
            b'"' => Value::Str(self.string()?.into()),
            b't' | b'f' => Value::Bool(self.boolean()?),
            b'n' => {
                self.null()?;
                Value::Null
            }
            b'-' | b'0'..=b'9' => self.any_number()?,
            _ => return Err(Fail::Syntax),
        })
    }

    fn any_number(&mut self) -> Res<Value> {
        let text = self.number()?;
        if !text.contains('.')
            && let Ok(n) = text.parse()
        {
            return Ok(Value::Int(n));
        }
        let f: f64 = text.parse().map_err(|_| Fail::Syntax)?;
        if f.is_infinite() {
            self.saved
                .get_or_insert_with(|| format!("json: cannot unmarshal number {text} into Go value of type float64"));
            return Ok(Value::Null);
        }
        Ok(Value::Float(f))
    }

    fn any_list(&mut self) -> Res<Value> {
        self.enter()?;
        let mut items = Vec::new();
        while self.more(items.is_empty(), b']')? {
            self.push(Step::Index(items.len()));
            items.push(self.any()?);
            self.pop();
        }
        self.leave();
        Ok(Value::List(items))
    }

    fn any_map(&mut self) -> Res<Map> {
        self.enter()?;
        let mut entries: Vec<(Key, Value)> = Vec::new();
        let mut first = true;
        while self.more(first, b'}')? {
            first = false;
            let key = self.key()?;
            self.push(Step::Key(key.clone()));
            let value = self.any()?;
            self.pop();
            entries.push((Key::Owned(key.into()), value));
        }
        self.leave();
        self.note_duplicates(&entries);
        Ok(Map::from_entries(entries))
    }

    /// Strict errors for keys that occur twice.
    pub(super) fn note_duplicates(&mut self, entries: &[(Key, Value)]) {
        if !self.strict || entries.windows(2).all(|w| w[0].0 < w[1].0) {
            return;
        }
        let mut seen = std::collections::HashSet::new();
        for (key, _) in entries {
            if !seen.insert(key.as_str()) {
                self.strict_error("duplicate field", key);
            }
        }
    }
}
