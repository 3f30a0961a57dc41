//! Guests that do what they can to stop, bloat or confuse the host. Each is ended with the fault
//! that it deserves, and another plugin is answered afterwards. `README.md` beside this file says
//! which case of the threat model is where.

use crate::guests::{
    self, ABSTAIN, ALLOW, LOOP, auth, auth_module, auth_module_with, component, place,
};
use crate::support::{Site, artifact, failure, grants, id, subject, targets};
use opendepot_domain::seam::{AccessPolicy as _, StorageDecisions as _};
use opendepot_domain::{Action, Decision};
use opendepot_plugin::PluginHost;
use std::time::{Duration, Instant};

const MEMORY: &str = r#"(memory (export "memory") 2)"#;
const VALID: &str = "(i32.const 1024)";
/// Far above every deadline here: what is bounded at all ends well before.
const SOON: Duration = Duration::from_secs(20);

/// A site with the guest, with short deadlines, and with a plugin that behaves.
pub(crate) fn site(hostile: &[u8]) -> Site {
    let mut site = Site::new();
    site.config.limits.auth_timeout = Duration::from_millis(300);
    site.config.limits.prepare_timeout = Duration::from_millis(300);
    site.plugin("hostile", "auth", hostile);
    let kind = guests::storage(&place("file:///", "a.zip"), &guests::Plan::Nothing);
    site.plugin("steady", "storage", &kind).grants = grants("stores: [{ match: 'file:///' }]");
    site
}

/// What is asserted after everything that a guest may do.
pub(crate) async fn goes_on(host: &PluginHost, name: &str) {
    let located = host.locate(&id("steady"), None, &artifact()).await;
    assert_eq!(
        located.map(|placed| placed.key),
        Ok("a.zip".to_owned()),
        "{name}"
    );
    assert!(host.epoch_ticker_age() < Duration::from_secs(5), "{name}");
}

