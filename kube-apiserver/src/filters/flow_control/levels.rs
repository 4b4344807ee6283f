//! Seats and queues of priority levels: who may run now, who waits, who is refused. Pure: it knows neither requests nor
//! time, only levels, flows (numbers) and tickets of those who wait.
//!
//! Every request takes one seat. A level may use seats that other levels lend and do not use, up to its borrowing limit;
//! upstream moves them every ten seconds, here that happens at once. Within a level, queues are served by start-time
//! fair queuing, and a flow is spread over a hand of queues by shuffle sharding.
//! upstream: staging/src/k8s.io/apiserver/pkg/util/flowcontrol/{apf_controller.go, fairqueuing/queueset}

use std::collections::{BTreeMap, VecDeque};

/// Who waits.
pub type Ticket = u64;

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

/// The answer to a request that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It has a seat.
    Run,
    /// It waits.
    Wait(Ticket),
    /// There is neither a seat nor a place to wait.
    Reject,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Ticket>,
    /// Virtual time at which its next request starts.
    start: u64,
}

#[derive(Debug)]
struct Level {
    spec: Spec,
    seats: usize,
    running: usize,
    queues: Vec<Queue>,
    /// Virtual start of the request that was served last.
    clock: u64,
}

/// All levels.
#[derive(Debug, Default)]
pub struct Levels {
    levels: BTreeMap<Box<str>, Level>,
    next: Ticket,
}

impl Levels {
    /// Takes in new configurations for a total of seats; who runs and who waits stays. Answers the tickets that may run
    /// now. Levels that are gone go on until nobody is in them.
    pub fn configure(&mut self, total: usize, specs: &BTreeMap<Box<str>, Spec>) -> Vec<(Box<str>, Ticket)> {
        let sum: u64 = specs.values().map(|spec| spec.shares).sum();
        self.levels.retain(|name, level| specs.contains_key(name) || level.running > 0 || level.is_waited_for());
        for (name, spec) in specs {
            let seats = (total as u64 * spec.shares).div_ceil(sum.max(1));
            let level = self.levels.entry(name.clone()).or_insert_with(|| Level::new(spec.clone()));
            level.seats = usize::try_from(seats).unwrap_or(usize::MAX);
            level.change(spec);
        }
        self.dispatch()
    }

    /// A request of a flow comes to a level.
    pub fn arrive(&mut self, name: &str, flow: u64) -> Arrival {
        let free = self.may_run(name);
        let Some(level) = self.levels.get_mut(name) else { return Arrival::Run };
        match level.spec.when_full {
            WhenFull::Exempt => {
                level.running += 1;
                Arrival::Run
            }
            _ if free && !level.is_waited_for() => {
                level.running += 1;
                Arrival::Run
            }
            WhenFull::Reject => Arrival::Reject,
            WhenFull::Queue { hand_size, length, .. } => {
                let hand = deal(flow, level.queues.len(), hand_size);
                let Some(shortest) = hand.into_iter().min_by_key(|index| level.queues[*index].waiting.len()) else {
                    return Arrival::Reject;
                };
                let queue = &mut level.queues[shortest];
                if queue.waiting.len() >= length {
                    return Arrival::Reject;
                }
                if queue.waiting.is_empty() {
                    queue.start = queue.start.max(level.clock);
                }
                self.next += 1;
                queue.waiting.push_back(self.next);
                Arrival::Wait(self.next)
            }
        }
    }

    /// A request of a level is done. Answers the tickets that run now.
    pub fn leave(&mut self, name: &str) -> Vec<(Box<str>, Ticket)> {
        if let Some(level) = self.levels.get_mut(name) {
            level.running = level.running.saturating_sub(1);
        }
        self.dispatch()
    }

    /// A request waits no longer. False if it did not wait any more, but has a seat.
    pub fn give_up(&mut self, name: &str, ticket: Ticket) -> bool {
        let Some(level) = self.levels.get_mut(name) else { return false };
        level.queues.iter_mut().any(|queue| {
            let before = queue.waiting.len();
            queue.waiting.retain(|other| *other != ticket);
            queue.waiting.len() < before
        })
    }

