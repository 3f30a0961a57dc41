//! When a call that never ends is over. A process of its own: the other tests compile and loop, and
//! would be measured too.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly, in its helpers as well"
)]
#![expect(
    dead_code,
    reason = "the guests and folders of the other tests, of which a few are used here"
)]

#[path = "it/guests.rs"]
mod guests;
#[path = "it/support.rs"]
mod support;

use guests::auth;
use opendepot_domain::seam::AccessPolicy as _;
use opendepot_domain::{Action, Decision};
use opendepot_plugin::{Limits, PluginHost};
use std::time::{Duration, Instant};
use support::{Site, subject, targets};

async fn ask(host: &PluginHost) -> Decision {
    host.authorize(&subject(), Action::Download, &targets(1), 1_000)
        .await
        .remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_looper_ends_at_its_deadline() {
    let mut site = Site::new();
    site.config.limits.auth_timeout = Limits::default().auth_timeout;
    // Each call is to run.
    site.config.limits.breaker_faults = u32::MAX;
    site.plugin("loops", "auth", &auth(guests::LOOP));
    let host = site.host().await;
    let mut elapsed = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        assert!(matches!(ask(&host).await, Decision::Deny(reason) if reason.contains("deadline")));
        elapsed.push(started.elapsed());
    }
    elapsed.sort();
    println!("looper ended after {elapsed:?}");
    assert!(elapsed[0] >= Duration::from_millis(45), "{elapsed:?}");
    // The median: single runs suffer from whatever else the machine does.
    assert!(elapsed[10] <= Duration::from_millis(65), "{elapsed:?}");
}
