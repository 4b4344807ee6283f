//! How many seats each priority level gets for the next while, by what it needed in the last. Pure.
//!
//! upstream: apiserver/pkg/util/flowcontrol/{conc_alloc.go, apf_controller.go: updateBorrowingLocked}

use super::load::Seen;

/// How much of the old demand stays in the smoothed one; of 10 s each, five minutes leave half.
const SMOOTHING: f64 = 0.977;
/// A wish of less counts as this much, so that shares can be related to it.
const LEAST_TARGET: f64 = 0.001;

/// What a level needed of late, in seats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// At most, in the last span.
    pub highest: usize,
    /// On average.
    pub average: f64,
    /// Standard deviation.
    pub deviation: f64,
    /// Rises at once and falls slowly.
    pub smoothed: f64,
}

impl Demand {
    /// Takes in what was seen in another span.
    pub fn update(&mut self, seen: Seen) {
        self.highest = seen.highest;
        let Some((average, deviation)) = seen.moments else { return };
        (self.average, self.deviation) = (average, deviation);
        let envelope = average + deviation;
        self.smoothed = envelope.max(SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * envelope);
    }
}

/// Seats that a level has by its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Its own.
    pub nominal: usize,
    /// Those it never lends.
    pub lower: usize,
    /// Its own and as many as it may borrow.
    pub upper: usize,
}

/// A level that asks for its part.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its configuration.
    pub limits: Limits,
    /// What it needed.
    pub demand: Demand,
    /// It has no limit, and is served first.
    pub exempt: bool,
}

impl Part {
    /// What it gets in any case, if there is enough for all.
    fn least(&self) -> usize {
        let highest = self.demand.highest;
        self.limits.lower.max(if self.exempt { highest } else { highest.min(self.limits.nominal) })
    }

    /// What it would like to have.
    pub fn target(&self) -> f64 {
        if self.exempt { self.least() as f64 } else { (self.least() as f64).max(self.demand.smoothed) }
    }
}

/// The seats of each level, in their order, and the part of its target that every level gets that hits no bound.
/// `present`: what they have now; it stays if the bounds contradict each other.
pub fn share_out(parts: &[Part], present: &[usize]) -> (Vec<usize>, f64) {
    let total: usize = parts.iter().map(|part| part.limits.nominal).sum();
    let limited = || parts.iter().filter(|part| !part.exempt);
    let exempt: usize = parts.iter().filter(|part| part.exempt).map(Part::least).sum();
    let left = total.saturating_sub(exempt);
    let lower: usize = limited().map(|part| part.limits.lower).sum();
    let least: usize = limited().map(Part::least).sum();
    let give = |seats: &dyn Fn(usize, &Part) -> usize| {
        parts.iter().enumerate().map(|(at, part)| if part.exempt { part.least() } else { seats(at, part) }).collect()
    };
    if left <= lower {
        return (give(&|_, part| part.limits.lower), 0.0);
    }
    if left <= least {
        let fraction = (left - lower) as f64 / (least - lower) as f64;
        let seats = |_, part: &Part| {
            part.limits.lower + ((part.least() - part.limits.lower) as f64 * fraction).round() as usize
        };
        return (give(&seats), 0.0);
    }
    let bounds: Vec<Bounds> = limited().map(Bounds::of).collect();
    match fair_fraction(total as f64, &bounds) {
        Some(fraction) => (give(&|_, part| Bounds::of(part).at(fraction).round() as usize), fraction),
        None => (give(&|at, _| present.get(at).copied().unwrap_or(0)), 0.0),
    }
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    lower: f64,
    upper: f64,
    target: f64,
}

impl Bounds {
    fn of(part: &Part) -> Self {
        let (lower, upper) = (part.least() as f64, part.limits.upper as f64);
        Self { lower, upper, target: part.target().max(LEAST_TARGET) }
    }

    fn at(&self, fraction: f64) -> f64 {
        (fraction * self.target).min(self.upper).max(self.lower)
    }
}

/// The fraction at which everybody's target times it, within the bounds, makes the sum; none if no fraction does.
/// The sum grows with the fraction in straight lines between the points where somebody reaches a bound.
fn fair_fraction(sum: f64, all: &[Bounds]) -> Option<f64> {
    let total = |fraction: f64| all.iter().map(|bounds| bounds.at(fraction)).sum::<f64>();
    let mut turns: Vec<f64> = all.iter().flat_map(|b| [b.lower / b.target, b.upper / b.target]).collect();
    turns.sort_by(f64::total_cmp);
    let (first, last) = (*turns.first()?, *turns.last()?);
    if total(first) > sum || total(last) < sum {
        return None;
    }
    let end = turns.partition_point(|turn| total(*turn) < sum).min(turns.len() - 1);
    let (from, to) = (turns[end.saturating_sub(1)], turns[end]);
    let (low, high) = (total(from), total(to));
    Some(if high > low { from + (to - from) * (sum - low) / (high - low) } else { to })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(nominal: usize, lower: usize, upper: usize, needed: usize) -> Part {
        let mut demand = Demand::default();
        demand.update(Seen { highest: needed, moments: Some((needed as f64, 0.0)) });
        Part { limits: Limits { nominal, lower, upper }, demand, exempt: false }
    }

    #[test]
    fn who_needs_more_gets_what_idle_levels_lend() {
        let parts = [part(10, 10, 30, 30), part(10, 5, 20, 0), part(10, 2, 30, 1)];
        let (seats, _) = share_out(&parts, &[10, 10, 10]);
        assert_eq!(seats.iter().sum::<usize>(), 30);
        assert_eq!(seats[1], 5, "no less than what it never lends: {seats:?}");
        assert!(seats[0] > 20, "{seats:?}");
    }

    #[test]
    fn parts_of_the_same_need_are_the_same() {
        let parts = [part(10, 5, 20, 8), part(10, 5, 20, 8)];
        let (seats, fraction) = share_out(&parts, &[10, 10]);
        assert_eq!(seats, [10, 10]);
        assert!((fraction - 1.25).abs() < 1e-9, "{fraction}");
    }

    #[test]
    fn what_exempt_levels_use_is_missing_elsewhere() {
        let busy = Part { exempt: true, ..part(0, 0, 0, 18) };
        let parts = [busy, part(10, 2, 20, 10), part(10, 4, 20, 10)];
        let (seats, fraction) = share_out(&parts, &[0, 10, 10]);
        assert_eq!((seats, fraction), (vec![18, 2, 4], 0.0));
        let half = Part { exempt: true, ..part(0, 0, 0, 10) };
        let (seats, _) = share_out(&[half, parts[1], parts[2]], &[0, 10, 10]);
        assert_eq!(seats, [10, 4, 6], "both get the same part of what they have lent");
    }

    #[test]
    fn the_fraction_is_found_between_the_bounds() {
        let bounds = |lower, upper, target| Bounds { lower, upper, target };
        let all = [bounds(1.0, 4.0, 2.0), bounds(0.0, 100.0, 10.0)];
        for sum in [1.0, 3.0, 17.0, 24.0, 90.0, 104.0] {
            let fraction = fair_fraction(sum, &all).unwrap();
            let total: f64 = all.iter().map(|b| b.at(fraction)).sum();
            assert!((total - sum).abs() < 1e-6, "{sum}: {fraction} makes {total}");
        }
        assert_eq!(fair_fraction(0.5, &all), None);
        assert_eq!(fair_fraction(105.0, &all), None);
    }
}
