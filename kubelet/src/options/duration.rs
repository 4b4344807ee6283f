//! Durations as configuration files write them: `1m30s`, or nanoseconds as a number.

use std::time::Duration;

use component_base::flags::{format_duration, parse_duration};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration in Go's form; a negative one reads as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl GoDuration {
    /// Whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// As jiff has it.
    pub fn signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::try_from(self.0).unwrap_or(jiff::SignedDuration::MAX)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let nanoseconds = match serde_json::Value::deserialize(from)? {
            serde_json::Value::String(text) => parse_duration(&text).map_err(D::Error::custom)?,
            serde_json::Value::Number(number) => {
                number.as_i64().ok_or_else(|| D::Error::custom("a duration in nanoseconds is a whole number"))?
            }
            serde_json::Value::Null => 0,
            other => return Err(D::Error::custom(format!("{other} is not a duration"))),
        };
        Ok(Self(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))))
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.serialize_str(&format_duration(i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)))
    }
}
