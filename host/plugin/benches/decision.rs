//! A fresh instance plus one call: the price of an access decision on a cache miss, and of a
//! storage plan. The figure to keep: a median of at most 30 µs for one decision on two cores.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark fails loudly"
)]
#![expect(
    dead_code,
    reason = "the guests and folders of the tests, of which a few are used here"
)]

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use opendepot_domain::seam::{AccessPolicy as _, StorageDecisions as _};
use opendepot_domain::{Action, Decision};
use opendepot_plugin::Source;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Runtime;

#[path = "../tests/it/guests.rs"]
mod guests;
#[path = "../tests/it/support.rs"]
mod support;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn authorize(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut site = support::Site::new();
    site.plugin("policy", "auth", &guests::auth(guests::ALLOW));
    let host = runtime.block_on(site.host());
    let subject = support::subject();
    for count in [1, 10_000] {
        let targets = support::targets(count);
        let decide = || runtime.block_on(host.authorize(&subject, Action::Download, &targets, 1));
        assert_eq!(decide(), vec![Decision::Allow; count], "it is measured");
        let name = format!("fresh instance and authorize, {count} targets");
        criterion.bench_function(&name, |bencher| bencher.iter(|| black_box(decide())));
    }
}

/// The same for components that a toolchain made, where `cargo xtask plugins` has run.
fn built(criterion: &mut Criterion) {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins");
    if !built.join("auth-groups/plugin.wasm").exists() {
        eprintln!("skipped: the built-ins are not built; run `cargo xtask plugins`");
        return;
    }
    let runtime = runtime();
    let mut site = support::Site::new();
    site.config.builtin_dir = built;
    let mut groups = support::entry("auth-groups", PathBuf::new(), None);
    groups.source = Source::Builtin(groups.name.clone());
    groups.settings = serde_json::json!({
        "rules": [{ "groups": ["dev"], "actions": ["*"] }]
    });
    site.config.entries = vec![groups];
    let host = runtime.block_on(site.host());
    let subject = support::subject();
    for (count, name) in [
        (1, "fresh instance and authorize, auth-groups"),
        (
            10_000,
            "fresh instance and authorize, auth-groups, 10000 targets",
        ),
    ] {
        let targets = support::targets(count);
        let decide = || runtime.block_on(host.authorize(&subject, Action::Download, &targets, 1));
        assert_eq!(decide(), vec![Decision::Allow; count], "it is measured");
        criterion.bench_function(name, |bencher| bencher.iter(|| black_box(decide())));
    }
    let (plugin, artifact) = (support::id("storage-fs"), support::artifact());
    let locate = || runtime.block_on(host.locate(&plugin, None, &artifact));
    assert_eq!(locate().unwrap().store, "file:///", "it is measured");
    criterion.bench_function("fresh instance and locate, storage-fs", |bencher| {
        bencher.iter(|| black_box(locate()));
    });
}

/// When a call that never ends is over: at most 15 ms after its deadline of 50 ms. Each sample is
/// one call, so that the slowest ones can be read from the samples.
fn looping(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut site = support::Site::new();
    site.config.limits.auth_timeout = Duration::from_millis(50);
    site.config.limits.breaker_faults = u32::MAX;
    site.plugin("loops", "auth", &guests::auth(guests::LOOP));
    let host = runtime.block_on(site.host());
    let (subject, targets) = (support::subject(), support::targets(1));
    let decide = || runtime.block_on(host.authorize(&subject, Action::Download, &targets, 1));
    let reason = match decide().as_slice() {
        [Decision::Deny(denial)] => denial.reason.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(reason.contains("deadline"), "{reason}");
    let mut group = criterion.benchmark_group("loop");
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(1_000)
        .warm_up_time(Duration::from_millis(500))
        // Less than 1,000 calls take: one call a sample.
        .measurement_time(Duration::from_secs(5));
    group.bench_function("a looping call with a deadline of 50 ms", |bencher| {
        bencher.iter(|| black_box(decide()));
    });
    group.finish();
}

criterion_group!(benches, authorize, built, looping);
criterion_main!(benches);
