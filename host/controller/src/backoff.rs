//! How long a failing object waits.

use opendepot_domain::Kind;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::time::Duration;

/// The longest wait between attempts.
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row, by object. Bounded by the number of objects that fail.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
    random: RandomState,
}

impl Backoff {
    /// The object's reconcile went well.
    pub(crate) fn succeeded(&self, key: &str) {
        self.failures.lock().remove(key);
    }

    /// The wait after a failure of this kind: doubled each time, with jitter (T55); what only a
    /// change of the input can help waits longest at once.
    pub(crate) fn failed(&self, key: &str, kind: Kind, retry_after: Option<u64>) -> Duration {
        let count = {
            let mut failures = self.failures.lock();
            let count = failures.entry(key.to_owned()).or_insert(0);
            // Being told to come back is no failure of the object.
            if !matches!(kind, Kind::Busy | Kind::Conflict) {
                *count = count.saturating_add(1);
            }
            *count
        };
        let base = match kind.requeue_after_seconds() {
            None => LONGEST,
            Some(seconds) => {
                Duration::from_secs(seconds).saturating_mul(1 << count.saturating_sub(1).min(8)).min(LONGEST)
            }
        };
        let asked = Duration::from_secs(retry_after.unwrap_or(0));
        base.max(asked) + self.jitter(key, count, base)
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
    fn an_upstream_that_asks_for_patience_gets_it() {
        let wait = Backoff::default().failed("a", Kind::Busy, Some(90));
        assert!(wait >= Duration::from_secs(90));
    }
}
