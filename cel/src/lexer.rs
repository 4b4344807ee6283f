//! Tokens of an expression. Upstream: cel-go parser/gen/CEL.g4

use std::sync::Arc;

use crate::source::Issue;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A mark such as `==`.
    Mark(&'static str),
    /// `in`, `true`, `false`, `null`.
    Word(&'static str),
    /// A name.
    Ident(Arc<str>),
    /// A name in backquotes.
    Escaped(Arc<str>),
    Int(Box<str>),
    Uint(Box<str>),
    Float(Box<str>),
    /// A string with its quotes.
    String(Box<str>),
    /// Bytes with prefix and quotes.
    Bytes(Box<str>),
    End,
}

/// A token, its text and place.
#[derive(Clone, Debug)]
pub(crate) struct Lexeme {
    pub token: Token,
    pub at: usize,
    pub text: Box<str>,
}

const MARKS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*",
    "/", "%",
];

/// All tokens, and what is none.
pub(crate) fn tokens(text: &str) -> (Vec<Lexeme>, Vec<Issue>) {
    let chars: Vec<char> = text.chars().collect();
    let mut lexer = Lexer { chars: &chars, at: 0 };
    let (mut out, mut issues) = (Vec::new(), Vec::new());
    loop {
        lexer.skip_space();
        let start = lexer.at;
        if start >= chars.len() {
            out.push(Lexeme { token: Token::End, at: start, text: "<EOF>".into() });
            return (out, issues);
        }
        match lexer.token() {
            Some(token) => out.push(Lexeme { token, at: start, text: chars[start..lexer.at].iter().collect() }),
            None => {
                let end = (lexer.at + 1).min(chars.len());
                let bad: String = chars[start..end].iter().collect();
                let bad = bad.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
                issues.push(Issue { at: start, message: format!("Syntax error: token recognition error at: '{bad}'") });
                lexer.at = end;
            }
        }
    }
}

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn skip_space(&mut self) {
        loop {
            match self.peek(0) {
                Some(' ' | '\t' | '\r' | '\n' | '\u{c}') => self.at += 1,
                Some('/') if self.peek(1) == Some('/') => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// The next token; `None`, with `at` on the character that ended it, if there is none.
    fn token(&mut self) -> Option<Token> {
        let first = self.peek(0)?;
        if first.is_ascii_digit() || (first == '.' && self.peek(1).is_some_and(|c| c.is_ascii_digit())) {
            return Some(self.number());
        }
        if let Some(token) = self.quoted() {
            return token;
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let start = self.at;
            while self.peek(0).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
                self.at += 1;
            }
            let name: String = self.chars[start..self.at].iter().collect();
            return Some(match name.as_str() {
                "in" => Token::Word("in"),
                "true" => Token::Word("true"),
                "false" => Token::Word("false"),
                "null" => Token::Word("null"),
                _ => Token::Ident(name.into()),
            });
        }
        if first == '`' {
            return self.escaped();
        }
        let mark = MARKS.iter().find(|mark| mark.chars().enumerate().all(|(i, c)| self.peek(i) == Some(c)));
        match mark {
            Some(mark) => {
                self.at += mark.len();
                Some(Token::Mark(mark))
            }
            None => {
                if matches!(first, '=' | '&' | '|') {
                    self.at += 1;
                }
                None
            }
        }
    }

    fn escaped(&mut self) -> Option<Token> {
        self.at += 1;
        let start = self.at;
        while self.peek(0).is_some_and(|c| c.is_ascii_alphanumeric() || "_.-/ ".contains(c)) {
            self.at += 1;
        }
        if self.peek(0) != Some('`') || self.at == start {
            return None;
        }
        let name: String = self.chars[start..self.at].iter().collect();
        self.at += 1;
        Some(Token::Escaped(name.into()))
    }

    fn digits(&mut self) {
        while self.peek(0).is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn number(&mut self) -> Token {
        let start = self.at;
        let text = |lexer: &Self| -> Box<str> { lexer.chars[start..lexer.at].iter().collect::<String>().into() };
        if self.peek(0) == Some('0') && self.peek(1) == Some('x') && self.peek(2).is_some_and(|c| c.is_ascii_hexdigit())
        {
            self.at += 2;
            while self.peek(0).is_some_and(|c| c.is_ascii_hexdigit()) {
                self.at += 1;
            }
            return self.whole(text);
        }
        self.digits();
        let mut float = false;
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
            float = true;
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(0), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
            if self.peek(1 + sign).is_some_and(|c| c.is_ascii_digit()) {
                float = true;
                self.at += 1 + sign;
                self.digits();
            }
        }
        if float { Token::Float(text(self)) } else { self.whole(text) }
    }

    fn whole(&mut self, text: impl Fn(&Self) -> Box<str>) -> Token {
        if matches!(self.peek(0), Some('u' | 'U')) {
            let digits = text(self);
            self.at += 1;
            return Token::Uint(digits);
        }
        Token::Int(text(self))
    }

    /// A string or bytes; `Some(None)` if one begins here that does not end.
    fn quoted(&mut self) -> Option<Option<Token>> {
        let mut ahead = 0;
        let (mut raw, mut bytes) = (false, false);
        loop {
            match self.peek(ahead)? {
                'r' | 'R' if !raw => raw = true,
                'b' | 'B' if !bytes && !raw => bytes = true,
                '"' | '\'' => break,
                _ => return None,
            }
            ahead += 1;
        }
        let quote = self.peek(ahead)?;
        let start = self.at;
        self.at += ahead;
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        let width = if triple { 3 } else { 1 };
        self.at += width;
        loop {
            let Some(c) = self.peek(0) else { return Some(None) };
            if !triple && matches!(c, '\n' | '\r') {
                return Some(None);
            }
            if c == '\\' && !raw {
                self.at += 1;
                if self.peek(0).is_none() {
                    return Some(None);
                }
                self.at += 1;
                continue;
            }
            if (0..width).all(|i| self.peek(i) == Some(quote)) {
                self.at += width;
                break;
            }
            self.at += 1;
        }
        let text: Box<str> = self.chars[start..self.at].iter().collect::<String>().into();
        Some(Some(if bytes { Token::Bytes(text) } else { Token::String(text) }))
    }
}

/// What a quoted token stands for; `Err` with what is wrong.
pub(crate) fn unquote(token: &str, bytes: bool) -> Result<Vec<u8>, String> {
    let prefix = token.find(['"', '\'']).unwrap_or(0);
    let raw = token[..prefix].contains(['r', 'R']);
    let body = &token[prefix..];
    let width = if body.len() >= 6 && (body.starts_with("\"\"\"") || body.starts_with("'''")) { 3 } else { 1 };
    let body = body[width..body.len() - width].replace("\r\n", "\n").replace('\r', "\n");
    let mut out = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' || raw {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        escape(&mut chars, bytes, &mut out).ok_or("unable to unescape string")?;
    }
    Ok(out)
}

fn escape(chars: &mut std::str::Chars<'_>, bytes: bool, out: &mut Vec<u8>) -> Option<()> {
    let simple = match chars.next()? {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        c @ ('\\' | '\'' | '"' | '`' | '?') => c as u8,
        'x' | 'X' => return push_code(chars, 2, 16, 0, bytes, out),
        'u' if !bytes => return push_code(chars, 4, 16, 0, bytes, out),
        'U' if !bytes => return push_code(chars, 8, 16, 0, bytes, out),
        c @ '0'..='3' => return push_code(chars, 2, 8, c.to_digit(8)?, bytes, out),
        _ => return None,
    };
    out.push(simple);
    Some(())
}

fn push_code(
    chars: &mut std::str::Chars<'_>,
    count: usize,
    radix: u32,
    first: u32,
    bytes: bool,
    out: &mut Vec<u8>,
) -> Option<()> {
    let mut code = first;
    for _ in 0..count {
        code = code.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    if bytes {
        out.push(u8::try_from(code).ok()?);
    } else {
        out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(())
}