    /// Requests that run in a level, and that wait.
    #[cfg(test)]
    pub fn load(&self, name: &str) -> (usize, usize) {
        self.levels.get(name).map_or((0, 0), |l| (l.running, l.queues.iter().map(|q| q.waiting.len()).sum()))
    }

    fn may_run(&self, name: &str) -> bool {
        let Some(level) = self.levels.get(name) else { return true };
        if level.running < level.seats {
            return true;
        }
        let limit = level.spec.borrowing_limit_percent.map(|percent| level.seats + level.percent(percent));
        limit.is_none_or(|limit| level.running < limit) && self.spare() > 0
    }

    /// Seats that are lent and not used.
    fn spare(&self) -> usize {
        let limited = || self.levels.values().filter(|level| level.spec.when_full != WhenFull::Exempt);
        let lent: usize = limited()
            .map(|level| level.percent(level.spec.lendable_percent).min(level.seats.saturating_sub(level.running)))
            .sum();
        let borrowed: usize = limited().map(|level| level.running.saturating_sub(level.seats)).sum();
        lent.saturating_sub(borrowed)
    }

    fn dispatch(&mut self) -> Vec<(Box<str>, Ticket)> {
        let mut out = Vec::new();
        let waited: Vec<Box<str>> =
            self.levels.iter().filter(|(_, level)| level.is_waited_for()).map(|(name, _)| name.clone()).collect();
        for name in waited {
            while self.may_run(&name) {
                let Some(ticket) = self.levels.get_mut(&name).and_then(Level::next) else { break };
                out.push((name.clone(), ticket));
            }
        }
        out
    }
}

impl Level {
    fn new(spec: Spec) -> Self {
        Self { spec, seats: 0, running: 0, queues: Vec::new(), clock: 0 }
    }

    fn is_waited_for(&self) -> bool {
        self.queues.iter().any(|queue| !queue.waiting.is_empty())
    }

    fn percent(&self, percent: u64) -> usize {
        usize::try_from((self.seats as u64 * percent + 50) / 100).unwrap_or(usize::MAX)
    }

    fn change(&mut self, spec: &Spec) {
        let wanted = if let WhenFull::Queue { queues, .. } = spec.when_full { queues.max(1) } else { 0 };
        let surplus: Vec<Queue> = self.queues.drain(wanted.min(self.queues.len())..).collect();
        self.queues.resize_with(wanted, Queue::default);
        // With fewer queues, those who wait move up; without any, they are the last ones.
        let moved = surplus.into_iter().flat_map(|queue| queue.waiting);
        if self.queues.is_empty() {
            let waiting: VecDeque<Ticket> = moved.collect();
            if !waiting.is_empty() {
                self.queues.push(Queue { waiting, start: self.clock });
            }
        } else {
            for (index, ticket) in moved.enumerate() {
                self.queues[index % wanted].waiting.push_back(ticket);
            }
        }
        self.spec = spec.clone();
    }

