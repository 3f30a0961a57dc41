//! Which calls may begin on a thread that serves requests.
//!
//! A call that is quick is over sooner than a change of thread takes. One that is not gives way after
//! its first slice; were each of a plugin's calls like that, their first slices alone would take the
//! threads from everybody. So after a slow call the plugin's next ones begin on the slow lane, until
//! one in a while, tried on a serving thread, is quick again. A plugin that let a deadline pass has
//! its calls run when nothing else does, for some time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two tries of a plugin that was slow.
const PAUSE: Duration = Duration::from_secs(1);
/// After a deadline that passed.
const LAST_FOR: Duration = Duration::from_secs(10);

/// Where a call begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Here.
    Quick,
    /// Here, to see whether the plugin is quick again.
    Trial,
    /// Where only other slow calls wait.
    Slow,
    /// Where nothing waits that matters.
    Last,
}

/// How quick one plugin is.
#[derive(Debug)]
pub(crate) struct Pace {
    started: Instant,
    /// Milliseconds after the start of the next trial; 0 while the plugin is quick.
    trial_at: AtomicU64,
    /// Milliseconds after the start until which calls run last.
    last_until: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            trial_at: AtomicU64::new(0),
            last_until: AtomicU64::new(0),
        }
    }
}

impl Pace {
    /// Where a call that begins now is to begin.
    pub(crate) fn lane(&self, now: Instant) -> Lane {
        let trial_at = self.trial_at.load(Ordering::Relaxed);
        if trial_at == 0 {
            return Lane::Quick;
        }
        let millis = self.millis(now);
        if millis < self.last_until.load(Ordering::Relaxed) {
            return Lane::Last;
        }
        if millis < trial_at {
            return Lane::Slow;
        }
        // One of all that see the pause end.
        let next = self.millis(now + PAUSE);
        let is_ours =
            self.trial_at
                .compare_exchange(trial_at, next, Ordering::Relaxed, Ordering::Relaxed);
        match is_ours {
            Ok(_) => Lane::Trial,
            Err(_) => Lane::Slow,
        }
    }

    /// A call that began here took more than its first slice.
    pub(crate) fn was_slow(&self, now: Instant) {
        let next = self.millis(now + PAUSE);
        self.trial_at.store(next, Ordering::Relaxed);
    }

    /// A call let its deadline pass.
    pub(crate) fn ran_out(&self, now: Instant) {
        let until = self.millis(now + LAST_FOR);
        self.last_until.store(until, Ordering::Relaxed);
    }

    /// A trial was over within its first slice.
    pub(crate) fn is_quick_again(&self) {
        self.trial_at.store(0, Ordering::Relaxed);
    }

    /// Never 0, which has a meaning.
    fn millis(&self, at: Instant) -> u64 {
        let millis = at.saturating_duration_since(self.started).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_plugin_is_tried_once_in_a_while() {
        let pace = Pace::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(pace.lane(at(0)), Lane::Quick);
        pace.was_slow(at(10));
        assert_eq!(pace.lane(at(10)), Lane::Slow);
        assert_eq!(pace.lane(at(900)), Lane::Slow);
        assert_eq!(pace.lane(at(1_100)), Lane::Trial);
        assert_eq!(pace.lane(at(1_100)), Lane::Slow, "others wait for it");
        // A trial that was slow, or never ended, is followed by another pause.
        assert_eq!(pace.lane(at(2_000)), Lane::Slow);
        assert_eq!(pace.lane(at(2_200)), Lane::Trial);
        pace.is_quick_again();
        assert_eq!(pace.lane(at(2_200)), Lane::Quick);
    }

    #[test]
    fn a_plugin_that_let_a_deadline_pass_runs_last_for_a_while() {
        let pace = Pace::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        pace.was_slow(at(10));
        pace.ran_out(at(60));
        assert_eq!(pace.lane(at(60)), Lane::Last);
        assert_eq!(pace.lane(at(5_000)), Lane::Last, "no trial meanwhile");
        pace.ran_out(at(5_000));
        assert_eq!(pace.lane(at(14_000)), Lane::Last);
        assert_eq!(pace.lane(at(15_100)), Lane::Trial);
        pace.is_quick_again();
        assert_eq!(pace.lane(at(15_100)), Lane::Quick);
    }
}
