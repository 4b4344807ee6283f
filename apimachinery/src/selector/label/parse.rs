//! The parser of the text form of label selectors.

use super::{LabelSelectorError, Operator, Requirement, Selector, check_key};
use crate::field::{Errors, Path};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Bad,
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

fn token_of(text: &str) -> Option<Token> {
    Some(match text {
        ")" => Token::Close,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::DoubleEquals,
        "=" => Token::Equals,
        ">" => Token::Greater,
        "in" => Token::In,
        "<" => Token::Less,
        "!=" => Token::NotEquals,
        "notin" => Token::NotIn,
        "(" => Token::Open,
        _ => return None,
    })
}

fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// The next token of `text`, its words, and what follows. A NUL ends the text, as it does upstream.
fn lex(text: &str) -> (Token, String, &str) {
    let text = text.trim_start_matches(is_space);
    let Some(first) = text.chars().next().filter(|c| *c != '\0') else { return (Token::End, String::new(), "") };
    if is_symbol(first) {
        return lex_symbol(text);
    }
    let end = text.find(|c| is_symbol(c) || is_space(c) || c == '\0').unwrap_or(text.len());
    let word = &text[..end];
    (token_of(word).unwrap_or(Token::Identifier), word.to_owned(), &text[end..])
}

/// The shortest run of symbols that is a token, made longer as long as it stays one.
fn lex_symbol(text: &str) -> (Token, String, &str) {
    let run = text.find(|c| !is_symbol(c)).unwrap_or(text.len());
    let mut found = None;
    for end in 1..=run {
        match token_of(&text[..end]) {
            Some(token) => found = Some((token, end)),
            None if found.is_some() => break,
            None => {}
        }
    }
    match found {
        Some((token, end)) => (token, text[..end].to_owned(), &text[end..]),
        None => (Token::Bad, format!("error expected: keyword found '{}'", &text[..run]), &text[run..]),
    }
}

struct Parser {
    tokens: Vec<(Token, String)>,
    position: usize,
}

fn expected<T>(found: &str, what: &str) -> Result<T, LabelSelectorError> {
    Err(LabelSelectorError::Syntax(format!("found '{found}', expected: {what}")))
}

/// Reads a selector; requirements come out sorted by key.
///
/// # Errors
/// If the text is malformed or a key or value is not allowed.
pub fn parse(text: &str) -> Result<Selector, LabelSelectorError> {
    parse_requirements(text).map(Selector::new)
}

/// Reads a selector as a list of requirements in the order of the text.
///
/// # Errors
/// If the text is malformed or a key or value is not allowed.
pub fn parse_requirements(text: &str) -> Result<Vec<Requirement>, LabelSelectorError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        let (token, word, after) = lex(rest);
        tokens.push((token, word));
        if token == Token::End {
            break;
        }
        rest = after;
    }
    Parser { tokens, position: 0 }.selector()
}

impl Parser {
    /// The token at hand and its words. Inside of values, `in` and `notin` are words like any other.
    fn peek_operator(&self) -> (Token, &str) {
        let (token, word) = &self.tokens[self.position.min(self.tokens.len() - 1)];
        (*token, word)
    }

    fn peek(&self) -> (Token, &str) {
        let (token, word) = self.peek_operator();
        (if matches!(token, Token::In | Token::NotIn) { Token::Identifier } else { token }, word)
    }

