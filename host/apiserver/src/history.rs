//! The recent writes, for watches.
//!
//! One ring for all kinds, bounded by count and by bytes. A watch is a position in it: there is no
//! queue per watch, so a slow one costs nothing and is told 410 once the ring has moved on.

use crate::selector::{Facts, Selector};
use crate::store::Key;
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// The ring keeps at most this many bytes of objects.
const MAX_BYTES: usize = 32 << 20;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

/// One write.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) revision: u64,
    pub(crate) change: Change,
    pub(crate) key: Key,
    /// The object after the write; the last state, with the new revision, when it was deleted.
    pub(crate) object: Bytes,
    /// What selectors saw before the write.
    pub(crate) old: Option<Arc<Facts>>,
    /// What selectors see after it.
    pub(crate) new: Arc<Facts>,
}

impl Event {
    /// The change as a watch with this selector sees it; `None` when it does not.
    pub(crate) fn seen_through(&self, selector: &Selector) -> Option<Change> {
        if selector.is_empty() {
            return Some(self.change);
        }
        let (_, namespace, name) = self.key.parts();
        let before = self
            .old
            .as_ref()
            .is_some_and(|facts| selector.matches(namespace, name, facts));
        let after = selector.matches(namespace, name, &self.new);
        match (self.change, before, after) {
            (Change::Deleted, true, _) => Some(Change::Deleted),
            (Change::Deleted, false, _) | (_, false, false) => None,
            (_, false, true) => Some(Change::Added),
            (_, true, true) => Some(Change::Modified),
            (_, true, false) => Some(Change::Deleted),
        }
    }
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Every write after this revision is in the ring.
    floor: u64,
}

/// The bounded ring, and a signal for each publication.
#[derive(Debug)]
pub(crate) struct History {
    ring: RwLock<Ring>,
    capacity: usize,
    latest: watch::Sender<u64>,
}

/// The ring no longer holds what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooOld {
    pub(crate) oldest: u64,
}

impl History {
    pub(crate) fn new(capacity: usize, revision: u64) -> Self {
        Self {
            ring: RwLock::new(Ring {
                events: VecDeque::new(),
                bytes: 0,
                floor: revision,
            }),
            capacity: capacity.max(1),
            latest: watch::Sender::new(revision),
        }
    }

    /// A receiver that changes with every publication.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// Appends committed writes, in order, and wakes the watches.
    pub(crate) fn publish(&self, events: Vec<Event>) {
        let Some(last) = events.last().map(|event| event.revision) else {
            return;
        };
        let mut ring = self.ring.write();
        for event in events {
            ring.bytes += event.object.len();
            ring.events.push_back(Arc::new(event));
        }
        while ring.events.len() > self.capacity || ring.bytes > MAX_BYTES {
            let Some(event) = ring.events.pop_front() else {
                break;
            };
            ring.bytes = ring.bytes.saturating_sub(event.object.len());
            ring.floor = event.revision;
        }
        drop(ring);
        self.latest.send_replace(last);
    }

    /// Goes on from what the file was found at when it was opened again. When that is more than was
    /// published, a commit that seemed to fail had happened: watches list anew.
    pub(crate) fn resume(&self, revision: u64) {
        if *self.latest.borrow() == revision {
            return;
        }
        let mut ring = self.ring.write();
        ring.events.clear();
        ring.bytes = 0;
        ring.floor = revision;
        drop(ring);
        self.latest.send_replace(revision);
    }

    /// At most `max` writes below `prefix` after `after`, and the position to go on from.
    pub(crate) fn since(
        &self,
        after: u64,
        prefix: &str,
        max: usize,
    ) -> Result<(Vec<Arc<Event>>, u64), TooOld> {
        let ring = self.ring.read();
        if after < ring.floor {
            return Err(TooOld { oldest: ring.floor });
        }
        let start = ring.events.partition_point(|event| event.revision <= after);
        let mut found = Vec::new();
        let mut position = after;
        for event in ring.events.iter().skip(start) {
            if event.key.has_prefix(prefix) {
                if found.len() >= max {
                    break;
                }
                found.push(Arc::clone(event));
            }
            position = event.revision;
        }
        Ok((found, position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: u64, key: &str) -> Event {
        Event {
            revision,
            change: Change::Added,
            key: Key::from_stored(key),
            object: Bytes::from_static(b"{}"),
            old: None,
            new: Arc::default(),
        }
    }

    #[test]
    fn a_position_sees_each_later_event_once() {
        let history = History::new(10, 5);
        history.publish(vec![
            event(6, "a\0n\0x"),
            event(7, "b\0n\0x"),
            event(8, "a\0n\0y"),
        ]);
        let (first, position) = history.since(5, "a\0", 1).unwrap();
        assert_eq!(first.len(), 1);
        // The event of another kind is passed over without being seen.
        assert_eq!(position, 7);
        let (second, position) = history.since(position, "a\0", 10).unwrap();
        assert_eq!(second.iter().map(|e| e.revision).collect::<Vec<_>>(), [8]);
        assert_eq!(history.since(position, "a\0", 10).unwrap().0.len(), 0);
    }

    #[test]
    fn what_fell_off_is_too_old() {
        let history = History::new(2, 0);
        history.publish((1..=5).map(|n| event(n, "a\0n\0x")).collect());
        assert_eq!(
            history.since(2, "a\0", 10).unwrap_err(),
            TooOld { oldest: 3 }
        );
        assert_eq!(history.since(3, "a\0", 10).unwrap().0.len(), 2);
    }

    #[test]
    fn a_write_that_was_not_published_makes_watches_list_anew() {
        let history = History::new(10, 5);
        history.publish(vec![event(6, "a\0n\0x")]);
        history.resume(6);
        assert_eq!(history.since(5, "a\0", 10).unwrap().0.len(), 1);
        let latest = history.subscribe();
        history.resume(7);
        assert_eq!(*latest.borrow(), 7);
        assert_eq!(
            history.since(6, "a\0", 10).unwrap_err(),
            TooOld { oldest: 7 }
        );
        assert_eq!(history.since(7, "a\0", 10).unwrap().0.len(), 0);
    }

    #[test]
    fn a_selector_turns_changes_into_arrivals_and_departures() {
        let selector = Selector::parse(&crate::builtin::namespace(), Some("a=b"), None).unwrap();
        let with = Arc::new(Facts {
            labels: [("a".to_owned(), "b".to_owned())].into(),
            fields: Vec::new(),
        });
        let without = Arc::new(Facts::default());
        for (change, old, new, expected) in [
            (Change::Added, None, &with, Some(Change::Added)),
            (Change::Added, None, &without, None),
            (Change::Modified, Some(&without), &with, Some(Change::Added)),
            (Change::Modified, Some(&with), &with, Some(Change::Modified)),
            (
                Change::Modified,
                Some(&with),
                &without,
                Some(Change::Deleted),
            ),
            (Change::Modified, Some(&without), &without, None),
            (Change::Deleted, Some(&with), &with, Some(Change::Deleted)),
            (Change::Deleted, Some(&without), &without, None),
        ] {
            let mut event = event(1, "a\0n\0x");
            event.change = change;
            event.old = old.map(Arc::clone);
            event.new = Arc::clone(new);
            assert_eq!(event.seen_through(&selector), expected, "{change:?}");
        }
    }
}
