//! Priority and fairness: every request gets seats of its priority level, waits for them in a queue, or is refused.
//!
//! The FlowSchema and PriorityLevelConfiguration objects decide; they are read anew whenever they change. Long-running
//! requests need no seats, but a watch needs them until it has begun. Without priority and fairness
//! (`--enable-priority-and-fairness=false`) there are two plain limits, and members of `system:masters` are exempt.
//! upstream: staging/src/k8s.io/apiserver/pkg/server/filters/{priority-and-fairness,maxinflight}.go

mod borrowing;
mod estimate;
mod levels;
mod load;
mod metrics;
mod schema;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use component_base::queue::Queue;
use http::{HeaderName, HeaderValue, Response};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::authentication::user::MASTERS;
use crate::body::Body;
use crate::registry::{Registry, Store};
use crate::request::{RequestInfo, UserInfo};
use estimate::{Costs, Estimate, Stock};
use levels::{Arrival, Levels, Ticket, WhenFull, Work};
use metrics::{Refused, SchemaMetrics};
use schema::Schema;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const SCHEMA_HEADER: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_HEADER: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
/// Objects that change together are read once.
const SETTLE: Duration = Duration::from_millis(100);
/// Seats are shared out anew this often.
const ADJUST_EVERY: Duration = Duration::from_secs(10);
const QUEUE: &str = "priority_and_fairness_config_queue";

/// The limits of `--max-requests-inflight` and `--max-mutating-requests-inflight`, and how they are applied.
pub enum FlowControl {
    /// By priority level.
    Fair(Arc<Fair>),
    /// Two plain limits.
    Plain(Plain),
}

/// The class of a request, as its answer's headers tell it.
#[derive(Clone, Debug, Default)]
pub struct Class {
    headers: Option<(HeaderValue, HeaderValue)>,
}

/// A place among the requests in flight, given back when dropped.
pub enum Place {
    /// Needs none.
    Exempt,
    /// Seats of a level.
    Seat(Seat),
    /// One of so many.
    Permit(OwnedSemaphorePermit),
}

/// Neither a seat nor a place to wait.
#[derive(Debug)]
pub struct Full;

impl FlowControl {
    /// Levels share both limits together; they wait for `follow` to know them.
    pub fn fair(reading: usize, mutating: usize, request_timeout: Duration, costs: Arc<dyn Costs>) -> Self {
        Self::Fair(Arc::new(Fair {
            total: reading + mutating,
            max_wait: request_timeout / 4,
            config: ArcSwap::default(),
            state: Mutex::new(State { levels: Levels::new(Instant::now()), waiting: HashMap::new() }),
            costs,
        }))
    }

    /// Two limits; 0 is unlimited.
    pub fn plain(reading: usize, mutating: usize) -> Self {
        let pool = |n: usize| (n > 0).then(|| Arc::new(Semaphore::new(n)));
        Self::Plain(Plain { reading: pool(reading), mutating: pool(mutating) })
    }

    /// Waits for a place.
    pub async fn enter(&self, user: &UserInfo, info: &RequestInfo, query: &str) -> (Class, Result<Place, Full>) {
        if info.is_long_running() && info.verb != "watch" {
            return (Class::default(), Ok(Place::Exempt));
        }
        match self {
            Self::Fair(fair) => fair.enter(user, info, query).await,
            Self::Plain(plain) => (Class::default(), plain.enter(user, info)),
        }
    }

    /// Shows the metrics of this one; there is one in a process.
    pub fn show(&self) {
        let fair = match self {
            Self::Fair(fair) => Arc::downgrade(fair),
            Self::Plain(_) => return crate::metrics::nobody_waits(),
        };
        component_base::metrics::source(move |families| {
            let Some(fair) = fair.upgrade() else { return false };
            metrics::show(&mut fair.state.lock().levels, Instant::now(), families);
            true
        });
    }
}

impl Class {
    /// Tells the class in an answer.
    pub fn mark(&self, response: &mut Response<Body>) {
        if let Some((schema, level)) = &self.headers {
            response.headers_mut().insert(SCHEMA_HEADER, schema.clone());
            response.headers_mut().insert(LEVEL_HEADER, level.clone());
        }
    }
}

/// Two plain limits.
pub struct Plain {
    reading: Option<Arc<Semaphore>>,
    mutating: Option<Arc<Semaphore>>,
}

