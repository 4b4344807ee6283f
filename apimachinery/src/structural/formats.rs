//! The formats of strings that schemas may ask for. Corresponds to kube-openapi's strfmt. Formats that are not known are ignored.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::Regex;

use super::SchemaType;
use crate::codec::base64;
use crate::names;
use crate::time::Duration;

/// Formats of strings, without dashes.
const STRINGS: &[&str] = &[
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

/// Whether values of the type (as schemas name it) are checked against the format; `None` if the type has no formats.
pub fn knows_format(ty: &str, format: &str) -> Option<bool> {
    match ty {
        "" | "string" => Some(STRINGS.contains(&format.replace('-', "").as_str())),
        "integer" => Some(matches!(format, "int32" | "int64")),
        "number" => Some(matches!(format, "float" | "double")),
        _ => None,
    }
}

/// The format, or "" if it means nothing for values of the type.
pub(super) fn supported(ty: SchemaType, format: &str) -> &str {
    if knows_format(ty.as_str(), format) == Some(true) { format } else { "" }
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

macro_rules! patterns {
    ($($name:ident = $text:expr;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| pattern($text));)*
    };
}

patterns! {
    HOSTNAME = r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9\p{S}\p{L}-]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$";
    UUID = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?([0-9a-f])[0-9a-f]{3}-?([0-9a-f])[0-9a-f]{3}-?[0-9a-f]{12}$";
    SSN = r"^\d{3}[- ]?\d{2}[- ]?\d{4}$";
    HEX_COLOR = r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$";
    RGB_COLOR = r"^rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)$";
    CREDIT_CARD = r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})$";
    CLOCK = r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$";
    DURATION = r"(\d+)\s*([A-Za-zµ]+)";
    EMAIL = r#"^([^<>]*<)?[^\s@<>(),:;"\[\]]+@[^\s@<>(),:;"\[\]]+>?$"#;
    SHORT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
    LONG_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
    OBJECT_ID = r"^[0-9a-fA-F]{24}$";
    MAC = r"^([0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}(([:-][0-9a-fA-F]{2}){2}|([:-][0-9a-fA-F]{2}){14})?|[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){2}((\.[0-9a-fA-F]{4})|(\.[0-9a-fA-F]{4}){7})?)$";
}

/// True if a string has the format; unknown formats fit everything.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "bsonobjectid" => OBJECT_ID.is_match(text),
        "uri" => is_request_uri(text),
        "email" => EMAIL.is_match(text.trim()),
        "hostname" => HOSTNAME.is_match(text) && text.len() <= 255 && text.split('.').all(|p| p.len() <= 63),
        "ipv4" => names::parse_ip_sloppy(text).is_some() && text.contains('.'),
        "ipv6" => text.contains(':') && text.parse::<IpAddr>().is_ok(),
        "cidr" => names::parse_cidr_sloppy(text).is_some(),
        "mac" => MAC.is_match(text),
        "uuid" => UUID.is_match(text),
        "uuid3" => uuid_version(text, "3", None),
        "uuid4" => uuid_version(text, "4", Some("89abAB")),
        "uuid5" => uuid_version(text, "5", Some("89abAB")),
        "isbn" => isbn10(text) || isbn13(text),
        "isbn10" => isbn10(text),
        "isbn13" => isbn13(text),
        "creditcard" => credit_card(text),
        "ssn" => SSN.is_match(text),
        "hexcolor" => HEX_COLOR.is_match(text),
        "rgbcolor" => RGB_COLOR.is_match(text),
        "byte" => !text.is_empty() && text.len().is_multiple_of(4) && base64::decode(text.as_bytes()).is_ok(),
        "date" => is_date(text),
        "datetime" => is_date_time(text),
        "duration" => is_duration(text),
        "k8sshortname" => text.len() <= 63 && SHORT_NAME.is_match(text),
        "k8slongname" => text.len() <= 253 && LONG_NAME.is_match(text),
        _ => true,
    }
}

