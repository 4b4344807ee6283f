//! Query parameters as Go reads them: first value counts for scalars, malformed parts are skipped.
//!
//! upstream: net/url ParseQuery and apimachinery/pkg/conversion/queryparams

use apimachinery::quote::quote;
use apimachinery::status::ApiError;
use percent_encoding::percent_decode_str;

/// All parameters in order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a URL after `?`.
    pub fn parse(text: &str) -> Self {
        let decode = |piece: &str| {
            let malformed = piece
                .split('%')
                .skip(1)
                .any(|rest| rest.len() < 2 || !rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
            let spaced = piece.replace('+', " ");
            (!malformed).then(|| percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
        };
        let pairs = text.split('&').filter(|p| !p.is_empty() && !p.contains(';')).filter_map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decode(key)?, decode(value)?))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(k, _)| k == name).map(|(_, v)| v.as_str()).collect()
    }

    /// The first value, or empty.
    pub fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    /// A boolean: absent, `0` and `false` (in any case) are false, everything else is true.
    pub fn flag(&self, name: &str) -> bool {
        self.opt_flag(name).unwrap_or(false)
    }

    /// A boolean that may be absent.
    pub fn opt_flag(&self, name: &str) -> Option<bool> {
        let text = self.get(name)?;
        Some(!(text == "0" || text.eq_ignore_ascii_case("false")))
    }

    /// A whole number that may be absent.
    ///
    /// # Errors
    /// 400 in Go's words.
    pub fn opt_int(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(number) => Ok(Some(number)),
            Err(e) => {
                let why = match e.kind() {
                    std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
                    _ => "invalid syntax",
                };
                Err(ApiError::bad_request(format!("strconv.ParseInt: parsing {}: {why}", quote(text))))
            }
        }
    }
}