impl Plain {
    fn enter(&self, user: &UserInfo, info: &RequestInfo) -> Result<Place, Full> {
        let pool = if info.only_reads() { &self.reading } else { &self.mutating };
        match pool {
            Some(pool) if !user.in_group(MASTERS) && info.verb != "watch" => {
                Arc::clone(pool).try_acquire_owned().map(Place::Permit).map_err(|_| Full)
            }
            _ => Ok(Place::Exempt),
        }
    }
}

/// A schema with what is known of it and its level.
struct Configured {
    schema: Schema,
    class: Class,
    /// The level has no limit.
    exempt: bool,
    /// Seats that one request may take.
    most_seats: Option<usize>,
    metrics: LazyLock<SchemaMetrics, Box<dyn FnOnce() -> SchemaMetrics + Send>>,
}

#[derive(Default)]
struct Config {
    /// In the order in which they are asked.
    schemas: Vec<Arc<Configured>>,
}

impl Config {
    fn find(&self, user: &UserInfo, info: &RequestInfo) -> Option<&Arc<Configured>> {
        let resource = info.resource_with_subresource();
        // Who is in no group that a schema names is caught by the last of them all the same, as upstream does.
        let catch_all = || self.schemas.iter().find(|configured| &*configured.schema.name == "catch-all");
        self.schemas.iter().find(|configured| configured.schema.takes(user, info, &resource)).or_else(catch_all)
    }
}

struct State {
    levels: Levels,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

impl State {
    fn wake(&mut self) {
        for ticket in self.levels.take_seated() {
            if let Some(waiter) = self.waiting.remove(&ticket) {
                // one that went away meanwhile gives the seats back itself
                let _ = waiter.send(());
            }
        }
    }
}

/// Seats and queues by priority level.
pub struct Fair {
    total: usize,
    max_wait: Duration,
    config: ArcSwap<Config>,
    state: Mutex<State>,
    costs: Arc<dyn Costs>,
}

impl Fair {
    async fn enter(self: &Arc<Self>, user: &UserInfo, info: &RequestInfo, query: &str) -> (Class, Result<Place, Full>) {
        let Some(configured) = self.config.load().find(user, info).map(Arc::clone) else {
            // the objects are not read yet
            return (Class::default(), Ok(Place::Exempt));
        };
        let estimate = estimate::of(info, query, configured.most_seats, &*self.costs);
        configured.metrics.came(estimate.most(), estimate.watchers);
        let work =
            Work { flow: configured.schema.flow(user, info), seats: estimate.most(), only_reads: info.only_reads() };
        let class = configured.class.clone();
        (class, self.seat(configured, work, estimate, info.verb == "watch").await)
    }

    async fn seat(
        self: &Arc<Self>,
        configured: Arc<Configured>,
        work: Work,
        estimate: Estimate,
        watch: bool,
    ) -> Result<Place, Full> {
        let now = Instant::now();
        let (arrival, told) = self.arrive(&configured, work, now);
        let (metrics, seats) = (&configured.metrics, work.seats);
        let (ticket, told) = match (arrival, told) {
            (Arrival::NoSeat, _) => {
                metrics.refused(Refused::NoSeat, None);
                return Err(Full);
            }
            (Arrival::QueueFull, _) => {
                metrics.refused(Refused::QueueFull, None);
                return Err(Full);
            }
            (Arrival::Run(ticket, length), _) => {
                length.into_iter().for_each(|length| metrics.queued(length));
                metrics.starts(seats, length.map(|_| Duration::ZERO));
                (ticket, None)
            }
            (Arrival::Wait(ticket, length), told) => {
                metrics.queued(length);
                metrics.waits(seats);
                (ticket, told)
            }
        };
        let waits = told.is_some();
        let mut seat = Seat { fair: Arc::clone(self), configured, ticket, estimate, watch, waits, since: now };
        let Some(told) = told else { return Ok(Place::Seat(seat)) };
        // dropping the seat, here or with the request, leaves the queue
        match tokio::time::timeout(self.max_wait, told).await {
            Ok(Ok(())) => {
                seat.begin();
                Ok(Place::Seat(seat))
            }
            _ => Err(Full),
        }
    }

    /// If the request waits, it is told when it has its seats.
    fn arrive(&self, configured: &Configured, work: Work, now: Instant) -> (Arrival, Option<oneshot::Receiver<()>>) {
        let mut state = self.state.lock();
        let arrival = state.levels.arrive(&configured.schema.level, work, now);
        let told = if let Arrival::Wait(ticket, _) = arrival {
            let (tell, told) = oneshot::channel();
            state.waiting.insert(ticket, tell);
            Some(told)
        } else {
            None
        };
        state.wake();
        (arrival, told)
    }