/// What Go's url.ParseRequestURI accepts: an absolute path, or a scheme and more, without blanks and control characters.
fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c == ' ') {
        return false;
    }
    if text.starts_with('/') || text == "*" {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    good && !rest.is_empty()
}

fn uuid_version(text: &str, version: &str, variants: Option<&str>) -> bool {
    let Some(parts) = UUID.captures(text) else { return false };
    &parts[1] == version && variants.is_none_or(|v| v.contains(&parts[2]))
}

fn digits(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ' ' | '-')).collect()
}

fn isbn10(text: &str) -> bool {
    let digits = digits(text);
    let value = |(i, c): (usize, char)| match c {
        'X' if i == 9 => Some(10),
        c => c.to_digit(10),
    };
    let values: Option<Vec<u32>> = digits.chars().enumerate().map(value).collect();
    values.is_some_and(|v| v.len() == 10 && (1..).zip(&v).map(|(i, d): (u32, _)| i * d).sum::<u32>().is_multiple_of(11))
}

fn isbn13(text: &str) -> bool {
    let values: Option<Vec<u32>> = digits(text).chars().map(|c| c.to_digit(10)).collect();
    values.is_some_and(|v| {
        v.len() == 13 && v.iter().enumerate().map(|(i, d)| if i % 2 == 0 { *d } else { 3 * d }).sum::<u32>() % 10 == 0
    })
}

fn credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let luhn = digits.bytes().rev().enumerate().map(|(i, c)| {
        let d = u32::from(c - b'0') * if i % 2 == 1 { 2 } else { 1 };
        if d > 9 { d - 9 } else { d }
    });
    CREDIT_CARD.is_match(&digits) && luhn.sum::<u32>().is_multiple_of(10)
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && crate::time::Timestamp::parse(&format!("{text}T00:00:00Z")).is_ok()
}

fn is_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let Some((date, rest)) = lower.split_once('t') else { return false };
    // More text after a second "t" is not looked at.
    let clock = rest.split('t').next().unwrap_or(rest);
    is_date(date) && CLOCK.captures(clock).is_some_and(|c| &c[1] <= "23" && &c[2] <= "59" && &c[3] <= "59")
}

fn is_duration(text: &str) -> bool {
    const UNITS: [(&[&str], &str); 8] = [
        (&["ns"], "nano"),
        (&["us", "µs"], "micro"),
        (&["ms"], "milli"),
        (&["s"], "sec"),
        (&["m"], "min"),
        (&["h", "hr"], "hour"),
        (&["d"], "day"),
        (&["w", "wk"], "week"),
    ];
    let known = |unit: &str| UNITS.iter().any(|(short, long)| short.contains(&unit) || unit.starts_with(long));
    Duration::parse(text).is_ok() || DURATION.captures_iter(text).any(|c| known(&c[2].to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn formats() {
        for (format, good, bad) in [
            ("date-time", "2020-01-02T03:04:05Z", "2020-01-02"),
            ("date", "2020-01-02", "x"),
            ("ipv4", "192.0.2.1", "::1"),
            ("ipv6", "::1", "192.0.2.1"),
            ("cidr", "192.0.2.0/24", "x"),
            ("uuid", "0d3b7b0e-2222-4a5e-8b0f-000000000002", "x"),
            ("uuid4", "0d3b7b0e-2222-4a5e-8b0f-000000000002", "0d3b7b0e-2222-5a5e-8b0f-000000000002"),
            ("email", "a@example.com", "x"),
            ("hostname", "example.com", "a b"),
            ("uri", "https://example.com/x", "x y"),
            ("uri", "/x", ":"),
            ("duration", "22 ns", "x"),
            ("k8s-short-name", "a-b", "A_"),
            ("k8s-long-name", "a.b", "A_"),
            ("isbn", "978-0321751041", "978-0321751042"),
            ("mac", "01:23:45:67:89:ab", "01:23"),
            ("byte", "aGk=", "a"),
            ("hexcolor", "#fff", "#ffff"),
        ] {
            assert!(fits(format, good) && !fits(format, bad), "{format}");
        }
    }
}
