//! Seats and queues of priority levels: who may run now, who waits, who is refused. Pure: it knows neither requests nor
//! what time it is, only levels, flows (numbers) and tickets of those who wait or run.
//!
//! A request takes as many seats as its work is estimated at. Within a level, queues are served by start-time fair
//! queuing, in which virtual time is counted in seats, and a flow is spread over a hand of queues by shuffle sharding.
//! How many seats a level has is found anew now and then, by what all levels needed of late.
//! upstream: staging/src/k8s.io/apiserver/pkg/util/flowcontrol/{apf_controller.go, fairqueuing/queueset}

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use super::borrowing::{self, Demand, Limits, Part};
use super::load::{Integrator, Timed};

/// Who waits or runs.
pub type Ticket = u64;

/// Part of a level's own seats that one request may take.
const MOST_OF_LEVEL: f64 = 0.15;

/// What a level is like, out of its PriorityLevelConfiguration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its part of all seats, relative to the others'.
    pub shares: u64,
    /// Percent of its seats that others may use.
    pub lendable_percent: u64,
    /// How much it may borrow, in percent of its seats; `None` is without limit.
    pub borrowing_limit_percent: Option<u64>,
    /// What happens to a request that finds no seat.
    pub when_full: WhenFull,
}

/// What happens to a request that finds no seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// There is no limit.
    Exempt,
    /// It is refused.
    Reject,
    /// It waits in one of the queues.
    Queue {
        /// How many queues there are.
        queues: usize,
        /// How many of them one flow may use.
        hand_size: usize,
        /// How many requests may wait in one.
        length: usize,
    },
}

/// A request, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// The flow it belongs to.
    pub flow: u64,
    /// How many seats it takes.
    pub seats: usize,
    /// It changes nothing.
    pub only_reads: bool,
}

/// The answer to a request that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It has its seats. If it went through a queue: how many waited there, with it.
    Run(Ticket, Option<usize>),
    /// It waits in a queue of this length.
    Wait(Ticket, usize),
    /// There are no seats, and nobody waits in this level.
    NoSeat,
    /// There is neither a seat nor a place to wait.
    QueueFull,
}

/// Virtual time of a level when a request got its seats, in seats served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dispatch {
    /// The time.
    pub at: u64,
    /// When the request was to start.
    pub start: u64,
    /// The least and the greatest start of requests that were first in their queues.
    pub next: (u64, u64),
    /// The same, each less the seats that are taken by requests of the same queue.
    pub discounted: (i64, i64),
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Ticket, Work)>,
    /// Virtual time at which its next request starts.
    start: u64,
    /// Seats of its requests that run.
    running: usize,
}

#[derive(Debug)]
struct Running {
    seats: usize,
    queue: Option<usize>,
    only_reads: bool,
}

/// A priority level.
#[derive(Debug)]
pub struct Level {
    spec: Spec,
    /// Seats by configuration.
    pub limits: Limits,
    /// Seats for now.
    pub current: usize,
    /// What it needed of late.
    pub demand: Demand,
    /// Virtual start of the request that was served last.
    pub clock: u64,
    /// The last request of a queue that got its seats.
    pub dispatched: Option<Dispatch>,
    /// Part of the seats that are taken, over time.
    pub taken_seats: Timed,
    /// Part of the places in queues that are taken, over time.
    pub waiting_requests: Timed,
    /// Running requests by seats, over time.
    pub running_requests: Timed,
    /// Seats that could be used, by those there are, over time.
    pub wanted_seats: Timed,
    wanted: Integrator,
    queues: Vec<Queue>,
    running: HashMap<Ticket, Running>,
    seats: usize,
}

/// Requests that read, or that write, in all levels together, over time.
#[derive(Debug)]
pub struct Kind {
    /// Those that wait.
    pub waiting: Timed,
    /// Those that run.
    pub running: Timed,
}

