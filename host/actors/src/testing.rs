//! For the tests of this crate: a System whose time is paused.

use std::time::Duration;

/// Runs a test on one thread with an actix System and paused time.
pub(crate) fn paused<F: Future>(test: impl FnOnce() -> F) -> F::Output {
    let system = actix_rt::System::with_tokio_rt(|| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    });
    system.block_on(test())
}

/// Lets time pass until the condition is met.
pub(crate) async fn until(is_met: impl Fn() -> bool) {
    let met = async {
        while !is_met() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), met)
        .await
        .expect("waited for ten paused minutes");
}

/// Lets everything that was set in motion come to rest.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}
