//! Expression text to tree: precedence climbing with ANTLR's complaints for what is no expression.
//! Upstream: cel-go parser/parser.go

use std::sync::Arc;

use crate::ast::{Call, Entry, Expr, FieldInit, Kind, Literal};
use crate::lexer::{self, Lexeme, Token};
use crate::macros;
use crate::source::Issue;

/// How deep expressions may be nested.
const MAX_DEPTH: usize = 250;
const EXPRESSION_START: &str =
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// What the first argument of a call begins with, or the end of a call without any.
const ARGUMENT_START: &str = "{'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// Parses; `bindings`: `cel.bind` is a macro.
///
/// # Errors
/// What is wrong, in the order found.
pub(crate) fn parse(text: &str, bindings: bool) -> Result<(Expr, usize), Vec<Issue>> {
    let (tokens, issues) = lexer::tokens(text);
    let mut parser = Parser { tokens, next: 0, ids: 0, depth: 0, issues, bindings };
    let parsed = parser.expression();
    if parsed.is_some() {
        parser.expect_end();
    }
    match parsed {
        Some(expr) if parser.issues.is_empty() => Ok((expr, parser.ids)),
        _ => Err(parser.issues),
    }
}

/// The state of parsing; `None` means that an issue was recorded and parsing ends.
pub(crate) struct Parser {
    tokens: Vec<Lexeme>,
    next: usize,
    ids: usize,
    depth: usize,
    issues: Vec<Issue>,
    /// `cel.bind` is a macro.
    pub(crate) bindings: bool,
}

impl Parser {
    pub(crate) fn issue(&mut self, at: usize, message: impl Into<String>) {
        self.issues.push(Issue { at, message: message.into() });
    }

    fn syntax(&mut self, at: usize, message: &str) {
        self.issue(at, format!("Syntax error: {message}"));
    }

    pub(crate) fn node(&mut self, at: usize, kind: Kind) -> Expr {
        Expr { id: self.id(), at, kind }
    }

    pub(crate) fn id(&mut self) -> usize {
        self.ids += 1;
        self.ids - 1
    }

    pub(crate) fn call(&mut self, at: usize, function: &str, args: Vec<Expr>) -> Expr {
        self.node(at, Kind::Call(Call { function: function.into(), target: None, args }))
    }

    fn peek(&self) -> &Lexeme {
        self.ahead(0)
    }

    fn ahead(&self, count: usize) -> &Lexeme {
        &self.tokens[(self.next + count).min(self.tokens.len() - 1)]
    }

    fn is(&self, mark: &str) -> bool {
        matches!(&self.peek().token, Token::Mark(m) if *m == mark)
    }

    fn take(&mut self) -> Lexeme {
        let lexeme = self.peek().clone();
        if lexeme.token != Token::End {
            self.next += 1;
        }
        lexeme
    }

    fn accept(&mut self, mark: &str) -> Option<usize> {
        self.is(mark).then(|| self.take().at)
    }

    /// Takes `mark`; one wrong token before it is skipped, as ANTLR does.
    fn expect(&mut self, mark: &str) -> Option<usize> {
        if let Some(at) = self.accept(mark) {
            return Some(at);
        }
        let Lexeme { at, text, .. } = self.peek().clone();
        if matches!(&self.ahead(1).token, Token::Mark(m) if *m == mark) {
            self.syntax(at, &format!("extraneous input '{text}' expecting '{mark}'"));
            self.take();
            return self.accept(mark);
        }
        self.syntax(at, &format!("missing '{mark}' at '{text}'"));
        None
    }

    fn expect_end(&mut self) {
        let Lexeme { at, text, token } = self.peek().clone();
        if token == Token::End {
            return;
        }
        let word = if self.ahead(1).token == Token::End { "extraneous" } else { "mismatched" };
        self.syntax(at, &format!("{word} input '{text}' expecting <EOF>"));
    }

