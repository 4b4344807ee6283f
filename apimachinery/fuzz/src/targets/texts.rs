//! Small texts: selectors, quantities, names, times.

use apimachinery::field::Path;
use apimachinery::quantity::Quantity;
use apimachinery::selector::{field, label};
use apimachinery::time::{Duration, Timestamp};
use apimachinery::{names as rules, quantity as quantities};

/// A label selector: its text reads as the same selector.
pub fn label_selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(selector) = label::parse(text) else { return };
    let written = selector.to_string();
    let again = label::parse(&written).unwrap_or_else(|error| panic!("{written:?}: {error}"));
    assert_eq!(again.to_string(), written);
    assert_eq!(again.matches(|_| Some("a")), selector.matches(|_| Some("a")));
    assert_eq!(again.matches(|_| None), selector.matches(|_| None));
}

/// A field selector: its text reads as the same terms, though perhaps in another order.
pub fn field_selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(selector) = field::parse(text) else { return };
    let written = selector.to_string();
    let again = field::parse(&written).unwrap_or_else(|error| panic!("{written:?}: {error}"));
    let terms = |selector: &field::FieldSelector| {
        let mut terms: Vec<_> = selector.requirements().iter().map(|term| format!("{term:?}")).collect();
        terms.sort_unstable();
        terms
    };
    assert_eq!(terms(&again), terms(&selector), "{written}");
}

/// A quantity: the canonical text is canonical and means the same.
pub fn quantity(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(read) = Quantity::parse(text) else { return };
    let written = read.to_string();
    assert!(written.len() <= text.len() + 64, "{} bytes of {}", written.len(), text.len());
    let again = Quantity::parse(&written).unwrap_or_else(|error| panic!("{written:?}: {error}"));
    assert_eq!(again.to_string(), written);
    let _ = (read.value(), read.milli_value(), read.to_f64(), read.as_i64(), quantities::canonical(text));
    let mut sum = read.clone();
    sum.add(&again);
    sum.sub(&again);
    sum.mul(3);
    let _ = (sum.to_string(), sum.round_up(0), read.negated().to_string());
}

/// The rules of names.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let path = Path::root("x");
    let _ = (rules::dns1123_label(text), rules::dns1123_subdomain(text), rules::dns1035_label(text));
    let _ = (rules::wildcard_dns1123_subdomain(text), rules::fully_qualified_name(&path, text));
    let _ = (rules::fully_qualified_domain_name(&path, text), rules::domain_prefixed_path(&path, text));
    let _ = (rules::qualified_name(text), rules::label_value(text), rules::percent(text), rules::port_name(text));
    let _ = (rules::env_var_name(text), rules::config_map_key(text), rules::http_header_name(text));
    let _ = (rules::path_segment_name(text), rules::mask_trailing_dash(text));
    let _ = (rules::ip(text), rules::cidr(text), rules::ip_warnings(&path, text), rules::cidr_sloppy(text));
    if let Some(address) = rules::parse_ip_sloppy(text) {
        let written = rules::ip_text(address);
        // An IPv4 address that is mapped into IPv6 is written as what it is.
        assert_eq!(rules::parse_ip_sloppy(&written).map(rules::ip_text), Some(written));
    }
}

/// Times and durations: what is written reads as the same moment.
pub fn time(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(time) = Timestamp::parse(text) {
        let written = time.to_seconds_text();
        assert_eq!(Timestamp::parse(&written).map(|time| time.to_seconds_text()), Ok(written));
    }
    if let Ok(time) = Timestamp::parse_micro(text) {
        let written = time.to_micro_text();
        assert_eq!(Timestamp::parse_micro(&written).map(|time| time.to_micro_text()), Ok(written));
    }
    let _ = Timestamp::parse_nano(text);
    if let Ok(duration) = Duration::parse(text) {
        let written = duration.to_string();
        assert_eq!(Duration::parse(&written), Ok(duration), "{written}");
    }
}
