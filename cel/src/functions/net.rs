//! IP addresses and networks. Upstream: apiserver/pkg/cel/library/{ip,cidr}.go

use std::net::IpAddr;

use apimachinery::quote::quote;

use super::convert::family;
use crate::eval::{Result, fail};
use crate::value::Val;

/// An address with the length of its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address as written.
    pub address: IpAddr,
    /// How many bits of it are the network.
    pub bits: u8,
}

impl Cidr {
    fn masked(&self) -> Self {
        let address = match self.address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V4((u32::from(a) & mask).into())
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V6((u128::from(a) & mask).into())
            }
        };
        Self { address, bits: self.bits }
    }

    fn contains(&self, address: IpAddr) -> bool {
        let other = Self { address, bits: self.bits };
        self.address.is_ipv4() == address.is_ipv4() && self.masked().address == other.masked().address
    }

    fn contains_network(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }
}

fn parse_ip(text: &str) -> std::result::Result<IpAddr, String> {
    let shown = quote(text);
    if let Some((address, zone)) = text.split_once('%')
        && address.contains(':')
        && !zone.is_empty()
    {
        return Err(format!("IP address {shown} with zone value is not allowed"));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(a)) if a.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {shown} is not allowed"))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(format!(
            "IP Address {shown} parse error during conversion from string: ParseAddr({shown}): {}",
            why_no_address(text)
        )),
    }
}

/// What Go's netip says.
fn why_no_address(text: &str) -> String {
    let shown = quote(text);
    match text.find(['.', ':']) {
        Some(at) if text.as_bytes()[at] == b'.' => {
            let parts: Vec<&str> = text.split('.').collect();
            if let Some(at) = text.find(|c: char| c != '.' && !c.is_ascii_digit()) {
                return format!("unexpected character (at {})", quote(&text[at..]));
            }
            if parts.iter().any(|p| p.is_empty()) {
                let at = if text.starts_with('.') { Some(0) } else { text.find("..").map(|i| i + 1) };
                let at = at.map_or(String::new(), |i| format!(" (at {})", quote(&text[i..])));
                return format!("IPv4 field must have at least one digit{at}");
            }
            if parts.iter().any(|p| p.len() > 1 && p.starts_with('0')) {
                return "IPv4 field has octet with leading zero".into();
            }
            if parts.iter().any(|p| p.parse::<u8>().is_err()) {
                return "IPv4 field has value >255".into();
            }
            if parts.len() < 4 { "IPv4 address too short".into() } else { "IPv4 address too long".into() }
        }
        Some(_) => format!("each colon-separated field must have at least one digit (at {shown})"),
        None => "unable to parse IP".into(),
    }
}

fn parse_cidr(text: &str) -> std::result::Result<Cidr, String> {
    let shown = quote(text);
    let failed = |why: &str| {
        format!("network address parse error during conversion from string: netip.ParsePrefix({shown}): {why}")
    };
    let Some((address, bits)) = text.rsplit_once('/') else { return Err(failed("no '/'")) };
    let parsed = address
        .parse::<IpAddr>()
        .map_err(|_| failed(&format!("ParseAddr({}): {}", quote(address), why_no_address(address))))?;
    let plain =
        !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) && (bits.len() == 1 || !bits.starts_with('0'));
    let Some(number) = bits.parse::<u8>().ok().filter(|_| plain) else {
        return Err(failed(&format!("bad bits after slash: {}", quote(bits))));
    };
    if number > if parsed.is_ipv4() { 32 } else { 128 } {
        return Err(failed("prefix length out of range"));
    }
    if matches!(parsed, IpAddr::V6(a) if a.to_ipv4_mapped().is_some()) {
        return Err(format!("IPv4-mapped IPv6 address {shown} is not allowed"));
    }
    Ok(Cidr { address: parsed, bits: number })
}

fn is_link_local_unicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn is_link_local_multicast(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.octets()[..3] == [224, 0, 0],
        IpAddr::V6(a) => a.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_global_unicast(address: &IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(a) if a.is_broadcast());
    !(broadcast
        || address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || is_link_local_unicast(address))
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    Some(Ok(match (name, args) {
        ("ip", [Val::Str(text)]) => match parse_ip(text.as_str()) {
            Ok(address) => Val::Ip(address),
            Err(why) => return Some(fail(why)),
        },
        ("ip", [Val::Cidr(cidr)]) => Val::Ip(cidr.address),
        ("isIP", [Val::Str(text)]) => Val::Bool(parse_ip(text.as_str()).is_ok()),
        ("ip.isCanonical", [Val::Str(text)]) => match parse_ip(text.as_str()) {
            Ok(address) => Val::Bool(address.to_string() == text.as_str()),
            Err(why) => return Some(fail(why)),
        },
        ("family", [Val::Ip(a)]) => Val::Int(family(a)),
        ("isUnspecified", [Val::Ip(a)]) => Val::Bool(a.is_unspecified()),
        ("isLoopback", [Val::Ip(a)]) => Val::Bool(a.is_loopback()),
        ("isLinkLocalMulticast", [Val::Ip(a)]) => Val::Bool(is_link_local_multicast(a)),
        ("isLinkLocalUnicast", [Val::Ip(a)]) => Val::Bool(is_link_local_unicast(a)),
        ("isGlobalUnicast", [Val::Ip(a)]) => Val::Bool(is_global_unicast(a)),
        ("cidr", [Val::Str(text)]) => match parse_cidr(text.as_str()) {
            Ok(cidr) => Val::Cidr(cidr),
            Err(why) => return Some(fail(why)),
        },
        ("isCIDR", [Val::Str(text)]) => Val::Bool(parse_cidr(text.as_str()).is_ok()),
        ("prefixLength", [Val::Cidr(cidr)]) => Val::Int(i64::from(cidr.bits)),
        ("masked", [Val::Cidr(cidr)]) => Val::Cidr(cidr.masked()),
        ("containsIP", [Val::Cidr(cidr), Val::Ip(address)]) => Val::Bool(cidr.contains(*address)),
        ("containsIP", [Val::Cidr(cidr), Val::Str(text)]) => match parse_ip(text.as_str()) {
            Ok(address) => Val::Bool(cidr.contains(address)),
            Err(why) => return Some(fail(why)),
        },
        ("containsCIDR", [Val::Cidr(cidr), Val::Cidr(other)]) => Val::Bool(cidr.contains_network(other)),
        ("containsCIDR", [Val::Cidr(cidr), Val::Str(text)]) => match parse_cidr(text.as_str()) {
            Ok(other) => Val::Bool(cidr.contains_network(&other)),
            Err(why) => return Some(fail(why)),
        },
        _ => return None,
    }))
}