    fn expression(&mut self) -> Option<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let at = self.peek().at;
            self.issue(at, format!("expression recursion limit exceeded: {MAX_DEPTH}"));
            return None;
        }
        let out = self.conditional();
        self.depth -= 1;
        out
    }

    fn conditional(&mut self) -> Option<Expr> {
        let condition = self.logical("||", "_||_")?;
        let Some(at) = self.accept("?") else { return Some(condition) };
        let id = self.id();
        let yes = self.logical("||", "_||_")?;
        self.expect(":")?;
        let no = self.expression()?;
        let args = vec![condition, yes, no];
        Some(Expr { id, at, kind: Kind::Call(Call { function: "_?_:_".into(), target: None, args }) })
    }

    fn logical(&mut self, mark: &str, function: &str) -> Option<Expr> {
        let or = mark == "||";
        let operand = |parser: &mut Self| if or { parser.logical("&&", "_&&_") } else { parser.relation() };
        let mut terms = vec![operand(self)?];
        let mut places = Vec::new();
        while let Some(at) = self.accept(mark) {
            places.push(at);
            terms.push(operand(self)?);
        }
        if places.is_empty() {
            return terms.pop();
        }
        let mut terms: Vec<Option<Expr>> = terms.into_iter().map(Some).collect();
        self.balanced(function, &mut terms, &places, 0, places.len() - 1)
    }

    /// A tree as flat as can be of a chain of the same operator.
    fn balanced(
        &mut self,
        function: &str,
        terms: &mut [Option<Expr>],
        places: &[usize],
        low: usize,
        high: usize,
    ) -> Option<Expr> {
        let middle = (low + high).div_ceil(2);
        let left = if middle == low {
            terms[middle].take()?
        } else {
            self.balanced(function, terms, places, low, middle - 1)?
        };
        let right = if middle == high {
            terms[middle + 1].take()?
        } else {
            self.balanced(function, terms, places, middle + 1, high)?
        };
        Some(self.call(places[middle], function, vec![left, right]))
    }

    fn relation(&mut self) -> Option<Expr> {
        let mut left = self.sum()?;
        loop {
            let function = match &self.peek().token {
                Token::Mark("==") => "_==_",
                Token::Mark("!=") => "_!=_",
                Token::Mark("<") => "_<_",
                Token::Mark("<=") => "_<=_",
                Token::Mark(">") => "_>_",
                Token::Mark(">=") => "_>=_",
                Token::Word("in") => "@in",
                _ => return Some(left),
            };
            let at = self.take().at;
            let right = self.sum()?;
            left = self.call(at, function, vec![left, right]);
        }
    }

    fn sum(&mut self) -> Option<Expr> {
        let mut left = self.product()?;
        loop {
            let function = match &self.peek().token {
                Token::Mark("+") => "_+_",
                Token::Mark("-") => "_-_",
                _ => return Some(left),
            };
            let at = self.take().at;
            let right = self.product()?;
            left = self.call(at, function, vec![left, right]);
        }
    }

    fn product(&mut self) -> Option<Expr> {
        let mut left = self.unary()?;
        loop {
            let function = match &self.peek().token {
                Token::Mark("*") => "_*_",
                Token::Mark("/") => "_/_",
                Token::Mark("%") => "_%_",
                _ => return Some(left),
            };
            let at = self.take().at;
            let right = self.unary()?;
            left = self.call(at, function, vec![left, right]);
        }
    }

    fn starts_expression(token: &Token) -> bool {
        match token {
            Token::Mark(mark) => matches!(*mark, "[" | "{" | "(" | "." | "-" | "!"),
            Token::Word(word) => *word != "in",
            Token::Escaped(_) | Token::End => false,
            _ => true,
        }
    }

    fn unary(&mut self) -> Option<Expr> {
        if !Self::starts_expression(&self.peek().token) {
            let Lexeme { at, text, token } = self.peek().clone();
            if token == Token::End || !Self::starts_expression(&self.ahead(1).token) {
                self.syntax(at, &format!("mismatched input '{text}' expecting {EXPRESSION_START}"));
                return None;
            }
            self.syntax(at, &format!("extraneous input '{text}' expecting {EXPRESSION_START}"));
            self.take();
        }
        for (mark, function) in [("!", "!_"), ("-", "-_")] {
            let number = mark == "-" && matches!(self.ahead(1).token, Token::Int(_) | Token::Float(_));
            if !self.is(mark) || number {
                continue;
            }
            let at = self.peek().at;
            let mut count = 0usize;
            while self.accept(mark).is_some() {
                count += 1;
            }
            let operand = self.member()?;
            return Some(if count.is_multiple_of(2) { operand } else { self.call(at, function, vec![operand]) });
        }
        self.member()
    }

    fn member(&mut self) -> Option<Expr> {
        let mut operand = self.primary()?;
        loop {
            if let Some(at) = self.accept(".") {
                operand = self.selection(operand, at)?;
            } else if let Some(at) = self.accept("[") {
                let optional = self.accept("?").is_some();
                let index = self.expression()?;
                self.expect("]")?;
                operand = self.call(at, if optional { "_[?_]" } else { "_[_]" }, vec![operand, index]);
            } else {
                return Some(operand);
            }
        }
    }

    fn selection(&mut self, operand: Expr, dot: usize) -> Option<Expr> {
        let optional = self.accept("?").is_some();
        let Lexeme { at, text, token } = self.take();
        let (name, plain) = match token {
            Token::Ident(name) => (name, true),
            Token::Escaped(name) => (name, false),
            _ => {
                let what = if matches!(token, Token::End) { "no viable alternative at input '.'" } else { "" };
                let text =
                    if what.is_empty() { format!("no viable alternative at input '.{text}'") } else { what.into() };
                self.syntax(at, &text);
                return None;
            }
        };
        if optional {
            let field = self.node(at, Kind::Literal(Literal::String(name)));
            return Some(self.call(dot, "_?._", vec![operand, field]));
        }
        if plain && let Some(open) = self.accept("(") {
            let args = self.arguments()?;
            return macros::expand_method(self, open, operand, name, args);
        }
        Some(self.node(dot, Kind::Select { operand: Box::new(operand), field: name, test: false }))
    }

    fn arguments(&mut self) -> Option<Vec<Expr>> {
        let mut args = Vec::new();
        if self.accept(")").is_some() {
            return Some(args);
        }
        if self.peek().token == Token::End {
            let at = self.peek().at;
            self.syntax(at, &format!("mismatched input '<EOF>' expecting {ARGUMENT_START}"));
            return None;
        }
        loop {
            args.push(self.expression()?);
            if self.accept(",").is_none() {
                self.expect(")")?;
                return Some(args);
            }
        }
    }

    fn primary(&mut self) -> Option<Expr> {
        let Lexeme { at, text, token } = self.take();
        let literal = match token {
            Token::Word("true") => Literal::Bool(true),
            Token::Word("false") => Literal::Bool(false),
            Token::Word("null") => Literal::Null,
            Token::Int(digits) => self.int(at, &digits, false)?,
            Token::Uint(digits) => self.uint(at, &digits)?,
            Token::Float(digits) => self.float(at, &digits)?,
            Token::Mark("-") => match self.take().token {
                Token::Int(digits) => self.int(at, &digits, true)?,
                Token::Float(digits) => self.float(at, &format!("-{digits}"))?,
                _ => return None,
            },
            Token::String(quoted) => self.string(at, &quoted)?,
            Token::Bytes(quoted) => match lexer::unquote(&quoted, true) {
                Ok(bytes) => Literal::Bytes(bytes.into()),
                Err(why) => {
                    self.issue(at, why);
                    return None;
                }
            },
            Token::Mark("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                return Some(inner);
            }
            Token::Mark("[") => return self.list(at),
            Token::Mark("{") => return self.map(at),
            Token::Mark(".") => {
                let Lexeme { at, text, token } = self.take();
                let Token::Ident(name) = token else {
                    self.syntax(at, &format!("mismatched input '{text}' expecting IDENTIFIER"));
                    return None;
                };
                return self.named(at, format!(".{name}").into());
            }
            Token::Ident(name) => return self.named(at, name),
            _ => {
                self.syntax(at, &format!("mismatched input '{text}' expecting {EXPRESSION_START}"));
                return None;
            }
        };
        Some(self.node(at, Kind::Literal(literal)))
    }

    fn int(&mut self, at: usize, digits: &str, negative: bool) -> Option<Literal> {
        let (digits, radix) = digits.strip_prefix("0x").map_or((digits, 10), |d| (d, 16));
        let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
        match i64::from_str_radix(&signed, radix) {
            Ok(n) => Some(Literal::Int(n)),
            Err(_) => {
                self.issue(at, "invalid int literal");
                None
            }
        }
    }

    fn uint(&mut self, at: usize, digits: &str) -> Option<Literal> {
        let (digits, radix) = digits.strip_prefix("0x").map_or((digits, 10), |d| (d, 16));
        let parsed = u64::from_str_radix(digits, radix).ok();
        if parsed.is_none() {
            self.issue(at, "invalid uint literal");
        }
        parsed.map(Literal::Uint)
    }

    fn float(&mut self, at: usize, digits: &str) -> Option<Literal> {
        match digits.parse::<f64>() {
            Ok(n) if n.is_finite() => Some(Literal::Double(n)),
            _ => {
                self.issue(at, "invalid double literal");
                None
            }
        }
    }

    fn string(&mut self, at: usize, quoted: &str) -> Option<Literal> {
        let text = lexer::unquote(quoted, false).and_then(|b| String::from_utf8(b).map_err(|e| e.to_string()));
        match text {
            Ok(text) => Some(Literal::String(text.into())),
            Err(why) => {
                self.issue(at, why);
                None
            }
        }
    }

    /// A name: a variable, a function or a struct.
    fn named(&mut self, at: usize, name: Arc<str>) -> Option<Expr> {
        if let Some(open) = self.accept("(") {
            let args = self.arguments()?;
            return macros::expand_function(self, open, name, args);
        }
        // a.b.C{...}
        let mut ahead = 0;
        let mut full = name.to_string();
        while matches!(self.ahead(ahead).token, Token::Mark("."))
            && let Token::Ident(part) = &self.ahead(ahead + 1).token
        {
            full.push('.');
            full.push_str(part);
            ahead += 2;
        }
        if matches!(self.ahead(ahead).token, Token::Mark("{")) {
            self.next += ahead;
            let open = self.take().at;
            return self.structure(open, full.into());
        }
        Some(self.node(at, Kind::Ident(name)))
    }

    fn list(&mut self, at: usize) -> Option<Expr> {
        let (mut items, mut optional) = (Vec::new(), Vec::new());
        let id = self.id();
        while !self.is("]") {
            if self.accept("?").is_some() {
                optional.push(items.len());
            }
            items.push(self.expression()?);
            if self.accept(",").is_none() {
                break;
            }
        }
        self.expect("]")?;
        Some(Expr { id, at, kind: Kind::List { items, optional } })
    }

    fn map(&mut self, at: usize) -> Option<Expr> {
        let mut entries = Vec::new();
        let own = self.id();
        while !self.is("}") {
            let optional = self.accept("?").is_some();
            let key = self.expression()?;
            self.expect(":")?;
            let id = self.id();
            let value = self.expression()?;
            entries.push(Entry { id, key, value, optional });
            if self.accept(",").is_none() {
                break;
            }
        }
        self.expect("}")?;
        Some(Expr { id: own, at, kind: Kind::Map(entries) })
    }

    fn structure(&mut self, at: usize, name: Arc<str>) -> Option<Expr> {
        let mut fields = Vec::new();
        let own = self.id();
        while !self.is("}") {
            let optional = self.accept("?").is_some();
            let Lexeme { at, text, token } = self.take();
            let (Token::Ident(field) | Token::Escaped(field)) = token else {
                self.syntax(
                    at,
                    &format!("mismatched input '{text}' expecting {{'}}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}}"),
                );
                return None;
            };
            let at = self.expect(":")?;
            let id = self.id();
            let value = self.expression()?;
            fields.push(FieldInit { id, at, name: field, value, optional });
            if self.accept(",").is_none() {
                break;
            }
        }
        self.expect("}")?;
        Some(Expr { id: own, at, kind: Kind::Struct { name, fields } })
    }
}
