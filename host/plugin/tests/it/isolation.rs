//! What one plugin, or a caller that leaves, can cost the others; and that nothing stays of a
//! call.

use crate::guests::{self, ALLOW, LOOP, auth, place};
use crate::support::{Site, artifact, failure, grants, id, subject, targets};
use opendepot_domain::seam::{AccessPolicy as _, BoxFuture, StorageDecisions as _};
use opendepot_domain::{Action, Decision, Kind};
use opendepot_plugin::{
    BreakerState, CheckedRequest, HttpError, HttpResponse, HttpSender, PluginHost,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

async fn ask(host: &PluginHost, count: usize) -> Decision {
    host.authorize(&subject(), Action::Download, &targets(count), 1_000)
        .await
        .remove(0)
}

/// Looks for anything that an earlier call left in memory, in a table or in a global, then leaves
/// a mark in each. Denies when it finds one.
fn remembering(more: &str, mark: u32) -> Vec<u8> {
    let found = "(then (return (call $answer (i32.const 1) (local.get $n))))";
    let core = guests::auth_module_with(
        &format!(
            r#"(memory (export "memory") 8) (table $t 8 funcref) (func $f) (elem declare func $f)
               (global $mark (mut i32) (i32.const {mark})) {more}"#
        ),
        "(i32.const 1024)",
        &format!(
            "(if (i32.ne (global.get $mark) (i32.const 0)) {found})
             (if (i32.eqz (ref.is_null (table.get $t (i32.const 5)))) {found})
             (local.set $i (i32.const 131072))
             (loop $look
               (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) {found})
               (br_if $look (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1024))) (i32.const 524288))))
             (if (i32.ne (table.size $t) (i32.const 8)) {found})
             (if (i32.ne (memory.size) (i32.const 8)) {found})
             (global.set $mark (i32.const 1))
             (table.set $t (i32.const 5) (ref.func $f))
             (drop (table.grow $t (ref.func $f) (i32.const 100)))
             (drop (memory.grow (i32.const 1)))
             (memory.fill (i32.const 131072) (i32.const 0xa5) (i32.const 393216))
             {ALLOW}"
        ),
    );
    guests::component("auth", &core)
}

