//! List: from the cache at the newest or an older revision, from etcd where the cache no longer knows; pages.
//!
//! The result is pointers to cached entries: no object is copied or decoded here.
//! upstream: storage/cacher/delegator.go, storage/interfaces.go: ValidateListOptions

use std::sync::Arc;

use apimachinery::codec::protobuf;
use apimachinery::schema::{Shape, Type};
use apimachinery::selector::{field::FieldSelector, label};
use apimachinery::status::{ApiError, Reason};

use super::Store;
use crate::registry::errors::{self, About};
use crate::storage::continue_token::ContinueToken;
use crate::storage::etcd::prefix_end;
use crate::storage::{Entry, StorageError, Tree};

/// Keys read from etcd at once for an old revision.
const ETCD_PAGE: i64 = 1000;

/// How `resourceVersion` is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// Exactly that revision.
    Exact,
    /// That one or a newer one.
    NotOlderThan,
}

/// Which objects.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// By labels.
    pub label: label::Selector,
    /// By fields, with the labels that strategies know.
    pub field: FieldSelector,
}

impl Selection {
    /// True if it selects everything.
    pub fn is_empty(&self) -> bool {
        self.label.is_empty() && self.field.is_empty()
    }
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Which objects.
    pub selection: Selection,
    /// As the client sent it.
    pub resource_version: String,
    /// How it is meant.
    pub resource_version_match: Option<Match>,
    /// Objects per page; 0 for all.
    pub limit: i64,
    /// Token of the page before, or empty.
    pub continue_token: String,
}

/// A list, or one page of it.
#[derive(Debug)]
pub struct List {
    /// The objects, sorted by key.
    pub entries: Vec<Arc<Entry>>,
    /// Revision of the list.
    pub revision: u64,
    /// Token for the next page, or empty.
    pub continue_token: String,
    /// Objects behind this page, if known.
    pub remaining: Option<i64>,
}

impl Store {
    /// Lists the objects of a namespace, or of all (empty).
    ///
    /// # Errors
    /// 400 for a bad revision or token, 410 for one that is too old, 504 for one in the future.
    pub async fn list(&self, about: About<'_>, namespace: &str, options: &ListOptions) -> Result<List, ApiError> {
        let namespace = self.narrowed(namespace, &options.selection);
        let single = options
            .selection
            .field
            .exact("metadata.name")
            .filter(|_| !self.resource.namespaced || !namespace.is_empty());
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let token = match options.continue_token.as_str() {
            "" => None,
            text => Some(continue_from(text, options)?).filter(|_| single.is_none()),
        };
        let source = self.source(about, &prefix, options, token.as_ref(), single.is_none()).await?;
        if let Some(name) = single {
            let key = self.key(&namespace, name);
            let found = source.tree.get(&key);
            let entries = found.filter(|e| self.selects(&options.selection, e)).cloned();
            self.counts.listed(source.read, usize::from(found.is_some()), usize::from(entries.is_some()));
            return Ok(List {
                entries: entries.into_iter().collect(),
                revision: source.revision,
                continue_token: String::new(),
                remaining: None,
            });
        }
        let from = token.map_or(String::new(), |t| format!("{prefix}{}", t.start));
        Ok(self.page(&source, &prefix, &from, options))
    }

    /// A field selector may name the namespace.
    fn narrowed(&self, namespace: &str, selection: &Selection) -> String {
        if !namespace.is_empty() || !self.resource.namespaced {
            return if self.resource.namespaced { namespace.to_owned() } else { String::new() };
        }
        let exact = selection.field.exact("metadata.namespace").unwrap_or_default();
        if apimachinery::names::dns1123_label(exact).is_empty() { exact.to_owned() } else { String::new() }
    }

