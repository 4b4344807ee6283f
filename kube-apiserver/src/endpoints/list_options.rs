//! ListOptions from the query, with upstream's defaults and checks.
//!
//! upstream: staging/src/k8s.io/apimachinery/pkg/apis/meta/internalversion/{defaults,validation/validation}.go

use apimachinery::field::{Errors, Path};
use apimachinery::selector::{field, label};
use apimachinery::status::ApiError;

use super::options::refuse;
use super::query::Query;
use crate::registry::resource::Resource;
use crate::registry::store::{ListOptions, Match, Selection};

/// Options of a list, a watch or a deletion of a collection.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// As the store takes them.
    pub list: ListOptions,
    /// A watch is asked for.
    pub watch: bool,
    /// Bookmarks may be sent.
    pub bookmarks: bool,
    /// The state first, as events.
    pub initial_events: Option<bool>,
    /// Seconds until a watch ends.
    pub timeout_seconds: Option<i64>,
}

/// Reads and checks the options. `name`: of a single object that is to be listed or watched.
///
/// # Errors
/// 400 for what cannot be read, 422 for what is not allowed.
pub fn parse(query: &Query, resource: &Resource, group: &str, version: &str, name: &str) -> Result<Listing, ApiError> {
    // numbers are read with the query, selectors only after that
    let timeout_seconds = query.opt_int("timeoutSeconds")?;
    let limit = query.opt_int("limit")?.unwrap_or(0);
    let label = label::parse(query.get("labelSelector").unwrap_or_default())
        .map_err(|e| ApiError::bad_request(e.to_string()))?;
    let field = field::parse(query.get("fieldSelector").unwrap_or_default())
        .map_err(|e| ApiError::bad_request(e.to_string()))?;
    let mut listing = Listing {
        list: ListOptions {
            selection: Selection { label, field },
            resource_version: query.text("resourceVersion"),
            resource_version_match: None,
            limit,
            continue_token: query.text("continue"),
        },
        watch: query.flag("watch"),
        bookmarks: query.flag("allowWatchBookmarks"),
        initial_events: query.opt_flag("sendInitialEvents"),
        timeout_seconds,
    };
    let mut matching = query.text("resourceVersionMatch");
    let legacy = matches!(listing.list.resource_version.as_str(), "" | "0");
    if listing.watch && legacy && listing.initial_events.is_none() && matching.is_empty() {
        listing.initial_events = Some(true);
        "NotOlderThan".clone_into(&mut matching);
    }
    let mut errs = Errors::new();
    if listing.watch {
        check_watch(&listing, &matching, &mut errs);
    } else {
        check_list(&listing, &matching, &mut errs);
    }
    refuse("ListOptions", &errs)?;
    listing.list.resource_version_match = match matching.as_str() {
        "Exact" => Some(Match::Exact),
        "NotOlderThan" => Some(Match::NotOlderThan),
        _ => None,
    };
    let selector = std::mem::take(&mut listing.list.selection.field);
    listing.list.selection.field = transform(selector, resource, group, version)?;
    if !name.is_empty() {
        pin(&mut listing, name)?;
    }
    Ok(listing)
}

const MATCH: &str = "resourceVersionMatch";

fn check_list(listing: &Listing, matching: &str, errs: &mut Errors) {
    let path = Path::root(MATCH);
    if !matching.is_empty() {
        if listing.list.resource_version.is_empty() {
            errs.forbidden(path.clone(), "resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if !listing.list.continue_token.is_empty() {
            errs.forbidden(path.clone(), "resourceVersionMatch is forbidden when continue is provided");
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            errs.not_supported(path.clone(), matching, ["Exact", "NotOlderThan", ""]);
        }
        if matching == "Exact" && listing.list.resource_version == "0" {
            errs.forbidden(path, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
    }
    if listing.initial_events.is_some() {
        errs.forbidden(Path::root("sendInitialEvents"), "sendInitialEvents is forbidden for list");
    }
}

fn check_watch(listing: &Listing, matching: &str, errs: &mut Errors) {
    let path = Path::root(MATCH);
    if listing.initial_events.is_some() && matching != "NotOlderThan" {
        errs.forbidden(path.clone(), "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    if matching.is_empty() {
        return;
    }
    if listing.initial_events.is_none() {
        errs.forbidden(
            path.clone(),
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        );
    }
    if matching != "NotOlderThan" {
        errs.not_supported(path.clone(), matching, ["NotOlderThan"]);
    }
    if !listing.list.continue_token.is_empty() {
        errs.forbidden(path, "resourceVersionMatch is forbidden when continue is provided");
    }
}

/// Translates the labels of a field selector to the resource's own, or refuses unknown ones.
fn transform(
    selector: field::FieldSelector,
    resource: &Resource,
    group: &str,
    version: &str,
) -> Result<field::FieldSelector, ApiError> {
    selector
        .transform(|label, value| {
            let known = match apimachinery::resources::by_plural(group, &resource.plural) {
                Some(info) if info.field_labels.contains(&label.as_str()) => {
                    let alias = info.field_label_aliases.iter().find(|(from, _)| *from == label);
                    Some(alias.map_or_else(|| label.clone(), |(_, to)| (*to).to_owned()))
                }
                Some(_) => None,
                None => resource.selectable(&label).then(|| label.clone()),
            };
            known.map(|label| (label, value)).ok_or_else(|| unknown_label(resource, group, version, &label))
        })
        .map_err(ApiError::bad_request)
}

/// upstream: the field label conversion functions of pkg/apis/*/conversion.go, which word it differently
fn unknown_label(resource: &Resource, group: &str, version: &str, label: &str) -> String {
    let quoted = apimachinery::quote::quote(label);
    match (group, &*resource.plural) {
        ("batch", "jobs") => format!("field label {quoted} not supported for Job"),
        ("resource.k8s.io", "resourceslices") => {
            format!("field label not supported for {group}/{version}, Kind=ResourceSlice: {label}")
        }
        ("", "pods" | "nodes" | "replicationcontrollers" | "events" | "namespaces" | "secrets" | "services")
        | ("events.k8s.io", "events")
        | ("certificates.k8s.io", "certificatesigningrequests") => format!("field label not supported: {label}"),
        _ if resource.info.is_none() => format!("field label not supported: {label}"),
        _ => {
            format!("{quoted} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        }
    }
}

/// A single object: its name becomes the field selector.
fn pin(listing: &mut Listing, name: &str) -> Result<(), ApiError> {
    let selector = &mut listing.list.selection.field;
    if selector.is_empty() {
        *selector = field::FieldSelector::equal("metadata.name", name);
        return Ok(());
    }
    if selector.exact("metadata.name") == Some(name) {
        return Ok(());
    }
    Err(ApiError::bad_request("fieldSelector metadata.name doesn't match requested name"))
}