    fn next(&mut self) -> (Token, String) {
        let (token, word) = self.peek();
        let item = (token, word.to_owned());
        self.position += 1;
        item
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, LabelSelectorError> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                (Token::Identifier | Token::Not, _) => {
                    let read = self.requirement();
                    requirements.push(read.map_err(|e| LabelSelectorError::Requirement(Box::new(e)))?);
                }
                (Token::End, _) => return Ok(requirements),
                (_, word) => return expected(word, "!, identifier, or 'end of string'"),
            }
            match self.next() {
                (Token::End, _) => return Ok(requirements),
                (Token::Comma, _) => match self.peek() {
                    (Token::Identifier | Token::Not, _) => {}
                    (_, word) => return expected(word, "identifier after ','"),
                },
                (_, word) => return expected(&word, "',' or 'end of string'"),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, LabelSelectorError> {
        let (mut token, mut key) = self.next();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.next();
        }
        if token != Token::Identifier {
            return expected(&key, "identifier");
        }
        if let Some(error) = check_key(&key, Path::nil()) {
            return Err(LabelSelectorError::Invalid(Errors::from(error)));
        }
        if negated {
            return Requirement::new(&key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Requirement::new(&key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let mut values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        values.sort_unstable();
        values.dedup();
        Requirement::new(&key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, LabelSelectorError> {
        let (token, word) = self.peek_operator();
        let operator = match token {
            Token::In => Operator::In,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            Token::NotIn => Operator::NotIn,
            Token::NotEquals => Operator::NotEquals,
            _ => return expected(word, "in, notin, =, ==, !=, gt, lt"),
        };
        self.position += 1;
        Ok(operator)
    }

    /// `(a,b)`; empty places between commas are empty values.
    fn values(&mut self) -> Result<Vec<String>, LabelSelectorError> {
        let (token, word) = self.next();
        if token != Token::Open {
            return Err(LabelSelectorError::Syntax(format!("found '{word}' expected: '('")));
        }
        let (token, word) = self.peek();
        match token {
            Token::Identifier | Token::Comma => {
                let values = self.identifiers()?;
                self.position += 1;
                Ok(values)
            }
            Token::Close => {
                self.position += 1;
                Ok(vec![String::new()])
            }
            _ => expected(word, "',', ')' or identifier"),
        }
    }

    /// Values up to the closing parenthesis, which is not consumed.
    fn identifiers(&mut self) -> Result<Vec<String>, LabelSelectorError> {
        let mut values = Vec::new();
        loop {
            match self.next() {
                (Token::Identifier, word) => {
                    values.push(word);
                    match self.peek() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, word) => return expected(word, "',' or ')'"),
                    }
                }
                (Token::Comma, _) => {
                    let next = self.peek().0;
                    if values.is_empty() || matches!(next, Token::Close | Token::Comma) {
                        values.push(String::new());
                    }
                    if next == Token::Close {
                        return Ok(values);
                    }
                }
                (_, word) => return expected(&word, "',', or identifier"),
            }
        }
    }

    fn exact_value(&mut self) -> Result<String, LabelSelectorError> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.next() {
            (Token::Identifier, word) => Ok(word),
            (_, word) => expected(&word, "identifier"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn parses() {
        for (text, want) in [
            ("", ""),
            ("x=a,y=b", "x=a,y=b"),
            ("y,x!=a", "x!=a,y"),
            ("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()"),
            ("!a, b == c", "!a,b==c"),
            ("x=", "x="),
            ("x>1,y<2", "x>1,y<2"),
            ("in in (in)", "in in (in)"),
            (" x = a ", "x=a"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), want, "{text}");
        }
    }

    #[test]
    fn refuses() {
        for (text, want) in [
            (
                "x=a||y=b",
                "unable to parse requirement: values[0][x]: Invalid value: \"a||y\": a valid label must be an empty string",
            ),
            ("x a", "unable to parse requirement: found 'a', expected: in, notin, =, ==, !=, gt, lt"),
            ("x in a", "unable to parse requirement: found 'a' expected: '('"),
            ("x=a,", "found '', expected: identifier after ','"),
            (",", "found ',', expected: !, identifier, or 'end of string'"),
            ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a/b/c", "unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a valid label key"),
            ("x=a b", "found 'b', expected: ',' or 'end of string'"),
        ] {
            let got = parse(text).unwrap_err().to_string();
            assert!(got.starts_with(want), "{text}: {got}");
        }
    }

    #[test]
    fn selects() {
        let labels = value!({"app": "web", "size": "3"});
        for (text, want) in [
            ("app=web", true),
            ("app in (web,db)", true),
            ("app notin (web)", false),
            ("other notin (web)", true),
            ("!other", true),
            ("size>2,size<4", true),
            ("size>3", false),
            ("app", true),
        ] {
            assert_eq!(parse(text).unwrap().matches_value(&labels), want, "{text}");
        }
        assert!(!Selector::nothing().matches_value(&labels) && Selector::everything().matches_value(&labels));
    }

    #[test]
    fn objects() {
        let object = value!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["y", "x"]}]});
        assert_eq!(Selector::from_value(&object).unwrap().to_string(), "a=b,c in (x,y)");
        assert!(Selector::from_value(&value!(null)).unwrap().is_nothing());
        assert!(Selector::from_value(&value!({})).unwrap().is_empty());
        let bad = value!({"matchExpressions": [{"key": "c", "operator": "Maybe"}]});
        assert_eq!(
            Selector::from_value(&bad).unwrap_err().to_string(),
            "\"Maybe\" is not a valid label selector operator"
        );
    }
}
