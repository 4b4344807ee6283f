//! What stores and their watch caches hold and do, read from them when metrics are asked for.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/storage/{cacher,etcd3}/metrics/metrics.go

use std::sync::Arc;

use component_base::metrics::Families;

use crate::registry::{Registry, Store};
use crate::storage::counts::Count;

/// Shows them for as long as the registry is there.
pub fn show(registry: &Arc<Registry>) {
    let registry = Arc::downgrade(registry);
    component_base::metrics::source(move |families| {
        let Some(registry) = registry.upgrade() else { return false };
        for store in registry.stores() {
            gauges(&store, families);
            of_cache(&store, families);
            of_lists(&store, families);
        }
        true
    });
}

fn gauges(store: &Store, out: &mut Families) {
    let (objects, bytes) = store.cache.stock();
    let labels = labels(store);
    let full_name = store.resource.group_resource();
    let help = "Stored objects, by resource.";
    out.gauge("apiserver_storage_objects", help, &[("resource", &*full_name)], objects as f64);
    let (capacity, revision) = store.cache.extent();
    let gauges = [
        ("apiserver_resource_objects", help, objects as f64),
        ("apiserver_resource_size_estimate_bytes", "Bytes of stored objects, by resource.", bytes as f64),
        ("watch_cache_capacity", "Events that a watch cache has room for.", capacity as f64),
        // as upstream: no more digits than a float has
        (
            "apiserver_watch_cache_resource_version",
            "Revision of the last event in a watch cache, its last 15 digits.",
            (revision % 1_000_000_000_000_000) as f64,
        ),
    ];
    for (name, help, value) in gauges {
        out.gauge(name, help, &labels, value);
    }
}

fn labels(store: &Store) -> [(&'static str, &str); 2] {
    [("group", &*store.resource.group), ("resource", &*store.resource.plural)]
}

fn of_cache(store: &Store, out: &mut Families) {
    let (cache, did) = (&store.cache.counts, &store.counts);
    let counters: [(_, _, &Count); 8] = [
        ("apiserver_storage_events_received_total", "Events that etcd sent.", &cache.received),
        ("apiserver_storage_decode_errors_total", "Stored objects that could not be decoded.", &cache.decode_errors),
        ("apiserver_watch_cache_events_received_total", "Events that came to a watch cache.", &cache.received),
        ("apiserver_watch_cache_events_dispatched_total", "Events that watchers can see.", &cache.dispatched),
        ("apiserver_watch_cache_initializations_total", "How often a watch cache was filled.", &cache.fills),
        ("watch_cache_capacity_increase_total", "How often a watch cache got more room.", &cache.capacity_increases),
        ("apiserver_terminated_watchers_total", "Watchers that fell behind and were ended.", &cache.ended_watchers),
        ("apiserver_init_events_total", "Objects that watchers were told at the start.", &did.initial_events),
    ];
    show_counters(store, &counters, out);
    for (success, count) in [("true", &did.consistent_reads), ("false", &did.consistent_reads_failed)] {
        if count.get() > 0 {
            let [group, resource] = labels(store);
            let labels = [("fallback", "false"), group, resource, ("success", success)];
            let help = "Reads of the newest state out of a watch cache.";
            out.counter("apiserver_watch_cache_consistent_read_total", help, &labels, count.get() as f64);
        }
    }
}

fn of_lists(store: &Store, out: &mut Families) {
    let did = &store.counts;
    let [group, resource] = labels(store);
    if did.cache_lists.get() > 0 {
        for (name, help, count) in [
            ("apiserver_cache_list_total", "Lists out of a watch cache.", &did.cache_lists),
            (
                "apiserver_cache_list_fetched_objects_total",
                "Objects that lists out of a watch cache looked at.",
                &did.cache_fetched,
            ),
        ] {
            out.counter(name, help, &[group, ("index", ""), resource], count.get() as f64);
        }
    }
    let counters: [(_, _, &Count); 5] = [
        ("apiserver_cache_list_returned_objects_total", "Objects in lists out of a watch cache.", &did.cache_returned),
        ("apiserver_storage_list_total", "Lists out of etcd.", &did.etcd_lists),
        ("apiserver_storage_list_fetched_objects_total", "Objects read from etcd for lists.", &did.etcd_fetched),
        (
            "apiserver_storage_list_evaluated_objects_total",
            "Objects that lists out of etcd looked at.",
            &did.etcd_evaluated,
        ),
        ("apiserver_storage_list_returned_objects_total", "Objects in lists out of etcd.", &did.etcd_returned),
    ];
    show_counters(store, &counters, out);
}

/// What did not happen yet is not shown.
fn show_counters(store: &Store, counters: &[(&'static str, &'static str, &Count)], out: &mut Families) {
    for (name, help, count) in counters.iter().filter(|(.., count)| count.get() > 0) {
        out.counter(name, help, &labels(store), count.get() as f64);
    }
}
