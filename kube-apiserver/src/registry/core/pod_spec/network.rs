//! Ports, DNS settings and host names.

use std::collections::HashSet;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::Cursor;

use super::Scope;
use crate::registry::validation::{legacy_ip, named, port, required_one_of, shown};

/// upstream: validateContainerPorts
pub(super) fn ports(list: Cursor<'_>, errs: &mut Errors) {
    let mut seen = HashSet::new();
    for entry in list.list() {
        let (name, number, host) = (entry.field("name"), entry.field("containerPort"), entry.field("hostPort"));
        if !name.is_empty() {
            let wrong = names::port_name(name.str());
            if !wrong.is_empty() {
                errs.invalid_each(name, name.str(), wrong);
            } else if !seen.insert(name.str()) {
                errs.duplicate(name, name.str());
            }
        }
        if number.is_empty() {
            errs.required(number, "");
        } else {
            port(number, errs);
        }
        if !host.is_empty() {
            port(host, errs);
        }
        required_one_of(entry.field("protocol"), &["SCTP", "TCP", "UDP"], errs);
    }
}

/// Ports of the host must not be used twice.
/// upstream: checkHostPortConflicts
pub(super) fn host_ports<'a>(containers: impl Iterator<Item = Cursor<'a>>, errs: &mut Errors) {
    let mut used = HashSet::new();
    for entry in containers.flat_map(|c| c.field("ports").list()).filter(|p| !p.field("hostPort").is_empty()) {
        let host = entry.field("hostPort");
        let text = format!("{}/{}/{}", entry.field("protocol").str(), entry.field("hostIP").str(), host.i64());
        if !used.insert(text.clone()) {
            errs.duplicate(host, text);
        }
    }
}

/// upstream: validatePodHostNetworkDeps
pub(super) fn host_network_ports(scope: &Scope<'_>, errs: &mut Errors) {
    if !scope.spec.field("hostNetwork").bool() {
        return;
    }
    for entry in scope.spec.field("containers").list().flat_map(|c| c.field("ports").list()) {
        let (host, own) = (entry.field("hostPort"), entry.field("containerPort").i64());
        if (scope.rules.is_pod || host.i64() != 0) && host.i64() != own {
            errs.invalid(host, host.i64(), "must match `containerPort` when `hostNetwork` is true");
        }
    }
}

/// upstream: validatePodDNSConfig
pub(super) fn dns_config(spec: Cursor<'_>, errs: &mut Errors) {
    const MAX_NAMESERVERS: usize = 3;
    const MAX_SEARCHES: usize = 32;
    const MAX_SEARCH_TEXT: usize = 2048;
    let config = spec.field("dnsConfig");
    let (servers, searches) = (config.field("nameservers"), config.field("searches"));
    if spec.field("dnsPolicy").str() == "None" {
        if !config.exists() {
            return errs.required(config, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            return errs.required(servers, "must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if servers.len() > MAX_NAMESERVERS {
        errs.invalid(servers, shown(servers.value()), format!("must not have more than {MAX_NAMESERVERS} nameservers"));
    }
    servers.list().for_each(|server| legacy_ip(server, Cursor::default(), errs));
    if searches.len() > MAX_SEARCHES {
        errs.invalid(searches, shown(searches.value()), format!("must not have more than {MAX_SEARCHES} search paths"));
    }
    let text = searches.list().map(|s| s.str().len() + 1).sum::<usize>().saturating_sub(1);
    if text > MAX_SEARCH_TEXT {
        let why = format!("must not have more than {MAX_SEARCH_TEXT} characters (including spaces) in the search list");
        errs.invalid(searches, shown(searches.value()), why);
    }
    for search in searches.list().filter(|s| s.str() != ".") {
        let domain = search.str().strip_suffix('.').unwrap_or(search.str());
        errs.invalid_each(search, domain, names::dns1123_subdomain_with_underscore(domain));
    }
    for option in config.field("options").list().filter(|o| o.field("name").is_empty()) {
        errs.required(option, "must not be empty");
    }
}

/// upstream: ValidateHostAliases
pub(super) fn host_aliases(list: Cursor<'_>, errs: &mut Errors) {
    for alias in list.list() {
        legacy_ip(alias.field("ip"), Cursor::default(), errs);
        alias.field("hostnames").list().for_each(|name| named(name, names::dns1123_subdomain, errs));
    }
}

/// upstream: validatePodHostName
pub(super) fn host_name_override(spec: Cursor<'_>, errs: &mut Errors) {
    let name = spec.field("hostnameOverride");
    if !name.exists() {
        return;
    }
    if spec.field("setHostnameAsFQDN").bool() {
        errs.forbidden(name, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.field("hostNetwork").bool() {
        errs.forbidden(name, "may not be specified when hostNetwork is true");
    }
    if name.str().len() > 64 {
        errs.too_long(name, 64);
    }
    named(name, names::dns1123_subdomain, errs);
}