/// All levels.
#[derive(Debug)]
pub struct Levels {
    levels: BTreeMap<Box<str>, Level>,
    total: usize,
    next: Ticket,
    /// Tickets that got seats and were not told yet.
    seated: Vec<Ticket>,
    /// The part of its target that every level got that hit no bound.
    pub fair_fraction: f64,
    /// Requests that read.
    pub reading: Kind,
    /// Requests that write.
    pub writing: Kind,
}

impl Levels {
    /// None yet.
    pub fn new(now: Instant) -> Self {
        Self {
            levels: BTreeMap::new(),
            total: 0,
            next: 0,
            seated: Vec::new(),
            fair_fraction: 0.0,
            reading: Kind::new(now),
            writing: Kind::new(now),
        }
    }

    /// Takes in new configurations for a total of seats; who runs and who waits stays. Levels that are gone go on with
    /// their shares until nobody is in them.
    pub fn configure(&mut self, total: usize, specs: &BTreeMap<Box<str>, Spec>, now: Instant) {
        self.total = total;
        self.levels.retain(|name, level| specs.contains_key(name) || !level.is_idle());
        for (name, spec) in specs {
            let level = self.levels.entry(name.clone()).or_insert_with(|| Level::new(spec.clone(), now));
            level.change(spec, now);
        }
        let shares: u64 = self.levels.values().map(|level| level.spec.shares).sum();
        for level in self.levels.values_mut() {
            level.limits = level.spec.limits(total, shares);
        }
        let places: usize = self.levels.values().map(|level| level.spec.places()).sum();
        let seats: usize = self.levels.values().map(|level| level.limits.nominal).sum();
        for kind in [&mut self.reading, &mut self.writing] {
            kind.waiting.relate_to(places, now);
            kind.running.relate_to(seats, now);
        }
        self.adjust(now);
    }

    /// A span of time is over: seats are shared out by what was needed in it.
    pub fn adjust(&mut self, now: Instant) {
        for level in self.levels.values_mut() {
            level.demand.update(level.wanted.take(now));
        }
        let parts: Vec<Part> = self.levels.values().map(Level::part).collect();
        let present: Vec<usize> = self.levels.values().map(|level| level.current).collect();
        let (seats, fraction) = borrowing::share_out(&parts, &present);
        self.fair_fraction = fraction;
        let without = (self.total as f64 / 10.0).round() as usize;
        for (level, seats) in self.levels.values_mut().zip(seats) {
            level.current = seats;
            let of = if seats > 0 { seats } else { without };
            for timed in [&mut level.taken_seats, &mut level.running_requests, &mut level.wanted_seats] {
                timed.relate_to(of, now);
            }
        }
        for name in self.levels.keys().cloned().collect::<Vec<_>>() {
            self.dispatch(&name, now);
        }
    }

    /// How many seats one request of a level may take at most; none for a level without queues.
    pub fn most_seats(&self, name: &str) -> Option<usize> {
        let level = self.levels.get(name)?;
        let WhenFull::Queue { hand_size, .. } = level.spec.when_full else { return None };
        let part = (level.limits.nominal as f64 * MOST_OF_LEVEL).ceil() as usize;
        Some(part.min(level.limits.nominal / hand_size.max(1)).max(1))
    }

    /// A request comes to a level.
    pub fn arrive(&mut self, name: &str, work: Work, now: Instant) -> Arrival {
        self.next += 1;
        let ticket = self.next;
        // A level that is gone does not limit.
        let Some(level) = self.levels.get_mut(name) else { return Arrival::Run(ticket, None) };
        let length = match level.spec.when_full {
            WhenFull::Reject if !level.has_room(work.seats) => return Arrival::NoSeat,
            WhenFull::Reject | WhenFull::Exempt => {
                level.start(ticket, work, None, now);
                self.kind(work.only_reads).running.add(1, now);
                return Arrival::Run(ticket, None);
            }
            WhenFull::Queue { hand_size, length, .. } => match level.enqueue(ticket, work, hand_size, length, now) {
                Some(length) => length,
                None => return Arrival::QueueFull,
            },
        };
        self.kind(work.only_reads).waiting.add(1, now);
        self.dispatch(name, now);
        match self.seated.iter().position(|seated| *seated == ticket) {
            Some(at) => {
                self.seated.swap_remove(at);
                Arrival::Run(ticket, Some(length))
            }
            None => Arrival::Wait(ticket, length),
        }
    }

