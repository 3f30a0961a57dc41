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

use criterion::{Criterion, criterion_group, criterion_main};
use opendepot_domain::seam::{AccessPolicy as _, StorageDecisions as _};
use opendepot_domain::{Action, Decision};
use std::hint::black_box;
use std::path::Path;
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

/// The same for a component that a toolchain made, where `cargo xtask plugins` has run.
fn locate(criterion: &mut Criterion) {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins");
    if !built.join("storage-fs/plugin.wasm").exists() {
        eprintln!("skipped: storage-fs is not built; run `cargo xtask plugins`");
        return;
    }
    let runtime = runtime();
    let mut site = support::Site::new();
    site.config.builtin_dir = built;
    let host = runtime.block_on(site.host());
    let (plugin, artifact) = (support::id("storage-fs"), support::artifact());
    let locate = || runtime.block_on(host.locate(&plugin, None, &artifact));
    assert_eq!(locate().unwrap().store, "file:///", "it is measured");
    criterion.bench_function("fresh instance and locate, storage-fs", |bencher| {
        bencher.iter(|| black_box(locate()));
    });
}

criterion_group!(benches, authorize, locate);
criterion_main!(benches);