    /// Keeps schemas and levels as the objects say, and shares out seats, until dropped.
    pub async fn follow(self: Arc<Self>, registry: Arc<Registry>) {
        let stores = ["flowschemas", "prioritylevelconfigurations"].map(|plural| registry.store(GROUP, plural));
        let [Some(schemas), Some(levels)] = stores else { return };
        let queue = Queue::new(QUEUE);
        tokio::join!(notice(&schemas, &levels, &queue), self.work(&schemas, &levels, &queue), self.adjust());
    }

    async fn work(&self, schemas: &Store, levels: &Store, queue: &Queue<()>) {
        while let Some(()) = queue.get().await {
            self.configure(schemas.cached_list(""), &levels.cached_list(""));
            queue.done(&());
            tokio::time::sleep(SETTLE).await;
        }
    }

    async fn adjust(&self) {
        loop {
            tokio::time::sleep(ADJUST_EVERY).await;
            let mut state = self.state.lock();
            state.levels.adjust(Instant::now());
            state.wake();
        }
    }

    fn configure(&self, schemas: Vec<apimachinery::Value>, levels: &[apimachinery::Value]) {
        let text = |object: &apimachinery::Value, field| Box::from(object.path(&["metadata", field]).str_or_empty());
        let specs: BTreeMap<Box<str>, _> = levels.iter().map(|o| (text(o, "name"), schema::level(o))).collect();
        let level_uids: BTreeMap<Box<str>, Box<str>> =
            levels.iter().map(|o| (text(o, "name"), text(o, "uid"))).collect();
        let mut schemas: Vec<Schema> =
            schemas.into_iter().map(Schema::read).filter(|schema| specs.contains_key(&schema.level)).collect();
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        let mut state = self.state.lock();
        state.levels.configure(self.total, &specs, Instant::now());
        state.wake();
        let header = |uid: &str| HeaderValue::from_str(uid).ok().filter(|value| !value.is_empty());
        let configured = |schema: Schema| {
            let level_uid = level_uids.get(&schema.level).map_or("", |uid| uid);
            let (level, name) = (schema.level.clone(), schema.name.clone());
            Arc::new(Configured {
                class: Class { headers: header(&schema.uid).zip(header(level_uid)) },
                exempt: specs.get(&schema.level).is_some_and(|spec| spec.when_full == WhenFull::Exempt),
                most_seats: state.levels.most_seats(&schema.level),
                metrics: LazyLock::new(Box::new(move || SchemaMetrics::new(&level, &name))),
                schema,
            })
        };
        let config = Config { schemas: schemas.into_iter().map(configured).collect() };
        self.config.store(Arc::new(config));
    }
}

/// Asks for work whenever a schema or a level changes.
async fn notice(schemas: &Store, levels: &Store, queue: &Queue<()>) {
    loop {
        let watches = (schemas.cache.watch_from_now(), levels.cache.watch_from_now());
        let (Some((_, _, mut of_schemas)), Some((_, _, mut of_levels))) = watches else {
            tokio::time::sleep(SETTLE).await;
            continue;
        };
        queue.add(());
        tokio::select! {
            () = of_schemas.changed() => {}
            () = of_levels.changed() => {}
        }
    }
}

impl Costs for Registry {
    fn stock(&self, group: &str, resource: &str) -> Option<Stock> {
        let (objects, bytes) = self.store(group, resource)?.cache.stock();
        Some(Stock { objects, bytes })
    }

    fn watchers(&self, info: &RequestInfo) -> usize {
        let store = self.store(&info.api_group, &info.resource);
        store.map_or(0, |store| store.watches.interested(&info.namespace, &info.name))
    }
}

/// Seats of a level, or the wait for them.
pub struct Seat {
    fair: Arc<Fair>,
    configured: Arc<Configured>,
    ticket: Ticket,
    estimate: Estimate,
    watch: bool,
    waits: bool,
    /// When the wait began, or what the seats are for.
    since: Instant,
}

impl Seat {
    /// The wait was worth it.
    fn begin(&mut self) {
        let (seats, now) = (self.estimate.most(), Instant::now());
        self.configured.metrics.waited(seats);
        self.configured.metrics.starts(seats, Some(now - self.since));
        (self.waits, self.since) = (false, now);
    }