    /// A request takes no more than so many seats from now on.
    pub fn shrink(&mut self, name: &str, ticket: Ticket, seats: usize, now: Instant) {
        if let Some(level) = self.levels.get_mut(name) {
            level.shrink(ticket, seats, now);
            self.dispatch(name, now);
        }
    }

    /// A request is done.
    pub fn leave(&mut self, name: &str, ticket: Ticket, now: Instant) {
        if let Some(left) = self.levels.get_mut(name).and_then(|level| level.leave(ticket, now)) {
            self.kind(left.only_reads).running.sub(1, now);
            self.dispatch(name, now);
        }
    }

    /// A request waits no longer. False if it did not wait any more, but has seats.
    pub fn give_up(&mut self, name: &str, ticket: Ticket, now: Instant) -> bool {
        let Some(work) = self.levels.get_mut(name).and_then(|level| level.give_up(ticket, now)) else { return false };
        self.kind(work.only_reads).waiting.sub(1, now);
        true
    }

    /// Those who waited and got their seats since this was last asked.
    pub fn take_seated(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.seated)
    }

    /// All levels by name, with the times until now counted.
    pub fn counted(&mut self, now: Instant) -> impl Iterator<Item = (&str, &Level)> {
        for timed in [&mut self.reading, &mut self.writing].into_iter().flat_map(|k| [&mut k.waiting, &mut k.running]) {
            timed.advance(now);
        }
        for level in self.levels.values_mut() {
            level.timed().into_iter().for_each(|timed| timed.advance(now));
        }
        self.levels.iter().map(|(name, level)| (&**name, level))
    }

    /// Requests that run in a level, and that wait.
    #[cfg(test)]
    pub fn load(&self, name: &str) -> (usize, usize) {
        self.levels.get(name).map_or((0, 0), |l| (l.running.len(), l.waiting()))
    }

    fn kind(&mut self, only_reads: bool) -> &mut Kind {
        if only_reads { &mut self.reading } else { &mut self.writing }
    }

    fn dispatch(&mut self, name: &str, now: Instant) {
        while let Some((ticket, work)) = self.levels.get_mut(name).and_then(|level| level.next(now)) {
            let kind = self.kind(work.only_reads);
            kind.waiting.sub(1, now);
            kind.running.add(1, now);
            self.seated.push(ticket);
        }
    }
}

impl Kind {
    fn new(now: Instant) -> Self {
        const BOUNDS: [f64; 15] = [0.0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];
        Self { waiting: Timed::new(&BOUNDS, now), running: Timed::new(&BOUNDS, now) }
    }
}

impl Spec {
    fn limits(&self, total: usize, all_shares: u64) -> Limits {
        let nominal = (total as u64 * self.shares).div_ceil(all_shares.max(1));
        let seats = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let percent = |percent: u64| (nominal * percent + 50) / 100;
        Limits {
            nominal: seats(nominal),
            lower: seats(nominal.saturating_sub(percent(self.lendable_percent))),
            upper: seats(nominal + self.borrowing_limit_percent.map_or(total as u64, percent)),
        }
    }

    /// Places in all queues.
    fn places(&self) -> usize {
        if let WhenFull::Queue { queues, length, .. } = self.when_full { queues * length } else { 0 }
    }
}

