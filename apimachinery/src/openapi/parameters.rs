//! Parameters of requests: name, where, type, and what they are for.

use crate::schema::{Shape, kind};

/// A parameter of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name.
    pub name: &'static str,
    /// Part of the path; else of the query.
    pub in_path: bool,
    /// OpenAPI type.
    pub ty: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// The end of its name among the shared parameters of the v2 document; "" if it is written out there.
    pub v2_suffix: &'static str,
}

const fn query(name: &'static str, ty: &'static str, v2_suffix: &'static str, description: &'static str) -> Parameter {
    Parameter { name, in_path: false, ty, description, v2_suffix }
}

const fn path(name: &'static str, v2_suffix: &'static str, description: &'static str) -> Parameter {
    Parameter { name, in_path: true, ty: "string", description, v2_suffix }
}

pub(super) const NAME: Parameter = path("name", "", "name of the object");
pub(super) const NAMESPACE: Parameter = path("namespace", "vgWSWtn3", "namespace of the object");
pub(super) const PATH: Parameter = path("path", "z6Ciiujn", "path on the target");
pub(super) const PRETTY: Parameter = query("pretty", "string", "tJGM1-ng", "indent the answer if 'true'");
pub(super) const DRY_RUN: Parameter = query("dryRun", "string", "", "'All': do everything but store");
pub(super) const FIELD_MANAGER: Parameter =
    query("fieldManager", "string", "Qy4HdaTW", "name of the actor that makes the change");
pub(super) const APPLY_MANAGER: Parameter =
    query("fieldManager", "string", "7c6nTn1T", "name of the actor that makes the change; required for apply");
pub(super) const FIELD_VALIDATION: Parameter =
    query("fieldValidation", "string", "", "what to do about unknown and duplicate fields: Ignore, Warn or Strict");
pub(super) const FORCE: Parameter = query("force", "boolean", "tOGGb0Yi", "apply: take over fields of other managers");

pub(super) const RESOURCE_VERSION: Parameter =
    query("resourceVersion", "string", "5WAnf1kx", "version to read at or watch from");

/// Parameters of lists and watches.
pub(super) const LIST: [Parameter; 11] = [
    query("allowWatchBookmarks", "boolean", "HC2hJt-J", "send bookmarks to watches"),
    query("continue", "string", "QfD61s0i", "token of the next page, from the page before"),
    query("fieldSelector", "string", "xIcQKXFG", "only objects with these field values"),
    query("labelSelector", "string", "5Zw57w4C", "only objects with these labels"),
    query("limit", "integer", "1NfNmdNH", "most objects to return in one page"),
    RESOURCE_VERSION,
    query("resourceVersionMatch", "string", "t8XhRHeC", "how resourceVersion applies: Exact or NotOlderThan"),
    query("sendInitialEvents", "boolean", "rLXlEK_k", "start a watch with the objects there are"),
    query("shardSelector", "string", "Kgyki_3_", "only objects of this shard"),
    query("timeoutSeconds", "integer", "yvYezaOC", "end the request after this time"),
    query("watch", "boolean", "XNNPZGbK", "watch instead of list"),
];

/// Parameters of deletions.
pub(super) const DELETE: [Parameter; 4] = [
    query("gracePeriodSeconds", "integer", "-K5HaBOS", "seconds before the object is removed; 0 is at once"),
    query(
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "QbNkfIqj",
        "remove an object that cannot be read, without its finalizers",
    ),
    query("orphanDependents", "boolean", "uRB25kX5", "deprecated: keep dependent objects; use propagationPolicy"),
    query(
        "propagationPolicy",
        "string",
        "6jk3prlO",
        "what becomes of dependent objects: Orphan, Background or Foreground",
    ),
];

/// Names of the shared parameters of the v2 document that come from option kinds: (kind, field, suffix).
const OPTION_SUFFIXES: &[(&str, &str, &str)] = &[
    ("PodAttachOptions", "container", "_Q-EJ3nR"),
    ("PodAttachOptions", "stderr", "26jJhFUR"),
    ("PodAttachOptions", "stdin", "sEFnN3IS"),
    ("PodAttachOptions", "stdout", "005YMKE6"),
    ("PodAttachOptions", "tty", "g7MlET_l"),
    ("PodExecOptions", "command", "Py3eQybp"),
    ("PodExecOptions", "container", "i5dOmRiM"),
    ("PodExecOptions", "stderr", "W_1TNlWc"),
    ("PodExecOptions", "stdin", "PSzNhyUC"),
    ("PodExecOptions", "stdout", "-EZLRwV1"),
    ("PodExecOptions", "tty", "s0flW37O"),
    ("PodLogOptions", "container", "1GeXxFDC"),
    ("PodLogOptions", "follow", "9OIXh_2R"),
    ("PodLogOptions", "insecureSkipTLSVerifyBackend", "gM00jVbe"),
    ("PodLogOptions", "limitBytes", "zwd1RXuc"),
    ("PodLogOptions", "previous", "1jxDPu3y"),
    ("PodLogOptions", "sinceSeconds", "vE2NLdnP"),
    ("PodLogOptions", "stream", "l-48cgXv"),
    ("PodLogOptions", "tailLines", "9xQLWHMV"),
    ("PodLogOptions", "timestamps", "c17fW1w_"),
    ("PodPortForwardOptions", "ports", "91KROJmm"),
    ("PodProxyOptions", "path", "oPbzgLUj"),
    ("ServiceProxyOptions", "path", "QCf0eosM"),
    ("NodeProxyOptions", "path", "rFDtV0x9"),
];

/// The fields of an option kind as parameters.
pub(super) fn of_options(name: &'static str) -> Vec<Parameter> {
    let Some(ty) = kind("v1", name) else { return Vec::new() };
    let fields = ty.fields.iter().filter(|f| !matches!(&*f.json_name, "kind" | "apiVersion" | "sinceTime"));
    fields
        .map(|field| {
            let crate::schema::Ref::Static(json_name) = &field.json_name else {
                unreachable!("option kinds are static")
            };
            let ty = match &field.shape {
                Shape::Bool => "boolean",
                Shape::Int32 | Shape::Int64 => "integer",
                Shape::List(element) if matches!(**element, Shape::Int32 | Shape::Int64) => "integer",
                _ => "string",
            };
            let suffix = OPTION_SUFFIXES.iter().find(|(kind, field, _)| (*kind, *field) == (name, *json_name));
            query(json_name, ty, suffix.map_or("", |(_, _, s)| s), "option of the connection")
        })
        .collect()
}