    fn give_up(&self, now: Instant) {
        let mut state = self.fair.state.lock();
        state.waiting.remove(&self.ticket);
        if !state.levels.give_up(&self.configured.schema.level, self.ticket, now) {
            state.levels.leave(&self.configured.schema.level, self.ticket, now);
            state.wake();
        }
        drop(state);
        self.configured.metrics.waited(self.estimate.most());
        self.configured.metrics.refused(Refused::TimeOut, Some(now - self.since));
    }

    /// Gives all seats back but those that are needed for telling watchers, and these a little later.
    fn end(&self, now: Instant) {
        let metrics = &self.configured.metrics;
        let kept = if self.configured.exempt { 0 } else { self.estimate.seats_after };
        metrics.ends(self.estimate.most() - kept, self.watch, now - self.since);
        let mut state = self.fair.state.lock();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if kept > 0 => {
                state.levels.shrink(&self.configured.schema.level, self.ticket, kept, now);
                let (fair, configured) = (Arc::clone(&self.fair), Arc::clone(&self.configured));
                let (ticket, after) = (self.ticket, self.estimate.after);
                runtime.spawn(async move {
                    tokio::time::sleep(after).await;
                    configured.metrics.frees(kept);
                    let mut state = fair.state.lock();
                    state.levels.leave(&configured.schema.level, ticket, Instant::now());
                    state.wake();
                });
            }
            _ => state.levels.leave(&self.configured.schema.level, self.ticket, now),
        }
        state.wake();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = Instant::now();
        if self.waits { self.give_up(now) } else { self.end(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::data;

    /// Everything is watched by so many.
    struct Watched(usize);

    impl Costs for Watched {
        fn stock(&self, _: &str, _: &str) -> Option<Stock> {
            None
        }

        fn watchers(&self, _: &RequestInfo) -> usize {
            self.0
        }
    }

    fn fair(total: usize, watchers: usize) -> Arc<Fair> {
        let timeout = Duration::from_millis(400);
        let FlowControl::Fair(fair) = FlowControl::fair(total, 0, timeout, Arc::new(Watched(watchers))) else {
            panic!("it is fair")
        };
        let objects = data::objects(data::FLOW_CONTROL);
        let (schemas, levels) = objects.into_iter().partition(|o| o.get("kind").str_or_empty() == "FlowSchema");
        fair.configure(schemas, &levels);
        fair
    }

    async fn enter(fair: &Arc<Fair>, user: &str, method: &str) -> Result<Place, Full> {
        let user = UserInfo::new(user, &["system:authenticated"]);
        let info = RequestInfo::parse(method, "/api/v1/namespaces/d/pods/p", None);
        fair.enter(&user, &info, "").await.1
    }

    #[tokio::test]
    async fn a_full_level_makes_wait_then_refuses_and_a_freed_seat_goes_to_who_waits() {
        let fair = fair(13, 0);
        let first = enter(&fair, "u", "GET").await.unwrap();
        let mut held = Vec::new();
        while let Ok(place) = enter(&fair, "u", "GET").await {
            held.push(place);
        }
        let level = "global-default";
        let (running, waiting) = fair.state.lock().levels.load(level);
        assert_eq!((running, waiting), (held.len() + 1, 0), "who is refused leaves nothing behind");
        let waiter = tokio::spawn({
            let fair = Arc::clone(&fair);
            async move { enter(&fair, "system:kube-scheduler", "GET").await.is_ok() }
        });
        assert!(waiter.await.unwrap(), "other levels have their own");
        drop(first);
        assert!(enter(&fair, "u", "GET").await.is_ok());
    }

    #[tokio::test]
    async fn a_write_keeps_seats_while_its_watchers_are_told() {
        let fair = fair(600, 25);
        let seats = || {
            let mut state = fair.state.lock();
            let now = Instant::now();
            state.levels.counted(now).find(|(name, _)| *name == "global-default").unwrap().1.taken_seats.value()
        };
        let place = enter(&fair, "u", "PUT").await.unwrap();
        assert_eq!(seats(), 3);
        drop(place);
        assert_eq!(seats(), 3, "25 watchers take three seats for a few milliseconds");
        let deadline = Instant::now() + Duration::from_secs(10);
        while seats() > 0 {
            assert!(Instant::now() < deadline, "they come back");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