    /// Seats the request whose virtual start is first.
    fn next(&mut self) -> Option<Ticket> {
        let queue = self.queues.iter_mut().filter(|q| !q.waiting.is_empty()).min_by_key(|q| q.start)?;
        let ticket = queue.waiting.pop_front()?;
        self.clock = queue.start;
        queue.start += 1;
        self.running += 1;
        Some(ticket)
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
    use super::*;

    fn queued(shares: u64) -> Spec {
        let when_full = WhenFull::Queue { queues: 8, hand_size: 2, length: 3 };
        Spec { shares, lendable_percent: 0, borrowing_limit_percent: None, when_full }
    }

    fn levels(total: usize, specs: &[(&str, Spec)]) -> Levels {
        let mut levels = Levels::default();
        let specs = specs.iter().map(|(name, spec)| ((*name).into(), spec.clone())).collect();
        assert!(levels.configure(total, &specs).is_empty());
        levels
    }

    #[test]
    fn seats_are_shared_out_and_queues_are_bounded() {
        let exempt = Spec { when_full: WhenFull::Exempt, ..queued(0) };
        let reject = Spec { when_full: WhenFull::Reject, ..queued(1) };
        let mut levels = levels(4, &[("a", queued(3)), ("exempt", exempt), ("r", reject)]);
        for _ in 0..3 {
            assert_eq!(levels.arrive("a", 1), Arrival::Run);
        }
        assert_eq!((levels.arrive("r", 1), levels.arrive("r", 1)), (Arrival::Run, Arrival::Reject));
        for _ in 0..100 {
            assert_eq!(levels.arrive("exempt", 1), Arrival::Run);
        }
        let waiting: Vec<_> = (0..7).map(|_| levels.arrive("a", 5)).collect();
        assert!(waiting[..6].iter().all(|w| matches!(w, Arrival::Wait(_))), "two queues of three: {waiting:?}");
        assert_eq!(waiting[6], Arrival::Reject);
        assert_eq!(levels.load("a"), (3, 6));
        assert_eq!(levels.leave("a").len(), 1);
        assert_eq!(levels.load("a"), (3, 5));
        assert!(levels.leave("exempt").is_empty());
    }

    #[test]
    fn a_flow_with_many_requests_does_not_starve_another() {
        let mut levels = levels(1, &[("a", queued(1))]);
        assert_eq!(levels.arrive("a", 1), Arrival::Run);
        let many: Vec<_> = (0..6).map(|_| levels.arrive("a", 0)).collect();
        let Arrival::Wait(one) = levels.arrive("a", 8 * 7 + 4) else { panic!("it waits") };
        assert!(many.iter().all(|m| matches!(m, Arrival::Wait(_))));
        let mut served = Vec::new();
        for _ in 0..7 {
            served.extend(levels.leave("a").into_iter().map(|(_, ticket)| ticket));
        }
        let turn = served.iter().position(|ticket| *ticket == one);
        assert!(turn <= Some(2), "the lone request came at {turn:?}");
        assert_eq!(served.len(), 7);
    }

    #[test]
    fn idle_seats_are_lent_and_given_back() {
        let lender = Spec { lendable_percent: 50, ..queued(1) };
        let borrower = Spec { borrowing_limit_percent: Some(100), ..queued(1) };
        let mut levels = levels(8, &[("b", borrower), ("l", lender)]);
        for _ in 0..6 {
            assert_eq!(levels.arrive("b", 1), Arrival::Run);
        }
        assert!(matches!(levels.arrive("b", 1), Arrival::Wait(_)), "four of its own, two lent");
        for _ in 0..4 {
            assert_eq!(levels.arrive("l", 1), Arrival::Run, "a lender gets its own seats at any time");
        }
        assert!(levels.leave("b").is_empty(), "nothing is lent now");
        assert_eq!(levels.load("b"), (5, 1));
        assert!(levels.leave("b").is_empty());
        assert_eq!(levels.leave("b").len(), 1);
    }

    #[test]
    fn who_gives_up_takes_no_seat_and_new_configurations_keep_who_waits() {
        let mut levels = levels(1, &[("a", queued(1))]);
        assert_eq!(levels.arrive("a", 1), Arrival::Run);
        let Arrival::Wait(first) = levels.arrive("a", 1) else { panic!("it waits") };
        let Arrival::Wait(second) = levels.arrive("a", 9) else { panic!("it waits") };
        assert!(levels.give_up("a", first));
        assert!(!levels.give_up("a", first));
        let smaller = WhenFull::Queue { queues: 1, hand_size: 1, length: 1 };
        let specs = [("a".into(), Spec { when_full: smaller, ..queued(1) })].into();
        assert!(levels.configure(1, &specs).is_empty());
        assert_eq!(levels.leave("a"), [("a".into(), second)]);
        let specs = [("other".into(), queued(1))].into();
        levels.configure(1, &specs);
        assert_eq!(levels.load("a"), (1, 0), "a level goes on until nobody is in it");
        levels.leave("a");
        levels.configure(1, &specs);
        assert_eq!(levels.load("a"), (0, 0));
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