impl Level {
    fn new(spec: Spec, now: Instant) -> Self {
        const SEATS: [f64; 13] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];
        const REQUESTS: [f64; 10] = [0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1.0];
        const WANTED: [f64; 12] = [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0, 2.8, 4.0, 6.0];
        Self {
            spec,
            limits: Limits::default(),
            current: 0,
            demand: Demand::default(),
            clock: 0,
            dispatched: None,
            taken_seats: Timed::new(&SEATS, now),
            waiting_requests: Timed::new(&REQUESTS, now),
            running_requests: Timed::new(&REQUESTS, now),
            wanted_seats: Timed::new(&WANTED, now),
            wanted: Integrator::new(now),
            queues: Vec::new(),
            running: HashMap::new(),
            seats: 0,
        }
    }

    fn timed(&mut self) -> [&mut Timed; 4] {
        [&mut self.taken_seats, &mut self.waiting_requests, &mut self.running_requests, &mut self.wanted_seats]
    }

    fn is_exempt(&self) -> bool {
        self.spec.when_full == WhenFull::Exempt
    }

    /// What it asks for when seats are shared out.
    pub fn part(&self) -> Part {
        Part { limits: self.limits, demand: self.demand, exempt: self.is_exempt() }
    }

    fn waiting(&self) -> usize {
        self.waiting_requests.value()
    }

    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting() == 0
    }

    /// A request that takes more seats than there are runs alone.
    fn has_room(&self, seats: usize) -> bool {
        self.seats + seats <= self.current || (seats > self.current && self.running.is_empty())
    }

    fn change(&mut self, spec: &Spec, now: Instant) {
        let wanted = if let WhenFull::Queue { queues, .. } = spec.when_full { queues.max(1) } else { 0 };
        let surplus: Vec<Queue> = self.queues.drain(wanted.min(self.queues.len())..).collect();
        self.queues.resize_with(wanted, Queue::default);
        // With fewer queues, those who wait move up; without any, they are the last ones.
        let moved = surplus.into_iter().flat_map(|queue| queue.waiting);
        if self.queues.is_empty() {
            let waiting: VecDeque<_> = moved.collect();
            if !waiting.is_empty() {
                self.queues.push(Queue { waiting, start: self.clock, running: 0 });
            }
        } else {
            for (index, ticket) in moved.enumerate() {
                self.queues[index % wanted].waiting.push_back(ticket);
            }
        }
        self.spec = spec.clone();
        self.waiting_requests.relate_to(spec.places(), now);
    }

    /// The length of the queue; none if it is full, and the request would have to wait.
    fn enqueue(&mut self, ticket: Ticket, work: Work, hand_size: usize, most: usize, now: Instant) -> Option<usize> {
        let room = self.has_room(work.seats);
        let hand = deal(work.flow, self.queues.len(), hand_size);
        let shortest = hand.into_iter().min_by_key(|index| self.queues[*index].waiting.len())?;
        let queue = &mut self.queues[shortest];
        if queue.waiting.len() >= most && !room {
            return None;
        }
        if queue.waiting.is_empty() {
            queue.start = queue.start.max(self.clock);
        }
        queue.waiting.push_back((ticket, work));
        let length = queue.waiting.len();
        self.waiting_requests.add(1, now);
        self.want(work.seats.cast_signed(), now);
        Some(length)
    }

    fn want(&mut self, more: isize, now: Instant) {
        let wanted = self.wanted_seats.value().saturating_add_signed(more);
        self.wanted_seats.set(wanted, now);
        self.wanted.set(wanted, now);
    }

    fn start(&mut self, ticket: Ticket, work: Work, queue: Option<usize>, now: Instant) {
        self.running.insert(ticket, Running { seats: work.seats, queue, only_reads: work.only_reads });
        self.running_requests.add(1, now);
        self.seats += work.seats;
        self.taken_seats.set(self.seats, now);
        match queue {
            Some(at) => self.queues[at].running += work.seats,
            // who waited in a queue is counted as wanting already
            None => self.want(work.seats.cast_signed(), now),
        }
    }

    fn shrink(&mut self, ticket: Ticket, seats: usize, now: Instant) {
        let Some(running) = self.running.get_mut(&ticket) else { return };
        let freed = running.seats.saturating_sub(seats);
        running.seats -= freed;
        if let Some(queue) = running.queue.and_then(|at| self.queues.get_mut(at)) {
            queue.running = queue.running.saturating_sub(freed);
        }
        self.seats = self.seats.saturating_sub(freed);
        self.taken_seats.set(self.seats, now);
        self.want(-freed.cast_signed(), now);
    }

    fn leave(&mut self, ticket: Ticket, now: Instant) -> Option<Running> {
        self.shrink(ticket, 0, now);
        self.running_requests.sub(usize::from(self.running.contains_key(&ticket)), now);
        self.running.remove(&ticket)
    }

    fn give_up(&mut self, ticket: Ticket, now: Instant) -> Option<Work> {
        let found = self.queues.iter_mut().find_map(|queue| {
            let at = queue.waiting.iter().position(|(other, _)| *other == ticket)?;
            queue.waiting.remove(at)
        });
        let (_, work) = found?;
        self.waiting_requests.sub(1, now);
        self.want(-work.seats.cast_signed(), now);
        Some(work)
    }

    /// Gives seats to the request whose virtual start is first, if there is room for it.
    fn next(&mut self, now: Instant) -> Option<(Ticket, Work)> {
        let (mut first, mut dispatch): (Option<usize>, Option<Dispatch>) = (None, None);
        for (at, queue) in self.queues.iter().enumerate().filter(|(_, queue)| !queue.waiting.is_empty()) {
            let discounted = queue.start.cast_signed() - queue.running.cast_signed() as i64;
            let seen = dispatch.get_or_insert(Dispatch {
                at: self.clock,
                start: queue.start,
                next: (queue.start, queue.start),
                discounted: (discounted, discounted),
            });
            seen.next = (seen.next.0.min(queue.start), seen.next.1.max(queue.start));
            seen.discounted = (seen.discounted.0.min(discounted), seen.discounted.1.max(discounted));
            if first.is_none() || queue.start < seen.start {
                (first, seen.start) = (Some(at), queue.start);
            }
        }
        let at = first?;
        let (_, work) = *self.queues[at].waiting.front()?;
        if !self.is_exempt() && !self.has_room(work.seats) {
            return None;
        }
        let (ticket, work) = self.queues[at].waiting.pop_front()?;
        self.clock = self.queues[at].start;
        self.queues[at].start += work.seats as u64;
        self.dispatched = dispatch;
        self.waiting_requests.sub(1, now);
        self.start(ticket, work, Some(at), now);
        Some((ticket, work))
    }
}

