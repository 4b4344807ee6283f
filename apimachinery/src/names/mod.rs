//! Rules for names, keys and other short texts. Each answers with what is wrong, in upstream's words; nothing means it is fine.
//! Corresponds to upstream's apimachinery/pkg/util/validation, pkg/api/validation and pkg/api/validate/content.

mod dns;
mod network;
mod text;

pub use dns::{
    DNS1123_LABEL_MAX, DNS1123_SUBDOMAIN_MAX, dns1035_label, dns1123_label, dns1123_subdomain,
    dns1123_subdomain_caseless, dns1123_subdomain_with_underscore, domain_prefixed_key, domain_prefixed_path,
    fully_qualified_domain_name, fully_qualified_name, wildcard_dns1123_subdomain,
};
pub use network::{
    cidr, cidr_sloppy, cidr_warnings, interface_address, ip, ip_sloppy, ip_text, ip_warnings, parse_cidr_sloppy,
    parse_ip_sloppy,
};
pub use text::{
    LABEL_VALUE_MAX, c_identifier, condition_reason, config_map_key, env_var_name, group_id, http_header_name,
    in_range, label_value, percent, port_name, port_number, qualified_name, relaxed_env_var_name, user_id,
};

/// A rule for names.
pub type Rule = fn(&str) -> Vec<String>;

/// Text of more than `max` bytes, as most rules say it.
pub fn max_len_error(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// Text of more than `max` bytes, as newer rules say it.
pub fn max_bytes_error(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

/// A number outside of `lo..=hi`.
pub fn inclusive_range_error(lo: i64, hi: i64) -> String {
    format!("must be between {lo} and {hi}, inclusive")
}

/// Text that does not match `pattern`.
pub fn regex_error(message: &str, pattern: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{pattern}')");
    }
    format!("{message} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
}

/// What is wrong with `name` as a segment of a URL path.
pub fn path_segment_name(name: &str) -> Vec<String> {
    match name {
        "." | ".." => vec![format!("may not be '{name}'")],
        _ => path_segment_prefix(name),
    }
}

/// What is wrong with `name` as the beginning of a segment of a URL path.
pub fn path_segment_prefix(name: &str) -> Vec<String> {
    ["/", "%"].iter().filter(|bad| name.contains(**bad)).map(|bad| format!("may not contain '{bad}'")).collect()
}

/// A prefix for generated names as the rules for names see it: a dash at its end is no fault.
pub fn mask_trailing_dash(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let mut kept: String = rest.to_owned();
            kept.pop();
            kept + "a"
        }
        _ => prefix.to_owned(),
    }
}

fn prefixed(prefix: &str, messages: Vec<String>) -> impl Iterator<Item = String> + '_ {
    messages.into_iter().map(move |m| format!("{prefix}{m}"))
}

/// A pattern that must match the whole text.
macro_rules! pattern {
    ($name:ident = $text:expr) => {
        static $name: std::sync::LazyLock<regex::Regex> =
            std::sync::LazyLock::new(|| regex::Regex::new(&format!("^(?:{})$", $text)).expect("a constant pattern"));
    };
}
use pattern;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
        let key = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
        let long = "x".repeat(64);
        for (got, want) in [
            (dns1123_label("A"), vec![label]),
            (dns1123_label("a.b"), vec!["must not contain dots"]),
            (dns1123_label("ok-1"), vec![]),
            (dns1123_label(&long), vec!["must be no more than 63 characters"]),
            (qualified_name("example.com/MyName"), vec![]),
            (qualified_name("/x"), vec!["prefix part must be non-empty"]),
            (qualified_name(""), vec!["name part must be non-empty", key]),
            (label_value(""), vec![]),
            (label_value(&long), vec!["must be no more than 63 bytes"]),
            (port_name("a--b"), vec!["must not contain consecutive hyphens"]),
            (port_number(0), vec!["must be between 1 and 65535, inclusive"]),
            (config_map_key("..a"), vec!["must not start with '..'"]),
            (path_segment_name("a/b%"), vec!["may not contain '/'", "may not contain '%'"]),
        ] {
            assert_eq!(got, want);
        }
        assert_eq!(mask_trailing_dash("abc-"), "aba");
        assert_eq!(mask_trailing_dash("-"), "-");
    }

    #[test]
    fn addresses() {
        for (text, want) in [
            ("10.0.0.1", ""),
            ("010.0.0.1", "must not have leading 0s"),
            ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
            ("FE80::1", "must be in canonical form (\"fe80::1\")"),
            ("1.2.3", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
            ("fe80::1%eth0", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ] {
            assert_eq!(ip(text).first().map_or("", |s| s), want, "{text}");
        }
        for (text, want) in [
            ("10.0.0.0/8", ""),
            ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
            ("10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
            ("10.0.0.0", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
            ("2001:DB8::/64", "must be in canonical form (\"2001:db8::/64\")"),
        ] {
            assert_eq!(cidr(text).first().map_or("", |s| s), want, "{text}");
        }
    }
}
