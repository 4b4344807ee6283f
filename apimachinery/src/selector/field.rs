//! Field selectors, `metadata.name=a,status.phase!=Running`. Which fields there are is not known here.

use std::fmt;

/// Why text is no field selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldSelectorError {
    /// A term without an operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term {
        /// The whole selector.
        selector: String,
        /// The term.
        term: String,
    },
    /// A backslash before something that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A character (its code point is shown) that needs a backslash.
    #[error("invalid field selector: unescaped character in value: {}", *.0 as u32)]
    Unescaped(char),
    /// What a transformation says about a label.
    #[error("{0}")]
    Label(String),
}

/// One term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The field's path.
    pub field: String,
    /// True for `=`, false for `!=`.
    pub equal: bool,
    /// The value to compare with.
    pub value: String,
}

/// Terms that must all hold; none select everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Requirement>,
}

/// Reads a selector. The terms are in the order of their texts.
///
/// # Errors
/// If a term has no operator or a value is escaped wrongly.
pub fn parse(text: &str) -> Result<FieldSelector, FieldSelectorError> {
    let mut parts = split_terms(text);
    parts.sort_unstable();
    let mut terms = Vec::new();
    for part in parts.into_iter().filter(|p| !p.is_empty()) {
        let (field, equal, value) = split_term(part)
            .ok_or_else(|| FieldSelectorError::Term { selector: text.to_owned(), term: part.to_owned() })?;
        terms.push(Requirement { field: field.to_owned(), equal, value: unescape(value)? });
    }
    Ok(FieldSelector { terms })
}

/// Splits at commas that have no backslash before them.
fn split_terms(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                out.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.find('=')?;
    if at > 0 && term.as_bytes()[at - 1] == b'!' {
        return Some((&term[..at - 1], false, &term[at + 1..]));
    }
    let value = &term[at + 1..];
    Some((&term[..at], true, value.strip_prefix('=').unwrap_or(value)))
}

fn unescape(value: &str) -> Result<String, FieldSelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(FieldSelectorError::Escape(format!("\\{c}"))),
                None => return Err(FieldSelectorError::Escape("\\".to_owned())),
            },
            ',' | '=' => return Err(FieldSelectorError::Unescaped(c)),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// `value` with backslashes where a selector needs them.
pub fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

impl FieldSelector {
    /// `field=value`.
    pub fn equal(field: &str, value: &str) -> FieldSelector {
        FieldSelector { terms: vec![Requirement { field: field.to_owned(), equal: true, value: value.to_owned() }] }
    }

    /// True if it selects everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The terms.
    pub fn requirements(&self) -> &[Requirement] {
        &self.terms
    }

    /// True if every term holds; `get` answers "" for a field that is not there.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.terms.iter().all(|t| (get(&t.field).unwrap_or("") == t.value) == t.equal)
    }

    /// The value that `field` must have, if a term says so.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && t.field == field).map(|t| t.value.as_str())
    }

    /// Every term run through `change` (from field and value to field and value); a term that becomes empty is left out.
    ///
    /// # Errors
    /// The first one of `change`.
    pub fn transform<E>(
        self,
        change: impl Fn(String, String) -> Result<(String, String), E>,
    ) -> Result<FieldSelector, E> {
        let mut terms = Vec::new();
        for term in self.terms {
            let (field, value) = change(term.field, term.value)?;
            if !field.is_empty() || !value.is_empty() {
                terms.push(Requirement { field, equal: term.equal, value });
            }
        }
        Ok(FieldSelector { terms })
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            let (comma, op) = (if i > 0 { "," } else { "" }, if term.equal { "=" } else { "!=" });
            write!(f, "{comma}{}{op}{}", term.field, escape(&term.value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        for (text, want) in [
            ("", ""),
            ("a=b", "a=b"),
            ("a==b", "a=b"),
            ("z!=1,a=", "a=,z!=1"),
            (r"a=x\,y\=z\\", r"a=x\,y\=z\\"),
            (",,a=b,", "a=b"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), want, "{text}");
        }
        for (text, want) in [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }

    #[test]
    fn selects() {
        let selector = parse("metadata.name=a,status.phase!=Running").unwrap();
        let get = |phase: &'static str| {
            move |field: &str| match field {
                "metadata.name" => Some("a"),
                "status.phase" => Some(phase),
                _ => None,
            }
        };
        assert!(selector.matches(get("Pending")) && !selector.matches(get("Running")));
        assert_eq!((selector.exact("metadata.name"), selector.exact("status.phase")), (Some("a"), None));
    }
}