#[tokio::test]
async fn two_tenants_never_read_each_other() {
    const NUM_ALTERNATIONS: usize = 10_000;
    let mut site = Site::new();
    // One slot, so that every call gets the memory and the table of the one before; each question
    // goes to both, in turn.
    site.config.limits.num_instances = 1;
    site.plugin("one", "auth", &remembering("", 0));
    site.plugin("two", "auth", &remembering("", 0));
    let host = site.host().await;
    for round in 0..NUM_ALTERNATIONS / 2 {
        assert_eq!(ask(&host, 1).await, Decision::Allow, "round {round}");
    }
    // What it looks for it would find.
    for (name, more, mark) in [
        ("memory", r#"(data (i32.const 262144) "x")"#, 0),
        ("table", "(elem (i32.const 5) $f)", 0),
        ("global", "", 1),
    ] {
        let mut site = Site::new();
        site.plugin("one", "auth", &remembering(more, mark));
        let decision = ask(&site.host().await, 1).await;
        assert!(
            matches!(&decision, Decision::Deny(reason) if reason.contains("because")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_plugin_that_always_traps_is_left_alone_within_twenty_calls() {
    let mut site = Site::new();
    site.plugin("traps", "auth", &auth("(unreachable)"));
    let host = site.host().await;
    let mut calls = 0;
    while !matches!(&ask(&host, 1).await, Decision::Deny(reason) if reason.contains("not called")) {
        calls += 1;
        assert!(calls <= 20, "it is called for the {calls}th time");
    }
    let breaker = |host: &PluginHost, name: &str| {
        let infos = host.describe();
        infos
            .iter()
            .find(|info| info.name == id(name))
            .unwrap()
            .breaker
    };
    assert_eq!(breaker(&host, "traps"), BreakerState::Open);
    // The same of a store, which is then unavailable.
    let mut site = Site::new();
    let guest = guests::storage_mishandling("token", "(unreachable)");
    site.plugin("store", "storage", &guest);
    let host = site.host().await;
    let mut calls = 0;
    loop {
        let error = host
            .locate(&id("store"), None, &artifact())
            .await
            .unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        if error.message.contains("not called") {
            break;
        }
        calls += 1;
        assert!(calls <= 20, "it is called for the {calls}th time");
    }
    assert_eq!(breaker(&host, "store"), BreakerState::Open);
}

/// Counts requests and never answers one.
#[derive(Default)]
struct Silent {
    num_asked: AtomicUsize,
}

impl HttpSender for Silent {
    fn send(&self, _: CheckedRequest) -> BoxFuture<'_, Result<HttpResponse, HttpError>> {
        self.num_asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }
}

fn num_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits for what ends beside this task.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_callers_that_leave_cost_nothing() {
    const NUM_CALLERS: usize = 10_000;
    let mut site = Site::new();
    let guest = guests::storage_sending("https://artifactory.test/", None);
    site.plugin_needing("waits", "storage", &guest, "{ hosts: true }")
        .grants = grants("hosts: ['artifactory.test:443']");
    let kind = guests::storage(&place("file:///", "a.zip"), &guests::Plan::Nothing);
    site.plugin("steady", "storage", &kind).grants = grants("stores: [{ match: 'file:///' }]");
    let silent = Arc::new(Silent::default());
    let host = site
        .host_with(Arc::clone(&silent) as Arc<dyn HttpSender>)
        .await;
    assert_eq!(failure(&host, "waits"), None);
    let metrics = tokio::runtime::Handle::current().metrics();
    let (tasks, files) = (metrics.num_alive_tasks(), num_files());
    for round in 0..NUM_CALLERS {
        let waits = id("waits");
        let artifact = artifact();
        let mut call = host.locate(&waits, None, &artifact);
        // Now and then a caller stays until its request is on its way.
        let asked = silent.num_asked.load(Ordering::Relaxed);
        let polls = if round % 4 == 0 { 10_000 } else { 1 };
        for _ in 0..polls {
            assert!(futures::poll!(&mut call).is_pending(), "nobody answers");
            if silent.num_asked.load(Ordering::Relaxed) > asked {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let asked = silent.num_asked.load(Ordering::Relaxed);
    assert!(
        asked >= NUM_CALLERS / 10,
        "{asked} of them got as far as their request"
    );
    until("tasks are left", || metrics.num_alive_tasks() <= tasks).await;
    until("files are left open", || num_files() <= files + 2).await;
    // Every slot is free again: as many calls as one plugin may have, at a time.
    let (steady, artifact) = (id("steady"), artifact());
    let calls = (0..8).map(|_| host.locate(&steady, None, &artifact));
    for located in futures::future::join_all(calls).await {
        assert_eq!(located.unwrap().key, "a.zip");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopers_in_every_slot_of_theirs_leave_slots_to_others() {
    let mut site = Site::new();
    site.config.limits.auth_timeout = Duration::from_secs(3);
    // Busy calls are to be told so, not to find the breaker open.
    site.config.limits.breaker_faults = u32::MAX;
    site.plugin("loops", "auth", &auth(LOOP));
    let kind = guests::storage(&place("file:///", "a.zip"), &guests::Plan::Nothing);
    site.plugin("steady", "storage", &kind).grants = grants("stores: [{ match: 'file:///' }]");
    let host = site.host().await;
    let loopers: Vec<_> = (0..16)
        .map(|_| {
            let host = host.clone();
            tokio::spawn(async move { ask(&host, 1).await })
        })
        .collect();
    let started = Instant::now();
    let mut answered = 0;
    while started.elapsed() < Duration::from_secs(1) {
        let located = host.locate(&id("steady"), None, &artifact()).await;
        assert_eq!(located.unwrap().key, "a.zip");
        answered += 1;
    }
    println!("{answered} answers in a second beside loopers");
    assert!(
        answered > 50,
        "{answered} answers in a second beside loopers"
    );
    let mut busy = 0;
    for looper in loopers {
        let Decision::Deny(reason) = looper.await.unwrap() else {
            panic!("a looper is allowed");
        };
        busy += usize::from(reason.contains("no instance was free"));
    }
    assert!(
        busy > 0,
        "a quarter of the slots is all that one plugin gets"
    );
}

#[tokio::test]
async fn the_same_question_gets_the_same_answer_from_two_replicas() {
    const NUM_QUESTIONS: usize = 1_000;
    // Its answer depends on floats, on the memory's content and on the question.
    let core = guests::auth_module_with(
        r#"(memory (export "memory") 2) (func $nan (result f32) (f32.div (f32.const 0) (f32.const 0)))"#,
        "(i32.const 1024)",
        "(call $answer
           (i32.rem_u (i32.add (i32.reinterpret_f32 (f32.add (call $nan) (f32.convert_i32_u (local.get $n))))
                               (i32.load8_u (i32.load offset=36 (local.get $args)))) (i32.const 3))
           (local.get $n))",
    );
    let guest = guests::component("auth", &core);
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mut site = Site::new();
        site.plugin("policy", "auth", &guest);
        let host = site.host().await;
        for _ in 0..NUM_QUESTIONS {
            answers.push(ask(&host, 3).await);
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}
