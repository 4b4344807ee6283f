//! Versions as semver.org says. Upstream: apiserver/pkg/cel/library/semverlib.go, github.com/blang/semver/v4

use std::cmp::Ordering;
use std::sync::Arc;

use crate::eval::{Result, fail};
use crate::value::Val;

/// A version.
#[derive(Clone, Debug)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<Box<str>>,
}

impl Semver {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".into());
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("No Major.Minor.Patch elements found".into());
        };
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(r, b)| (r, Some(b)));
        let (patch, pre) = rest.split_once('-').map_or((rest, None), |(p, pre)| (p, Some(pre)));
        let numbers = [number("major", major)?, number("minor", minor)?, number("patch", patch)?];
        let mut parsed = Vec::new();
        for part in pre.into_iter().flat_map(|p| p.split('.')) {
            if part.is_empty() {
                return Err("Prerelease is empty".into());
            }
            if part.bytes().all(|b| b.is_ascii_digit()) {
                if part.len() > 1 && part.starts_with('0') {
                    return Err(format!("Numeric PreRelease version must not contain leading zeroes \"{part}\""));
                }
            } else if !is_word(part) {
                return Err(format!("Invalid character(s) found in prerelease \"{part}\""));
            }
            parsed.push(part.into());
        }
        for part in build.into_iter().flat_map(|b| b.split('.')) {
            if part.is_empty() {
                return Err("Build meta data is empty".into());
            }
            if !is_word(part) {
                return Err(format!("Invalid character(s) found in build meta data \"{part}\""));
            }
        }
        Ok(Self { numbers, pre: parsed })
    }

    /// Lets shortened versions, a leading `v` and leading zeros pass.
    fn parse_normalized(text: &str) -> std::result::Result<Self, String> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
        if parts.len() < 3 {
            if parts.last().is_some_and(|p| p.contains(['+', '-'])) {
                return Err("short version cannot contain PreRelease/Build meta data".into());
            }
            parts.resize(3, "0".to_owned());
        }
        Self::parse(&parts.join("."))
    }

    /// The order of versions.
    pub fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let each = self.pre.iter().zip(&other.pre).map(|(a, b)| match (a.parse::<u64>(), b.parse::<u64>()) {
                    (Ok(a), Ok(b)) => a.cmp(&b),
                    (Ok(_), Err(_)) => Ordering::Less,
                    (Err(_), Ok(_)) => Ordering::Greater,
                    (Err(_), Err(_)) => a.cmp(b),
                });
                each.fold(Ordering::Equal, Ordering::then).then(self.pre.len().cmp(&other.pre.len()))
            }
        })
    }
}

fn without_zeros(part: &str) -> String {
    if part.len() < 2 {
        return part.to_owned();
    }
    let rest = part.trim_start_matches('0');
    if rest.starts_with(|c: char| c.is_ascii_digit()) { rest.to_owned() } else { format!("0{rest}") }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn number(what: &str, text: &str) -> std::result::Result<u64, String> {
    let title = format!("{}{}", what[..1].to_uppercase(), &what[1..]);
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {what} number \"{text}\""));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("{title} number must not contain leading zeroes \"{text}\""));
    }
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing \"{text}\": value out of range"))
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    let parse = || match args {
        [Val::Str(text)] | [Val::Str(text), Val::Bool(false)] => Some(Semver::parse(text.as_str())),
        [Val::Str(text), Val::Bool(true)] => Some(Semver::parse_normalized(text.as_str())),
        _ => None,
    };
    Some(Ok(match (name, args) {
        ("semver", _) => match parse()? {
            Ok(version) => Val::Semver(Arc::new(version)),
            Err(why) => return Some(fail(why)),
        },
        ("isSemver", _) => Val::Bool(parse()?.is_ok()),
        ("isGreaterThan", [Val::Semver(a), Val::Semver(b)]) => Val::Bool(a.cmp(b) == Ordering::Greater),
        ("isLessThan", [Val::Semver(a), Val::Semver(b)]) => Val::Bool(a.cmp(b) == Ordering::Less),
        ("compareTo", [Val::Semver(a), Val::Semver(b)]) => Val::Int(a.cmp(b) as i64),
        ("major" | "minor" | "patch", [Val::Semver(version)]) => {
            let at = ["major", "minor", "patch"].iter().position(|n| *n == name)?;
            Val::Int(i64::try_from(version.numbers[at]).unwrap_or(i64::MAX))
        }
        _ => return None,
    }))
}
