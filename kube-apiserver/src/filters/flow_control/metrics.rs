//! What priority and fairness does, under upstream's names.
//!
//! Requests are counted as they come and go, by schema; levels know their own numbers, which are read when metrics are
//! asked for. Virtual time is counted in seats here, in seat-seconds upstream.
//! upstream: staging/src/k8s.io/apiserver/pkg/util/flowcontrol/metrics/metrics.go

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use component_base::metrics::{Families, counter, gauge, histogram};
use prometheus::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec};

use super::levels::{Kind, Level, Levels};
use super::load::Timed;

const LEVEL: &str = "priority_level";
const SCHEMA: &str = "flow_schema";
const SECONDS: [f64; 13] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];

/// Why a request was refused.
#[derive(Clone, Copy, Debug)]
pub enum Refused {
    /// No seat, in a level without queues.
    NoSeat,
    /// No place to wait.
    QueueFull,
    /// It waited for too long.
    TimeOut,
}

impl Refused {
    fn reason(self) -> &'static str {
        match self {
            Self::NoSeat => "concurrency-limit",
            Self::QueueFull => "queue-full",
            Self::TimeOut => "time-out",
        }
    }
}

/// The metrics of the requests of one schema.
pub struct SchemaMetrics {
    level: Box<str>,
    schema: Box<str>,
    dispatched: Counter,
    executing: Gauge,
    executing_seats: Gauge,
    waiting: Gauge,
    waiting_seats: Gauge,
    queue_length: Histogram,
    waited: Histogram,
    waited_in_vain: Histogram,
    executed: Histogram,
    executed_watches: Histogram,
    estimated_seats: Histogram,
    watch_counts: Histogram,
}

struct BySchema {
    rejected: CounterVec,
    dispatched: CounterVec,
    executing: GaugeVec,
    executing_seats: GaugeVec,
    waiting: GaugeVec,
    waiting_seats: GaugeVec,
    queue_length: HistogramVec,
    waited: HistogramVec,
    executed: HistogramVec,
    estimated_seats: HistogramVec,
    watch_counts: HistogramVec,
}

static BY_SCHEMA: LazyLock<BySchema> = LazyLock::new(|| {
    let labels = [LEVEL, SCHEMA];
    BySchema {
        rejected: counter(
            "apiserver_flowcontrol_rejected_requests_total",
            "Requests that were refused, by reason.",
            &[LEVEL, SCHEMA, "reason"],
        ),
        dispatched: counter("apiserver_flowcontrol_dispatched_requests_total", "Requests that got seats.", &labels),
        executing: gauge(
            "apiserver_flowcontrol_current_executing_requests",
            "Requests that have seats now; of watches, those that begin.",
            &labels,
        ),
        executing_seats: gauge("apiserver_flowcontrol_current_executing_seats", "Seats that are taken now.", &labels),
        waiting: gauge("apiserver_flowcontrol_current_inqueue_requests", "Requests that wait now.", &labels),
        waiting_seats: gauge("apiserver_flowcontrol_current_inqueue_seats", "Seats that are waited for now.", &labels),
        queue_length: histogram(
            "apiserver_flowcontrol_request_queue_length_after_enqueue",
            "Length of the queue that a request came to, with itself.",
            &labels,
            vec![0.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0],
        ),
        waited: histogram(
            "apiserver_flowcontrol_request_wait_duration_seconds",
            "Seconds that requests waited in a queue, by whether they got seats.",
            &[LEVEL, SCHEMA, "execute"],
            SECONDS.to_vec(),
        ),
        executed: histogram(
            "apiserver_flowcontrol_request_execution_seconds",
            "Seconds that requests had seats; watches, until they had begun.",
            &[LEVEL, SCHEMA, "type"],
            SECONDS.to_vec(),
        ),
        estimated_seats: histogram(
            "apiserver_flowcontrol_work_estimated_seats",
            "Seats that requests were estimated to take, at most.",
            &labels,
            vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0],
        ),
        watch_counts: histogram(
            "apiserver_flowcontrol_watch_count_samples",
            "Watchers that are told of a write.",
            &labels,
            vec![0.0, 1.0, 10.0, 100.0, 1000.0, 10000.0],
        ),
    }
});