/// The hand of queues that a flow may use: `size` different ones of `deck`, decided by the flow alone.
/// upstream: staging/src/k8s.io/apiserver/pkg/util/shufflesharding
fn deal(flow: u64, deck: usize, size: usize) -> Vec<usize> {
    let mut rest = flow;
    let mut hand: Vec<usize> = Vec::with_capacity(size);
    let mut sorted: Vec<usize> = Vec::with_capacity(size);
    for dealt in 0..size.min(deck) {
        let left = (deck - dealt) as u64;
        let mut card = usize::try_from(rest % left).unwrap_or(0);
        rest /= left;
        for taken in &sorted {
            if *taken <= card {
                card += 1;
            }
        }
        hand.push(card);
        let at = sorted.partition_point(|taken| *taken < card);
        sorted.insert(at, card);
    }
    hand
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn queued(shares: u64) -> Spec {
        let when_full = WhenFull::Queue { queues: 8, hand_size: 2, length: 3 };
        Spec { shares, lendable_percent: 0, borrowing_limit_percent: Some(0), when_full }
    }

    fn work(flow: u64, seats: usize) -> Work {
        Work { flow, seats, only_reads: true }
    }

    /// Levels whose time stands still unless it is told to go on.
    struct Bench {
        levels: Levels,
        now: Instant,
        running: Vec<Ticket>,
    }

    impl Bench {
        fn new(total: usize, specs: &[(&str, Spec)]) -> Self {
            let now = Instant::now();
            let mut bench = Self { levels: Levels::new(now), now, running: Vec::new() };
            bench.configure(total, specs);
            assert!(bench.levels.take_seated().is_empty());
            bench
        }

        fn configure(&mut self, total: usize, specs: &[(&str, Spec)]) {
            let specs = specs.iter().map(|(name, spec)| ((*name).into(), spec.clone())).collect();
            self.levels.configure(total, &specs, self.now);
        }

        fn arrive(&mut self, name: &str, work: Work) -> Arrival {
            let arrival = self.levels.arrive(name, work, self.now);
            if let Arrival::Run(ticket, _) = arrival {
                self.running.push(ticket);
            }
            arrival
        }

        fn runs(&mut self, name: &str, flow: u64) -> bool {
            matches!(self.arrive(name, work(flow, 1)), Arrival::Run(..))
        }

        fn waits(&mut self, name: &str, flow: u64) -> Ticket {
            let Arrival::Wait(ticket, _) = self.arrive(name, work(flow, 1)) else { panic!("it waits") };
            ticket
        }

        /// One of those who run leaves; who gets its seats?
        fn leave(&mut self, name: &str) -> Vec<Ticket> {
            let ticket = self.running.remove(0);
            self.levels.leave(name, ticket, self.now);
            let seated = self.levels.take_seated();
            self.running.extend(&seated);
            seated
        }
    }

    #[test]
    fn seats_are_shared_out_and_queues_are_bounded() {
        let exempt = Spec { when_full: WhenFull::Exempt, ..queued(0) };
        let reject = Spec { when_full: WhenFull::Reject, ..queued(1) };
        let mut bench = Bench::new(4, &[("a", queued(3)), ("exempt", exempt), ("r", reject)]);
        for _ in 0..3 {
            assert!(bench.runs("a", 1));
        }
        assert!(bench.runs("r", 1));
        assert_eq!(bench.arrive("r", work(1, 1)), Arrival::NoSeat);
        for _ in 0..100 {
            assert!(bench.runs("exempt", 1));
        }
        let waiting: Vec<_> = (0..7).map(|_| bench.arrive("a", work(5, 1))).collect();
        assert!(waiting[..6].iter().all(|w| matches!(w, Arrival::Wait(..))), "two queues of three: {waiting:?}");
        assert_eq!(waiting[6], Arrival::QueueFull);
        assert_eq!(bench.levels.load("a"), (3, 6));
        assert_eq!(bench.leave("a").len(), 1);
        assert_eq!(bench.levels.load("a"), (3, 5));
    }

    #[test]
    fn a_flow_with_many_requests_does_not_starve_another() {
        let mut bench = Bench::new(1, &[("a", queued(1))]);
        assert!(bench.runs("a", 1));
        for _ in 0..6 {
            bench.waits("a", 0);
        }
        let one = bench.waits("a", 8 * 7 + 4);
        let mut served = Vec::new();
        for _ in 0..7 {
            served.extend(bench.leave("a"));
        }
        let turn = served.iter().position(|ticket| *ticket == one);
        assert!(turn <= Some(2), "the lone request came at {turn:?}");
        assert_eq!(served.len(), 7);
    }

    #[test]
    fn wide_requests_wait_for_all_their_seats_and_count_for_more() {
        let one_queue = WhenFull::Queue { queues: 8, hand_size: 1, length: 3 };
        let mut bench = Bench::new(4, &[("a", Spec { when_full: one_queue, ..queued(1) })]);
        for _ in 0..3 {
            assert!(bench.runs("a", 1));
        }
        let Arrival::Wait(wide, _) = bench.arrive("a", work(1, 2)) else { panic!("there is room for one only") };
        let narrow = bench.waits("a", 1);
        assert_eq!(bench.leave("a"), [wide], "who comes later does not overtake");
        assert_eq!(bench.leave("a"), [narrow]);
        bench.levels.shrink("a", wide, 1, bench.now);
        assert!(bench.runs("a", 1), "a seat of the wide one is free");
        assert!(matches!(bench.arrive("a", work(1, 9)), Arrival::Wait(..)));
        for _ in 0..3 {
            assert!(bench.leave("a").is_empty());
        }
        assert_eq!(bench.leave("a").len(), 1, "more seats than there are: it runs alone");
        let dispatched = bench.levels.counted(bench.now).next().unwrap().1.dispatched.unwrap();
        assert_eq!(dispatched.next, (dispatched.start, dispatched.start), "nobody else waited");
    }

    #[test]
    fn seats_that_idle_levels_lend_go_to_those_who_need_them() {
        let lender = Spec { lendable_percent: 50, ..queued(1) };
        let borrower = Spec { borrowing_limit_percent: Some(100), ..queued(1) };
        let mut bench = Bench::new(8, &[("b", borrower), ("l", lender)]);
        for _ in 0..5 {
            assert!(bench.runs("b", 1), "the only seat that is lent is shared by need, and nothing is known of it yet");
        }
        bench.waits("b", 1);
        bench.waits("b", 9);
        bench.now += Duration::from_secs(10);
        bench.levels.adjust(bench.now);
        let seated = bench.levels.take_seated();
        assert_eq!(seated.len(), 1, "four of its own, two lent");
        bench.running.extend(seated);
        assert_eq!(bench.levels.load("b"), (6, 1));
        assert!(bench.runs("l", 1) && bench.runs("l", 1));
        let lender_waits = [bench.waits("l", 1), bench.waits("l", 1)];
        bench.now += Duration::from_secs(10);
        bench.levels.adjust(bench.now);
        let mut seated = bench.levels.take_seated();
        seated.sort_unstable();
        assert_eq!(seated, lender_waits, "what was lent comes back when it is needed");
        assert!(bench.leave("b").is_empty(), "six run where there are four seats");
    }

    #[test]
    fn who_gives_up_takes_no_seat_and_new_configurations_keep_who_waits() {
        let mut bench = Bench::new(1, &[("a", queued(1))]);
        assert!(bench.runs("a", 1));
        let (first, second) = (bench.waits("a", 1), bench.waits("a", 9));
        assert!(bench.levels.give_up("a", first, bench.now));
        assert!(!bench.levels.give_up("a", first, bench.now));
        let smaller = WhenFull::Queue { queues: 1, hand_size: 1, length: 1 };
        bench.configure(1, &[("a", Spec { when_full: smaller, ..queued(1) })]);
        assert!(bench.levels.take_seated().is_empty());
        assert_eq!(bench.leave("a"), [second]);
        bench.configure(1, &[("other", queued(1))]);
        assert_eq!(bench.levels.load("a"), (1, 0), "a level goes on until nobody is in it");
        bench.leave("a");
        bench.configure(1, &[("other", queued(1))]);
        assert_eq!(bench.levels.most_seats("a"), None);
    }

    #[test]
    fn hands_hold_different_cards() {
        for flow in [0, 1, 77, u64::MAX, 0x1234_5678_9abc_def0] {
            let hand = deal(flow, 16, 6);
            let mut sorted = hand.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!((sorted.len(), hand.len()), (6, 6));
            assert!(hand.iter().all(|card| *card < 16));
            assert_eq!(hand, deal(flow, 16, 6));
        }
        assert_eq!(deal(5, 2, 6).len(), 2);
    }
}
