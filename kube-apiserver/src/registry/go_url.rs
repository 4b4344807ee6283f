//! URLs as Go reads them: the parts that validation asks for, and the words of its errors.
//! upstream: Go's net/url: Parse

use std::fmt;

use apimachinery::quote::quote;

/// The parts of a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoUrl {
    /// In lower case; empty if relative.
    pub scheme: String,
    /// With the port.
    pub host: String,
    /// Name and password, if there is an `@`.
    pub user: Option<String>,
    /// After `?`.
    pub query: String,
    /// After `#`.
    pub fragment: String,
}

/// Why a text is no URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    url: String,
    reason: String,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parse {}: {}", quote(&self.url), self.reason)
    }
}

impl std::error::Error for UrlError {}

/// Reads a URL.
///
/// # Errors
/// If Go would not read it; the text is Go's.
pub fn parse(text: &str) -> Result<GoUrl, UrlError> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let fail = |reason: String| Err(UrlError { url: rest.to_owned(), reason });
    if rest.bytes().any(|b| b < b' ' || b == 0x7f) {
        return fail("net/url: invalid control character in URL".to_owned());
    }
    if rest.is_empty() {
        // Go refuses empty text only for requests.
        return Ok(GoUrl { fragment: fragment.to_owned(), ..GoUrl::default() });
    }
    let (scheme, after) = match split_scheme(rest) {
        Ok(parts) => parts,
        Err(reason) => return fail(reason.to_owned()),
    };
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    let mut url = GoUrl {
        scheme: scheme.to_lowercase(),
        query: query.to_owned(),
        fragment: fragment.to_owned(),
        ..GoUrl::default()
    };
    if !path.starts_with('/') {
        if !url.scheme.is_empty() {
            return Ok(url); // opaque
        }
        if path.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return fail("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let mut path = path;
    if let Some(authority) = path.strip_prefix("//")
        && (!url.scheme.is_empty() || !path.starts_with("///"))
    {
        let (authority, rest) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
        match split_authority(authority) {
            Ok((user, host)) => (url.user, url.host) = (user, host),
            Err(reason) => return fail(reason),
        }
        path = rest;
    }
    match bad_escape(path) {
        Some(escape) => fail(format!("invalid URL escape {}", quote(escape))),
        None => Ok(url),
    }
}

fn split_scheme(text: &str) -> Result<(&str, &str), &'static str> {
    for (i, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if i == 0 => return Ok(("", text)),
            '0'..='9' | '+' | '-' | '.' => {}
            ':' if i == 0 => return Err("missing protocol scheme"),
            ':' => return Ok((&text[..i], &text[i + 1..])),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn split_authority(authority: &str) -> Result<(Option<String>, String), String> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    check_host(host)?;
    let valid = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if user.is_some_and(|user| !user.chars().all(valid)) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    Ok((user.map(str::to_owned), host.to_owned()))
}

fn check_host(host: &str) -> Result<(), String> {
    let port = if host.starts_with('[') {
        let end = host.rfind(']').ok_or("missing ']' in host")?;
        &host[end + 1..]
    } else {
        host.rfind(':').map_or("", |colon| &host[colon..])
    };
    let port_is_valid = port.is_empty() || port.starts_with(':') && port[1..].bytes().all(|b| b.is_ascii_digit());
    if !port_is_valid {
        return Err(format!("invalid port {} after host", quote(port)));
    }
    if let Some(escape) = bad_escape(host) {
        return Err(format!("invalid URL escape {}", quote(escape)));
    }
    if let Some(start) = host.find('%') {
        let escape = host.get(start..start + 3).unwrap_or_default();
        if escape != "%25" {
            return Err(format!("invalid URL escape {}", quote(escape)));
        }
    }
    let valid = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c);
    match host.chars().find(|c| !valid(*c)) {
        Some(c) => Err(format!("invalid character {} in host name", quote(&c.to_string()))),
        None => Ok(()),
    }
}

/// The first `%` that two hexadecimal digits do not follow, with up to two more characters.
fn bad_escape(text: &str) -> Option<&str> {
    text.match_indices('%').map(|(i, _)| i).find_map(|i| {
        let digits = text.as_bytes().get(i + 1..i + 3);
        let valid = digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let end = (i + 3).min(text.len());
        (!valid).then(|| text.get(i..end).unwrap_or("%"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let cases = [
            ("https://h/p", "https|h||"),
            ("HTTP://u:p@h:1?q#f", "http|h:1|q|f"),
            ("x", "|||"),
            ("", "|||"),
            ("mailto:a@b", "mailto|||"),
            (" x", "|||"),
            ("a b:c", r#"parse "a b:c": first path segment in URL cannot contain colon"#),
            (":x", r#"parse ":x": missing protocol scheme"#),
            ("https://h:x/", r#"parse "https://h:x/": invalid port ":x" after host"#),
            ("https://a b/", r#"parse "https://a b/": invalid character " " in host name"#),
            ("https://h/%zz", r#"parse "https://h/%zz": invalid URL escape "%zz""#),
            ("https://h/\n", r#"parse "https://h/\n": net/url: invalid control character in URL"#),
        ];
        for (text, expected) in cases {
            let shown = match parse(text) {
                Ok(url) => format!("{}|{}|{}|{}", url.scheme, url.host, url.query, url.fragment),
                Err(error) => error.to_string(),
            };
            assert_eq!(shown, expected, "{text}");
        }
    }
}
