//! Cross-origin requests from browsers, for the origins of `--cors-allowed-origins`.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/server/filters/cors.go and options/server_run_options.go

use http::{HeaderMap, HeaderValue, Method, header};
use regex::Regex;

const HELP: &str =
    "each pattern must pin the whole host: start it with '^' or hold '//', and end it with '$' or hold ':'";

/// The allowed origins; empty switches the filter off.
#[derive(Debug, Default)]
pub struct Cors {
    origins: Vec<Regex>,
}

impl Cors {
    /// Compiles and checks the patterns of the flag.
    ///
    /// # Errors
    /// Upstream's message about the first pattern that is not allowed.
    pub fn new(patterns: &[String]) -> Result<Self, String> {
        let mut origins = Vec::new();
        for pattern in patterns {
            if pattern.is_empty() {
                return Err(format!("empty value in --cors-allowed-origins, help: {HELP}"));
            }
            let compiled = Regex::new(pattern).map_err(|error| error.to_string());
            let compiled = compiled.and_then(|regex| validate(pattern).map(|()| regex));
            origins.push(compiled.map_err(|error| {
                format!("--cors-allowed-origins has an invalid regular expression: {error}, help: {HELP}")
            })?);
        }
        Ok(Self { origins })
    }

    /// The headers that an allowed origin gets; `None` for others and when there is no Origin header.
    pub fn headers(&self, request: &HeaderMap) -> Option<HeaderMap> {
        if self.origins.is_empty() {
            return None;
        }
        let origin = request.get(header::ORIGIN)?;
        let text = origin.to_str().ok()?;
        if !self.origins.iter().any(|allowed| allowed.is_match(text)) {
            return None;
        }
        let mut out = HeaderMap::new();
        out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let fixed = |value: &'static str| HeaderValue::from_static(value);
        out.insert(header::ACCESS_CONTROL_ALLOW_METHODS, fixed("POST, GET, OPTIONS, PUT, DELETE, PATCH"));
        out.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            fixed("Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, If-Modified-Since"),
        );
        out.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, fixed("Date"));
        out.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, fixed("true"));
        Some(out)
    }

    /// An allowed origin's OPTIONS request is answered by this filter.
    pub fn answers(method: &Method) -> bool {
        method == Method::OPTIONS
    }
}

/// A pattern must name the start and the end of the host, or it would match hosts that only contain it.
fn validate(pattern: &str) -> Result<(), String> {
    let start = ["^", "//"].iter().any(|mark| pattern.contains(mark));
    let end = ["$", ":"].iter().any(|mark| pattern.contains(mark));
    if start && end {
        return Ok(());
    }
    Err("regular expression does not pin to start/end of host in the origin header".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_must_be_pinned() {
        assert!(Cors::new(&["//127.0.0.1(:[0-9]+)?$".to_owned()]).is_ok());
        assert!(Cors::new(&["/127.0.0.1(:[0-9]+)?$".to_owned()]).is_err());
    }
}
