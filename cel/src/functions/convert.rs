//! Conversions between types. Upstream: cel-go common/types (ConvertToType)

use std::net::IpAddr;

use super::time;
use crate::eval::{Result, fail};
use crate::value::Val;

fn impossible<'a>(from: &Val<'a>, to: &str) -> Result<'a> {
    fail(format!("type conversion error from '{}' to '{to}'", from.type_name()))
}

/// A double as Go prints it with `%g`.
pub(super) fn double_text(f: f64) -> String {
    if f.is_nan() {
        return "NaN".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let exponent = if f == 0.0 { 0 } else { f.abs().log10().floor() as i32 };
    if (-4..21).contains(&exponent) {
        return format!("{f}");
    }
    let text = format!("{f:e}");
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = power.strip_prefix('-').map_or(("+", power), |d| ("-", d));
    format!("{mantissa}e{sign}{digits:0>2}")
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    let [value] = args else { return None };
    Some(match name {
        "string" => text(value),
        "int" => int(value),
        "uint" => uint(value),
        "double" => match value {
            Val::Int(n) => Ok(Val::Double(*n as f64)),
            Val::Uint(n) => Ok(Val::Double(*n as f64)),
            Val::Double(_) => Ok(value.clone()),
            Val::Str(text) => {
                text.as_str().parse().map_or_else(|_| impossible(value, "double"), |f| Ok(Val::Double(f)))
            }
            _ => impossible(value, "double"),
        },
        "bool" => match value {
            Val::Bool(_) => Ok(value.clone()),
            Val::Str(text) => match text.as_str() {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Val::Bool(true)),
                "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Val::Bool(false)),
                _ => impossible(value, "bool"),
            },
            _ => impossible(value, "bool"),
        },
        "bytes" => match value {
            Val::Bytes(_) => Ok(value.clone()),
            Val::Str(text) => Ok(Val::Bytes(text.as_str().as_bytes().into())),
            _ => impossible(value, "bytes"),
        },
        "duration" => match value {
            Val::Duration(_) => Ok(value.clone()),
            Val::Int(n) => Ok(Val::Duration(i128::from(*n))),
            Val::Str(text) => time::parse_duration(text.as_str())
                .map_or_else(|| impossible(value, "google.protobuf.Duration"), |n| Ok(Val::Duration(n))),
            _ => impossible(value, "google.protobuf.Duration"),
        },
        "timestamp" => match value {
            Val::Timestamp(_) => Ok(value.clone()),
            Val::Int(n) => Ok(Val::Timestamp(i128::from(*n) * 1_000_000_000)),
            Val::Str(text) => time::parse_timestamp(text.as_str())
                .map_or_else(|| impossible(value, "google.protobuf.Timestamp"), |n| Ok(Val::Timestamp(n))),
            _ => impossible(value, "google.protobuf.Timestamp"),
        },
        _ => return None,
    })
}

fn text<'a>(value: &Val<'a>) -> Result<'a> {
    Ok(match value {
        Val::Str(_) => value.clone(),
        Val::Bool(b) => Val::str(b.to_string()),
        Val::Int(n) => Val::str(n.to_string()),
        Val::Uint(n) => Val::str(n.to_string()),
        Val::Double(f) => Val::str(double_text(*f)),
        Val::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Val::str(text),
            Err(_) => return fail("invalid UTF-8 in bytes, cannot convert to string"),
        },
        Val::Duration(n) => Val::str(time::seconds_text(*n)),
        Val::Timestamp(n) => Val::str(time::format_timestamp(*n)),
        Val::Ip(address) => Val::str(address.to_string()),
        Val::Cidr(cidr) => Val::str(format!("{}/{}", cidr.address, cidr.bits)),
        _ => return impossible(value, "string"),
    })
}

fn int<'a>(value: &Val<'a>) -> Result<'a> {
    match value {
        Val::Int(_) => Ok(value.clone()),
        Val::Uint(n) => i64::try_from(*n).map_or_else(|_| fail("integer overflow"), |n| Ok(Val::Int(n))),
        Val::Double(f) if f.is_finite() && *f > -9.223_372_036_854_776e18 && *f < 9.223_372_036_854_776e18 =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "that is what the language says")]
            Ok(Val::Int(*f as i64))
        }
        Val::Double(_) => fail("integer overflow"),
        Val::Str(text) => text.as_str().parse().map_or_else(|_| impossible(value, "int"), |n| Ok(Val::Int(n))),
        Val::Duration(n) => i64::try_from(*n).map_or_else(|_| fail("integer overflow"), |n| Ok(Val::Int(n))),
        Val::Timestamp(n) => {
            i64::try_from(n.div_euclid(1_000_000_000)).map_or_else(|_| fail("integer overflow"), |n| Ok(Val::Int(n)))
        }
        _ => impossible(value, "int"),
    }
}

fn uint<'a>(value: &Val<'a>) -> Result<'a> {
    match value {
        Val::Uint(_) => Ok(value.clone()),
        Val::Int(n) => u64::try_from(*n).map_or_else(|_| fail("unsigned integer overflow"), |n| Ok(Val::Uint(n))),
        Val::Double(f) if *f >= 0.0 && *f < 1.844_674_407_370_955_2e19 =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "that is what the language says"
            )]
            Ok(Val::Uint(*f as u64))
        }
        Val::Double(_) => fail("unsigned integer overflow"),
        Val::Str(text) => text.as_str().parse().map_or_else(|_| impossible(value, "uint"), |n| Ok(Val::Uint(n))),
        _ => impossible(value, "uint"),
    }
}

/// The family of an address: 4 or 6.
pub(super) fn family(address: &IpAddr) -> i64 {
    if address.is_ipv4() { 4 } else { 6 }
}
