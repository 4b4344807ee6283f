//! How many seats a request takes: lists by what they hold in memory, writes by who watches. Pure.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/util/flowcontrol/request

use std::time::Duration;

use crate::request::RequestInfo;

/// Bytes for which a list takes a seat.
const BYTES_PER_SEAT: u64 = 100_000;
/// Bytes that a list from the cache holds at once, at most.
const STREAMED_BYTES: u64 = 1_000_000;
const MOST_FOR_LISTS: usize = 100;
const MOST_FOR_WRITES: usize = 10;
/// So many watchers take a seat for a while when they are told of a write.
const WATCHES_PER_SEAT: usize = 10;
/// That while.
const TELLING: Duration = Duration::from_millis(5);

/// What a request costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Seats while it is handled.
    pub seats: usize,
    /// Seats afterwards, while watchers are told of it.
    pub seats_after: usize,
    /// For how long.
    pub after: Duration,
    /// How many watchers that is about; none for requests that change nothing.
    pub watchers: Option<usize>,
}

impl Estimate {
    const LEAST: Self = Self { seats: 1, seats_after: 0, after: Duration::ZERO, watchers: None };

    /// Seats that are taken for the request as a whole.
    pub fn most(&self) -> usize {
        self.seats.max(self.seats_after)
    }
}

/// The objects of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// How many there are.
    pub objects: u64,
    /// Bytes of all of them together.
    pub bytes: u64,
}

/// Knows what requests are about.
pub trait Costs: Send + Sync {
    /// The objects of a resource; none if it is not known.
    fn stock(&self, group: &str, resource: &str) -> Option<Stock>;
    /// How many watchers are told of a write.
    fn watchers(&self, info: &RequestInfo) -> usize;
}

/// What a request costs. `most`: seats that one request of its level may take, if the level says so.
pub fn of(info: &RequestInfo, query: &str, most: Option<usize>, costs: &dyn Costs) -> Estimate {
    let most = |limit: usize| most.map_or(limit, |most| most.min(limit));
    match info.verb.as_str() {
        "list" | "watch" => {
            let seats = list_seats(info, &ListQuery::parse(query), costs).min(most(MOST_FOR_LISTS)).max(1);
            Estimate { seats, ..Estimate::LEAST }
        }
        "create" | "update" | "patch" | "delete" => write(info, most(MOST_FOR_WRITES), costs),
        _ => Estimate::LEAST,
    }
}

/// What the query says of a list's cost.
#[derive(Debug, Default)]
struct ListQuery {
    limit: u64,
    resource_version: String,
    exact: bool,
    not_older: bool,
    continues: bool,
    initial_events: bool,
}

impl ListQuery {
    fn parse(query: &str) -> Self {
        let mut out = Self::default();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "limit" => out.limit = value.parse().unwrap_or(0),
                "resourceVersion" => out.resource_version = value.into_owned(),
                "resourceVersionMatch" => (out.exact, out.not_older) = (value == "Exact", value == "NotOlderThan"),
                "continue" => out.continues = !value.is_empty(),
                "sendInitialEvents" => out.initial_events = value == "true",
                _ => {}
            }
        }
        out
    }

    fn any_version(&self) -> bool {
        matches!(self.resource_version.as_str(), "" | "0")
    }

    fn is_cached(&self) -> bool {
        self.not_older || !(self.exact || self.continues || (self.limit > 0 && !self.any_version()))
    }
}

fn list_seats(info: &RequestInfo, query: &ListQuery, costs: &dyn Costs) -> usize {
    let watch = info.verb == "watch";
    if watch && !query.initial_events && !query.any_version() {
        return 1;
    }
    let Some(stock) = costs.stock(&info.api_group, &info.resource) else { return 1 };
    let from_cache = watch || query.is_cached();
    let limited = if query.limit > 0 { stock.objects.min(query.limit) } else { stock.objects };
    let selects = !info.field_selector.is_empty() || !info.label_selector.is_empty();
    let loaded = if !info.name.is_empty() {
        1
    } else if !from_cache && selects {
        limited.max(stock.objects / 2)
    } else {
        limited
    };
    let each = stock.bytes / stock.objects.max(1);
    let bytes = loaded.saturating_mul(each);
    let held = if from_cache { bytes.min(STREAMED_BYTES) } else { bytes };
    usize::try_from(held.div_ceil(BYTES_PER_SEAT)).unwrap_or(usize::MAX)
}

/// The work of telling all watchers, made narrower and longer if it is too wide.
fn write(info: &RequestInfo, most: usize, costs: &dyn Costs) -> Estimate {
    if info.resource == "serviceaccounts" && info.subresource == "token" {
        return Estimate::LEAST;
    }
    let watchers = costs.watchers(info);
    let told = Estimate { watchers: Some(watchers), ..Estimate::LEAST };
    if watchers < WATCHES_PER_SEAT {
        return told;
    }
    let wide = watchers.div_ceil(WATCHES_PER_SEAT);
    let seats_after = wide.min(most);
    Estimate { seats_after, after: TELLING.mul_f64(wide as f64 / seats_after as f64), ..told }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Stock, usize);

    impl Costs for Fixed {
        fn stock(&self, group: &str, _: &str) -> Option<Stock> {
            group.is_empty().then_some(self.0)
        }

        fn watchers(&self, _: &RequestInfo) -> usize {
            self.1
        }
    }

    fn estimate(method: &str, path: &str, query: &str, most: Option<usize>) -> Estimate {
        // 10,000 objects of a kilobyte, 250 watchers
        let costs = Fixed(Stock { objects: 10_000, bytes: 10_000_000 }, 250);
        of(&RequestInfo::parse(method, path, Some(query)), query, most, &costs)
    }

    #[test]
    fn lists_take_seats_for_what_they_hold() {
        let cases = [
            ("", 10),
            ("limit=500", 5),
            ("limit=500&continue=x", 5),
            ("limit=500&continue=x&labelSelector=a", 50),
            ("resourceVersion=5&resourceVersionMatch=Exact", 100),
            ("fieldSelector=metadata.name=a", 1),
            ("watch=1", 10),
            ("watch=1&resourceVersion=5", 1),
            ("watch=1&resourceVersion=5&sendInitialEvents=true", 10),
        ];
        for (query, seats) in cases {
            assert_eq!(estimate("GET", "/api/v1/pods", query, None).seats, seats, "{query}");
        }
        assert_eq!(estimate("GET", "/api/v1/pods", "", Some(3)).seats, 3);
        assert_eq!(estimate("GET", "/apis/other/v1/things", "", None).seats, 1);
        assert_eq!(estimate("GET", "/api/v1/namespaces/d/pods/p", "", None), Estimate::LEAST);
    }

    #[test]
    fn writes_take_seats_while_watchers_are_told() {
        let path = "/api/v1/namespaces/d/pods/p";
        let free = estimate("PUT", path, "", None);
        assert_eq!((free.seats, free.seats_after, free.watchers), (1, 10, Some(250)));
        assert_eq!(free.after, Duration::from_micros(12_500));
        assert_eq!(estimate("PUT", path, "", Some(5)).after, Duration::from_millis(25));
        let token = "/api/v1/namespaces/d/serviceaccounts/s/token";
        assert_eq!(estimate("POST", token, "", None), Estimate::LEAST);
    }
}
