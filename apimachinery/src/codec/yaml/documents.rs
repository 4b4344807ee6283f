//! Cuts a stream into documents at `---` lines, as kubectl does before it parses any of them.

/// The documents of a stream. A document keeps the separator line in front of it if nothing else came before.
/// An error is text after a separator that is no comment.
pub fn documents(text: &[u8]) -> impl Iterator<Item = Result<&[u8], String>> {
    let mut at = 0;
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let start = at;
        while at < text.len() {
            let end = text[at..].iter().position(|c| *c == b'\n').map_or(text.len(), |n| at + n + 1);
            let line = &text[at..end];
            if let Some(after) = line.strip_prefix(b"---") {
                let rest = String::from_utf8_lossy(after);
                let rest = rest.trim();
                if !rest.is_empty() && !rest.starts_with('#') {
                    done = true;
                    return Some(Err(format!("invalid Yaml document separator: {rest}")));
                }
                if at > start {
                    let document = &text[start..at];
                    at = end;
                    return Some(Ok(document));
                }
            }
            at = end;
        }
        done = true;
        (at > start).then(|| Ok(&text[start..at]))
    })
}

#[cfg(test)]
mod tests {
    use super::documents;

    #[test]
    fn cuts() {
        let cut = |text: &'static str| {
            documents(text.as_bytes())
                .map(|d| d.map(|d| String::from_utf8_lossy(d).into_owned()))
                .collect::<Result<Vec<_>, _>>()
        };
        assert_eq!(cut("a: 1\n---\nb: 2\n"), Ok(vec!["a: 1\n".to_owned(), "b: 2\n".to_owned()]));
        assert_eq!(cut("---\na: 1\n--- # x\nb: 2"), Ok(vec!["---\na: 1\n".to_owned(), "b: 2".to_owned()]));
        assert_eq!(cut("--- x\n"), Err("invalid Yaml document separator: x".to_owned()));
        assert_eq!(cut(""), Ok(vec![]));
    }
}
