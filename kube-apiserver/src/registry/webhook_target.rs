//! Where a webhook is: a URL or a service; and which versions of reviews it takes. Used by admission and by conversion.
//! upstream: staging/src/k8s.io/apiserver/pkg/util/webhook/validation.go

use std::collections::BTreeSet;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::Cursor;

use crate::registry::go_url;

const FORM: &str = "; desired format: https://host[/path]";

/// Complains about a client configuration.
pub fn validate(config: Cursor<'_>, errs: &mut Errors) {
    let (url, service) = (config.field("url"), config.field("service"));
    match (url.exists(), service.exists()) {
        (true, false) => validate_url(url, errs),
        (false, true) => validate_service(service, errs),
        _ => errs.required(config, "exactly one of url or service is required"),
    }
}

fn validate_url(place: Cursor<'_>, errs: &mut Errors) {
    let url = match go_url::parse(place.str()) {
        Ok(url) => url,
        Err(error) => return errs.required(place, format!("url must be a valid URL: {error}{FORM}")),
    };
    if url.scheme != "https" {
        errs.invalid(place, url.scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if url.host.is_empty() {
        errs.invalid(place, "", format!("host must be specified{FORM}"));
    }
    if let Some(user) = url.user {
        errs.invalid(place, user, "user information is not permitted in the URL");
    }
    if !url.fragment.is_empty() {
        errs.invalid(place, url.fragment, "fragments are not permitted in the URL");
    }
    if !url.query.is_empty() {
        errs.invalid(place, url.query, "query parameters are not permitted in the URL");
    }
}

fn validate_service(service: Cursor<'_>, errs: &mut Errors) {
    // Upstream's callers pass name and namespace the other way round: what is missing is told under the other name.
    for (value, path) in [("namespace", "name"), ("name", "namespace")] {
        if service.field(value).is_empty() {
            errs.required(service.field(path), "");
        }
    }
    let port = service.field("port");
    let wrong = names::port_number(port.i64());
    if !wrong.is_empty() {
        errs.invalid(port, port.i64(), format!("port is not valid: {}", wrong.join(", ")));
    }
    service_path(service.field("path"), errs);
}

fn service_path(place: Cursor<'_>, errs: &mut Errors) {
    let path = place.str();
    match path {
        "" | "/" => return,
        "//" => return errs.invalid(place, path, "segment[0] may not be empty"),
        _ => {}
    }
    if !path.starts_with('/') {
        errs.invalid(place, path, "must start with a '/'");
    }
    // Upstream leaves out the first byte, whatever it is.
    let rest = path.get(1..).unwrap_or_default();
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    for (i, step) in rest.split('/').enumerate() {
        if step.is_empty() {
            errs.invalid(place, path, format!("segment[{i}] may not be empty"));
            continue;
        }
        for wrong in names::dns1123_subdomain(step) {
            errs.invalid(place, path, format!("segment[{i}]: {wrong}"));
        }
    }
}

/// Complains about the versions of reviews that a webhook takes; `known` are those that this server speaks.
pub fn review_versions(versions: Cursor<'_>, known: &[&str], must_know_one: bool, errs: &mut Errors) {
    if versions.is_empty() {
        errs.required(versions, format!("must specify one of {}", known.join(", ")));
        return;
    }
    let mut seen = BTreeSet::new();
    for version in versions.list() {
        if !seen.insert(version.str()) {
            errs.invalid(version, version.str(), "duplicate version");
            continue;
        }
        errs.invalid_each(version, version.str(), names::dns1035_label(version.str()));
    }
    if must_know_one && !known.iter().any(|version| seen.contains(version)) {
        errs.invalid(versions, versions, format!("must include at least one of {}", known.join(", ")));
    }
}
