//! Keys, values and other texts that are no DNS names; and numbers in a range.

use super::dns::{DNS1123_SUBDOMAIN_MAX, key_prefix};
use super::{inclusive_range_error, max_bytes_error, max_len_error, pattern, prefixed, regex_error};

/// Longest label value, and longest name part of a key.
pub const LABEL_VALUE_MAX: usize = 63;

const KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const KEY_MESSAGE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const VALUE_MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const IDENTIFIER: &str = "[A-Za-z_][A-Za-z0-9_]*";
const IDENTIFIER_MESSAGE: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
const PERCENT: &str = "[0-9]+%";
const PERCENT_MESSAGE: &str = "a valid percent string must be a numeric string followed by an ending '%'";
const HEADER: &str = "[-A-Za-z0-9]+";
const HEADER_MESSAGE: &str = "a valid HTTP header must consist of alphanumeric characters or '-'";
const ENV: &str = "[-._a-zA-Z][-._a-zA-Z0-9]*";
const ENV_MESSAGE: &str = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit";
const RELAXED_ENV_MESSAGE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const CONFIG_KEY: &str = "[-._a-zA-Z0-9]+";
const CONFIG_KEY_MESSAGE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
const REASON: &str = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
const REASON_MESSAGE: &str = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";

pattern!(KEY_RE = KEY);
pattern!(VALUE_RE = VALUE);
pattern!(IDENTIFIER_RE = IDENTIFIER);
pattern!(PERCENT_RE = PERCENT);
pattern!(HEADER_RE = HEADER);
pattern!(ENV_RE = ENV);
pattern!(CONFIG_KEY_RE = CONFIG_KEY);
pattern!(REASON_RE = REASON);

/// A label key: a name with an optional DNS prefix before a slash.
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    let name = match value.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        ["", name] => {
            out.push("prefix part must be non-empty".to_owned());
            name
        }
        [prefix, name] => {
            out.extend(prefixed("prefix part ", key_prefix(prefix)));
            name
        }
        _ => {
            let message = regex_error(KEY_MESSAGE, KEY, &["MyName", "my.name", "123-abc"]);
            return vec![format!(
                "a valid label key {message} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        out.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_VALUE_MAX {
        out.push(format!("name part {}", max_bytes_error(LABEL_VALUE_MAX)));
    }
    if !KEY_RE.is_match(name) {
        out.push(format!("name part {}", regex_error(KEY_MESSAGE, KEY, &["MyName", "my.name", "123-abc"])));
    }
    out
}

/// The value of a label.
pub fn label_value(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    if value.len() > LABEL_VALUE_MAX {
        out.push(max_bytes_error(LABEL_VALUE_MAX));
    }
    if !VALUE_RE.is_match(value) {
        out.push(regex_error(VALUE_MESSAGE, VALUE, &["MyValue", "my_value", "12345"]));
    }
    out
}

fn matching(value: &str, re: &regex::Regex, message: &str, pattern: &str, examples: &[&str]) -> Vec<String> {
    if re.is_match(value) { Vec::new() } else { vec![regex_error(message, pattern, examples)] }
}

/// An identifier of C.
pub fn c_identifier(value: &str) -> Vec<String> {
    matching(value, &IDENTIFIER_RE, IDENTIFIER_MESSAGE, IDENTIFIER, &["my_name", "MY_NAME", "MyName"])
}

/// A percentage such as `93%`.
pub fn percent(value: &str) -> Vec<String> {
    matching(value, &PERCENT_RE, PERCENT_MESSAGE, PERCENT, &["1%", "93%"])
}

/// The name of an HTTP header.
pub fn http_header_name(value: &str) -> Vec<String> {
    matching(value, &HEADER_RE, HEADER_MESSAGE, HEADER, &["X-Header-Name"])
}

/// The reason of a condition.
pub fn condition_reason(value: &str) -> Vec<String> {
    let examples = ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"];
    matching(value, &REASON_RE, REASON_MESSAGE, REASON, &examples)
}

/// The name of an environment variable under the old, strict rule.
pub fn env_var_name(value: &str) -> Vec<String> {
    let mut out = matching(value, &ENV_RE, ENV_MESSAGE, ENV, &["my.env-name", "MY_ENV.NAME", "MyEnvName1"]);
    out.extend(parent_directory(value));
    out
}

/// The name of an environment variable: printable ASCII without `=`.
pub fn relaxed_env_var_name(value: &str) -> Vec<String> {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    let fine = value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=');
    if fine { Vec::new() } else { vec![RELAXED_ENV_MESSAGE.to_owned()] }
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    if value.len() > DNS1123_SUBDOMAIN_MAX {
        out.push(max_len_error(DNS1123_SUBDOMAIN_MAX));
    }
    let examples = ["key.name", "KEY_NAME", "key-name"];
    out.extend(matching(value, &CONFIG_KEY_RE, CONFIG_KEY_MESSAGE, CONFIG_KEY, &examples));
    out.extend(parent_directory(value));
    out
}

fn parent_directory(value: &str) -> Option<String> {
    match value {
        "." | ".." => Some(format!("must not be '{value}'")),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

/// The name of a port: at most 15 of `a-z0-9-`, with a letter.
pub fn port_name(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut complain = |wrong: bool, message: String| {
        if wrong {
            out.push(message);
        }
    };
    let charset = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    complain(value.len() > 15, max_len_error(15));
    complain(
        value.is_empty() || !value.bytes().all(charset),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
    );
    complain(!value.bytes().any(|b| b.is_ascii_lowercase()), "must contain at least one letter (a-z)".to_owned());
    complain(value.contains("--"), "must not contain consecutive hyphens".to_owned());
    complain(value.starts_with('-') || value.ends_with('-'), "must not begin or end with a hyphen".to_owned());
    out
}

/// A number in `lo..=hi`.
pub fn in_range(value: i64, lo: i64, hi: i64) -> Vec<String> {
    if (lo..=hi).contains(&value) { Vec::new() } else { vec![inclusive_range_error(lo, hi)] }
}

/// A port that is not 0.
pub fn port_number(port: i64) -> Vec<String> {
    in_range(port, 1, 65535)
}

/// A user ID.
pub fn user_id(id: i64) -> Vec<String> {
    in_range(id, 0, i64::from(i32::MAX))
}

/// A group ID.
pub fn group_id(id: i64) -> Vec<String> {
    in_range(id, 0, i64::from(i32::MAX))
}
