//! Durations as configuration files write them: `1m30s`. Upstream: apimachinery/pkg/apis/meta/v1/duration.go.

use std::fmt;
use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::flags::{format_duration, parse_duration};

/// A duration in Go's form. The first field is what to wait, zero for a negative one; the second what was written, in
/// nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub Duration, i64);

impl GoDuration {
    /// Whole seconds.
    #[must_use]
    pub fn from_secs(seconds: u64) -> Self {
        Self::from(Duration::from_secs(seconds))
    }

    /// From nanoseconds, which may be negative.
    #[must_use]
    pub fn from_nanos(nanos: i64) -> Self {
        Self(u64::try_from(nanos).map_or(Duration::ZERO, Duration::from_nanos), nanos)
    }

    /// Nanoseconds, with the sign.
    #[must_use]
    pub fn nanos(self) -> i64 {
        self.1
    }

    /// As jiff has it.
    #[must_use]
    pub fn signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_nanos(self.1)
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self::from_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.1))
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = GoDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<GoDuration, D::Error> {
                self.visit_str(&String::deserialize(from)?)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<GoDuration, E> {
                parse_duration(text).map(GoDuration::from_nanos).map_err(E::custom)
            }
        }
        from.deserialize_newtype_struct("Duration", Written)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_their_sign() {
        let read = |json: serde_json::Value| super::super::decode::<GoDuration>(&json).map(|(value, _)| value);
        let duration = read("1m30s".into()).expect("valid");
        assert_eq!((duration.0.as_secs(), duration.to_string()), (90, "1m30s".to_owned()));
        let negative = read("-1s".into()).expect("valid");
        assert_eq!((negative.0, negative.nanos()), (Duration::ZERO, -1_000_000_000));
        let error = |json| read(json).expect_err("invalid").to_string();
        assert_eq!(error("x".into()), "time: invalid duration \"x\"");
        assert_eq!(error(5.into()), "json: cannot unmarshal number into Go value of type string");
    }
}
