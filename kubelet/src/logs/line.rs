//! One line of a CRI log: `2016-10-06T00:17:09.669794202Z stdout F text`.

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A parsed line; borrowed from the file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// RFC 3339 with nanoseconds, as written.
    pub time: &'a str,
    /// Where it was printed.
    pub stream: Stream,
    /// The container's line goes on in the next one.
    pub partial: bool,
    /// The text, without the line's end.
    pub text: &'a [u8],
}

/// Parses one line without its newline; `None` when it is no CRI log line.
pub fn parse_line(line: &[u8]) -> Option<LogLine<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    // Tags are separated by colons; the first tells whether the line is whole.
    let partial = match parts.next()?.split(|byte| *byte == b':').next()? {
        b"F" => false,
        b"P" => true,
        _ => return None,
    };
    Some(LogLine { time, stream, partial, text: parts.next().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_whole_and_partial_lines() {
        let got = parse_line(b"2016-10-06T00:17:09.669794202Z stderr P:x a b").expect("a line");
        assert_eq!((got.stream, got.partial, got.text), (Stream::Stderr, true, b"a b".as_slice()));
        assert_eq!(parse_line(b"t stdout F ").expect("a line").text, b"");
        assert_eq!(parse_line(b"t stdout F").expect("a line").text, b"");
        assert!(parse_line(b"no log line").is_none());
        assert!(parse_line(b"").is_none());
    }
}
