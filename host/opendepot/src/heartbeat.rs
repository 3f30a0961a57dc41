//! Whether event loops turn: what `/livez` asks (reliability.md 10.4).
//!
//! Each loop runs a task that notes the time once a second. A loop that a handler blocks, or
//! whose thread is gone, stops noting it, and only a restart cures that.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);
const LOST_AFTER: Duration = Duration::from_secs(5);

/// The loops of this process.
pub(crate) struct Heartbeats {
    started: Instant,
    loops: Vec<(&'static str, Arc<AtomicU64>)>,
}

impl Heartbeats {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            loops: Vec::new(),
        }
    }

    /// The task of one more loop, to be run on it. It never ends by itself.
    pub(crate) fn of(&mut self, name: &'static str) -> impl Future<Output = ()> + Send + 'static {
        let beat = Arc::new(AtomicU64::new(millis(self.started.elapsed())));
        self.loops.push((name, Arc::clone(&beat)));
        let started = self.started;
        async move {
            loop {
                beat.store(millis(started.elapsed()), Ordering::Relaxed);
                tokio::time::sleep(EVERY).await;
            }
        }
    }

    /// Each loop, and since when it has not turned if that is too long.
    pub(crate) fn stopped(&self) -> impl Iterator<Item = (&'static str, Option<Duration>)> {
        let now = self.started.elapsed();
        self.loops.iter().map(move |(name, beat)| {
            let since = now.saturating_sub(Duration::from_millis(beat.load(Ordering::Relaxed)));
            (*name, (since > LOST_AFTER).then_some(since))
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_does_not_turn_is_named() {
        let mut heartbeats = Heartbeats::new();
        let turning = heartbeats.of("turning");
        let _stuck = heartbeats.of("stuck");
        // As if ten seconds had passed, in which one loop turned.
        heartbeats.started = heartbeats.started.checked_sub(2 * LOST_AFTER).unwrap();
        let beat = Arc::clone(&heartbeats.loops[0].1);
        beat.store(millis(heartbeats.started.elapsed()), Ordering::Relaxed);
        let stopped: Vec<_> = heartbeats.stopped().collect();
        assert_eq!(stopped[0], ("turning", None));
        assert!(stopped[1].0 == "stuck" && stopped[1].1.unwrap() > LOST_AFTER);

        beat.store(u64::MAX, Ordering::Relaxed);
        tokio::select! {
            biased;
            () = turning => unreachable!("it never ends"),
            () = std::future::ready(()) => {}
        }
        assert_ne!(beat.load(Ordering::Relaxed), u64::MAX, "it noted the time");
    }
}