impl SchemaMetrics {
    /// Of a schema and its level.
    pub fn new(level: &str, schema: &str) -> Self {
        let (all, labels) = (&*BY_SCHEMA, [level, schema]);
        Self {
            level: level.into(),
            schema: schema.into(),
            dispatched: all.dispatched.with_label_values(&labels),
            executing: all.executing.with_label_values(&labels),
            executing_seats: all.executing_seats.with_label_values(&labels),
            waiting: all.waiting.with_label_values(&labels),
            waiting_seats: all.waiting_seats.with_label_values(&labels),
            queue_length: all.queue_length.with_label_values(&labels),
            waited: all.waited.with_label_values(&[level, schema, "true"]),
            waited_in_vain: all.waited.with_label_values(&[level, schema, "false"]),
            executed: all.executed.with_label_values(&[level, schema, "regular"]),
            executed_watches: all.executed.with_label_values(&[level, schema, "watch"]),
            estimated_seats: all.estimated_seats.with_label_values(&labels),
            watch_counts: all.watch_counts.with_label_values(&labels),
        }
    }

    /// A request came, and was estimated to take so many seats and to be told to so many watchers.
    pub fn came(&self, seats: usize, watchers: Option<usize>) {
        self.estimated_seats.observe(seats as f64);
        if let Some(watchers) = watchers {
            self.watch_counts.observe(watchers as f64);
        }
    }

    /// A request came to a queue, which has this length now.
    pub fn queued(&self, length: usize) {
        self.queue_length.observe(length as f64);
    }

    /// A request begins to wait.
    pub fn waits(&self, seats: usize) {
        self.waiting.inc();
        self.waiting_seats.add(seats as f64);
    }

    /// A request waits no longer.
    pub fn waited(&self, seats: usize) {
        self.waiting.dec();
        self.waiting_seats.sub(seats as f64);
    }

    /// A request gets its seats. `waited`: of those that came to a queue, for how long.
    pub fn starts(&self, seats: usize, waited: Option<Duration>) {
        if let Some(waited) = waited {
            self.waited.observe(waited.as_secs_f64());
        }
        self.dispatched.inc();
        self.executing.inc();
        self.executing_seats.add(seats as f64);
    }

    /// A request is done, and gives some of its seats back.
    pub fn ends(&self, seats: usize, watch: bool, took: Duration) {
        self.executing.dec();
        self.executing_seats.sub(seats as f64);
        (if watch { &self.executed_watches } else { &self.executed }).observe(took.as_secs_f64());
    }

    /// Seats come back that were kept for a while after a request.
    pub fn frees(&self, seats: usize) {
        self.executing_seats.sub(seats as f64);
    }

    /// A request is refused. `waited`: of those that waited, for how long.
    pub fn refused(&self, why: Refused, waited: Option<Duration>) {
        if let Some(waited) = waited {
            self.waited_in_vain.observe(waited.as_secs_f64());
        }
        BY_SCHEMA.rejected.with_label_values(&[&*self.level, &*self.schema, why.reason()]).inc();
    }
}

/// Adds what the levels know.
pub fn show(levels: &mut Levels, now: Instant, out: &mut Families) {
    const SHARES: &str = "Part of its target that every level gets that hits no bound.";
    for (name, level) in levels.counted(now) {
        show_seats(name, level, out);
        show_virtual_time(name, level, out);
        show_times(name, level, out);
    }
    out.gauge("apiserver_flowcontrol_seat_fair_frac", SHARES, &[], levels.fair_fraction);
    for (kind, Kind { waiting, running }) in [("readOnly", &levels.reading), ("mutating", &levels.writing)] {
        const REQUESTS: &str = "Nanoseconds by how many requests, as a part of their limit, waited or had seats.";
        for (phase, timed) in [("waiting", waiting), ("executing", running)] {
            let labels = [("phase", phase), ("request_kind", kind)];
            let name = "apiserver_flowcontrol_read_vs_write_current_requests";
            out.histogram(name, REQUESTS, &labels, timed.cumulated());
        }
        let labels = [("request_kind", kind)];
        let help = "Requests that wait for a place, by kind.";
        out.gauge("apiserver_current_inqueue_requests", help, &labels, waiting.value() as f64);
    }
}

