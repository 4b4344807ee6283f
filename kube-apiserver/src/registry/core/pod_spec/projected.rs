//! Projected volumes: several sources in one.

use std::collections::HashSet;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::quote::quote;
use apimachinery::selector::label::{self, SelectorRules};
use apimachinery::value::Cursor;

use super::Rules;
use super::mounts::not_reserved;
use super::volumes::{downward_api_file, key_to_path, mode};
use crate::registry::internal_json::{shown_selector, shown_struct};
use crate::registry::validation::{one_of, required};

/// upstream: validateProjectedVolumeSource
pub(super) fn all(volume: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    mode(volume.field("defaultMode"), errs);
    let mut paths = Paths { volume, seen: HashSet::new() };
    for source in volume.field("sources").list() {
        let kinds: [(&'static str, Check); 6] = [
            ("secret", keys),
            ("configMap", keys),
            ("downwardAPI", downward_api),
            ("serviceAccountToken", token),
            ("clusterTrustBundle", trust_bundle),
            ("podCertificate", pod_certificate),
        ];
        let mut given = 0;
        for (kind, check) in kinds {
            let place = source.field(kind);
            if place.exists() {
                given += 1;
                check(place, &mut paths, rules, errs);
            }
        }
        if given > 1 {
            errs.forbidden(source, "may not specify more than 1 volume type per source");
        }
    }
}

type Check = for<'a> fn(Cursor<'a>, &mut Paths<'a>, Rules, &mut Errors);

/// The paths that the sources fill; each may be filled once.
struct Paths<'a> {
    volume: Cursor<'a>,
    seen: HashSet<&'a str>,
}

impl<'a> Paths<'a> {
    fn fill(&mut self, path: &'a str, shown: &str, errs: &mut Errors) {
        if !self.seen.insert(path) {
            errs.invalid(self.volume, shown, "conflicting duplicate paths");
        }
    }
}

fn keys<'a>(source: Cursor<'a>, paths: &mut Paths<'a>, _rules: Rules, errs: &mut Errors) {
    required(source.field("name"), errs);
    for item in source.field("items").list() {
        key_to_path(item, errs);
        if !item.field("path").is_empty() {
            paths.fill(item.field("path").str(), source.field("name").str(), errs);
        }
    }
}

fn downward_api<'a>(source: Cursor<'a>, paths: &mut Paths<'a>, _rules: Rules, errs: &mut Errors) {
    for item in source.field("items").list() {
        // Upstream leaves the step to the item out of the paths.
        downward_api_file(source.at(item.value()), errs);
        let path = item.field("path").str();
        if !path.is_empty() {
            paths.fill(path, path, errs);
        }
    }
}

/// The path of a token as upstream writes it, which is without the step to the source.
fn token_path<'a>(volume: Cursor<'a>, token: Cursor<'a>) -> Cursor<'a> {
    volume.field("path").at(token.field("path").value())
}

fn token<'a>(source: Cursor<'a>, paths: &mut Paths<'a>, rules: Rules, errs: &mut Errors) {
    let (seconds, path) = (source.field("expirationSeconds"), token_path(paths.volume, source));
    if seconds.i64() < 600 {
        errs.invalid(seconds, seconds.i64(), "may not specify a duration less than 10 minutes");
    }
    if seconds.i64() > 1 << 32 {
        errs.invalid(seconds, seconds.i64(), "may not specify a duration larger than 2^32 seconds");
    }
    if path.is_empty() {
        errs.required(path, "");
    } else if !rules.any_token_path {
        not_reserved(path, errs);
    }
}

/// True if a spec has a token at a path that is refused today.
pub(super) fn has_odd_token_path(spec: Cursor<'_>) -> bool {
    let sources = spec.field("volumes").list().flat_map(|volume| volume.field("projected").field("sources").list());
    sources.map(|source| source.field("serviceAccountToken").field("path")).filter(|path| !path.is_empty()).any(
        |path| {
            let mut errs = Errors::new();
            not_reserved(path, &mut errs);
            !errs.is_empty()
        },
    )
}