    async fn source(
        &self,
        about: About<'_>,
        prefix: &str,
        options: &ListOptions,
        token: Option<&ContinueToken>,
        recursive: bool,
    ) -> Result<Source, ApiError> {
        if let Some(token) = token {
            return match u64::try_from(token.revision) {
                Ok(revision) => self.at(about, prefix, revision, Some(token)).await,
                Err(_) => self.newest(about).await,
            };
        }
        let revision = parse_revision(&options.resource_version, "invalid resource version: ")?;
        match options.resource_version_match {
            Some(Match::Exact) => self.at(about, prefix, revision, None).await,
            None if recursive && options.limit > 0 && revision > 0 => self.at(about, prefix, revision, None).await,
            None if options.resource_version.is_empty() => self.newest(about).await,
            _ => {
                self.wait_for(revision).await.map_err(|e| about.error(e))?;
                self.current(about)
            }
        }
    }

    /// The state now, confirmed by etcd.
    async fn newest(&self, about: About<'_>) -> Result<Source, ApiError> {
        self.wait_fresh().await.map_err(|e| about.error(e))?;
        self.current(about)
    }

    /// The state of the cache.
    fn current(&self, about: About<'_>) -> Result<Source, ApiError> {
        let complete = self.feed.revision();
        let (tree, newest) = self.cache.snapshot().ok_or_else(|| about.error(StorageError::NotReady))?;
        Ok(Source { tree, revision: complete.max(newest), read: None })
    }

    /// The state at a revision.
    async fn at(
        &self,
        about: About<'_>,
        prefix: &str,
        revision: u64,
        token: Option<&ContinueToken>,
    ) -> Result<Source, ApiError> {
        // who wants one revision is not told to come back for it
        self.wait_for(revision).await.map_err(|e| about.error(e).with_retry_after(0))?;
        if !self.etcd.has_forgotten(revision)
            && let Some(tree) = self.cache.snapshot_at(revision)
        {
            return Ok(Source { tree, revision, read: None });
        }
        match self.snapshot_of_etcd(prefix, revision).await {
            Ok(tree) => Ok(Source { read: Some(tree.len()), tree, revision }),
            Err(StorageError::Compacted) => Err(compacted(token)),
            Err(e) => Err(about.error(e)),
        }
    }

    async fn snapshot_of_etcd(&self, prefix: &str, revision: u64) -> Result<Tree, StorageError> {
        let base = self.full_key(prefix);
        let end = prefix_end(&base);
        let (mut start, mut entries) = (base, Vec::new());
        loop {
            let page = self.etcd.range(&start, &end, ETCD_PAGE, revision.cast_signed()).await?;
            for kv in &page.kvs {
                let Ok(key) = std::str::from_utf8(&kv.key) else { continue };
                key.clone_into(&mut start);
                let Some(relative) = key.strip_prefix(self.cache.prefix()) else { continue };
                let raw = self.existing(kv)?.raw;
                entries.push(Arc::new(Entry { key: relative.into(), rv: kv.mod_revision.cast_unsigned(), raw }));
            }
            start.push('\0');
            if !page.more {
                return Ok(Tree::from_sorted(entries));
            }
        }
    }

    fn page(&self, source: &Source, prefix: &str, from: &str, options: &ListOptions) -> List {
        // a client that takes any state gets all of it, as from upstream's cache
        let any = options.resource_version == "0" && options.resource_version_match != Some(Match::Exact);
        let limit = if any { 0 } else { usize::try_from(options.limit).unwrap_or(0) };
        let mut range = source.tree.range(prefix, from);
        let mut entries = Vec::new();
        let everything = options.selection.is_empty();
        let (mut more, mut seen) = (false, 0);
        for entry in range.by_ref() {
            seen += 1;
            if !everything && !self.selects(&options.selection, entry) {
                continue;
            }
            entries.push(Arc::clone(entry));
            if limit > 0 && entries.len() == limit {
                more = range.clone().next().is_some();
                break;
            }
        }
        self.counts.listed(source.read, seen, entries.len());
        let mut list = List { entries, revision: source.revision, continue_token: String::new(), remaining: None };
        if let (true, Some(last)) = (more, list.entries.last()) {
            let start = format!("{}\0", last.key.strip_prefix(prefix).unwrap_or(&last.key));
            list.continue_token = ContinueToken { revision: source.revision.cast_signed(), start }.encode();
            if everything {
                list.remaining = i64::try_from(range.count()).ok();
            }
        }
        list
    }

