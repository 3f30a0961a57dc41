//! A pause between two reconciles of one owner: bursts of its Versions' events are answered by
//! few reconciles, and by the first at once. kube's debounce would wait for the burst to end.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The shortest time between two reconciles of one owner.
const PAUSE: Duration = Duration::from_millis(300);

/// When each owner was reconciled last. Bounded by the number of owners.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last: Mutex<HashMap<String, Instant>>,
}

impl Throttle {
    /// How long `key` has to wait at `now`; nothing when it may go, which is noted.
    pub(crate) fn wait(&self, key: &str, now: Instant) -> Option<Duration> {
        let mut last = self.last.lock();
        if let Some(before) = last.get(key) {
            let elapsed = now.saturating_duration_since(*before);
            if elapsed < PAUSE {
                return Some(PAUSE - elapsed);
            }
        }
        last.insert(key.to_owned(), now);
        None
    }

    /// Forgets an owner that is gone.
    pub(crate) fn forget(&self, key: &str) {
        self.last.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_goes_at_once_and_the_next_after_the_pause() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.wait("a", start), None);
        assert_eq!(
            throttle.wait("a", start + PAUSE / 3),
            Some(PAUSE - PAUSE / 3)
        );
        assert_eq!(throttle.wait("b", start + PAUSE / 3), None);
        assert_eq!(throttle.wait("a", start + PAUSE), None);
        throttle.forget("a");
        assert_eq!(throttle.wait("a", start + PAUSE), None);
    }
}
