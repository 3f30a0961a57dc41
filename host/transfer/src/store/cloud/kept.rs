//! What is fetched and ends: credentials, tokens, keys. Kept, and fetched anew before its end by one
//! caller, while the others use what there is.
//!
//! What bounds it: a fetch takes [`FETCH_WITHIN`], so that a download that needs it is refused in time.
//! What may surprise: while no new one can be had, the old one is used to its very end.

use http::StatusCode;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use url::Url;

/// How long before its end something is replaced, when it lives long enough.
const BEFORE_END: Duration = Duration::from_secs(300);
/// A fetch that takes longer has failed.
const FETCH_WITHIN: Duration = Duration::from_secs(4);
/// How long nothing is tried after a replacement failed, when it lives long enough.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Something that ends.
pub(super) struct Ending<T> {
    pub(super) value: T,
    pub(super) ends_at: SystemTime,
}

/// Keeps one at a time.
pub(super) struct Kept<T> {
    state: Mutex<State<T>>,
    /// Held by who fetches.
    turn: tokio::sync::Mutex<()>,
}

struct State<T> {
    current: Option<Current<T>>,
    tried_at: Option<Instant>,
    failed_at: Option<Instant>,
}

struct Current<T> {
    ending: Arc<Ending<T>>,
    /// Of its whole life, as it was when it came.
    life: Duration,
    fetched_at: Instant,
}

enum Choice<T> {
    /// Good, for long enough.
    Good(Arc<Ending<T>>),
    /// Good, and to be replaced.
    Due(Arc<Ending<T>>),
    Nothing,
}

/// Why there is nothing: a fetch failed, or another caller's just did.
#[derive(Debug, thiserror::Error)]
#[error("no credential can be had")]
struct Nothing;

impl<T> Ending<T> {
    pub(super) fn remaining(&self) -> Duration {
        let remaining = self.ends_at.duration_since(SystemTime::now());
        remaining.unwrap_or_default()
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                current: None,
                tried_at: None,
                failed_at: None,
            }),
            turn: tokio::sync::Mutex::default(),
        }
    }
}

impl<T> Kept<T> {
    /// What is kept, or what `fetch` gives when that ends soon: in less than five minutes, or than it
    /// is `needed` for, but never in its first half.
    ///
    /// # Errors
    /// Any, when nothing good is kept and nothing new can be had.
    pub(super) async fn get(
        &self,
        needed: Duration,
        fetch: impl Future<Output = object_store::Result<Ending<T>>>,
    ) -> object_store::Result<Arc<Ending<T>>> {
        let came_at = Instant::now();
        let _turn = match self.choose(needed) {
            Choice::Good(kept) => return Ok(kept),
            Choice::Due(kept) => match self.turn.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(kept),
            },
            Choice::Nothing => self.turn.lock().await,
        };
        // Whoever had the turn before may have done it, or failed for all who waited.
        if let Choice::Good(kept) = self.choose(needed) {
            return Ok(kept);
        }
        if self.state.lock().failed_at.is_some_and(|at| at >= came_at) {
            return Err(nothing());
        }
        self.state.lock().tried_at = Some(Instant::now());
        match tokio::time::timeout(FETCH_WITHIN, fetch).await {
            Ok(Ok(ending)) if !ending.remaining().is_zero() => Ok(self.keep(ending)),
            failed => match self.choose(needed) {
                Choice::Good(kept) | Choice::Due(kept) => {
                    tracing::warn!("cannot replace a credential before its end; it is used on");
                    Ok(kept)
                }
                Choice::Nothing => {
                    self.state.lock().failed_at = Some(Instant::now());
                    match failed {
                        Ok(Err(error)) => Err(error),
                        Ok(Ok(_)) | Err(_) => Err(nothing()),
                    }
                }
            },
        }
    }

    /// Drops what was fetched before that moment: it was refused.
    pub(super) fn forget(&self, before: Instant) {
        let mut state = self.state.lock();
        if state
            .current
            .as_ref()
            .is_some_and(|current| current.fetched_at <= before)
        {
            state.current = None;
        }
    }

    fn keep(&self, ending: Ending<T>) -> Arc<Ending<T>> {
        let (life, ending) = (ending.remaining(), Arc::new(ending));
        let mut state = self.state.lock();
        state.failed_at = None;
        state.current = Some(Current {
            ending: Arc::clone(&ending),
            life,
            fetched_at: Instant::now(),
        });
        ending
    }

    fn choose(&self, needed: Duration) -> Choice<T> {
        let state = self.state.lock();
        let Some(current) = &state.current else {
            return Choice::Nothing;
        };
        let (kept, remaining) = (&current.ending, current.ending.remaining());
        if remaining.is_zero() {
            return Choice::Nothing;
        }
        let is_due = remaining <= BEFORE_END.max(needed).min(current.life / 2);
        let pause = TRY_AGAIN_AFTER.min(current.life / 30);
        let is_tried = state.tried_at.is_some_and(|at| at.elapsed() < pause);
        if is_due && !is_tried {
            Choice::Due(Arc::clone(kept))
        } else {
            Choice::Good(Arc::clone(kept))
        }
    }
}