fn trust_bundle<'a>(source: Cursor<'a>, paths: &mut Paths<'a>, _rules: Rules, errs: &mut Errors) {
    let (name, signer) = (source.field("name"), source.field("signerName"));
    let (selector, path) = (source.field("labelSelector"), source.field("path"));
    match (name.exists(), signer.exists()) {
        (true, true) => errs.invalid(
            source,
            shown_struct(source, "io.k8s.api.core.v1.ClusterTrustBundleProjection"),
            "only one of name and signerName may be used",
        ),
        (true, false) => {
            if name.is_empty() {
                errs.required(name, "must be a valid object name");
            }
            for message in trust_bundle_name(name.str()) {
                errs.invalid(name, name.str(), format!("not a valid clustertrustbundlename: {message}"));
            }
            if selector.exists() {
                errs.invalid(selector, shown_selector(selector), "labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            if signer.is_empty() {
                errs.required(signer, "must be a valid signer name");
            }
            signer_name(signer, errs);
            label::validate(selector, SelectorRules::default(), errs);
        }
        (false, false) => errs.required(source, "either name or signerName must be specified"),
    }
    required(path, errs);
    not_reserved(path, errs);
    paths.fill(path.str(), path.str(), errs);
}

/// A bundle of a signer is named after it, with a colon for each slash; only the rest is the object's own.
/// upstream: ValidateClusterTrustBundleName
fn trust_bundle_name(name: &str) -> Vec<String> {
    names::dns1123_subdomain(name.rsplit(':').next().unwrap_or_default())
}

/// upstream: ValidateSignerName
pub fn signer_name(place: Cursor<'_>, errs: &mut Errors) {
    const FORM: &str = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    const MAX_DOMAIN: usize = 253;
    const MAX_NAME: usize = MAX_DOMAIN + 1 + 63 + 1 + 253;
    let name = place.str();
    if name.is_empty() {
        return errs.required(place, "");
    }
    let Some((domain, path)) = name.split_once('/').filter(|(_, path)| !path.contains('/')) else {
        return errs.invalid(place, name, FORM);
    };
    if domain.len() > MAX_DOMAIN {
        errs.too_long(place, MAX_DOMAIN);
    }
    // Of each part only the first label that is wrong is told.
    let labels = |part: &str, rule: names::Rule, errs: &mut Errors| {
        if let Some((label, wrong)) = part.split('.').map(|label| (label, rule(label))).find(|(_, w)| !w.is_empty()) {
            let messages = wrong.into_iter().map(|message| format!("validating label {}: {message}", quote(label)));
            errs.invalid_each(place, part, messages);
        }
    };
    labels(domain, names::dns1123_label, errs);
    if !domain.contains('.') {
        errs.invalid(place, domain, "should be a domain with at least two segments separated by dots");
    }
    labels(path, names::dns1123_subdomain, errs);
    if name.len() > MAX_NAME {
        errs.too_long(place, MAX_NAME);
    }
}

fn pod_certificate<'a>(source: Cursor<'a>, paths: &mut Paths<'a>, _rules: Rules, errs: &mut Errors) {
    const DAY: i64 = 24 * 60 * 60;
    signer_name(source.field("signerName"), errs);
    let annotations = source.field("userAnnotations");
    for (key, _) in annotations.map() {
        errs.extend(names::domain_prefixed_key(&annotations.path(), &key.to_lowercase()).iter().cloned());
    }
    one_of(source.field("keyType"), &["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"], errs);
    let seconds = source.field("maxExpirationSeconds");
    if seconds.exists() {
        let domain = source.field("signerName").str().split('/').next().unwrap_or_default();
        let kubernetes = format!(".{domain}").ends_with(".kubernetes.io");
        let most = if kubernetes { DAY } else { 91 * DAY };
        if seconds.i64() < 3600 {
            errs.invalid(seconds, seconds.i64(), "if provided, maxExpirationSeconds must be >= 3600");
        }
        if seconds.i64() > most {
            errs.invalid(seconds, seconds.i64(), format!("if provided, maxExpirationSeconds must be <= {most}"));
        }
    }
    let places = ["credentialBundlePath", "keyPath", "certificateChainPath"].map(|field| source.field(field));
    for path in places.into_iter().filter(|path| !path.is_empty()) {
        not_reserved(path, errs);
        paths.fill(path.str(), path.str(), errs);
    }
    if places.iter().all(|path| path.is_empty()) {
        errs.required(source, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
    }
}
