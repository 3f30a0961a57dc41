//! How long a failing object waits.

use opendepot_domain::Kind;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::time::{Duration, Instant};

/// The longest wait between attempts.
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row, by object. Bounded by the number of objects that fail.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: Mutex<HashMap<String, Failure>>,
    random: RandomState,
}

/// What is remembered of a failing object.
#[derive(Debug, Default)]
struct Failure {
    count: u32,
    /// Not before then, unless the object itself changes.
    until: Option<Instant>,
    /// What was tried.
    fingerprint: u64,
}

impl Backoff {
    /// How long an unchanged object still has to wait. Its own failed status comes back as an
    /// event, and must not start the next attempt.
    pub(crate) fn remaining(&self, key: &str, fingerprint: u64, now: Instant) -> Option<Duration> {
        let failures = self.failures.lock();
        let failure = failures
            .get(key)
            .filter(|failure| failure.fingerprint == fingerprint)?;
        failure
            .until?
            .checked_duration_since(now)
            .filter(|left| !left.is_zero())
    }

    /// Notes what was tried in vain; a changed object starts counting anew.
    pub(crate) fn note(&self, key: &str, fingerprint: u64) {
        let mut failures = self.failures.lock();
        let failure = failures.entry(key.to_owned()).or_default();
        if failure.fingerprint != fingerprint {
            *failure = Failure {
                fingerprint,
                ..Failure::default()
            };
        }
    }

    /// The object's reconcile went well.
    pub(crate) fn succeeded(&self, key: &str) {
        self.failures.lock().remove(key);
    }

    /// The wait after a failure of this kind: doubled each time, with jitter (T55); what only a
    /// change of the input can help waits longest at once.
    pub(crate) fn failed(&self, key: &str, kind: Kind, retry_after: Option<u64>) -> Duration {
        let mut failures = self.failures.lock();
        let failure = failures.entry(key.to_owned()).or_default();
        // Being told to come back is no failure of the object.
        if !matches!(kind, Kind::Busy | Kind::Conflict) {
            failure.count = failure.count.saturating_add(1);
        }
        let count = failure.count;
        let base = match kind.requeue_after_seconds() {
            None => LONGEST,
            Some(seconds) => Duration::from_secs(seconds)
                .saturating_mul(1 << count.saturating_sub(1).min(8))
                .min(LONGEST),
        };
        let asked = Duration::from_secs(retry_after.unwrap_or(0));
        let wait = base.max(asked) + self.jitter(key, count, base);
        if !matches!(kind, Kind::Busy | Kind::Conflict) {
            failure.until = Instant::now().checked_add(wait);
        }
        wait
    }

    /// Up to a quarter on top.
    fn jitter(&self, key: &str, count: u32, base: Duration) -> Duration {
        let hash = self.random.hash_one((key, count, Entropy::now()));
        base.mul_f64((hash % 1_000) as f64 / 4_000.0)
    }
}

/// A changing input for the jitter's hash.
#[derive(Hash)]
struct Entropy(u128);

impl Entropy {
    fn now() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(now.map_or(0, |elapsed| elapsed.as_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_capped_and_forgotten() {
        let backoff = Backoff::default();
        let first = backoff.failed("a", Kind::Unavailable, None);
        assert!(first >= Duration::from_secs(5) && first < Duration::from_secs(7));
        let mut last = first;
        for _ in 0..20 {
            last = backoff.failed("a", Kind::Unavailable, None);
        }
        assert!(last >= LONGEST && last <= LONGEST.mul_f64(1.25));
        backoff.succeeded("a");
        assert!(backoff.failed("a", Kind::Unavailable, None) < Duration::from_secs(7));
    }

    #[test]
    fn an_unchanged_object_waits_and_a_changed_one_does_not() {
        let (backoff, now) = (Backoff::default(), Instant::now());
        assert_eq!(backoff.remaining("a", 1, now), None);
        backoff.note("a", 1);
        backoff.failed("a", Kind::Unavailable, None);
        assert!(backoff.remaining("a", 1, now).is_some());
        assert_eq!(backoff.remaining("a", 2, now), None);
        assert_eq!(backoff.remaining("a", 1, now + LONGEST * 2), None);
    }

    #[test]
    fn an_upstream_that_asks_for_patience_gets_it() {
        let wait = Backoff::default().failed("a", Kind::Busy, Some(90));
        assert!(wait >= Duration::from_secs(90));
    }
}
