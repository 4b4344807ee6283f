//! IP addresses and ranges: the tolerant reading that old fields have always had, and the strict rules of newer ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::field::Path;
use crate::quote::quote;

const BAD_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const BAD_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
const BAD_INTERFACE: &str = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";

/// Reads an address; leading zeros in octets are skipped over.
pub fn parse_ip_sloppy(text: &str) -> Option<IpAddr> {
    match text.bytes().find(|b| matches!(b, b'.' | b':'))? {
        b'.' => parse_v4(text).map(IpAddr::V4),
        _ => parse_v6(text).map(IpAddr::V6),
    }
}

fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let octets: Vec<u8> = text.split('.').map(parse_octet).collect::<Option<_>>()?;
    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
}

fn parse_octet(text: &str) -> Option<u8> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let parts: Vec<String> = text.split(':').map(without_leading_zeros).collect();
    parts.join(":").parse().ok()
}

fn without_leading_zeros(part: &str) -> String {
    if part.contains('.') {
        return parse_v4(part).map_or_else(|| part.to_owned(), |a| a.to_string());
    }
    let short = part.trim_start_matches('0');
    if short.is_empty() && !part.is_empty() { "0".to_owned() } else { short.to_owned() }
}

/// An address as Go writes it: an IPv4-mapped one as IPv4.
pub fn ip_text(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// An address in a field that never asked for the canonical form.
pub fn ip_sloppy(text: &str) -> Vec<String> {
    let Some(address) = parse_ip_sloppy(text) else { return vec![BAD_IP.to_owned()] };
    let mut out = Vec::new();
    if text.parse::<IpAddr>().is_err() {
        out.push("must not have leading 0s".to_owned());
    } else if is_mapped(address) {
        out.push("must not be an IPv4-mapped IPv6 address".to_owned());
    }
    out
}

/// An address in canonical form.
pub fn ip(text: &str) -> Vec<String> {
    let wrong = ip_sloppy(text);
    if !wrong.is_empty() {
        return wrong;
    }
    let canonical = parse_ip_sloppy(text).map(ip_text).unwrap_or_default();
    not_canonical(text, &canonical)
}

fn not_canonical(text: &str, canonical: &str) -> Vec<String> {
    if text == canonical { Vec::new() } else { vec![format!("must be in canonical form ({})", quote(canonical))] }
}

/// What to warn about in an address that [`parse_ip_sloppy`] reads.
pub fn ip_warnings(path: &Path, text: &str) -> Vec<String> {
    let Some(address) = parse_ip_sloppy(text) else { return Vec::new() };
    if text.parse::<IpAddr>().is_err() || is_mapped(address) {
        let better = quote(&ip_text(address));
        return vec![format!("{path}: non-standard IP address {} is invalid: use {better}", quote(text))];
    }
    let canonical = address.to_string();
    if address.is_ipv6() && canonical != text {
        let (text, better) = (quote(text), quote(&canonical));
        return vec![format!("{path}: IPv6 address {text} should be in RFC 5952 canonical format ({better})")];
    }
    Vec::new()
}

/// Reads an address and the length of a prefix; leading zeros are skipped over.
pub fn parse_cidr_sloppy(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address = parse_ip_sloppy(address)?;
    let length = parse_octet(length)?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

/// The first address of the range.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask))
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask))
        }
    }
}

/// The range as Go writes it.
fn range_text(address: IpAddr, length: u8) -> String {
    let mapped = is_mapped(address) && length >= 96;
    let length = if mapped { length - 96 } else { length };
    format!("{}/{length}", ip_text(masked(address, if mapped { length + 96 } else { length })))
}

fn has_leading_zeros(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return true };
    address.parse::<IpAddr>().is_err() || (length.len() > 1 && length.starts_with('0'))
}

/// A range in a field that never asked for the canonical form.
pub fn cidr_sloppy(text: &str) -> Vec<String> {
    let Some((address, length)) = parse_cidr_sloppy(text) else { return vec![BAD_CIDR.to_owned()] };
    let message = if has_leading_zeros(text) {
        "must not have leading 0s in IP or prefix length"
    } else if is_mapped(address) {
        "must not have an IPv4-mapped IPv6 address"
    } else if masked(address, length) != address {
        "must not have bits set beyond the prefix length"
    } else {
        return Vec::new();
    };
    vec![message.to_owned()]
}

/// A range in canonical form.
pub fn cidr(text: &str) -> Vec<String> {
    let wrong = cidr_sloppy(text);
    if !wrong.is_empty() {
        return wrong;
    }
    let canonical = parse_cidr_sloppy(text).map(|(a, n)| range_text(a, n)).unwrap_or_default();
    not_canonical(text, &canonical)
}

/// An address with the length of its network's prefix, in canonical form.
pub fn interface_address(text: &str) -> Vec<String> {
    let Some((address, length)) = parse_cidr_sloppy(text) else { return vec![BAD_INTERFACE.to_owned()] };
    let length = if is_mapped(address) && length > 32 { length - 96 } else { length };
    not_canonical(text, &format!("{}/{length}", ip_text(address)))
}

/// What to warn about in a range that [`parse_cidr_sloppy`] reads.
pub fn cidr_warnings(path: &Path, text: &str) -> Vec<String> {
    let Some((address, length)) = parse_cidr_sloppy(text) else { return Vec::new() };
    let mut out = Vec::new();
    let (shown, range) = (quote(text), quote(&range_text(address, length)));
    if masked(address, length) != address {
        let single = quote(&format!("{}/{}", ip_text(address), if address.is_ipv4() { 32 } else { 128 }));
        out.push(format!("{path}: CIDR value {shown} is ambiguous in this context (should be {range} or {single}?)"));
    }
    if has_leading_zeros(text) || is_mapped(address) {
        out.push(format!("{path}: non-standard CIDR value {shown} is invalid: use {range}"));
    }
    let canonical = format!("{address}/{length}");
    if out.is_empty() && address.is_ipv6() && canonical != text {
        let better = quote(&canonical);
        out.push(format!("{path}: IPv6 CIDR value {shown} should be in RFC 5952 canonical format ({better})"));
    }
    out
}
