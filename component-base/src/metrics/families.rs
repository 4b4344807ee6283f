//! Metrics that are made when they are asked for, out of what is known anyway.

use std::collections::BTreeMap;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// Families of metrics by name.
#[derive(Default)]
pub struct Families(BTreeMap<&'static str, MetricFamily>);

impl Families {
    /// Adds a gauge.
    pub fn gauge(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_gauge(gauge);
        self.add(name, help, MetricType::GAUGE, metric);
    }

    /// Adds a counter.
    pub fn counter(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_counter(counter);
        self.add(name, help, MetricType::COUNTER, metric);
    }

    /// Adds a histogram: upper ends of buckets with how many are not above, how many there are, and their sum.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[(&str, &str)],
        (buckets, count, sum): (Vec<(f64, u64)>, u64, f64),
    ) {
        let mut histogram = Histogram::default();
        histogram.set_sample_count(count);
        histogram.set_sample_sum(sum);
        let bucket = |(end, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(end);
            bucket.set_cumulative_count(count);
            bucket
        };
        histogram.set_bucket(buckets.into_iter().map(bucket).collect());
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        self.add(name, help, MetricType::HISTOGRAM, metric);
    }

    fn add(&mut self, name: &'static str, help: &str, kind: MetricType, metric: Metric) {
        let family = self.0.entry(name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        });
        family.mut_metric().push(metric);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_sorted(self) -> impl Iterator<Item = MetricFamily> {
        self.0.into_values()
    }
}

fn pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn sources_are_asked_until_they_end() {
        super::super::source(|families| {
            families.gauge("test_made_gauge", "help", &[("a", "x")], 2.0);
            families.histogram("test_made_seconds", "help", &[], (vec![(1.0, 3)], 4, 9.0));
            false
        });
        let render = || String::from_utf8(super::super::render()).unwrap();
        let text = render();
        for line in [
            "# TYPE test_made_gauge gauge",
            "test_made_gauge{a=\"x\"} 2",
            "test_made_seconds_bucket{le=\"1\"} 3",
            "test_made_seconds_bucket{le=\"+Inf\"} 4",
            "test_made_seconds_sum 9",
        ] {
            assert!(text.contains(line), "{line} is missing");
        }
        assert!(!render().contains("test_made"));
    }
}
