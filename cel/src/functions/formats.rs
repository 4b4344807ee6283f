//! Named formats. Upstream: apiserver/pkg/cel/library/format.go

use apimachinery::names;

use super::{regexes, time, urls};
use crate::eval::Result;
use crate::overloads::FORMATS;
use crate::value::Val;

/// The regular expression cost of a format.
pub(super) fn regex_size(format: usize) -> u64 {
    match FORMATS.get(format).copied().unwrap_or("") {
        "dns1123Label" | "dns1035Label" | "dns1123LabelPrefix" | "dns1035LabelPrefix" => 30,
        "labelValue" => 40,
        "uri" => 1103,
        "uuid" => 80,
        "byte" => 84,
        "date" | "datetime" => 100,
        _ => 60,
    }
}

fn prefix(check: fn(&str) -> Vec<String>, text: &str) -> Vec<String> {
    check(&names::mask_trailing_dash(text))
}

fn complaints(format: &str, text: &str) -> Vec<String> {
    let unless = |ok: bool, why: &str| if ok { Vec::new() } else { vec![why.to_owned()] };
    match format {
        "dns1123Label" => names::dns1123_label(text),
        "dns1123Subdomain" => names::dns1123_subdomain(text),
        "dns1035Label" => names::dns1035_label(text),
        "qualifiedName" => names::qualified_name(text),
        "dns1123LabelPrefix" => prefix(names::dns1123_label, text),
        "dns1123SubdomainPrefix" => prefix(names::dns1123_subdomain, text),
        "dns1035LabelPrefix" => prefix(names::dns1035_label, text),
        "labelValue" => names::label_value(text),
        "uri" => urls::parse(text).err().into_iter().collect(),
        "uuid" => {
            let pattern = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
            unless(regexes::compile(pattern).is_ok_and(|r| r.is_match(text)), "does not match the UUID format")
        }
        "byte" => unless(!text.is_empty() && time::decode_base64(text).is_some(), "invalid base64"),
        "date" => {
            let whole = text.len() == 10 && time::parse_timestamp(&format!("{text}T00:00:00Z")).is_some();
            unless(whole, "invalid date")
        }
        _ => unless(time::parse_timestamp(text).is_some(), "invalid datetime"),
    }
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    let named = |name: &str| FORMATS.iter().position(|f| *f == name);
    Some(Ok(match (name, args) {
        ("format.named", [Val::Str(name)]) => {
            Val::Optional(named(name.as_str()).map(|format| Val::Format(format).into()))
        }
        ("validate", [Val::Format(format), Val::Str(text)]) => {
            let complaints = complaints(FORMATS.get(*format).copied().unwrap_or(""), text.as_str());
            if complaints.is_empty() {
                Val::Optional(None)
            } else {
                Val::some(Val::list(complaints.into_iter().map(Val::str).collect()))
            }
        }
        (name, []) => Val::Format(named(name.strip_prefix("format.")?)?),
        _ => return None,
    }))
}
