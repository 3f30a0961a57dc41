//! Time, slots, logs: what a hostile guest can cost the others.

use crate::guests::{self, ALLOW, auth};
use crate::support::{Log, Site, subject, targets};
use opendepot_domain::seam::AccessPolicy as _;
use opendepot_domain::{Action, Decision};
use opendepot_plugin::{BreakerState, PluginHost};
use std::time::{Duration, Instant};

async fn ask(host: &PluginHost) -> Decision {
    host.authorize(&subject(), Action::Download, &targets(1), 1_000)
        .await
        .remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopers_leave_the_threads_to_others() {
    let mut site = Site::new();
    site.config.limits.auth_timeout = Duration::from_millis(400);
    for name in ["one", "two", "three", "four"] {
        site.plugin(name, "auth", &auth(guests::LOOP));
    }
    let host = site.host().await;
    let loopers: Vec<_> = (0..8)
        .map(|_| {
            let host = host.clone();
            tokio::spawn(async move { ask(&host).await })
        })
        .collect();
    // Each round needs a worker, as a request for metadata does.
    let started = Instant::now();
    let mut rounds = 0;
    while started.elapsed() < Duration::from_millis(300) {
        tokio::spawn(async {}).await.unwrap();
        rounds += 1;
    }
    println!("{rounds} rounds in 300 ms");
    assert!(rounds > 500, "{rounds} rounds in 300 ms");
    for looper in loopers {
        assert!(matches!(looper.await.unwrap(), Decision::Deny(_)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_is_busy_soon() {
    let mut site = Site::new();
    site.config.limits.num_instances = 1;
    site.config.limits.auth_timeout = Duration::from_secs(20);
    site.plugin("loops", "auth", &auth(guests::LOOP));
    let host = site.host().await;
    let holder = tokio::spawn({
        let host = host.clone();
        async move { ask(&host).await }
    });
    // Whichever call comes second is told soon that there is no slot; the first one loops on.
    let started = Instant::now();
    let mut other = tokio::spawn({
        let host = host.clone();
        async move { ask(&host).await }
    });
    let mut holder = holder;
    let busy = tokio::select! {
        decision = &mut holder => decision.unwrap(),
        decision = &mut other => decision.unwrap(),
    };
    assert!(
        matches!(&busy, Decision::Deny(reason) if reason.contains("no instance was free")),
        "{busy:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(2));
    holder.abort();
    other.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_leave_give_their_slots_back() {
    let mut site = Site::new();
    site.config.limits.num_instances = 4;
    site.config.limits.auth_timeout = Duration::from_secs(60);
    site.config.limits.wait_timeout = Duration::from_secs(5);
    // Loops for two targets, allows one.
    site.plugin(
        "sometimes",
        "auth",
        &auth(&format!(
            "(if (i32.gt_u (local.get $n) (i32.const 1)) (then (loop $f (br $f)))) {ALLOW}"
        )),
    );
    let host = site.host().await;
    for _ in 0..30 {
        let subject = subject();
        let targets = targets(2);
        let left = host.authorize(&subject, Action::Download, &targets, 1);
        assert!(
            tokio::time::timeout(Duration::from_millis(15), left)
                .await
                .is_err()
        );
    }
    assert_eq!(ask(&host).await, Decision::Allow);
}

async fn logged(authorize: &str) -> (Decision, String) {
    let mut site = Site::new();
    site.plugin("talks", "auth", &auth(authorize));
    let host = site.host().await;
    let log = Log::of("talks");
    let decision = ask(&host).await;
    (decision, log.text())
}

#[tokio::test]
async fn guest_logs_are_escaped_labelled_and_bounded() {
    let write = |level, at, len| {
        format!(
            "(call $log (i32.const {level}) (i32.const {at}) (i32.const {len}) (i32.const 0) (i32.const 0))"
        )
    };
    let (decision, text) = logged(&format!("{} {ALLOW}", write(2, 3200, 27))).await;
    assert_eq!(decision, Decision::Allow);
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["target"] != "opendepot::audit")
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert_eq!(lines[0]["level"], "WARN");
    assert_eq!(
        lines[0]["fields"]["plugin.digest"].as_str().unwrap().len(),
        64
    );
    let message = lines[0]["fields"]["message"].as_str().unwrap();
    assert!(!message.contains(['\u{1b}', '\n']), "{message}");
    assert!(message.contains(r"\u{1b}[31mred\n"), "{message}");
    // 900 lines of 60 KiB each: under the budget of host calls, far over that of the log. The
    // bytes across the boundary are bounded a call of the host function.
    let flood = format!(
        "(loop $more {} (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $more (i32.lt_u (local.get $i) (i32.const 900)))) {ALLOW}",
        write(1, 5000, 60_000)
    );
    let (decision, text) = logged(&flood).await;
    assert_eq!(decision, Decision::Allow);
    assert!(text.len() < 64 << 10, "{} bytes", text.len());
    assert!(text.contains("log budget"), "the cut is visible");
}

#[tokio::test]
async fn the_ticker_lives() {
    let host = Site::new().host().await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while host.epoch_ticker_age() > Duration::from_millis(50) {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_address_space_each_call_maps_its_own() {
    let mut site = Site::new();
    // Far more than the address space has: both reservations fail.
    site.config.limits.num_instances = 4_000_000;
    site.plugin("policy", "auth", &auth(ALLOW));
    let host = site.host().await;
    assert_eq!(ask(&host).await, Decision::Allow);
}

/// Traps when it is asked about one target, else allows.
const MOODY: &str = "(if (i32.eq (local.get $n) (i32.const 1)) (then (unreachable))) \
    (call $answer (i32.const 0) (local.get $n))";

fn breaker(host: &PluginHost) -> BreakerState {
    host.describe()[0].breaker
}

#[tokio::test]
async fn a_plugin_that_keeps_failing_is_not_called_until_it_answers_again() {
    let mut site = Site::new();
    site.config.limits.breaker_faults = 5;
    site.config.limits.breaker_pause = Duration::from_millis(200);
    site.plugin("moody", "auth", &auth(MOODY));
    let host = site.host().await;
    let ask = async |count| {
        let targets = targets(count);
        host.authorize(&subject(), Action::Download, &targets, 1_000)
            .await
            .remove(0)
    };
    let is_refused = |decision: &Decision| matches!(decision, Decision::Deny(reason) if reason.contains("not called"));
    for round in 0..5 {
        let decision = ask(1).await;
        assert!(
            matches!(&decision, Decision::Deny(reason) if reason.contains("guest trap")),
            "{round}: {decision:?}"
        );
    }
    assert!(is_refused(&ask(2).await), "it would have answered this one");
    assert_eq!(breaker(&host), BreakerState::Open);
    let deadline = Instant::now() + Duration::from_secs(20);
    while ask(2).await != Decision::Allow {
        assert!(Instant::now() < deadline, "it never healed");
        tokio::task::yield_now().await;
    }
    assert_eq!(breaker(&host), BreakerState::Closed);
    assert!(!is_refused(&ask(1).await), "one fault is none in a row");
}
