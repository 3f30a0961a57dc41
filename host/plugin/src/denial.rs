//! What is refused to plugins: every refusal is counted, and one a minute of each kind is logged, so
//! that a plugin which asks in a loop fills no disk.
//!
//! Bounds: one slot for each kind a plugin.

use crate::call::Identity;
use crate::metric;
use parking_lot::Mutex;
use std::fmt;
use std::time::{Duration, Instant};

/// Between two log lines of one plugin and kind.
const QUIET: Duration = Duration::from_secs(60);

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// A plan outside the grants or the contract.
    Plan,
    /// A request.
    HttpSend,
    /// A secret.
    SecretsOpen,
}

impl Denial {
    const ALL: [Self; 3] = [Self::Plan, Self::HttpSend, Self::SecretsOpen];

    /// The metric label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::HttpSend => "http.send",
            Self::SecretsOpen => "secrets.open",
        }
    }
}

/// When each kind was last logged, and how many were not since.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<[Slot; Denial::ALL.len()]>);

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    logged_at: Option<Instant>,
    num_silent: u64,
}

impl Denials {
    /// Whether this refusal is to be logged, with how many were not since the last line.
    fn note(&self, denial: Denial, now: Instant) -> Option<u64> {
        let mut slots = self.0.lock();
        let position = Denial::ALL.iter().position(|other| *other == denial)?;
        let slot = slots.get_mut(position)?;
        let is_quiet = slot
            .logged_at
            .is_some_and(|at| now.saturating_duration_since(at) < QUIET);
        if is_quiet {
            slot.num_silent += 1;
            return None;
        }
        slot.logged_at = Some(now);
        Some(std::mem::take(&mut slot.num_silent))
    }
}

impl Identity {
    /// Counts a refusal, and logs it unless one of its kind was within the last minute.
    pub(crate) fn deny(&self, denial: Denial, reason: &dyn fmt::Display) {
        metric::denied(&self.name, denial.label());
        let Some(num_silent) = self.denials.note(denial, Instant::now()) else {
            return;
        };
        tracing::warn!(
            plugin.name = &*self.name,
            plugin.digest = self.digest.as_str(),
            plugin.num_unlogged = num_silent,
            "refused `{}` to plugin `{}`: {reason}",
            denial.label(),
            self.name
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_and_kind_and_the_rest_is_counted() {
        let denials = Denials::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(denials.note(Denial::Plan, at(0)), Some(0));
        for second in 0..60 {
            assert_eq!(denials.note(Denial::Plan, at(second)), None, "{second}");
        }
        assert_eq!(
            denials.note(Denial::HttpSend, at(1)),
            Some(0),
            "another kind"
        );
        assert_eq!(denials.note(Denial::Plan, at(60)), Some(60));
        assert_eq!(denials.note(Denial::Plan, at(119)), None);
        assert_eq!(denials.note(Denial::Plan, at(1000)), Some(1));
        assert_eq!(denials.note(Denial::SecretsOpen, start), Some(0));
    }
}
