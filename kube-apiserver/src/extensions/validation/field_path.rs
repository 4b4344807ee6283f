//! Paths such as `.spec.replicas` or `.map['key']`, looked up in a schema.
//! upstream: apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go: ValidFieldPath

use apimachinery::field::Path;
use apimachinery::value::Value;

/// The path in its usual form and the schema that it leads to.
///
/// # Errors
/// Upstream's words about a path that leads nowhere.
pub(super) fn resolve<'a>(text: &str, schema: &'a Value, brackets: bool) -> Result<(Path, &'a Value), String> {
    const END: &str = "unexpected end of JSON path";
    let mut tokens = tokens(text).into_iter();
    let (mut path, mut schema) = (Path::default(), schema);
    while let Some(token) = tokens.next() {
        let name = match token {
            "." => tokens.next().ok_or(END)?.to_owned(),
            "[" if !brackets => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = tokens.next().ok_or(END)?;
                let inner = quoted.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
                let inner = inner.ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
                inner.replace("\\'", "'").replace("\\\\", "\\")
            }
            other => return Err(format!("expected [ or . but got: {other}")),
        };
        (path, schema) = step(&path, schema, &name)?;
        if token == "[" {
            match tokens.next() {
                Some("]") => {}
                Some(other) => return Err(format!("expected ] but got {other}")),
                None => return Err(END.to_owned()),
            }
        }
    }
    Ok((path, schema))
}

fn step<'a>(path: &Path, schema: &'a Value, name: &str) -> Result<(Path, &'a Value), String> {
    let nowhere = || Err("does not refer to a valid field".to_owned());
    let properties = schema.get("properties");
    if properties.as_map().is_some_and(|m| !m.is_empty()) {
        return match properties.get(name) {
            Value::Null => nowhere(),
            found => Ok((path.child(name), found)),
        };
    }
    match schema.get("additionalProperties") {
        inner @ Value::Map(_) => Ok((path.key(name), inner)),
        _ => nowhere(),
    }
}

/// Delimiters one by one, what is between them, and quoted text as a whole.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = if let Some(quoted) = rest.strip_prefix('\'') {
            let closes = |(i, c): &(usize, char)| *c == '\'' && (*i == 0 || quoted.as_bytes()[i - 1] != b'\\');
            quoted.char_indices().find(closes).map_or(rest.len(), |(i, _)| i + 2)
        } else {
            match rest.find(['.', '[', ']']) {
                Some(0) => 1,
                Some(end) => end,
                None => rest.len(),
            }
        };
        let (token, after) = rest.split_at(end);
        found.push(token);
        rest = after;
    }
    found
}
