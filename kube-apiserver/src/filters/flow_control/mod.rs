//! Priority and fairness: every request gets a seat of its priority level, waits for one in a queue, or is refused.
//!
//! The FlowSchema and PriorityLevelConfiguration objects decide; they are read anew whenever they change. Long-running
//! requests need no seat, but a watch needs one until it has begun. Without priority and fairness
//! (`--enable-priority-and-fairness=false`) there are two plain limits, and members of `system:masters` are exempt.
//! Absent, and different from upstream: a request counts as one seat whatever it costs; lent seats move at once.
//! upstream: staging/src/k8s.io/apiserver/pkg/server/filters/{priority-and-fairness,maxinflight}.go

mod levels;
mod schema;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue, Response};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::authentication::user::MASTERS;
use crate::body::Body;
use crate::registry::Registry;
use crate::request::{RequestInfo, UserInfo};
use levels::{Arrival, Levels, Ticket};
use schema::Schema;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const SCHEMA_HEADER: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_HEADER: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
/// Objects that change together are read once.
const SETTLE: Duration = Duration::from_millis(100);

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
    /// A seat of a level.
    Seat(Seat),
    /// One of so many.
    Permit(OwnedSemaphorePermit),
}

/// Neither a seat nor a place to wait.
#[derive(Debug)]
pub struct Full;

impl FlowControl {
    /// Levels share both limits together; they wait for `follow` to know them.
    pub fn fair(reading: usize, mutating: usize, request_timeout: Duration) -> Self {
        Self::Fair(Arc::new(Fair {
            total: reading + mutating,
            max_wait: request_timeout / 4,
            config: ArcSwap::default(),
            state: Mutex::default(),
        }))
    }

    /// Two limits; 0 is unlimited.
    pub fn plain(reading: usize, mutating: usize) -> Self {
        let pool = |n: usize| (n > 0).then(|| Arc::new(Semaphore::new(n)));
        Self::Plain(Plain { reading: pool(reading), mutating: pool(mutating) })
    }

