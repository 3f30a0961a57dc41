//! A plugin that keeps failing is not called for a while (R-07, W16): its callers are refused at
//! once instead of each waiting for another deadline.
//!
//! After a number of faults in a row the breaker opens. When its pause is over one call is let
//! through; an answer closes it, a fault opens it for another pause. Only a guest's own faults
//! count: traps, deadlines, answers that break the contract. A host without a free slot and a
//! caller that left say nothing about the guest.

use serde::Serialize;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whether a plugin is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// It is called.
    Closed,
    /// It failed too often; one call tries it.
    HalfOpen,
    /// It failed too often and is not called until a pause is over.
    Open,
}

/// Faults of one plugin.
#[derive(Debug)]
pub(crate) struct Breaker {
    threshold: u32,
    pause: Duration,
    /// In a row. Zero is all that a healthy plugin's call reads.
    num_faults: AtomicU32,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    /// Until then nobody calls it; then one call does.
    Open {
        until: Instant,
    },
    /// One call is under way; should it never end, the next may try after a pause.
    HalfOpen {
        since: Instant,
    },
}

/// What a fault changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    Opened,
    Closed,
}

impl Breaker {
    pub(crate) fn new(threshold: u32, pause: Duration) -> Self {
        Self {
            threshold: threshold.max(1),
            pause,
            num_faults: AtomicU32::new(0),
            state: Mutex::new(State::Closed),
        }
    }

    /// Asks to call the plugin; an error says how long it will not be called.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Duration> {
        if self.num_faults.load(Ordering::Relaxed) < self.threshold {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let again = match *state {
            State::Closed => return Ok(()),
            State::Open { until } => until,
            State::HalfOpen { since } => since + self.pause,
        };
        if now < again {
            return Err(again - now);
        }
        *state = State::HalfOpen { since: now };
        Ok(())
    }

    /// Notes a call that ended with an answer.
    pub(crate) fn answered(&self) -> Change {
        if self.num_faults.load(Ordering::Relaxed) == 0 {
            return Change::Nothing;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.num_faults.store(0, Ordering::Relaxed);
        match std::mem::replace(&mut *state, State::Closed) {
            State::Closed => Change::Nothing,
            State::Open { .. } | State::HalfOpen { .. } => Change::Closed,
        }
    }

    /// Notes a call that ended with a fault of the guest.
    pub(crate) fn failed(&self, now: Instant) -> Change {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let num_faults = self.num_faults.load(Ordering::Relaxed).saturating_add(1);
        self.num_faults.store(num_faults, Ordering::Relaxed);
        if num_faults < self.threshold {
            return Change::Nothing;
        }
        let was_closed = matches!(*state, State::Closed);
        *state = State::Open {
            until: now + self.pause,
        };
        if was_closed {
            Change::Opened
        } else {
            Change::Nothing
        }
    }

    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match *self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Closed => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new(3, PAUSE);
        for change in [Change::Nothing, Change::Nothing, Change::Opened] {
            assert_eq!(breaker.admit(now), Ok(()));
            assert_eq!(breaker.failed(now), change);
        }
        breaker
    }

    #[test]
    fn faults_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let now = Instant::now();
        let breaker = Breaker::new(3, PAUSE);
        for _ in 0..10 {
            breaker.failed(now);
            breaker.failed(now);
            assert_eq!(breaker.answered(), Change::Nothing);
        }
        assert_eq!(breaker.state(now), BreakerState::Closed);
        let breaker = opened(now);
        assert_eq!(breaker.state(now), BreakerState::Open);
        assert_eq!(breaker.admit(now), Err(PAUSE));
    }

    #[test]
    fn after_the_pause_one_call_tries_it() {
        let start = Instant::now();
        let breaker = opened(start);
        let later = start + PAUSE;
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(later), Ok(()));
        assert_eq!(breaker.admit(later), Err(PAUSE), "a second one waits");
        assert_eq!(breaker.failed(later), Change::Nothing);
        assert_eq!(breaker.state(later), BreakerState::Open);
        let healed = later + PAUSE;
        assert_eq!(breaker.admit(healed), Ok(()));
        assert_eq!(breaker.answered(), Change::Closed);
        assert_eq!(breaker.state(healed), BreakerState::Closed);
        assert_eq!(breaker.admit(healed), Ok(()));
        assert_eq!(breaker.failed(healed), Change::Nothing, "it counts anew");
    }

    #[test]
    fn a_try_that_never_ends_does_not_keep_it_open_for_ever() {
        let start = Instant::now();
        let breaker = opened(start);
        assert_eq!(breaker.admit(start + PAUSE), Ok(()));
        assert_eq!(breaker.admit(start + 2 * PAUSE), Ok(()));
    }
}