    /// True if the selection takes the object.
    pub fn selects(&self, selection: &Selection, entry: &Entry) -> bool {
        self.selects_fields(&selection.field, entry) && self.selects_labels(&selection.label, &entry.raw)
    }

    fn selects_labels(&self, selector: &label::Selector, raw: &[u8]) -> bool {
        if selector.is_empty() {
            return true;
        }
        if self.stored.cached_is_json() {
            return self.object(raw).is_ok_and(|o| selector.matches_value(o.path(&["metadata", "labels"])));
        }
        protobuf::object_meta(raw).is_ok_and(|meta| selector.matches(|key| meta.label(key)))
    }

    fn selects_fields(&self, selector: &FieldSelector, entry: &Entry) -> bool {
        let mut tree = None;
        selector.requirements().iter().all(|term| {
            let has = match term.field.as_str() {
                "metadata.name" => entry.name() == term.value,
                "metadata.namespace" => entry.namespace() == term.value,
                field => match self.plain_field(field, &entry.raw) {
                    Some(text) => text == term.value,
                    None => {
                        let object = tree.get_or_insert_with(|| self.object(&entry.raw).unwrap_or_default());
                        self.strategy.field_value(object, field).unwrap_or_default() == term.value
                    }
                },
            };
            has == term.equal
        })
    }

    /// A string field read from the bytes; `None` if it is no such field, or if the strategy knows better.
    fn plain_field<'r>(&self, field: &str, raw: &'r [u8]) -> Option<&'r str> {
        if self.stored.cached_is_json() || self.strategy.computes_fields() {
            return None;
        }
        let path: Vec<&str> = field.split('.').collect();
        let schema = &self.stored.cached().schema;
        if !is_string(schema, &path) {
            return None;
        }
        Some(protobuf::scan::find(raw, schema, &path).and_then(protobuf::scan::ScanValue::as_str).unwrap_or(""))
    }
}

/// True if the path leads through structs to a string.
fn is_string(ty: &Type, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    match ty.field(first).map(|f| &f.shape) {
        Some(Shape::String) => rest.is_empty(),
        Some(Shape::Struct(inner)) => is_string(inner, rest),
        _ => false,
    }
}

struct Source {
    tree: Tree,
    revision: u64,
    /// Objects that were read from etcd for it; none if it is out of the cache.
    read: Option<usize>,
}

fn continue_from(text: &str, options: &ListOptions) -> Result<ContinueToken, ApiError> {
    let token =
        ContinueToken::decode(text).map_err(|e| ApiError::bad_request(format!("invalid continue token: {e}")))?;
    if !matches!(options.resource_version.as_str(), "" | "0") {
        return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
    }
    Ok(token)
}

/// Reads a resourceVersion; empty is 0.
///
/// # Errors
/// If it is no number: 400 with the prefix before the message, or (as upstream does) a bare 500 without one.
pub fn parse_revision(text: &str, prefix: &str) -> Result<u64, ApiError> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse::<u64>().map_err(|e| {
        let why = match e.kind() {
            std::num::IntErrorKind::PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        let quoted = apimachinery::quote::quote(text);
        let message =
            format!("{prefix}resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: {why}");
        if prefix.is_empty() { ApiError::new(500, Reason::Unknown, message) } else { ApiError::bad_request(message) }
    })
}

fn compacted(token: Option<&ContinueToken>) -> ApiError {
    match token {
        Some(token) => errors::expired_continue(&ContinueToken { revision: -1, start: token.start.clone() }.encode()),
        None => ApiError::expired("The resourceVersion for the provided list is too old."),
    }
}
