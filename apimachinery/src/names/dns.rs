//! Names made of DNS labels.

use super::{max_bytes_error, max_len_error, pattern, qualified_name, regex_error};
use crate::field::{Errors, Path};

/// Longest label.
pub const DNS1123_LABEL_MAX: usize = 63;
/// Longest subdomain.
pub const DNS1123_SUBDOMAIN_MAX: usize = 253;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const CASELESS_MESSAGE: &str = "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const UNDERSCORE: &str = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const UNDERSCORE_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
const LABEL1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const LABEL1035_MESSAGE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const WILDCARD: &str = r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const WILDCARD_MESSAGE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
const HTTP_PATH: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";

pattern!(LABEL_RE = LABEL);
pattern!(SUBDOMAIN_RE = SUBDOMAIN);
pattern!(CASELESS_RE = format!("(?i){SUBDOMAIN}"));
pattern!(UNDERSCORE_RE = UNDERSCORE);
pattern!(LABEL1035_RE = LABEL1035);
pattern!(WILDCARD_RE = WILDCARD);
pattern!(HTTP_PATH_RE = HTTP_PATH);

fn check(value: &str, max: usize, re: &regex::Regex, complaint: impl FnOnce() -> String) -> Vec<String> {
    let mut out = Vec::new();
    if value.len() > max {
        out.push(max_len_error(max));
    }
    if !re.is_match(value) {
        out.push(complaint());
    }
    out
}

/// A DNS label of RFC 1123.
pub fn dns1123_label(value: &str) -> Vec<String> {
    check(value, DNS1123_LABEL_MAX, &LABEL_RE, || {
        if SUBDOMAIN_RE.is_match(value) {
            return "must not contain dots".to_owned();
        }
        regex_error(LABEL_MESSAGE, LABEL, &["my-name", "123-abc"])
    })
}

/// A DNS subdomain of RFC 1123, which is what most names are.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    check(value, DNS1123_SUBDOMAIN_MAX, &SUBDOMAIN_RE, || regex_error(SUBDOMAIN_MESSAGE, SUBDOMAIN, &["example.com"]))
}

/// The prefix of a key: like [`dns1123_subdomain`], with the length counted in the newer words.
pub(super) fn key_prefix(value: &str) -> Vec<String> {
    let mut out = dns1123_subdomain(value);
    if value.len() > DNS1123_SUBDOMAIN_MAX {
        out[0] = max_bytes_error(DNS1123_SUBDOMAIN_MAX);
    }
    out
}

/// A DNS subdomain in which capital letters are allowed.
pub fn dns1123_subdomain_caseless(value: &str) -> Vec<String> {
    let mut out = check(value, DNS1123_SUBDOMAIN_MAX, &CASELESS_RE, || {
        regex_error(CASELESS_MESSAGE, SUBDOMAIN, &["Example.com"])
    });
    if value.len() > DNS1123_SUBDOMAIN_MAX {
        out[0] = max_bytes_error(DNS1123_SUBDOMAIN_MAX);
    }
    out
}

/// A DNS subdomain in which underscores are allowed.
pub fn dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    check(value, DNS1123_SUBDOMAIN_MAX, &UNDERSCORE_RE, || {
        regex_error(UNDERSCORE_MESSAGE, UNDERSCORE, &["example.com"])
    })
}

/// A DNS label of RFC 1035: starts with a letter.
pub fn dns1035_label(value: &str) -> Vec<String> {
    check(value, DNS1123_LABEL_MAX, &LABEL1035_RE, || {
        regex_error(LABEL1035_MESSAGE, LABEL1035, &["my-name", "abc-123"])
    })
}

/// `*.` and a DNS subdomain.
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    check(value, DNS1123_SUBDOMAIN_MAX, &WILDCARD_RE, || regex_error(WILDCARD_MESSAGE, WILDCARD, &["*.example.com"]))
}

/// A domain of at least three labels.
pub fn fully_qualified_name(path: &Path, name: &str) -> Errors {
    let mut errs = Errors::new();
    if name.is_empty() {
        errs.required(path, "");
        return errs;
    }
    let wrong = dns1123_subdomain(name);
    if !wrong.is_empty() {
        errs.invalid(path, name, wrong.join(","));
    } else if name.split('.').count() < 3 {
        errs.invalid(path, name, "should be a domain with at least three segments separated by dots");
    }
    errs
}

/// A domain of at least two labels; a dot at the end is fine.
pub fn fully_qualified_domain_name(path: &Path, name: &str) -> Errors {
    let mut errs = Errors::new();
    if name.is_empty() {
        errs.required(path, "");
        return errs;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let wrong = dns1123_subdomain(name);
    if !wrong.is_empty() {
        errs.invalid(path, name, wrong.join(","));
        return errs;
    }
    if name.split('.').count() < 2 {
        errs.invalid(path, name, "should be a domain with at least two segments separated by dots");
        return errs;
    }
    if let Some(label) = name.split('.').find(|label| !dns1123_label(label).is_empty()) {
        errs.invalid(path, label, dns1123_label(label).join(","));
    }
    errs
}

/// A domain, a slash and an HTTP path.
pub fn domain_prefixed_path(path: &Path, value: &str) -> Errors {
    let mut errs = Errors::new();
    if value.is_empty() {
        errs.required(path, "");
        return errs;
    }
    match value.split_once('/') {
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            errs.invalid_each(path, host, dns1123_subdomain(host));
            if !HTTP_PATH_RE.is_match(rest) {
                errs.invalid(path, rest, regex_error("Invalid path", HTTP_PATH, &[]));
            }
        }
        _ => errs.invalid(path, value, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
    errs
}

/// A qualified name whose prefix is not optional.
pub fn domain_prefixed_key(path: &Path, key: &str) -> Errors {
    let mut errs = Errors::new();
    if key.is_empty() {
        errs.required(path, "");
        return errs;
    }
    errs.invalid_each(path, key, qualified_name(key));
    if errs.is_empty() && !key.contains('/') {
        errs.invalid(path, key, "must be a domain-prefixed key (such as \"acme.io/foo\")");
    }
    errs
}
