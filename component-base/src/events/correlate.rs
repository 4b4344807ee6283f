//! Pure: which events are repeats, which are merged, which are too many. Upstream: client-go/tools/record/events_cache.go.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::Record;

const CACHE_MAX: usize = 4096;
const AGGREGATE_AFTER: usize = 10;
const AGGREGATE_SECONDS: i64 = 600;
const SPAM_BURST: f64 = 25.0;
const SPAM_PER_SECOND: f64 = 1.0 / 300.0;
const COMBINED_PREFIX: &str = "(combined from similar events): ";

/// An event that the API holds already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) count: i32,
    pub(super) first: Timestamp,
}

/// What to do with a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Too many of these.
    Drop,
    /// New, or a repeat of `known`; `key` is for [`Correlator::sent`].
    Send { key: String, message: String, known: Option<Known> },
}

struct Similar {
    messages: BTreeSet<String>,
    last: Timestamp,
}

struct Tokens {
    left: f64,
    last: Timestamp,
}

/// Memory of the last events, bounded.
#[derive(Default)]
pub(super) struct Correlator {
    similar: HashMap<String, Similar>,
    spam: HashMap<String, Tokens>,
    known: HashMap<String, (Known, Timestamp)>,
}

impl Correlator {
    pub(super) fn judge(&mut self, record: &Record, now: Timestamp) -> Verdict {
        let object = object_key(record);
        let similar_key = format!("{object}\u{0}{}", record.reason);
        let aggregate = self.note_similar(&similar_key, &record.message, now);
        let (key, message) = if aggregate {
            (similar_key, format!("{COMBINED_PREFIX}{}", record.message))
        } else {
            (format!("{object}\u{0}{}\u{0}{}", record.reason, record.message), record.message.clone())
        };
        if !self.take_token(&object, now) {
            return Verdict::Drop;
        }
        let known = self.known.get(&key).map(|(known, _)| known.clone());
        Verdict::Send { key, message, known }
    }

    /// Notes what the API holds after a successful write.
    pub(super) fn sent(&mut self, key: String, known: Known, now: Timestamp) {
        make_room(&mut self.known, |(_, last)| *last);
        self.known.insert(key, (known, now));
    }

    /// The event is gone from the API.
    pub(super) fn forget(&mut self, key: &str) {
        self.known.remove(key);
    }

    fn note_similar(&mut self, key: &str, message: &str, now: Timestamp) -> bool {
        make_room(&mut self.similar, |similar| similar.last);
        let similar =
            self.similar.entry(key.to_owned()).or_insert_with(|| Similar { messages: BTreeSet::new(), last: now });
        if now.as_second() - similar.last.as_second() > AGGREGATE_SECONDS {
            similar.messages.clear();
        }
        similar.last = now;
        similar.messages.insert(message.to_owned());
        if similar.messages.len() < AGGREGATE_AFTER {
            return false;
        }
        similar.messages.pop_first();
        true
    }

    fn take_token(&mut self, key: &str, now: Timestamp) -> bool {
        make_room(&mut self.spam, |tokens| tokens.last);
        let tokens = self.spam.entry(key.to_owned()).or_insert(Tokens { left: SPAM_BURST, last: now });
        let passed = crate::clock::since(now, tokens.last).as_secs_f64();
        tokens.left = (tokens.left + passed * SPAM_PER_SECOND).min(SPAM_BURST);
        tokens.last = now;
        if tokens.left < 1.0 {
            return false;
        }
        tokens.left -= 1.0;
        true
    }
}

fn object_key(record: &Record) -> String {
    let object = &record.regarding;
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        part(&object.kind),
        part(&object.namespace),
        part(&object.name),
        part(&object.field_path),
        part(&object.uid),
        part(&object.api_version),
        record.event_type.as_str().to_owned(),
    ]
    .join("\u{0}")
}

fn make_room<V>(map: &mut HashMap<String, V>, last: impl Fn(&V) -> Timestamp) {
    if map.len() < CACHE_MAX {
        return;
    }
    if let Some(oldest) = map.iter().min_by_key(|(_, value)| last(value)).map(|(key, _)| key.clone()) {
        map.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::super::EventType;
    use super::*;

    fn record(message: &str) -> Record {
        Record {
            regarding: Default::default(),
            related: None,
            event_type: EventType::Normal,
            reason: "Reason".into(),
            action: String::new(),
            message: message.into(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    #[test]
    fn repeats_are_counted_similar_ones_combined_and_spam_dropped() {
        let mut correlator = Correlator::default();
        let Verdict::Send { key, known, .. } = correlator.judge(&record("a"), at(0)) else { panic!("dropped") };
        assert_eq!(known, None);
        let written = Known { name: "x".into(), count: 1, first: at(0) };
        correlator.sent(key, written.clone(), at(0));
        let Verdict::Send { known, .. } = correlator.judge(&record("a"), at(1)) else { panic!("dropped") };
        assert_eq!(known, Some(written));
        let mut combined = 0;
        for number in 0..12 {
            if let Verdict::Send { message, .. } = correlator.judge(&record(&format!("m{number}")), at(2)) {
                combined += usize::from(message.starts_with(COMBINED_PREFIX));
            }
        }
        assert_eq!(combined, 4);
        let dropped = (0..20).filter(|_| correlator.judge(&record("a"), at(3)) == Verdict::Drop).count();
        assert_eq!(dropped, 9);
    }
}