/// Tells the operator who gives no credential: the store's own failure does not say.
pub(super) fn refused(by: &Url, status: StatusCode) {
    let (host, status) = (by.host_str().unwrap_or_default(), status.as_u16());
    tracing::warn!(
        http.host = host,
        http.status = status,
        "a credential cannot be had: `{host}` answered {status}"
    );
}

fn nothing() -> object_store::Error {
    object_store::Error::Generic {
        store: "credential",
        source: Box::new(Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Something that is good for so many milliseconds.
    fn ending(value: u32, millis: u64) -> object_store::Result<Ending<u32>> {
        Ok(Ending {
            value,
            ends_at: SystemTime::now() + Duration::from_millis(millis),
        })
    }

    /// Asks, where a fetch gives that, and says what came.
    async fn ask(kept: &Kept<u32>, answer: object_store::Result<Ending<u32>>) -> Option<u32> {
        let got = kept.get(Duration::ZERO, async { answer }).await;
        got.ok().map(|ending| ending.value)
    }

    #[tokio::test]
    async fn what_lives_long_is_fetched_once() {
        let kept = Kept::default();
        for n in 0..3 {
            assert_eq!(ask(&kept, ending(n, 3_600_000)).await, Some(0));
        }
        let hour = Duration::from_secs(3_600);
        let longer = kept.get(hour / 2, async { ending(9, 7_200_000) }).await;
        assert_eq!(longer.unwrap().value, 0, "a new one was asked for just now");
        kept.state.lock().tried_at = None;
        let longer = kept.get(hour, async { ending(9, 7_200_000) }).await;
        assert_eq!(longer.unwrap().value, 0, "not in its first half");
    }

    #[tokio::test]
    async fn what_is_due_is_replaced_or_used_to_its_end() {
        let kept = Kept::default();
        assert_eq!(ask(&kept, ending(1, 300)).await, Some(1));
        tokio::time::sleep(Duration::from_millis(180)).await;
        assert_eq!(ask(&kept, Err(nothing())).await, Some(1));
        tokio::time::sleep(Duration::from_millis(15)).await;
        assert_eq!(ask(&kept, ending(2, 60_000)).await, Some(2));
        let kept = Kept::default();
        assert_eq!(ask(&kept, ending(1, 100)).await, Some(1));
        tokio::time::sleep(Duration::from_millis(110)).await;
        assert_eq!(ask(&kept, Err(nothing())).await, None);
        assert_eq!(ask(&kept, ending(3, 0)).await, None, "it has ended");
        assert_eq!(ask(&kept, ending(4, 60_000)).await, Some(4));
    }

    #[tokio::test]
    async fn one_fetches_for_all_who_wait() {
        let (kept, num_fetches) = (Kept::default(), Cell::new(0));
        for (round, is_good) in [(1, false), (2, true)] {
            let asked = (0..20).map(|_| {
                kept.get(Duration::ZERO, async {
                    num_fetches.set(num_fetches.get() + 1);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    is_good.then_some(()).ok_or_else(nothing)?;
                    ending(7, 60_000)
                })
            });
            let all = futures::future::join_all(asked).await;
            assert!(all.iter().all(|got| got.is_ok() == is_good), "{round}");
            assert_eq!(num_fetches.get(), round);
        }
    }

    #[tokio::test]
    async fn nobody_waits_while_what_is_due_is_replaced() {
        let kept = Kept::default();
        assert_eq!(ask(&kept, ending(1, 1_000)).await, Some(1));
        tokio::time::sleep(Duration::from_millis(550)).await;
        let slow = kept.get(Duration::ZERO, async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            ending(2, 60_000)
        });
        let (slow, meanwhile) = tokio::join!(slow, ask(&kept, Err(nothing())));
        assert_eq!((slow.unwrap().value, meanwhile), (2, Some(1)));
    }

    #[tokio::test]
    async fn what_was_refused_is_dropped_and_nothing_newer() {
        let kept = Kept::default();
        let before = Instant::now();
        assert_eq!(ask(&kept, ending(1, 60_000)).await, Some(1));
        kept.forget(before);
        assert_eq!(ask(&kept, ending(2, 60_000)).await, Some(1));
        kept.forget(Instant::now());
        assert_eq!(ask(&kept, ending(3, 60_000)).await, Some(3));
    }
}
