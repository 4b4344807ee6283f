//! Follows definitions: accepts their names, serves what is established, removes what is gone.
//!
//! upstream: apiextensions-apiserver/pkg/controller/{status,establish,finalizer}

use std::sync::Arc;
use std::time::Duration;

use apimachinery::value::Value;

use super::{custom, names};
use crate::endpoints::dispatch::now;
use crate::loopback::{Loopback, Options};
use crate::objects::Kind;
use crate::registry::store::CLEANUP_FINALIZER;
use crate::registry::{Registry, Store};
use crate::storage::{EventKind, WatchEnd};

const DEFINITIONS: Kind = Kind::new("apiextensions.k8s.io", "customresourcedefinitions");
/// All definitions are looked at again this often, in case something failed.
const RESYNC: Duration = Duration::from_secs(30);

/// Runs until dropped.
pub async fn run(registry: Arc<Registry>, api: Loopback) {
    let Some(store) = registry.store(DEFINITIONS.group, DEFINITIONS.plural) else { return };
    loop {
        let Some((_, _, mut watcher)) = store.cache.watch_from_now() else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        sync_all(&store, &registry, &api).await;
        loop {
            let events = match watcher.ready() {
                Ok(events) => events,
                // the cache was refilled: start over
                Err(WatchEnd::Dropped | WatchEnd::Expired | WatchEnd::TooOld { .. }) => break,
            };
            if events.is_empty() {
                if tokio::time::timeout(RESYNC, watcher.changed()).await.is_err() {
                    sync_all(&store, &registry, &api).await;
                }
                continue;
            }
            for event in events {
                let Ok(definition) = store.object(&event.entry.raw) else { continue };
                match event.kind {
                    EventKind::Deleted => remove(&registry, &definition).await,
                    _ => sync(&store, &registry, &api, &definition).await,
                }
            }
        }
    }
}

async fn sync_all(store: &Store, registry: &Registry, api: &Loopback) {
    for definition in store.cached_list("") {
        sync(store, registry, api, &definition).await;
    }
}

/// Brings one definition's status, and its resource, up to date.
async fn sync(store: &Store, registry: &Registry, api: &Loopback, definition: &Value) {
    let meta = definition.get("metadata");
    if !meta.get("deletionTimestamp").is_null() {
        finalize(registry, api, definition).await;
        return;
    }
    let all = store.cached_list("");
    let time = now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let status = names::status(definition, &all, &time);
    let mut wanted = definition.clone();
    wanted.set("status", status);
    let name = meta.get("name").str_or_empty();
    if wanted != *definition {
        if names::has(&wanted, "Established") {
            serve(registry, &wanted).await;
        }
        let written = api.update(DEFINITIONS, "", name, "status", &wanted, Options::default()).await;
        match written {
            Ok(_) => {}
            Err(e) if e.is_conflict() || e.is_not_found() => {}
            Err(error) => tracing::warn!(name, error = error.message(), "cannot update the status of a definition"),
        }
        return;
    }
    if names::has(definition, "Established") {
        serve(registry, definition).await;
    }
}

async fn serve(registry: &Registry, definition: &Value) {
    let resource = match custom::resource(definition, registry.etcd().prefix()) {
        Ok(resource) => resource,
        Err(errors) => {
            tracing::warn!(errors = errors.to_aggregate(), "a definition cannot be served");
            return;
        }
    };
    let present = registry.store(&resource.group, &resource.plural);
    let made_from = |r: &crate::registry::Resource| r.custom.as_ref().map(|c| c.made_from.clone());
    if present.is_some_and(|s| made_from(&s.resource) == made_from(&resource)) {
        return;
    }
    registry.remove(&resource.group, &resource.plural);
    let (group, plural) = (resource.group.clone(), resource.plural.clone());
    if let Err(error) = registry.add(resource, &custom::CUSTOM).await {
        tracing::warn!(group = &*group, resource = &*plural, %error, "cannot serve a custom resource");
    }
}

/// A definition is to go: its objects go first, then what holds it.
async fn finalize(registry: &Registry, api: &Loopback, definition: &Value) {
    let held = definition.path(&["metadata", "finalizers"]).items();
    if !held.iter().any(|f| f.as_str() == Some(CLEANUP_FINALIZER)) {
        return;
    }
    remove(registry, definition).await;
    let mut freed = definition.clone();
    let meta = freed.field_mut("metadata");
    meta.field_mut("finalizers").list_mut().retain(|f| f.as_str() != Some(CLEANUP_FINALIZER));
    let name = definition.path(&["metadata", "name"]).str_or_empty();
    match api.update(DEFINITIONS, "", name, "", &freed, Options::default()).await {
        Ok(_) => {}
        // it changed meanwhile, and is seen again
        Err(e) if e.is_conflict() || e.is_not_found() => {}
        Err(error) => tracing::warn!(name, error = error.message(), "cannot release a definition"),
    }
}

/// The definition is gone: its objects go, too.
async fn remove(registry: &Registry, definition: &Value) {
    let group = definition.path(&["spec", "group"]).str_or_empty();
    let plural = definition.path(&["status", "acceptedNames", "plural"]).str_or_empty();
    let Some(store) = registry.store(group, plural) else { return };
    if store.resource.custom.is_none() {
        return;
    }
    registry.remove(group, plural);
    let Some((tree, _)) = store.cache.snapshot() else { return };
    for entry in tree.range("", "") {
        let key = format!("{}{}", store.cache.prefix(), entry.key);
        if let Err(error) = registry.etcd().delete(&key, entry.rv.cast_signed()).await {
            tracing::warn!(key, %error, "cannot remove an object of a definition that is gone");
        }
    }
}