fn show_seats(name: &str, level: &Level, out: &mut Families) {
    let (limits, demand) = (level.limits, level.demand);
    let gauges = [
        ("apiserver_flowcontrol_nominal_limit_seats", "Seats by configuration.", limits.nominal as f64),
        ("apiserver_flowcontrol_lower_limit_seats", "Seats that are never lent.", limits.lower as f64),
        ("apiserver_flowcontrol_upper_limit_seats", "Seats with all that may be borrowed.", limits.upper as f64),
        ("apiserver_flowcontrol_current_limit_seats", "Seats for now.", level.current as f64),
        (
            "apiserver_flowcontrol_demand_seats_high_watermark",
            "Seats that could be used, at most, in the last span.",
            demand.highest as f64,
        ),
        (
            "apiserver_flowcontrol_demand_seats_average",
            "Seats that could be used, on average, in the last span.",
            demand.average,
        ),
        (
            "apiserver_flowcontrol_demand_seats_stdev",
            "Seats that could be used, standard deviation, in the last span.",
            demand.deviation,
        ),
        ("apiserver_flowcontrol_demand_seats_smoothed", "Seats that could be used, smoothed.", demand.smoothed),
        ("apiserver_flowcontrol_target_seats", "Seats that the level would like to have.", level.part().target()),
    ];
    for (family, help, value) in gauges {
        out.gauge(family, help, &[(LEVEL, name)], value);
    }
}

fn show_virtual_time(name: &str, level: &Level, out: &mut Families) {
    let Some(dispatch) = level.dispatched else { return };
    let gauges = [
        ("apiserver_flowcontrol_current_r", "Virtual time, in seats served.", level.clock as f64),
        ("apiserver_flowcontrol_dispatch_r", "Virtual time when a request last got seats.", dispatch.at as f64),
        ("apiserver_flowcontrol_latest_s", "Virtual start of the request that last got seats.", dispatch.start as f64),
    ];
    for (family, help, value) in gauges {
        out.gauge(family, help, &[(LEVEL, name)], value);
    }
    let (next, discounted) = (dispatch.next, dispatch.discounted);
    for (bound, next, discounted) in [("min", next.0, discounted.0), ("max", next.1, discounted.1)] {
        let labels = [(LEVEL, name), ("bound", bound)];
        let help = "Least and greatest virtual start of requests that were first in their queues.";
        out.gauge("apiserver_flowcontrol_next_s_bounds", help, &labels, next as f64);
        let help = "The same, less the seats that requests of the queue had.";
        out.gauge("apiserver_flowcontrol_next_discounted_s_bounds", help, &labels, discounted as f64);
    }
}

fn show_times(name: &str, level: &Level, out: &mut Families) {
    let mut show = |family, help, labels: &[(&str, &str)], timed: &Timed| {
        out.histogram(family, help, labels, timed.cumulated());
    };
    show(
        "apiserver_flowcontrol_priority_level_seat_utilization",
        "Nanoseconds by which part of the seats was taken.",
        &[("phase", "executing"), (LEVEL, name)],
        &level.taken_seats,
    );
    for (phase, timed) in [("waiting", &level.waiting_requests), ("executing", &level.running_requests)] {
        show(
            "apiserver_flowcontrol_priority_level_request_utilization",
            "Nanoseconds by how many requests, as a part of the limit, waited or had seats.",
            &[("phase", phase), (LEVEL, name)],
            timed,
        );
    }
    show(
        "apiserver_flowcontrol_demand_seats",
        "Nanoseconds by how many seats could be used, as a part of those there are.",
        &[(LEVEL, name)],
        &level.wanted_seats,
    );
}
