//! Whether a text is JSON, and if not, what Go's scanner says about it. The decoder is faster and says less: this is asked when something is wrong.

use crate::quote::quote;

/// Containers may nest this deep, as in Go.
const MAX_DEPTH: usize = 10_000;

/// Where the scanner is inside the innermost container.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Key,
    Value,
    Element,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    stack: Vec<Place>,
}

/// Checks a whole text; the error is Go's message.
pub fn check(text: &[u8]) -> Result<(), String> {
    Scanner { text, at: 0, stack: Vec::new() }.run()
}

fn quoted(c: u8) -> String {
    match c {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        _ => {
            let quoted = quote(char::from(c).encode_utf8(&mut [0; 4]));
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

impl Scanner<'_> {
    fn fail<T>(&self, context: &str) -> Result<T, String> {
        match self.text.get(self.at) {
            Some(&c) => Err(format!("invalid character {} {context}", quoted(c))),
            None => Err("unexpected end of JSON input".to_owned()),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.peek()
    }

    fn run(&mut self) -> Result<(), String> {
        self.begin_value(false)?;
        while let Some(place) = self.stack.last().copied() {
            let c = self.space();
            match (place, c) {
                (Place::Key, Some(b':')) => {
                    self.at += 1;
                    self.set(Place::Value);
                    self.begin_value(false)?;
                }
                (Place::Key, _) => return self.fail("after object key"),
                (Place::Value, Some(b',')) => {
                    self.at += 1;
                    self.set(Place::Key);
                    self.key(false)?;
                }
                (Place::Value, Some(b'}')) | (Place::Element, Some(b']')) => self.pop(),
                (Place::Value, _) => return self.fail("after object key:value pair"),
                (Place::Element, Some(b',')) => {
                    self.at += 1;
                    self.begin_value(false)?;
                }
                (Place::Element, _) => return self.fail("after array element"),
            }
        }
        if self.space().is_some() { self.fail("after top-level value") } else { Ok(()) }
    }

    fn set(&mut self, place: Place) {
        if let Some(top) = self.stack.last_mut() {
            *top = place;
        }
    }

    fn pop(&mut self) {
        self.at += 1;
        self.stack.pop();
    }

    fn push(&mut self, place: Place) -> Result<(), String> {
        if self.stack.len() >= MAX_DEPTH {
            return self.fail("exceeded max depth");
        }
        self.at += 1;
        self.stack.push(place);
        Ok(())
    }

    /// A key, or the end of an empty object.
    fn key(&mut self, or_end: bool) -> Result<(), String> {
        match self.space() {
            Some(b'}') if or_end => {
                self.pop();
                Ok(())
            }
            Some(b'"') => self.string(),
            _ => self.fail("looking for beginning of object key string"),
        }
    }

    /// A scalar, or the start of a container.
    fn begin_value(&mut self, or_end: bool) -> Result<(), String> {
        match self.space() {
            Some(b']') if or_end => {
                self.pop();
                Ok(())
            }
            Some(b'{') => {
                self.push(Place::Key)?;
                self.key(true)
            }
            Some(b'[') => {
                self.push(Place::Element)?;
                self.begin_element()
            }
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.fail("looking for beginning of value"),
        }
    }

    fn begin_element(&mut self) -> Result<(), String> {
        // Arrays in arrays are walked in a loop: the depth of the text must not become depth of the stack.
        while self.space() == Some(b'[') {
            self.push(Place::Element)?;
        }
        if self.peek() == Some(b'{') { self.begin_object() } else { self.begin_value(true) }
    }

    fn begin_object(&mut self) -> Result<(), String> {
        self.push(Place::Key)?;
        self.key(true)
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(c) if c >= 0x20 => self.at += 1,
                _ => return self.fail("in string literal"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        self.at += 1;
        match self.peek() {
            Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|c| c.is_ascii_hexdigit()) {
                        return self.fail("in \\u hexadecimal character escape");
                    }
                    self.at += 1;
                }
            }
            _ => return self.fail("in string escape code"),
        }
        Ok(())
    }

    fn digits(&mut self, context: &str) -> Result<(), String> {
        if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return self.fail(context);
        }
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits("in numeric literal")?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        self.at += 1;
        for want in word.bytes().skip(1) {
            if self.peek() != Some(want) {
                return self.fail(&format!("in literal {word} (expecting '{}')", char::from(want)));
            }
            self.at += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn messages() {
        for good in ["{}", " [1, -0.5e+3, \"a\\u00e9\\n\", true, null, {\"a\": [[], [{}]]}] ", "0"] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
        for (bad, message) in [
            ("", "unexpected end of JSON input"),
            ("{\"a\":", "unexpected end of JSON input"),
            ("{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("\"\t\"", "invalid character '\\t' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("tru ", "invalid character ' ' in literal true (expecting 'e')"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("\u{feff}{}", "invalid character 'ï' looking for beginning of value"),
        ] {
            assert_eq!(check(bad.as_bytes()), Err(message.to_owned()), "{bad}");
        }
        assert_eq!(check("[".repeat(10_001).as_bytes()), Err("invalid character '[' exceeded max depth".to_owned()));
        assert_eq!(
            check("{\"a\":".repeat(10_001).as_bytes()),
            Err("invalid character '{' exceeded max depth".to_owned())
        );
    }
}
