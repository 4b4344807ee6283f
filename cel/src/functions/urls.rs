//! URLs. Upstream: apiserver/pkg/cel/library/urls.go, Go's net/url

use std::sync::Arc;

use apimachinery::quote::quote;

use crate::eval::{Result, fail};
use crate::value::{Mapping, Val};

/// The parts of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    host: String,
    path: String,
    query: Vec<(String, String)>,
}

/// Parses what may be the target of a request; `Err` with Go's words.
pub(super) fn parse(text: &str) -> std::result::Result<Url, String> {
    let failed = |why: &str| format!("parse {}: {why}", quote(text));
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err(failed("net/url: invalid control character in URL"));
    }
    if text.is_empty() {
        return Err(failed("empty url"));
    }
    let (scheme, rest) = split_scheme(text).map_err(failed)?;
    if !rest.starts_with('/') && scheme.is_empty() {
        return Err(failed("invalid URI for request"));
    }
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(before, after)| (before, after));
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) if !scheme.is_empty() || !rest.starts_with('/') => {
            let at = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(at);
            (check_host(authority.rsplit_once('@').map_or(authority, |(_, host)| host)).map_err(|w| failed(&w))?, path)
        }
        _ => (String::new(), rest),
    };
    check_escapes(path).map_err(|w| failed(&w))?;
    Ok(Url { scheme, host, path: escaped(path), query: parse_query(query) })
}

fn split_scheme(text: &str) -> std::result::Result<(String, &str), &'static str> {
    for (i, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if i > 0 => {}
            ':' if i == 0 => return Err("missing protocol scheme"),
            ':' => return Ok((text[..i].to_ascii_lowercase(), &text[i + 1..])),
            _ => break,
        }
    }
    if text.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err("first path segment in URL cannot contain colon");
    }
    Ok((String::new(), text))
}

fn check_host(host: &str) -> std::result::Result<String, String> {
    let port = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((_, after)) => after,
            None => return Err("missing ']' in host".into()),
        },
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!("invalid port {} after host", quote(port)));
    }
    if let Some(bad) = host.chars().find(|c| " \"<>\\^`{|}".contains(*c)) {
        return Err(format!("invalid character {} in host name", quote(&bad.to_string())));
    }
    check_escapes(host)?;
    Ok(host.to_owned())
}

fn check_escapes(text: &str) -> std::result::Result<(), String> {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let tail = &rest.as_bytes()[at..];
        if tail.len() < 3 || !tail[1].is_ascii_hexdigit() || !tail[2].is_ascii_hexdigit() {
            let shown: String = rest[at..].chars().take(3).collect();
            return Err(format!("invalid URL escape {}", quote(&shown)));
        }
        rest = &rest[at + 3..];
    }
    Ok(())
}

fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for b in path.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*%[]".contains(&b) {
            out.push(b as char);
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
}

impl Url {
    fn hostname(&self) -> &str {
        match self.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((inside, _)) => inside,
            None => self.host.rsplit_once(':').map_or(&self.host, |(name, _)| name),
        }
    }

    fn port(&self) -> &str {
        let after = self.host.rsplit_once(']').map_or(&*self.host, |(_, after)| after);
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }

    fn query<'a>(&self) -> Val<'a> {
        let mut entries: Vec<(Val<'a>, Vec<Val<'a>>)> = Vec::new();
        for (key, value) in &self.query {
            let value = Val::str(value.as_str());
            match entries.iter_mut().find(|(k, _)| k.as_str() == Some(key)) {
                Some((_, values)) => values.push(value),
                None => entries.push((Val::str(key.as_str()), vec![value])),
            }
        }
        Val::Map(Mapping::Made(Arc::new(entries.into_iter().map(|(k, v)| (k, Val::list(v))).collect())))
    }
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    Some(Ok(match (name, args) {
        ("url", [Val::Str(text)]) => match parse(text.as_str()) {
            Ok(url) => Val::Url(Arc::new(url)),
            Err(why) => return Some(fail(format!("URL parse error during conversion from string: {why}"))),
        },
        ("isURL", [Val::Str(text)]) => Val::Bool(parse(text.as_str()).is_ok()),
        ("getScheme", [Val::Url(url)]) => Val::str(url.scheme.as_str()),
        ("getHost", [Val::Url(url)]) => Val::str(url.host.as_str()),
        ("getHostname", [Val::Url(url)]) => Val::str(url.hostname()),
        ("getPort", [Val::Url(url)]) => Val::str(url.port()),
        ("getEscapedPath", [Val::Url(url)]) => Val::str(url.path.as_str()),
        ("getQuery", [Val::Url(url)]) => url.query(),
        _ => return None,
    }))
}