    /// Waits for a place.
    pub async fn enter(&self, user: &UserInfo, info: &RequestInfo) -> (Class, Result<Place, Full>) {
        if info.is_long_running() && info.verb != "watch" {
            return (Class::default(), Ok(Place::Exempt));
        }
        match self {
            Self::Fair(fair) => fair.enter(user, info).await,
            Self::Plain(plain) => (Class::default(), plain.enter(user, info)),
        }
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

#[derive(Default)]
struct Config {
    /// In the order in which they are asked.
    schemas: Vec<Schema>,
    level_uids: BTreeMap<Box<str>, Box<str>>,
}

#[derive(Default)]
struct State {
    levels: Levels,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

impl State {
    fn wake(&mut self, seated: Vec<(Box<str>, Ticket)>) {
        for (_, ticket) in seated {
            if let Some(waiter) = self.waiting.remove(&ticket) {
                // one that went away meanwhile gives the seat back itself
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
}

impl Fair {
    async fn enter(self: &Arc<Self>, user: &UserInfo, info: &RequestInfo) -> (Class, Result<Place, Full>) {
        let config = self.config.load_full();
        // Who is in no group that a schema names is caught by the last of them all the same, as upstream does.
        let catch_all = || config.schemas.iter().find(|schema| &*schema.name == "catch-all");
        let Some(schema) = config.schemas.iter().find(|schema| schema.takes(user, info)).or_else(catch_all) else {
            // the objects are not read yet
            return (Class::default(), Ok(Place::Exempt));
        };
        let level_uid = config.level_uids.get(&schema.level).map_or("", |uid| uid);
        let header = |uid: &str| HeaderValue::from_str(uid).ok().filter(|value| !value.is_empty());
        let class = Class { headers: header(&schema.uid).zip(header(level_uid)) };
        (class, self.seat(&schema.level, schema.flow(user, info)).await)
    }

    async fn seat(self: &Arc<Self>, level: &str, flow: u64) -> Result<Place, Full> {
        let (mut seat, told) = {
            let mut state = self.state.lock();
            let ticket = match state.levels.arrive(level, flow) {
                Arrival::Run => None,
                Arrival::Reject => return Err(Full),
                Arrival::Wait(ticket) => Some(ticket),
            };
            let seat = Seat { fair: Arc::clone(self), level: level.into(), waits: ticket };
            let Some(ticket) = ticket else { return Ok(Place::Seat(seat)) };
            let (tell, told) = oneshot::channel();
            state.waiting.insert(ticket, tell);
            (seat, told)
        };
        // dropping the seat, here or with the request, leaves the queue
        match tokio::time::timeout(self.max_wait, told).await {
            Ok(Ok(())) => {
                seat.waits = None;
                Ok(Place::Seat(seat))
            }
            _ => Err(Full),
        }
    }

    /// Keeps schemas and levels as the objects say, until dropped.
    pub async fn follow(self: Arc<Self>, registry: Arc<Registry>) {
        let stores = ["flowschemas", "prioritylevelconfigurations"].map(|plural| registry.store(GROUP, plural));
        let [Some(schemas), Some(levels)] = stores else { return };
        loop {
            let watches = (schemas.cache.watch_from_now(), levels.cache.watch_from_now());
            let (Some((_, _, mut of_schemas)), Some((_, _, mut of_levels))) = watches else {
                tokio::time::sleep(SETTLE).await;
                continue;
            };
            self.configure(schemas.cached_list(""), &levels.cached_list(""));
            tokio::select! {
                () = of_schemas.changed() => {}
                () = of_levels.changed() => {}
            }
            tokio::time::sleep(SETTLE).await;
        }
    }

    fn configure(&self, schemas: Vec<apimachinery::Value>, levels: &[apimachinery::Value]) {
        let text = |object: &apimachinery::Value, field| Box::from(object.path(&["metadata", field]).str_or_empty());
        let specs: BTreeMap<Box<str>, _> = levels.iter().map(|o| (text(o, "name"), schema::level(o))).collect();
        let level_uids = levels.iter().map(|o| (text(o, "name"), text(o, "uid"))).collect();
        let mut schemas: Vec<Schema> =
            schemas.into_iter().map(Schema::read).filter(|schema| specs.contains_key(&schema.level)).collect();
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        {
            let mut state = self.state.lock();
            let seated = state.levels.configure(self.total, &specs);
            state.wake(seated);
        }
        self.config.store(Arc::new(Config { schemas, level_uids }));
    }
}

/// A seat of a level, or the wait for one.
pub struct Seat {
    fair: Arc<Fair>,
    level: Box<str>,
    waits: Option<Ticket>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.fair.state.lock();
        if let Some(ticket) = self.waits {
            state.waiting.remove(&ticket);
            if state.levels.give_up(&self.level, ticket) {
                return;
            }
        }
        let seated = state.levels.leave(&self.level);
        state.wake(seated);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::data;

    fn fair(total: usize) -> Arc<Fair> {
        let FlowControl::Fair(fair) = FlowControl::fair(total, 0, Duration::from_millis(400)) else {
            panic!("it is fair")
        };
        let objects = data::objects(data::FLOW_CONTROL);
        let (schemas, levels) = objects.into_iter().partition(|o| o.get("kind").str_or_empty() == "FlowSchema");
        fair.configure(schemas, &levels);
        fair
    }

    #[tokio::test]
    async fn a_full_level_makes_wait_then_refuses_and_a_freed_seat_goes_to_who_waits() {
        let fair = fair(13);
        let level = "catch-all";
        let first = fair.seat(level, 1).await.unwrap();
        let mut held = Vec::new();
        while let Ok(place) = fair.seat(level, 1).await {
            held.push(place);
        }
        let (running, waiting) = fair.state.lock().levels.load(level);
        assert_eq!((running, waiting), (held.len() + 1, 0), "who is refused leaves nothing behind");
        let waiter = tokio::spawn({
            let fair = Arc::clone(&fair);
            async move { fair.seat("workload-low", 1).await.is_ok() }
        });
        assert!(waiter.await.unwrap(), "other levels have their own");
        drop(first);
        assert!(fair.seat(level, 1).await.is_ok());
    }
}
