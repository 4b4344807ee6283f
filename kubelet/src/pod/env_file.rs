//! Variables from a file in a volume: `NAME='value'`, one after the other, values in single quotes and nothing expanded.
//!
//! upstream: pkg/kubelet/util/env/env_util.go

/// The value of `key` in the file's text; `None` when the file does not set it.
///
/// # Errors
/// The text before the key is not of this form, with the line.
pub fn value_of(text: &str, key: &str) -> Result<Option<String>, String> {
    let wrong = |line: usize, what: &str| Err(format!("invalid environment variable format at line {line}: {what}"));
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, rest)) = line.split_once('=') else { return wrong(number, "missing '='") };
        let trimmed = name.trim_end_matches([' ', '\t']);
        if trimmed.is_empty() {
            return wrong(number, "empty variable name");
        }
        if trimmed != name {
            return wrong(number, "whitespace before '=' is not allowed");
        }
        // As in a shell, a blank after the sign ends an empty value.
        if rest.starts_with([' ', '\t']) {
            if name == key {
                return Ok(None);
            }
            continue;
        }
        let Some(rest) = rest.strip_prefix('\'') else {
            return wrong(number, "value must be enclosed in single quotes");
        };
        let (value, last, after) = quoted(rest, number, &mut lines)?;
        let after = after.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with('#') {
            return wrong(last, "unexpected content after closing quote");
        }
        if name == key {
            return Ok(Some(value).filter(|value| !value.is_empty()));
        }
    }
    Ok(None)
}

/// The text up to the closing quote, which may be on a later line: that line's number and what follows the quote.
fn quoted<'a>(
    first: &'a str,
    number: usize,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Result<(String, usize, &'a str), String> {
    let (mut value, mut rest, mut last) = (String::new(), first, number);
    loop {
        if let Some((inside, after)) = rest.split_once('\'') {
            value.push_str(inside);
            return Ok((value, last, after));
        }
        value.push_str(rest);
        value.push('\n');
        let Some((next, line)) = lines.next() else {
            return Err(format!(
                "invalid environment variable format starting at line {number}: unclosed single quote"
            ));
        };
        (last, rest) = (next, line);
    }
}

#[cfg(test)]
mod tests {
    use super::value_of;

    #[test]
    fn reads_quoted_values() {
        let text = "# comment\n\n  A='1' # one\nB='two\nlines'\nC= 'none'\nD=''\n";
        for (key, want) in [("A", Some("1")), ("B", Some("two\nlines")), ("C", None), ("D", None), ("E", None)] {
            assert_eq!(value_of(text, key).expect("valid").as_deref(), want, "{key}");
        }
        for text in ["A", "='1'", "A ='1'", "A=1", "A='1", "A='1' x"] {
            assert!(value_of(text, "Z").is_err(), "{text}");
        }
    }
}
