//! Levels and versions of the Pod Security Standards, and the namespace labels that choose them.
//!
//! upstream: staging/src/k8s.io/pod-security-admission/api/{constants,helpers}.go

use std::fmt;

use apimachinery::value::Value;

/// Prefix of the labels.
const PREFIX: &str = "pod-security.kubernetes.io/";

/// How much a pod may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Everything.
    Privileged,
    /// No known escalations.
    Baseline,
    /// Hardened.
    Restricted,
}

impl Level {
    /// Parses a label.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// Version of the standards: `latest` or the minor of `v1.N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(Option<u32>);

impl Version {
    /// Parses a label.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Self(None));
        }
        let minor = text.strip_prefix("v1.")?;
        let plain = minor == "0" || (!minor.starts_with('0') && minor.bytes().all(|b| b.is_ascii_digit()));
        plain.then(|| minor.parse().ok().map(|minor| Self(Some(minor)))).flatten()
    }

    /// True if it has what came with `v1.MINOR`.
    pub fn at_least(self, minor: u32) -> bool {
        self.0.is_none_or(|own| own >= minor)
    }
}

/// A level of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Level.
    pub level: Level,
    /// Version.
    pub version: Version,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version.0 {
            None => write!(f, "{}:latest", self.level.as_str()),
            Some(minor) => write!(f, "{}:v1.{minor}", self.level.as_str()),
        }
    }
}

/// What a namespace wants done with pods that break its levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// Refuse them.
    pub enforce: Policy,
    /// Record them.
    pub audit: Policy,
    /// Warn of them.
    pub warn: Policy,
}

impl Policies {
    /// The policies that labels choose; unreadable ones fall to the strictest level.
    pub fn of(labels: &Value) -> Self {
        let label = |mode: &str, rest: &str| labels.get(&format!("{PREFIX}{mode}{rest}")).as_str();
        let policy = |mode: &str| Policy {
            level: label(mode, "").map_or(Level::Privileged, |l| Level::parse(l).unwrap_or(Level::Restricted)),
            version: label(mode, "-version").and_then(Version::parse).unwrap_or(Version(None)),
        };
        Self { enforce: policy("enforce"), audit: policy("audit"), warn: policy("warn") }
    }

    /// True if nothing is ever to be done.
    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|p| p.level == Level::Privileged)
    }
}

/// Labels that choose no policy: key, value, what is allowed.
pub fn invalid(labels: &Value) -> Vec<(String, String, &'static str)> {
    let mut out = Vec::new();
    for mode in ["enforce", "audit", "warn"] {
        let level = format!("{PREFIX}{mode}");
        if let Some(text) = labels.get(&level).as_str()
            && Level::parse(text).is_none()
        {
            out.push((level, text.to_owned(), "must be one of privileged, baseline, restricted"));
        }
        let version = format!("{PREFIX}{mode}-version");
        if let Some(text) = labels.get(&version).as_str()
            && Version::parse(text).is_none()
        {
            out.push((version, text.to_owned(), r#"must be "latest" or "v1.x""#));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(Version::parse("v1.18").map(|v| (v.at_least(18), v.at_least(19))), Some((true, false)));
        assert_eq!(Version::parse("latest").map(|v| v.at_least(99)), Some(true));
        assert_eq!(Version::parse("1.18"), None);
        assert_eq!(Version::parse("v1.08"), None);
    }
}
