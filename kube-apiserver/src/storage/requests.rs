//! How often etcd is asked for what, and how long that takes.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/storage/etcd3/metrics/metrics.go

use std::sync::{LazyLock, OnceLock};
use std::time::Instant;

use component_base::metrics::{counter, histogram};
use prometheus::{Counter, CounterVec, Histogram, HistogramVec};

const SECONDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// What etcd is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Get,
    List,
    Create,
    Update,
    Delete,
}

impl Operation {
    const ALL: usize = 5;

    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

struct All {
    seconds: HistogramVec,
    total: CounterVec,
    errors: CounterVec,
}

static ALL: LazyLock<All> = LazyLock::new(|| {
    let labels = ["operation", "group", "resource"];
    All {
        seconds: histogram(
            "etcd_request_duration_seconds",
            "Seconds that etcd took to answer, by operation and resource; attempts that failed count in.",
            &labels,
            SECONDS.to_vec(),
        ),
        total: counter("etcd_requests_total", "Requests to etcd, by operation and resource.", &labels),
        errors: counter("etcd_request_errors_total", "Requests to etcd that failed.", &labels),
    }
});

/// Requests that were tried again because etcd was not available.
pub(super) static RETRIES: LazyLock<Counter> = LazyLock::new(|| {
    counter("etcd_request_retry_total", "Requests to etcd that were tried again.", &["error"])
        .with_label_values(&["Unavailable"])
});

/// Progress that etcd told without events. One watch serves all resources, so it belongs to none.
pub(super) static BOOKMARKS: LazyLock<Counter> = LazyLock::new(|| {
    counter("etcd_bookmark_total", "How often etcd told its progress.", &["group", "resource"])
        .with_label_values(&["", ""])
});

/// How many keys leases were given to.
pub(super) static LEASE_OBJECTS: LazyLock<Histogram> = LazyLock::new(|| {
    let none: &[&str] = &[];
    let buckets = vec![10.0, 50.0, 100.0, 500.0, 1000.0, 2500.0, 5000.0];
    histogram("etcd_lease_object_counts", "Keys that were attached to one lease.", none, buckets)
        .with_label_values(none)
});

/// The requests of one resource; of those that belong to none, both names are empty.
#[derive(Default)]
pub(super) struct Requests {
    group: Box<str>,
    resource: Box<str>,
    known: [OnceLock<(Histogram, Counter)>; Operation::ALL],
}

impl Requests {
    pub(super) fn of(group: &str, resource: &str) -> Self {
        Self { group: group.into(), resource: resource.into(), known: Default::default() }
    }

    /// A request that was begun at that time is over.
    pub(super) fn done(&self, operation: Operation, begun: Instant, failed: bool) {
        let labels = [operation.name(), &*self.group, &*self.resource];
        let (seconds, total) = self.known[operation as usize]
            .get_or_init(|| (ALL.seconds.with_label_values(&labels), ALL.total.with_label_values(&labels)));
        seconds.observe(begun.elapsed().as_secs_f64());
        total.inc();
        if failed {
            ALL.errors.with_label_values(&labels).inc();
        }
    }
}
