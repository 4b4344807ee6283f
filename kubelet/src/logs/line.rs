//! One line of a log: CRI's `2016-10-06T00:17:09.669794202Z stdout F text`, or Docker's JSON, which cri-dockerd hands on.
//!
//! upstream: staging/src/k8s.io/cri-client/pkg/logs/logs.go: parseCRILog, parseDockerJSONLog

use std::borrow::Cow;

use serde::Deserialize;

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A parsed line; borrowed from the file's bytes where nothing had to be unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// RFC 3339 with nanoseconds, as written.
    pub time: Cow<'a, str>,
    /// Where it was printed.
    pub stream: Stream,
    /// The container's line goes on in the next one.
    pub partial: bool,
    /// The text, without the line's end.
    pub text: Cow<'a, [u8]>,
}

/// Parses one line without its newline; `None` when it is no line of a log.
pub fn parse_line(line: &[u8]) -> Option<LogLine<'_>> {
    if line.first() == Some(&b'{') { parse_json(line) } else { parse_cri(line) }
}

/// Docker ends every whole line with a newline of the container's own.
fn parse_json(line: &[u8]) -> Option<LogLine<'_>> {
    #[derive(Deserialize)]
    struct Record<'a> {
        #[serde(default, borrow)]
        log: Cow<'a, str>,
        #[serde(default, borrow)]
        stream: Cow<'a, str>,
        #[serde(borrow)]
        time: Cow<'a, str>,
    }
    let record: Record<'_> = serde_json::from_slice(line).ok()?;
    let stream = stream_of(record.stream.as_bytes())?;
    let mut text = record.log.into_owned().into_bytes();
    let partial = text.last() != Some(&b'\n');
    if !partial {
        text.pop();
    }
    Some(LogLine { time: record.time.into_owned().into(), stream, partial, text: text.into() })
}

fn stream_of(name: &[u8]) -> Option<Stream> {
    match name {
        b"stdout" => Some(Stream::Stdout),
        b"stderr" => Some(Stream::Stderr),
        _ => None,
    }
}

fn parse_cri(line: &[u8]) -> Option<LogLine<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = stream_of(parts.next()?)?;
    // Tags are separated by colons; the first tells whether the line is whole.
    let partial = match parts.next()?.split(|byte| *byte == b':').next()? {
        b"F" => false,
        b"P" => true,
        _ => return None,
    };
    Some(LogLine { time: time.into(), stream, partial, text: parts.next().unwrap_or_default().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_whole_and_partial_lines() {
        let got = parse_line(b"2016-10-06T00:17:09.669794202Z stderr P:x a b").expect("a line");
        assert_eq!((got.stream, got.partial, got.text.as_ref()), (Stream::Stderr, true, b"a b".as_slice()));
        assert!(parse_line(b"t stdout F ").expect("a line").text.is_empty());
        assert!(parse_line(b"t stdout F").expect("a line").text.is_empty());
        assert!(parse_line(b"no log line").is_none());
        assert!(parse_line(b"").is_none());
    }

    #[test]
    fn parses_dockers_json() {
        let got = parse_line(br#"{"log":"a \"b\"\n","stream":"stdout","time":"2016-10-06T00:17:09.669794202Z"}"#);
        let got = got.expect("a line");
        assert_eq!((got.stream, got.partial, got.text.as_ref()), (Stream::Stdout, false, br#"a "b""#.as_slice()));
        assert_eq!(got.time, "2016-10-06T00:17:09.669794202Z");
        let part = parse_line(br#"{"log":"a","stream":"stderr","time":"t"}"#).expect("a line");
        assert!(part.partial);
        assert!(parse_line(b"{broken").is_none());
    }
}