/// The reason of the denial that its call ends with.
pub(crate) async fn denial(host: &PluginHost, name: &str) -> String {
    let started = Instant::now();
    let decisions = host
        .authorize(&subject(), Action::Download, &targets(2), 1_000)
        .await;
    assert!(
        started.elapsed() < SOON,
        "{name} took {:?}",
        started.elapsed()
    );
    assert_eq!(decisions.len(), 2, "{name}");
    match &decisions[0] {
        Decision::Deny(denial) => denial.reason.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

/// The guest loads, and its call ends with one of these faults.
pub(crate) async fn call_ends(name: &str, guest: &[u8], expected: &[&str]) {
    let host = site(guest).host().await;
    assert_eq!(failure(&host, "hostile"), None, "{name}");
    let reason = denial(&host, name).await;
    assert!(
        expected.iter().any(|e| reason.contains(e)),
        "{name}: {reason}"
    );
    goes_on(&host, name).await;
}

/// The guest does not load, for one of these reasons, and then denies.
pub(crate) async fn load_ends(name: &str, guest: &[u8], expected: &[&str]) {
    let started = Instant::now();
    let host = site(guest).host().await;
    assert!(
        started.elapsed() < SOON,
        "{name} took {:?}",
        started.elapsed()
    );
    let reason = failure(&host, "hostile").unwrap_or_else(|| panic!("{name} is served"));
    assert!(
        expected.iter().any(|e| reason.contains(e)),
        "{name}: {reason}"
    );
    denial(&host, name).await;
    goes_on(&host, name).await;
}

/// With another `cabi_realloc`, whose arguments are (old, old size, alignment, size).
pub(crate) fn with_realloc(body: &str, authorize: &str) -> Vec<u8> {
    let usual = "(result i32) (call $alloc (local.get 3)))";
    let core = auth_module(authorize);
    assert!(core.contains(usual));
    component(
        "auth",
        &core.replace(usual, &format!("(result i32) {body})")),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loops_end_wherever_they_are() {
    let in_start = auth_module_with(
        &format!("{MEMORY} (func $spin (loop $f (br $f))) (start $spin)"),
        VALID,
        ALLOW,
    );
    load_ends("start", &component("auth", &in_start), &["deadline"]).await;
    call_ends("call", &auth(LOOP), &["deadline trap"]).await;
    // Only what a call with targets asks for is that large.
    let large = "(if (i32.gt_u (local.get 3) (i32.const 100)) (then (loop $f (br $f)))) (call $alloc (local.get 3))";
    call_ends("realloc", &with_realloc(large, ALLOW), &["deadline trap"]).await;
    let after = auth_module(ALLOW).replace(
        "(func $recurse",
        "(func (export \"cabi_post_opendepot:auth/policy@0.1.0#authorize\") (param i32) (loop $f (br $f)))
         (func $recurse",
    );
    call_ends(
        "post-return",
        &component("auth", &after),
        &["deadline trap"],
    )
    .await;
    call_ends(
        "destructor",
        &with_destructor("(loop $f (br $f))"),
        &["deadline trap"],
    )
    .await;
    let calls = auth_module_with(
        &format!("{MEMORY} (func $leaf) (func $tree (param i32) (if (local.get 0) (then
            (call $tree (i32.sub (local.get 0) (i32.const 1))) (call $tree (i32.sub (local.get 0) (i32.const 1)))))
            (call $leaf))"),
        VALID,
        &format!("(call $tree (i32.const 60)) {ALLOW}"),
    );
    call_ends(
        "calls without a loop",
        &component("auth", &calls),
        &["deadline trap"],
    )
    .await;
}

/// Makes a resource of its own and drops it, so that its destructor runs.
fn with_destructor(destructor: &str) -> Vec<u8> {
    let core = auth_module(&format!(
        "(call $drop-thing (call $new-thing (i32.const 7))) {ALLOW}"
    ));
    let imports = r#"(module
  (import "[export]test:extra/things" "[resource-new]thing" (func $new-thing (param i32) (result i32)))
  (import "[export]test:extra/things" "[resource-drop]thing" (func $drop-thing (param i32)))"#;
    let exports = format!(
        r#"(func (export "test:extra/things#[constructor]thing") (result i32) (call $new-thing (i32.const 1)))
  (func (export "test:extra/things#[dtor]thing") (param i32) {destructor})
  (func $recurse"#
    );
    let core = core
        .replacen("(module", imports, 1)
        .replacen("(func $recurse", &exports, 1);
    guests::auth_with_resource(&core)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destructor_that_ends_is_no_fault() {
    let host = site(&with_destructor("")).host().await;
    assert_eq!(failure(&host, "hostile"), None);
    let decisions = host
        .authorize(&subject(), Action::Download, &targets(1), 1_000)
        .await;
    assert_eq!(
        decisions,
        [Decision::Allow],
        "the others of these tests fail for their loop"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn growth_is_refused() {
    let grow = |unit| {
        format!(
            "(loop $more (br_if $more (i32.ne (memory.grow (i32.const {unit})) (i32.const -1)))) (unreachable)"
        )
    };
    call_ends("memory, page by page", &auth(&grow(1)), &["memory trap"]).await;
    call_ends("memory at once", &auth(&grow(65_000)), &["memory trap"]).await;
    let table = auth_module_with(
        &format!("{MEMORY} (table $t 1 funcref)"),
        VALID,
        "(loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 10000)) (i32.const -1)))) (unreachable)",
    );
    call_ends("table", &component("auth", &table), &["memory trap"]).await;
    for (name, head, expected) in [
        (
            "4 GiB",
            r#"(memory (export "memory") 65536)"#.to_owned(),
            "memory",
        ),
        (
            "100 memories",
            format!("{MEMORY} {}", "(memory 1)".repeat(99)),
            "memor",
        ),
        (
            "10 million elements",
            format!("{MEMORY} (table 10000000 funcref)"),
            "table",
        ),
        (
            "100 tables",
            format!("{MEMORY} {}", "(table 1 funcref)".repeat(100)),
            "table",
        ),
    ] {
        let guest = component("auth", &auth_module_with(&head, VALID, ALLOW));
        load_ends(name, &guest, &[expected]).await;
    }
    call_ends(
        "recursion",
        &auth("(call $recurse (i32.const 0))"),
        &["stack trap"],
    )
    .await;
    let mutual = auth_module_with(
        &format!("{MEMORY} (type $f (func (param i64 i64 i64 i64) (result i64))) (table 1 funcref) (elem (i32.const 0) $again)
            (func $again (type $f) (i64.add (local.get 0) (call_indirect (type $f)
                (local.get 1) (local.get 2) (local.get 3) (local.get 0) (i32.const 0))))"),
        VALID,
        "(i32.wrap_i64 (call $again (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))",
    );
    call_ends(
        "recursion through a table",
        &component("auth", &mutual),
        &["stack trap"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn huge_answers_are_refused() {
    // A denial whose text has this place and length.
    let text = |at: &str, len: &str| {
        format!(
            "(drop (call $answer (i32.const 1) (local.get $n)))
             (i32.store offset=4 (i32.load (i32.const 2052)) {at})
             (i32.store offset=8 (i32.load (i32.const 2052)) {len}) (i32.const 2048)"
        )
    };
    let list = |at: &str, len: &str| {
        format!(
            "(i32.store (i32.const 2052) {at}) (i32.store (i32.const 2056) {len}) (i32.const 2048)"
        )
    };
    let refused = &["fuel trap", "abi trap"];
    for (name, authorize) in [
        ("a text of 1 GiB", text("(i32.const 0)", "(i32.const 0x40000000)")),
        ("a text of 4 GiB", text("(i32.const 0)", "(i32.const -1)")),
        ("a text that ends past the address space", text("(i32.const -4)", "(i32.const 8)")),
        ("a hundred million decisions", list("(i32.const 65536)", "(i32.const 100000000)")),
        ("four thousand million decisions", list("(i32.const 0)", "(i32.const -1)")),
        // Each text is the same megabyte, so the guest needs next to no memory of its own.
        (
            "one megabyte a thousand times",
            "(drop (call $answer (i32.const 1) (i32.const 1000)))
                 (local.set $i (call $alloc (i32.const 1048576)))
                 (local.set $n (i32.const 0))
                 (loop $more
                   (i32.store offset=4 (i32.add (i32.load (i32.const 2052)) (i32.mul (local.get $n) (i32.const 12))) (local.get $i))
                   (i32.store offset=8 (i32.add (i32.load (i32.const 2052)) (i32.mul (local.get $n) (i32.const 12))) (i32.const 1048576))
                   (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000))))
                 (i32.const 2048)"
                .to_owned(),
        ),
    ] {
        call_ends(name, &auth(&authorize), refused).await;
    }
    // A list of lists while loading: 60,000 problems of two texts, all of them the same megabyte.
    let problems = "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1028) (i32.const 0))
        (i32.store (i32.const 1032) (call $alloc (i32.const 960000))) (i32.store (i32.const 1036) (i32.const 60000))
        (local.set 0 (i32.load (i32.const 1032))) (local.set 1 (i32.const 120000))
        (loop $more
          (i32.store (local.get 0) (i32.const 0)) (i32.store offset=4 (local.get 0) (i32.const 1000000))
          (local.set 0 (i32.add (local.get 0) (i32.const 8)))
          (br_if $more (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
        (i32.const 1024)";
    let lists = auth_module_with(r#"(memory (export "memory") 40)"#, problems, ALLOW);
    load_ends(
        "problems without an end",
        &component("auth", &lists),
        refused,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_host_calls_end() {
    let log = |len: u32| {
        format!(
            "(loop $more (call $log (i32.const 1) (i32.const 5000) (i32.const {len}) (i32.const 0) (i32.const 0)) (br $more)) (unreachable)"
        )
    };
    call_ends("short lines", &auth(&log(7)), &["too many host calls"]).await;
    call_ends(
        "long lines",
        &auth(&log(60_000)),
        &["too many host calls", "deadline"],
    )
    .await;
    let fields = "(call $log (i32.const 1) (i32.const 3000) (i32.const 7) (i32.const 0) (i32.const 100000000)) (unreachable)";
    call_ends(
        "a line of a hundred million fields",
        &auth(fields),
        &["abi trap", "fuel trap"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_words_are_short_and_on_one_line() {
    let mut site = site(&auth(ABSTAIN));
    let guest = guests::storage_lamenting(1 << 20);
    site.plugin("laments", "storage", &guest);
    // More than may cross the boundary at all.
    let guest = guests::storage_lamenting(20 << 20);
    site.plugin("wails", "storage", &guest);
    let host = site.host().await;
    let error = host
        .locate(&id("laments"), None, &artifact())
        .await
        .unwrap_err();
    assert!(error.message.len() < 1_000, "{} bytes", error.message.len());
    assert!(!error.message.contains(['\u{1b}', '\n']), "{error}");
    assert!(error.message.contains('…'), "{error}");
    let error = host
        .locate(&id("wails"), None, &artifact())
        .await
        .unwrap_err();
    assert!(error.message.contains("fuel trap"), "{error}");
    goes_on(&host, "last words").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_others_compiled_is_refused() {
    let code = wasmtime::Engine::default()
        .precompile_component(&auth(ALLOW))
        .unwrap();
    load_ends("precompiled", &code, &["precompiled"]).await;
}
