//! Waiting for conditions, never for time.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

/// How long to wait for something that should happen within a second or two.
pub const SOON: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(20);

/// Asks `condition` until it says `Ok` and returns what it held; panics with the last `Err` when
/// `within` is over.
pub async fn wait_until<T, E, F>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> F,
) -> T
where
    E: Debug,
    F: Future<Output = Result<T, E>>,
{
    let start = Instant::now();
    loop {
        let last = match condition().await {
            Ok(value) => return value,
            Err(error) => error,
        };
        assert!(
            start.elapsed() < within,
            "waited {within:?} for {what}; last seen: {last:?}"
        );
        tokio::time::sleep(POLL).await;
    }
}
